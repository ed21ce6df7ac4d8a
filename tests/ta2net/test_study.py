"""Studies: rows of differences times seeds, run as the pipeline's own stages, and what is made of them."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.errors import ParamsError
from stages.study import study as command
from ta2net.params import Params, overlay, parse
from ta2net.studies.study import FIGURES, Study, collected, mean_and_spread, read_study, table

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TABLE_4 = ["frames", "motion", "inflection", "aggregation", "contrast", "smoothness"]


def params_of(study: Study, row: str) -> Params:
    return parse(overlay(overlay({}, study.base), study.rows[row]), row)


def test_the_ablation_is_table_4():
    """Every row switches on one thing more than the row before; the last is the default network."""
    study = read_study(ROOT / "configs" / "studies" / "ablation.yaml")
    assert list(study.rows) == TABLE_4
    assert len(study.seeds) == 3

    def switches(params: Params) -> list[bool]:
        model, loss = params.method, params.method.loss
        on = [model.motion, model.inflection, model.aggregation.attention]
        return [*on, loss.contrast > 0, loss.smoothness > 0]

    steps = [switches(params_of(study, row)) for row in TABLE_4]
    assert [sum(step) for step in steps] == [0, 1, 2, 3, 4, 5]
    for before, after in pairwise(steps):
        assert all(b <= a for b, a in zip(before, after, strict=True))
    last, default = params_of(study, "smoothness"), Params()
    plain = default.method.fusion.model_copy(update={"offset": False})  # no part of the paper's table
    loss = default.method.loss.model_copy(update={"smoothness": 0.002})  # the paper's weights
    assert last.method == default.method.model_copy(update={"fusion": plain, "loss": loss})


def test_every_extra_differs_from_the_default_in_one_section():
    study = read_study(ROOT / "configs" / "studies" / "extras.yaml")
    assert [len(row) for row in study.rows.values()] == [0] + [1] * (len(study.rows) - 1)
    assert all(list(study.rows[row]) == ["infer"] for row in study.trained_as)
    start = params_of(study, "default")
    assert all(params_of(study, row) != start for row in list(study.rows)[1:])


def test_mean_and_spread_by_hand():
    assert mean_and_spread([1.0, 2.0, 4.0]) == pytest.approx((7 / 3, math.sqrt(7 / 3)))
    assert mean_and_spread([0.5]) == (0.5, 0.0)
    assert mean_and_spread([None, None]) is None


@pytest.fixture
def small_study(tmp_path, toy_params) -> tuple[Path, Path]:
    """Two rows with one seed on the toy store: (study file, params file)."""
    base, study = tmp_path / "params.yaml", tmp_path / "study.yaml"
    small = toy_params.model_copy(
        update={"train": toy_params.train.model_copy(update={"steps": 4, "validate_every": 4})}
    )
    base.write_text(yaml.safe_dump(small.model_dump(mode="json")))
    rows = {"slow": {"optim": {"lr": 1.0e-4}}, "fast": {"optim": {"lr": 1.0e-2}}}
    study.write_text(yaml.safe_dump({"title": "rates", "seeds": [3], "rows": rows}))
    return study, base


def run(study: Path, base: Path, tmp_path: Path):
    arguments = ["--study", str(study), "--params", str(base), "--jobs", "2"]
    arguments += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    return CliRunner().invoke(command, arguments)


def test_a_study_runs_and_its_table_holds_the_runs_own_figures(small_study, tmp_path):
    result = run(*small_study, tmp_path)
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for row in ("slow", "fast"):
        folder = tmp_path / "work" / row / "3"
        metrics = json.loads((folder / "metrics.json").read_text())
        expected = {name: [metrics[section][key]] for name, (section, key) in FIGURES.items()}
        assert results["rows"][row] == expected
        written = yaml.safe_load((folder / "params.yaml").read_text())
        assert written["train"]["seed"] == 3
        assert written["optim"]["lr"] == {"slow": 1e-4, "fast": 1e-2}[row]
    assert f"| fast | {results['rows']['fast']['f1_at_1'][0]:.3f} ± 0.000" in result.output
    assert (tmp_path / "out" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_fails_is_named_and_the_others_go_on(small_study, tmp_path):
    study, base = small_study
    document = yaml.safe_load(study.read_text())
    document["rows"]["slow"] = {"source": {"catalog": str(tmp_path / "none.jsonl")}}
    study.write_text(yaml.safe_dump(document))
    result = run(study, base, tmp_path)
    assert result.exit_code == 2
    assert "1 of 2 runs failed" in result.output
    assert "slow, seed 3: stages.train ended with exit code 2; see" in result.output
    assert "none.jsonl" in (tmp_path / "work" / "slow" / "3" / "log.txt").read_text()
    assert (tmp_path / "work" / "fast" / "3" / "metrics.json").is_file()


def test_a_wrong_row_is_refused_before_anything_runs(small_study, tmp_path):
    study, base = small_study
    document = yaml.safe_load(study.read_text())
    document["rows"]["fast"] = {"optim": {"rate": 1.0}}
    study.write_text(yaml.safe_dump(document))
    result = run(study, base, tmp_path)
    assert result.exit_code == 2
    assert "row fast of the study" in result.output
    assert "optim.rate: unknown key" in result.output
    assert not list(tmp_path.glob("work/*/3/log.txt"))


def test_a_study_file_with_an_unknown_key_is_refused(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("title: x\nseeds: [0]\nrows: {a: {}}\nseed: 1\n")
    with pytest.raises(ParamsError, match="seed: unknown key"):
        read_study(file)


def test_rows_without_a_figure_show_a_dash():
    study = Study(title="t", seeds=(0,), rows={"a": {}})
    document = collected(study, [])
    assert document["rows"]["a"]["f1_at_1"] == []
    assert "| a | - | - | - | - |" in table(document)
