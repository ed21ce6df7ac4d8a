"""Names and splits of the Catalog's rows: fixed rules, so that the same files give the same catalog."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME_LENGTH = 100


def validation_groups(groups: Iterable[str], fraction: float) -> frozenset[str]:
    """The groups set aside from train for validation.

    Groups are ranked by the SHA-256 of their name, and the first ``max(1, round(fraction * number))`` are
    taken; none where ``fraction`` is 0 or there is only one group. The choice depends on the set of groups
    alone, not on the order of rows.
    """
    ranked = sorted(set(groups), key=_sha256)
    if fraction == 0 or len(ranked) < 2:
        return frozenset()
    return frozenset(ranked[: max(1, round(fraction * len(ranked)))])


def row_ids(video_ids: Sequence[str]) -> list[str]:
    """A unique file-safe name for every row, in the order given.

    The video's own id where it is made of ``A-Za-z0-9_-``, does not start with a dash and differs from all
    others in more than capitals; otherwise a part of its SHA-256 follows. The second row of a video gets
    ``~2``, the third ``~3``. Names are unique on file systems that ignore case, too.
    """
    names = {video_id: _safe(video_id) for video_id in video_ids}
    alike = Counter(name.casefold() for name in names.values())
    for video_id, name in names.items():
        if alike[name.casefold()] > 1 and "~" not in name:
            names[video_id] = _with_hash(name, video_id)
    ids = []
    used: Counter[str] = Counter()
    for video_id in video_ids:
        used[video_id] += 1
        repeat = f"~{used[video_id]}" if used[video_id] > 1 else ""
        ids.append(names[video_id] + repeat)
    return ids


def _safe(video_id: str) -> str:
    name = UNSAFE.sub("_", video_id)[:MAX_NAME_LENGTH]
    if name.startswith("-"):
        name = f"_{name}"
    return name if name == video_id else _with_hash(name, video_id)


def _with_hash(name: str, video_id: str) -> str:
    return f"{name}~x{_sha256(video_id)[:8]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
