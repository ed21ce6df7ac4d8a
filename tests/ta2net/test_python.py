"""The package from Python: quick to import, its four names whatever was imported before, its page of docs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ta2net

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    assert run("import sys, ta2net; print('torch' in sys.modules, 'av' in sys.modules, dir(ta2net)[:2])") == (
        "False False ['File2Hits', 'Hit']"
    )


def test_names_do_not_depend_on_what_was_imported_before():
    """A submodule of the same name would take the place of the function once it is imported."""
    import ta2net.prediction.file2hits
    import ta2net.prediction.many

    assert ta2net.predict is ta2net.prediction.file2hits.predict
    assert {name: getattr(ta2net, name).__name__ for name in ta2net.__all__} == {n: n for n in ta2net.__all__}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ta2net.nothing  # noqa: B018


def test_the_page_of_docs_runs(films, tmp_path, monkeypatch, capsys):
    films.write_video(tmp_path / "film.mp4", n_frames=40)
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    known: dict = {}
    exec(first, known)  # noqa: S102 - our own documentation
    assert "film.mp4 25 " in capsys.readouterr().out
    part = known["found"]
    assert isinstance(part, ta2net.Prediction)
    assert np.flatnonzero(np.isfinite(part.scores.probability)).tolist() == list(range(5, 35))
    assert all(isinstance(hit, ta2net.Hit) for hit in part.hits)
    exec(second, {})  # noqa: S102
    assert sorted(path.name for path in (tmp_path / "markers").iterdir()) == [
        "film.audacity.txt",
        "film.resolve.edl",
    ]
