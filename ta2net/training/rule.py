"""A rule is not trained; what a run finds for it is its threshold, on the same validation rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pipeline.catalog import read_catalog
from pipeline.device import chosen_device
from pipeline.files.atomic import write_text
from pipeline.store import open_store
from ta2net.evaluation.metrics_json import data_section
from ta2net.evaluation.rows import stored_rows
from ta2net.networks import checkpoint as files
from ta2net.params import Params
from ta2net.training.progress import Progress, as_csv
from ta2net.training.provenance import provenance
from ta2net.training.validation import Validation


def choose_threshold(params: Params) -> Progress:
    """Judge the rule of ``params.method`` on the validation rows; leave the files that a training run
    leaves."""
    store, run = open_store(params.store), Path(params.train.dir)
    rows = stored_rows(read_catalog(params.source.catalog), store, params.train.validate_on)
    validation = Validation(rows, store, params, None, chosen_device(params.train.device))
    judgement = validation.judge()
    record = {"step": 0, "f1_at_2": judgement.point.f1, "threshold": judgement.point.threshold}
    files.write_trained(
        run / files.BEST,
        None,
        params,
        asdict(validation.thresholds(judgement)),
        record,
        provenance(),
        operating_points={name: asdict(one) for name, one in judgement.points.items()},
        data={"source": params.source.name, "validation": data_section(rows, params.train.validate_on)},
    )
    (run / "resume").mkdir(exist_ok=True)  # a stage's output, empty here
    write_text(run / "loss.csv", "step\n")
    write_text(run / "validation.csv", as_csv([record]))
    return Progress(validations=[record])
