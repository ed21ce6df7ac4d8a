"""Many rows, many machines: waves of jobs, retries, parts of a catalog, other people's schedulers."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time

import dask
import pytest
from distributed import Client, LocalCluster

from pipeline.build import build
from pipeline.build.plan import in_part, plan_of
from pipeline.build.retries import may_pass, with_retries
from pipeline.build.workers import AHEAD, run_jobs
from pipeline.catalog import Catalog
from pipeline.errors import StorageError, UserError, VideoError
from pipeline.store import FlowStore, create_store


@pytest.fixture
def two_workers():
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            dashboard_address=None,
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


AT_WORK, MAY_END = threading.Semaphore(0), threading.Semaphore(0)


def ten_times_when_told(number):
    AT_WORK.release()
    MAY_END.acquire()
    return 10 * number


def fail_over_one(number):
    if number == 1:
        raise KeyError("one")
    return number


def test_jobs_are_taken_as_they_are_done_and_workers_never_wait(two_workers):
    taken, results = [], {}

    def jobs():
        for number in range(20):
            taken.append(number)
            yield number

    def collect():
        results.update(run_jobs(two_workers, ten_times_when_told, jobs()))

    collector = threading.Thread(target=collect)
    collector.start()
    for number in range(2):
        assert AT_WORK.acquire(timeout=300), number
    for finished in range(18):
        # two are at work, and for whichever ends first the next one has been taken and lies ready
        until(lambda finished=finished: len(taken) == min(20, finished + 2 * AHEAD))
        MAY_END.release()
        assert AT_WORK.acquire(timeout=300)
    MAY_END.release(2)
    collector.join(timeout=300)
    assert results == {number: 10 * number for number in range(20)}
    until(lambda: not two_workers.futures)  # neither here nor in the scheduler anything stays


def test_a_tasks_error_is_its_jobs_result(two_workers):
    results = dict(run_jobs(two_workers, fail_over_one, range(3)))
    assert (results[0], results[2]) == (0, 2)
    assert isinstance(results[1], KeyError)
    assert list(run_jobs(two_workers, fail_over_one, [])) == []


class EndpointConnectionError(Exception):
    """As object storage libraries have them: no OSError."""

    __module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EIO, "input/output error"), True),
        (OSError("no number"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (StorageError("no answer"), True),
        (EndpointConnectionError(), True),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (PermissionError(errno.EACCES, "closed"), False),
        (OSError(errno.ENOSPC, "full"), False),
        (VideoError("bad"), False),
        (UserError("bad"), False),
        (ValueError("bad"), False),
        (MemoryError(), False),
    ],
)
def test_what_may_pass_is_tried_again(monkeypatch, error, passes):
    waits, tried = [], []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)

    def work():
        tried.append(1)
        raise error

    assert may_pass(error) is passes
    with pytest.raises(type(error)) as caught:
        with_retries(work, 3)
    assert caught.value is error
    assert len(tried) == (4 if passes else 1)
    assert getattr(error, "__notes__", []) == (["tried 4 times"] if passes else [])
    assert len(waits) == len(tried) - 1
    for wait, longest in zip(waits, (1, 2, 4), strict=False):
        assert longest / 2 <= wait <= longest


def test_pauses_grow_to_a_minute(monkeypatch):
    waits = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)

    def work():
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        with_retries(work, 9)
    assert len(set(waits)) == len(waits) == 9
    for wait, longest in zip(waits, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert longest / 2 <= wait <= longest


def test_an_error_that_lasts_ends_the_tries_of_one_that_passed(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    outcomes = iter([ConnectionError(), VideoError("bad"), None])

    def work():
        raise next(outcomes)

    with pytest.raises(VideoError) as caught:
        with_retries(work, 3)
    assert caught.value.__notes__ == ["tried 2 times"]


def test_success_after_trouble(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    outcomes = iter([ConnectionError(), OSError(errno.EIO, "x"), None])

    def work():
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return "done"

    assert with_retries(work, 3) == "done"


def test_a_row_survives_trouble_with_its_file(catalog, params, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    from pipeline.build import row

    trouble = {"v1.mp4": 2, "v2.mp4": 99}
    sha256_of = row.sha256_of

    def flaky(path):
        name = os.path.basename(path)  # noqa: PTH119
        trouble[name] = trouble.get(name, 0) - 1
        if trouble[name] >= 0:
            raise OSError(errno.EIO, "input/output error")
        return sha256_of(path)

    monkeypatch.setattr(row, "sha256_of", flaky)
    with pytest.raises(UserError, match="1 of 3 rows failed"):
        build(catalog, params)
    assert FlowStore(params.store.path).row_ids() == ["v0", "v1"]
    with open(params.build.failures, encoding="utf-8") as handle:  # noqa: PTH123
        (failure,) = json.load(handle)
    assert failure["reason"].endswith("input/output error; tried 4 times")


def test_every_row_is_in_one_part():
    names = [f"impacts_train_{number:04}" for number in range(600)]
    parts = [[name for name in names if in_part(name, (i, 3))] for i in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == names
    assert all(150 < len(part) < 250 for part in parts)
    assert all(in_part(name, (1, 1)) for name in names)
    # `printf v0 | sha256sum` and so on: the 16th digits of v0, v1, v2 are odd, even, odd
    assert [in_part(name, (1, 2)) for name in ("v0", "v1", "v2")] == [False, True, False]


def test_parts_leave_each_other_alone_and_the_whole_completes(builds, catalog, params, videos):
    old = builds.row_of(videos[0], "old")
    bad = videos[1].parent / "bad.mp4"
    bad.write_bytes(b"no video")
    build(Catalog((old,)), params)
    rows = Catalog((*catalog.rows, builds.row_of(bad)))
    mine = [row for row in rows if in_part(row.row_id, (2, 2))]
    summary = build(rows, params, part=(2, 2))
    assert builds.counts(summary)[:4] == (len([row for row in mine if row.row_id != "bad"]), 0, 0, 0)
    assert "run once without --part" in str(summary)
    # what is no longer in the catalog is still there; rows of part 1 are not
    assert FlowStore(params.store.path).row_ids() == sorted(
        ["old", *(row.row_id for row in mine if row.row_id != "bad")]
    )
    build(rows, params, part=(1, 2))
    failed = [
        failure["row_id"]
        for i in (1, 2)
        for failure in json.loads((videos[0].parent / f"failures-{i}-of-2.json").read_text())
    ]
    assert failed == ["bad"]
    with pytest.raises(UserError, match="1 of 4 rows failed"):
        build(rows, params)
    assert FlowStore(params.store.path).row_ids() == ["v0", "v1", "v2"]
    assert builds.counts(build(catalog, params)) == (0, 3, 0, 0, 0)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_no_such_part(text):
    from click.testing import CliRunner

    from stages.flows import main

    done = CliRunner().invoke(main, ["--part", text])
    assert done.exit_code == 2
    assert "is not a part; write I/N" in done.output


def test_the_plan_reads_each_document_once_and_keeps_none(catalog, params, monkeypatch):
    build(catalog, params)
    store = FlowStore(params.store.path)
    asked = []
    documents = FlowStore.documents
    monkeypatch.setattr(FlowStore, "documents", lambda self: asked.append(1) or documents(self))
    monkeypatch.setattr(FlowStore, "document", None)
    plan = plan_of(catalog, store, lambda row: "other" if row.row_id == "v1" else row.sha256, None)
    assert asked == [1]
    assert [row.row_id for row in plan.stale] == ["v0", "v1", "v2"]
    assert plan.kept == 0


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.dask_{arguments[0]}", *arguments[1:], "--no-dashboard"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


NEVER_DONE = """
import time
import pipeline.video.decode
open_video = pipeline.video.decode.open_video
def endless(path, *options):
    time.sleep(1000 * ("endless" in path))
    return open_video(path, *options)
pipeline.video.decode.open_video = endless
"""


@pytest.mark.slow
def test_a_lost_scheduler_costs_no_finished_row(builds, tmp_path):
    """Kill the scheduler in the middle of a build: the build ends and says so, the next one goes on."""
    long, endless = (
        builds.write_video(tmp_path / name, n=n) for name, n in (("a.mp4", 15), ("endless.mp4", 14))
    )
    catalog = Catalog((builds.row_of(long, n=15), builds.row_of(endless)))
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(NEVER_DONE)
    there, processes = tmp_path / "scheduler.json", []
    file = ("--scheduler-file", str(there))
    try:
        processes.append(start("scheduler", *file, "--host", "127.0.0.1", "--port", "0"))
        patched = {"PYTHONPATH": str(tmp_path / "patch")}
        processes.append(start("worker", *file, "--nthreads", "1", "--no-nanny", **patched))
        until(lambda: there.exists() and there.read_text().rstrip().endswith("}"))
        address = json.loads(there.read_text())["address"]
        params = builds.make_params(tmp_path, build__scheduler=address)
        with Client(address) as client:
            client.wait_for_workers(1, timeout=120)
        store = create_store(params.store.path)
        killer = threading.Thread(
            target=lambda: (until(lambda: store.row_ids() == ["a"]), processes[0].kill())
        )
        killer.start()
        lost = pytest.raises(UserError, match="scheduler was lost; all finished rows are in the store")
        with dask.config.set({"distributed.comm.timeouts.connect": "2s"}), lost:
            build(catalog, params)
        killer.join()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    summary = build(catalog, builds.make_params(tmp_path))
    assert (summary.computed, summary.kept) == (1, 1)
    assert store.validate(deep=True) == []
