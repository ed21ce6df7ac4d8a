"""The model plane: from the flow store to hits. It opens a video only to predict, to mark and to dub it.

For programs: ``predict``, ``File2Hits``, ``Prediction``, ``Hit``; see docs/python.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ta2net.hits.hit import Hit
    from ta2net.prediction.file2hits import File2Hits, Prediction, predict

__all__ = ["File2Hits", "Hit", "Prediction", "predict"]

_HOMES = {
    "File2Hits": "ta2net.prediction.file2hits",
    "Hit": "ta2net.hits.hit",
    "Prediction": "ta2net.prediction.file2hits",
    "predict": "ta2net.prediction.file2hits",
}


def __getattr__(name: str) -> Any:
    """The names of ``__all__``, loaded when they are asked for: torch takes seconds (PEP 562).

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
