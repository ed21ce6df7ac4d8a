"""What is in a file this program reads or writes: a video, a flow store, a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.store.opening import open_named
from pipeline.video.probe import probe
from ta2net.methods.method import DEFAULT_METHOD
from ta2net.networks.built_in import point_line

Facts = list[tuple[str, str]]
"""Names and values, in the order in which they are shown."""


def facts_of(name: str | Path) -> Facts:
    """What there is to know of a file, a folder or a URL.

    Folders (a remote store's manifest may be in it) and URLs are taken for flow stores, .safetensors for
    checkpoints, all else for videos.

    Raises:
        UserError: it is missing, or none of the three.
    """
    path = Path(name)
    if "://" in str(name):
        return _of_store(str(name))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give a video, a flow store or a checkpoint")
    if path.is_dir():
        return _of_store(str(path))
    return _of_checkpoint(path) if path.suffix == ".safetensors" else _of_video(path)


def shown(facts: Facts) -> str:
    """The facts as text, the values in one column."""
    width = max(len(name) for name, _ in facts) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in facts)


def _of_video(path: Path) -> Facts:
    info = probe(path)
    span_s = info.times_s[-1] - info.times_s[0] + 1 / float(info.fps)
    facts = [
        ("video", info.path),
        ("coding", f"{info.codec} in {info.container}"),
        ("picture", f"{info.width} x {info.height} px, turned by {info.rotation_deg} degrees"),
        ("frames", f"{info.n_frames}, {info.fps} = {float(info.fps):.3f} a second, {span_s:.3f} s"),
        ("first frame at", f"{info.times_s[0]:.6f} s (times from the container's {info.time_source})"),
        ("sound", "yes" if info.has_audio else "no"),
    ]
    facts += [("not for decord", reason) for reason in info.decord_hazards]
    return facts + [("note", note) for note in info.notes]


def _of_store(name: str) -> Facts:
    store, _ = open_named(name)
    by_name = dict(store.rows())
    if not by_name:
        return [("flow store", store.name), ("rows", "0")]
    row_ids, rows = list(by_name), list(by_name.values())
    size = sum(store.place.sizes("").values())
    estimators = sorted({_named(row.estimator) for row in rows})
    sizes = sorted({row.store_size for row in rows})
    cut = sum(row.saturated_velocity + row.saturated_inflection for row in rows)
    return [
        ("flow store", store.name),
        ("rows", f"{len(rows)}: {', '.join(row_ids[:3])}{', ...' if len(rows) > 3 else ''}"),
        ("frames", f"{sum(row.n_frames for row in rows)}, {sum(len(row.labels) for row in rows)} labelled"),
        ("picture", ", ".join(f"{height} x {width} (height x width) px" for height, width in sizes)),
        ("coding", f"{store.coding.kind}, {store.coding.scale} steps per px; {cut} values cut"),
        *(("flow", estimator) for estimator in estimators),
        ("stored", f"{size / 1e6:.1f} MB"),
    ]


def _named(estimator: Mapping[str, Any]) -> str:
    """An estimator's identity as far as it goes: own stores may say less."""
    size = f" at {' x '.join(map(str, estimator['size']))} px" if "size" in estimator else ""
    library = f" ({estimator['library']})" if "library" in estimator else ""
    return f"{estimator['model']}{size}{library}"


def _of_checkpoint(path: Path) -> Facts:
    from ta2net.networks import checkpoint as files  # torch

    found = files.read(path)
    document = found.document
    network = files.without_prefix(found.tensors, "model")
    if document.get("params") is None:  # training state, in resume/
        raise UserError(f"{path}: a checkpoint without params; give best.safetensors of a run")
    try:
        return _of_method(path, document, network)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: its params, thresholds or validation are not ours ({error!r})") from error


def _of_method(path: Path, document: Mapping[str, Any], network: Mapping[str, Any]) -> Facts:
    """What the document of a trained method says; ``network`` has its numbers, none for a rule.

    KeyError and others where it is not of our making.
    """
    params = document["params"]
    method, flow, store = params["method"], params["flow"], params["store"]
    numbers = [("network", f"{sum(x.numel() for x in network.values()):,} numbers")]
    made = document.get("provenance") or {}
    git, versions = made.get("git") or {}, made.get("versions") or {}
    commit = git.get("commit") or "unknown"
    return [
        ("checkpoint", str(path)),
        ("method", method.get("name", DEFAULT_METHOD)),
        *(numbers if network else []),
        ("clips", f"{params['clips']['frames']} frames of {store['size'][0]} x {store['size'][1]} px"),
        ("flow", f"{flow['model']} at {flow['size'][0]} x {flow['size'][1]} px"),
        *((f"threshold, {name}", f"{value:.4f}") for name, value in document.get("thresholds", {}).items()),
        *((f"validation, {name}", f"{value:.4g}") for name, value in document.get("validation", {}).items()),
        *(
            (f"sensitivity {name}", point_line(point))
            for name, point in document.get("operating_points", {}).items()
        ),
        ("code", f"commit {commit}{' and changes' if git.get('dirty') else ''}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items() if number)),
    ]
