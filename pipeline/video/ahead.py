"""Work ahead: a thread makes the next items of a stream while the caller is busy with the ones before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@contextmanager
def ahead(source: Iterable[T], limit_bytes: int, size_of: Callable[[T], int]) -> Iterator[Iterator[T]]:
    """Inside the block: the items of ``source``, in order, made ahead of need by a thread.

    The thread alone iterates, from opening to closing: a video decoder must not change threads. An error of
    the source is raised, as it is, where its item would have come. Leaving the block, in whatever way, ends
    and joins the thread; at most the item in work is waited for.

    Args:
        limit_bytes: what may lie ready at a time; one item always may, and one more is in work.
        size_of: bytes of an item.

    Example:
        >>> with ahead(iter(["a", "b"]), 1 << 20, len) as items:
        ...     list(items)
        ['a', 'b']
    """
    ready: _Ready[T] = _Ready(limit_bytes)
    thread = Thread(target=_fill, args=(ready, source, size_of), name="ahead", daemon=True)
    thread.start()
    try:
        yield ready.taken()
    finally:
        ready.stop()
        thread.join()


class _Ready(Generic[T]):
    """Items between the thread that makes them and the one that takes them, bounded in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._held_bytes = 0
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._changed = Condition()

    def put(self, item: T, size: int) -> bool:
        """Wait for room and add; False: stop, nobody takes items any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(size))
            if not self._stopped:
                self._items.append((item, size))
                self._held_bytes += size
                self._changed.notify_all()
            return not self._stopped

    def taken(self) -> Iterator[T]:
        """The items as they come, then the source's error if it had one."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._ended)
                if not self._items:
                    break
                item, size = self._items.popleft()
                self._held_bytes -= size
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def end(self, error: BaseException | None) -> None:
        """No more items come."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """No more items are taken."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._items or self._held_bytes + size <= self._limit_bytes


def _fill(ready: _Ready[T], source: Iterable[T], size_of: Callable[[T], int]) -> None:
    error: BaseException | None = None
    try:
        items = iter(source)
        try:
            for item in items:
                if not ready.put(item, size_of(item)):
                    break
        finally:
            close = getattr(items, "close", None)  # of a generator: what it opened is closed here
            if close is not None:
                close()
    except BaseException as raised:  # noqa: BLE001 - raised again where the items are taken
        error = raised
    ready.end(error)
