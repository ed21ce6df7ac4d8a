"""Trains TA2Net on the flow store, in one process or several; may be killed at any step and run again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import IO, Any, cast

import click
import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.catalog import read_catalog
from pipeline.errors import UserError
from pipeline.files.atomic import write_text
from pipeline.store import open_store
from ta2net.clips.loader import ClipLoader
from ta2net.clips.sampler import ClipPlan
from ta2net.evaluation.metrics_json import data_section
from ta2net.evaluation.rows import stored_rows
from ta2net.fast import accelerate
from ta2net.methods.batch import Batch
from ta2net.methods.method import NetworkMethod, Rule, method_of
from ta2net.networks import checkpoint as files
from ta2net.networks.checkpoint import clip_shape
from ta2net.params import Params
from ta2net.training.average import MovingAverage
from ta2net.training.global_norm import with_global_norms
from ta2net.training.identity import run_identity
from ta2net.training.live import LiveLog
from ta2net.training.optimizer import learning_rate, make_optimizer
from ta2net.training.processes import ShareLoader, leave, make_fabric, places_of
from ta2net.training.progress import Progress, TimedBatches, as_csv
from ta2net.training.provenance import provenance
from ta2net.training.resume import State, resume_from, seed_process, write_state
from ta2net.training.rule import choose_threshold
from ta2net.training.step import Losses, Step
from ta2net.training.validation import Validation

LOG_EVERY_STEPS = 10


class TrainingError(UserError):
    """Training cannot go on. All processes find that out together; one of them says it."""

    def __init__(self, message: str, *, quiet: bool = False) -> None:
        super().__init__(message)
        self.quiet = quiet

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, unless another process does."""
        if not self.quiet:
            super().show(file)


class Trainer:
    """One run: model, optimiser and data, from the first step or from the last checkpoint.

    Attributes:
        first: whether this process is the one that validates, writes and speaks.
    """

    def __init__(self, params: Params) -> None:
        self.params = params
        self.method = cast(NetworkMethod, method_of(params.method))
        self.fabric = make_fabric(params.train)
        self.first = self.fabric.is_global_zero
        self.run = Path(params.train.dir)
        self.store = open_store(params.store)
        catalog = read_catalog(params.source.catalog)
        with nullcontext() if self.first else redirect_stderr(StringIO()):  # what is missing is said once
            rows = stored_rows(catalog, self.store, "train")
            validated = stored_rows(catalog, self.store, params.train.validate_on)
        self.plan = ClipPlan(rows, params)
        self.loader = self._loader()
        if params.train.threads:
            torch.set_num_threads(params.train.threads)
        self.state = self._fresh_state()
        self.optimize = Step(
            self.fabric,
            self.method,
            self.state.model,
            self.state.optimizer,
            params,
            float(self.store.coding.scale),
        )
        self.validation = Validation(validated, self.store, params, self.result, self.fabric.device)
        self.provenance = provenance() if self.first else {}
        self.data = {
            "source": params.source.name,
            "train": data_section(rows, "train"),
            "validation": data_section(validated, params.train.validate_on),
        }
        self.identity = run_identity(params, rows + validated, self.store)

    def _loader(self) -> ClipLoader:
        """Makes whole batches, or the share of this process.

        Raises:
            ProcessesError: the batch cannot be cut into equal shares.
        """
        fabric, params = self.fabric, self.params
        places = places_of(fabric.global_rank, fabric.world_size, params.optim.accumulate, params.clips.batch)
        if len(places) == params.clips.batch:
            return ClipLoader(self.plan.rows, self.store, params, fabric.device)
        return ShareLoader(self.plan.rows, self.store, params, places, fabric.device)

    def _fresh_state(self) -> State:
        """The network, the same in every process, and what belongs to it."""
        params, fabric = self.params, self.fabric
        torch.manual_seed(params.train.seed)
        model = self.method.build(params.method, clip_shape(params)).to(fabric.device)
        if params.train.fast:
            accelerate(model, fabric.device)
        if fabric.world_size > 1:
            with_global_norms(model, fabric.device)
        average = MovingAverage(model, params.optim.ema) if params.optim.ema else None
        pretrained = self.method.groups(params.method, model).get("pretrained", ())
        optimizer = make_optimizer(model, params.optim, pretrained)
        if not self.first:
            seed_process(params.train.seed, 0, fabric.global_rank)
        return State(fabric, model, optimizer, average, Progress())

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.state.progress

    @property
    def result(self) -> nn.Module:
        """The network that is validated and kept: the averaged one, if there is an average."""
        return self.state.model if self.state.average is None else self.state.average.model

    def fit(self) -> Progress:
        """Train to ``train.steps``, validating, checkpointing and logging on the way."""
        self.resume()
        train, first_step = self.params.train, self.progress.step
        live = LiveLog(self.run / "live", self.progress) if self.first else None
        recent: list[Losses] = []
        timed = TimedBatches(self.loader.batches(first_step, train.steps))
        shown = None if self.first else True
        with tqdm(total=train.steps, initial=first_step, desc="train", unit="step", disable=shown) as bar:
            for batch in timed:
                recent.append(self.step(batch))
                self.progress.step += 1
                bar.update()
                step, last = self.progress.step, self.progress.step == train.steps
                validates = step % train.validate_every == 0 or last
                saves = step % train.checkpoint_every == 0 or last
                # before a validation and a checkpoint: neither may see a network that is no number
                if step % LOG_EVERY_STEPS == 0 or validates or saves:
                    self.log(recent, timed, live)
                    recent = []
                if validates:
                    self.validate(live)
                    bar.set_postfix(best_f1=f"{self.progress.best_f1:.3f}")
                if saves:
                    self.save()
        return self.progress

    def step(self, batch: Batch) -> Losses:
        """One optimisation step with this process's share of the batch."""
        params = self.params
        losses = self.optimize(batch, learning_rate(self.progress.step, params.train.steps, params.optim))
        if self.state.average is not None:
            self.state.average.update(self.state.model)
        return losses

    def log(self, recent: list[Losses], timed: TimedBatches, live: LiveLog | None) -> None:
        """Record the mean losses of the last few steps and how long they waited for data.

        Raises:
            TrainingError: a loss is not finite; names the step and its rows.
        """
        step, names = self.progress.step, tuple(recent[0])
        values = torch.stack([torch.stack([x[name] for name in names]) for x in recent]).cpu()
        self._check_finite(values, names, step - len(recent))
        means = dict(zip(names, values.mean(dim=0).tolist(), strict=True))
        rate = learning_rate(step - 1, self.params.train.steps, self.params.optim)
        self.progress.losses.append({"step": step, "lr": rate, **means})
        self.progress.record_time(*timed.interval())
        if live is not None:
            live.interval(self.progress.losses[-1], self.progress.stalls[-1])

    def _check_finite(self, values: Tensor, names: Sequence[str], first_step: int) -> None:
        """``values``: (steps, terms). All processes hold the same numbers, so all of them stop or none."""
        broken = (~values.isfinite().all(dim=1)).nonzero()
        if not len(broken):
            return
        step = first_step + int(broken[0])
        clips = self.plan.clips(step)
        rows = ", ".join(sorted({clip.row.row_id for clip in clips}))
        said = dict(zip(names, values[int(broken[0])].tolist(), strict=True))
        raise TrainingError(
            f"the loss is not a finite number at step {step + 1} ({said}). "
            f"Rows in this batch: {rows}. Try a lower optim.lr or train.precision: fp32.",
            quiet=not self.first,
        )

    def validate(self, live: LiveLog | None) -> None:
        """Score the validation rows; the weights of the best F1 so far become the run's result.

        The first process does it and the others wait.
        """
        if self.first:
            judgement = self.validation.judge()
            point, best_f1 = judgement.point, self.progress.best_f1
            record = {"step": self.progress.step, "f1_at_2": point.f1, "threshold": point.threshold}
            self.progress.validations.append(record)
            # of equals the later one: it has seen more, at a lower learning rate
            if point.f1 >= best_f1:
                files.write_trained(
                    self.run / files.BEST,
                    self.result,
                    self.params,
                    asdict(self.validation.thresholds(judgement)),
                    record,
                    self.provenance,
                    operating_points={name: asdict(one) for name, one in judgement.points.items()},
                    data=self.data,
                )
            if live is not None:
                live.validation(record, judgement.scored, point.threshold, self.params.peaks)
        self.fabric.barrier()

    def save(self) -> None:
        """Write a checkpoint to resume from, drop the oldest ones, and write the curves."""
        write_state(self.run, self.state, self.plan, self.params, self.identity, self.provenance)
        if self.first:
            write_text(self.run / "loss.csv", as_csv(self.progress.losses))
            write_text(self.run / "validation.csv", as_csv(self.progress.validations))

    def resume(self) -> None:
        """Go on from the newest checkpoint of the same run; one of another run is deleted.

        A run is the same when its parameters, rows, labels and flows are.
        """
        found = resume_from(self.run, self.identity) if self.first else None
        path = self.fabric.broadcast(str(found.path) if found else None)
        if path is None:
            return
        self.state.load(found or files.read(path), self.params.train.seed)
        if self.first:
            click.echo(f"resuming at step {self.progress.step} of {self.params.train.steps}")


def train(params: Params) -> Progress:
    """Train as ``params`` say and leave ``best.safetensors`` in ``train.dir``."""
    if isinstance(method_of(params.method), Rule):
        return choose_threshold(params)
    progress = Trainer(params).fit()
    leave()
    return progress
