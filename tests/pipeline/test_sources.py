"""Label files, the search for videos, split and naming rules; whole runs are in test_catalog_stage.py."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.params import DataParams, ImpactsParams, SourceParams
from pipeline.sources import audible623, impacts
from pipeline.sources.audible623 import group_of, parse_labels, read_label_files, video_folders
from pipeline.sources.findings import Finding, Labelled, Listing, RowRefusedError
from pipeline.sources.splits import row_ids, validation_groups
from pipeline.sources.videos import find_video, index_videos
from pipeline.sources.within import annotated_until
from pipeline.store.schema import check_row_id

HEADER = "video_id,sound_label,class\n"

WriteLabels = Callable[[str | bytes], Listing]


@pytest.fixture
def listing(tmp_path: Path) -> WriteLabels:
    """Read a text (or bytes) as the train label file."""

    def read(content: str | bytes) -> Listing:
        path = tmp_path / "train.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_label_files(SourceParams(train_labels=str(path), eval_labels=None))

    return read


def told(findings: tuple[Finding, ...], kind: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.message) for finding in findings if finding.kind == kind]


# ---- the published files


def test_the_published_files(shared: Path) -> None:
    folder = shared / "annotations"
    source = SourceParams(
        train_labels=str(folder / "audible623_train.csv"), eval_labels=str(folder / "audible623_eval.csv")
    )
    read = read_label_files(source)
    assert [sum(row.part == part for row in read.rows) for part in ("train", "eval")] == [497, 126]
    assert not told(read.findings, "refused")
    assert not told(read.findings, "left_out")
    sorted_ids = {one.video_id for one in read.findings if one.message == "labels sorted"}
    assert sorted_ids == {"NzIe5WsVAl0", "v_Drumming_g06_c01"}
    repeated = [(one.video_id, one.message) for one in read.findings if "repeated" in one.message]
    assert repeated == [("fVU85a0AhQI", "repeated label removed: 61")]
    doubtful = [one for one in read.findings if one.kind == "doubtful"]
    assert [one.video_id for one in doubtful] == ["v_Drumming_g06_c01"]
    assert "label 19 " in doubtful[0].message
    assert len(told(read.findings, "noted")) == 14, "start and end times behind the columns"
    classes = {row.class_name for row in read.rows}
    assert {"drumming", "cutting&slicing", "BoxingPunchingBag"} <= classes
    assert not {"Drumming", "slicing", "BoxingPunchin"} & classes
    assert len({name.casefold() for name in classes}) == len(classes) == 17


def test_published_ids_key_by_row(shared: Path) -> None:
    train = str(shared / "annotations" / "audible623_train.csv")
    rows = read_label_files(SourceParams(train_labels=train, eval_labels=None)).rows
    ids = row_ids([row.video_id for row in rows])
    assert len({name.casefold() for name in ids}) == 497
    assert {name for name in ids if name.endswith("~2")} == {
        "GA1p9iU0HlY~2",
        "HeD22cFly80~2",
        "r8BFfD71Ppo~2",
    }
    for name, row in zip(ids, rows, strict=True):
        if name.endswith("~2"):
            twins = [other for other in rows if other.video_id == row.video_id]
            assert len({twin.group for twin in twins}) == 1
            assert len({twin.labels for twin in twins}) == 2


# ---- labels of one row


@pytest.mark.parametrize(
    ("text", "frames"),
    [("", ()), ("0", (0,)), ("22,59", (22, 59)), (" 1 , 2 ", (1, 2)), ("5,3", (3, 5)), ("7,7,8", (7, 8))],
)
def test_labels(text: str, frames: tuple[int, ...]) -> None:
    assert parse_labels(text).frames == frames


@pytest.mark.parametrize(
    "text",
    [
        "-3",
        "1,-1",
        "-1,-2",
        "1.0",
        "2e1",
        "x",
        "1,,2",
        "1,",
        "1;2",
        "[1",
        "0x10",
        "\u0661",
        "9" * 5000,
        "1\0",
        "nan",
    ],
)
def test_what_is_no_frame_number_is_refused(text: str) -> None:
    with pytest.raises(RowRefusedError, match="not a frame number") as caught:
        parse_labels(text)
    assert len(str(caught.value)) < 200


def test_a_neighbour_swap_is_certain_a_stray_is_doubtful() -> None:
    assert parse_labels("18,39,37,47").doubts == ()
    assert parse_labels("94,95,107,19,120").frames == (19, 94, 95, 107, 120)
    assert "19" in parse_labels("94,95,107,19,120").doubts[0]
    assert parse_labels("1,2,900,3,4,5").doubts[0].startswith("label 900 ")


@given(st.lists(st.integers(0, 10**6), max_size=40))
def test_labels_come_out_sorted_and_unique(frames: list[int]) -> None:
    parsed = parse_labels(",".join(map(str, frames)))
    assert parsed.frames == tuple(sorted(set(frames)))
    assert bool(parsed.repairs) == (frames != sorted(set(frames)))


# ---- whole files


def test_byte_order_mark_line_ends_blank_lines_and_column_order(listing: WriteLabels) -> None:
    read = listing(
        b'\xef\xbb\xbfClass, sound_label ,extra,VIDEO_ID\r\n\r\nhammer,"3,9",?,a\r\nhammer,"",?,b\r\n'
    )
    assert [(row.line, row.video_id, row.labels) for row in read.rows] == [(3, "a", (3, 9)), (4, "b", ())]
    assert read.findings == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty|no header"),
        (b"video_id,label,class\n", "lacks sound_label; expected video_id, sound_label, class, found"),
        (b"a,1,hammer\n", "lacks video_id, sound_label, class"),
        (b"video_id;sound_label;class\n", "lacks"),
        (b"video_id,class,class,sound_label\n", "names class twice"),
        ("video_id,sound_label,class\n".encode("utf-16"), "UTF-16"),
        (HEADER.encode() + b"caf\xe9,1,x\n", r"line 2: byte 0xe9 is not UTF-8"),
        (HEADER.encode() + b'a,"1,2,x\nb,3,y\n', "line 2: not readable as CSV"),
        (HEADER.encode() + b'a,"1"2,x\n', "line 2: not readable as CSV"),
        (HEADER.encode() + b"a," + b"1" * 200_000 + b",x\n", "line 2: not readable as CSV"),
    ],
)
def test_an_unusable_file(listing: WriteLabels, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        listing(content)
    assert "train.csv" in caught.value.message


def test_a_missing_file_a_folder_and_no_file_at_all(tmp_path: Path) -> None:
    for path in ("nowhere.csv", str(tmp_path), "a\0b"):
        with pytest.raises(UserError, match=r"no such annotation file|cannot be read"):
            read_label_files(SourceParams(train_labels=path, eval_labels=None))
    with pytest.raises(UserError, match="both empty"):
        read_label_files(SourceParams(train_labels=None, eval_labels=None))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../../etc/passwd,1,x", "invalid video_id"),
        ("/etc/passwd,1,x", "invalid video_id"),
        ("..,1,x", "invalid video_id"),
        ("a\\b,1,x", "invalid video_id"),
        ("a\0b,1,x", "invalid video_id"),
        ("a\x1b[31m,1,x", "invalid video_id"),
        ("y" * 300 + ",1,x", "invalid video_id"),
        (",1,x", "video_id is empty"),
        ("a,1", "no cell for class"),
        ("a", "no cell for sound_label, class"),
        ("a,22,59,83,bouncing", "put the labels in double quotes"),
        ('a,"3,-1",x', "'-1': not a frame number"),
        ("a,3.5,x", "'3.5': not a frame number"),
        ("a,drum,x", "'drum': not a frame number"),
    ],
)
def test_a_refused_row_names_its_line_and_spares_the_others(
    listing: WriteLabels, row: str, message: str
) -> None:
    read = listing(f"{HEADER}first,1,x\n{row}\nlast,2,x\n")
    assert [one.video_id for one in read.rows] == ["first", "last"]
    [finding] = [one for one in read.findings if one.kind == "refused"]
    assert finding.line == 3
    assert message in finding.message
    assert str(finding).isprintable()
    assert str(finding.document()["video_id"]).isprintable()


def test_rows_excluded_by_the_authors_and_duplicates_are_left_out(listing: WriteLabels) -> None:
    read = listing(f'{HEADER}a,-1,x\nb,-2,x\nc,"1,2",x\nc,"1,2",x\nc,"1,3",x\n')
    assert [(row.video_id, row.labels) for row in read.rows] == [("c", (1, 2)), ("c", (1, 3))]
    assert told(read.findings, "left_out") == [
        (2, "excluded by the authors (sound_label -1)"),
        (3, "excluded by the authors (sound_label -2)"),
        (5, "the same as line 4"),
    ]


def test_class_spellings_are_unified_whatever_their_order(listing: WriteLabels) -> None:
    lines = ["a,1,Wood", "b,1,wood", "c,1,slicing", "d,1,Cutting&Slicing", "e,1,"]
    for order in (lines, lines[::-1]):
        read = listing(HEADER + "\n".join(order) + "\n")
        assert {row.video_id: row.class_name for row in read.rows} == {
            "a": "Wood",
            "b": "Wood",
            "c": "cutting&slicing",
            "d": "cutting&slicing",
            "e": "unknown",
        }


def test_groups() -> None:
    assert group_of("v_TennisSwing_g05_c06") == "v_TennisSwing_g05"
    assert group_of("v_Jump_g01_Rope_g12_c01") == "v_Jump_g01_Rope_g12"
    assert group_of("GA1p9iU0HlY") == "GA1p9iU0HlY"
    assert group_of("v_odd_c01") == "v_odd_c01"


# ---- finding the video


def labelled(video_id: str, class_name: str) -> Labelled:
    return Labelled("t.csv", 2, video_id, "train", video_id, class_name, class_name, (1,))


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("files", "video_id", "class_name", "expected"),
    [
        (["hammer/x.mp4"], "x", "hammer", "hammer/x.mp4"),
        (["x.MKV"], "x", "hammer", "x.MKV"),
        (["deep/er/x.webm"], "x", "hammer", "deep/er/x.webm"),
        (["hammer/x.mp4", "tennis/x.mp4"], "x", "Tennis", "tennis/x.mp4"),
        (
            ["ucf50/v_Drum_g01_c01.avi", "old/v_Drum_g01_c01.avi"],
            "v_Drum_g01_c01",
            "d",
            "ucf50/v_Drum_g01_c01.avi",
        ),
        (
            ["Drum/v_Drum_g01_c01.avi", "old/v_Drum_g01_c01.avi"],
            "v_Drum_g01_c01",
            "d",
            "Drum/v_Drum_g01_c01.avi",
        ),
        (["a.b/x.y.mp4"], "x.y", "hammer", "a.b/x.y.mp4"),
        (["x.mp4", "x.csv", "x.txt", ".x.mp4"], "x", "hammer", "x.mp4"),
    ],
)
def test_a_video_is_found(
    tmp_path: Path, files: list[str], video_id: str, class_name: str, expected: str
) -> None:
    put(tmp_path, *files)
    folders = video_folders(labelled(video_id, class_name))
    assert find_video(index_videos(tmp_path), video_id, folders) == tmp_path / expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["other.mp4"], "no video file of that name"),
        (["X.mp4"], "upper and lower case differ"),
        (["a/x.mp4", "b/x.mp4"], "2 video files of that name"),
        (["hammer/x.mp4", "hammer/x.webm"], "2 video files"),
        (["x.txt"], "no video file"),
    ],
)
def test_a_video_is_not_found(tmp_path: Path, files: list[str], message: str) -> None:
    put(tmp_path, *files)
    with pytest.raises(RowRefusedError, match=message):
        find_video(index_videos(tmp_path), "x", video_folders(labelled("x", "hammer")))


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "hammer/x.mp4")
    root = tmp_path / "videos"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "linked_again").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    assert index_videos(root) == {"x": [root / "linked" / "hammer" / "x.mp4"]}


def test_no_folder_of_videos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        index_videos(tmp_path / "nowhere")


# ---- split and names

GROUPS = st.lists(st.text(min_size=1, max_size=6), max_size=60)


@pytest.mark.slow
@given(GROUPS, st.floats(0, 1))
def test_the_split_law(groups: list[str], fraction: float) -> None:
    chosen = validation_groups(groups, fraction)
    distinct = len(set(groups))
    assert chosen <= set(groups)
    expected = 0 if fraction == 0 or distinct < 2 else max(1, round(fraction * distinct))
    assert len(chosen) == expected
    shuffled = groups * 2
    random.Random(0).shuffle(shuffled)
    assert validation_groups(shuffled, fraction) == chosen


def test_the_split_is_pinned() -> None:
    assert validation_groups([f"film{number}" for number in range(10)], 0.2) == {"film3", "film7"}


IDS = st.lists(st.text(alphabet="aAbB-_.~/ é", min_size=1, max_size=5), max_size=30)


@given(IDS)
@settings(max_examples=200)
def test_row_ids_are_safe_and_unique_even_without_case(video_ids: list[str]) -> None:
    names = row_ids(video_ids)
    assert len({name.casefold() for name in names}) == len(video_ids)
    for name in names:
        assert name[0] not in ".-"
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-~")
    assert row_ids([*video_ids, "something_else"])[: len(names)] == names


def test_row_ids() -> None:
    assert row_ids(["GA1p9iU0HlY", "x", "GA1p9iU0HlY"]) == ["GA1p9iU0HlY", "x", "GA1p9iU0HlY~2"]
    dashed, upper, lower = row_ids(["-s8RqSFhe7s", "AbC", "abc"])
    assert dashed.startswith("_-s8RqSFhe7s~x")
    assert upper.startswith("AbC~x")
    assert lower.startswith("abc~x")
    assert len(row_ids(["y" * 200])[0]) < 120


@pytest.mark.parametrize(
    ("hits", "n_frames", "limit", "expected"),
    [
        ((5,), 400, None, 400),
        ((5,), 400, 300, 300),
        ((5, 306), 400, 300, 307),
        ((), 400, 300, 300),
        ((), 120, 300, 120),
        ((119,), 120, 100, 120),
    ],
)
def test_annotated_until(hits: tuple[int, ...], n_frames: int, limit: int | None, expected: int) -> None:
    assert annotated_until(hits, n_frames, limit) == expected


# ---- annotated spans


SPANS_HEADER = "video_id,sound_label,class,annotated\n"


def test_the_column_of_annotated_spans(listing: WriteLabels) -> None:
    read = listing(
        SPANS_HEADER
        + 'a,"3,9",x,0-20 40-60\n'
        + "b,,x,\n"
        + "c,5,x\n"
        + "d,5,x,40-60 0-20\n"
        + "e,5,x,0-20 15-30\n"
        + "e,5,x,0-30\n"
    )
    assert [(row.video_id, row.annotated) for row in read.rows] == [
        ("a", ((0, 21), (40, 61))),
        ("b", None),
        ("c", None),
        ("d", ((0, 21), (40, 61))),
        ("e", ((0, 31),)),
    ]
    assert told(read.findings, "repaired") == [
        (5, "annotated spans sorted"),
        (6, "overlapping annotated spans merged: 0-30"),
    ]
    assert told(read.findings, "left_out") == [(7, "the same as line 6")]
    assert not told(read.findings, "noted")


def test_the_same_labels_of_other_spans_are_another_row(listing: WriteLabels) -> None:
    assert len(listing(SPANS_HEADER + "a,5,x,0-20\na,5,x,0-30\na,5,x,\n").rows) == 3


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("200-150", "annotated holds '200-150': the span ends before it begins; write 150-200"),
        ("0-20 all", "annotated holds 'all': not a span of frames such as 0-149; correct or delete it"),
        ("30", "annotated holds '30': not a span"),
    ],
)
def test_what_is_no_span_is_refused(listing: WriteLabels, cell: str, words: str) -> None:
    read = listing(f"{SPANS_HEADER}a,5,x,{cell}\nb,5,x,0-9\n")
    [(line, message)] = told(read.findings, "refused")
    assert line == 2
    assert message.startswith(words)
    assert [row.video_id for row in read.rows] == ["b"]


def test_a_column_of_spans_comes_once(listing: WriteLabels) -> None:
    with pytest.raises(UserError, match="the header names annotated twice"):
        listing("annotated,video_id,sound_label,class,annotated\n")


# ---- the embedded data set


def embedded(tmp_path: Path, contacts: str | None) -> DataParams:
    (tmp_path / "train.csv").write_text(f'{HEADER}a,"3,9",bounce\nb,,bounce\n')
    if contacts is not None:
        (tmp_path / "contacts.csv").write_text(contacts)
    return DataParams(
        impacts=ImpactsParams(dir=str(tmp_path)),
        source=SourceParams(train_labels=str(tmp_path / "train.csv"), eval_labels=None),
    )


CONTACTS = "video_id,frame,time_s,x_px,y_px,impulse,material\n"


def test_contacts_of_the_embedded_data_set(tmp_path: Path) -> None:
    rows = "a,3,0.1,10.5,20,1.0,wood\na,9,0.3,1,2,0.5,wood\na,9,0.3,3,4,0.9,wood\na,9,0.3,5,6,0.7,wood\n"
    first, second = impacts.read(embedded(tmp_path, CONTACTS + rows)).rows
    assert first.positions_px == {3: (10.5, 20.0), 9: (3.0, 4.0)}, "of two contacts the harder one"
    assert second.positions_px == {}


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        (None, "render the data set first"),
        ("video_id,frame\n", "lacks x_px, y_px, impulse"),
        (CONTACTS + "a,x,0,1,2,1,wood\n", "line 2: frame is missing or not a frame number"),
        (CONTACTS + "a,3,0,one,2,1,wood\n", "line 2: x_px is 'one', not a finite number"),
        (CONTACTS + "a,3,0,1,nan,1,wood\n", "line 2: y_px is 'nan'"),
    ],
)
def test_unusable_contacts(tmp_path: Path, contacts: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        impacts.read(embedded(tmp_path, contacts))


def test_audible623_without_contacts_has_no_positions(tmp_path: Path) -> None:
    listing = audible623.read(embedded(tmp_path, None))
    assert [row.positions_px for row in listing.rows] == [None, None]


@pytest.mark.parametrize("name", ["audible623_train.csv", "audible623_eval.csv"])
def test_every_row_id_of_audible623_may_name_a_row_of_the_store(shared, name):
    with (shared / "annotations" / name).open(newline="") as handle:
        video_ids = [row["video_id"] for row in csv.DictReader(handle)]
    ids = row_ids(video_ids)
    assert len(set(ids)) == len(video_ids)
    assert [check_row_id(row_id) for row_id in ids] == ids
