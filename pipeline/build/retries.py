"""Which errors may pass by themselves, and how often and how long to wait for that."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)

from pipeline.errors import StorageError, UserError

R = TypeVar("R")

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
_HALF = {"multiplier": FIRST_WAIT_S / 2, "max": LONGEST_WAIT_S / 2}
WAIT = wait_exponential(**_HALF) + wait_random_exponential(**_HALF)
"""Doubled from one to the next; half of it by chance: not in step with other workers in the same trouble."""

LASTING = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC),
        *(errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EXDEV),
    }
)
"""What an operating system says when trying again is of no use."""

NETWORK_LIBRARIES = frozenset({"aiobotocore", "aiohttp", "botocore", "gcsfs", "s3fs", "urllib3"})
"""Their errors are no OSError, all of them, but nearly all are about a connection."""


def may_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a little later: trouble of disk, network or object storage.

    Nothing that says what is wrong with the user's files (``UserError``) passes by itself, storage that does
    not answer excepted.
    """
    if isinstance(error, StorageError):
        return True
    if isinstance(error, UserError):
        return False
    if isinstance(error, OSError):
        return error.errno not in LASTING
    return any(kind.__module__.partition(".")[0] in NETWORK_LIBRARIES for kind in type(error).__mro__)


def with_retries(work: Callable[[], R], retries: int) -> R:
    """What ``work`` returns; tried up to ``retries`` times more, after ever longer waits, while it may pass.

    Raises:
        Exception: the last error, with a note saying how often it was tried.
    """
    tries = Retrying(
        retry=retry_if_exception(may_pass), stop=stop_after_attempt(retries + 1), wait=WAIT, reraise=True
    )
    try:
        return tries(work)
    except Exception as error:
        tried = int(tries.statistics["attempt_number"])
        if tried > 1:
            error.add_note(f"tried {tried} times")
        raise
