"""How batches come to the device: inflection rebuilt bit for bit, rows kept where they fit, hand-over."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline import kinematics
from pipeline.catalog import read_catalog
from pipeline.store import FlowStore
from ta2net.clips import loader as loading
from ta2net.clips.augmentation import swapped
from ta2net.clips.cache import RowCache, cache_for, frame_bytes
from ta2net.clips.loader import ClipLoader
from ta2net.clips.rebuilding import frames_needed, is_small, rebuild_inflection
from ta2net.methods.batch import Batch, mirrored

LENGTHS = st.integers(3, 9)


@st.composite
def stored_rows(draw):
    """A row's velocity, small or over the whole range of its coding, and a span of its frames."""
    n = draw(LENGTHS)
    shape = (n, 2, 2, 2, 3)
    limit = draw(st.sampled_from([100, 16383, 16384, 32767]))
    velocity = draw(
        st.one_of(
            arrays(np.int16, shape, elements=st.integers(-limit, limit)),
            arrays(np.float16, shape, elements=st.floats(-60000, 60000, width=16)),
        )
    )
    start = draw(st.integers(0, n - 1))
    return velocity, start, draw(st.integers(start + 1, n))


@given(stored_rows(), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_rebuilt_inflection_is_the_stored_one(row, flipped, backwards):
    """Any span of any row, mirrored or played backwards or both, from no more frames than are asked for."""
    velocity, start, stop = row
    n, expected = len(velocity), torch.from_numpy(kinematics.inflection(velocity)[start:stop])
    low, high = frames_needed(start, stop, n)
    assert 0 <= start - low <= 2
    assert 0 <= high - stop <= 2
    shown = torch.from_numpy(velocity[low:high])
    if flipped:
        shown, expected = mirrored(shown), mirrored(expected)
    if backwards:
        shown, expected = swapped(shown), swapped(expected)
        low, start = n - high, n - stop
    out = torch.empty_like(expected)
    rebuild_inflection(shown, low, start, n, out, small=is_small(velocity))
    assert torch.equal(out, expected)


def test_only_differences_that_stay_in_range_are_taken_in_one_pass():
    assert is_small(np.array([-16383, 16383], np.int16))
    assert not is_small(np.array([0, 16384], np.int16))
    assert not is_small(np.array([-16384], np.int16))
    assert not is_small(np.array([0.0], np.float16))


@pytest.fixture
def rows(toy_params):
    return read_catalog(toy_params.source.catalog).split("train").rows


class Elsewhere:
    """A device that is the CPU: what comes to it is counted, and handed over by a function, as on a GPU."""

    def __init__(self, room_bytes=0):
        self.room_bytes, self.bytes_sent, self.taken_by = room_bytes, 0, set()

    @contextmanager
    def making(self):
        yield

    def uploaded(self, tensor):
        if getattr(tensor, "here", False):
            return tensor
        self.bytes_sent += tensor.nbytes
        copy = tensor.clone()
        copy.here = True
        return copy

    def finished(self, batch):
        def taken():
            self.taken_by.add(threading.current_thread())
            return batch

        return taken


def test_rows_are_kept_on_the_device_only_if_all_of_them_fit(toy_params, rows):
    store, clips = FlowStore(toy_params.store.path), toy_params.clips
    whole = sum(row.n_frames for row in rows) * frame_bytes(store, rows[0].row_id)
    first = store.frames_and_velocity(rows[0].row_id, 0, 40)
    assert whole == len(rows) * sum(array.nbytes for array in first)

    def limit(gpu_cache_bytes, room_bytes):
        changed = clips.model_copy(update={"gpu_cache_bytes": gpu_cache_bytes})
        return cache_for(rows, store, changed, Elsewhere(room_bytes)).limit_bytes

    assert limit(whole, whole) == whole
    assert limit(whole - 1, 2 * whole) == limit(2 * whole, whole - 1) == clips.cache_bytes


def test_rows_without_room_are_read_by_the_frame(toy_params, rows):
    """The cache keeps what comes first; of the others no more is read than asked for."""
    store, asked = FlowStore(toy_params.store.path), []
    read = store.frames_and_velocity
    store.frames_and_velocity = lambda *span: asked.append(span) or read(*span)
    cache = RowCache(store, 2 * 40 * frame_bytes(store, rows[0].row_id))
    for _ in range(2):
        for row in rows[:4]:
            cache.read(row, 10, 20)
    names = [row.row_id for row in rows]
    whole = [(name, 0, 40) for name in names[:2]]
    parts = [(name, 10, 20) for name in names[2:4]]
    assert asked == [*whole, *parts, *parts]


@pytest.mark.parametrize("fits", [True, False])
def test_a_device_gets_the_same_batches_in_the_training_thread(toy_params, rows, fits, monkeypatch):
    """Rows that live on the device are sent once; others only by what a clip needs of them."""
    store = FlowStore(toy_params.store.path)
    expected = list(ClipLoader(rows, store, toy_params).batches(0, 6))
    device = Elsewhere(room_bytes=10**9 if fits else 0)
    monkeypatch.setattr(loading, "memory_of", lambda _: device)
    batches = list(ClipLoader(rows, store, toy_params).batches(0, 6))
    for one, other in zip(batches, expected, strict=True):
        assert all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Batch))
    assert device.taken_by == {threading.current_thread()}
    pictures = 24 * frame_bytes(store, rows[0].row_id)  # 24 clips of 24 frames, one or two more beside each
    if not fits:
        assert 24 * pictures < device.bytes_sent < 24 * pictures * 1.2


@pytest.mark.slow
def test_making_batches_leaves_the_network_its_threads(toy_params, tmp_path):
    """In a process of its own: what counts is a thread that has computed nothing before its first batch."""
    params = toy_params.model_copy(update={"train": toy_params.train.model_copy(update={"threads": 0})})
    (tmp_path / "params.json").write_text(params.model_dump_json())
    batch = "next(Trainer(read('params.json')).loader.batches(0, 1))"
    trainer = "from ta2net.params import read\nfrom ta2net.training.loop import Trainer"

    def threads(*before: str) -> str:
        program = "\n".join(("import torch", *before, "print(torch.get_num_threads())"))
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert threads(trainer, batch) == threads()
