"""What makes two training runs the same: parameters, rows, labels, flows, and the code."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

from pipeline.catalog import Row
from pipeline.errors import UserError
from pipeline.revisions import DIGITS, Revisions, bare_code
from pipeline.store import FlowStore
from ta2net.methods.method import Method, method_of
from ta2net.methods.params import MethodParams
from ta2net.params import Params

SHARED = ("ta2net/methods/frame_loss.py", "ta2net/methods/method.py", "ta2net/methods/batch.py")

RUNS = Revisions(
    Path(__file__).with_name("revisions.json"),
    {
        "ta2net": ("ta2net/methods/ta2net", *SHARED),
        "rules": ("ta2net/methods/rules.py", *SHARED),
        "fast": ("ta2net/fast",),
        "clips": ("ta2net/clips",),
        "training": tuple(
            f"ta2net/training/{name}.py"
            for name in ("average", "global_norm", "loop", "optimizer", "processes", "step", "validation")
        ),
        "hits": tuple(f"ta2net/hits/{name}.py" for name in ("decoding", "peaks", "scoring")),
        "thresholds": tuple(f"ta2net/evaluation/{name}.py" for name in ("matching", "metrics", "threshold")),
    },
)
"""What a trained network is made by, its methods first; validation chooses which weights are kept."""

MADE_BY = ("fast", "clips", "training", "hits", "thresholds")


def run_code(params: MethodParams) -> dict[str, str]:
    """The revisions that a run with this method depends on; that of a method from elsewhere is its source."""
    method = method_of(params)
    part = type(method).__module__.removeprefix("ta2net.methods.")
    own = RUNS.of(part) if part in RUNS.parts else source_digest(method)
    return {"method": own, **{name: RUNS.of(name) for name in MADE_BY}}


def source_digest(method: Method) -> str:
    """A digest of where a method is defined: the folder of its module where that is a package, else the file.

    Raises:
        UserError: it was typed in, and no file holds it.
    """
    module = sys.modules[type(method).__module__]
    if getattr(module, "__file__", None) is None:
        raise UserError(
            f"method {method.name}: it is in no file, so its networks could not be told from those of other "
            "code; put it into a module and import that"
        )
    file = Path(str(module.__file__))
    files = sorted(file.parent.glob("*.py")) if module.__package__ else [file]
    digest = sha256()
    for each in files:
        digest.update(
            each.name.encode() + b"\0" + bare_code(each.read_text(encoding="utf-8")).encode() + b"\0"
        )
    return digest.hexdigest()[:DIGITS]


def run_identity(params: Params, rows: tuple[Row, ...], store: FlowStore) -> str:
    """A fingerprint of all that a run's result depends on."""
    document = params.model_dump(mode="json")
    relevant = {
        key: document[key]
        for key in ("kinematics", "targets", "method", "clips", "optim", "train", "infer", "peaks")
    }
    for place in ("dir", "device", "keep", "checkpoint_every", "threads", "fast"):
        del relevant["train"][place]
    for speed in ("cache_bytes", "gpu_cache_bytes", "loader_threads"):
        del relevant["clips"][speed]
    relevant["code"] = run_code(params.method)
    made_of = store.fingerprints()  # in one pass: the store may be far away
    data = [(row.row_id, row.split, row.labels, row.annotated, made_of.get(row.row_id)) for row in rows]
    return sha256(json.dumps([relevant, data], sort_keys=True).encode()).hexdigest()
