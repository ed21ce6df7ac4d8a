"""From a video file straight to hits: the same numbers as by way of the flow store."""

from __future__ import annotations

import csv
import json
from importlib.metadata import version

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pipeline.errors import UserError, VideoError
from pipeline.flow import make_estimator
from pipeline.impacts.specimen import bounce_clip
from pipeline.kinematics import Coding
from pipeline.params import DecodeParams, FlowParams, StoreParams
from pipeline.store import Window
from pipeline.video.decode import read_all
from pipeline.video.frames2kinematics import Frames2Kinematics
from pipeline.video.probe import probe
from ta2net.cli import main
from ta2net.evaluation.matching import match
from ta2net.hits.peaks import candidate_peaks
from ta2net.hits.scoring import Scores, make_scorer
from ta2net.methods.ta2net.network import TA2Net
from ta2net.methods.ta2net.params import FusionParams, TA2NetParams
from ta2net.networks.built_in import BUILT_IN, network_path
from ta2net.networks.checkpoint import read, write, write_trained
from ta2net.params import ClipsParams, InferParams, Params, PeaksParams, TrainParams
from ta2net.prediction.file2hits import File2Hits, Scores2Hits, cut, placed, predict

pytestmark = pytest.mark.slow

PARAMS = Params(
    decode=DecodeParams(chunk_frames=7),
    flow=FlowParams(size=(48, 64)),
    store=StoreParams(size=(32, 32)),
    method=TA2NetParams(
        channels=4, fusion=FusionParams(channels=8, heads=2, similarity_channels=2, hidden=16)
    ),
    clips=ClipsParams(frames=16),
    train=TrainParams(precision="fp32", device="cpu"),
    infer=InferParams(stride=8),
    peaks=PeaksParams(smoothing_frames=0.0),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network whose scores differ from frame to frame."""
    torch.manual_seed(3)
    model = TA2Net(PARAMS.method, PARAMS.clips.frames)
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    points = {
        name: {"threshold": threshold, "recall": 0.5, "precision": 0.5, "f1": 0.5}
        for name, threshold in (("low", 2.0), ("normal", 0.0), ("high", -1.0))
    }
    write_trained(path, model, PARAMS, {"peaks": 0.0, "frames": 0.5}, {}, {}, operating_points=points)
    return path


@pytest.fixture(scope="module")
def film(films, tmp_path_factory):
    """Fifty frames at 25 a second whose first is shown at 0.4 s."""
    folder = tmp_path_factory.mktemp("film")
    return films.write_video(folder / "film.mkv", n_frames=50, pts=[10 + t for t in range(50)])


def scored_whole(path, model, first=0, stop=50):
    """The long way: all frames, all kinematics as one window, then the scorer of store rows."""
    steps = Coding.of(PARAMS.store.coding, PARAMS.store.scale)
    kinematics = Frames2Kinematics(make_estimator(PARAMS.flow), PARAMS.flow.size, PARAMS.store.size, steps)
    chunks = list(kinematics([read_all(path)[first:stop]]))
    frames, velocity, inflection = (
        np.concatenate([getattr(c, name) for c in chunks]) for name in ("frames", "velocity", "inflection")
    )
    whole = Window(frames, velocity, inflection, np.arange(stop - first) / 25)

    def read(start, end):
        return Window(*(getattr(whole, name)[start:end] for name in whole.__dataclass_fields__))

    return make_scorer(model, PARAMS, torch.device("cpu"))(read, stop - first, 64.0)


def test_a_file_scores_as_its_row_in_the_store(checkpoint, film):
    predictor = File2Hits(checkpoint)
    prediction = predictor(film)
    expected = scored_whole(film, predictor.score.network)
    assert np.ptp(expected.probability) > 1e-4
    np.testing.assert_allclose(prediction.scores.probability, expected.probability, atol=1e-6)
    np.testing.assert_allclose(prediction.scores.localization, expected.localization, atol=1e-6)
    frames, heights = candidate_peaks(expected.probability, PARAMS.peaks)
    assert [hit.frame for hit in prediction.hits] == frames.tolist()
    assert [hit.probability for hit in prediction.hits] == pytest.approx(heights.tolist(), abs=1e-6)
    times_s = probe(film).times_s
    assert times_s[0] == pytest.approx(0.4)
    assert [hit.time_s for hit in prediction.hits] == pytest.approx(times_s[frames].tolist())
    assert {hit.row_id for hit in prediction.hits} == {"film"}


def test_a_part_keeps_the_files_own_frame_numbers(checkpoint, film):
    """From 0.6 to 1.4 s after the first frame: frames 15 to 34, scored as if they were all there is."""
    predictor = File2Hits(checkpoint)
    prediction = predictor(film, start_s=0.6, end_s=1.4)
    probability = prediction.scores.probability
    assert np.flatnonzero(np.isfinite(probability)).tolist() == list(range(15, 35))
    expected = scored_whole(film, predictor.score.network, 15, 35)
    np.testing.assert_allclose(probability[15:35], expected.probability, atol=1e-6)
    assert prediction.hits
    assert all(15 <= hit.frame < 35 for hit in prediction.hits)


def test_threshold_and_distance_can_be_given(checkpoint, film):
    every = predict(film, checkpoint).hits
    middle = float(np.median([hit.probability for hit in every]))
    some = predict(film, checkpoint, threshold=middle).hits
    assert [hit for hit in every if hit.probability >= middle] == list(some)
    far = predict(film, checkpoint, min_distance=10).hits
    assert 0 < len(far) < len(every)
    assert (np.diff([hit.frame for hit in far]) >= 10).all()


def test_sensitivity_is_the_threshold_that_validation_chose_for_it(checkpoint, film):
    assert predict(film, checkpoint, sensitivity="normal").hits == predict(film, checkpoint).hits
    assert predict(film, checkpoint, sensitivity="low").hits == ()
    assert File2Hits(checkpoint, sensitivity="high").decide.threshold == -1.0
    with pytest.raises(UserError, match="give either a threshold or a sensitivity"):
        File2Hits(checkpoint, sensitivity="low", threshold=0.5)
    with pytest.raises(UserError, match="unknown sensitivity 'extreme'; choose one of low, normal, high"):
        File2Hits(checkpoint, sensitivity="extreme")


def test_an_older_network_has_no_sensitivities(checkpoint, tmp_path):
    found = read(checkpoint)
    older = {name: value for name, value in found.document.items() if name != "operating_points"}
    write(tmp_path / "old.safetensors", found.tensors, older)
    with pytest.raises(
        UserError, match=r"old\.safetensors: .* no sensitivities; give --threshold \(its own is 0"
    ):
        File2Hits(tmp_path / "old.safetensors", sensitivity="low")


def test_built_in_networks_have_names(film):
    assert network_path("real") == network_path() == BUILT_IN != network_path("impacts")
    assert network_path(film) == film
    with pytest.raises(
        UserError, match=r"impact: no checkpoint here, and none of this name is built in \(impac"
    ):
        network_path("impact")
    done = CliRunner().invoke(main, ["models"])
    assert done.exit_code == 0, done.output
    *_, last = done.output.strip().split("\n\n")
    told = dict(line.split(maxsplit=1) for line in last.splitlines())
    assert told["network"].startswith("real, used where no other")
    assert told["flow"] == "dis at 192 x 192 px (comes with OpenCV, nothing to download)"
    assert float(told["size"].split()[0]) == pytest.approx(BUILT_IN.stat().st_size / 1e6, abs=0.05)


def test_parts_that_cannot_be(checkpoint, film, tmp_path, films):
    predictor = File2Hits(checkpoint)
    with pytest.raises(UserError, match=r"from 1.0 s to 1.05 s there are 2 frames of its 50 \(1.960 s\)"):
        predictor(film, start_s=1.0, end_s=1.05)
    with pytest.raises(UserError, match=r"from 5\.0 s to the end there are 0 frames"):
        predictor(film, start_s=5.0)
    with pytest.raises(UserError, match="there are 0 frames"):
        predictor(film, start_s=1.0, end_s=0.5)
    short = films.write_video(tmp_path / "short.mkv", n_frames=2)
    with pytest.raises(VideoError, match=r"2 frame\(s\); an inflection needs 3"):
        predictor(short)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no film")
    with pytest.raises(VideoError, match=r"broken\.mp4"):
        predictor(broken)


def test_cut_is_a_slice_whatever_the_chunks():
    frames = np.arange(20)
    for size in (1, 3, 20):
        chunks = [frames[i : i + size] for i in range(0, 20, size)]
        for first, stop in ((0, 20), (4, 9), (19, 20), (6, 6)):
            assert np.concatenate([*cut(chunks, first, stop), frames[:0]]).tolist() == list(
                range(first, stop)
            )


def test_placed_scores_are_silent_elsewhere():
    scores = Scores(np.array([0.2, 0.9, 0.1]), np.ones((3, 2, 2), np.float32), np.array([0.0, 1.0, 2.0]))
    whole = placed(scores, 4, 10)
    assert whole.probability.shape == whole.offset.shape == (10,)
    assert np.flatnonzero(np.isfinite(whole.probability)).tolist() == [4, 5, 6]
    assert np.isnan(whole.localization[3]).all()
    hits = Scores2Hits(0.5, PeaksParams(smoothing_frames=0.0))("x", whole, np.arange(10.0))
    assert [(hit.frame, hit.time_s) for hit in hits] == [(6, 6.0)]  # moved by its offset


def test_the_command_line(checkpoint, film, tmp_path):
    """Two films, one of them broken: the good one has all its files, and its markers are its hits."""
    broken = tmp_path / "broken <script>.mp4"
    broken.write_text("no film")
    arguments = ["predict", str(film), str(broken), "--out", str(tmp_path / "out"), "--min-distance", "6"]
    arguments += ["--checkpoint", str(checkpoint), "--format", "audacity,json", "--device", "cpu"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2, done.output
    assert f"1 of 2 videos failed:\n  {broken}" in done.output
    folder = tmp_path / "out" / "film"
    with (folder / "hits.csv").open() as stream:
        hits = list(csv.DictReader(stream))
    assert f"{film}: {len(hits)} hits; {folder}/" in done.output
    markers = (folder / "film.audacity.txt").read_text().splitlines()
    # Audacity counts from what a player shows as 0:00, here the first frame, shown at 0.4 s
    assert [float(line.split("\t")[0]) for line in markers] == pytest.approx(
        [float(hit["time_s"]) - 0.4 for hit in hits], abs=1e-5
    )
    document = json.loads((folder / "film.hits.json").read_text())
    assert len(document["hits"]) == len(hits) > 0
    assert document["model"].startswith(f"{checkpoint.name}, threshold 0.")
    assert document["versions"].items() >= {"ta2net": version("ta2net"), "torch": version("torch")}.items()
    again = CliRunner().invoke(main, [*arguments[:2], *arguments[3:], "--skip-existing"])
    assert again.exit_code == 0, again.output
    assert "complete, skipped" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], "none.mp4: no such file, folder or pattern"),
        (["FILM", "--format", "premier"], "unknown format 'premier'"),
        (["FILM", "--threshold", "2"], "2.0 is not in the range 0<=x<=1"),
        (["FILM", "--checkpoint", "none.safetensors"], "none.safetensors: no checkpoint here"),
        (["FILM", "--start", "9"], "from 9.0 s to the end there are 0 frames"),
    ],
)
def test_wrong_arguments(arguments, message, film, checkpoint, tmp_path):
    given = [str(film) if argument == "FILM" else argument for argument in arguments]
    if "--checkpoint" not in given:
        given += ["--checkpoint", str(checkpoint)]
    done = CliRunner().invoke(main, ["predict", *given, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize(("name", "most_false"), [("impacts", 0), ("real", 2)])
def test_the_built_in_networks_hear_a_ball_bounce(name, most_false):
    """The networks that come with the program, on a clip whose contacts follow from physics."""
    clip = bounce_clip()
    predictor = File2Hits(network_path(name), device="cpu")
    scores = predictor.score.of_stream(predictor.kinematics([clip.frames]), 64.0)
    found = predictor.decide.found(scores).frames
    paired, _ = match(found, clip.contact_frames, 1)
    assert len(paired) == len(clip.contact_frames)
    assert len(found) - len(paired) <= most_false
