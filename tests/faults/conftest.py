"""What is disturbed here: a small data set with all that the program makes of it, undisturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kinds import make_base


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("undisturbed") / "base")
