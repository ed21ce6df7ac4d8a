"""``python -m tests.tidy FILES``: no file is large, and all lines and texts end as they should."""

from __future__ import annotations

import sys
from pathlib import Path

LARGEST_BYTES = 200_000
WEIGHTS = ".safetensors"
"""Ending of the only files that may be larger: the networks that come with the program."""
WRITTEN_BY_DVC = ".lock"
"""Ending of files that are as a tool writes them."""


def complaints(file: Path) -> list[str]:
    """What is wrong with a file, as it stands after its name."""
    found, data = [], file.read_bytes()
    if len(data) > LARGEST_BYTES and file.suffix != WEIGHTS:
        found.append(f"{len(data)} bytes, more than {LARGEST_BYTES}: keep data elsewhere")
    if b"\0" in data or not data or file.suffix == WRITTEN_BY_DVC:
        return found
    if not data.endswith(b"\n"):
        found.append("no line end at its end")
    elif data.endswith(b"\n\n"):
        found.append("empty lines at its end")
    if b"\r\n" in data:
        found.append("line ends of Windows")
    spaces = [
        number for number, line in enumerate(data.split(b"\n"), start=1) if line.endswith((b" ", b"\t"))
    ]
    if spaces:
        found.append(f"spaces at the end of lines {', '.join(map(str, spaces))}")
    return found


def main(names: list[str]) -> int:
    """Print all complaints; 1 if there are any."""
    found = [f"{name}: {complaint}" for name in names for complaint in complaints(Path(name))]
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
