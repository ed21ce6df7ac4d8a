"""The kinds of work that are killed, the data set they start from, and how their results are compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bad_input.materials import write_film, write_params
from tests.faults.outputs import Bucket, Files, Output
from tests.program import Running, run, start

CLIPS, FRAMES, WORKERS = 8, 24, 2
IMPACTS = {"dir": "impacts", "train_count": 4, "eval_count": 2, "duration_s": 1.0, "size": [64, 64]}
LOCAL = {"scheduler": "local", "workers": WORKERS, "failures": "failures.json"}
THREADS = {"scheduler": "threads", "workers": WORKERS, "failures": "failures.json"}
TRAIN = {"steps": 12, "validate_every": 4, "checkpoint_every": 2, "dir": "run"}

BUCKET = Bucket()

Begin = Callable[[Path], list[Running]]
Victims = Callable[[list[Running]], list[int]]


def params_of(folder: Path, url: str | None = None, **build: Any) -> None:
    """The data set's parameters with these entries of ``build``, and a store elsewhere."""
    write_params(folder, impacts=IMPACTS, build=build or THREADS, train=TRAIN, store={"url": url})


def params_in_bucket(folder: Path) -> None:
    """The same for the store in the folder's bucket."""
    params_of(folder, BUCKET.url(folder))


@dataclass(frozen=True)
class Kind:
    """A kind of work and of kill.

    Attributes:
        name: what is killed.
        output: what it makes; that is taken away before it.
        begin: starts it in a folder; the first process is the one whose end is waited for.
        victims: of the processes at work, those to be killed; none: too early or too late.
        again: the command that is run until the end afterwards.
        settle: writes the parameters with which it is.
        build: whether the output is a flow store, whose rows are counted.
    """

    name: str
    output: Output
    begin: Begin
    victims: Victims
    again: tuple[str, ...]
    settle: Callable[[Path], None] = params_of
    build: bool = False


def make_base(folder: Path) -> Path:
    """Short films with labels, a rendered data set, and all that the program makes of them, undisturbed."""
    (folder / "videos").mkdir(parents=True)
    for seed in range(CLIPS):
        write_film(folder / "videos" / f"film{seed}.mp4", frames=FRAMES, seed=seed)
    lines = [f'film{seed},"{5 + seed},{15 + seed}",ball\n' for seed in range(CLIPS)]
    for name, part in (("train.csv", lines[:6]), ("eval.csv", lines[6:])):
        (folder / name).write_text("video_id,sound_label,class\n" + "".join(part))
    params_of(folder)
    for command in (("catalog",), ("flows",), ("train",), ("evaluate",)):
        must_succeed(command, folder)
    impacts_only(folder)
    must_succeed(("impacts", "--params", "impacts.yaml"), folder)
    return folder


def must_succeed(command: tuple[str, ...], folder: Path) -> str:
    """Run a command and return what it says; RuntimeError where it fails."""
    outcome = run(command, folder)
    if outcome.code != 0:
        raise RuntimeError(f"{' '.join(command)} in {folder}: exit code {outcome.code}\n{outcome.said}")
    return outcome.said


def impacts_only(folder: Path, workers: int = 1) -> None:
    """``impacts.yaml``: renders the small data set with so many processes."""
    document = {"impacts": {**IMPACTS, "workers": workers}}
    (folder / "impacts.yaml").write_text(json.dumps(document))


def begin_build(scheduler: dict[str, Any]) -> Begin:
    """Start the build."""

    def begin(folder: Path) -> list[Running]:
        params_of(folder, **scheduler)
        return [start(("flows",), folder)]

    return begin


def begin_in_bucket(folder: Path) -> list[Running]:
    """Start a build into the folder's bucket."""
    params_in_bucket(folder)
    return [start(("flows",), folder)]


def begin_on_cluster(folder: Path) -> list[Running]:
    """Start a Dask scheduler and two workers in processes of their own, and a build that uses them."""
    for name in ("scheduler", "worker"):
        (folder / name).mkdir(exist_ok=True)
    address_file = folder / "address.json"
    address_file.unlink(missing_ok=True)
    module = "tests.faults.cluster"
    scheduler = start(("python", module, "scheduler", str(address_file)), folder / "scheduler")
    worker = start(("python", module, "worker", str(address_file)), folder / "worker")
    params_of(folder, **{**LOCAL, "scheduler": wait_for_address(address_file, scheduler)})
    return [start(("flows",), folder), scheduler, worker]


def wait_for_address(file: Path, scheduler: Running) -> str:
    """The address that the cluster's worker writes once it is ready."""
    while not file.with_suffix(".ready").exists():
        scheduler.process.join(0.02)
        if scheduler.process.exitcode is not None:
            raise RuntimeError(f"no Dask scheduler: {scheduler.outcome().said}")
    return str(json.loads(file.read_text())["address"])


def begin_simply(*command: str) -> Begin:
    """Start a command with the data set's own parameters."""
    return lambda folder: [start(command, folder)]


def begin_impacts(workers: int) -> Begin:
    """Start rendering."""

    def begin(folder: Path) -> list[Running]:
        impacts_only(folder, workers)
        return [start(("impacts", "--params", "impacts.yaml"), folder)]

    return begin


def everything(running: list[Running]) -> list[int]:
    """The first process and all of its session."""
    session = running[0].process.pid
    return [process.pid for process in psutil.process_iter() if _session(process.pid) == session]


def one_child(words: str) -> Victims:
    """A child process of the first one with these words on its command line."""

    def victims(running: list[Running]) -> list[int]:
        try:
            children = psutil.Process(running[0].process.pid).children(recursive=True)
            return [child.pid for child in children if words in " ".join(child.cmdline())][:1]
        except psutil.NoSuchProcess:
            return []

    return victims


def the_scheduler(running: list[Running]) -> list[int]:
    """The Dask scheduler, the second of the processes."""
    return [running[1].process.pid]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


STORE = Files(("flows.zarr", "failures.json"))
EVALUATION = Files(("evaluation", "metrics.json"))
RENDERED = Files(("impacts",))

RENDER = ("impacts", "--params", "impacts.yaml")
OF_A_ROW = one_child("pipeline.build.row_process.child")

KINDS = (
    Kind("build in threads", STORE, begin_build(THREADS), everything, ("flows",), build=True),
    Kind("build in processes", STORE, begin_build(LOCAL), everything, ("flows",), build=True),
    Kind(
        "build into a bucket", BUCKET, begin_in_bucket, everything, ("flows",), params_in_bucket, build=True
    ),
    Kind("process of a row", STORE, begin_build(LOCAL), OF_A_ROW, ("flows",), build=True),
    Kind("scheduler", STORE, begin_on_cluster, the_scheduler, ("flows",), build=True),
    Kind("train", Files(("run",)), begin_simply("train"), everything, ("train",)),
    Kind("evaluate", EVALUATION, begin_simply("evaluate"), everything, ("evaluate",)),
    Kind("impacts", RENDERED, begin_impacts(1), everything, RENDER),
    Kind("process of impacts", RENDERED, begin_impacts(2), one_child("multiprocessing"), RENDER),
)
