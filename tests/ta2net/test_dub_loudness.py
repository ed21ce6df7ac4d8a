"""How loud hits are heard, against a ball whose speeds are known and against a whole film's inflection."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import wavfile

from pipeline.errors import VideoError
from pipeline.flow import make_estimator
from pipeline.impacts.specimen import bounce_clip
from pipeline.impacts.write import write_video
from pipeline.kinematics import Coding
from pipeline.params import FlowParams, StoreParams
from pipeline.video.decode import read_all
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import probe
from ta2net.cli import main
from ta2net.deliver.dub.loudness import (
    LOUDNESS_RANGE_DB,
    by_inflection,
    by_probability,
    inflection_strengths,
)
from ta2net.methods.rules import mean_inflection

pytestmark = pytest.mark.slow

CONTACTS = (36, 98)
RATE = 48_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ball that meets the floor at ``CONTACTS``, the second time with 0.85 of its speed."""
    clip = bounce_clip(gravity=80.0, duration_s=4.0)
    assert clip.contact_frames == CONTACTS
    path = tmp_path_factory.mktemp("film") / "bounce.mp4"
    write_video(iter(clip.frames), path, clip.fps, 20)
    return path


def hit(frame: int, probability: float = 1.0) -> Any:
    return SimpleNamespace(frame=frame, probability=probability)


def test_strengths_are_those_of_the_whole_film(film: Path) -> None:
    frames = read_all(film)
    last = len(frames) - 1
    wanted = {0, 1, 36, 37, 98, last - 1, last}
    coding = Coding.of("int16", 64)
    kinematics = Frames2Kinematics(
        make_estimator(FlowParams()), FlowParams().size, StoreParams().size, coding
    )
    whole = mean_inflection(np.concatenate([c.inflection for c in kinematics([frames])]), 64.0)
    assert inflection_strengths(probe(film), wanted) == {frame: whole[frame] for frame in wanted}


def test_the_second_bounce_is_as_much_quieter_as_it_is_slower(film: Path) -> None:
    level_db = by_inflection(probe(film), map(hit, (*CONTACTS, 67)))
    assert level_db(hit(36)) == 0.0
    # a contact lies between two frames, and what part of the change falls to which differs
    assert level_db(hit(98)) == pytest.approx(20 * math.log10(0.85), abs=1.5)
    assert level_db(hit(67)) == -LOUDNESS_RANGE_DB  # in the air


def test_still_pictures_are_all_as_loud(tmp_path: Path) -> None:
    still = np.full((6, 64, 64, 3), 128, np.uint8)
    write_video(iter(still), tmp_path / "still.mp4", Fraction(25), 20)
    level_db = by_inflection(probe(tmp_path / "still.mp4"), [hit(2), hit(4)])
    assert (level_db(hit(2)), level_db(hit(4))) == (0.0, 0.0)
    assert inflection_strengths(probe(tmp_path / "still.mp4"), []) == {}


def test_levels_by_probability_by_hand() -> None:
    assert [by_probability(hit(0, p)) for p in (1.0, 0.5, 0.0)] == [0.0, -6.0, -12.0]


def test_two_frames_have_no_inflection(tmp_path: Path) -> None:
    write_video(iter(np.zeros((2, 64, 64, 3), np.uint8)), tmp_path / "short.mp4", Fraction(25), 20)
    with pytest.raises(VideoError, match="2 frame"):
        inflection_strengths(probe(tmp_path / "short.mp4"), [0])


def test_the_command_finds_the_hits_itself(tmp_path: Path) -> None:
    """The built-in network on a ball that falls as fast as in its own clips: a knock at both contacts."""
    clip = bounce_clip()
    write_video(iter(clip.frames), tmp_path / "ball.mp4", clip.fps, 20)
    film, stem = tmp_path / "ball.mp4", tmp_path / "stem.wav"
    words = ["dub", str(film), "--stem", str(stem), "--checkpoint", "impacts", "--loudness", "inflection"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.output == f"{len(clip.contact_frames)} sounds placed; written: {stem}\n"
    _, samples = wavfile.read(stem)
    loud = np.abs(samples[:, 0] / 2**31) > 0.02
    begins = np.flatnonzero(loud & ~np.pad(loud, (RATE // 5, 0))[: len(loud)])
    first = [begins[0], next(at for at in begins if at > begins[0] + RATE // 5)]
    np.testing.assert_allclose(np.array(first) / RATE, np.array(clip.contact_frames) / 30, atol=1.5 / 30)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--row", "a"), "--row chooses a row of --hits"),
        (("--hits", "h.csv", "--checkpoint", "real"), "leave out either them or --hits"),
        (("--hits", "h.csv", "--sensitivity", "low"), "leave out either them or --hits"),
        (("--checkpoint", "surreal"), "surreal: no checkpoint here"),
    ],
)
def test_options_that_do_not_go_together(
    film: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = CliRunner().invoke(main, ["dub", str(film), "--stem", str(tmp_path / "s.wav"), *words])
    assert done.exit_code == 2
    assert message in done.output
