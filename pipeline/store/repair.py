"""Take out of a flow store what is broken, so that the next build computes it again."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.store.place import Place
from pipeline.store.validation import Problem, Report, examine


@dataclass(frozen=True)
class Repaired:
    """What a repair did, or would do.

    Attributes:
        report: the examination before it.
        dropped: what is wrong with the rows that were removed; a row may occur more than once.
        leftovers: unfinished or replaced rows of dead builders that were deleted.
    """

    report: Report
    dropped: tuple[Problem, ...]
    leftovers: tuple[str, ...]

    @property
    def row_ids(self) -> tuple[str, ...]:
        """The rows that were removed."""
        return tuple(dict.fromkeys(problem.row_id for problem in self.dropped))


def repair(place: Place, *, deep: bool = False, dry_run: bool = False) -> Repaired:
    """Remove broken rows and what dead builders left behind; nothing else is touched.

    Args:
        deep: find what is broken by reading all data.
        dry_run: only say what would be done.
    """
    report = examine(place, deep=deep)
    dropped = tuple(problem for problem in report.problems if problem.kind == "broken")
    repaired = Repaired(report, dropped, tuple(place.leftovers()))
    if not dry_run:
        for row_id in repaired.row_ids:
            place.remove(row_id)
        # a removed row whose document did not say where its data are has left them behind
        repaired = Repaired(report, dropped, tuple(place.leftovers()))
        for leftover in repaired.leftovers:
            place.discard(leftover)
    return repaired
