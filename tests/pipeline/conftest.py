"""Small videos, their Catalog and parameters: what a build needs."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from pipeline.catalog import Catalog, Row
from pipeline.files.atomic import sha256_of
from pipeline.params import DataParams

HEIGHT, WIDTH = 48, 64


def write_video(path, n=14, seed=0):
    """A smooth random picture that moves to and fro: n frames at 25 per second, 64x48, H.264."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (14, 18, 3)).astype(np.uint8)
    picture = np.kron(coarse, np.ones((6, 6, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for t in range(n):
            x = 2 * abs(6 - t % 12)
            frame = np.ascontiguousarray(picture[4 : 4 + HEIGHT, x : x + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def row_of(path, row_id=None, hits=(5,), n=14):
    return Row(
        row_id=row_id or path.stem,
        source="csv",
        video_id=path.stem,
        group=path.stem,
        path=str(path),
        split="train",
        class_name="ball",
        labels=hits,
        label_positions_px=None,
        annotated=((0, n),),
        fps=Fraction(25),
        n_frames=n,
        sha256=sha256_of(path),
    )


@pytest.fixture
def videos(tmp_path):
    return [write_video(tmp_path / f"v{i}.mp4", seed=i) for i in range(3)]


@pytest.fixture
def catalog(videos):
    return Catalog(tuple(row_of(path) for path in videos))


@pytest.fixture
def params(tmp_path):
    return make_params(tmp_path)


def make_params(folder, **changes):
    """Small sizes and threads; ``changes`` are sections' entries as ``section__key``."""
    document = {
        "flow": {"size": [48, 64]},
        "store": {"size": [24, 32], "chunk_frames": 4, "path": str(folder / "flows.zarr")},
        "build": {"scheduler": "threads", "workers": 2, "failures": str(folder / "failures.json")},
        "decode": {"chunk_frames": 5},
    }
    for key, value in changes.items():
        section, name = key.split("__")
        document.setdefault(section, {})[name] = value
    return DataParams.model_validate(document)


def counts(summary):
    return summary.computed, summary.kept, summary.relabelled, summary.removed, summary.failed


@pytest.fixture(scope="session")
def builds() -> Any:
    """The functions above: ``builds.row_of`` and so on."""
    return SimpleNamespace(write_video=write_video, row_of=row_of, make_params=make_params, counts=counts)
