"""``python -m tests.soak.rows COUNT``: a catalog of so many rows, from label files to what a build plans.

Prints a line of JSON for every step: its seconds, and the memory that the process has at its end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from benchmarks.scheduling import PARAMS, row
from pipeline.build.plan import plan_of
from pipeline.build.row import row_fingerprint
from pipeline.catalog import Catalog, read_catalog, write_catalog
from pipeline.flow import flow_identity
from pipeline.params import SourceParams
from pipeline.sources.audible623 import read_label_files
from pipeline.sources.splits import row_ids, validation_groups
from pipeline.store import create_store
from pipeline.store.validation import examine


@contextmanager
def step(name: str) -> Iterator[None]:
    """Measure a step."""
    began = time.perf_counter()
    yield
    memory = psutil.Process().memory_info().rss
    print(
        json.dumps({"step": name, "seconds": time.perf_counter() - began, "memory_bytes": memory}), flush=True
    )


def main(count: int) -> None:
    """Write files with ``count`` rows into the current folder and read them."""
    labels, file = Path("labels.csv"), Path("catalog.jsonl")
    with labels.open("w") as handle:
        handle.write("video_id,sound_label,class\n")
        handle.writelines(f'film_{number:07},"7,30,61",ball\n' for number in range(count))
    with step("start"):
        pass
    with step("read label files"):
        listing = read_label_files(SourceParams(name="csv", train_labels=str(labels), eval_labels=None))
    names = [labelled.video_id for labelled in listing.rows]
    del listing
    with step("name rows and split"):
        assert len(row_ids(names)) == count
        assert abs(len(validation_groups(names, 0.1)) - count / 10) < 1
    del names
    write_catalog(Catalog(tuple(row(number) for number in range(count))), file)
    with step("read the catalog"):
        catalog = read_catalog(file)
    assert len(catalog) == count
    with step("take one split of it"):
        assert len(catalog.split("train")) == count
    store = create_store("flows.zarr")
    with step("plan a build"):
        fingerprint = partial(
            row_fingerprint,
            identity=flow_identity(PARAMS.flow),
            decode=PARAMS.decode,
            flow=PARAMS.flow,
            store=PARAMS.store,
        )
        assert len(plan_of(catalog, store, fingerprint, None).compute) == count
    with step("validate a store against it"):
        assert len(examine(store.place, catalog=catalog).problems) == count


if __name__ == "__main__":
    main(int(sys.argv[1]))
