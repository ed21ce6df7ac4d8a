"""Rows in processes of their own: crashes, hangs and memory cost the row they happen in and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cloudpickle
import psutil
import pytest

from pipeline.build import build
from pipeline.build.gpus import gpu_of_slot, wanted_gpus
from pipeline.build.jobs import has_own_process, row_timeout_s
from pipeline.build.row_process.apart import LimitError, Limits, ProcessDiedError, RowProcess
from pipeline.catalog import Catalog
from pipeline.errors import UserError
from pipeline.params import BuildParams, FlowParams
from pipeline.store import FlowStore

pytestmark = [pytest.mark.slow, pytest.mark.kill]

NO_LIMITS = Limits(None, None)


@pytest.fixture(scope="module", autouse=True)
def _by_value():
    """The children cannot import this file."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def process():
    one = RowProcess({"COLOUR": "blue"})
    yield one
    one.close()


def who(colour):
    return os.getpid(), os.environ["COLOUR"] == colour


def die(name):
    os.kill(os.getpid(), getattr(signal, name))


def hang(_):
    while True:
        time.sleep(1)


def hog(megabytes):
    taken = bytearray(megabytes * 1_000_000)
    taken[:: 4096 // 2] = bytes(len(taken[:: 4096 // 2])).replace(b"\0", b"\1")
    hang(taken)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_process_does_task_after_task(process):
    first, second = process.run(who, "blue", NO_LIMITS), process.run(who, "red", NO_LIMITS)
    assert first[0] == second[0] != os.getpid()
    assert (first[1], second[1]) == (True, False)


def test_after_a_crash_comes_a_new_process(process):
    pid, _ = process.run(who, "blue", NO_LIMITS)
    with pytest.raises(ProcessDiedError, match=r"SIGSEGV .a crash in a decoder"):
        process.run(die, "SIGSEGV", NO_LIMITS)
    assert process.run(who, "blue", NO_LIMITS)[0] != pid


def test_limits_stop_it_and_say_which_they_were(process):
    pid, _ = process.run(who, "blue", NO_LIMITS)
    with pytest.raises(LimitError, match=r"after 0\.5 s.*build\.row_timeout_s"):
        process.run(hang, None, Limits(0.5, None))
    assert gone(pid)
    with pytest.raises(LimitError, match=r"build\.row_memory_mb allows 400"):
        process.run(hog, 450, Limits(None, 400_000_000))
    # within the limits nothing happens
    assert process.run(who, "blue", Limits(60.0, 400_000_000))[1]


def test_killed_from_outside_or_closed(process):
    pid, _ = process.run(who, "blue", NO_LIMITS)
    killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(.3); os.kill({pid}, 9)"])
    with pytest.raises(ProcessDiedError, match=r"SIGKILL .out of memory"):
        process.run(hang, None, NO_LIMITS)
    killer.wait()
    process.close()
    with pytest.raises(ProcessDiedError, match="stopped"):
        process.run(who, "blue", NO_LIMITS)


def test_an_idle_one_retires_and_the_next_task_starts_another():
    process = RowProcess({"COLOUR": "blue"}, idle_s=0.05)
    try:
        pid, _ = process.run(who, "blue", NO_LIMITS)
        until(lambda: gone(pid))
        assert process.run(who, "blue", NO_LIMITS)[0] != pid
    finally:
        process.close()


ORPHAN = """
import os, sys, threading, time
sys.path.insert(0, {root!r})
from pipeline.build.row_process.apart import Limits, RowProcess
process = RowProcess({{}})
print(process.run(os.getpgid, 0, Limits(None, None)), process._process.pid, flush=True)
threading.Thread(target=process.run, args=(time.sleep, 1000, Limits(None, None))).start()
time.sleep(0.2)
print("busy", flush=True)
"""


def test_it_dies_with_its_parent_whatever_it_is_doing(pytestconfig):
    code = ORPHAN.format(root=str(pytestconfig.rootpath))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline().split()[1])
        assert parent.stdout.readline() == "busy\n"
        assert not gone(pid)
        parent.kill()
    until(lambda: gone(pid))


POISON = """
import os, signal, time
import pipeline.video.decode
open_video = pipeline.video.decode.open_video
def poisoned(path, *options):
    if "hang" in path:
        time.sleep(1000)
    if "crash" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hog" in path:
        hoard = [b"x" * 10_000_000 for _ in range(100)]
        time.sleep(1000)
    return open_video(path, *options)
pipeline.video.decode.open_video = poisoned
"""


@pytest.fixture
def poisoned(monkeypatch, tmp_path):
    """Decoders of new processes that hang, crash or fill the memory over videos of such names."""
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "sitecustomize.py").write_text(POISON)
    monkeypatch.syspath_prepend(str(tmp_path / "poison"))


@pytest.mark.usefixtures("poisoned")
def test_poison_costs_its_row_alone(builds, tmp_path):
    limits = {"build__row_timeout_s": 4.0, "build__row_memory_mb": 700}
    params = builds.make_params(tmp_path, build__scheduler="local", **limits)
    names = ("a", "hang", "b", "crash", "c", "hog", "d")
    rows = [builds.row_of(builds.write_video(tmp_path / f"{name}.mp4", seed=0)) for name in names]
    with pytest.raises(UserError, match="3 of 7 rows failed"):
        build(Catalog(tuple(rows)), params)
    with open(params.build.failures, encoding="utf-8") as handle:  # noqa: PTH123
        failures = {failure["row_id"]: failure for failure in json.load(handle)}
    assert {name: failure["kind"] for name, failure in failures.items()} == {
        **{"crash": "ProcessDiedError", "hang": "LimitError", "hog": "LimitError"}
    }
    assert "after 4 s" in failures["hang"]["reason"]
    assert "row_memory_mb allows 700" in failures["hog"]["reason"]
    assert "SIGSEGV" in failures["crash"]["reason"]
    assert "2 times" in failures["crash"]["reason"]
    store = FlowStore(params.store.path)
    assert store.row_ids() == ["a", "b", "c", "d"]
    # nothing half-done is left either
    assert sorted(path.name for path in store.path.iterdir()) == ["a", "b", "c", "d", "zarr.json"]
    assert not [
        child
        for child in psutil.Process().children()
        if "pipeline.build.row_process.child" in child.cmdline()
    ]


def test_default_limits():
    dis, network = FlowParams(), FlowParams(model="gmflow", size=(256, 320))
    large = FlowParams(model="gmflow", size=(512, 640))
    local, threads = BuildParams(), BuildParams(scheduler="threads")
    assert row_timeout_s(96, dis, local) == 120 + 96
    assert row_timeout_s(100, network, local) == 120 + 1000
    assert row_timeout_s(100, large, local) == 120 + 4000
    assert row_timeout_s(100, dis, BuildParams(row_timeout_s=7)) == 7
    assert row_timeout_s(100, dis, BuildParams(row_timeout_s=0)) is None
    assert row_timeout_s(100, dis, threads) is None
    assert has_own_process(local)
    assert has_own_process(BuildParams(row_timeout_s=0, row_memory_mb=0))
    assert not has_own_process(threads)
    assert has_own_process(BuildParams(scheduler="threads", row_memory_mb=100))


def test_one_gpu_each(monkeypatch):
    gpus = ["0", "1", "GPU-5ab"]
    shown = [dict(gpu_of_slot(slot, gpus)) for slot in range(4)]
    assert shown == [{"CUDA_VISIBLE_DEVICES": name} for name in ("0", "1", "GPU-5ab", "0")]
    assert gpu_of_slot(3, []) == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7")
    assert wanted_gpus(FlowParams(model="gmflow")) == ["2", "GPU-7"]
    assert wanted_gpus(FlowParams(model="gmflow", device="cpu")) == []
    assert wanted_gpus(FlowParams(model="gmflow", device="cuda:1")) == []
    assert wanted_gpus(FlowParams()) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert wanted_gpus(FlowParams(model="gmflow")) == []
