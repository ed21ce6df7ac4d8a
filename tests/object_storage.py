"""Servers of the S3 protocol on this machine, whole ones and ones that stutter, and buckets in them."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

HANG_S = 3.0
"""Longer than the patience of clients with ``IMPATIENT``."""

IMPATIENT = {"FSSPEC_S3": '{"config_kwargs": {"read_timeout": 1}}'}
"""Environment of clients that wait a second for an answer; else they wait 15."""

FAULTS = ("error", "busy", "lost", "cut", "slow")


@dataclass
class Stutter:
    """Requests answered wrongly, by chance.

    ``error``: 500; ``busy``: 503; ``lost``: done, and answered by 500; ``cut``: the connection ends in the
    middle of the answer; ``slow``: comes late; ``hang``: comes too late.

    Attributes:
        share: of the requests that are answered wrongly.
        faults: the ways.
        healthy: so many requests are answered well before the first fault may come.
        seed: of the chance.
        seen: fault -> how often it came.
    """

    share: float
    faults: tuple[str, ...] = FAULTS
    healthy: int = 0
    seed: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._requests = 0
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """How the next request is to be answered; None: well."""
        with self._lock:
            self._requests += 1
            if self._requests <= self.healthy or self._chance.random() >= self.share:
                return None
            fault = self._chance.choice(self.faults)
            self.seen[fault] = self.seen.get(fault, 0) + 1
            return fault

    def around(self, app: App) -> App:
        """``app``, with the faults."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            fault = self.next()
            if fault in ("slow", "hang"):
                time.sleep(0.2 if fault == "slow" else HANG_S)
            if fault in ("error", "busy"):
                # the client sends it all before it looks at the answer
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return _refusal(start_response, fault)
            answered = app(environ, start_response if fault in (None, "slow", "hang") else _nothing)
            if fault is None or fault in ("slow", "hang"):
                return answered
            list(answered)
            if fault == "lost":
                return _refusal(start_response, "error")
            start_response("200 OK", [("Content-Length", "100000")])
            return [b"half of it"]

        return answer


def _nothing(*_arguments: Any) -> None:
    """In the place of what begins an answer that nobody gets."""


def _refusal(start_response: Callable[..., Any], fault: str) -> Iterable[bytes]:
    status, code = {
        "error": ("500 Internal Server Error", "InternalError"),
        "busy": ("503 Slow Down", "SlowDown"),
    }[fault]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body.encode()]


@contextmanager
def s3_server(stutter: Stutter | None = None) -> Iterator[dict[str, str]]:
    """Run moto's server; the environment in which programs find it.

    It keeps objects in this process's memory: all servers here have the same ones.
    """
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request otherwise
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, stutter.around(app) if stutter else app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "of-the-tests-only",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def new_bucket() -> str:
    """The URL of a fresh, empty bucket of the server in the environment."""
    import s3fs

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
