"""Real films that begin or end in mid-motion have no hit at that end."""

from __future__ import annotations

import json

import pytest

from ta2net.prediction.file2hits import File2Hits

pytestmark = pytest.mark.slow

IN_MID_MOTION = ("gh_vpsd_07.mp4", "gh_vpsd_10.mp4", "gh_vpsd_33.mp4")
"""Short ones: a stick on its way when the film begins or ends, seen frame by frame to touch nothing."""


@pytest.fixture
def films(shared):
    """By file, its frames and labelled hits."""
    if not (shared / "real" / "labels.jsonl").is_file():
        pytest.skip(f"no labelled films in {shared / 'real'}")
    with (shared / "real" / "labels.jsonl").open(encoding="utf-8") as handle:
        known = {film["name"]: film for film in map(json.loads, handle)}
    return {
        shared / "real" / "clips" / name: (known[name]["frames"], known[name]["hits"])
        for name in IN_MID_MOTION
    }


def test_no_hit_on_the_first_and_last_two_frames(films):
    find = File2Hits()
    found = 0
    for path, (n_frames, labels) in films.items():
        assert not [t for t in labels if min(t, n_frames - 1 - t) < 4]
        hits = [hit.frame for hit in find(path).hits]
        assert not [t for t in hits if min(t, n_frames - 1 - t) < 2], path.name
        found += sum(any(abs(t - label) <= 2 for t in hits) for label in labels)
    assert found >= 5
