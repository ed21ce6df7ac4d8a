"""What a run needs to go on bit for bit: the state of everything that changes, and who may use it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline.files.atomic import LEFT_OVER
from ta2net.clips.sampler import ClipPlan
from ta2net.networks import checkpoint as files
from ta2net.params import Params
from ta2net.training.average import MovingAverage
from ta2net.training.optimizer import learning_rate
from ta2net.training.processes import stacked
from ta2net.training.progress import Progress


@dataclass
class State:
    """Everything that changes as a run goes on, random numbers included.

    Which clips a step draws, and at which rate, follow from the step alone: ``progress.step`` is the state of
    the sampler and of the schedule.
    """

    fabric: Fabric
    model: nn.Module
    optimizer: Optimizer
    average: MovingAverage | None
    progress: Progress

    def tensors(self) -> dict[str, Tensor]:
        """All of it but the progress; every process has to ask, as each has random numbers of its own."""
        held = {
            **files.with_prefix(self.model.state_dict().items(), "model"),
            **files.with_prefix(optimizer_tensors(self.optimizer).items(), "optimizer"),
            "rng.cpu": stacked(self.fabric, torch.get_rng_state()),
        }
        if self.average is not None:
            held |= files.with_prefix(self.average.state().items(), "average")
        if self.fabric.device.type == "cuda":
            held["rng.cuda"] = stacked(self.fabric, torch.cuda.get_rng_state(self.fabric.device))
        return held

    def load(self, found: files.Checkpoint, seed: int) -> None:
        """Take the state of a checkpoint of the same run.

        Raises:
            CheckpointError: it does not fit.
        """
        files.load_module(self.model, found)
        load_optimizer(self.optimizer, files.without_prefix(found.tensors, "optimizer"))
        if self.average is not None:
            try:
                self.average.load(files.without_prefix(found.tensors, "average"))
            except RuntimeError as error:
                raise files.CheckpointError(
                    f"{found.path}: the average does not fit the model: {error}"
                ) from error
        self.progress = Progress(**found.document["progress"])
        self._load_random(found.tensors, seed)

    def _load_random(self, tensors: dict[str, Tensor], seed: int) -> None:
        rank = self.fabric.global_rank
        if len(tensors["rng.cpu"]) != self.fabric.world_size:
            if self.fabric.is_global_zero:
                click.echo("another number of processes than before: dropout draws new random numbers")
            seed_process(seed, self.progress.step, rank)
            return
        torch.set_rng_state(tensors["rng.cpu"][rank].contiguous())
        if self.fabric.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"][rank].contiguous(), self.fabric.device)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by ``<parameter number>.<name>``; every entry is a tensor for Adam and AdamW."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": value for number, entry in state.items() for name, value in entry.items()}


def load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``; learning rates are not state, the schedule sets them."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # fused optimisers go through memory: in another order, averages would meet others' gradients
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def seed_process(seed: int, step: int, rank: int) -> None:
    """Random numbers for one process from ``step`` on; no two processes draw the same."""
    torch.manual_seed(int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0]))


def position(progress: Progress, plan: ClipPlan, params: Params) -> dict[str, float]:
    """Where the sampler and the schedule stand: step, epoch and the learning rate of the next step."""
    step = progress.step
    rate = learning_rate(step, params.train.steps, params.optim)
    return {"step": step, "epoch": plan.epoch(step), "lr": rate}


def write_state(
    run: Path, state: State, plan: ClipPlan, params: Params, identity: str, provenance: dict[str, Any]
) -> None:
    """Write a checkpoint to go on from and drop the oldest ones; all processes call it, the first writes."""
    tensors = state.tensors()
    if not state.fabric.is_global_zero:
        return
    document = {
        "identity": identity,
        "progress": asdict(state.progress),
        "position": position(state.progress, plan, params),
        "params": params.model_dump(mode="json"),
        "provenance": provenance,
    }
    files.write(run / "resume" / f"step-{state.progress.step:08d}.safetensors", tensors, document)
    for old in resumable(run)[: -params.train.keep]:
        old.unlink()


def resume_from(run: Path, identity: str) -> files.Checkpoint | None:
    """The newest whole checkpoint of the run ``identity``; damaged ones and other runs' are deleted."""
    for half_written in run.rglob(".*.tmp"):  # by a run that was killed; never readable
        if LEFT_OVER.fullmatch(half_written.name):
            half_written.unlink()
    for path in reversed(resumable(run)):
        try:
            found = files.read(path)
            progress = Progress(**found.document["progress"])
        except (files.DamagedError, KeyError, TypeError):
            reason = "is damaged"
        else:
            if found.document.get("identity") != identity:
                reason = "belongs to other parameters, data or code"
            elif progress.validations and not files.is_whole(run / files.BEST):
                reason = f"knows a best network, but {files.BEST} is missing or damaged"
            else:
                return found
        click.echo(f"{path.name} {reason}: not resumed, deleted")
        path.unlink()
    # a network of another run must not be taken for this one's
    (run / files.BEST).unlink(missing_ok=True)
    return None


def resumable(run: Path) -> list[Path]:
    """The checkpoints a run can go on from, oldest first."""
    return sorted((run / "resume").glob("step-*.safetensors"))
