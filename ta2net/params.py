"""The sections of ``params.yaml`` that the model plane reads, and ``Params``: both planes together."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
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
    Positive,
    Section,
    parse_params,
    read_params,
    read_yaml,
)

NonNegative = Annotated[float, Field(ge=0.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]


class AggregationParams(Section):
    """Cross-kinematics aggregation (Eq. 5-6)."""

    attention: bool = True
    """False: no attention; a linear map of the kinematic feature takes its place (Table 4's rows without
    aggregation)."""
    query: Literal["kinematics", "image"] = "kinematics"
    """Who asks: the paper's kinematics, or the image feature as in the authors' code."""
    residual: bool = True
    """Add a linear map of the kinematic feature to what its attention found. In the paper (false) motion
    only steers where the image is looked at, and never reaches the head itself."""


class FusionParams(Section):
    """The fusion head (section 4.3)."""

    branches: Literal["both", "aggregated", "motion"] = "both"
    frame_tokens: bool = True
    """Add each frame's own vector to its row of similarities. The paper's head (false) sees a frame only
    through its likeness to the others and learns many times slower."""
    channels: Positive = 64
    heads: Positive = 4
    similarity_channels: Positive = 16
    hidden: Positive = 128
    dropout: Fraction01 = 0.0
    offset: bool = True
    """Also say how many frames away, with a fraction, the nearest hit is; moves a peak there."""


class ModelParams(Section):
    """The network's shape; the defaults are small enough to train on two CPU cores."""

    backbone: Literal["tiny", "resnet18", "resnet34", "resnet50"] = "tiny"
    pretrained: str = "none"
    """none, imagenet, or a file with torchvision's ResNet weights."""
    channels: Positive = 32
    pictures: bool = True
    """Use the frames themselves. Without them, motion is all there is to go by: what rendered things look
    like says nothing of real ones."""
    motion: bool = True
    """Use velocity. Without motion and inflection the network sees frames only (Table 4's first row)."""
    inflection: bool = True
    velocity_scale_px: PositiveFloat = 4.0
    """Divides velocities before the encoder: a constant, never a clip's own maximum."""
    inflection_scale_px: PositiveFloat = 2.0
    aggregation: AggregationParams = AggregationParams()
    fusion: FusionParams = FusionParams()

    @model_validator(mode="after")
    def _heads_divide(self) -> ModelParams:
        for name, width in (("fusion.channels", self.fusion.channels), ("fusion.hidden", self.fusion.hidden)):
            if width % self.fusion.heads:
                raise ValueError(f"{name} ({width}) must be a multiple of fusion.heads ({self.fusion.heads})")
        if not (self.pictures or self.motion or self.inflection):
            raise ValueError("one of pictures, motion and inflection must be true: the network sees nothing")
        if self.backbone == "tiny" and self.pretrained != "none":
            raise ValueError("the tiny backbone has no pretrained weights; set pretrained: none")
        return self


class ContrastParams(Section):
    """The contrastive loss (Eq. 8-11)."""

    alpha: NonNegative = 0.25
    rank: Literal["row", "global"] = "row"
    frames: Annotated[int, Field(ge=2)] = 256
    """At most so many frames of a batch are contrasted."""


class LossParams(Section):
    """Weights of the objective (Eq. 13-14) and the soft labels."""

    action: NonNegative = 1.0
    cross_entropy: NonNegative = 1.0
    focal: NonNegative = 0.1
    focal_gamma: NonNegative = 2.0
    contrast: NonNegative = 0.01
    smoothness: NonNegative = 0.0
    """The paper: 0.002. Here it flattens the localisation map (docs/results.md)."""
    sigma_frames: PositiveFloat = 2.0
    cut_frames: Count = 3
    dilation_frames: Count = 0
    """Frames so near to a hit count as hits, too, in the hard labels of the focal loss."""
    foreground_weight: PositiveFloat = 1.0
    """How much more a hit frame counts than a silent one, in proportion to its soft label."""
    offset: NonNegative = 0.1
    """Weight of the smooth L1 loss of ``model.fusion.offset``, on frames within ``cut_frames`` of a hit."""


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
    """With ``model.fusion.offset`` a peak is moved to where the hit is said to be, at most so far."""


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

    model: ModelParams = ModelParams()
    contrast: ContrastParams = ContrastParams()
    loss: LossParams = LossParams()
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
    return read_params(path, Params)


def overlay(base: Any, difference: Any) -> Any:
    """``base`` with the entries of ``difference`` put over it, section by section; neither is changed."""
    if not isinstance(base, dict) or not isinstance(difference, dict):
        return difference
    merged = dict(base)
    for key, value in difference.items():
        merged[key] = overlay(base[key], value) if key in base else value
    return merged


def compose_params(configs: Iterable[Path], out: Path) -> Params:
    """Write the defaults with every file of ``configs`` laid over them to ``out``; keep its comments.

    Raises:
        ParamsError: a config cannot be read, or what results is not valid.
    """
    defaults = Params().model_dump(mode="json")
    document, origin = defaults, []
    for path in configs:
        document = overlay(document, read_yaml(path) or {})
        origin.append(str(path))
    params = parse_params(document, Params, " + ".join(origin) or "defaults")
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
