"""The house: imports run downwards only, and no file lies loose."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    {"pipeline"},
    {"ta2net.methods"},
    {"ta2net.params"},
    {"ta2net.fast"},
    {"ta2net.networks"},
    {"ta2net.hits", "ta2net.clips", "ta2net.media"},
    {"ta2net.evaluation"},
    {"ta2net.training"},
    {"ta2net.deliver", "ta2net.label"},
    {"ta2net.prediction"},
    {"ta2net.studies"},
    {"ta2net.commands"},
    {"ta2net.cli"},
    {"stages"},
)
"""From the ground up: what stands in a layer may import from those below it, and from itself."""
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def room_of(module: str) -> str:
    """``pipeline``, ``stages``, or a folder or file of ``ta2net``."""
    first, *rest = module.split(".")
    return f"ta2net.{rest[0]}" if first == "ta2net" and rest else first


def modules(*packages: str) -> Iterator[tuple[str, Path]]:
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(file: Path) -> Iterator[str]:
    """Every module of ours that a file names, in functions and for types, too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("pipeline", "ta2net", "stages"))


def is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


def arrows(*packages: str) -> set[tuple[str, str]]:
    return {
        (module, name)
        for module, file in modules(*packages)
        for name in imports(file)
        if is_module(name) and name != module
    }


def test_every_room_has_a_layer():
    rooms = {room_of(module) for module, _ in modules("ta2net", "pipeline", "stages")} - {"ta2net"}
    assert rooms == LEVEL.keys()


def test_imports_run_downwards():
    wrong = []
    for module, name in arrows("ta2net", "pipeline", "stages"):
        here, there = room_of(module), room_of(name)
        if here == "ta2net" or there == "ta2net":  # the package's own front door names what it opens to
            continue
        allowed = LEVEL[there] < LEVEL[here] or there == here
        if not allowed:
            wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("package", ["pipeline", "ta2net"])
def test_no_two_files_import_each_other_in_a_circle(package):
    """Among the files of a package, whatever its folders: the graph of imports has an order."""
    graph: dict[str, set[str]] = {module: set() for module, _ in modules(package)}
    for module, name in arrows(package):
        target = name if name in graph else name.rpartition(".")[0]
        # a folder's front door is passed on the way to any file in it
        if target in graph and not module.startswith(f"{target}.") and target != module:
            graph[module].add(target)
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        if module in done:
            return
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        path.append(module)
        for other in sorted(graph[module]):
            visit(other)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_nothing_lies_loose():
    loose = {file.name for file in (ROOT / "ta2net").iterdir() if file.is_file()}
    assert loose == {"__init__.py", "cli.py", "params.py", "py.typed"}


def test_one_thing_has_one_name():
    """Four names that once stood for two or three things each."""
    for name in ("document.py", "page.py", "plan.py", "batch.py"):
        found = [file for _, file in modules("pipeline", "ta2net") if file.name == name]
        assert len(found) <= 1, found


def test_the_data_plane_knows_nothing_of_networks():
    assert not [arrow for arrow in arrows("pipeline") if arrow[1].split(".")[0] != "pipeline"]
