"""``python -m tests.faults``: kills by the hundred and the table of bad inputs; benchmarks/faults.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from tqdm import tqdm

from pipeline.files.atomic import write_json
from tests.bad_input.case import UNSEEMLY, wrong
from tests.bad_input.materials import copy_of
from tests.bad_input.materials import make_base as make_good
from tests.bad_input.table import CASES
from tests.faults.kills import Killed, kill_once
from tests.faults.kinds import KINDS, WORKERS, make_base
from tests.object_storage import s3_server
from tests.program import run

SHARES = {
    "build in threads": 20,
    "build in processes": 12,
    "build into a bucket": 8,
    "process of a row": 8,
    "scheduler": 6,
    "train": 16,
    "evaluate": 10,
    "impacts": 12,
    "process of impacts": 8,
}
"""Of a hundred kills: the kinds that take long come less often."""


def planned(count: int, seed: int) -> Iterator[tuple[Any, int]]:
    """(kind, seed) of each kill, the kinds in turns and in proportion to ``SHARES``."""
    kinds = {kind.name: kind for kind in KINDS}
    done = dict.fromkeys(SHARES, 0)
    for number in range(count):
        name = min(SHARES, key=lambda name: ((done[name] + 1) / SHARES[name], name))
        done[name] += 1
        yield kinds[name], seed + number


def kills(count: int, seed: int, work: Path, record: Path) -> dict[str, Any]:
    """Do the kills that ``record``, a file with a line for each, does not hold yet; the figures of all."""
    done = {(one["kind"], one["seed"]): one for one in _lines(record)}
    base = make_base(work / "base")
    with tqdm(list(planned(count, seed)), desc="kills", unit="kill", disable=None) as bar:
        for number, (kind, its_seed) in enumerate(bar):
            if (kind.name, its_seed) in done:
                continue
            killed = kill_once(kind, its_seed, base, work / f"kill{number}", WORKERS)
            if killed.trouble:
                click.echo(f"{kind.name}, seed {its_seed}: {'; '.join(killed.trouble)[:600]}", err=True)
            done[kind.name, its_seed] = _line(killed)
            with record.open("a") as file:
                file.write(json.dumps(_line(killed)) + "\n")
    wanted = [done[kind.name, its_seed] for kind, its_seed in planned(count, seed)]
    return {
        "kills.tried": len(wanted),
        "kills.identical": sum(one["identical"] for one in wanted),
        "kills.rows_recomputed_max": max(one["rows_recomputed"] for one in wanted),
        "kills.in_flight_max": max(one["in_flight"] for one in wanted),
        "kills.by_kind": {name: sum(one["kind"] == name for one in wanted) for name in SHARES},
    }


def bad_inputs(work: Path) -> dict[str, int]:
    """Run the table; the figures."""
    base = make_good(work / "good")
    as_expected = tracebacks = 0
    for number, case in enumerate(tqdm(CASES, desc="bad inputs", unit="case", disable=None)):
        folder = copy_of(base, work / f"case{number}")
        case.make(folder)
        outcome = run(case.command, folder)
        found = wrong(case, outcome, folder)
        if found:
            click.echo(f"{case.name}: {'; '.join(found)}\n{outcome.said[-1000:]}", err=True)
        as_expected += not found
        tracebacks += bool(UNSEEMLY.search(outcome.said))
    return {
        "bad_input.tried": len(CASES),
        "bad_input.as_expected": as_expected,
        "bad_input.tracebacks": tracebacks,
    }


@click.command()
@click.option("--kills", "count", default=100, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True, help="Of the first kill; the next ones count up.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder to keep; go on there after a stop.")
@click.option("--out", default="benchmarks/faults.json", show_default=True, type=click.Path(path_type=Path))
def main(count: int, seed: int, work: Path | None, out: Path) -> None:
    """Kill by seed, run again, compare byte for byte; then give the program everything that is broken.

    \b
    Example:
      python -m tests.faults --kills 10 --out /tmp/faults.json
    """
    with _folder(work) as folder, s3_server() as environment:
        os.environ.update(environment)
        figures = {
            **kills(count, seed, folder / "kills", folder / "kills.jsonl"),
            **bad_inputs(folder / "bad"),
        }
    write_json(out, figures)
    click.echo(json.dumps(figures, indent=2))
    click.echo(f"written: {out}")
    if figures["kills.identical"] < count or figures["bad_input.as_expected"] < len(CASES):
        raise SystemExit(1)


@contextmanager
def _folder(work: Path | None) -> Iterator[Path]:
    """A folder for the runs: the one that is asked for, without results of a stopped run, or one for now."""
    if work is None:
        with TemporaryDirectory(prefix="ta2net-faults-") as name:
            yield Path(name)
        return
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work) as name:
        (Path(name) / "kills.jsonl").symlink_to((work / "kills.jsonl").absolute())
        yield Path(name)


def _line(killed: Killed) -> dict[str, Any]:
    return {
        "kind": killed.kind,
        "seed": killed.seed,
        "identical": killed.identical,
        "rows_recomputed": killed.rows_recomputed,
        "in_flight": killed.in_flight,
        "trouble": list(killed.trouble),
    }


def _lines(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


if __name__ == "__main__":
    main()
