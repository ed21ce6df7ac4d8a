"""Many runs that differ in a few parameters, several seeds each: a table with mean and spread, a plot."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from tqdm import tqdm

from pipeline.errors import UserError
from pipeline.files.atomic import write_json, write_text
from pipeline.params import Count, Section, parse_params, read_yaml
from ta2net.networks.checkpoint import BEST
from ta2net.params import InferParams, overlay, parse, write_params
from ta2net.studies.plots import save_study

FIGURES = {
    "f1_at_1": ("event", "f1_at_1"),
    "f1_at_2": ("event", "f1_at_2"),
    "paper_f1": ("paper", "f1"),
    "pointing_game": ("where", "pointing_game"),
}
"""What the table shows: its name -> where it stands in metrics.json."""


class Study(Section):
    """A study's file: ``rows`` are differences laid over ``base``, which is laid over ``params.yaml``.

    Attributes:
        trained_as: row -> the row whose networks it takes, because it differs from it at inference only.
    """

    title: str
    seeds: Annotated[tuple[Count, ...], Field(strict=False)]
    base: dict[str, Any] = Field(default_factory=dict)
    rows: dict[str, dict[str, Any]]
    trained_as: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One row with one seed, where it lies, and the network it is evaluated with."""

    row: str
    seed: int
    folder: Path
    checkpoint: Path
    infer: InferParams

    @property
    def trains(self) -> bool:
        """Whether the network is its own."""
        return self.folder in self.checkpoint.parents

    @property
    def metrics(self) -> Path:
        """Its metrics.json."""
        return self.folder / "metrics.json"


def read_study(path: str | Path) -> Study:
    """Read and check a study's file.

    Raises:
        ParamsError: the file is missing or wrong.
    """
    study = parse_params(read_yaml(path), Study, str(path))
    if not study.rows or not study.seeds:
        raise UserError(f"{path}: a study needs at least one row and one seed")
    for row, other in study.trained_as.items():
        if row not in study.rows or other not in study.rows or other in study.trained_as:
            raise UserError(f"{path}: trained_as.{row}: {other}: both must be rows, {other} a trained one")
    return study


def run_study(path: Path, base: Path, work: Path, out: Path, jobs: int) -> list[Run]:
    """Train and evaluate every row with every seed; write ``results.json``, ``table.md``, ``plot.png``.

    Runs that were stopped go on where they were; finished ones are only evaluated again. A run that fails
    does not stop the others.

    Args:
        path: the study's file.
        base: the parameter file it starts from.
        work: a folder for the runs, ``<row>/<seed>``.
        out: a folder for what was found.
        jobs: runs at a time; 0 = one per CPU core.

    Raises:
        UserError: the study's file or parameters are wrong, or runs have failed (which, and their logs).
    """
    study = read_study(path)
    jobs = jobs or os.cpu_count() or 1
    threads = max(1, (os.cpu_count() or 1) // jobs)
    start = read_yaml(base) or {}
    runs = [_prepared(study, start, row, seed, work, threads) for row in study.rows for seed in study.seeds]
    failed = []
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), desc=path.stem, disable=None) as bar:
        # a network of another row must be there before it can be taken
        for trains in (True, False):
            now = [run for run in runs if run.trains == trains]
            for run, why in zip(now, pool.map(_execute, now), strict=True):
                bar.update()
                failed += [f"  {run.row}, seed {run.seed}: {why}"] if why else []
    if failed:
        raise UserError("\n".join([f"{len(failed)} of {len(runs)} runs failed:", *failed]))
    results = collected(study, runs)
    write_json(out / "results.json", results)
    write_text(out / "table.md", table(results))
    save_study(results, tuple(FIGURES)[:2], out / "plot.png")
    return runs


def _prepared(study: Study, start: dict[str, Any], row: str, seed: int, work: Path, threads: int) -> Run:
    """Check and write the parameters of one run: all of them, before the first one starts."""
    folder = work / row / str(seed)
    document = overlay(overlay(start, study.base), study.rows[row])
    places = {
        "train": {"seed": seed, "threads": threads, "dir": str(folder / "run")},
        "evaluation": {
            "dir": str(folder / "evaluation"),
            "metrics": str(folder / "metrics.json"),
            "pictures": 0,
        },
    }
    params = parse(overlay(document, places), f"row {row} of the study")
    write_params(params, folder / "params.yaml")
    checkpoint = work / study.trained_as.get(row, row) / str(seed) / "run" / BEST
    return Run(row, seed, folder, checkpoint, params.infer)


def _execute(run: Run) -> str | None:
    """Train and evaluate; None, or why it failed."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # runs side by side must not spin
    log = run.folder / "log.txt"
    steps = [["stages.train"]] if run.trains else []
    steps.append(["stages.evaluate", "--checkpoint", str(run.checkpoint), *_inference(run)])
    with log.open("w", encoding="utf-8") as stream:
        for module, *more in steps:
            command = [sys.executable, "-m", module, "--params", str(run.folder / "params.yaml"), *more]
            done = subprocess.run(command, stdout=stream, stderr=stream, env=environment, check=False)
            if done.returncode:
                return f"{module} ended with exit code {done.returncode}; see {log}"
    return None


def _inference(run: Run) -> list[str]:
    """Options for a network of another row, which would else be shown windows as that row says."""
    if run.trains:
        return []
    flip = "--flip-average" if run.infer.flip_average else "--no-flip-average"
    return ["--stride", str(run.infer.stride), flip]


def collected(study: Study, runs: Sequence[Run]) -> dict[str, Any]:
    """Figures of all runs: ``{title, seeds, rows: {row: {figure: [per seed]}}}``."""
    rows: dict[str, dict[str, list[float | None]]] = {
        row: {name: [] for name in FIGURES} for row in study.rows
    }
    for run in runs:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        for name, (section, key) in FIGURES.items():
            rows[run.row][name].append(metrics[section][key])
    return {"title": study.title, "seeds": list(study.seeds), "rows": rows}


def mean_and_spread(values: Iterable[float | None]) -> tuple[float, float] | None:
    """Mean and sample standard deviation (0 for one value); None where a value is missing."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else 0.0


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table: mean and standard deviation over the seeds."""
    names = list(FIGURES)
    lines = ["| row | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row, figures in results["rows"].items():
        cells = []
        for name in names:
            pair = mean_and_spread(figures[name])
            cells.append("-" if pair is None else f"{pair[0]:.3f} ± {pair[1]:.3f}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    seeds = ", ".join(map(str, results["seeds"]))
    return "\n".join([*lines, "", f"Mean ± standard deviation over seeds {seeds}.", ""])
