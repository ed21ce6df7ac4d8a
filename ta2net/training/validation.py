"""Scores the validation rows and chooses every threshold on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from pipeline.catalog import Row
from pipeline.store import FlowStore
from ta2net.evaluation.metrics_json import (
    ScoredRow,
    Thresholds,
    rule_curves,
    rule_thresholds,
    score_rows,
)
from ta2net.evaluation.threshold import (
    LabelledScores,
    OperatingPoint,
    best_frame_threshold,
    sensitivity_points,
)
from ta2net.hits.scoring import make_scorer
from ta2net.params import Params


@dataclass(frozen=True)
class Judgement:
    """What validation rows say of the network at one step.

    Attributes:
        points: by the name of the sensitivity.
    """

    scored: Sequence[ScoredRow]
    videos: Sequence[LabelledScores]
    points: Mapping[str, OperatingPoint]

    @property
    def point(self) -> OperatingPoint:
        """The point of the best event F1 at 2 frames."""
        return self.points["normal"]


class Validation:
    """The validation rows, and a method that is judged by them."""

    def __init__(
        self,
        rows: tuple[Row, ...],
        store: FlowStore,
        params: Params,
        network: nn.Module | None,
        device: torch.device,
    ) -> None:
        self.rows, self.store, self.params = rows, store, params
        self.scorer = make_scorer(network, params, device)

    def judge(self) -> Judgement:
        """Score the rows and choose the operating points."""
        scored = score_rows(self.rows, self.store, self.scorer, quiet=True)
        videos = [item.labelled() for item in scored]
        return Judgement(scored, videos, sensitivity_points(videos, self.params.peaks))

    def thresholds(self, judgement: Judgement) -> Thresholds:
        """All thresholds, the network's and those of the untrained rules."""
        frames = best_frame_threshold(judgement.videos)
        return Thresholds(peaks=judgement.point.threshold, frames=frames, **self._of_rules)

    @cached_property
    def _of_rules(self) -> dict[str, float]:
        curves = rule_curves(self.rows, self.store, self.params.kinematics.edges)
        return rule_thresholds(self.rows, curves, self.params.peaks)
