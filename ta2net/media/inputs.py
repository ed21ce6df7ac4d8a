"""What a user names -> video files, and a folder of results for each."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from pipeline.errors import UserError
from pipeline.sources.videos import EXTENSIONS, index_videos


def videos_of(inputs: Sequence[str]) -> list[Path]:
    """The video files that ``inputs`` name: files, folders (searched to the bottom), patterns like ``*.mp4``.

    Each file comes once, in the order of the inputs. A file named outright is taken whatever its name; in
    folders and patterns only names that look like videos are.

    Raises:
        UserError: an input is neither, or names no video; all such inputs at once.
    """
    found: dict[Path, None] = {}
    wrong = []
    for entry in inputs:
        paths = list(_of_input(entry))
        found.update(dict.fromkeys(paths))
        if not paths:
            kind = "no video in this folder" if Path(entry).is_dir() else "no such file, folder or pattern"
            wrong.append(f"  {entry}: {kind}")
    if wrong:
        raise UserError("\n".join(["nothing to work on:", *wrong]))
    return list(found)


def _of_input(entry: str) -> Iterator[Path]:
    path = Path(entry)
    if path.is_dir():
        yield from sorted(found for paths in index_videos(path).values() for found in paths)
    elif path.exists():
        yield path
    else:
        names = sorted(glob.glob(entry, recursive=True))  # noqa: PTH207 - Path.glob has no absolute patterns
        yield from (Path(name) for name in names if _looks_like_video(name) and Path(name).is_file())


def _looks_like_video(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS and not Path(name).name.startswith(".")


def folders_of(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """A result folder per video: its name without extension, with a digest where two would share it."""
    shared = Counter(path.stem.casefold() for path in paths)  # some file systems know no case

    def name(path: Path) -> str:
        if shared[path.stem.casefold()] == 1:
            return path.stem
        return f"{path.stem}-{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"

    return {path: out / name(path) for path in paths}
