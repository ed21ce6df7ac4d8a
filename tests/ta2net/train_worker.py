"""Runs ``ta2net train`` several times in this process: ``python train_worker.py single:PORT:FILE ...``.

PORT is where the processes of one run meet. Exit code and output of each run are left beside its parameter
file. ``double`` computes in double precision: in float32 the rounding of sums alone makes two runs of this
training differ after a few steps, in float64 a difference can only be an error.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import torch

from ta2net.cli import main

SINGLE = torch.Tensor.float


def compute_in(precision: str) -> None:
    """Make ``Tensor.float`` and the default type those of a precision, ``single`` or ``double``."""
    double = precision == "double"
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    torch.Tensor.float = torch.Tensor.double if double else SINGLE


def run(precision: str, port: str, file: Path) -> None:
    """Train as the file says and write ``RANK.json``."""
    compute_in(precision)
    os.environ["MASTER_PORT"] = port
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["train", "--params", str(file)])
        except SystemExit as exit_:
            code = exit_.code
    said = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    (file.parent / f"{os.environ['RANK']}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    for job in sys.argv[1:]:
        precision, port, file = job.split(":", 2)
        run(precision, port, Path(file))
