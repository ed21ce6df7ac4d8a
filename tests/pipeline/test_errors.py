"""What the machine refuses is told in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import telling

MISSING = "libGL.so.1: cannot open shared object file: No such file or directory"


def test_opencv_without_its_windows_is_told_with_the_way_out(tmp_path: Path) -> None:
    """As on a server after plain ``pip install``: the real command, and a cv2 that the loader refuses."""
    (tmp_path / "cv2.py").write_text(f'raise ImportError("{MISSING}", name="cv2")\n')
    (tmp_path / "film.mp4").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "ta2net.cli", "predict", "film.mp4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert MISSING in done.stderr
    assert "pip install opencv-python-headless" in done.stderr


def test_other_imports_that_fail_are_faults_of_the_program() -> None:
    with pytest.raises(ModuleNotFoundError), telling():
        import no_such_module  # noqa: F401
