"""A process that does one task after another for its parent: ``python -m ... FD IDLE_S``.

It keeps what it has loaded (the flow estimator) from task to task, and ends when its parent ends, at once,
or when nothing has come for IDLE_S seconds. Tasks come as pickles over a socket that only the parent holds.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from threading import Thread

import pipeline.build.row  # noqa: F401 - what rows need is there before a row's clock runs
from pipeline.heap import keep_freed_memory


def main(descriptor: int, idle_s: float) -> None:
    """Say that it has begun (None), then answer every task with what it returns."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that ends this process
    connection = Connection(descriptor)
    tasks: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    connection.send(None)
    while True:
        try:
            message = tasks.get(timeout=idle_s)
        except Empty:
            return
        task, job = pickle.loads(message)  # noqa: S301 - written by the parent process
        connection.send(task(job))


def _receive(connection: Connection, tasks: SimpleQueue[bytes]) -> None:
    """Queue what the parent sends; end this process, whatever it is doing, when the parent is gone."""
    while True:
        try:
            tasks.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
