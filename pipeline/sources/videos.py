"""Finding the video of a row by its name in an index of the folder, never by a path from a label file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.sources.findings import RowRefusedError

EXTENSIONS = frozenset(
    {
        *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv"),
    }
)

VideoIndex = Mapping[str, Sequence[Path]]
"""Video files by name without extension."""


def index_videos(root: Path) -> VideoIndex:
    """Index all video files below ``root``; linked folders are followed, each once.

    Raises:
        UserError: there is no such folder, or a folder in it cannot be listed.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder of videos; set source.videos")

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    index: defaultdict[str, list[Path]] = defaultdict(list)
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=fail, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder already walked, perhaps to its own parent
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()  # so that a folder linked twice is always found under the same name
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix.lower() in EXTENSIONS and not name.startswith("."):
                index[path.stem].append(path)
    return dict(index)


def find_video(index: VideoIndex, video_id: str, folders: Sequence[str]) -> Path:
    """The file of a video; of several, the one whose folder stands first in ``folders`` (any case).

    Raises:
        RowRefusedError: there is none, or several between which the folders do not decide.
    """
    candidates = index.get(video_id, ())
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        lowered = video_id.casefold()
        near = next((stem for stem in index if stem.casefold() == lowered), None)
        hint = f" (there is {near!r}; upper and lower case differ)" if near else ""
        raise RowRefusedError(f"no video file of that name{hint}; add it or delete the row")
    for folder in folders:
        inside = [path for path in candidates if path.parent.name.casefold() == folder.casefold()]
        if len(inside) == 1:
            return inside[0]
    shown = ", ".join(map(str, candidates[:3]))
    raise RowRefusedError(f"{len(candidates)} video files of that name ({shown}, ...); keep one of them")
