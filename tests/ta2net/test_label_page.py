"""The page of heard labels: safe whatever a file is called, and a click plays from the label on."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.video.probe import probe
from ta2net.label.heard import Heard, Onset
from ta2net.label.listening_page import PAGE, pictures, write_label_page
from ta2net.label.onsets import novelty
from ta2net.label.sound import sound_blocks

RATE = 48_000
NAME = "<script>document.title='run'<img src=x onerror=document.title='run'>"
STARTS_S, LABELS = 0.2, (15, 40)


@pytest.fixture(scope="module")
def written(films, tmp_path_factory) -> Path:
    """Two seconds of pictures, sound from 0.2 s on, labels at 0.6 and 1.6 s."""
    folder = tmp_path_factory.mktemp("page")
    silent = films.write_video(folder / "x.mkv", n_frames=50)
    path = folder / f"{NAME}.mkv"
    noise = 0.2 * np.random.default_rng(0).standard_normal((1, 2 * RATE))
    with av.open(str(silent)) as old, av.open(str(path), "w") as new:
        video = new.add_stream_from_template(old.streams.video[0])
        audio = new.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (noise * 32767).clip(-32768, 32767).astype(np.int16), layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, round(STARTS_S * RATE), Fraction(1, RATE)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = video
                new.mux(packet)
        new.mux(audio.encode(frame))
        new.mux(audio.encode(None))
    info = probe(path)
    onsets = tuple(Onset(t, float(info.times_s[t]), float(info.times_s[t]) + 0.004, 8.0, 0.6) for t in LABELS)
    write_label_page(Heard(info, novelty(sound_blocks(path)), onsets, 1, 0.3), folder / PAGE)
    return folder / PAGE


def test_the_page_shows_what_was_heard_and_runs_nothing_else(written):
    text = written.read_text(encoding="utf-8")
    assert text.count("<script") == 2  # its data and its own
    assert NAME not in text
    assert "&lt;script&gt;document.title=" in text
    assert "2 labels in 0:01.9" in text
    assert "1 onsets before the first or after the last picture left out" in text
    assert re.findall(r'class="seek">([\d:.]+)<', text) == ["0:00.604", "0:01.604"]
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_the_picture_by_hand():
    """Two moments to a column; as loud as the loudest is 50 px up and down, 30 dB of rise 46 px."""
    loudness = np.array([0.0, 0.5, 0.25, 0.0, 0.0], np.float32)
    wave, rise = pictures(loudness, np.array([0, 30, 0, 15, 90], np.float32), 2)
    assert wave == "M0 0.0v100.0M1 25.0v50.0M2 50.0v0.5"
    assert rise == "M0 104.0L1 127.0L2 104.0"


def test_a_click_plays_from_there(chromium, written):
    page = chromium.new_page(viewport={"width": 1000, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())

    def wait(condition: str) -> float:
        """The sound's place once it is so; Playwright's own waiting needs ``eval``: forbidden here."""
        return page.evaluate(
            """() => new Promise((done, fail) => {
                const sound = document.getElementById('sound');
                const look = () => CONDITION ? done(sound.currentTime) : setTimeout(look, 10);
                setTimeout(() => fail(new Error('not in time: CONDITION')), 20000);
                look();
            })""".replace("CONDITION", condition)
        )

    wait("sound.readyState >= 2")
    assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(2.0, abs=0.03)
    page.locator("tr[data-label='1'] button").click()
    # a label is heard from 0.3 s before on; the sound's clock starts 0.2 s after the film's
    assert wait("!sound.paused && sound.currentTime > 1.0") == pytest.approx(1.604 - 0.2 - 0.3, abs=0.4)
    assert page.locator(".mark.now").get_attribute("data-label") == "1"
    page.keyboard.press("p")
    wait("sound.currentTime < 0.6")
    page.keyboard.press("Space")
    wait("sound.paused")
    page.locator("#picture").click(position={"x": 300, "y": 20})  # 200 px a second
    assert wait("!sound.paused && sound.currentTime >= 1.5") == pytest.approx(1.5, abs=0.4)
    assert page.title() != "run"
    page.close()
    assert said == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {written.as_uri()}
