"""The pointing game: does the place that a hit is said to be at lie near its true contact?

Source: Zhang et al., Top-down Neural Attention by Excitation Backprop (ECCV 2016), with a distance instead of
an object's outline. Places are (x, y) fractions of width and height, (0, 0) top left; sizes (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Row
from pipeline.spans import in_spans
from pipeline.store import Window
from ta2net.evaluation.bootstrap import Quotient
from ta2net.evaluation.sections import with_intervals
from ta2net.hits.place import Place, Size, cell_centre, inflection_at, inflection_place, peak_place

NEAR = 1 / 8
"""Of the frame's diagonal."""


@dataclass(frozen=True)
class InflectionPlaces:
    """What the flow store alone says of a row's labelled hits.

    Attributes:
        video_size: (height, width) of the video in px, the grid of the true contacts.
        places: by hit frame, where the inflection is largest.
    """

    video_size: Size
    places: Mapping[int, Place]


@dataclass(frozen=True)
class Pointed:
    """One labelled hit: was its place found by the map and by the inflection; a random cell's chance."""

    by_map: bool
    by_inflection: bool
    chance: float


def is_near(place: Place, contact_px: tuple[float, float], video_size: Size) -> bool:
    """Whether ``place`` lies within an eighth of the frame's diagonal of the contact (x, y) in video px."""
    height, width = video_size
    dx_px, dy_px = place[0] * width - contact_px[0], place[1] * height - contact_px[1]
    return bool(np.hypot(dx_px, dy_px) <= NEAR * np.hypot(height, width))


def chance(grid: Size, contact_px: tuple[float, float], video_size: Size) -> float:
    """The exact share of a grid's (h, w) cells whose middle ``is_near``."""
    cells = grid[0] * grid[1]
    return sum(is_near(cell_centre(cell, grid), contact_px, video_size) for cell in range(cells)) / cells


def contacts(row: Row) -> dict[int, tuple[float, float]]:
    """(x, y) in video px of every labelled hit on annotated frames; empty where the row gives none."""
    if row.label_positions_px is None:
        return {}
    known = in_spans(row.labels, row.annotated)
    found = zip(row.labels, row.label_positions_px, known, strict=True)
    return {frame: place for frame, place, judged in found if judged}


def inflection_places(row: Row, window: Window, video_size: Size) -> InflectionPlaces:
    """The inflection's place at every labelled hit; ``window`` is the whole row."""
    places = {frame: inflection_place(inflection_at(window, frame)) for frame in contacts(row)}
    return InflectionPlaces(video_size, places)


def pointed_hits(
    row: Row, localization: NDArray[np.floating] | None, inflection: InflectionPlaces
) -> tuple[list[Pointed], int]:
    """Every labelled hit of a row whose place is known, runs of labels as they are.

    Args:
        localization: maps (n, h, w); NaN where the network was not shown the frame; None: it has none.

    Returns:
        The hits, and how many more have no map and are therefore not judged.
    """
    if localization is None:
        return [], len(contacts(row))
    found, without_map = [], 0
    size = inflection.video_size
    for frame, contact in contacts(row).items():
        where = localization[frame]
        if not np.isfinite(where).all():
            without_map += 1
            continue
        found.append(
            Pointed(
                is_near(peak_place(where), contact, size),
                is_near(inflection.places[frame], contact, size),
                chance(where.shape, contact, size),
            )
        )
    return found, without_map


def where_section(rows: Sequence[tuple[list[Pointed], int]], resamplings: int) -> dict[str, Any]:
    """``pointing_game``, ``inflection_peak``, ``chance``: shares of all hits; None without any.

    Args:
        rows: what ``pointed_hits`` gave, by row.
        resamplings: of the rows, behind the intervals.
    """
    hits = np.array([len(found) for found, _ in rows], np.float64)

    def share(name: str) -> Quotient:
        return Quotient(
            np.array([float(sum(getattr(hit, name) for hit in found)) for found, _ in rows]), hits
        )

    shares = {
        "pointing_game": share("by_map"),
        "inflection_peak": share("by_inflection"),
        "chance": share("chance"),
    }
    section: dict[str, Any] = {
        "hits": int(hits.sum()),
        "hits_without_map": sum(without for _, without in rows),
        **{name: quotient.value() for name, quotient in shares.items()},
    }
    judged = {name: shares[name] for name in ("pointing_game", "inflection_peak")}
    return with_intervals(section, judged, resamplings if section["hits"] else 0)
