"""Fixtures for all tests: third-party material where it is present, and small videos made on the spot."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import settings

from tests import object_storage
from tests.marks import (  # noqa: F401 - hooks, which pytest finds here
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_itemcollected,
    pytest_xdist_make_scheduler,
)

# Read when torch is first imported, here and in the processes that tests start. Otherwise a thread that waits
# keeps its core busy, and tests in two processes on two busy cores take up to thirty times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# a time limit on a machine that others use, too, tests the others
settings.register_profile("untimed", deadline=None)
settings.register_profile("long", max_examples=5000, deadline=None)
settings.load_profile("untimed")

BITS = 8
QUIET_X264 = {"x264-params": "log-level=none"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of annotation files and real clips beside the repository; tests that need it skip without it."""
    folder = Path(os.environ.get("TA2NET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    if not (folder / "clips").is_dir():
        pytest.skip(f"no shared material in {folder} (set TA2NET_SHARED)")
    return folder


def picture(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """An RGB picture that carries its frame number as eight black or white blocks, 4 x 2."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        y, x = divmod(bit, 4)
        block = np.s_[y * height // 2 : (y + 1) * height // 2, x * width // 4 : (x + 1) * width // 4]
        image[block] = 235 if number >> bit & 1 else 20
    return image


def number_in(image: np.ndarray) -> int:
    """The frame number that ``picture`` drew, read from the middles of the blocks."""
    height, width = image.shape[:2]
    number = 0
    for bit in range(BITS):
        y, x = divmod(bit, 4)
        top, left = y * height // 2 + height // 8, x * width // 4 + width // 16
        number |= int(image[top : top + height // 4, left : left + width // 8].mean() > 127) << bit
    return number


def write_video(
    path: Path,
    codec: str = "libx264",
    n_frames: int = 40,
    *,
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    rate: int = 25,
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    rotation_deg: int = 0,
    sound: bool = False,
) -> Path:
    """Write numbered pictures; ``pts`` counts ``time_base`` (default: one per frame at ``rate``)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec == "libx264":
        options = {**QUIET_X264, **(options or {})}
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    base = time_base or Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.codec_context.gop_size = 12
        if time_base:
            stream.time_base = stream.codec_context.time_base = time_base
        if rotation_deg:
            stream.set_display_rotation(rotation_deg)
        audio = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for number in range(n_frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = number if pts is None else pts[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 8000, 0
            container.mux(audio.encode(silence))
            container.mux(audio.encode(None))
    return path


def copy_stream(source: Path, target: Path, *, first_packet: int = 0, shift: int = 0) -> Path:
    """Copy packets without decoding, as ``ffmpeg -c copy`` does; ``shift`` moves all times (edit list)."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.size]
        for packet in packets[first_packet:]:
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = copied
            new.mux(packet)
    return target


@pytest.fixture(scope="session")
def s3_server() -> Iterator[None]:
    """A server of the S3 protocol on this machine, for this process and those that it starts."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with object_storage.s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def bucket(s3_server: None) -> str:  # noqa: ARG001 - asked for so that it runs
    """The URL of a fresh, empty bucket."""
    return object_storage.new_bucket()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser of this machine, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(QUIET_CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def films() -> Any:
    """The functions above: ``films.write_video`` and so on."""
    return SimpleNamespace(
        picture=picture, number_in=number_in, write_video=write_video, copy_stream=copy_stream
    )
