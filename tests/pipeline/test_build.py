"""Catalog -> flow store with Dask: what is computed, kept, relabelled, removed, and what fails."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from distributed import LocalCluster

from pipeline.build import Failure, build
from pipeline.build.row import RowDone, RowJob, compute_row, row_fingerprint
from pipeline.catalog import Catalog, write_catalog
from pipeline.errors import InternalError, UserError, WeightsError
from pipeline.flow import flow_identity, make_estimator, resample_flow, resize_frames
from pipeline.kinematics import decode, hold_edges, inflection
from pipeline.store import FlowStore, create_store
from pipeline.video.decode import open_video, read_all

pytestmark = pytest.mark.slow


def made_at(params):
    """When each row's data were written."""
    store = FlowStore(params.store.path)
    return {
        row_id: (store.path / row_id / "velocity" / "zarr.json").stat().st_mtime_ns
        for row_id in store.row_ids()
    }


def failures_of(params):
    with open(params.build.failures, encoding="utf-8") as handle:  # noqa: PTH123
        return json.load(handle)


def test_rows_hold_what_a_straight_computation_gives(builds, catalog, params):
    summary = build(catalog, params)
    assert builds.counts(summary) == (3, 0, 0, 0, 0)
    assert summary.frames == 42
    assert (summary.saturated_velocity, summary.saturated_inflection) == (0, 0)
    assert failures_of(params) == []
    store = FlowStore(params.store.path)
    assert store.row_ids() == ["v0", "v1", "v2"]
    assert store.validate(deep=True) == []

    frames = read_all(catalog.rows[0].path)
    flow = make_estimator(params.flow).estimate(resize_frames(frames, (48, 64)))
    velocity_px = hold_edges(resample_flow(flow, (24, 32)))
    window = store.read("v0", 0, 14)
    np.testing.assert_array_equal(window.frames, resize_frames(frames, (24, 32)).transpose(0, 3, 1, 2))
    assert np.abs(decode(window.velocity, store.coding) - velocity_px).max() <= 0.5 / 64 + 1e-7
    np.testing.assert_array_equal(window.velocity, np.rint(velocity_px.astype(np.float64) * 64))
    np.testing.assert_array_equal(inflection(window.velocity), window.inflection)
    np.testing.assert_array_equal(window.time_s, open_video(catalog.rows[0].path).info.times_s)
    attributes = store.attributes("v0")
    assert attributes.video_size == (48, 64)
    assert attributes.flow_size == (48, 64)
    assert attributes.store_size == (24, 32)
    assert attributes.fps == 25
    assert attributes.labels == (5,)
    assert attributes.estimator["model"] == "dis"


def test_only_what_changed_is_done(builds, videos, catalog, params, tmp_path):
    build(catalog, params)
    first = made_at(params)
    assert builds.counts(build(catalog, params)) == (0, 3, 0, 0, 0)

    added = builds.row_of(builds.write_video(tmp_path / "v9.mp4", seed=9))
    more = Catalog((*catalog.rows, added))
    assert builds.counts(build(more, params)) == (1, 3, 0, 0, 0)
    assert {row_id: made_at(params)[row_id] for row_id in first} == first

    relabelled = dataclasses.replace(added, labels=(1, 8), annotated=((0, 12),))
    before = made_at(params)
    assert builds.counts(build(Catalog((*catalog.rows, relabelled)), params)) == (0, 3, 1, 0, 0)
    assert made_at(params) == before
    assert FlowStore(params.store.path).attributes("v9").labels == (1, 8)
    assert FlowStore(params.store.path).attributes("v9").annotated == ((0, 12),)

    assert builds.counts(build(catalog, params)) == (0, 3, 0, 1, 0)
    assert FlowStore(params.store.path).row_ids() == ["v0", "v1", "v2"]

    moved = videos[0].rename(tmp_path / "elsewhere.mp4")
    rows = (dataclasses.replace(catalog.rows[0], path=str(moved)), *catalog.rows[1:])
    assert builds.counts(build(Catalog(rows), params)) == (0, 3, 0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [{"store__scale": 128}, {"store__coding": "float16"}, {"store__codec": "none"}, {"flow__size": [96, 96]}],
)
def test_stale_rows_are_rebuilt(builds, catalog, params, tmp_path, change):
    small = Catalog(catalog.rows[:1])
    build(small, params)
    changed = builds.make_params(tmp_path, **change)
    assert builds.counts(build(small, changed)) == (1, 0, 0, 0, 0)
    store = FlowStore(changed.store.path)
    assert store.validate(deep=True) == []
    assert store.coding.scale == {"store__scale": 128, "store__coding": 1}.get(next(iter(change)), 64)
    assert sorted(path.name for path in store.path.iterdir()) == ["v0", "zarr.json"]


def test_what_changes_the_fingerprint(builds, catalog, params, tmp_path):
    row = catalog.rows[0]

    def fingerprint(changed=params, of=row, identity=None):
        identity = identity or flow_identity(changed.flow)
        return row_fingerprint(of, identity, changed.decode, changed.flow, changed.store)

    reference = fingerprint()
    identity = flow_identity(params.flow)
    for same in (
        fingerprint(of=dataclasses.replace(row, labels=(), annotated=((0, 3),), path="x", split="eval")),
        fingerprint(builds.make_params(tmp_path, build__workers=7, decode__chunk_frames=64, flow__batch=3)),
        fingerprint(identity={**identity, "checkpoint": "renamed.ckpt"}),
    ):
        assert same == reference
    for other in (
        fingerprint(of=dataclasses.replace(row, sha256="1" * 64)),
        fingerprint(of=dataclasses.replace(row, n_frames=13)),
        fingerprint(builds.make_params(tmp_path, store__scale=65)),
        fingerprint(builds.make_params(tmp_path, store__size=[24, 24])),
        fingerprint(builds.make_params(tmp_path, store__chunk_frames=8)),
        fingerprint(builds.make_params(tmp_path, decode__reader="pyav")),
        fingerprint(identity={**identity, "weights_sha256": "2" * 64}),
    ):
        assert other != reference
    float16 = builds.make_params(tmp_path, store__coding="float16")
    assert fingerprint(float16) == fingerprint(
        builds.make_params(tmp_path, store__coding="float16", store__scale=9)
    )


def test_one_bad_video_does_not_stop_the_others(builds, videos, tmp_path, params):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is no video" * 99)
    gone = tmp_path / "gone.mp4"
    gone.write_bytes(videos[1].read_bytes())
    short = builds.write_video(tmp_path / "short.mp4", n=2)
    changed = builds.row_of(videos[2])
    videos[2].write_bytes(videos[1].read_bytes())
    catalog = Catalog(
        (
            builds.row_of(videos[0]),
            builds.row_of(bad),
            builds.row_of(gone),
            builds.row_of(short, n=2),
            changed,
            builds.row_of(videos[1], n=15),
        )
    )
    gone.unlink()
    with pytest.raises(UserError, match=r"5 of 6 rows failed, build\.allow_failures is 0") as caught:
        build(catalog, params)
    failures = {failure["row_id"]: failure for failure in failures_of(params)}
    assert list(failures) == ["bad", "gone", "short", "v1", "v2"]
    assert [failure["kind"] for failure in failures.values()] == [
        *("VideoError", "FileNotFoundError", "VideoError", "UserError", "UserError")
    ]
    assert {failure["traceback"] for failure in failures.values()} == {""}
    assert "the file changed since the catalog was made" in failures["v2"]["reason"]
    assert "14 frames, but the catalog says 15" in failures["v1"]["reason"]
    assert failures["bad"]["path"] == str(bad)
    assert all(row_id in caught.value.message for row_id in failures)
    assert FlowStore(params.store.path).row_ids() == ["v0"]

    for allowed in (5, "any"):
        summary = build(catalog, builds.make_params(tmp_path, build__allow_failures=allowed))
        assert builds.counts(summary) == (0, 1, 0, 0, 5)
    with pytest.raises(UserError, match="allow_failures is 4"):
        build(catalog, builds.make_params(tmp_path, build__allow_failures=4))


def test_a_long_list_of_failures_is_cut(builds, tmp_path, params):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"12 of 12 rows failed(.|\n)*and 2 more"):
        build(Catalog(tuple(builds.row_of(bad, f"row{i:02}") for i in range(12))), params)
    assert len(failures_of(params)) == 12


def test_wrong_estimator_is_one_error_and_costs_no_row(builds, catalog, params, tmp_path):
    build(catalog, params)
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"nothing")
    with pytest.raises(WeightsError):
        build(catalog, builds.make_params(tmp_path, flow__model="raft_small", flow__checkpoint=str(weights)))
    with pytest.raises(UserError, match=r"flow\.size"):
        build(catalog, builds.make_params(tmp_path, flow__size=[4, 4]))
    assert builds.counts(build(catalog, params)) == (0, 3, 0, 0, 0)


def test_a_worker_with_other_weights_refuses(catalog, params):
    identity = {**flow_identity(params.flow), "library": "opencv 0"}
    job = RowJob(catalog.rows[0], identity, "f", params.decode, params.flow, params.store, None)
    create_store(params.store.path)
    result = compute_row(job)
    assert isinstance(result, Failure)
    assert "not the one asked for" in result.reason


def test_a_worker_with_other_code_refuses(catalog, params):
    """On a cluster every machine has an installation of its own."""
    create_store(params.store.path)
    rest = (flow_identity(params.flow), "f", params.decode, params.flow, params.store, None)
    result = compute_row(RowJob(catalog.rows[0], *rest, code={"resampling": "2"}))
    assert isinstance(result, Failure)
    assert "this worker's code differs from that of the machine" in result.reason


def test_processes_through_the_stage(builds, catalog, tmp_path):
    pytest.importorskip("ta2net.params")
    params = builds.make_params(
        tmp_path, build__scheduler="local", source__catalog=str(tmp_path / "catalog.jsonl")
    )
    write_catalog(catalog, params.source.catalog)
    (tmp_path / "params.yaml").write_text(json.dumps(params.model_dump(mode="json", exclude_defaults=True)))
    command = [sys.executable, "-m", "stages.flows", "--params", str(tmp_path / "params.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 computed, 0 kept" in done.stdout
    assert "Traceback" not in done.stderr
    assert "WARNING" not in done.stderr
    assert FlowStore(params.store.path).validate(deep=True) == []

    # what processes made is what threads make
    threads = builds.make_params(tmp_path / "again", build__failures=str(tmp_path / "f.json"))
    build(catalog, threads)
    for row in catalog:
        one, other = (FlowStore(p.store.path).read(row.row_id, 0, 14) for p in (params, threads))
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))

    (tmp_path / "v1.mp4").write_bytes(b"changed")
    write_catalog(
        Catalog((*catalog.rows[1:], builds.row_of(tmp_path / "v1.mp4", "bad"))), params.source.catalog
    )
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "1 of 3 rows failed" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_what_another_builder_made_meanwhile_is_taken(catalog, params):
    """A row that is right when its turn comes is neither computed again nor taken away."""
    build(catalog, params)
    before = made_at(params)
    fingerprint = FlowStore(params.store.path).fingerprint("v0")
    identity = flow_identity(params.flow)
    rest = (identity, fingerprint, params.decode, params.flow, params.store, None)
    found = compute_row(RowJob(catalog.rows[0], *rest))
    assert isinstance(found, RowDone)
    assert (found.frames, found.seconds) == (14, 0.0)
    assert made_at(params) == before
    # with other labels it is another row
    relabelled = dataclasses.replace(catalog.rows[0], labels=(2,))
    made = compute_row(RowJob(relabelled, *rest))
    assert isinstance(made, RowDone)
    assert made.seconds >= made.flow_s > 0
    assert FlowStore(params.store.path).attributes("v0").labels == (2,)


def test_a_running_scheduler(builds, catalog, tmp_path):
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", dashboard_address=None
    ) as cluster:
        params = builds.make_params(tmp_path, build__scheduler=cluster.scheduler_address)
        assert builds.counts(build(catalog, params)) == (3, 0, 0, 0, 0)


@pytest.mark.parametrize("address", ["locall", "tcp://127.0.0.1:9"])
def test_no_such_scheduler(builds, catalog, tmp_path, monkeypatch, address):
    monkeypatch.setattr("pipeline.build.schedulers.CONNECT_TIMEOUT_S", 1)
    with pytest.raises(UserError, match=r"build\.scheduler"):
        build(catalog, builds.make_params(tmp_path, build__scheduler=address))


KILLED = """
import os, signal, sys
from pipeline.build import builder, row
from pipeline.catalog import read_catalog
from pipeline.params import DataParams
from pipeline.store import writer
import threading
append, lock, rows = writer.RowWriter.append, threading.Lock(), []
def kill_in_the_second_row(self, chunk):
    append(self, chunk)
    with lock:
        if self not in rows:
            rows.append(self)
        if len(rows) == 2 and self is rows[1] and self._written >= 4:
            os.kill(os.getpid(), signal.SIGKILL)
writer.RowWriter.append = kill_in_the_second_row
builder.build(read_catalog({catalog!r}), DataParams.model_validate_json({params!r}))
"""


def test_a_killed_build_is_finished_by_the_next(builds, catalog, tmp_path):
    params = builds.make_params(tmp_path, build__workers=1)
    write_catalog(catalog, tmp_path / "catalog.jsonl")
    code = KILLED.format(catalog=str(tmp_path / "catalog.jsonl"), params=params.model_dump_json())
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = FlowStore(params.store.path)
    assert len(store.row_ids()) == 1
    assert store.validate(deep=True) == []
    assert len([path for path in store.path.iterdir() if path.name.startswith(".")]) == 1
    before = made_at(params)
    assert builds.counts(build(catalog, params)) == (2, 1, 0, 0, 0)
    assert before.items() <= made_at(params).items()
    assert sorted(path.name for path in store.path.iterdir()) == ["v0", "v1", "v2", "zarr.json"]


def test_two_builders_do_not_harm_each_other(builds, catalog, tmp_path):
    write_catalog(catalog, tmp_path / "catalog.jsonl")
    code = (
        "import sys; from pipeline.build import build; from pipeline.catalog import read_catalog; "
        "from pipeline.params import DataParams; "
        "build(read_catalog(sys.argv[1]), DataParams.model_validate_json(sys.argv[2]))"
    )
    params = builds.make_params(tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path / "catalog.jsonl"), params.model_dump_json()]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for builder in both:
        _, messages = builder.communicate()
        assert builder.returncode == 0, messages
    store = FlowStore(params.store.path)
    assert store.row_ids() == ["v0", "v1", "v2"]
    assert store.validate(deep=True) == []
    assert sorted(path.name for path in store.path.iterdir()) == ["v0", "v1", "v2", "zarr.json"]


def test_saturation_is_counted(builds, catalog, tmp_path):
    params = builds.make_params(tmp_path, store__scale=32767)
    summary = build(Catalog(catalog.rows[:1]), params)
    window = FlowStore(params.store.path).read("v0", 0, 14)
    at_limit = (
        np.abs(window.velocity[:-1, 0].astype(int)) == 32767,
        np.abs(window.velocity[1:, 1].astype(int)) == 32767,
    )
    assert summary.saturated_velocity > 0
    assert summary.saturated_velocity <= sum(int(part.sum()) for part in at_limit)
    attributes = FlowStore(params.store.path).attributes("v0")
    assert attributes.saturated_velocity == summary.saturated_velocity
    assert attributes.saturated_inflection == summary.saturated_inflection > 0
    # kept rows' counts are reported, too
    assert build(Catalog(catalog.rows[:1]), params).saturated_velocity == summary.saturated_velocity
    assert "too large for store.coding" in str(summary)


def test_nothing_to_do_starts_nothing(builds, catalog, params, monkeypatch):
    build(catalog, params)
    monkeypatch.setattr("pipeline.build.schedulers.connected", None)
    monkeypatch.setattr("pipeline.build.builder.make_estimator", None)
    assert builds.counts(build(catalog, params)) == (0, 3, 0, 0, 0)


def test_a_fault_of_the_program_is_reported_as_one(builds, videos, params, monkeypatch):
    """With its traceback in the list of failures; the other rows are made."""

    def faulty(row, _info):
        if row.row_id == "v1":
            raise ZeroDivisionError("oh")

    monkeypatch.setattr("pipeline.build.row._check_length", faulty)
    catalog = Catalog(tuple(builds.row_of(video) for video in videos))
    with pytest.raises(InternalError, match=r"1 by a bug in the program; please report it with") as caught:
        build(catalog, params)
    assert caught.value.exit_code == 1
    (failure,) = failures_of(params)
    assert failure["reason"] == f"{videos[1]}: internal error (ZeroDivisionError: oh)"
    assert 'raise ZeroDivisionError("oh")' in failure["traceback"]
    assert "v1" not in FlowStore(params.store.path).row_ids()
    assert len(FlowStore(params.store.path).row_ids()) == len(videos) - 1
