"""What the cases start from: a small data set, taken from video files to a trained network, and good films."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from ruamel.yaml import YAML

from tests.program import run

HEIGHT, WIDTH, FRAMES, RATE = 48, 64, 30, 25
CLIPS = ("one", "two", "three")

PARAMS = {
    "source": {"name": "csv", "videos": "videos", "train_labels": "train.csv", "eval_labels": "eval.csv",
               "catalog": "catalog.jsonl", "report": "report.json", "val_fraction": 0.5},
    "decode": {"chunk_frames": 8},
    "flow": {"size": [48, 64], "device": "cpu"},
    "store": {"path": "flows.zarr", "size": [24, 32], "chunk_frames": 8},
    "build": {"scheduler": "threads", "workers": 1, "failures": "failures.json"},
    "method": {"channels": 8, "fusion": {"channels": 16, "heads": 2, "similarity_channels": 4, "hidden": 32}},
    "clips": {"frames": 16, "batch": 2},
    "optim": {"warmup_steps": 1},
    "train": {"dir": "run", "steps": 4, "validate_every": 2, "checkpoint_every": 2, "precision": "fp32",
              "device": "cpu", "threads": 1},
    "infer": {"stride": 8},
    "evaluation": {"dir": "evaluation", "metrics": "metrics.json", "pictures": 0, "bootstrap": 10},
}  # fmt: skip


def write_film(
    path: Path, codec: str = "libx264", frames: int = FRAMES, seed: int = 0, **options: str
) -> Path:
    """A bright square that bounces over noise: ``frames`` frames of 64 x 48 px at 25 per second."""
    if codec == "libx264":
        options = {"x264-params": "log-level=none", "crf": "12", **options}
    noise = np.random.default_rng(seed).integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(frames):
            picture = noise.copy()
            y = abs(30 - 4 * ((number + seed) % 16))
            picture[y : y + 12, 24:40] = 230
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_params(folder: Path, **changes: dict[str, object]) -> None:
    """``params.yaml`` in ``folder``: ``PARAMS`` with entries of sections changed."""
    document = {**PARAMS, **{name: {**PARAMS.get(name, {}), **values} for name, values in changes.items()}}
    with (folder / "params.yaml").open("w", encoding="utf-8") as handle:
        YAML(typ="safe", pure=True).dump(document, handle)


def make_base(folder: Path) -> Path:
    """Three films with labels, and all that the program makes of them; every step must succeed."""
    (folder / "videos").mkdir(parents=True)
    for seed, name in enumerate(CLIPS):
        write_film(folder / "videos" / f"{name}.mp4", seed=seed)
    head = "video_id,sound_label,class\n"
    (folder / "train.csv").write_text(f'{head}one,"7,15,23",ball\ntwo,"6,14,22",ball\n')
    (folder / "eval.csv").write_text(f'{head}three,"5,13,21",ball\n')
    write_params(folder)
    for command in (("catalog",), ("flows",), ("train",), ("evaluate",)):
        outcome = run(command, folder)
        if outcome.code != 0:
            raise RuntimeError(f"{command} on good input: {outcome}")
    return folder


def copy_of(base: Path, folder: Path) -> Path:
    """A copy of the base to be spoilt."""
    return Path(shutil.copytree(base, folder, symlinks=True))
