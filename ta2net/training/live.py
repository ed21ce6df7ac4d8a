"""DVCLive: scalars and score curves of a run in a folder that DVC's tools draw."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dvclive import Live

from pipeline.files.atomic import write_json
from ta2net.evaluation.metrics_json import ScoredRow
from ta2net.evaluation.pictures import save_curve, score_curve
from ta2net.params import PeaksParams
from ta2net.training.progress import Progress

PICTURED_ROWS = 2
"""So many validation rows get a picture of their score curve at every validation."""


class _Files(Live):
    """DVCLive that writes its folder and nothing else.

    As it comes it would look for a DVC repository around the working directory and make one of a plain git
    repository that is none; and it would write its summary in place, half of it when killed.
    """

    def _init_dvc(self) -> None:
        self._dvc_file = "dvc.yaml"

    def make_summary(self) -> None:
        """Write ``metrics.json``, the latest value of everything, in one step."""
        write_json(self.metrics_file, {**self.summary, "step": self.step})


class LiveLog:
    """Writes what ``progress`` holds, and then whatever is added, to ``folder``.

    The checkpoint is the truth: what an interrupted run logged after it is written again, not twice.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        if progress.step:
            # pictures stay; numbers are written anew
            shutil.rmtree(folder / "plots" / "metrics", ignore_errors=True)
            (folder / "metrics.json").unlink(missing_ok=True)
        self._live = _Files(str(folder), resume=progress.step > 0, save_dvc_exp=False, dvcyaml=None)
        for entry in progress.losses:
            self._log("train", entry)
        for entry in progress.stalls:
            self._log("time", entry)
        for entry in progress.validations:
            self._log("validation", entry)
        self._live.step = progress.step
        self._live.make_summary()

    def interval(self, losses: dict[str, float], stall: dict[str, float]) -> None:
        """One logging interval: the means of its losses, and its stall."""
        self._log("train", losses)
        self._log("time", stall)
        self._live.make_summary()

    def validation(
        self, entry: dict[str, float], scored: Sequence[ScoredRow], threshold: float, peaks: PeaksParams
    ) -> None:
        """One validation: its figures, and the score curves of the first rows beside their labels."""
        self._log("validation", entry)
        self._live.make_summary()
        images = Path(self._live.plots_dir) / "images" / "scores"
        for item in scored[:PICTURED_ROWS]:
            # a folder per row, a file per step: DVC's viewers show them as one picture with a slider
            path = images / item.row.row_id / f"{self._live.step:08d}.png"
            save_curve(score_curve(item, threshold, peaks), path)

    def _log(self, section: str, entry: dict[str, float]) -> None:
        self._live.step = int(entry["step"])
        for name, value in entry.items():
            if name != "step":
                self._live.log_metric(f"{section}/{name}", value)
