"""The face of a method, and the table of names that ``method.name`` chooses from.

A method is a ``NetworkMethod``, which is trained, or a ``Rule``, of which only a threshold is chosen. Nothing
else in the program knows one method from another; CONTRIBUTING.md says how to add one. This file loads
without PyTorch, and so should a method's own module: parameter files name methods, and reading one takes no
seconds.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, field_validator

from ta2net.methods.params import MethodParams

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ta2net.methods.batch import Batch

INPUTS = ("frames", "velocity", "inflection")
"""What a method may read: frames uint8 RGB (B, T, 3, H, W); velocity in px per frame at store resolution and
inflection in px per frame squared, both (B, T, 2, 2, H, W): direction (forward, backward), (u, v)."""

DEFAULT_METHOD = "ta2net"

HOMES: Mapping[str, str] = {
    "ta2net": "ta2net.methods.ta2net",
    "motion_energy": "ta2net.methods.rules",
    "inflection_peak": "ta2net.methods.rules",
}
"""The methods that come with the program, and the modules whose ``METHODS`` hold them."""

ENTRY_POINTS = "ta2net.methods"
"""Packages bring methods of their own as entry points of this group: ``name = "module:OBJECT"``."""


@dataclass(frozen=True)
class Term:
    """One term of an objective, ``weight * mean(output)``.

    The count depends on the batch alone. So means over different things can be put together from the parts of
    a batch (``optim.accumulate``), each weighted by what it counts, before the network has seen the later
    parts.

    Attributes:
        mean: the network's output -> a scalar, the mean over what is counted (0 where nothing is).
        count: how many things the mean is over; 1 for what is no mean over labels.
        weight: of the term in the objective.
    """

    mean: Callable[[Any], Tensor]
    count: Tensor | float
    weight: float


@dataclass(frozen=True)
class FrameScores:
    """What a network says of the frames of clips.

    Attributes:
        probability: of a hit, (B, T) in [0, 1].
        localization: where, (B, T, h, w) in [0, 1]; None: the method does not say.
        offset: signed frames to the nearest hit, (B, T); None likewise.
    """

    probability: Tensor
    localization: Tensor | None = None
    offset: Tensor | None = None


@dataclass(frozen=True)
class ClipShape:
    """Of what a network is shown: at most ``frames`` frames of ``height`` x ``width`` px."""

    frames: int
    height: int
    width: int


class Method(ABC):
    """What gives every frame of a video a probability.

    Attributes:
        name: as in ``method.name``.
        Params: its section of the parameter file; ``name: Literal[...]`` is its own name.
    """

    name: ClassVar[str]
    Params: ClassVar[type[MethodParams]]

    @abstractmethod
    def reads(self, params: Any) -> frozenset[str]:
        """Which of ``INPUTS``; a network takes them under these names."""


class NetworkMethod(Method):
    """A network that is trained.

    Its ``forward`` takes the inputs that ``reads`` gives and ``valid``, (B, T) bool, False for padded frames,
    all by keyword; it returns tensors whose first axis is B, in a (named) tuple or a dictionary.

    Attributes:
        parts: the network's children -> what they are called in ``ta2net describe``; without it their own
        names.
    """

    parts: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def build(self, params: Any, clip: ClipShape) -> nn.Module:
        """A fresh network.

        Raises:
            WeightsError: pretrained weights cannot be had or do not fit.
        """

    def without_weights(self, params: Any) -> Any:
        """``params`` of the same network that looks for no pretrained weights: its own are about to be
        loaded."""
        return params

    @abstractmethod
    def objective(self, params: Any, batch: Batch) -> dict[str, Term]:
        """The terms of the training objective by name, in the order in which they are added."""

    @abstractmethod
    def scores(self, output: Any) -> FrameScores:
        """What the network's output says of each frame."""

    def groups(self, params: Any, network: nn.Module) -> Mapping[str, list[nn.Parameter]]:
        """The parameters that come ``pretrained``, which may learn more slowly; all others start from
        scratch."""
        del params, network
        return {}


@runtime_checkable
class LooksOnce(Protocol):
    """A network whose work on each frame alone can be kept: windows that overlap then cost little more."""

    def look(self, **inputs: Tensor) -> tuple[Tensor, ...]:
        """All that concerns each frame alone: inputs (k, ...) -> what ``judge`` needs, each (k, ...)."""
        ...

    def judge(self, *seen: Tensor, valid: Tensor) -> Any:
        """What was seen (B, T, ...) and valid (B, T) -> an output, as ``forward`` gives it; enough for
        ``scores``."""
        ...


class Rule(Method):
    """A formula that needs no training; validation rows choose its threshold.

    ``measure`` takes the pictures in pieces, ``curve`` what was measured of all frames: a film of any length.
    """

    @abstractmethod
    def measure(self, fields: Any, steps_per_px: float) -> NDArray[np.float64]:
        """Some numbers of each frame alone.

        Args:
            fields: has ``frames`` (k, 3, H, W), ``velocity`` and ``inflection`` (k, 2, 2, H, W), coded.
            steps_per_px: divides coded values to px.

        Returns:
            (k, m).
        """

    @abstractmethod
    def curve(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """The measures (n, m) of a whole film -> a score in [0, 1] of each frame, (n,)."""


_REGISTERED: dict[str, Method] = {}


def register(method: Method) -> None:
    """Make a method known to this process, whatever its module; an installed package uses an entry point."""
    _REGISTERED[method.name] = method


def names() -> list[str]:
    """All names that ``method.name`` takes here."""
    found = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return sorted({*HOMES, *_REGISTERED, *found})


def method_named(name: str) -> Method:
    """The method of a name.

    Raises:
        KeyError: there is none.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name in HOMES:
        return next(method for method in import_module(HOMES[name]).METHODS if method.name == name)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        method: Method = point.load()
        return method
    raise KeyError(name)


def method_of(params: MethodParams) -> Method:
    """The method that a section belongs to."""
    return method_named(params.name)


def section_of(name: object) -> type[MethodParams]:
    """The parameters' class of a method; of a name that nothing has, one that refuses it in words."""
    try:
        return method_named(str(name)).Params
    except KeyError:
        return UnknownMethod


@cache
def default_params() -> MethodParams:
    """The section ``method`` of a file that has none."""
    return section_of(DEFAULT_METHOD)()  # type: ignore[call-arg]


class UnknownMethod(MethodParams):
    """Stands in for a method that is not there, so that its name is an error like any other entry."""

    model_config = ConfigDict(extra="allow")
    name: str = ""

    @field_validator("name")
    @classmethod
    def _refuse(cls, name: str) -> str:
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(names())}"
        raise ValueError(f"no method is called {name!r}; {hint}")
