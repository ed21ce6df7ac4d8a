"""``ta2net inspect``: the facts are those of the file."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pipeline.store import FlowStore, create_store
from pipeline.store.manifest import write_manifest
from pipeline.store.opening import place_at
from ta2net.cli import main
from ta2net.commands.inspection import facts_of
from ta2net.methods.rules import InflectionPeakParams
from ta2net.methods.ta2net.network import TA2Net
from ta2net.networks import checkpoint as files
from ta2net.networks.built_in import network_path


def test_a_video(films, tmp_path):
    film = films.write_video(tmp_path / "film.mp4", n_frames=30, rate=25, sound=True)
    facts = dict(facts_of(film))
    assert facts["picture"].startswith("64 x 48 px")
    assert facts["frames"] == "30, 25 = 25.000 a second, 1.200 s"
    assert facts["coding"].startswith("h264")
    assert facts["sound"] == "yes"


def test_a_store(toy_data):
    store = FlowStore(toy_data / "flows.zarr")
    hits = sum(len(store.attributes(row_id).labels) for row_id in store.row_ids())
    facts = dict(facts_of(toy_data / "flows.zarr"))
    assert facts["rows"].startswith("14: ")
    assert facts["frames"] == f"{14 * 40}, {hits} labelled"
    assert facts["coding"] == "int16, 64 steps per px; 0 values cut"
    assert facts["flow"] == "toy"
    size = sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    assert facts["stored"] == f"{size / 1e6:.1f} MB"


def test_a_store_elsewhere_by_its_url_and_by_its_manifest(tmp_path):
    url = f"memory://{tmp_path.name}/flows"
    store = create_store(place_at(url))
    write_manifest(store.documents(), url, tmp_path)
    for name in (url, str(tmp_path)):
        done = CliRunner().invoke(main, ["inspect", name])
        assert done.exit_code == 0
        assert done.output.split() == ["flow", "store", url, "rows", "0"]


def test_a_checkpoint(toy_params, tmp_path):
    model = TA2Net(toy_params.method, toy_params.clips.frames)
    made = {"git": {"commit": "abc", "dirty": True}, "versions": {"torch": "2", "zarr": None}}
    path = tmp_path / "net.safetensors"
    files.write_trained(path, model, toy_params, {"peaks": 0.25}, {"f1_at_2": 0.5}, made)
    facts = dict(facts_of(path))
    count = sum(value.numel() for value in model.state_dict().values())
    assert facts["method"] == "ta2net"
    assert facts["network"] == f"{count:,} numbers"
    assert facts["clips"].startswith("24 frames of")
    assert facts["threshold, peaks"] == "0.2500"
    assert facts["code"] == "commit abc and changes"
    assert facts["versions"] == "torch 2"


def test_the_checkpoint_of_a_rule(toy_params, tmp_path):
    params = toy_params.model_copy(update={"method": InflectionPeakParams()})
    path = tmp_path / "rule.safetensors"
    files.write_trained(path, None, params, {"peaks": 0.25}, {"f1_at_2": 0.5}, {})
    facts = dict(facts_of(path))
    assert facts["method"] == "inflection_peak"
    assert "network" not in facts


def test_a_built_in_network_of_format_1():
    facts = dict(facts_of(network_path("impacts")))
    assert facts["method"] == "ta2net"
    assert facts["network"].endswith(" numbers")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.mp4", "no such file or folder"),
        ("text.mp4", "cannot read it as a video"),
        (".", "not a flow store"),
    ],
)
def test_other_things(name, message, tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / name)])
    assert done.exit_code == 2
    assert message in done.output
