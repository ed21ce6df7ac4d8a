"""The method that CONTRIBUTING.md prints, run exactly as it is printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ta2net.evaluation.evaluate import evaluate
from ta2net.methods import method as methods
from ta2net.params import parse
from ta2net.training.loop import train

GUIDE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"
CODE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in CODE.findall(GUIDE.read_text()) if name == language]


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A folder on the path with the guide's two modules, installed as the guide's entry point says."""
    for code in blocks("python"):
        (tmp_path / re.match(r'"""(\w+\.py):', code)[1]).write_text(code)
    about = tmp_path / "plain-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 1.0\n")
    (found,) = blocks("toml")
    section, line = found.strip().splitlines()
    group = section.removeprefix('[project.entry-points."').removesuffix('"]')
    (about / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("package")
@pytest.mark.slow
def test_the_method_of_the_guide_is_found_trained_and_evaluated(toy_params):
    assert "plain" in methods.names()
    document = toy_params.model_dump(mode="json")
    document["method"] = {"name": "plain", "channels": 8}
    params = parse(document, "guide")
    assert type(params.method).__name__ == "PlainParams"
    progress = train(params)
    losses = [entry["action"] for entry in progress.losses]
    assert progress.step == 12
    assert 0 < losses[-1] < losses[0]
    metrics = evaluate(params)
    assert metrics["event"]["labelled"] > 0
    assert json.loads(Path(params.evaluation.metrics).read_text())["event"] == metrics["event"]


def test_reading_its_parameters_loads_no_pytorch(package):
    code = "import sys; import plain; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=package)
