"""Whole clips before they are rendered: labels, their spacing, their place, their determinism."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from pipeline.impacts.compose import Clip, Wanted, compose
from pipeline.impacts.physics import AUDIBLE_IMPULSE
from pipeline.impacts.scenes import SCENES
from pipeline.impacts.sound import MATERIALS
from pipeline.impacts.surroundings import BEHIND_LAYER, FRONT_LAYER

KINDS = len(SCENES)


def wanted(index: int, **changes: object) -> Wanted:
    base = Wanted("train", index, 3.2, (128, 128), seed=0, difficulty=0.5, silent=False)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [compose(wanted(index)) for index in range(2 * KINDS)]


@pytest.mark.slow
def test_there_are_at_least_eight_kinds_named_as_audible623_names_them(clips: list[Clip]) -> None:
    names = {
        "hammer", "SoccerJuggling", "pingpong", "juggling", "tennis", "TennisSwing", "bouncing", "tapping",
        "battlerope", "BoxingPunchin", "clapping", "GolfSwing", "CricketShot", "cutting&slicing", "drumming",
    }  # fmt: skip
    shown = {clip.wanted.kind for clip in clips}
    assert shown == set(SCENES)
    assert len(shown) >= 8
    assert shown <= names


def test_labels_are_the_frames_nearest_to_the_contacts(clips: list[Clip]) -> None:
    for clip in clips:
        fps = float(clip.clock.fps)
        for frame, contact in zip(clip.hits, clip.contacts, strict=True):
            assert abs(frame / fps - contact.time_s) <= 0.5 / fps + 1e-9


def test_labels_have_room(clips: list[Clip]) -> None:
    for clip in clips:
        assert len(clip.hits) >= 1
        assert all(gap >= 3 for gap in np.diff(clip.hits))
        assert clip.hits[0] >= 2
        assert clip.hits[-1] < clip.clock.n_frames - 2
        # nothing too weak to be labelled is heard, and nothing heard is left out
        assert all(contact.impulse >= AUDIBLE_IMPULSE for contact in clip.contacts)


def test_contacts_lie_in_the_picture_and_have_a_sound(clips: list[Clip]) -> None:
    for clip in clips:
        assert all(0 < x < 128 and 0 < y < 128 for x, y in clip.positions_px)
        assert {contact.material for contact in clip.contacts} <= set(MATERIALS)


def test_variety(clips: list[Clip]) -> None:
    counts = [len(clip.hits) for clip in clips]
    gaps = np.concatenate([np.diff(clip.hits) for clip in clips])
    assert min(counts) <= 2
    assert max(counts) >= 7
    assert gaps.min() <= 7
    assert gaps.max() >= 25
    assert len({clip.clock.fps for clip in clips}) == 4
    assert len({clip.film.crf for clip in clips}) >= 5
    assert all(clip.clock.n_frames == round(3.2 * float(clip.clock.fps)) for clip in clips)


def test_distractors_grow_with_difficulty() -> None:
    def distractors(difficulty: float) -> int:
        clip = compose(wanted(1, difficulty=difficulty))
        return sum(part.layer in (BEHIND_LAYER, FRONT_LAYER) for part in clip.parts)

    assert distractors(0.0) == 0
    assert distractors(1.0) >= 3
    still = compose(wanted(1, difficulty=0.0)).camera
    assert np.ptp(still.x) == np.ptp(still.y) == np.ptp(still.zoom) == 0.0


def test_the_same_seed_gives_the_same_clip_and_another_another() -> None:
    one, two = compose(wanted(2)), compose(wanted(2))
    assert one.contacts == two.contacts
    assert one.film == two.film
    for mine, yours in zip(one.parts, two.parts, strict=True):
        np.testing.assert_array_equal(mine.poses, yours.poses)
    assert compose(wanted(2, seed=1)).contacts != one.contacts
    assert compose(wanted(2, split="eval")).contacts != one.contacts
    assert compose(wanted(2 + KINDS)).contacts != one.contacts


def test_labels_of_seed_0_are_pinned(clips: list[Clip]) -> None:
    """Other labels from the same seed would make old results incomparable: change this on purpose only."""
    text = ";".join(f"{clip.wanted.clip_id}:{','.join(map(str, clip.hits))}" for clip in clips[:KINDS])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == PINNED, text


PINNED = "860b9ee12c448c02"


@pytest.mark.parametrize("kind", range(KINDS))
def test_every_kind_fits_into_a_second(kind: int) -> None:
    assert len(compose(wanted(kind, duration_s=1.0)).hits) >= 1


@pytest.mark.parametrize("size", [(96, 160), (160, 96)])
def test_pictures_need_not_be_square(size: tuple[int, int]) -> None:
    for kind in (0, 2, 6):
        clip = compose(wanted(kind, size=size))
        assert all(0 < x < size[1] and 0 < y < size[0] for x, y in clip.positions_px)


def test_long_clips_keep_their_labels_apart() -> None:
    clip = compose(wanted(0, duration_s=12.0))
    assert len(clip.hits) >= 8
    assert np.diff(clip.hits).min() >= 3
    assert clip.hits[-1] > 0.6 * clip.clock.n_frames
