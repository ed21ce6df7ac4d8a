"""CSV files: labels for a catalog, hits to export and to dub, hits and labels to compare, saved scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.case import Case

HEAD = "video_id,sound_label,class\n"
GOOD = 'one,"7,15,23",ball\n'
SPANNED = "video_id,sound_label,class,annotated\n" + 'one,"7,15,23",ball,\n'
HITS = "row_id,frame,time_s,probability,x_fraction,y_fraction\n"
CATALOG = ("catalog",)
EXPORT = ("export", "--video", "videos/one.mp4", "--hits", "hits.csv", "--format", "all", "--out", "out")
DUB = ("dub", "videos/one.mp4", "--hits", "hits.csv", "--out", "dubbed.mp4")
COMPARE = ("evaluate", "--hits", "hits.csv", "--labels", "eval.csv", "--frames", "30", "--fps", "25")
SCORES = ("evaluate", "--scores", "evaluation/scores.csv")


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    """A file of the folder replaced by this content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: _replace(folder / name, data)


def _replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A file of the folder with one piece of text replaced."""

    def make(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{name} does not hold {old!r}")
        _replace(folder / name, text.replace(old, new, 1).encode())

    return make


def pipe(name: str) -> Callable[[Path], None]:
    """A named pipe in the place of a file: nobody ever writes into it."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return make


def linked(name: str, target: str) -> Callable[[Path], None]:
    """A link in the place of a file."""

    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return make


def labels(name: str, content: str | bytes, *says: str, code: int = 2) -> Case:
    """A train.csv that the catalog stage refuses (or, with code 0, takes)."""
    return Case(
        f"labels_{name}", written("train.csv", content), CATALOG, (code,), says, keeps=("report.json",)
    )


def row(name: str, line: str, *says: str) -> Case:
    """One bad row beside a good one: refused, reported, and the good one is in the catalog."""
    make = written("train.csv", HEAD + GOOD + line)
    return Case(
        f"labels_{name}",
        make,
        CATALOG,
        (2,),
        ("1 label rows cannot be used", *says),
        lines=(("catalog.jsonl", 2),),
    )


def hits(
    name: str, content: str | bytes, *says: str, code: int = 2, command: tuple[str, ...] = EXPORT
) -> Case:
    """A hits.csv that ``export`` refuses (or, with code 0, takes)."""
    return Case(f"hits_{name}", written("hits.csv", content), command, (code,), says)


def hit(
    frame: str = "7", time_s: str = "0.28", probability: str = "0.9", x: str = "0.5", y: str = "0.5"
) -> str:
    return f"{HITS}one,{frame},{time_s},{probability},{x},{y}\n"


CASES = (
    labels("empty", "", "empty"),
    labels("blank_lines_only", "\n\n \n", "empty"),
    labels("header_only", HEAD, "", code=0),
    labels("header_lacks_a_column", "video_id,class\none,ball\n", "lacks sound_label"),
    labels("header_names_a_column_twice", "video_id,sound_label,class,class\n", "class twice"),
    labels("no_header", GOOD, "header lacks"),
    labels("latin_1", "video_id,sound_label,class\none,5,caf\xe9\n".encode("latin-1"), "line 2.*0xe9.*UTF-8"),
    labels("utf_16", (HEAD + GOOD).encode("utf-16"), "UTF-16"),
    labels("utf_32", (HEAD + GOOD).encode("utf-32"), "UTF-16|UTF-8"),
    labels("byte_order_mark", b"\xef\xbb\xbf" + (HEAD + GOOD).encode(), code=0),
    labels("windows_line_ends", (HEAD + GOOD).replace("\n", "\r\n"), code=0),
    labels("old_mac_line_ends", (HEAD + GOOD).replace("\n", "\r"), code=0),
    labels("open_quote", HEAD + 'one,"7,15,ball\ntwo,5,ball\n', "line 2.*CSV.*double quotes"),
    labels("semicolons", "video_id;sound_label;class\none;5;ball\n", "lacks"),
    labels("cell_of_10_MB", HEAD + GOOD + f'two,"{"7," * 5_000_000}8",ball\n', "line 3.*CSV"),
    labels("file_of_65_MB", HEAD + GOOD * 3_400_000, "larger than"),
    labels("binary", bytes(range(256)) * 40, "UTF-8|header"),
    Case("labels_are_a_folder", lambda folder: ((folder / "train.csv").unlink(), (folder / "train.csv").mkdir()), CATALOG, (2,), ("train.csv: cannot be read|train.csv: a folder",)),
    Case("labels_are_a_pipe", pipe("train.csv"), CATALOG, (2,), ("train.csv: cannot be read .a pipe or device",)),
    Case("labels_are_a_device", linked("train.csv", "/dev/zero"), CATALOG, (2,), ("train.csv: cannot be read .a pipe or device",)),
    Case("labels_link_to_themselves", linked("train.csv", "train.csv"), CATALOG, (2,), ("train.csv: cannot be read",)),
    Case("labels_missing", lambda folder: (folder / "train.csv").unlink(), CATALOG, (2,), ("train.csv: no such",)),
    Case("labels_without_permission", lambda folder: (folder / "train.csv").chmod(0), CATALOG, (2,), ("train.csv: cannot be read.*[Pp]ermission",)),
    row("id_climbs", "../../etc/passwd,5,ball\n", "invalid video_id"),
    row("id_absolute", "/etc/passwd,5,ball\n", "invalid video_id"),
    row("id_of_windows", "..\\..\\boot,5,ball\n", "invalid video_id"),
    row("id_two_dots", "..,5,ball\n", "invalid video_id"),
    row("id_empty", ",5,ball\n", "video_id is empty"),
    row("id_nul", "a\0b,5,ball\n", "invalid video_id"),
    row("id_colours_the_terminal", "\x1b[31mred,5,ball\n", "invalid video_id", r"\\x1b\[31m"),
    row("id_turns_the_text", "a\u202eb,5,ball\n", "invalid video_id"),
    row("id_of_10000_letters", "a" * 10_000 + ",5,ball\n", "invalid video_id"),
    row("no_such_video", "four,5,ball\n", "no video file"),
    row("label_no_number", 'two,"5,six",ball\n', "'six': not a frame number"),
    row("label_negative", 'two,"5,-7",ball\n', "'-7': not a frame number"),
    row("label_float", 'two,"5.5",ball\n', "not a frame number"),
    row("label_infinite", 'two,"inf",ball\n', "not a frame number"),
    row("label_of_5000_digits", f'two,"{"9" * 5000}",ball\n', "not a frame number"),
    row("label_arabic_digits", 'two,"\u0665",ball\n', "not a frame number"),
    row("labels_behind_the_end", 'two,"900",ball\n', "all labels lie after"),
    labels("spans_end_before_they_begin", SPANNED + "two,5,ball,9-2\n", "line 3 .two.: annotated holds '9-2': the span ends"),
    labels("spans_in_letters", SPANNED + "two,5,ball,all\n", "line 3 .two.: annotated holds 'all': not a span"),
    labels("spans_of_5000_digits", SPANNED + f"two,5,ball,0-{'9' * 5000}\n", "annotated holds .*: not a span"),
    labels("spans_behind_the_end", SPANNED + "two,,ball,900-999\n", "all annotated spans lie after"),
    labels("spans_cut_at_the_end", SPANNED + "two,5,ball,0-999999999\n", "1 repaired", code=0),
    labels("spans_without_labels_quotes", "video_id,sound_label,class,annotated\ntwo,5,6,7\n", "annotated holds '7'"),
    row("labels_without_quotes", "two,5,6,7\n", "double quotes"),
    row("too_few_cells", "two\n", "no cell for"),
    row("formula_as_label", "two,\"=cmd|'/C calc'!A0\",ball\n", "not a frame number"),
    labels("formula_as_class", HEAD + GOOD + "two,5,=HYPERLINK(\"http://x\")\n".replace('"', ""), code=0),
    labels("same_row_twice", HEAD + GOOD * 2, "1 left out", code=0),
    labels("same_video_twice", HEAD + GOOD + "one,8,ball\n", "1 doubtful", code=0),
    labels("label_20000_times", HEAD + f'one,"{",".join(["7"] * 20_000)}",ball\n', code=0),
    hits("empty", "", "empty"),
    hits("no_hits", HITS, code=0),
    hits("missing_column", "row_id,frame\none,7\n", "lacks"),
    hits("other_file", "\x7fELF" + "\0" * 99, "header|lacks"),
    hits("frame_float", hit(frame="7.5"), "line 2.*not a hit"),
    hits("frame_negative", hit(frame="-1"), "line 2.*not a hit"),
    hits("frame_with_underscore", hit(frame="0_7"), "line 2.*not a hit"),
    hits("frame_of_5000_digits", hit(frame="7" * 5000), "line 2.*not a hit"),
    hits("frame_behind_the_end", hit(frame="30", time_s="1.2"), "30 frames"),
    hits("time_nan", hit(time_s="nan"), "line 2.*not a hit"),
    hits("time_infinite", hit(time_s="1e999"), "line 2.*not a hit"),
    hits("time_of_another_video", hit(time_s="0.9"), "shown at"),
    hits("probability_nan", hit(probability="nan"), "line 2.*not a hit"),
    hits("probability_2", hit(probability="2"), "line 2.*not a hit"),
    hits("place_infinite", hit(x="inf"), "must lie in 0 to 1"),
    hits("place_outside", hit(x="-7"), "must lie in 0 to 1"),
    hits("several_rows", hit() + "two,7,0.28,0.9,0.5,0.5\n", "choose one with --row"),
    hits("same_hit_twice", hit() + hit().splitlines()[1] + "\n", "line 3: frame 7 is already on line 2"),
    hits("to_dub_behind_the_end", hit(frame="30", time_s="1.2"), "30 frames", command=DUB),
    hits("to_dub_at_another_time", hit(time_s="0.9"), "shown at", command=DUB),
    hits("to_dub_none", HITS, code=0, command=DUB),
    Case("hits_are_a_pipe", pipe("hits.csv"), EXPORT, (2,), ("hits.csv: cannot be read .a pipe or device",)),
    hits("compared_foreign_video", HEAD + "four,5,ball\n", "four", command=COMPARE),
    hits("compared_behind_the_end", HEAD + "three,31,ball\n", "30 frames", command=COMPARE),
    hits("compared_same_id_twice", HEAD + "three,3,ball\nthree,4,ball\n", "already on line 2", command=COMPARE),
    Case("scores_cut_off", changed("evaluation/scores.csv", "three,12,", "three,99,"), SCORES, (2,), ("frame 99",)),
    Case("scores_nan", changed("evaluation/scores.csv", "three,12,", "three,12,nan,nan,nan\nthree,12,"), SCORES, (2,), ("not a score",)),
    Case("scores_are_a_pipe", pipe("evaluation/scores.csv"), SCORES, (2,), ("scores.csv: cannot be read .a pipe or device",)),
    Case("maps_are_a_pickle", written("evaluation/maps.npz", b"\x80\x04cos\nsystem\n(S'touch owned'\ntR."), SCORES, (2,), ("maps.npz",), lacks=("owned",)),
    Case("maps_cut_off", lambda folder: os.truncate(folder / "evaluation" / "maps.npz", 700), SCORES, (2,), ("maps.npz",)),
)  # fmt: skip
