"""Half-written files: those of killed writers go, those of living ones stay, whatever the clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from pipeline.files import atomic
from pipeline.files.atomic import LEFT_OVER, beside, sweep, write_text, written_beside

YESTERDAY_S = 25 * 3600
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.files.atomic import written_beside
with written_beside(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary.name, flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(file: Path, then: str) -> tuple[subprocess.Popen[str], str]:
    """A process that is writing ``file``, and the hidden name under which it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_dead_one_s_file_goes_and_the_living_one_s_stays(tmp_path):
    living, its = writer(tmp_path / "a.json", "wait")
    try:
        dead, theirs = writer(tmp_path / "a.json", "die")
        # not waited for, it is still listed: dead all the same
        while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert names(tmp_path) == {its, theirs}
        write_text(tmp_path / "b.json", "whole")
        assert names(tmp_path) == {its, "b.json"}
        dead.wait()
    finally:
        living.communicate()
    assert (tmp_path / "a.json").read_text() == "half"
    assert names(tmp_path) == {"a.json", "b.json"}


@pytest.mark.parametrize("days", [-36500, -2, 0, 2, 36500])
def test_of_its_own_machine_the_clock_tells_nothing(tmp_path, days):
    """Its writer lives, though its date is long past or still to come; or is dead, though it is from now."""
    mine = beside(tmp_path / "a.json")
    began = mine.name.split("@")[1]
    other = mine.with_name(mine.name.replace(began, f"{2**22 + 1}-7"))
    for file in (mine, other):
        file.write_text("half")
        when = (datetime.now() + timedelta(days=days)).timestamp()
        os.utime(file, (when, when))
    sweep(tmp_path)
    assert names(tmp_path) == {mine.name}


def test_a_number_given_to_another_process_is_not_the_writer(tmp_path):
    mine = beside(tmp_path / "a.json")
    pid, began = mine.name.split("@")[1].split("-")
    before = mine.with_name(mine.name.replace(f"@{pid}-{began}@", f"@{pid}-{int(began) - 1}@"))
    unknown = mine.with_name(mine.name.replace(f"@{pid}-{began}@", f"@{pid}@"))
    for file in (mine, before, unknown):
        file.write_text("half")
    sweep(tmp_path)
    assert names(tmp_path) == {mine.name, unknown.name}


def test_those_of_another_machine_stay_for_a_day(tmp_path):
    fresh, old, dated_ahead = (tmp_path / f".{name}.{'0' * 12}@7-7@{'1' * 12}.tmp" for name in "abc")
    for file, age_s in ((fresh, 0), (old, YESTERDAY_S), (dated_ahead, -YESTERDAY_S)):
        file.write_text("half")
        os.utime(file, (time.time() - age_s,) * 2)
    sweep(tmp_path)
    assert names(tmp_path) == {fresh.name, dated_ahead.name}


def test_other_hidden_files_stay(tmp_path):
    for name in (".a.tmp", ".a.0@1@2@3.tmp", "a.000@7-7@111.tmp", ".gitignore"):
        (tmp_path / name).write_text("")
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    for name in ("a" * 255, "ü" * 127, "😀" * 63):
        assert LEFT_OVER.fullmatch(beside(tmp_path / name).name)
        write_text(tmp_path / name, "whole")
        assert names(tmp_path) == {name}
        (tmp_path / name).unlink()


def test_what_cannot_be_deleted_hinders_nobody(tmp_path, monkeypatch):
    """Another user's in a folder like /tmp."""
    old = tmp_path / f".a.{'0' * 12}@7-7@{'1' * 12}.tmp"
    old.write_text("half")
    os.utime(old, (0, 0))

    unlink = os.unlink

    def refuse(path, **options):
        if Path(path) == old:
            raise PermissionError("not yours")
        unlink(path, **options)

    monkeypatch.setattr(atomic.os, "unlink", refuse)
    with written_beside(tmp_path / "b.json") as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == {old.name, "b.json"}
