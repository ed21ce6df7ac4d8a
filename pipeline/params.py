"""The sections of ``params.yaml`` that the data plane reads, and the reader of parameter files.

Every section is a frozen, strictly typed model; its defaults are the embedded data set's, so
``params.yaml`` as committed and an empty file mean the same. Unknown keys and wrong types are errors, and
all of them are reported together before any work starts.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import ParamsError
from pipeline.files.address import check_address, without_secrets
from pipeline.files.plain import read_text

LARGEST = 1 << 53
"""Larger whole numbers are mistakes, and no floating point number would hold them."""
LONGEST_SIDE_PX = 1 << 14

Count = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE_PX)]
Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Size = Annotated[tuple[Side, Side], Field(strict=False)]
"""(height, width) in pixels."""
Allowed = Count | Literal["any"]
"""How many failures a stage puts up with before it fails itself."""


class Section(BaseModel):
    """One block of the parameter file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ImpactsParams(Section):
    """The embedded data set, rendered from 2-D physics."""

    dir: str = "data/impacts"
    train_count: Positive = 240
    eval_count: Positive = 60
    duration_s: Annotated[float, Field(ge=1.0, le=600.0)] = 3.2
    size: Size = (128, 128)
    """Both even and at least 64, as the video format and the smallest actors ask."""
    seed: Count = 0
    difficulty: Fraction01 = 0.5
    """Strength of everything that distracts: 0 = a still camera and nothing but the actors."""
    variety: Fraction01 = 0.0
    """How far rates, framing, manners of striking and surfaces leave the usual ones: 0 = not at all, 1 = as
    a network needs it that is to read real video."""
    silent: bool = False
    workers: Count = 0
    """Rendering processes; 0 = one per core."""

    @field_validator("size")
    @classmethod
    def _can_be_filmed(cls, size: tuple[int, int]) -> tuple[int, int]:
        if any(side % 2 or side < 64 for side in size):
            raise ValueError("height and width must be even and at least 64")
        return size


class SourceParams(Section):
    """Where labelled videos come from."""

    name: Literal["impacts", "csv"] = "impacts"
    videos: str = "data/impacts/videos"
    train_labels: str | None = "data/impacts/train.csv"
    eval_labels: str | None = "data/impacts/eval.csv"
    catalog: str = "data/catalog.jsonl"
    report: str = "data/catalog_report.json"
    val_fraction: Fraction01 = 0.15
    """Share of the train groups (films, never single windows) set aside for validation."""
    annotated_frames: Positive | None = None
    """Labels stop here; later frames are unknown, not silent. None = the whole video is labelled. A row with
    ``annotated`` spans of its own keeps to those."""
    group_disjoint: bool = False
    """Leave out eval rows whose group (film, filming session) also occurs in train."""
    allow_refused: Allowed = 0
    """How many label rows may be refused (missing or unreadable video, unusable labels)."""


class DecodeParams(Section):
    """Reading video files."""

    reader: Literal["auto", "decord", "pyav"] = "auto"
    """auto = decord, and PyAV for what decord cannot read."""
    chunk_frames: Positive = 32


class FlowParams(Section):
    """The optical-flow estimator."""

    model: str = "dis"
    """dis, raft_small, raft_large (torchvision), or any ptlflow model name (gmflow, gmflow_refine, ...).

    ptlflow/NAME is ptlflow's own where NAME alone is another's: torchvision's, or our faster GMFlow.
    """
    checkpoint: str | None = None
    """A ptlflow checkpoint name (things, sintel, ...) or a file; None = the estimator's default."""
    size: Size = (192, 192)
    """Where flow is computed. Small frames want to be enlarged: DIS loses small things that move fast."""
    device: str = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of networks; bf16 is some two times faster and about 0.1 px coarser."""
    batch: Positive = 8


class KinematicsParams(Section):
    """What happens to frames that lack a part of the tuple (first two, last two)."""

    edges: Literal["trim", "hold"] = "hold"


class StoreParams(Section):
    """The Zarr flow store."""

    path: str = "data/flows.zarr"
    url: str | None = None
    """Rows lie there, in object storage (s3://bucket/folder, gs://...) or a folder; path then holds only
    manifest.json, which says what is there. Credentials come from the environment."""
    size: Size = (64, 64)
    coding: Literal["int16", "float16"] = "int16"
    scale: Positive = 64
    """Steps per pixel of the fixed-point coding."""
    codec: Literal["lz4", "zstd", "none"] = "lz4"
    chunk_frames: Positive = 16

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str | None) -> str | None:
        return None if url is None else check_address(url)


class SlurmParams(Section):
    """What one SLURM job is given (``build.scheduler: slurm``)."""

    queue: str | None = None
    """The partition."""
    account: str | None = None
    cores: Positive = 4
    memory: str = "16GB"
    walltime: str = "24:00:00"
    """A job that reaches it is followed by another."""
    gpus: Count = 0
    """A row at a time on each; without GPUs one row at a time on all cores."""
    directives: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """More lines for ``#SBATCH``, like --constraint=a100."""
    prologue: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Shell commands before the worker starts, like module load cuda."""
    python: str | None = None
    """The interpreter on the nodes; None = the one that runs the build."""
    interface: str | None = None
    """Network interface that jobs reach this machine by, like ib0."""
    log_dir: str | None = None


class BuildParams(Section):
    """How the flow store is built."""

    scheduler: str = "local"
    """local (each row in a process of its own), threads (in this process), slurm, or the address of a running
    Dask scheduler (tcp://host:8786)."""
    workers: Count = 0
    """Rows at a time; 0 = one per core, or per GPU where flow uses GPUs. With slurm: jobs."""
    allow_failures: Allowed = 0
    failures: str = "data/failures.json"
    retries: Count = 3
    """Of a row after trouble with disk, network or object storage, with growing pauses."""
    row_timeout_s: Annotated[float, Field(ge=0.0)] | None = None
    """A row that takes longer fails. None = from its length; 0 = no limit. (threads: none unless given.)"""
    row_memory_mb: Count | None = None
    """A row that takes more memory fails. None = half of the machine's; 0 = no limit. (threads: as above.)"""
    slurm: SlurmParams = SlurmParams()


class DataParams(Section):
    """All sections of the data plane."""

    impacts: ImpactsParams = ImpactsParams()
    source: SourceParams = SourceParams()
    decode: DecodeParams = DecodeParams()
    flow: FlowParams = FlowParams()
    kinematics: KinematicsParams = KinematicsParams()
    store: StoreParams = StoreParams()
    build: BuildParams = BuildParams()


P = TypeVar("P", bound=Section)

MAX_PARAMS_BYTES = 100_000
MAX_ENTRIES = 10_000
"""Of a parameter file with its aliases written out: a few lines of YAML can stand for a thousand million."""


def read_yaml(path: str | Path) -> Any:
    """Parse a YAML 1.2 file with the safe loader (the one DVC writes for: ``5e-6`` is a number).

    Raises:
        ParamsError: the file is missing, too large or not YAML, or nests or repeats itself without end.
    """
    file = Path(path)
    try:
        text = read_text(file, MAX_PARAMS_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{file}: cannot be read as a text file ({error})") from error
    try:
        document = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except (YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        raise ParamsError(f"{file}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ParamsError(f"{file}: nested too deeply for a parameter file") from error
    if _is_endless(document):
        raise ParamsError(
            f"{file}: with its aliases (*name) expanded it has more than {MAX_ENTRIES} entries; write "
            "plain values instead"
        )
    return document


def _is_endless(document: Any) -> bool:
    """Whether there are more than ``MAX_ENTRIES`` entries; what contains itself has no end of them."""
    waiting, seen = [document], 0
    while waiting and seen <= MAX_ENTRIES:
        entry = waiting.pop()
        seen += 1
        if isinstance(entry, dict):
            waiting.extend(entry.values())
        elif isinstance(entry, (list, tuple, set)):
            waiting.extend(entry)
    return bool(waiting)


def parse_params(document: Any, kind: type[P], origin: str) -> P:
    """Check ``document`` against the model ``kind``; ``origin`` names the file in messages.

    Raises:
        ParamsError: with every wrong entry of the document, one per line.
    """
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise ParamsError(f"{origin}: expected sections (key: value), found {type(document).__name__}")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        lines = [f"  {_describe(entry)}" for entry in error.errors(include_url=False)]
        plural = "entry" if len(lines) == 1 else "entries"
        raise ParamsError("\n".join([f"{origin}: {len(lines)} wrong {plural}:", *lines])) from error


def read_params(path: str | Path, kind: type[P]) -> P:
    """Read and check a parameter file.

    Raises:
        ParamsError: see ``read_yaml`` and ``parse_params``.
    """
    return parse_params(read_yaml(path), kind, str(path))


def _describe(entry: Any) -> str:
    """One validation error as ``section.key: what is wrong (got ...)``."""
    # pydantic names the tried branch of a union in the location; the user knows only the keys
    keys = [
        str(part) for part in entry["loc"] if str(part) not in {"int", "literal['any']", "constrained-int"}
    ]
    where = ".".join(keys)
    if entry["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    shown = entry["input"]
    if isinstance(shown, float) and not math.isfinite(shown):
        return f"{where}: must be a finite number (got {shown})"
    text = without_secrets(repr(shown))
    return f"{where}: {entry['msg'].lower()} (got {text if len(text) <= 80 else text[:77] + '...'})"
