"""The figures by the rule of the authors' published code, for comparison with numbers made by it only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ta2net.evaluation.bootstrap import Quotient, mean_over
from ta2net.evaluation.metrics import Figures, Judged, averaged, count_quotients

TOLERANCE_FRAMES = 3


def reference_code_quotients(videos: Sequence[Judged]) -> dict[str, Quotient]:
    """What each video adds to the figures of ``reference_code_metrics``."""
    recall, precision, f1 = (np.zeros(len(videos)) for _ in range(3))
    position_error = np.full(len(videos), np.nan)
    for index, video in enumerate(videos):
        if len(video.predicted) == 0:
            position_error[index] = 0.0
            continue
        to_label, to_predicted = _nearest(video.predicted, video.labelled)
        right = to_label <= TOLERANCE_FRAMES
        precision[index] = right.mean()
        recall[index] = (to_predicted <= TOLERANCE_FRAMES).mean() if to_predicted.size else 0.0
        if right.any():
            f1[index] = 2 * recall[index] * precision[index] / (recall[index] + precision[index])
            position_error[index] = to_label[right].mean()
    silent = np.array([len(v.predicted) == 0 for v in videos], bool)
    counts = count_quotients(
        np.array([len(v.predicted) for v in videos], np.int64),
        np.array([len(v.labelled) for v in videos], np.int64),
    )
    for name in counts:
        counts[name] = Quotient(np.where(silent, 0.0, counts[name].numerator), counts[name].denominator)
    return {
        "recall": mean_over(recall),
        "precision": mean_over(precision),
        "f1": mean_over(f1),
        "nme": counts["nme"],
        "pme": mean_over(position_error, np.isfinite(position_error)),
        "mae": counts["mae"],
        "obo": counts["obo"],
    }


def reference_code_metrics(videos: Sequence[Judged]) -> Figures:
    """The names of ``paper_metrics`` by the authors' rule, frames as they are. Per video, then averaged:

    - many-to-one within **3** frames: a label is found if any prediction is that near, and a prediction is
      right if any label is, however many share one; recall = found / labels, precision = right / predictions,
      F1 their harmonic mean;
    - PME: the mean distance of right predictions to their nearest label; videos that have predictions but
      none right define none (``pme_videos_without_match``);
    - NME, MAE, OBO from the counts, as in ``paper_metrics``;
    - a video without predictions scores 0 in *every* figure, even where nothing was to be predicted. For NME,
      PME and MAE, where less is better, that flatters: these are no figures to report.
    """
    return averaged(reference_code_quotients(videos))


def _nearest(
    predicted: NDArray[np.int64], labelled: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every prediction to its nearest label, and of every label to its nearest prediction."""
    distance = np.abs(predicted[:, None] - labelled[None, :]).astype(np.float64)
    return distance.min(axis=1, initial=np.inf), distance.min(axis=0, initial=np.inf)
