"""Video file -> hits: decoding, flow, looking and judging in one pass whose memory does not grow with length.

Each layer adds one step: ``Frames2Kinematics`` (pipeline), ``Scorer.of_stream``, ``Scores2Hits``,
``File2Hits``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.device import chosen_device
from pipeline.errors import UserError, VideoError
from pipeline.flow import make_estimator
from pipeline.kinematics import MIN_FRAMES, Coding
from pipeline.video.decode import open_video
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import VideoInfo, probe
from ta2net.evaluation.threshold import SENSITIVITIES
from ta2net.hits.decoding import Peaks, row_peaks
from ta2net.hits.hit import Hit, hits_at
from ta2net.hits.inference import with_infer
from ta2net.hits.scoring import Scores, make_scorer
from ta2net.networks.built_in import network_path
from ta2net.networks.checkpoint import load_trained
from ta2net.params import Params, PeaksParams


@dataclass(frozen=True)
class Prediction:
    """What was found in one video.

    Attributes:
        name: the video's name without its extension.
        info: frame count, rate, size and presentation times of the file.
        hits: above ``threshold``, in order.
        scores: of every frame; NaN for frames outside the part that was asked for.
        threshold: on smoothed probabilities.
    """

    name: str
    info: VideoInfo
    hits: tuple[Hit, ...]
    scores: Scores
    threshold: float


@dataclass(frozen=True)
class Scores2Hits:
    """Per-frame scores -> hits.

    Attributes:
        threshold: smoothed probability that a hit must reach.
        peaks: smoothing and least distance.
    """

    threshold: float
    peaks: PeaksParams

    def __call__(self, name: str, scores: Scores, times_s: NDArray[np.float64]) -> tuple[Hit, ...]:
        """The hits of the video ``name``; times_s (n,)."""
        return tuple(hits_at(name, self.found(scores), times_s, scores))

    def found(self, scores: Scores) -> Peaks:
        """Their frames and heights."""
        return row_peaks(scores.probability, self.peaks, scores.offset).above(self.threshold)


class File2Hits:
    """A trained network with all it needs to read video files.

    Attributes:
        params: those the network was trained with; its flow model estimates the flow here, too.
        document: of the checkpoint: thresholds, validation, provenance.
        notes: what was given in place of the checkpoint's own, one line each.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        threshold: float | None = None,
        sensitivity: str | None = None,
        min_distance: int | None = None,
        flow_checkpoint: str | None = None,
        stride: int | None = None,
        flip_average: bool | None = None,
    ) -> None:
        """Load a checkpoint.

        Args:
            checkpoint: a file, or the name of a network that comes with the program; None: the default one.
            threshold: in place of the one that the validation rows chose.
            sensitivity: ``low`` (few false hits), ``normal`` or ``high`` (few missed ones): the threshold
                that the validation rows chose for it, see ``ta2net.evaluation.threshold.SENSITIVITIES``.
            min_distance: least distance of hits in frames, in place of the trained one.
            flow_checkpoint: the flow model's weights, if they lie elsewhere than when it was trained.
            stride: distance of windows in frames, in place of the trained one.
            flip_average: whether every window is also shown mirrored, in place of what it was trained with.

        Raises:
            UserError: the checkpoint, its flow model's weights or the device are not to be had; both a
                threshold and a sensitivity; a sensitivity that the checkpoint does not know; a stride longer
                than a window.
        """
        if threshold is not None and sensitivity is not None:
            raise UserError("give either a threshold or a sensitivity, not both")
        where = chosen_device(device)
        path = network_path(checkpoint)
        trained = load_trained(path, where)
        self.document = trained.document
        self.params, self.notes = with_infer(trained.params, path, stride=stride, flip_average=flip_average)
        peaks = self.params.peaks
        if min_distance is not None:
            peaks = peaks.model_copy(update={"min_distance": min_distance})
        chosen: float = self.document["thresholds"]["peaks"] if threshold is None else threshold
        if sensitivity is not None:
            chosen = threshold_for(sensitivity, self.document, path)
        self.decide = Scores2Hits(chosen, peaks)
        self.score = make_scorer(trained.network, self.params, where)
        self.kinematics = _kinematics(self.params, device, flow_checkpoint)

    def __call__(
        self,
        path: str | Path,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        quiet: bool = True,
    ) -> Prediction:
        """The hits of one video file, or of its part from ``start_s`` to ``end_s`` after its first frame.

        Raises:
            VideoError: the file cannot be read, or the part has too few frames.
        """
        info = probe(path)
        first, stop = part_of(info, start_s, end_s)
        decode = self.params.decode
        video = cut(open_video(info, decode.reader, decode.chunk_frames), first, stop)
        name = Path(path).stem
        with (
            tqdm(total=stop - first, desc=name, unit="frame", disable=True if quiet else None) as bar,
            self.kinematics.overlapped(_counted(video, bar)) as chunks,
        ):
            scores = self.score.of_stream(chunks, float(self.kinematics.coding.scale))
        whole = placed(scores, first, info.n_frames)
        return Prediction(name, info, self.decide(name, whole, info.times_s), whole, self.decide.threshold)


def threshold_for(sensitivity: str, document: Mapping[str, Any], path: Path) -> float:
    """The threshold that validation rows chose for a sensitivity.

    Args:
        document: of the checkpoint ``path``.

    Raises:
        UserError: no such sensitivity, or the checkpoint was trained by a version that chose none.
    """
    if sensitivity not in SENSITIVITIES:
        raise UserError(f"unknown sensitivity {sensitivity!r}; choose one of {', '.join(SENSITIVITIES)}")
    points = document.get("operating_points", {})
    if sensitivity not in points:
        raise UserError(
            f"{path}: an older version trained this network and recorded no sensitivities; give --threshold "
            f"(its own is {document['thresholds']['peaks']:.3f}; lower finds more), or train it again"
        )
    return float(points[sensitivity]["threshold"])


def predict(
    path: str | Path,
    checkpoint: str | Path | None = None,
    *,
    device: str = "auto",
    threshold: float | None = None,
    sensitivity: str | None = None,
    min_distance: int | None = None,
    flow_checkpoint: str | None = None,
    stride: int | None = None,
    flip_average: bool | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Prediction:
    """The hits of one video file; for many files make one ``File2Hits`` and call it.

    Args:
        start_s, end_s: only this part, in seconds after the first frame.
        checkpoint: and all others: see ``File2Hits``.

    Raises:
        UserError: see ``File2Hits``.
        VideoError: the file cannot be read, or has too few frames.

    Example:
        >>> for hit in predict("film.mp4").hits:  # doctest: +SKIP
        ...     print(hit.frame, hit.time_s, hit.probability)
    """
    predictor = File2Hits(
        checkpoint,
        device=device,
        threshold=threshold,
        sensitivity=sensitivity,
        min_distance=min_distance,
        flow_checkpoint=flow_checkpoint,
        stride=stride,
        flip_average=flip_average,
    )
    return predictor(path, start_s=start_s, end_s=end_s)


def _kinematics(params: Params, device: str, flow_checkpoint: str | None) -> Frames2Kinematics:
    """Frames -> kinematics as the rows of the training store were made."""
    flow = params.flow.model_copy(update={"device": device})
    if flow_checkpoint is not None:
        flow = flow.model_copy(update={"checkpoint": flow_checkpoint})
    coding = Coding.of(params.store.coding, params.store.scale)
    return Frames2Kinematics(make_estimator(flow), flow.size, params.store.size, coding)


def part_of(info: VideoInfo, start_s: float | None, end_s: float | None) -> tuple[int, int]:
    """Frames ``[first, stop)`` shown from ``start_s`` up to before ``end_s``, seconds after the first frame.

    Raises:
        UserError: the times are the wrong way round, or the part has no more than a few frames.
    """
    since_first = info.times_s - info.times_s[0]
    first = 0 if start_s is None else int(np.searchsorted(since_first, start_s))
    stop = info.n_frames if end_s is None else int(np.searchsorted(since_first, end_s))
    if start_s is None and end_s is None:
        if info.n_frames < MIN_FRAMES:
            raise VideoError(f"{info.path}: {info.n_frames} frame(s); an inflection needs {MIN_FRAMES}")
    elif stop - first < MIN_FRAMES:
        until = "the end" if end_s is None else f"{end_s} s"
        raise UserError(
            f"{info.path}: from {start_s or 0.0} s to {until} there are {max(0, stop - first)} frames of its "
            f"{info.n_frames} ({since_first[-1]:.3f} s); an inflection needs {MIN_FRAMES}"
        )
    return first, stop


def cut(chunks: Iterable[NDArray[np.uint8]], first: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    """Frames ``[first, stop)`` of a video in chunks; reads in order, as seeking cannot be trusted."""
    at = 0
    for chunk in chunks:
        part = chunk[max(0, first - at) : max(0, stop - at)]
        at += len(chunk)
        if len(part):
            yield part
        if at >= stop:
            return


def placed(scores: Scores, first: int, n_frames: int) -> Scores:
    """Scores of a part that begins at frame ``first`` as scores of the whole video, NaN elsewhere."""
    after = n_frames - first - len(scores.probability)

    def whole(values: NDArray[Any]) -> NDArray[Any]:
        edges = ((first, after), *((0, 0),) * (values.ndim - 1))
        return np.pad(values, edges, constant_values=np.nan)

    others = (None if x is None else whole(x) for x in (scores.localization, scores.offset))
    return Scores(whole(scores.probability), *others)


def _counted(chunks: Iterable[NDArray[np.uint8]], bar: Any) -> Iterator[NDArray[np.uint8]]:
    for chunk in chunks:
        yield chunk
        bar.update(len(chunk))
