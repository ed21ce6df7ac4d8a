"""Which errors may pass by themselves, and how often and how long to wait for that."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import StorageError, UserError

R = TypeVar("R")

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

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
    for attempt in range(retries + 1):
        try:
            return work()
        except Exception as error:
            if not may_pass(error) or attempt == retries:
                if attempt:
                    error.add_note(f"tried {attempt + 1} times")
                raise
        # not in step with the other workers, which the same trouble has hit
        wait_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
        time.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
    raise AssertionError("unreachable")
