"""Hits against labels: matching, metrics, intervals, thresholds, tables."""
