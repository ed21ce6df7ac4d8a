"""Rows with annotated spans through every stage: films, catalog, store, clips, thresholds, figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.build import build
from pipeline.catalog import Row, read_catalog
from pipeline.impacts.dataset import make_dataset
from pipeline.params import ImpactsParams
from pipeline.store import open_store
from stages.catalog import main as catalog_stage
from ta2net.clips.loader import CPU, ClipLoader
from ta2net.evaluation.evaluate import evaluate
from ta2net.evaluation.matching import merged_events
from ta2net.evaluation.metrics_json import score_rows
from ta2net.evaluation.threshold import best_threshold, operating_points
from ta2net.hits.scoring import make_scorer
from ta2net.networks.built_in import network_path
from ta2net.networks.checkpoint import load_trained
from ta2net.params import Params, read

pytestmark = pytest.mark.slow

SPANS = "0-20 40-60"
KNOWN = {*range(21), *range(40, 61)}
ALL = set(range(1000))


class Bench:
    """Rendered films with one flow store; catalogs of them with other annotated spans."""

    def __init__(self, root: Path) -> None:
        self.root = root
        made = ImpactsParams(
            dir=str(root), train_count=3, eval_count=3, duration_s=2.8, size=(64, 64), workers=1
        )
        make_dataset(made)

    def label_files(self, folder: Path, spans: str | None, until: int) -> None:
        """The films' labels before frame ``until``, with the column ``annotated`` if there are spans."""
        for part in ("train", "eval"):
            with (self.root / f"{part}.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            for row in rows:
                labels = [label for label in row["sound_label"].split(",") if label and int(label) < until]
                row["sound_label"] = ",".join(labels)
                if spans is not None:
                    row["annotated"] = spans
            with (folder / f"{part}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)

    def params(self, name: str, spans: str | None = None, until: int = 1000, **source: Any) -> Params:
        """The parameters of a data set called ``name``, whose catalog is made."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        self.label_files(folder, spans, until)
        document = {
            "source": {
                "name": "csv",
                "videos": str(self.root / "videos"),
                "train_labels": str(folder / "train.csv"),
                "eval_labels": str(folder / "eval.csv"),
                "catalog": str(folder / "catalog.jsonl"),
                "report": str(folder / "report.json"),
                "val_fraction": 0.0,
                **source,
            },
            "flow": {"size": [64, 64]},
            "store": {"path": str(self.root / "flows.zarr"), "size": [32, 32]},
            "build": {"failures": str(folder / "failures.json"), "workers": 1},
            "clips": {"frames": 64, "batch": 3},
            "train": {"device": "cpu", "precision": "fp32", "threads": 1},
            "evaluation": {
                "dir": str(folder / "evaluation"),
                "metrics": str(folder / "metrics.json"),
                "pictures": 1,
                "bootstrap": 50,
            },
        }
        with (folder / "params.yaml").open("w") as file:
            YAML(typ="safe").dump(document, file)
        done = CliRunner().invoke(catalog_stage, ["--params", str(folder / "params.yaml")])
        assert done.exit_code == 0, done.output
        return read(str(folder / "params.yaml"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Params:
    """The films, annotated from end to end, and their flow store."""
    params = bench.params("whole")
    assert build(read_catalog(params.source.catalog), params).computed == 6
    return params


@pytest.fixture(scope="module")
def spanned(bench: Bench) -> Params:
    """The same with a gap and an end that nobody has annotated."""
    return bench.params("spanned", SPANS)


def rows_of(params: Params) -> dict[str, Row]:
    return {row.row_id: row for row in read_catalog(params.source.catalog)}


def hits_of(params: Params) -> list[tuple[str, int]]:
    with (Path(params.evaluation.dir) / "hits.csv").open(newline="") as file:
        return [(hit["row_id"], int(hit["frame"])) for hit in csv.DictReader(file)]


def test_labels_outside_are_dropped_and_told(whole: Params, spanned: Params) -> None:
    report = json.loads(Path(spanned.source.report).read_text())
    told = {one["video_id"]: one["message"] for one in report["repaired"]}
    outside = 0
    for row_id, row in rows_of(spanned).items():
        assert row.annotated == ((0, 21), (40, 61))
        labels = rows_of(whole)[row_id].labels
        assert row.labels == tuple(label for label in labels if label in KNOWN)
        dropped = [label for label in labels if label not in KNOWN]
        outside += bool(dropped)
        if dropped:
            words = f"labels outside the annotated spans ({SPANS}) dropped: {', '.join(map(str, dropped))}"
            assert told[row.video_id] == words
    assert len(told) == outside > 0


@pytest.mark.usefixtures("whole")
def test_the_store_takes_the_spans_without_new_flows(spanned: Params) -> None:
    store = open_store(spanned.store)
    before = store.fingerprints()
    summary = build(read_catalog(spanned.source.catalog), spanned)
    assert (summary.computed, summary.kept, summary.relabelled) == (0, 0, 6)
    assert store.fingerprints() == before
    assert {store.attributes(row_id).annotated for row_id in before} == {((0, 21), (40, 61))}
    assert store.validate(deep=True) == []


@pytest.mark.usefixtures("whole")
def test_clips_know_the_spans_alone_and_hold_a_label(spanned: Params) -> None:
    params = spanned.model_copy(update={"clips": spanned.clips.model_copy(update={"frames": 24})})
    rows = read_catalog(params.source.catalog).split("train").rows
    loader = ClipLoader(rows, open_store(params.store), params)
    unknown = 0
    for step in range(6):
        batch = loader.batch(step)
        for known, clip in zip(batch.known, loader.plan.clips(step), strict=True):
            frames = list(range(clip.start, clip.stop))[:: -1 if clip.backwards else 1]
            expected = [frame in KNOWN for frame in frames]
            assert known.tolist() == expected
            assert any(frame in clip.row.labels for frame in frames) == bool(clip.row.labels)
            unknown += expected.count(False)
    assert unknown > 0


def test_thresholds_are_chosen_on_annotated_frames(whole: Params, spanned: Params) -> None:
    """The candidates that thresholds are chosen from are those of the whole row, less the unknown ones."""
    trained = load_trained(network_path("impacts"), CPU)
    store = open_store(whole.store)
    rows = {name: read_catalog(p.source.catalog).rows for name, p in (("all", whole), ("some", spanned))}
    scored = {
        name: score_rows(each, store, make_scorer(trained.network, trained.params, CPU))
        for name, each in rows.items()
    }
    gone = 0
    for one, other in zip(scored["all"], scored["some"], strict=True):
        every = one.labelled().peaks(trained.params.peaks).frames.tolist()
        kept = other.labelled().peaks(trained.params.peaks).frames.tolist()
        assert kept == [frame for frame in every if frame in KNOWN]
        gone += len(every) - len(kept)
    assert gone > 0
    videos = [item.labelled() for item in scored["some"]]
    heights = np.concatenate([video.peaks(trained.params.peaks).heights for video in videos])
    assert len(operating_points(videos, trained.params.peaks)) == len(np.unique(heights))
    assert heights.min() <= best_threshold(videos, trained.params.peaks).threshold <= heights.max()


def test_hits_in_the_gap_are_not_counted(whole: Params, spanned: Params) -> None:
    everywhere, judged = evaluate(whole, "impacts"), evaluate(spanned, "impacts")
    found = hits_of(spanned)
    assert found == hits_of(whole), "hits are found wherever they are"
    labels = [row.labels for row in rows_of(whole).values() if row.split == "eval"]
    for metrics, known in ((everywhere, ALL), (judged, KNOWN)):
        assert metrics["event"]["predicted"] == sum(frame in known for _, frame in found)
        events = [merged_events([label for label in each if label in known]) for each in labels]
        assert metrics["event"]["labelled"] == metrics["data"]["labels"] == sum(map(len, events))
    assert judged["event"]["predicted"] < everywhere["event"]["predicted"]
    assert judged["event"]["labelled"] < everywhere["event"]["labelled"]
    assert judged["untrained"] != everywhere["untrained"]
    assert json.loads(Path(spanned.evaluation.metrics).read_text()) == judged
    assert (Path(spanned.evaluation.dir) / "curves").is_dir()


@pytest.mark.usefixtures("whole")
def test_one_number_is_the_span_that_begins_at_0(bench: Bench) -> None:
    """Labels of people who stop at frame 40: by the parameter, by the column, and without either."""
    number = bench.params("number", until=40, annotated_frames=40)
    column = bench.params("column", "0-39", until=40)
    neither = bench.params("neither", until=40)
    assert {row.annotated for row in rows_of(column).values()} == {((0, 40),)}
    assert Path(number.source.catalog).read_bytes() == Path(column.source.catalog).read_bytes()
    one, same, other = (evaluate(params, "impacts") for params in (number, column, neither))
    assert one == same
    assert one["event"]["labelled"] == other["event"]["labelled"]
    assert one["event"]["predicted"] < other["event"]["predicted"]
