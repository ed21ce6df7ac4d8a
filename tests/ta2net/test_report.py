"""The parts of a report against numbers made another way: times, bytes, motion, labels, markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.errors import UserError
from pipeline.flow import make_estimator
from pipeline.kinematics import FORWARD, Coding, decode
from pipeline.params import FlowParams
from pipeline.video.decode import read_all
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import probe
from ta2net.cli import main
from ta2net.deliver.report import (
    ENTRY,
    INDEX,
    PAGE,
    Entry,
    Subject,
    preview,
    read_entry,
    strips,
    write_entry,
    write_report,
)
from ta2net.deliver.report.curve import COLUMNS, path_of
from ta2net.deliver.report.page import distance_text
from ta2net.deliver.report.preview import CODERS, FILM_BYTES, FilmWriter, bits_for, plan_of, size_for
from ta2net.deliver.report.strips import STRIPS_BYTES, Strips, cell_size, full_px
from ta2net.deliver.report.subject import compared
from ta2net.media.html import as_json, clock
from ta2net.media.timeline import Marker, Timeline
from ta2net.prediction.reports import read_labels

TEN_MINUTES_S, PAGE_BYTES = 600, 20_000_000
KINEMATICS = Frames2Kinematics(
    make_estimator(FlowParams(size=(48, 64))), (48, 64), (32, 32), Coding.of("int16", 64)
)


def timeline(n_frames, size=(48, 64), fps=25, markers=(), name="film.mkv") -> Timeline:
    last_s = Fraction(n_frames - 1, fps)
    return Timeline(name, Fraction(fps), n_frames, *size, Fraction(0), last_s, tuple(markers))


def subject(n_frames=40, frames=(10, 20), *, first=0, stop=None, labels=None, **more) -> Subject:
    """Hits at ``frames``, the later the surer."""
    hits = [
        Marker(frame, Fraction(frame, 25), 0.5 + place / 100, 0.25, 0.75)
        for place, frame in enumerate(frames)
    ]
    score = np.full(n_frames, 0.1)
    score[list(frames)] = [hit.probability for hit in hits]
    return Subject(
        timeline(n_frames, markers=hits, **more),
        np.arange(n_frames) / 25,
        first,
        n_frames if stop is None else stop,
        score,
        0.5,
        {frame: np.full((4, 4), 0.5, np.float32) for frame in frames},
        [("Network", "none <b>")],
        labels,
    )


@pytest.fixture(scope="module")
def frames(films, tmp_path_factory):
    """Forty numbered pictures as a decoder gives them."""
    return read_all(films.write_video(tmp_path_factory.mktemp("film") / "film.mkv"))


@pytest.mark.parametrize("coder", CODERS, ids=lambda coder: coder.name)
def test_every_frame_keeps_its_time(coder, films, frames, tmp_path):
    """Gaps between 3 and 400 ms, a first frame at 7.5 s; read back by the decoder that reads all videos."""
    lengths = np.random.default_rng(1).choice([0.003, 0.02, 1 / 29.97, 0.4], 40)
    times_s = 7.5 + np.append(0, np.cumsum(lengths)[:-1])
    plan = plan_of(timeline(40), times_s, coder)
    with FilmWriter(tmp_path / "film", plan) as writer:
        for picture in frames:
            writer.add(picture)
    info = probe(tmp_path / "film")
    np.testing.assert_allclose(info.times_s, times_s - 7.5, atol=0.5 / coder.ticks_per_s + 1e-9)
    np.testing.assert_allclose(info.times_s, plan.starts / coder.ticks_per_s, atol=1e-9)
    assert [films.number_in(picture) for picture in read_all(tmp_path / "film")] == list(range(40))
    for index in range(39):
        assert info.times_s[index] < plan.middle_s(index) < info.times_s[index + 1]


def test_frames_less_than_a_tick_apart_stay_apart():
    plan = plan_of(timeline(4), np.array([0.0, 1e-7, 2e-7, 1.0]), CODERS[0])
    assert plan.starts.tolist() == [0, 1, 2, 90_000]
    assert (plan.lengths > 0).all()


@pytest.mark.parametrize("fps", [10, 30, 60])
def test_ten_minutes_fit_into_a_page(fps):
    """Film and strips in base64, a row and a tick for a hit every second, a number per frame."""
    n_frames = TEN_MINUTES_S * fps
    film = bits_for(TEN_MINUTES_S, n_frames) * (TEN_MINUTES_S + 2) / 8 + 20 * n_frames
    assert film < FILM_BYTES
    per_frame, per_hit = len("3003,") + len("10000,"), 1500
    assert 4 / 3 * (
        FILM_BYTES + STRIPS_BYTES
    ) + per_frame * n_frames + per_hit * TEN_MINUTES_S < PAGE_BYTES + (0 if fps <= 60 else 1_000_000)


def test_the_coder_keeps_to_its_bytes_even_with_noise(tmp_path, monkeypatch):
    """Four seconds of noise with the bytes that four of six hundred seconds have."""
    allowed = FILM_BYTES * 4 // TEN_MINUTES_S
    monkeypatch.setattr(preview, "FILM_BYTES", allowed)
    monkeypatch.setattr(preview, "LEAST_BITS_PER_S", 1)
    plan = plan_of(timeline(100, (360, 640)), np.arange(100) / 25, CODERS[0])
    random = np.random.default_rng(0)
    with FilmWriter(tmp_path / "film", plan) as writer:
        for _ in range(100):
            writer.add(random.integers(0, 256, (180, 320, 3), np.uint8))
    assert 0.2 * allowed < (tmp_path / "film").stat().st_size < allowed


def test_the_films_size():
    assert size_for(1080, 1920, 2e6, 25) == (360, 640)
    assert size_for(1920, 1080, 2e6, 25) == (640, 360)
    assert size_for(120, 160, 2e6, 25) == (120, 160)
    assert size_for(33, 37, 2e6, 25) == (32, 36)
    height, width = size_for(1080, 1920, 60e3, 30)
    assert height * width * 30 * 0.02 == pytest.approx(60e3, rel=0.05)
    assert size_for(1080, 1920, 1.0, 30)[0] == 96


def test_strips_show_the_frames_and_the_motion_that_the_network_saw(films, frames):
    """Each strip against the whole film's kinematics, also where the film begins and ends."""
    chunks = list(KINEMATICS([frames]))
    velocity, inflection = (
        decode(np.concatenate([getattr(c, name) for c in chunks]), KINEMATICS.coding)[:, FORWARD]
        * np.array([64 / 32, 48 / 32], np.float32)[:, None, None]
        for name in ("velocity", "inflection")
    )
    hits = (0, 9, 12, 39)
    drawn = Strips(subject(frames=hits), KINEMATICS)
    for frame, picture in enumerate(frames):
        drawn.add(frame, picture)
    made = drawn.finish()
    assert list(made) == list(hits)
    for frame, strip in made.items():
        at = min(max(frame, 1), 38)
        assert strip.motion_frame == at
        assert strip.motion_px == pytest.approx(full_px(velocity[at - 1], velocity[at]), rel=1e-6)
        # a+ at the frame before: from the motion that led to the frame to the one that follows
        assert strip.change_px == pytest.approx(full_px(inflection[at - 1]), rel=1e-6)
        height, width = strip.cell_px
        cells = cv2.imdecode(np.frombuffer(strip.frames, np.uint8), cv2.IMREAD_COLOR).reshape(
            height, 7, width, 3
        )
        numbers = [films.number_in(cells[:, place]) for place in range(7)]
        assert numbers == [n if 0 <= n < 40 else 0 for n in range(frame - 3, frame + 4)]


def test_only_the_surest_hits_have_strips(frames, monkeypatch):
    monkeypatch.setattr(strips, "MOST_STRIPS", 3)
    drawn = Strips(subject(frames=(5, 10, 15, 20, 25)), KINEMATICS)
    for frame, picture in enumerate(frames):
        drawn.add(frame, picture)
    made = drawn.finish()
    assert list(made) == [15, 20, 25]
    monkeypatch.setattr(strips, "STRIPS_BYTES", made[25].size_bytes + made[20].size_bytes)
    assert list(drawn.finish()) == [20, 25]


def test_cells_have_the_videos_proportions():
    assert cell_size(1080, 1920) == (90, 160)
    assert cell_size(1920, 1080) == (108, 61)
    assert cell_size(2, 2000) == (1, 160)


def test_the_curve_keeps_gaps_and_peaks():
    assert path_of(np.array([0.0, 1.0, np.nan, 0.5]), np.array([0.1, 0.3, 0.6, 0.9])) == (
        "M0.1000 1.000L0.3000 0.000M0.9000 0.500"
    )
    score = np.full(100_000, 0.2)
    score[[777, 60_001]] = 0.9, 0.05
    path = path_of(score, np.arange(100_000) / 100_000)
    assert path.count("L0.0078 0.100L") == path.count("L0.6000 0.950L") == 1
    assert path.count("L") < 2 * COLUMNS


def test_hits_beside_labels():
    """A run is one label; each label has one hit; beyond two frames there is none."""
    found = compared([10, 11, 30, 50], [9, 10, 11, 28, 53, 70])
    assert found.labelled == (10, 28, 53, 70)
    assert found.distance_frames == {10: 0, 30: 2}
    assert (found.found, found.missed) == (2, (53, 70))
    assert [distance_text(n) for n in (-2, -1, 0, 1)] == [
        "2 frames early",
        "1 frame early",
        "on the frame",
        "1 frame late",
    ]


def test_labels_tell_nothing_of_other_frames(tmp_path):
    """Hits at 10, 20, 30 and labels at 9 and 31, of which the spans hold 10, 20 and 9."""
    file = tmp_path / "labels.csv"
    file.write_text('video_id,sound_label,class,annotated\na,"9,31",x,0-12 18-29\nb,"3",x,\n')
    labels = read_labels(file, ["a"])
    assert labels.annotated == {"a": ((0, 13), (18, 30))}
    shown = replace(subject(frames=(10, 20, 30), labels=labels.of("a", 40)), annotated=labels.annotated["a"])
    assert shown.judged == (10, 20)
    assert (shown.comparison.labelled, shown.comparison.missed) == ((9,), ())
    assert shown.comparison.distance_frames == {10: 1}


def test_the_page_says_which_hits_cannot_be_judged(frames, tmp_path):
    shown = replace(subject(frames=(10, 20, 30), labels=(9,)), annotated=((0, 13), (18, 30)))
    write_report(shown, [frames], KINEMATICS, tmp_path / PAGE)
    text = (tmp_path / PAGE).read_text()
    said = "1 of 1 labelled hits found within 2 frames, 0 missed; 1 of 2 hits without a label; "
    assert said + "1 more on frames that are not annotated" in text
    assert [text.count(f">{words}</td>") for words in ("1 frame late", "none", "not annotated")] == [1, 1, 1]


def test_times_in_words():
    assert [clock(s) for s in (0, 1.1, 59.9996, 3723.004, -0.04)] == [
        "0:00.000",
        "0:01.100",
        "1:00.000",
        "1:02:03.004",
        "-0:00.040",
    ]


def test_labels_are_of_these_videos(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text('video_id,sound_label,class\na,"3,9",x\nb,,x\nc,-1,x\n')
    labels = read_labels(file, ["a", "other"])
    assert (labels.of("a", 10), labels.of("b", 10), labels.of("c", 10)) == ((3, 9), (), None)
    with pytest.raises(UserError, match=r"'a' has a label at frame 9, but the video ends at frame 8"):
        labels.of("a", 9)
    with pytest.raises(UserError, match="labels none of these videos"):
        read_labels(file, ["A"])


class Page(HTMLParser):
    """The elements of a page, the text of each script and style, its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.held: dict[str, list[str]] = {"script": [], "style": []}
        self.text = self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in self.held:
            self.held[tag].append("")
            self.inside = tag

    def handle_endtag(self, _):
        self.inside = ""

    def handle_data(self, data):
        if self.inside:
            self.held[self.inside][-1] += data
        else:
            self.text += data


HOSTILE = "</title></script><script>document.title='run'</script><img src=x onerror=\"run()\">&amp;.mp4"


def written(path: Path, shown: Subject, frames: np.ndarray) -> Page:
    write_report(shown, [frames[shown.first : shown.stop]], KINEMATICS, path)
    return Page(path.read_text(encoding="utf-8"))


def test_nothing_in_a_name_becomes_markup(frames, tmp_path):
    page = written(tmp_path / PAGE, subject(name=HOSTILE, labels=(10, 11)), frames)
    assert HOSTILE in page.text
    assert "none <b>" in page.text
    names = [name for name, _ in page.elements]
    assert names.count("script") == 3
    assert all("onerror" not in attributes and "style" not in attributes for _, attributes in page.elements)
    assert {address[:5] for _, a in page.elements for k, address in a.items() if k in ("src", "href")} == {
        "data:"
    }


def test_the_policy_names_the_hash_of_what_the_page_holds(frames, tmp_path):
    page = written(tmp_path / PAGE, subject(), frames)
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for kind, text in (("style", page.held["style"][0]), ("script", page.held["script"][-1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"


def test_a_part_counts_as_the_file_does(frames, tmp_path):
    """Frames 8 to 31; the film of the page is those alone, the numbers are the file's."""
    shown = subject(frames=(10, 20), first=8, stop=32, labels=(3, 10, 39))
    page = written(tmp_path / PAGE, shown, frames)
    data = json.loads(page.held["script"][0])
    assert (data["first"], len(data["ticks"]), len(data["score"])) == (8, 24, 24)
    assert data["begin_s"] == pytest.approx(0.32)
    assert data["ticks"] == [3600] * 24
    assert [(hit["frame"], hit["time"]) for hit in data["hits"]] == [(10, "0:00.400"), (20, "0:00.800")]
    assert data["labels"] == [[2, 2]]
    film = tmp_path / "film.mp4"
    film.write_bytes(base64.b64decode(page.held["script"][1]))
    assert probe(film).n_frames == 24
    assert "1 of 1 labelled hits found within 2 frames, 0 missed; 1 of 2 hits without a label" in page.text


def test_a_video_without_hits_says_how_near_it_came(frames, tmp_path):
    shown = subject(frames=())
    shown.score[17] = 0.432
    page = written(tmp_path / PAGE, shown, frames)
    assert "no score reaches the threshold of 0.500; the highest is 0.432, at 0:00.680, frame 17" in page.text


def test_json_in_a_page_cannot_end_its_element():
    text = as_json({"name": "</script><!--", "and": "a&b"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"name": "</script><!--", "and": "a&b"}


def test_what_the_list_needs_comes_back(tmp_path):
    entry = Entry("a <b>.mp4", 3.5, 7, "7 of 7", b"\x00picture")
    write_entry(entry, tmp_path)
    assert read_entry(tmp_path) == entry
    (tmp_path / ENTRY).write_text('{"name": 1}')
    with pytest.raises(UserError, match="predict the video again"):
        read_entry(tmp_path)


@pytest.fixture(scope="module")
def folder(films, tmp_path_factory) -> SimpleNamespace:
    """Two films, one of them broken, reported with labels; what the command said."""
    where = tmp_path_factory.mktemp("reported")
    good = films.write_video(where / "it's <b> 100%#1.mkv", n_frames=30)
    bad = where / "bad.mp4"
    bad.write_text("no film")
    labels = where / "labels.csv"
    labels.write_text(f'video_id,sound_label,class\n{good.stem},"5,12",x\n')
    arguments = ["report", str(good), str(bad), "--labels", str(labels), "--threshold", "0"]
    arguments += ["--device", "cpu", "--out", str(where / "out")]
    return SimpleNamespace(
        where=where, good=good, arguments=arguments, done=CliRunner().invoke(main, arguments)
    )


def test_a_folder_is_reported_and_listed(folder):
    assert folder.done.exit_code == 2, folder.done.output
    assert "1 of 2 videos failed" in folder.done.output
    out = folder.where / "out"
    index = Page((out / INDEX).read_text())
    assert folder.good.name in index.text
    assert "bad.mp4" in index.text
    assert "1 could not be read" in index.text
    (address,) = {a["href"] for name, a in index.elements if name == "a"}
    assert address == "it%27s%20%3Cb%3E%20100%25%231/report.html"
    page = Page((out / folder.good.stem / PAGE).read_text())
    assert "labelled hits found within 2 frames" in page.text
    assert re.search(r"threshold, \d\.\d{3}|0\.000, as asked for", page.text)


def test_only_a_folder_with_its_page_is_complete(folder):
    page = folder.where / "out" / folder.good.stem / PAGE
    arguments = [*folder.arguments[:2], *folder.arguments[3:], "--skip-existing"]
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0, again.output
    assert "complete, skipped" in again.output
    page.unlink()
    assert "complete, skipped" not in CliRunner().invoke(main, arguments).output
    assert page.is_file()
