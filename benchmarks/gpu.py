"""``python -m benchmarks.gpu`` (``make bench-gpu``): what only a GPU can show, against the goals set for one.

GMFlow from a video file to the store, the paper's whole training projected from steps that stream from a
store, and whether bfloat16 learns as float32 does. ``--tiny`` runs all of it at sizes for a CPU's tests.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.__main__ import machine
from benchmarks.build import decode_seconds, film_row
from benchmarks.loss_curves import curves_of
from benchmarks.measure import Ratio, matmul_flops, middle, peak_bytes
from benchmarks.streaming import Streams, make_streams
from benchmarks.training import Case, our_training, paper_params, tiny_params
from pipeline.build.jobs import jobs_of
from pipeline.build.row import RowDone, RowJob, compute_row
from pipeline.device import chosen_device
from pipeline.errors import Command, UserError
from pipeline.files.atomic import write_json
from pipeline.flow import flow_identity, make_estimator
from pipeline.flow.networks import NetworkEstimator
from pipeline.flow.ptlflow_models import new_network
from pipeline.params import DataParams
from pipeline.store import create_store
from pipeline.video.decode import open_video
from ta2net.params import Params
from ta2net.training.loop import LOG_EVERY_STEPS
from ta2net.training.progress import TimedBatches

GOAL_PAIRS_PER_S = 500.0
GOAL_TRAINING_S = 20 * 60.0
PAPER_STEPS = 20_000


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        flow_size: (height, width) of the film and of its flow.
        film_frames: of the film.
        batches: pairs of frames that the flow network is given at a time; each is tried.
        params: the network, its clips and batch.
        rows, row_frames: of the store that training streams from.
        warm_steps, steps: before the clock runs, and measured.
        seeds, curve_steps: of the comparison of losses.
    """

    flow_size: tuple[int, int] = (256, 320)
    film_frames: int = 960
    batches: tuple[int, ...] = (8, 16, 32)
    params: Params = field(default_factory=paper_params)
    rows: int = 500
    row_frames: int = 100
    warm_steps: int = 20
    steps: int = 500
    seeds: int = 2
    curve_steps: int = 200


def tiny_sizes() -> Sizes:
    """To see that everything runs."""
    return Sizes((64, 64), 6, (2,), tiny_params(), 4, 12, 1, 2, 2, 2)


def ratios(sizes: Sizes, device: torch.device) -> Iterator[Ratio]:
    """Everything, in the folder of temporary files: some 15 GB at full size."""
    with tempfile.TemporaryDirectory() as name:
        yield from flow_ratios(Path(name), sizes, device)
    with tempfile.TemporaryDirectory() as name:
        streams = make_streams(Path(name), sizes.rows, sizes.row_frames, _on(sizes.params, device))
        yield from training_ratios(streams, sizes, device)
        yield curves_ratio(streams, sizes)


def flow_ratios(folder: Path, sizes: Sizes, device: torch.device) -> Iterator[Ratio]:
    """Pairs per second, both directions: the network's own time, and from a video file to the store."""
    height, width = sizes.flow_size
    film = film_row(folder / "film.mp4", sizes.film_frames, height, width)
    weights = folder / "gmflow.pt"
    torch.manual_seed(0)
    torch.save(new_network("gmflow").state_dict(), weights)  # any weights take the same time
    for batch in sizes.batches:
        params = DataParams.model_validate(
            {
                "store": {"path": str(folder / "flows.zarr"), "size": [height // 2, width // 2]},
                "flow": {
                    "model": "gmflow",
                    "checkpoint": str(weights),
                    "size": [height, width],
                    "batch": batch,
                    "precision": "bf16",
                    "device": str(device),
                },
                "decode": {"chunk_frames": max(32, batch)},
            }
        )
        (job,) = jobs_of([film], lambda row: row.sha256, flow_identity(params.flow), params, threads=None)
        pairs, network_s = _network_time(job, device)
        row_seconds(job)  # warm
        done = row_seconds(job)
        decode_s = decode_seconds(job)
        name, rate = f"flow.gmflow_{height}x{width}.batch{batch}", pairs / network_s
        goal = f"{GOAL_PAIRS_PER_S:.0f} pairs/s, the network's own time"
        yield middle(f"{name}_vs_goal", f"{goal}; {rate:.0f} pairs/s, bf16", [rate / GOAL_PAIRS_PER_S])
        whole = (
            f"the network's own time; {pairs / done.seconds:.0f} pairs/s from video file to store, "
            f"{decode_s / done.seconds:.0%} of it for decoding alone, the estimator waited "
            f"{1 - done.flow_s / done.seconds:.0%}; peak {peak_bytes(device) / 1e9:.1f} GB"
        )
        yield middle(f"{name}_row_vs_network", whole, [network_s / done.seconds])


def _network_time(job: RowJob, device: torch.device) -> tuple[int, float]:
    """Pairs of a film, and the seconds that the network took for them: on a GPU by the GPU's own clock."""
    estimator = make_estimator(job.flow)
    if not isinstance(estimator, NetworkEstimator):
        raise TypeError(f"{estimator.name} is no network")
    clocked = ClockedFlow(estimator.of_frames, device)
    timed = replace(estimator, of_frames=clocked)
    chunks = list(open_video(job.row.path, job.decode.reader, job.decode.chunk_frames))
    timed.estimate(chunks[0])  # warm
    clocked.spans.clear()
    pairs = sum(len(timed.estimate(chunk)) for chunk in chunks)
    return pairs, clocked.seconds()


class ClockedFlow:
    """A network's flow of a run of frames, and how long the device was busy with it."""

    def __init__(
        self, of_frames: Callable[[Tensor, int], tuple[Tensor, Tensor]], device: torch.device
    ) -> None:
        self.of_frames, self.on_gpu = of_frames, device.type == "cuda"
        self.spans: list[tuple[Any, Any]] = []

    def __call__(self, images: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """As ``of_frames``."""
        began = self._now()
        flows = self.of_frames(images, batch)
        self.spans.append((began, self._now()))
        return flows

    def seconds(self) -> float:
        """Of all calls."""
        if not self.on_gpu:
            return sum(end - began for began, end in self.spans)
        torch.cuda.synchronize()
        return sum(began.elapsed_time(end) for began, end in self.spans) / 1000

    def _now(self) -> Any:
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def row_seconds(job: RowJob) -> RowDone:
    """Make a row in a fresh store."""
    shutil.rmtree(job.store.path, ignore_errors=True)
    create_store(Path(job.store.path))
    done = compute_row(job)
    if not isinstance(done, RowDone):
        raise TypeError(done.reason)
    return done


def training_ratios(streams: Streams, sizes: Sizes, device: torch.device) -> Iterator[Ratio]:
    """The whole training projected, the share of it that steps waited, and how far its limit is."""
    params, steps = streams.params, sizes.steps
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step = our_training(params, float(params.store.scale))
    timed = TimedBatches(streams.loader().batches(0, sizes.warm_steps + steps))
    losses: list[Tensor] = []
    for number, batch in enumerate(timed):
        losses.append(step(batch, number))
        if number + 1 == sizes.warm_steps:
            losses[-1].item()
            timed.interval()
        elif (number + 1) % LOG_EVERY_STEPS == 0:  # as often as the training loop
            torch.stack(losses[-LOG_EVERY_STEPS:]).cpu()
    losses[-1].item()
    wall_s, waited_s = timed.interval()
    step_s = wall_s / steps
    case = Case(params, params.clips.batch, 1)
    reached, most = (
        case.flops / step_s,
        matmul_flops(device, torch.bfloat16, size=8192 if device.type == "cuda" else 512),
    )
    projected_s = PAPER_STEPS * step_s
    words = (
        f"20 minutes; {PAPER_STEPS} steps take {projected_s / 60:.1f} min, from {steps} steps of "
        f"{1000 * step_s:.1f} ms streamed from {sizes.rows} rows; peak {peak_bytes(device) / 1e9:.1f} GB"
    )
    yield middle("training.paper_vs_20_minutes", words, [GOAL_TRAINING_S / projected_s])
    yield middle(
        "training.paper_stall", "share of the time that steps waited for batches", [waited_s / wall_s]
    )
    words = f"bf16 matrix products, {most / 1e12:.3g} TFLOP/s; {reached / 1e12:.3g} TFLOP/s reached"
    yield middle("training.paper_vs_flop_bound", words, [reached / most])


def curves_ratio(streams: Streams, sizes: Sizes) -> Ratio:
    """The difference that our step makes to the loss, against the one that another seed makes."""
    found = curves_of(streams.rows, streams.store, streams.params, range(sizes.seeds), sizes.curve_steps)
    click.echo(str(found))
    words = f"plain fp32's standard deviation between {sizes.seeds} seeds, over {sizes.curve_steps} steps"
    return middle("training.paper_loss_difference", words, [found.difference / found.spread])


def _on(params: Params, device: torch.device) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update={"device": str(device)})})


@click.command(cls=Command)
@click.option("--device", default="auto", show_default=True)
@click.option("--tiny", is_flag=True, help="At sizes for a CPU; the figures say nothing.")
@click.option(
    "--out", default="benchmarks/results_gpu.json", show_default=True, type=click.Path(path_type=Path)
)
def main(device: str, tiny: bool, out: Path) -> None:
    """Measure flow and training on a GPU, against the goals set for one.

    \b
    Example:
      python -m benchmarks.gpu
    """
    where = chosen_device(device)
    if where.type != "cuda" and not tiny:
        raise UserError(
            f"this measures a CUDA GPU, and {device!r} is a {where.type} here; `make bench` measures a CPU"
        )
    rows = []
    for ratio in ratios(tiny_sizes() if tiny else Sizes(), where):
        click.echo(f"{ratio.name:<48}{ratio.ratio:>8.3f}   {ratio.against}")
        rows.append(asdict(ratio))
        write_json(out, {"machine": machine(), "ratios": rows})  # what is measured is not lost
    click.echo(f"written: {out}")


if __name__ == "__main__":
    main()
