"""``evaluate`` and ``predict`` lay the same windows: the checkpoint's, or those that are asked for."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from pipeline.build import build
from pipeline.catalog import Catalog, Row, write_catalog
from pipeline.errors import UserError
from pipeline.files.atomic import sha256_of
from pipeline.params import BuildParams, FlowParams, SourceParams, StoreParams
from ta2net.cli import main
from ta2net.evaluation.evaluate import evaluate
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import FusionParams, TA2NetParams
from ta2net.networks.checkpoint import write_trained
from ta2net.params import (
    ClipsParams,
    EvaluationParams,
    InferParams,
    Params,
    PeaksParams,
    TrainParams,
)
from ta2net.prediction.file2hits import File2Hits
from ta2net.studies.study import Run, _inference

pytestmark = pytest.mark.slow

THRESHOLDS = {"peaks": 0.0, "frames": 0.5, "motion_energy": 0.1, "inflection_peak": 0.1}
OWN, FILE = InferParams(stride=8, flip_average=True), InferParams(stride=16)


@pytest.fixture(scope="module")
def film(films, tmp_path_factory):
    return films.write_video(tmp_path_factory.mktemp("film") / "film.mp4", n_frames=50)


@pytest.fixture(scope="module")
def params(film):
    """Of a store with the film as its one row; ``infer`` is another than the checkpoint's."""
    folder = film.parent
    places = {name: str(folder / f"{name}.json") for name in ("report", "failures", "metrics")}
    params = Params(
        source=SourceParams(catalog=str(folder / "catalog.jsonl"), report=places["report"]),
        flow=FlowParams(size=(48, 64)),
        store=StoreParams(path=str(folder / "flows.zarr"), size=(32, 32)),
        build=BuildParams(scheduler="threads", failures=places["failures"]),
        method=TA2NetParams(
            channels=4, fusion=FusionParams(channels=8, heads=2, similarity_channels=2, hidden=16)
        ),
        clips=ClipsParams(frames=16),
        train=TrainParams(precision="fp32", device="cpu", dir=str(folder / "run")),
        infer=FILE,
        peaks=PeaksParams(smoothing_frames=0.0),
        evaluation=EvaluationParams(
            dir=str(folder / "evaluation"), metrics=places["metrics"], pictures=0, bootstrap=0
        ),
    )
    row = Row(
        row_id="film",
        source="csv",
        video_id="film",
        group="film",
        path=str(film),
        split="eval",
        class_name="tapping",
        labels=(10, 30),
        label_positions_px=None,
        annotated=((0, 50),),
        fps=Fraction(25),
        n_frames=50,
        sha256=sha256_of(film),
    )
    write_catalog(Catalog((row,)), params.source.catalog)
    build(Catalog((row,)), params)
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    return params


@pytest.fixture(scope="module")
def checkpoint(params, film):
    """An untrained network whose scores differ from frame to frame, and from window to window."""
    torch.manual_seed(3)
    path = film.parent / "net.safetensors"
    own = params.model_copy(update={"infer": OWN})
    write_trained(path, TA2Net(own.method, own.clips.frames), own, THRESHOLDS, {}, {})
    return path


def written_hits(params):
    lines = Path(params.evaluation.dir, "hits.csv").read_text().splitlines()
    return [(int(hit["frame"]), float(hit["probability"])) for hit in csv.DictReader(lines)]


def predicted(found):
    return [(hit.frame, pytest.approx(hit.probability, abs=2e-6)) for hit in found.hits]


@pytest.mark.parametrize("asked", [{}, {"stride": 16, "flip_average": False}, {"stride": 4}])
def test_a_row_and_its_file_have_the_same_hits(params, checkpoint, film, asked):
    metrics = evaluate(params, checkpoint, **asked)
    predictor = File2Hits(checkpoint, device="cpu", **asked)
    assert written_hits(params) == predicted(predictor(film))
    used = {**OWN.model_dump(), **asked}
    assert metrics["decode"]["infer"] == used == predictor.params.infer.model_dump()


def test_the_windows_matter_here(checkpoint, film, params):  # noqa: ARG001 - the film's row is not needed
    own, other = (
        File2Hits(checkpoint, device="cpu", **asked)(film).scores.probability
        for asked in ({}, {"stride": FILE.stride, "flip_average": FILE.flip_average})
    )
    assert np.abs(own - other).max() > 1e-5


def test_what_is_used_in_place_of_what_is_said(params, checkpoint, capsys):
    evaluate(params, checkpoint)
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"infer.stride 8 of {checkpoint}, not 16 of the parameters",
        f"infer.flip_average true of {checkpoint}, not false of the parameters",
    ]
    evaluate(params, checkpoint, stride=4)
    assert "infer.stride 4 in place of the checkpoint's 8\n" in capsys.readouterr().err
    evaluate(params.model_copy(update={"infer": OWN}), checkpoint)
    assert "infer." not in capsys.readouterr().err


def test_both_commands_take_the_same_options(params, checkpoint, film, tmp_path):
    asked = ["--checkpoint", str(checkpoint), "--stride", "16", "--no-flip-average"]
    lines = [
        "infer.stride 16 in place of the checkpoint's 8",
        "infer.flip_average false in place of the checkpoint's true",
    ]
    for command in (
        ["evaluate", "--params", str(film.parent / "params.yaml")],
        ["predict", str(film), "--out", str(tmp_path)],
        ["dub", str(film), "--out", str(tmp_path / "dubbed.mp4")],
    ):
        done = CliRunner().invoke(main, [*command, *asked])
        assert done.exit_code == 0, done.output
        assert [line for line in done.stderr.splitlines() if line.startswith("infer.")] == lines
    hits = (tmp_path / "film" / "hits.csv").read_text()
    assert [line.split(",")[1] for line in hits.splitlines()[1:]] == [str(f) for f, _ in written_hits(params)]
    metrics = json.loads((film.parent / "metrics.json").read_text())
    assert metrics["decode"]["infer"]["stride"] == 16


def test_windows_that_leave_frames_out_are_refused(params, checkpoint):
    for refused in (
        lambda: evaluate(params, checkpoint, stride=17),
        lambda: File2Hits(checkpoint, stride=17),
    ):
        with pytest.raises(
            UserError, match=r"stride 17: .*net.safetensors judges windows of 16 frames.*1 to 16"
        ):
            refused()


def test_a_row_of_a_study_that_takes_anothers_network_says_how_it_is_shown_windows(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other" / "best.safetensors"
    assert _inference(Run("a", 0, own, own / "run" / "best.safetensors", OWN)) == []
    assert _inference(Run("a", 0, own, other, OWN)) == ["--stride", "8", "--flip-average"]
    assert _inference(Run("a", 0, own, other, FILE)) == ["--stride", "16", "--no-flip-average"]
