"""Surgery on MP4 files: the bytes of a box changed, all lengths and chunk offsets left as they are or mended."""

from __future__ import annotations

from collections.abc import Iterator

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts")


def boxes(
    data: bytes, start: int = 0, stop: int | None = None, path: str = ""
) -> Iterator[tuple[str, int, int]]:
    """(path like ``moov/trak/tkhd``, first byte of the content, end) of every box, outer ones first."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        length = int.from_bytes(data[start : start + 4], "big")
        name = data[start + 4 : start + 8]
        here = f"{path}/{name.decode('latin-1')}".strip("/")
        yield here, start + 8, start + length
        if name in CONTAINERS:
            yield from boxes(data, start + 8, start + length, here)
        if length < 8:
            return
        start += length


def span(data: bytes, path: str) -> tuple[int, int]:
    """Where the content of the first box of that path is."""
    return next((first, end) for here, first, end in boxes(data) if here == path)


def patched(data: bytes, path: str, offset: int, value: bytes) -> bytes:
    """``value`` written over the content of a box from ``offset`` on; lengths stay."""
    first, end = span(data, path)
    if first + offset + len(value) > end:
        raise ValueError(f"{path} has only {end - first} bytes")
    return data[: first + offset] + value + data[first + offset + len(value) :]


def replaced(data: bytes, path: str, content: bytes) -> bytes:
    """The content of a box replaced; the lengths of the boxes around it are mended.

    Chunk offsets are not: the box must lie behind the media data, as muxers put it unless told otherwise.
    """
    first, end = span(data, path)
    grown = len(content) - (end - first)
    out = bytearray(data[:first] + content + data[end:])
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        at = span(data, "/".join(parts[:depth]))[0] - 8
        length = int.from_bytes(data[at : at + 4], "big") + grown
        out[at : at + 4] = length.to_bytes(4, "big")
    return bytes(out)
