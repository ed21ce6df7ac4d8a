"""A report in a real browser: markers seek to their frame, keys work, nothing foreign runs or is fetched."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.flow import make_estimator
from pipeline.kinematics import Coding
from pipeline.params import FlowParams
from pipeline.video.decode import read_all
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import probe
from ta2net.deliver.exports import look_at, timeline_of
from ta2net.deliver.report import PAGE, Subject, write_report
from ta2net.hits.hit import Hit

NAME = "<script>document.title='run'<img src=x onerror=document.title='run'>"
HITS, LABELS = (0, 7, 8, 21, 39), (7, 22, 23, 30)
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def reported(films, tmp_path_factory):
    """Forty numbered pictures, shown for 20 to 120 ms each, the first at 0.5 s; five hits, three labels."""
    lengths_ms = np.random.default_rng(2).choice([20, 33, 41, 120], 39)
    pts = [500, *(500 + np.cumsum(lengths_ms)).tolist()]
    folder = tmp_path_factory.mktemp("browser")
    path = films.write_video(folder / f"{NAME}.mkv", pts=pts, time_base=Fraction(1, 1000))
    info = probe(path)
    hits = [Hit("x", frame, info.times_s[frame], 0.6 + frame / 100, 0.25, 0.75) for frame in HITS]
    score = np.full(40, 0.1)
    score[list(HITS)] = [hit.probability for hit in hits]
    shown = Subject(
        timeline=timeline_of(look_at(path), hits),
        times_s=info.times_s,
        first=0,
        stop=40,
        score=score,
        threshold=0.5,
        maps={frame: np.full((4, 4), 0.5, np.float32) for frame in HITS},
        facts=[("Network", NAME)],
        labels=LABELS,
    )
    flow = make_estimator(FlowParams(size=(48, 64)))
    kinematics = Frames2Kinematics(flow, (48, 64), (32, 32), Coding.of("int16", 64))
    write_report(shown, [read_all(path)], kinematics, folder / PAGE)
    starts_s = info.times_s - info.times_s[0]
    ends_s = np.append(starts_s[1:], starts_s[-1] + 1 / float(info.fps))
    return SimpleNamespace(path=folder / PAGE, starts_s=starts_s, ends_s=ends_s)


@pytest.fixture
def page(chromium, reported):
    """The report, opened; at the end of the test nothing may have been logged or asked for."""
    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE_MS)
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(reported.path.as_uri())
    wait_until(opened, "film.readyState >= 2")
    yield opened
    opened.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {reported.path.as_uri()}


def wait_until(page, condition: str) -> None:
    """Wait for something of the player; Playwright's own waiting needs ``eval``, which the page forbids."""
    page.evaluate(
        """() => new Promise((done, fail) => {
            const film = document.getElementById('film');
            const look = () => CONDITION ? done() : setTimeout(look, 20);
            setTimeout(() => fail(new Error('not in time: CONDITION')), PATIENCE);
            look();
        })""".replace("CONDITION", condition).replace("PATIENCE", str(PATIENCE_MS))
    )


def on_show(page, films) -> int:
    """The number in the picture that the player shows."""
    wait_until(page, "!film.seeking")
    pixels = page.evaluate(
        """() => {
            const film = document.getElementById('film');
            const canvas = new OffscreenCanvas(film.videoWidth, film.videoHeight);
            const pen = canvas.getContext('2d');
            pen.drawImage(film, 0, 0);
            return Array.from(pen.getImageData(0, 0, canvas.width, canvas.height).data);
        }"""
    )
    return films.number_in(np.array(pixels).reshape(48, 64, 4)[..., :3])


def at_frame(page, reported) -> int:
    """The frame within whose time the player stands, by the times of the video file."""
    now_s = page.evaluate("document.getElementById('film').currentTime")
    (frame,) = np.flatnonzero((reported.starts_s <= now_s) & (now_s < reported.ends_s))
    return int(frame)


def test_each_marker_shows_its_frame(page, films, reported):
    markers = page.locator("#near g.marker")
    assert markers.count() == len(HITS)
    for frame in (21, 0, 8, 39, 7):
        page.locator(f'#near g.marker[data-frame="{frame}"] path').click()
        assert at_frame(page, reported) == on_show(page, films) == frame
        assert page.locator("#readout b").inner_text() == f"frame {frame}"
        assert page.locator("#hits tr.now td").nth(1).inner_text() == str(frame)
        assert page.locator("#places g").count() >= 1


def test_table_strips_and_curve_seek_too(page, films, reported):
    page.locator('#hits tr[data-frame="8"] td').nth(3).click()
    assert at_frame(page, reported) == on_show(page, films) == 8
    page.locator('.strip[data-frame="39"] .seek').click()
    assert at_frame(page, reported) == on_show(page, films) == 39
    for curve in ("#near", "#whole"):
        page.locator(curve).scroll_into_view_if_needed()
        box = page.locator(curve).bounding_box()
        # the curve's left and right ends are the film's; between the markers there is only the curve
        page.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.8)
        assert reported.ends_s[-1] * 0.4 == pytest.approx(
            page.evaluate("document.getElementById('film').currentTime"), abs=0.13
        )
        assert at_frame(page, reported) == on_show(page, films)


def test_a_dragged_pointer_scrubs_and_a_hovering_one_tells(page, films, reported):
    box = page.locator("#near").bounding_box()
    y = box["y"] + box["height"] * 0.8
    page.mouse.move(box["x"] + box["width"] * 0.3, y)
    told = page.locator("#near text.hover").text_content()
    page.mouse.down()
    assert page.locator("#readout").inner_text() == told
    page.mouse.move(box["x"] + box["width"] * 0.9, y, steps=4)
    page.mouse.up()
    frame = at_frame(page, reported)
    assert on_show(page, films) == frame > 30
    page.mouse.move(box["x"] + 2, y)
    wait_until(page, "!film.seeking")
    assert at_frame(page, reported) == frame


def test_keys(page, films, reported):
    def after(*keys: str) -> int:
        for key in keys:
            page.keyboard.press(key)
        assert at_frame(page, reported) == on_show(page, films)
        return at_frame(page, reported)

    assert after("n") == 7
    assert after("n", "n") == 21
    assert after("ArrowRight") == 22
    assert after("ArrowLeft", "ArrowLeft", "ArrowLeft") == 19
    assert after("P") == 8
    assert after(*["ArrowRight"] * 50) == 39
    assert after(*["p"] * 9, "ArrowLeft") == 0
    page.evaluate("document.getElementById('film').playbackRate = 4")
    page.keyboard.press("Space")
    wait_until(page, "film.currentTime > 0.3")
    page.keyboard.press("Space")
    assert page.evaluate("document.getElementById('film').paused")
    assert page.locator("#readout b").inner_text() != "frame 0"


def test_the_space_bar_plays_after_a_click_on_a_button(page):
    page.locator("#next").click()
    page.keyboard.press("Space")
    wait_until(page, "!film.paused || film.ended")
    assert page.locator("#readout b").inner_text() != "frame 0"


def test_an_address_can_name_a_frame(chromium, reported, films):
    page = chromium.new_page()
    page.goto(f"{reported.path.as_uri()}#frame-23")
    wait_until(page, "film.readyState >= 2")
    assert at_frame(page, reported) == on_show(page, films) == 23
    page.evaluate("location.hash = '#frame-4'")
    wait_until(page, "film.currentTime < 0.5")
    assert at_frame(page, reported) == on_show(page, films) == 4
    page.close()


def test_labels_are_shown(page):
    assert page.locator("header .label").inner_text() == (
        "2 of 3 labelled hits found within 2 frames, 1 missed; 3 of 5 hits without a label"
    )
    assert page.locator("#near .mark.foot").count() == 3
    cells = page.locator("#hits tbody tr td:last-child").all_inner_texts()
    assert cells == ["none", "on the frame", "none", "1 frame early", "none"]
    page.locator(".missed .seek").click()
    assert page.locator("#readout b").inner_text() == "frame 30"


def test_a_name_is_shown_and_not_run(page):
    assert page.locator("h1").inner_text() == f"{NAME}.mkv"
    assert page.title() == f"{NAME}.mkv: 5 hits"
    assert page.locator("dd").first.inner_text() == NAME
    assert page.locator("h1 *").count() == 0


def test_the_policy_stops_what_it_did_not_come_with(chromium, reported):
    page = chromium.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(reported.path.as_uri())
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = "document.title = 'run'";
            document.body.append(script);
            const picture = document.createElement('img');
            picture.src = 'http://127.0.0.1:9/x.png';
            document.body.append(picture);
        }"""
    )
    assert page.title() != "run"
    page.wait_for_timeout(100)
    assert len([line for line in refused if "Content Security Policy" in line]) == 2
    page.close()


@pytest.mark.parametrize(
    ("width", "media"), [(1280, "screen"), (800, "screen"), (390, "screen"), (700, "print")]
)
def test_nothing_sticks_out(page, width, media):
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(media=media)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
