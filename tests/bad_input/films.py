"""Video files: damaged, hostile, or no video at all."""

from __future__ import annotations

import gzip
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from tests.bad_input.boxes import patched, replaced, span
from tests.bad_input.case import Case
from tests.bad_input.materials import write_film

TABLE = "moov/trak/mdia/minf/stbl/"
PREDICT = ("predict", "videos/one.mp4", "bad.mp4", "--checkpoint", "run/best.safetensors", "--out", "hits")
GOOD_KEPT = ("hits/one/hits.csv",)
ONE_FAILED = r"1 of 2 videos failed:\n  .*bad\.mp4: "
"""The bad film is told; ``GOOD_KEPT``: the good one beside it has its hits."""


def number(value: int, size: int = 4) -> bytes:
    """A big-endian number, negative ones in two's complement."""
    return value.to_bytes(size, "big", signed=value < 0)


def good(folder: Path) -> bytes:
    """The bytes of the first good film."""
    return (folder / "videos" / "one.mp4").read_bytes()


def refused(name: str, make: Callable[[Path], None], *says: str) -> Case:
    """A film that is refused as soon as it is looked at."""
    return Case(name, make, ("inspect", "bad.mp4"), (2,), (r"bad\.mp4.*: ", *says))


def beside(name: str, make: Callable[[Path], None], *says: str) -> Case:
    """A film that ``predict`` refuses while it goes on with the good one before it."""
    return Case(name, make, PREDICT, (2,), (ONE_FAILED, *says), keeps=GOOD_KEPT, lacks=("hits/bad/hits.csv",))


def read(name: str, make: Callable[[Path], None], frames: int) -> Case:
    """A film that is odd but can be read: ``inspect`` and the decoders see ``frames`` frames."""
    return Case(
        name,
        make,
        ("predict", "bad.mp4", "--checkpoint", "run/best.safetensors", "--out", "hits"),
        (0,),
        (r"\d+ hits; hits/bad/",),
        keeps=("hits/bad/hits.csv",),
        lines=(("hits/bad/scores.csv", frames + 1),),
    )


def either(name: str, make: Callable[[Path], None]) -> Case:
    """A film of which a decoder may make something or not: refused in words, or read."""
    return Case(name, make, (*PREDICT[:1], *PREDICT[2:]), (0, 2), (r"bad\.mp4: |hits/bad/",))


def of_bytes(content: bytes) -> Callable[[Path], None]:
    """``bad.mp4`` with this content."""
    return lambda folder: write(folder, content)


def write(folder: Path, content: bytes) -> None:
    """Write ``bad.mp4``."""
    (folder / "bad.mp4").write_bytes(content)


def box(path: str, offset: int, value: bytes) -> Callable[[Path], None]:
    """The good film with some bytes of one box overwritten."""
    return lambda folder: write(folder, patched(good(folder), path, offset, value))


def box_content(path: str, content: bytes) -> Callable[[Path], None]:
    """The good film with another content of one box."""
    return lambda folder: write(folder, replaced(good(folder), path, content))


def cut(share: float, suffix: str, codec: str) -> Callable[[Path], None]:
    """A film cut off after a share of its bytes."""

    def make(folder: Path) -> None:
        whole = write_film(folder / f"whole{suffix}", codec).read_bytes()
        (folder / f"whole{suffix}").unlink()
        write(folder, whole[: int(share * len(whole))])

    return make


def flipped(seed: int, part: str) -> Callable[[Path], None]:
    """The good film with 12 bits turned over, in its headers (``moov``) or its pictures (``mdat``)."""

    def make(folder: Path) -> None:
        data = bytearray(good(folder))
        first, end = span(bytes(data), part)
        random_numbers = random.Random(seed)
        for _ in range(12):
            data[random_numbers.randrange(first, end)] ^= 1 << random_numbers.randrange(8)
        write(folder, bytes(data))

    return make


def edits(count: int, start: int) -> Callable[[Path], None]:
    """The good film with an edit list that plays it ``count`` times, from ``start`` of its time base on."""
    entry = number(1200) + number(start) + number(0x10000)
    return box_content("moov/trak/edts/elst", number(0) + number(count) + entry * count)


def constant_sizes(count: int) -> Callable[[Path], None]:
    """A film whose header claims ``count`` frames of one byte, without listing them."""

    def make(folder: Path) -> None:
        data = replaced(good(folder), TABLE + "stsz", number(0) + number(1) + number(count))
        data = replaced(data, TABLE + "stts", number(0) + number(1) + number(count) + number(512))
        write(
            folder,
            replaced(data, TABLE + "stsc", number(0) + number(1) + number(1) + number(count) + number(1)),
        )

    return make


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF whose canvas is huge while each of its pictures has one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = (
        b"\x21\xf9\x04\x00\x04\x00\x00\x00"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\x00"
    )
    return head + picture * frames + b";"


def large_and_still(folder: Path) -> None:
    """Pictures of 2048 x 2048 px (13 MB each) that never change: some 100 bytes each."""
    with av.open(str(folder / "bad.mp4"), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "x264-params": "log-level=none"}
        )
        stream.width, stream.height, stream.pix_fmt = 2048, 2048, "yuv420p"
        stream.thread_count = 1
        frame = av.VideoFrame.from_ndarray(np.full((3072, 2048), 128, np.uint8), format="yuv420p")
        for index in range(8):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def audio_only(folder: Path) -> None:
    with av.open(str(folder / "bad.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate, sound.pts = 8000, 0
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))


def size_changes(folder: Path) -> None:
    """A transport stream whose pictures become larger half-way."""
    with av.open(str(folder / "b.ts"), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((120, 96), 9 * index, np.uint8), format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    first = write_film(folder / "a.ts", "mpeg2video", 10).read_bytes()
    write(folder, first + (folder / "b.ts").read_bytes())


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "bad.mp4", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("film.mp4", bytes(1 << 22))


def linked(target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "bad.mp4").symlink_to(target)


def unreadable(folder: Path) -> None:
    write(folder, good(folder))
    (folder / "bad.mp4").chmod(0)


def named(name: bytes) -> Callable[[Path], None]:
    """The good film under another name."""
    return lambda folder: (folder / os.fsdecode(name)).write_bytes(good(folder)) and None


CASES = (
    # no video at all
    beside("empty_file", of_bytes(b""), "empty"),
    refused("one_byte", of_bytes(b"\0"), "FFmpeg cannot read it"),
    beside("text_named_mp4", of_bytes(b"This is a shopping list.\n" * 40), "no video"),
    refused("random_bytes", of_bytes(random.Random(1).randbytes(20_000)), "fetch it again|FFmpeg"),
    refused("zeros", of_bytes(bytes(20_000)), "FFmpeg|fetch"),
    refused("zip_archive", archive, "no video|FFmpeg"),
    refused("gzip_of_zeros", of_bytes(gzip.compress(bytes(1 << 22))), "no video|FFmpeg"),
    refused("web_page", of_bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 9), "no video|FFmpeg"),
    beside("audio_only", audio_only, "no video stream"),
    refused("playlist_hls", of_bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n"), "playlist|FFmpeg"),
    refused("playlist_concat", of_bytes(b"ffconcat version 1.0\nfile /etc/passwd\n"), "playlist|FFmpeg"),
    refused("playlist_to_the_network", of_bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"), "playlist|FFmpeg"),
    refused("svg_entities", of_bytes(b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>'), "no video|FFmpeg"),
    Case("folder_named_mp4", lambda folder: (folder / "bad.mp4").mkdir(), PREDICT, (2,), ("bad.mp4: no video in this folder",)),
    # not an ordinary file
    Case("link_to_itself", linked("bad.mp4"), PREDICT, (2,), ("bad.mp4: no such file",)),
    Case("link_to_nowhere", linked("gone.mp4"), PREDICT, (2,), ("bad.mp4: no such file",)),
    refused("link_to_a_device", linked("/dev/zero"), "pipe or device"),
    beside("named_pipe", lambda folder: os.mkfifo(folder / "bad.mp4"), "pipe or device"),
    beside("no_permission", unreadable, "no permission"),
    Case("name_is_no_text", named(b"\xff\xfe.mp4"), ("predict", ".", "--checkpoint", "run/best.safetensors", "--out", "hits"), (2,), ("not valid text",), keeps=GOOD_KEPT),
    Case("name_like_an_option", named(b"--help.mp4"), ("predict", "--checkpoint", "run/best.safetensors", "--out", "hits", "--", "--help.mp4"), (0,), keeps=("hits/--help/hits.csv",)),
    Case("name_with_line_feed", named(b"a\nb\x1b[31m.mp4"), ("predict", "*b*.mp4", "--checkpoint", "run/best.safetensors", "--out", "hits"), (0,)),
    # cut off
    *(beside(f"cut_mp4_at_{share}", cut(share, ".mp4", "libx264"), "cut off|damaged|FFmpeg|no decoder") for share in (0.001, 0.3, 0.9, 0.95, 0.9999)),
    *(refused(f"cut_mkv_at_{share}", cut(share, ".mkv", "libx264"), "cut off|damaged|FFmpeg") for share in (0.01, 0.5, 0.999)),
    *(refused(f"cut_webm_at_{share}", cut(share, ".webm", "libvpx"), "cut off|damaged|FFmpeg") for share in (0.05, 0.7)),
    *(refused(f"cut_avi_at_{share}", cut(share, ".avi", "mpeg4"), "cut off|damaged|FFmpeg") for share in (0.02, 0.6, 0.99)),
    either("cut_ts", cut(0.5, ".ts", "mpeg2video")),
    either("cut_mpg", cut(0.61, ".mpg", "mpeg2video")),
    either("cut_flv", cut(0.71, ".flv", "flv")),
    # bits turned over
    *(either(f"bits_in_headers_{seed}", flipped(seed, "moov")) for seed in range(6)),
    *(either(f"bits_in_pictures_{seed}", flipped(seed, "mdat")) for seed in range(6)),
    # headers that lie
    refused("claims_1e9_frames", box(TABLE + "stsz", 8, number(10**9)), "FFmpeg"),
    read("claims_1e9_frame_times", box(TABLE + "stts", 8, number(10**9)), 30),
    refused("claims_1e8_frames_of_a_byte", constant_sizes(10**8), "no frame"),
    refused("claims_1e9_frames_of_a_byte", constant_sizes(10**9), "no frame"),
    read("claims_65535_px_shown", box("moov/trak/tkhd", 76, number(65535 << 16) * 2), 30),
    read("claims_65535_px_stored", box(TABLE + "stsd", 32, number(65535, 2) * 2), 30),
    beside("zero_time_base", box("moov/trak/mdia/mdhd", 12, number(0)), "frame"),
    read("zero_time_base_of_film", box("moov/mvhd", 12, number(0)), 30),
    read("all_times_equal", box(TABLE + "stts", 12, number(0)), 16),
    either("negative_durations", box(TABLE + "stts", 12, number(-256))),
    read("negative_start", edits(1, -2000), 25),
    refused("unknown_coding", box(TABLE + "stsd", 12, b"zzzz"), "no decoder"),
    refused("pictures_beyond_the_end", box(TABLE + "stco", 8, number(0x7FFFFFFF)), "no frame"),
    beside("one_picture_listed_thirty_times", box(TABLE + "stsc", 12, number(0)), "frame"),
    read("plays_itself_forty_times", edits(40, 0), 1120),
    refused("length_of_box_2_63", lambda folder: write(folder, good(folder)[:24] + number(1) + b"mdat" + number(2**63, 8)), "cut off|FFmpeg"),
    refused("gif_65535_px", of_bytes(gif(65535, 65535, 50)), "FFmpeg|large"),
    beside("gif_16000_px", of_bytes(gif(16000, 16000, 50)), "large"),
    read("large_and_still", large_and_still, 8),
    beside("picture_size_changes", size_changes, "changes|damaged|frame"),
    beside("two_frames", lambda folder: write(folder, write_film(folder / "x.mp4", frames=2).read_bytes()), "an inflection needs 3"),
)  # fmt: skip
