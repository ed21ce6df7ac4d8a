"""``python -m benchmarks.build_memory``: the peak memory of a row, as its film grows ten times longer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks.build import NO_LIMITS, film_row, jobs_for
from benchmarks.measure import peak_bytes
from pipeline.build.row import RowDone, RowJob, compute_row
from pipeline.build.row_process.apart import RowProcess
from pipeline.store import create_store


def peak_mb(job: RowJob) -> float:
    """Make a row; the largest resident size of this process so far, in MB."""
    done = compute_row(job)
    if not isinstance(done, RowDone):
        raise TypeError(done.reason)
    return peak_bytes() / 1e6


def peaks_mb(frames: int, height: int, width: int, side: int | None = None) -> list[float]:
    """Peak memory for a film of ``frames`` and one ten times as long, each made by a fresh process."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        create_store(folder / "flows.zarr")
        for index, length in enumerate((frames, 10 * frames)):
            (job,) = jobs_for(folder, [film_row(folder / f"film{index}.mp4", length, height, width)], side)
            process = RowProcess({})
            try:
                found.append(process.run(peak_mb, job, NO_LIMITS))
            finally:
                process.close()
    return found


@click.command()
@click.option("--frames", default=150, show_default=True, help="Of the shorter film.")
@click.option("--height", default=720, show_default=True)
@click.option("--width", default=1280, show_default=True)
@click.option("--side", type=int, help="Of flow and store in pixels; by default the parameters'.")
def main(frames: int, height: int, width: int, side: int | None) -> None:
    """Print the peak memory of building a short film and one ten times as long.

    \b
    Example (12 minutes and two hours at 30 frames a second, in tiny pictures):
      python -m benchmarks.build_memory --frames 21600 --height 48 --width 64 --side 32
    """
    short, long = peaks_mb(frames, height, width, side)
    click.echo(f"{width}x{height}, {frames} frames: {short:.0f} MB")
    click.echo(f"{width}x{height}, {10 * frames} frames: {long:.0f} MB, {long / short:.2f} times as much")


if __name__ == "__main__":
    main()
