"""Tests; those of bad input and of faults are packages, so that `make faults` can run them by the hundred."""
