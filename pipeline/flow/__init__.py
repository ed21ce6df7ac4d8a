"""Frames -> velocity: the optical-flow estimators behind one face, and resampling of frames and flow."""

from pipeline.flow.estimator import FlowEstimator, check_estimator, flow_identity, make_estimator
from pipeline.flow.resampling import resample_flow, resize_frames

__all__ = [
    "FlowEstimator",
    "check_estimator",
    "flow_identity",
    "make_estimator",
    "resample_flow",
    "resize_frames",
]
