"""The whole data set on the disk: which clips there are, which must be made, and their label files.

``DIR/videos/<clip id>.mp4``, ``DIR/meta/<clip id>.json`` (what the clip was made from, and its labels),
``DIR/train.csv`` and ``DIR/eval.csv`` (as Audible623 writes them), ``DIR/contacts.csv`` (exact contacts).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import pymunk
from tqdm import tqdm

from pipeline.errors import UserError
from pipeline.files.atomic import sha256_of, write_json, write_text, written_beside
from pipeline.impacts.compose import CLIP_SPLITS, Clip, Wanted, compose
from pipeline.impacts.write import write_clip
from pipeline.params import ImpactsParams
from pipeline.revisions import code_digest

OWN_FILE = re.compile(r"impacts_(train|eval)_\d{4,}\.(mp4|json)")
LEFT_OVER = re.compile(r"\..*\.tmp")
MARKER = "README.txt"
LABEL_FILES = (*(f"{split}.csv" for split in CLIP_SPLITS), "contacts.csv")


@dataclass(frozen=True)
class Made:
    """What a run did: clips rendered, kept from an earlier run, and removed."""

    rendered: int
    kept: int
    removed: int


def make_dataset(params: ImpactsParams) -> Made:
    """Bring ``params.dir`` to what ``params`` ask for; finished clips that match are kept.

    May be killed at any moment and run again: label files are there only when all videos are.

    Raises:
        UserError: the directory cannot be written.
    """
    directory = Path(params.dir)
    wanted = wanted_clips(params)
    try:
        for folder in ("videos", "meta"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        removed = _clear(directory, {one.clip_id for one in wanted})
        missing = [one for one in wanted if not is_made(directory, one)]
        if missing:
            _remove(directory / name for name in LABEL_FILES)
        _render_all(directory, missing, params.workers)
        write_labels(directory, wanted)
    except OSError as error:
        raise UserError(f"{directory}: cannot write the impacts data set ({error})") from error
    return Made(len(missing), len(wanted) - len(missing), removed)


def make_nothing(params: ImpactsParams, source: str) -> None:
    """Leave only a note in ``params.dir``: the labels come from elsewhere, so nothing is rendered."""
    directory = Path(params.dir)
    directory.mkdir(parents=True, exist_ok=True)
    _clear(directory, set())
    _remove(directory / name for name in LABEL_FILES)
    write_text(directory / MARKER, f"Nothing is rendered here: source.name is {source!r}, not 'impacts'.\n")


def wanted_clips(params: ImpactsParams) -> list[Wanted]:
    """Every clip that ``params`` ask for; a clip is the same however many there are."""
    counts = {"train": params.train_count, "eval": params.eval_count}
    return [
        Wanted(
            split,
            index,
            params.duration_s,
            params.size,
            params.seed,
            params.difficulty,
            params.silent,
            params.variety,
        )
        for split in CLIP_SPLITS
        for index in range(counts[split])
    ]


def fingerprint(wanted: Wanted) -> str:
    """Changes whenever the clip might: with what is asked, with this package's code, with the engine."""
    document = {**asdict(wanted), "code": code_digest(("pipeline/impacts",)), "pymunk": pymunk.version}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def is_made(directory: Path, wanted: Wanted) -> bool:
    """Whether the clip's video and meta file are there, whole and as asked."""
    meta = directory / "meta" / f"{wanted.clip_id}.json"
    video = directory / "videos" / f"{wanted.clip_id}.mp4"
    try:
        document = json.loads(meta.read_text(encoding="utf-8"))
        if document["checksum"] != _checksum(document):
            return False
        return bool(document["fingerprint"] == fingerprint(wanted)) and document["sha256"] == sha256_of(video)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def make_clip(directory: Path, wanted: Wanted) -> str:
    """Render one clip, then its meta file: a video without its own meta file counts as not made."""
    # every process draws on one core; OpenCV's own threads would only get into each other's way
    cv2.setNumThreads(1)
    clip = compose(wanted)
    video = directory / "videos" / f"{wanted.clip_id}.mp4"
    with written_beside(video) as temporary:
        write_clip(clip, temporary)
    write_json(directory / "meta" / f"{wanted.clip_id}.json", _meta(clip, sha256_of(video)))
    return wanted.clip_id


def _meta(clip: Clip, sha256: str) -> dict[str, Any]:
    rows = zip(clip.hits, clip.contacts, clip.positions_px, strict=True)
    document = {
        "fingerprint": fingerprint(clip.wanted),
        "sha256": sha256,
        "class": clip.wanted.kind,
        "fps": f"{clip.clock.fps.numerator}/{clip.clock.fps.denominator}",
        "n_frames": clip.clock.n_frames,
        "contacts": [
            {
                "frame": frame,
                "time_s": round(contact.time_s, 6),
                "x_px": round(x_px, 2),
                "y_px": round(y_px, 2),
                "impulse": round(contact.impulse, 2),
                "material": contact.material,
            }
            for frame, contact, (x_px, y_px) in rows
        ],
    }
    return {**document, "checksum": _checksum(document)}


def _checksum(meta: dict[str, Any]) -> str:
    """SHA-256 of a meta file's other entries: a bit that flips there would be a wrong label."""
    others = {key: value for key, value in meta.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _render_all(directory: Path, missing: list[Wanted], workers: int) -> None:
    """Make the missing clips, in this process or, with more than one worker, in fresh ones."""
    workers = min(workers or os.cpu_count() or 1, len(missing))
    make = partial(make_clip, directory)
    with tqdm(total=len(missing), desc="impacts", unit="clip", disable=None) as progress:
        if workers <= 1:
            for one in missing:
                make(one)
                progress.update()
            return
        # spawned, not forked: a forked child of a process with threads may hang
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(make, one) for one in missing]
            try:
                for future in as_completed(futures):
                    future.result()
                    progress.update()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def write_labels(directory: Path, wanted: list[Wanted]) -> None:
    """Collect the meta files into the three label files."""
    metas = {
        one.clip_id: json.loads((directory / "meta" / f"{one.clip_id}.json").read_text(encoding="utf-8"))
        for one in wanted
    }
    for split in CLIP_SPLITS:
        rows = [
            [one.clip_id, ",".join(str(hit["frame"]) for hit in metas[one.clip_id]["contacts"]), one.kind]
            for one in wanted
            if one.split == split
        ]
        _write_csv(directory / f"{split}.csv", ["video_id", "sound_label", "class"], rows)
    columns = ["frame", "time_s", "x_px", "y_px", "impulse", "material"]
    hits = [
        [one.clip_id, *(hit[column] for column in columns)]
        for one in wanted
        for hit in metas[one.clip_id]["contacts"]
    ]
    _write_csv(directory / "contacts.csv", ["video_id", *columns], hits)


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _clear(directory: Path, keep: set[str]) -> int:
    """Remove surplus clips, left-overs of a killed run and the note; other files are not ours to touch."""
    removed = 0
    _remove([directory / MARKER])
    for folder in (directory, directory / "videos", directory / "meta"):
        for file in folder.iterdir() if folder.is_dir() else ():
            surplus = OWN_FILE.fullmatch(file.name) is not None and file.stem not in keep
            removed += surplus and file.suffix == ".mp4"
            if surplus or LEFT_OVER.fullmatch(file.name):
                file.unlink()
    return removed


def _remove(files: Any) -> None:
    for file in files:
        file.unlink(missing_ok=True)
