"""A training step: ours against the same network as plain PyTorch in float32, and against its arithmetic."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import click
import psutil
import torch
from torch import Tensor, nn

from benchmarks.measure import (
    Ratio,
    Scale,
    in_fresh_process,
    matmul_flops,
    middle,
    peak_bytes,
    seconds_per_unit,
)
from benchmarks.plain import PlainTA2Net
from pipeline.device import chosen_device, has_fast_bf16
from pipeline.heap import keep_freed_memory
from pipeline.params import read_yaml
from ta2net.fast import accelerate
from ta2net.methods.batch import Batch
from ta2net.methods.method import NetworkMethod, method_of
from ta2net.methods.ta2net.losses import terms
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import TA2NetParams
from ta2net.networks.checkpoint import clip_shape
from ta2net.networks.size import BACKWARD_OVER_FORWARD, part_sizes
from ta2net.params import Params, overlay, parse
from ta2net.training.optimizer import (
    learning_rate,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)
from ta2net.training.processes import make_fabric
from ta2net.training.step import Step, weighted

STEPS_PER_PX = 64.0
WARM_UP_STEPS = 8
"""Until malloc has learnt which memory to keep, the first steps take up to twice as long."""
FOUR_CLIPS_BYTES = 21e9
"""What our step at the paper's size and batch takes on a host, and some room."""
PAPER = Path(__file__).parents[1] / "configs" / "audible623.yaml"


def paper_params() -> Params:
    """The paper's configuration, without its pretrained weights: any take the same time."""
    return parse(overlay(read_yaml(PAPER), {"method": {"pretrained": "none"}}), str(PAPER))


def tiny_params() -> Params:
    """The embedded network at a size that only shows that everything runs."""
    sizes = {"store": {"size": [32, 32]}, "clips": {"frames": 8}, "infer": {"stride": 8}}
    return parse({"method": {"channels": 8}, **sizes}, "the tiny network")


@dataclass(frozen=True)
class Case:
    """A size of network and batch.

    Attributes:
        params: the network, and its clips' frames and pixels.
        batch: clips.
        steps: in one measurement.
    """

    params: Params
    batch: int
    steps: int

    @property
    def flops(self) -> float:
        """Of one step, forward and backward."""
        forward = sum(part.flops for part in part_sizes(self.params, accelerated=True))
        return float(forward * self.batch * (1 + BACKWARD_OVER_FORWARD))


CASES: dict[str, Callable[[], Case]] = {
    "paper": lambda: Case(paper_params(), 1, 4),
    "paper_batch4": lambda: Case(paper_params(), 4, 1),
    "embedded": lambda: Case(Params(), 4, 6),
    "tiny": lambda: Case(tiny_params(), 2, 1),
}


@dataclass(frozen=True)
class Found:
    """What one process found.

    Attributes:
        seconds: of a step.
        peak_bytes: of its memory.
    """

    seconds: float
    peak_bytes: float


def ratios(scale: Scale) -> Iterator[Ratio]:
    """At the paper's size with one clip a step, and four; at the embedded size.

    Plain float32 with four clips takes more memory than many machines have, so its measure is one clip;
    a GPU has the room.
    """
    if scale.quick:
        yield from _against_plain("", "tiny", scale)
        return
    on_gpu = chosen_device(scale.device).type == "cuda"
    yield from _against_plain("", "paper_batch4" if on_gpu else "paper", scale)
    yield from _against_plain(".embedded", "embedded", scale)
    if on_gpu:
        return
    if psutil.virtual_memory().available < FOUR_CLIPS_BYTES:
        click.echo("training: four clips of the paper's size are left out, there is too little free memory")
    else:
        yield _against_bound(".batch4", "paper_batch4", [measured("paper_batch4", "ours", scale)], scale)


def _against_plain(suffix: str, name: str, scale: Scale) -> Iterator[Ratio]:
    """A step of ours against one of plain PyTorch, in turns, and both against the least time there is."""
    turns = [(measured(name, "ours", scale), measured(name, "plain", scale)) for _ in range(scale.rounds)]
    ours, theirs = ([turn[index] for turn in turns] for index in range(2))
    bound = _against_bound(suffix, name, ours, scale)
    yield bound
    least_s = bound.ratio * statistics.median(found.seconds for found in ours)
    reach = statistics.median(found.seconds for found in theirs) / least_s
    words = (
        f"plain fp32 eager, peak {_gb(theirs):.1f} GB; multiplying alone would be {reach:.1f} times as fast"
    )
    yield middle(
        f"training.step_vs_fp32_eager{suffix}", words, [plain.seconds / own.seconds for own, plain in turns]
    )


def _against_bound(suffix: str, name: str, ours: list[Found], scale: Scale) -> Ratio:
    """The time that a step's products take at the measured rate, to the step's own."""
    case, device = CASES[name](), chosen_device(scale.device)
    precision = "bf16" if has_fast_bf16(device.type) else "fp32"
    rate = matmul_flops(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    seconds = [found.seconds for found in ours]
    words = (
        f"multiplying alone, {rate / 1e12:.3g} TFLOP/s; {1 / statistics.median(seconds):.3g} steps/s, "
        f"{precision}, batch {case.batch}, peak {_gb(ours):.1f} GB"
    )
    return middle(f"training.step_vs_flop_bound{suffix}", words, [case.flops / rate / s for s in seconds])


def _gb(found: list[Found]) -> float:
    return max(each.peak_bytes for each in found) / 1e9


def measured(name: str, way: str, scale: Scale) -> Found:
    """Some steps of a case, in a fresh process: what others have left behind in memory counts for nothing."""
    if scale.quick:  # its start takes longer than all the rest
        return run(CASES[name](), way, scale.device)
    return Found(**in_fresh_process("benchmarks.training", [name, way, "--device", scale.device]))


def run(case: Case, way: str, device_name: str) -> Found:
    """Some steps on one batch after the first ones, which are slower."""
    device, params = chosen_device(device_name), case.params
    params = params.model_copy(update={"train": params.train.model_copy(update={"device": device_name})})
    batch = random_batch(case).to(device)
    torch.manual_seed(0)
    step = (our_training if way == "ours" else plain_training)(params, STEPS_PER_PX)

    def work(count: int) -> float:
        for number in range(count):
            loss = step(batch, number)
            if way == "plain":
                loss.item()  # as one would, to print it
        loss.item()
        return float(count)

    work(WARM_UP_STEPS)
    return Found(seconds_per_unit(lambda: work(case.steps)), peak_bytes(device))


TrainStep = Callable[[Batch, int], Tensor]
"""A batch and the step's number -> the total loss, on the device."""


def our_training(params: Params, steps_per_px: float) -> TrainStep:
    """Our training step around a fresh network."""
    fabric = make_fabric(params.train)
    method = method_of(params.method)
    assert isinstance(method, NetworkMethod)
    model = accelerate(method.build(params.method, clip_shape(params)).to(fabric.device), fabric.device)
    step = Step(fabric, method, model, make_optimizer(model, params.optim), params, steps_per_px)
    return lambda batch, number: step(batch, learning_rate(number, params.train.steps, params.optim))["total"]


def plain_training(params: Params, steps_per_px: float) -> TrainStep:
    """The same in plain PyTorch: float32, nothing fused, the same optimiser, schedule and clipping."""
    device = chosen_device(params.train.device)
    model = PlainTA2Net(cast(TA2NetParams, params.method), params.clips.frames).to(device).train()
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[params.optim.name]
    optimizer = kind(parameter_groups(model, params.optim, ()), lr=params.optim.lr)

    def step(batch: Batch, number: int) -> Tensor:
        set_learning_rate(optimizer, learning_rate(number, params.train.steps, params.optim))
        loss = plain_loss(model, batch, params, steps_per_px)
        optimizer.zero_grad()
        loss.backward()
        if params.optim.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), params.optim.clip_norm)
        optimizer.step()
        return loss.detach()

    return step


def plain_loss(model: TA2Net, batch: Batch, params: Params, steps_per_px: float) -> Tensor:
    """The objective of a batch."""
    inputs = batch.inputs(("frames", "velocity", "inflection"), steps_per_px)
    return weighted(terms(cast(TA2NetParams, params.method), batch), model(**inputs))["total"]


def random_batch(case: Case, seed: int = 0) -> Batch:
    """Clips of noise with a hit every nine frames."""
    random = torch.Generator().manual_seed(seed)
    shape, size = (case.batch, case.params.clips.frames), case.params.store.size
    phase = torch.arange(shape[1]) % 9
    hard = (phase == 4).float().expand(shape).contiguous()
    offset = (4 - phase).float().expand(shape).contiguous()

    def field() -> Tensor:
        return torch.randint(-256, 257, (*shape, 2, 2, *size), generator=random, dtype=torch.int16)

    everywhere = torch.ones(shape, dtype=torch.bool)
    return Batch(
        frames=torch.randint(0, 256, (*shape, 3, *size), generator=random, dtype=torch.uint8),
        velocity=field(),
        inflection=field(),
        soft=hard,
        hard=hard,
        offset=torch.where(offset.abs() <= case.params.targets.cut_frames, offset, torch.inf),
        events=hard > 0,
        valid=everywhere,
        known=everywhere,
    )


@click.command()
@click.argument("name", type=click.Choice(list(CASES)))
@click.argument("way", type=click.Choice(["ours", "plain"]))
@click.option("--device", default="auto", show_default=True)
@click.option("--give-back", is_flag=True, help="Ours with malloc as it is, like plain PyTorch.")
def main(name: str, way: str, device: str, give_back: bool) -> None:
    """Print the seconds of a training step and the peak memory, as JSON."""
    if way == "ours" and not give_back:  # as ta2net train does
        keep_freed_memory()
    found = run(CASES[name](), way, device)
    click.echo(json.dumps({"seconds": found.seconds, "peak_bytes": found.peak_bytes}))


if __name__ == "__main__":
    main()
