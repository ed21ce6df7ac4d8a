"""What the checks before a commit say of files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tidy import LARGEST_BYTES, complaints, main

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.txt", b"a\nb\n", []),
        ("a.txt", b"", []),
        ("a.png", b"\0" * LARGEST_BYTES, []),
        ("a.safetensors", b"\0" * (LARGEST_BYTES + 1), []),
        ("a.png", b"\0" * (LARGEST_BYTES + 1), ["200001 bytes, more than 200000: keep data elsewhere"]),
        ("a.lock", b"a: \n", []),
        ("a.txt", b"a", ["no line end at its end"]),
        ("a.txt", b"a\n\n", ["empty lines at its end"]),
        ("a.txt", b"a\r\nb\n", ["line ends of Windows"]),
        ("a.txt", b"a \nb\nc\t\n", ["spaces at the end of lines 1, 3"]),
    ],
)  # fmt: skip
def test_what_is_told(tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    assert complaints(tmp_path / name) == said


def test_all_that_is_wrong_is_told(tmp_path, capsys):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("a\n")
    bad.write_text("a \nb")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    assert capsys.readouterr().out == f"{bad}: no line end at its end\n{bad}: spaces at the end of lines 1\n"


def test_the_repository_is_tidy():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    assert {str(file): complaints(file) for file in files if complaints(file)} == {}
