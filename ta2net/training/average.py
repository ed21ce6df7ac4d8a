"""An exponential moving average of the network's weights and buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def decay_at(averaged: int, decay: float) -> float:
    """The decay of the next update when ``averaged`` networks are in the average.

    Smaller at first, ``(1 + n) / (10 + n)``, so that the first steps are soon forgotten (as in TensorFlow's
    ExponentialMovingAverage).
    """
    return min(decay, (1 + averaged) / (10 + averaged))


class MovingAverage:
    """``e <- d e + (1 - d) w`` after every step, d as ``decay_at`` says; the first w as it is.

    Whole numbers (how many batches a norm has seen) are not averaged but taken over.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        # without device=, its counter stays on the CPU: reading it does not wait for the device
        self._averaged = AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """The averaged network."""
        return cast(nn.Module, self._averaged.module)

    def update(self, model: nn.Module) -> None:
        """Take one more state of the network in."""
        self._averaged.update_parameters(model)

    def state(self) -> dict[str, Tensor]:
        """What ``load`` needs to go on."""
        return self._averaged.state_dict()

    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state``.

        Raises:
            RuntimeError: names or shapes differ.
        """
        self._averaged.load_state_dict(state)

    @torch.no_grad()
    def _average(self, averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        # torch's own would average whole numbers, too, and has one decay for good: it is made anew each time
        if not torch.is_floating_point(averaged[0]):
            torch._foreach_copy_(list(averaged), list(current))
            return
        decay = decay_at(int(self._averaged.n_averaged), self.decay)
        get_ema_multi_avg_fn(decay)(list(averaged), list(current), count)
