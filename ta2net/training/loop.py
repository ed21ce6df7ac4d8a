"""Trains TA2Net on the flow store; may be killed at any step and run again."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import click
import torch
from torch.optim import Optimizer
from tqdm import tqdm

from pipeline.atomic import write_text
from pipeline.catalog import Row, read_catalog
from pipeline.device import autocast, chosen_device
from pipeline.errors import UserError
from pipeline.store import FlowStore
from ta2net.hits.evaluation import (
    Thresholds,
    labelled,
    network_thresholds,
    rule_curves,
    rule_thresholds,
    score_rows,
)
from ta2net.hits.rows import stored_rows
from ta2net.hits.scoring import Scorer
from ta2net.hits.threshold import OperatingPoint, best_threshold
from ta2net.model.ta2net import TA2Net
from ta2net.params import Params
from ta2net.training import checkpoint as files
from ta2net.training.clips import Batch, ClipLoader
from ta2net.training.losses import Losses, objective
from ta2net.training.optimizer import learning_rate, make_optimizer, set_learning_rate

LOG_EVERY_STEPS = 10
LOSSES = ("total", "action", "contrast", "smoothness")


class TrainingError(UserError):
    """Training cannot start or cannot go on with what it was given."""


@dataclass
class Progress:
    """What a run has learnt about itself; saved with every checkpoint."""

    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)

    @property
    def best_f1(self) -> float:
        """The highest event F1 at 2 frames on validation rows so far, -1 before the first."""
        return max((entry["f1_at_2"] for entry in self.validations), default=-1.0)


class Trainer:
    """One run: model, optimiser and data, from the first step or from the last checkpoint."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.device = chosen_device(params.train.device)
        self.run = Path(params.train.dir)
        self.store = FlowStore(params.store.path)
        catalog = read_catalog(params.source.catalog)
        self.rows = stored_rows(catalog, self.store, "train")
        self.validation = stored_rows(catalog, self.store, "val")
        if params.train.threads:
            torch.set_num_threads(params.train.threads)
        torch.manual_seed(params.train.seed)
        self.model = TA2Net(params.model, params.clips.frames).to(self.device)
        pretrained = params.model.pretrained != "none"
        self.optimizer: Optimizer = make_optimizer(self.model, params.optim, pretrained=pretrained)
        self.scorer = Scorer(self.model, params, self.device)
        self.rule_thresholds = rule_thresholds(
            self.validation,
            rule_curves(self.validation, self.store, params.kinematics.edges),
            params.peaks,
        )
        self.progress = Progress()
        self.identity = run_identity(params, self.rows + self.validation, self.store)

    def fit(self) -> Progress:
        """Train to ``train.steps``, validating, checkpointing and logging on the way."""
        self.resume()
        train = self.params.train
        loader = ClipLoader(self.rows, self.store, self.params)
        recent: list[Losses] = []
        bar = tqdm(total=train.steps, initial=self.progress.step, desc="train", unit="step", disable=None)
        with bar:
            for batch in loader.batches(self.progress.step, train.steps):
                recent.append(self.step(batch))
                self.progress.step += 1
                bar.update()
                step, last = self.progress.step, self.progress.step == train.steps
                if step % LOG_EVERY_STEPS == 0 or last:
                    self.log(recent, loader)
                    recent = []
                if step % train.validate_every == 0 or last:
                    point = self.validate()
                    bar.set_postfix(val_f1=f"{point.f1:.3f}", best=f"{self.progress.best_f1:.3f}")
                if step % train.checkpoint_every == 0 or last:
                    # what has not been logged yet belongs to the steps before the checkpoint
                    self.log(recent, loader)
                    recent = []
                    self.save()
        return self.progress

    def step(self, batch: Batch) -> Losses:
        """One optimisation step."""
        params = self.params
        self.model.train()
        data = batch.to(self.device)
        steps_per_px = float(self.store.coding.scale)
        set_learning_rate(self.optimizer, learning_rate(self.progress.step, params.train.steps, params.optim))
        with autocast(self.device, params.train.precision):
            output = self.model(
                data.frames,
                data.velocity.float() / steps_per_px,
                data.inflection.float() / steps_per_px,
                data.valid,
            )
        losses = objective(output, data.soft, data.hard, data.valid, data.known, params.loss, params.contrast)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        if params.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), params.optim.clip_norm)
        self.optimizer.step()
        return replace(losses, total=losses.total.detach())

    def log(self, recent: list[Losses], loader: ClipLoader) -> None:
        """Record the mean losses of the last few steps; a loss that is no number ends the run.

        Raises:
            TrainingError: a loss is not finite; names the rows of those steps.
        """
        if not recent:
            return
        step = self.progress.step
        means = {
            name: float(torch.stack([getattr(losses, name) for losses in recent]).mean()) for name in LOSSES
        }
        if not all(math.isfinite(value) for value in means.values()):
            clips = [clip for s in range(step - len(recent), step) for clip in loader.plan.clips(s)]
            names = ", ".join(sorted({clip.row.row_id for clip in clips}))
            raise TrainingError(
                f"the loss is not a finite number between steps {step - len(recent)} and {step} ({means}). "
                f"Rows in these batches: {names}. Try a lower optim.lr or train.precision: fp32."
            )
        rate = learning_rate(step - 1, self.params.train.steps, self.params.optim)
        self.progress.losses.append({"step": step, "lr": rate, **means})

    def validate(self) -> OperatingPoint:
        """Score the validation rows; the weights of the best F1 so far become the run's result."""
        peaks = self.params.peaks
        scored = score_rows(self.validation, self.store, self.scorer, quiet=True)
        videos = labelled(self.validation, [item.scores.probability for item in scored])
        point = best_threshold(videos, peaks)
        # of equals the later one: it has seen more, at a lower learning rate
        better = point.f1 >= self.progress.best_f1
        record = {"step": self.progress.step, "f1_at_2": point.f1, "threshold": point.threshold}
        self.progress.validations.append(record)
        if better:
            thresholds = Thresholds(**network_thresholds(videos, peaks), **self.rule_thresholds)
            files.write_model(self.run / files.BEST, self.model, self.params, asdict(thresholds), record)
        return point

    def save(self) -> None:
        """Write a checkpoint to resume from, drop the oldest ones, and write the curves."""
        name = self.run / "resume" / f"step-{self.progress.step:08d}.safetensors"
        tensors = {
            **files.with_prefix(self.model.state_dict().items(), "model"),
            **files.with_prefix(files.optimizer_tensors(self.optimizer).items(), "optimizer"),
            "rng.cpu": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        files.write(name, tensors, {"identity": self.identity, "progress": asdict(self.progress)})
        for old in resumable(self.run)[: -self.params.train.keep]:
            old.unlink()
        write_text(self.run / "loss.csv", as_csv(self.progress.losses))
        write_text(self.run / "validation.csv", as_csv(self.progress.validations))

    def resume(self) -> None:
        """Go on from the newest checkpoint of the same run; one of another run is deleted.

        A run is the same when its parameters, rows, labels and flows are.
        """
        for half_written in self.run.rglob(".*.tmp"):  # by a run that was killed; never readable
            half_written.unlink()
        for path in reversed(resumable(self.run)):
            found = files.read(path)
            if found.document.get("identity") != self.identity:
                click.echo(f"{path.name} belongs to other parameters or data: not resumed, deleted")
                path.unlink()
                continue
            files.load_module(self.model, found)
            files.load_optimizer(self.optimizer, files.without_prefix(found.tensors, "optimizer"))
            torch.set_rng_state(found.tensors["rng.cpu"])
            if self.device.type == "cuda" and "rng.cuda" in found.tensors:
                torch.cuda.set_rng_state(found.tensors["rng.cuda"], self.device)
            self.progress = Progress(**found.document["progress"])
            click.echo(f"resuming at step {self.progress.step} of {self.params.train.steps}")
            return
        # a network of another run must not be taken for this one's
        (self.run / files.BEST).unlink(missing_ok=True)


def run_identity(params: Params, rows: tuple[Row, ...], store: FlowStore) -> str:
    """A fingerprint of all that a run's result depends on."""
    document = params.model_dump(mode="json")
    relevant = {
        key: document[key]
        for key in ("kinematics", "model", "contrast", "loss", "clips", "optim", "train", "infer", "peaks")
    }
    for place in ("dir", "device", "keep", "checkpoint_every", "threads"):
        del relevant["train"][place]
    for speed in ("cache_bytes", "loader_threads"):
        del relevant["clips"][speed]
    data = [
        (row.row_id, row.split, row.hits, row.annotated_until, store.fingerprint(row.row_id)) for row in rows
    ]
    return sha256(json.dumps([relevant, data], sort_keys=True).encode()).hexdigest()


def resumable(run: Path) -> list[Path]:
    """The checkpoints a run can go on from, oldest first."""
    return sorted((run / "resume").glob("step-*.safetensors"))


def as_csv(entries: list[dict[str, float]]) -> str:
    """Records of one shape as CSV with a header line."""
    text = io.StringIO()
    if entries:
        writer = csv.DictWriter(text, fieldnames=list(entries[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    return text.getvalue()


def train(params: Params) -> Progress:
    """Train as ``params`` say and leave ``best.safetensors`` in ``train.dir``."""
    return Trainer(params).fit()
