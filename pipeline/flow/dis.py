"""OpenCV's dense inverse search (Kroeger et al., 2016): fast on a CPU, needs no weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.params import FlowParams


def dis_identity(params: FlowParams) -> dict[str, Any]:
    """What DIS flow depends on."""
    return {
        "model": "dis",
        "preset": "medium",
        "checkpoint": None,
        "weights_sha256": None,
        "library": f"opencv {cv2.__version__}",
        "size": list(params.size),
    }


class Dis:
    """DIS with the medium preset, on grey levels; deterministic, whatever the number of threads."""

    name = "dis"

    def __init__(self, identity: dict[str, Any]) -> None:
        self.identity = identity
        # OpenCV's type stubs demand an initial flow, which its documentation says is optional
        self._search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def estimate(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See ``FlowEstimator.estimate``."""
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        flow = np.empty((len(grey) - 1, 2, 2, *frames.shape[1:3]), dtype=np.float32)
        for index, (first, second) in enumerate(pairwise(grey)):
            # no initial flow is given: the result must not depend on the pair before
            flow[index, 0] = self._search.calc(first, second, None).transpose(2, 0, 1)
            flow[index, 1] = self._search.calc(second, first, None).transpose(2, 0, 1)
        return flow
