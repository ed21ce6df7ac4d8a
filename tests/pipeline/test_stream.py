"""Work ahead in a thread: the same items, bounded bytes, errors as they are, nothing left running."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from pipeline.errors import VideoError
from pipeline.video.ahead import ahead


def ahead_threads():
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def until(condition):
    """Wait for what another thread does; a test that would wait for ever fails."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("limit", [0, 100, 10**9])
def test_the_items_in_their_order(limit):
    arrays = [np.full(10, number) for number in range(50)]
    with ahead(arrays, limit, lambda array: array.nbytes) as items:
        np.testing.assert_array_equal(list(items), arrays)
    with ahead([], limit, len) as items:
        assert list(items) == []
    assert ahead_threads() == []


def test_no_more_lies_ready_than_the_limit_and_one_in_work():
    made = []

    def source():
        for number in range(100):
            made.append(number)
            yield number

    # 25 bytes hold two items of 10; the third waits for room, the fourth is not begun
    with ahead(source(), 25, lambda _: 10) as items:
        until(lambda: len(made) == 3)
        time.sleep(0.02)
        assert made == [0, 1, 2]
        assert next(items) == 0
        until(lambda: len(made) == 4)
        assert list(items) == list(range(1, 100))
    # an item larger than the limit passes, alone
    with ahead(range(3), 25, lambda _: 1000) as items:
        assert list(items) == [0, 1, 2]


def test_an_error_comes_as_it_is_and_after_the_items_before_it():
    error = VideoError("frame 2")

    def source():
        yield from (0, 1)
        raise error

    with ahead(source(), 100, lambda _: 1) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(VideoError) as caught:
            next(items)
    assert caught.value is error
    with pytest.raises(KeyError), ahead([{}], 100, lambda item: item["size"]) as items:
        list(items)
    assert ahead_threads() == []


def test_leaving_early_ends_the_thread_and_closes_the_source_where_it_was_opened():
    where = []

    def source():
        where.append(threading.current_thread())
        try:
            while True:
                yield 0
        finally:
            where.append(threading.current_thread())

    with ahead(source(), 3, lambda _: 1) as items:
        next(items)
    assert ahead_threads() == []
    assert where[0] is where[1] is not threading.current_thread()


def test_two_in_a_row_end_whichever_of_them_waits():
    def endless():
        while True:
            yield 1

    # the second waits for room, and so does the first
    with ahead(endless(), 2, lambda _: 1) as ones, ahead((2 * one for one in ones), 2, lambda _: 1) as twos:
        assert next(twos) == 2
    assert ahead_threads() == []
