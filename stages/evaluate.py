"""DVC stage ``evaluate``: trained network + flow store -> metrics.json, prediction files, curves."""

from __future__ import annotations

from ta2net.cli import evaluate

if __name__ == "__main__":
    evaluate()
