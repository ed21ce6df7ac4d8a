"""Physics with a known answer: a rendered ball that bounces, through real flow, to the inflection."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.flow import make_estimator
from pipeline.impacts.specimen import bounce_clip
from pipeline.impacts.write import write_video
from pipeline.kinematics import BACKWARD, FORWARD, Coding, decode
from pipeline.params import FlowParams
from pipeline.video.decode import read_all
from pipeline.video.frames2kinematics import Frames2Kinematics

SIZE = (128, 128)
BALL_PX = np.pi * 12.0**2


def net_inflection(frames):
    """The inflection of every frame added up over the picture, per pixel of the ball: (n, direction, 2) px.

    Pixels that the ball enters and leaves cancel out in the sum, so what is left is the ball's own change of
    velocity, whatever its speed.
    """
    coding = Coding.of("int16", 64)
    estimator = make_estimator(FlowParams(model="dis", size=SIZE))
    chunks = Frames2Kinematics(estimator, SIZE, SIZE, coding)([frames])
    field = np.concatenate([decode(chunk.inflection, coding) for chunk in chunks])
    return field.sum(axis=(3, 4)) / BALL_PX


@pytest.mark.parametrize("encoded", [False, True], ids=["as rendered", "through H.264"])
def test_a_bounce_peaks_within_one_frame_of_contact(encoded, tmp_path):
    # slow enough for DIS, which loses small things that move more than some 5 px per frame
    clip = bounce_clip(gravity=80.0, duration_s=4.0)
    frames = clip.frames
    if encoded:
        write_video(iter(frames), tmp_path / "bounce.mp4", clip.fps, 20)
        frames = read_all(tmp_path / "bounce.mp4")
    inflection = net_inflection(frames)
    assert clip.contact_frames == (36, 98)
    for direction in (FORWARD, BACKWARD):
        size = np.hypot(*inflection[:, direction].T)
        for contact, others in ((36, slice(0, 67)), (98, slice(67, None))):
            assert abs(int(size[others].argmax()) + others.start - contact) <= 1
        # nowhere else does the ball change its velocity by half as much
        away = np.abs(np.arange(len(size))[:, None] - clip.contact_frames).min(axis=1) > 2
        assert size[away].max() < 0.5 * min(size[35:38].max(), size[97:100].max())
    # upwards, by the speeds before and after together: 0.85 of the speed is given back
    speed_px = 80.0 * (clip.contact_times_s[0] + 1 / 30) / 30
    assert -inflection[34:38, FORWARD, 1].sum() == pytest.approx(1.85 * speed_px, rel=0.25)
