"""Catalog -> flow store, one Dask task per row."""

from pipeline.build.builder import BuildSummary, Failure, build

__all__ = ["BuildSummary", "Failure", "build"]
