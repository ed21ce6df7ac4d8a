"""What the documents name is there: files, and commands with their options."""

from __future__ import annotations

import pkgutil
import re
import shlex
from pathlib import Path

import pytest

from ta2net.cli import main
from ta2net.params import Params

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
PROGRAMS = ("ta2net", ".venv/bin/ta2net", "ta2net-train")
MADE_ELSEWHERE = ("data/", "hits/", "labels/", "markers/", "clips/", "weights/", "results_gpu.json", ".venv/")
"""Begins the names of what the program or its user makes; the repository does not hold them."""

SECTIONS = (*Params.model_fields, "model", "loss", "contrast", "aggregation", "fusion")
"""What the name of a parameter begins with: today's sections, those of version 0.1, parts of ``method``."""
NO_SETTINGS = ("decode.infer", "flow.gmflow", "build.vs_")
"""Keys of metrics.json and benchmarks/results.json that begin like sections."""
SUFFIXES = ("py", "md", "csv", "json", "yaml", "npz", "lock", "txt", "safetensors", "zarr", "mp4")


def without_fences(text: str) -> str:
    return FENCE.sub("", text)


def named_files(document: Path) -> list[str]:
    """Paths in backticks that start with a folder or file of the repository."""
    text = without_fences(document.read_text())
    tops = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    found = []
    for name in CODE.findall(text):
        first = name.split("/")[0]
        placeholder = any(part.split(".")[0].isupper() for part in name.split("/")[1:])
        if "/" in name and PATH.fullmatch(name) and first in tops and not placeholder:
            found.append(name)
    return [name for name in found if not name.startswith(MADE_ELSEWHERE)]


def links(document: Path) -> list[Path]:
    """Files that a document links to or shows."""
    targets = LINK.findall(without_fences(document.read_text()))
    return [document.parent / one.split("#")[0] for one in targets if "://" not in one and one[0] != "#"]


def command_lines(document: Path) -> list[str]:
    """Lines of the program in blocks of code, and in backticks where they have a command and arguments."""
    text = document.read_text()
    lines = [line for _, code in FENCE.findall(text) for line in code.splitlines()]
    lines += CODE.findall(re.sub(r"\n +", " ", without_fences(text)))
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.split(" ")[0] in PROGRAMS and len(part.split()) > 1]


def settings(document: Path) -> list[str]:
    """Names of parameters in backticks, as ``section.entry`` or deeper."""
    names = re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)[`:]", without_fences(document.read_text()))
    return [
        name
        for name in names
        if name.split(".")[0] in SECTIONS
        and name.split(".")[-1] not in SUFFIXES
        and not name.startswith(NO_SETTINGS)
    ]


def modules(document: Path) -> list[str]:
    """Dotted names of the code in backticks."""
    names = re.findall(r"`((?:pipeline|ta2net)(?:\.\w+)+)[`(]", without_fences(document.read_text()))
    return [name for name in names if name.split(".")[-1] not in SUFFIXES]


def cases(of):
    return [
        pytest.param(document, item, id=f"{document.name}: {item}"[:100])
        for document in DOCUMENTS
        for item in dict.fromkeys(of(document))
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_are_there(document):
    missing = [name for name in named_files(document) if not (ROOT / name).exists()]
    missing += [str(path) for path in links(document) if not path.exists()]
    assert not missing


@pytest.mark.parametrize(("document", "line"), cases(command_lines))
def test_command_lines_have_commands_and_options_that_exist(document, line):
    del document
    words = shlex.split(line.split(" #")[0].split(" > ")[0])
    name = "train" if words[0] == "ta2net-train" else words.pop(1)
    if name.startswith("-") or name.isupper():
        return  # ta2net --help, ta2net COMMAND --help
    command = main.commands[name]
    options = {text for one in command.params for text in (*one.opts, *one.secondary_opts)} | {"--help"}
    used = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
    assert set(used) <= options
    if len(words) > 2:  # more than a command's name in running text, perhaps with one option
        command.make_context(name, words[1:], resilient_parsing="..." in words or "OLD.yaml" in words)


@pytest.mark.parametrize(("document", "name"), cases(settings))
def test_parameters_that_a_document_names_exist(document, name):
    del document
    values = Params().model_dump(mode="json")
    if name.split(".")[0] in ("aggregation", "fusion"):  # in the text about TA2Net, entries of its section
        name = f"method.{name}"
    for part in name.split("."):
        assert isinstance(values, dict)
        assert part in values
        values = values[part]


@pytest.mark.parametrize(("document", "name"), cases(modules))
def test_code_that_a_document_names_is_there(document, name):
    del document
    assert pkgutil.resolve_name(name) is not None


def test_the_ways_of_reading_find_what_they_are_for():
    assert {document.name for document in DOCUMENTS} >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    readme, method, python = ROOT / "README.md", ROOT / "docs" / "method.md", ROOT / "docs" / "python.md"
    assert "pipeline.errors.UserError" in modules(python)
    assert "ta2net/methods/" in named_files(readme)
    assert len(links(readme)) > 10
    assert any(line.startswith(".venv/bin/ta2net predict") for line in command_lines(readme))
    assert "clips.reverse" in settings(method)
