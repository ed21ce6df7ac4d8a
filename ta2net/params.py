"""The sections of ``params.yaml`` that the model plane reads, and ``Params``: both planes together."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, create_model, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from pipeline.errors import ParamsError
from pipeline.files.atomic import write_text
from pipeline.files.plain import read_text
from pipeline.params import (
    MAX_PARAMS_BYTES,
    Count,
    DataParams,
    Fraction01,
    NonNegative,
    Positive,
    PositiveFloat,
    Section,
    parse_params,
    read_yaml,
)
from ta2net.methods.method import DEFAULT_METHOD, default_params, section_of
from ta2net.methods.params import MethodParams


class TargetsParams(Section):
    """What a frame is trained on: the same for every method."""

    sigma_frames: PositiveFloat = 2.0
    """Standard deviation of the Gaussian around every hit."""
    cut_frames: Count = 3
    """Frames further from a hit than this are silent, and no offset is learnt there."""
    dilation_frames: Count = 0
    """Frames so near to a hit count as hits, too, in the hard labels of the focal loss."""


class ClipsParams(Section):
    """What a training batch is made of."""

    frames: Annotated[int, Field(ge=4)] = 64
    batch: Positive = 4
    flip: bool = True
    """Mirror half of the clips left to right (u changes its sign)."""
    reverse: bool = True
    """Play half of the clips backwards (forward and backward fields change places): a bounce stays one."""
    jitter: Fraction01 = 0.0
    """Strength of a random change of brightness, contrast, saturation and hue, one for a whole clip."""
    mixup: NonNegative = 0.0
    """Alpha of the beta distribution that two clips of a batch are blended by; 0 = never."""
    cache_bytes: Count = 2_000_000_000
    """Decoded rows are kept in memory up to so many bytes."""
    loader_threads: Positive = 1
    gpu_cache_bytes: Count = 16_000_000_000
    """On a GPU all rows are kept there if they fit in this and in half of what is free."""


class OptimParams(Section):
    """The optimiser and its schedule."""

    name: Literal["adam", "adamw"] = "adamw"
    lr: PositiveFloat = 2e-3
    weight_decay: NonNegative = 0.01
    scratch_lr_scale: PositiveFloat = 1.0
    """Layers without pretrained weights learn so many times faster (the authors' code: 10)."""
    bias_lr_scale: PositiveFloat = 1.0
    """Biases learn so many times faster (the authors' code: 2)."""
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Count = 40
    clip_norm: NonNegative = 1.0
    """Gradients are scaled down to this norm; 0 = never."""
    accumulate: Positive = 1
    """A step's batch goes through the network in so many equal parts: less memory, but batch norm and the
    contrastive loss see one part at a time."""
    ema: Fraction01 = 0.0
    """Validate and keep an exponential moving average of the weights with this decay per step; 0 = none."""


class TrainParams(Section):
    """One training run."""

    dir: str = "data/run"
    steps: Positive = 900
    seed: Count = 0
    validate_every: Positive = 100
    validate_on: Literal["val", "train"] = "val"
    """train = choose thresholds and weights on the very rows that are learnt: shows that the machinery can
    learn them by heart, and nothing else."""
    checkpoint_every: Positive = 25
    keep: Positive = 2
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto = bf16 where it is faster than fp32 (CUDA, CPUs with AMX, AMD's with AVX-512 bfloat16)."""
    device: str = "auto"
    threads: Count = 0
    """CPU threads of the network; 0 = one per core."""
    fast: bool = True
    """Compute the same in less time where a faster way is known (``ta2net.fast``); False: as written."""


class InferParams(Section):
    """Windows at inference."""

    stride: Positive = 32
    batch: Positive = 4
    flip_average: bool = False
    """Score every window as it is and mirrored, and take the mean: twice the work."""


class PeaksParams(Section):
    """From scores to hits."""

    min_distance: Positive = 2
    smoothing_frames: NonNegative = 1.0
    """Standard deviation of the Gaussian that smooths scores before peaks are sought; 0 = none."""
    max_offset_frames: Count = 3
    """With a method that gives offsets a peak is moved to where the hit is said to be, at most so far."""


class EvaluationParams(Section):
    """Where the evaluation writes."""

    dir: str = "data/evaluation"
    metrics: str = "metrics.json"
    split: Literal["train", "val", "eval"] = "eval"
    pictures: Count = 4
    """How many rows get a picture of their score curve."""
    bootstrap: Count = 1000
    """Resamplings of the videos behind every 95 % interval; 0 = no intervals."""


class Params(DataParams):
    """Everything in ``params.yaml``."""

    targets: TargetsParams = TargetsParams()
    method: SerializeAsAny[MethodParams] = Field(default_factory=default_params)
    """The method's own section, of the class that ``method.name`` chooses."""
    clips: ClipsParams = ClipsParams()
    optim: OptimParams = OptimParams()
    train: TrainParams = TrainParams()
    infer: InferParams = InferParams()
    peaks: PeaksParams = PeaksParams()
    evaluation: EvaluationParams = EvaluationParams()

    @model_validator(mode="after")
    def _stride_covers(self) -> Params:
        if self.infer.stride > self.clips.frames:
            raise ValueError(
                f"infer.stride ({self.infer.stride}) is larger than clips.frames ({self.clips.frames}): "
                "frames between the windows would get no score"
            )
        return self


def read(path: str | Path) -> Params:
    """Read and check a parameter file.

    Raises:
        ParamsError: with every wrong entry of the file.
    """
    return parse(read_yaml(path), str(path))


def parse(document: Any, origin: str) -> Params:
    """Check a document, its section ``method`` against the method that this names.

    Raises:
        ParamsError: with every wrong entry; ``origin`` names the file.
    """
    named: Any = None
    if isinstance(document, dict):
        if old := [key for key in MOVED if key in document]:
            raise ParamsError(
                f"{origin}: written for version 0.1, when there was one method: "
                + ", ".join(f"{key} is now {MOVED[key]}" for key in old)
                + f". Rewrite it with `ta2net params {origin} --out {origin}`"
            )
        named = document.get("method")
    name = named.get("name", DEFAULT_METHOD) if isinstance(named, dict) else DEFAULT_METHOD
    checked = parse_params(document, _with_section(section_of(name)), origin)
    return Params.model_construct(**{field: getattr(checked, field) for field in Params.model_fields})


@cache
def _with_section(section: type[MethodParams]) -> type[Params]:
    """``Params`` whose ``method`` is of one class, so that its errors are told with all others."""
    return create_model("Params", __base__=Params, method=(section, Field(default_factory=section)))


MOVED = {"model": "method", "contrast": "method.contrast", "loss": "method.loss and targets"}
"""Sections of version 0.1, which had one method, and where their entries are now."""


def modernized(document: Any) -> Any:
    """A parameter file of version 0.1, or a part of one, in today's sections; today's as they are."""
    if not isinstance(document, dict) or not document.keys() & MOVED.keys():
        return document
    new = {key: value for key, value in document.items() if key not in MOVED}
    loss = document.get("loss") or {}
    targets = {key: value for key, value in loss.items() if key in TargetsParams.model_fields}
    method = {
        **(document.get("model") or {}),
        "contrast": document.get("contrast") or {},
        "loss": {key: value for key, value in loss.items() if key not in targets},
    }
    moved = {"method": {key: value for key, value in method.items() if value != {}}, "targets": targets}
    for key, values in moved.items():
        if values:
            new[key] = overlay(values, new.get(key) or {})
    return new


def overlay(base: Any, difference: Any) -> Any:
    """``base`` with the entries of ``difference`` put over it, section by section; neither is changed.

    A section ``method`` of another name takes the place of the whole: methods share no entries.
    """
    if not isinstance(base, dict) or not isinstance(difference, dict):
        return difference
    merged = dict(base)
    for key, value in difference.items():
        replaces = key not in base or (key == "method" and _other_name(base[key], value))
        merged[key] = value if replaces else overlay(base[key], value)
    return merged


def _other_name(base: Any, difference: Any) -> bool:
    return (
        isinstance(base, dict)
        and isinstance(difference, dict)
        and "name" in difference
        and difference["name"] != base.get("name")
    )


def compose_params(configs: Iterable[Path], out: Path) -> Params:
    """Write the defaults with every file of ``configs`` laid over them to ``out``; keep its comments.

    Raises:
        ParamsError: a config cannot be read, or what results is not valid.
    """
    defaults = Params().model_dump(mode="json")
    document, origin = defaults, []
    for path in configs:
        document = overlay(document, modernized(read_yaml(path) or {}))
        origin.append(str(path))
    params = parse(document, " + ".join(origin) or "defaults")
    write_params(params, out)
    return params


def write_params(params: Params, out: Path) -> None:
    """Write ``params`` as YAML; comments of an existing file are kept.

    Raises:
        ParamsError: what stands at ``out`` is not a YAML file.
    """
    yaml = YAML()
    yaml.width = 110
    try:
        target = yaml.load(read_text(out, MAX_PARAMS_BYTES)) if out.exists() else None
    except (YAMLError, ValueError, OSError, RecursionError) as error:
        raise ParamsError(
            f"{out}: cannot be read as a parameter file ({error}), so its comments would be lost; delete "
            "it or give another name"
        ) from error
    target = target if isinstance(target, CommentedMap) else CommentedMap()
    _assign(target, params.model_dump(mode="json"))
    text = io.StringIO()
    yaml.dump(target, text)
    write_text(out, text.getvalue())


def _assign(target: CommentedMap, values: dict[str, Any]) -> None:
    """Give ``target`` exactly the entries of ``values``, touching only what differs."""
    for key in [key for key in target if key not in values]:
        del target[key]
    for key, value in values.items():
        if isinstance(value, dict):
            if not isinstance(target.get(key), CommentedMap):
                target[key] = CommentedMap()
            _assign(target[key], value)
        elif key not in target or target[key] != value:
            target[key] = value
