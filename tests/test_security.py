"""What docs/security.md promises: who listens, who may read what, that no credential is written anywhere."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.bad_input.materials import copy_of, make_base, write_params
from tests.object_storage import Stutter, new_bucket
from tests.object_storage import s3_server as s3_server_
from tests.program import Outcome, start

pytestmark = [pytest.mark.slow, pytest.mark.network]

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA-NOBODYS-NAME",
    "AWS_SECRET_ACCESS_KEY": "nobodys/secret+key",
    "AWS_SESSION_TOKEN": "nobodys-token-of-a-day",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def work(base: Path, tmp_path: Path) -> Path:
    return copy_of(base, tmp_path / "work")


def processes(pid: int) -> Iterator[psutil.Process]:
    """A process and all below it, as long as they live."""
    try:
        first = psutil.Process(pid)
        yield from (first, *first.children(recursive=True))
    except psutil.NoSuchProcess:
        return


def looked_at(
    command: tuple[str, ...], folder: Path, look: Callable[[int], None], **environment: str
) -> Outcome:
    """Run a command and look at its process again and again."""
    running = start(command, folder, **environment)
    while running.process.exitcode is None:
        look(running.process.pid)
        time.sleep(0.01)
    return running.outcome()


PREDICT = ("predict", "videos/one.mp4", "--checkpoint", "run/best.safetensors", "--report")
COMMANDS = (("catalog",), ("flows",), ("train",), ("evaluate",), PREDICT)


@pytest.mark.parametrize("scheduler", ["threads", "local"])
def test_only_the_dashboard_listens_and_only_to_this_machine(work: Path, scheduler: str) -> None:
    listening: dict[str, set[str]] = {}
    for output in ("flows.zarr/one/zarr.json", "run/best.safetensors"):  # so that there is something to do
        (work / output).unlink()
    write_params(work, build={"scheduler": scheduler, "workers": 2, "failures": "failures.json"})
    for command in COMMANDS if scheduler == "local" else (("flows",),):
        seen = listening.setdefault(command[0], set())

        def look(pid: int, seen: set[str] = seen) -> None:
            for process in processes(pid):
                try:
                    sockets = process.net_connections(kind="inet")
                except psutil.Error:
                    continue
                seen |= {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN or not one.raddr}

        outcome = looked_at(command, work, look)
        assert outcome.code == 0, outcome.said
    assert listening.pop("flows") == {"127.0.0.1"}
    assert not set().union(*listening.values())  # of the others


def test_temporary_files_are_nobody_else_s(work: Path, tmp_path: Path) -> None:
    """All that lies in the folder for such files; results have the rights that the user's umask gives."""
    place = tmp_path / "temporary"
    place.mkdir(mode=0o755)
    open_to_others: set[str] = set()
    seen: set[str] = set()

    def look(_pid: int) -> None:
        for path in place.iterdir():
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            seen.add(path.name)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                open_to_others.add(f"{path.name} {stat.filemode(mode)}")

    (work / "flows.zarr/one/zarr.json").unlink()
    for command in COMMANDS:
        outcome = looked_at(command, work, look, TMPDIR=str(place))
        assert outcome.code == 0, outcome.said
    assert not open_to_others
    assert not list(place.iterdir())


@pytest.mark.parametrize("failing", [False, True], ids=["answers", "is down"])
def test_credentials_are_written_nowhere(s3_server: None, work: Path, failing: bool) -> None:  # noqa: ARG001
    """Not where all is well, nor in messages about a server that is down, nor on command lines."""
    url = f"{new_bucket()}/flows"
    build = {"scheduler": "local", "workers": 2, "failures": "failures.json", "retries": 0}
    write_params(work, store={"url": url, "path": "elsewhere"}, build=build)
    lines: set[str] = set()

    def look(pid: int) -> None:
        for process in processes(pid):
            try:
                lines.add(" ".join(process.cmdline()))
            except psutil.Error:
                continue

    stutter = Stutter(share=1.0, faults=("busy",), healthy=60) if failing else None
    with s3_server_(stutter) as environment:
        environment |= {**SECRETS, "AWS_MAX_ATTEMPTS": "1"}
        commands = (("flows",), ("validate", "elsewhere", "--deep"), ("train",), ("evaluate",))
        for command in commands[:2] if failing else commands:
            outcome = looked_at(command, work, look, **environment)
            assert outcome.code == (2 if failing else 0), outcome.said
            lines.add(outcome.said)
    assert (work / "elsewhere" / "manifest.json").exists() or failing
    written = {path.name: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert {"failures.json", "best.safetensors", "metrics.json"} <= written.keys()
    for secret in SECRETS.values():
        assert not any(secret in line for line in lines)
        assert not [name for name, content in written.items() if secret.encode() in content]
