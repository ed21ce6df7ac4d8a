"""``ta2net dub`` and the file of hits it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import wavfile

from pipeline.errors import UserError
from ta2net.cli import main
from ta2net.hits.hit import Hit, write_hits
from ta2net.hits.hits_file import read_hits

HITS = [
    Hit("a", 5, 0.2, 0.9, 0.1, 0.2),
    Hit("a", 20, 0.8, 1 / 3, 0.5, 0.5),
    Hit("b, the second", 7, 0.28, 0.5, 0.0, 1.0),
]


def run(*words: object) -> Any:
    return CliRunner().invoke(main, ["dub", *map(str, words)])


def test_hits_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_hits(HITS, tmp_path / "hits.csv")
    first, second = read_hits(tmp_path / "hits.csv", "a")
    assert first == HITS[0]
    assert second == Hit("a", 20, 0.8, 0.333333, 0.5, 0.5)
    assert read_hits(tmp_path / "hits.csv", "b, the second") == [HITS[2]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,5", "line 2: no cell for time_s"),
        ("a,x,0.2,0.9,0,0", "line 2: not a hit .*'x'"),
        ("a,-1,0.2,0.9,0,0", "line 2: not a hit .*-1"),
        ("a,1,0.2,1.5,0,0", "probability 1.5"),
        ("a,1,nan,0.5,0,0", "time_s nan"),
    ],
)
def test_what_is_no_hit_is_named_by_its_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "h.csv").write_text(f"row_id,frame,time_s,probability,x_fraction,y_fraction\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_hits(tmp_path / "h.csv")


def test_a_row_is_to_be_chosen_where_there_are_several(tmp_path: Path, films: Any) -> None:
    video = films.write_video(tmp_path / "x.mp4")
    write_hits(HITS, tmp_path / "hits.csv")
    done = run(video, "--hits", tmp_path / "hits.csv", "--out", tmp_path / "o.mp4")
    assert done.exit_code == 2
    assert "hits of 2 rows; choose one with --row: a, b, the second" in done.output
    done = run(video, "--hits", tmp_path / "hits.csv", "--row", "c", "--out", tmp_path / "o.mp4")
    assert (done.exit_code, "no hits of row 'c'; there are: a, b, the second" in done.output) == (2, True)
    done = run(video, "--hits", tmp_path / "none.csv", "--out", tmp_path / "o.mp4")
    assert (done.exit_code, "none.csv: no such file of hits" in done.output) == (2, True)


def test_the_command(tmp_path: Path, films: Any) -> None:
    video = films.write_video(tmp_path / "x.mp4")
    write_hits(HITS, tmp_path / "hits.csv")
    out, stem = tmp_path / "new" / "dubbed.mkv", tmp_path / "stem.wav"
    options = ("--row", "a", "--out", out, "--stem", stem, "--replace", "--seed", 3, "--gain-db", -6)
    done = run(video, "--hits", tmp_path / "hits.csv", *options)
    assert done.exit_code == 0, done.output
    assert done.output == f"2 sounds placed; written: {out} and {stem}\n"  # and no progress bar
    with av.open(str(out)) as container:
        assert [stream.codec.name for stream in container.streams] == ["h264", "aac"]
        loud = sum(np.square(frame.to_ndarray()).sum() for frame in container.decode(audio=0))
    assert loud > 1
    _, samples = wavfile.read(stem)
    # half of full scale, 6 dB less, 12 dB * (1 - 0.9) less again
    assert np.abs(samples).max() / 2**31 == pytest.approx(0.5 * 10 ** (-7.2 / 20), rel=0.1)


def test_the_command_without_anything_to_write(tmp_path: Path, films: Any) -> None:
    write_hits(HITS[:1], tmp_path / "hits.csv")
    done = run(films.write_video(tmp_path / "x.mp4"), "--hits", tmp_path / "hits.csv")
    assert (done.exit_code, "nothing to write: give --out VIDEO, --stem WAV, or both" in done.output) == (
        2,
        True,
    )
