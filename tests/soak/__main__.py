"""``python -m tests.soak``: long and big runs, watched; benchmarks/soak.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import click
import numpy as np

from pipeline.files.atomic import write_json
from tests.bad_input.materials import HEIGHT, WIDTH, make_base, write_film, write_params
from tests.program import run, start
from tests.soak.watch import Watched, watch

WORKERS = 2
CLIP_FRAMES = 12
FILM_RATE = 10
LIMIT_S = 3600.0
BUILD = {"scheduler": "local", "workers": WORKERS, "failures": "failures.json"}
STORE = {"path": "flows.zarr", "size": [24, 32], "chunk_frames": 32}


def clips(count: int, work: Path) -> dict[str, Any]:
    """So many tiny clips through the whole build; then it must be whole."""
    (work / "videos").mkdir(parents=True)
    for number in range(count):
        write_film(work / "videos" / f"clip{number}.mp4", "mpeg4", CLIP_FRAMES, seed=number)
    lines = [f'clip{number},"4,8",ball\n' for number in range(count)]
    for name, part in (("train.csv", lines[: count // 2]), ("eval.csv", lines[count // 2 :])):
        (work / name).write_text("video_id,sound_label,class\n" + "".join(part))
    write_params(work, build=BUILD, store=STORE)
    _ended(("catalog",), work)
    found = {"clips.flows": _figures(_watched(("flows",), work), count)}
    said = _ended(("validate", "flows.zarr", "--deep"), work)
    if f"whole: {count} rows" not in said:
        raise click.ClickException(said)
    return found


def rows(count: int, work: Path) -> dict[str, Any]:
    """A catalog of so many rows, read, split, planned, validated."""
    work.mkdir()
    said = _ended(("python", "tests.soak.rows", str(count)), work)
    return {f"rows.{one['step']}": one for one in map(json.loads, said.splitlines())}


def film(hours: float, work: Path) -> dict[str, Any]:
    """A single video of so many hours, through flows and predict."""
    base = make_base(work / "base")
    frames = round(hours * 3600 * FILM_RATE)
    folder = work / "film"
    (folder / "videos").mkdir(parents=True)
    _write_long(folder / "videos" / "long.mp4", frames)
    (folder / "train.csv").write_text(f'video_id,sound_label,class\nlong,"{frames // 2}",ball\n')
    (folder / "eval.csv").write_text("video_id,sound_label,class\n")
    write_params(folder, build=BUILD, store=STORE)
    _ended(("catalog",), folder)
    found = {"film.flows": _figures(_watched(("flows",), folder), frames)}
    _ended(("validate", "flows.zarr", "--deep"), folder)
    network = str(base / "run" / "best.safetensors")
    predict = ("predict", "videos/long.mp4", "--checkpoint", network, "--out", "hits")
    found["film.predict"] = _figures(_watched(predict, folder), frames)
    scored = sum(1 for _ in (folder / "hits" / "long" / "scores.csv").open()) - 1
    if scored != frames:
        raise click.ClickException(f"{scored} of {frames} frames have a score")
    return found


def _write_long(path: Path, frames: int) -> None:
    """A bright square that goes round, ``FILM_RATE`` pictures per second."""
    noise = np.random.default_rng(0).integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FILM_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            picture = noise.copy()
            y = abs(30 - 4 * (number % 16))
            picture[y : y + 12, 24:40] = 230
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FILM_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _ended(command: tuple[str, ...], folder: Path) -> str:
    """What a command says that takes as long as it likes."""
    outcome = run(command, folder, LIMIT_S)
    if outcome.code != 0:
        raise click.ClickException(f"{' '.join(command)}: {outcome}")
    return outcome.said


def _watched(command: tuple[str, ...], folder: Path) -> Watched:
    watched = watch(start(command, folder), LIMIT_S)
    if watched.outcome.code != 0:
        raise click.ClickException(f"{' '.join(command)}: {watched.outcome}")
    return watched


def _figures(watched: Watched, count: int) -> dict[str, Any]:
    trends = {name: asdict(trend) for name, trend in watched.trends().items()}
    return {"count": count, "seconds": watched.seconds, "samples": len(watched.samples), **trends}


def _table(found: dict[str, Any]) -> Iterator[str]:
    heads = (("", -40), ("seconds", 9), ("memory MB", 11), ("growth", 8), ("threads", 9), ("growth", 8))
    yield (
        "".join(f"{head:{'<' if width < 0 else '>'}{abs(width)}}" for head, width in heads)
        + "  files  growth"
    )
    for name, one in found.items():
        if "step" in one:
            yield f"{name:<40}{one['seconds']:>9.1f}{one['memory_bytes'] / 1e6:>11.0f}"
            continue
        memory, threads, files = one["memory_bytes"], one["threads"], one["files"]
        verdict = "flat" if memory["flat"] and threads["flat"] and files["flat"] else "GROWS"
        yield (
            f"{name:<40}{one['seconds']:>9.1f}{memory['level'] / 1e6:>11.0f}{memory['growth'] / 1e6:>+8.1f}"
            f"{threads['level']:>9.0f}{threads['growth']:>+8.2f}{files['level']:>7.0f}{files['growth']:>+8.2f}"
            f"  {verdict}"
        )


@click.command()
@click.option("--clips", "clip_count", default=2000, show_default=True, help="Tiny clips to build; 0: none.")
@click.option("--rows", "row_count", default=1_000_000, show_default=True, help="Of a catalog; 0: none.")
@click.option("--hours", default=3.0, show_default=True, help="Of a single video; 0: none.")
@click.option("--out", default="benchmarks/soak.json", show_default=True, type=click.Path(path_type=Path))
def main(clip_count: int, row_count: int, hours: float, out: Path) -> None:
    """Watch memory, threads and open files over long runs; exit code 1 where something grows.

    \b
    Example:
      python -m tests.soak --clips 200 --rows 10000 --hours 0.1 --out /tmp/soak.json
    """
    found: dict[str, Any] = {}
    with TemporaryDirectory(prefix="ta2net-soak-") as name:
        work = Path(name)
        if row_count:
            found |= rows(row_count, work / "rows")
        if clip_count:
            found |= clips(clip_count, work / "clips")
        if hours:
            found |= film(hours, work / "film")
    for line in _table(found):
        click.echo(line)
    write_json(out, {"clips": clip_count, "rows": row_count, "hours": hours, **found})
    click.echo(f"written: {out}")
    watched = [one for one in found.values() if "step" not in one]
    if not all(one[what]["flat"] for one in watched for what in ("memory_bytes", "threads", "files")):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
