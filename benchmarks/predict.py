"""Seconds of video per second of ``predict``, and its peak memory as a video grows; in fresh processes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.build import film_row
from benchmarks.measure import Ratio, Scale, in_fresh_process, middle, peak_bytes, seconds_per_unit
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import FusionParams, TA2NetParams
from ta2net.networks.built_in import FOLDER
from ta2net.networks.checkpoint import write_trained
from ta2net.params import Params
from ta2net.prediction.file2hits import File2Hits

FPS = 30
EMBEDDED = FOLDER / "impacts.safetensors"


@dataclass(frozen=True)
class Run:
    """What one process found.

    Attributes:
        speeds: seconds of video per second, one a round, the network loaded before.
        peak_bytes: largest resident size of the process.
    """

    speeds: tuple[float, ...]
    peak_bytes: float


def ratios(scale: Scale) -> Iterator[Ratio]:
    """720p against real time; lengths of 10 s, 1 min and 10 min; GMFlow; memory.

    The ten minutes are small pictures through a small network: it is memory that they are for, and what is
    held per frame is the same.
    """
    frames = 12 if scale.quick else 10 * FPS
    high, wide = (64, 96) if scale.quick else (720, 1280)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = _film(folder / "large.mp4", frames, high, wide)
        yield _speed("dis_720p", film, EMBEDDED, scale, "10 s of 1280x720 at 30 frames/s, DIS")
        for words, factor in (("10s", 1), ("1min", 6)):
            film = _film(folder / f"{words}.mp4", factor * frames, high // 3 // 2 * 2, wide // 3 // 2 * 2)
            yield _speed(f"dis_{words}", film, EMBEDDED, scale, f"{words} of 426x240, DIS")
        gmflow = _small_network(folder / "gmflow.safetensors", "gmflow", (192, 256))
        film = _film(folder / "short.mp4", max(6, frames // 6), 240, 320)
        yield _speed("gmflow_2s", film, gmflow, scale, "2 s, GMFlow at 192x256, untrained network")
        yield from _memory(folder, 12 if scale.quick else 60 * FPS, scale)


def _speed(name: str, film: Path, checkpoint: Path, scale: Scale, video: str) -> Ratio:
    run = measured(film, checkpoint, scale)
    words = f"real time: {video}; peak {run.peak_bytes / 1e6:.0f} MB"
    return middle(f"predict.{name}_vs_realtime", words, list(run.speeds))


def _memory(folder: Path, minute_frames: int, scale: Scale) -> Iterator[Ratio]:
    checkpoint = _small_network(folder / "small.safetensors", "dis", (48, 64))
    runs = [
        measured(
            _film(folder / f"{factor}.mp4", factor * minute_frames, 120, 160),
            checkpoint,
            replace(scale, rounds=1),
        )
        for factor in (1, 10)
    ]
    grown = runs[1].peak_bytes / runs[0].peak_bytes
    words = f"1 min: {runs[0].peak_bytes / 1e6:.0f} MB; 10 min: {runs[1].peak_bytes / 1e6:.0f} MB"
    yield middle("predict.memory_10min_vs_1min", words, [grown])
    words = "real time: 10 min of 160x120, DIS, untrained network"
    yield middle("predict.dis_10min_vs_realtime", words, list(runs[1].speeds))


def measured(film: Path, checkpoint: Path, scale: Scale) -> Run:
    """Predict a film ``scale.rounds`` times, in a fresh process."""
    if scale.quick:  # its start takes longer than all the rest
        return run(film, checkpoint, scale.device, scale.rounds)
    options = ["--device", scale.device, "--rounds", str(scale.rounds)]
    found = in_fresh_process("benchmarks.predict", [str(film), str(checkpoint), *options])
    return Run(tuple(found["speeds"]), found["peak_bytes"])


def run(film: Path, checkpoint: Path, device: str, rounds: int) -> Run:
    """Predict a film ``rounds`` times in this process."""
    predict = File2Hits(checkpoint, device=device)
    seconds = [seconds_per_unit(lambda: predict(film).info.n_frames / FPS) for _ in range(rounds)]
    return Run(tuple(1 / each for each in seconds), peak_bytes())


def _film(path: Path, frames: int, height: int, width: int) -> Path:
    film_row(path, frames, height, width)
    return path


def _small_network(path: Path, flow: str, flow_size: tuple[int, int]) -> Path:
    """An untrained network of the smallest kind, with random flow weights beside it where it needs some."""
    network = TA2NetParams(
        channels=4, fusion=FusionParams(channels=8, heads=2, similarity_channels=2, hidden=16)
    )
    params = Params(method=network)
    chosen: dict[str, Any] = {"model": flow, "size": flow_size}
    if flow != "dis":
        from pipeline.flow.ptlflow_models import new_network

        weights = path.with_suffix(".pt")
        torch.save(new_network(flow).state_dict(), weights)  # any weights take the same time
        chosen["checkpoint"] = str(weights)
    params = params.model_copy(update={"flow": params.flow.model_copy(update=chosen)})
    torch.manual_seed(0)
    thresholds = {"peaks": 0.5, "frames": 0.5}
    write_trained(path, TA2Net(network, params.clips.frames), params, thresholds, {}, {})
    return path


@click.command()
@click.argument("film", type=click.Path(exists=True, path_type=Path))
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=1, show_default=True)
@click.option("--device", default="auto", show_default=True)
def main(film: Path, checkpoint: Path, rounds: int, device: str) -> None:
    """Print the speeds and the peak memory of predicting a film, as JSON."""
    found = run(film, checkpoint, device, rounds)
    click.echo(json.dumps({"speeds": found.speeds, "peak_bytes": found.peak_bytes}))


if __name__ == "__main__":
    main()
