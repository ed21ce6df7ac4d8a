"""How windows are laid and shown at inference: as the checkpoint says, and what is given in its place."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from ta2net.params import InferParams, Params


def with_infer(
    trained: Params,
    checkpoint: str | Path,
    *,
    stride: int | None = None,
    flip_average: bool | None = None,
    file: InferParams | None = None,
) -> tuple[Params, list[str]]:
    """The params of a checkpoint with ``infer`` as asked for, and a line for all that someone may not expect.

    The checkpoint's thresholds were chosen with its own ``infer``; they stay.

    Args:
        stride: in place of ``infer.stride``, in frames; None: the checkpoint's.
        flip_average: in place of ``infer.flip_average``; None: the checkpoint's.
        file: what a parameter file says, which is not used; where it differs, a line says so. ``infer.batch``
            is left out of this: scores do not depend on it.

    Raises:
        UserError: windows so far apart would leave frames without a score.
    """
    frames = trained.clips.frames
    if stride is not None and not 1 <= stride <= frames:
        raise UserError(
            f"stride {stride}: {checkpoint} judges windows of {frames} frames, and every frame must be in "
            f"one; give 1 to {frames}"
        )
    notes, changed = [], {}
    for name, given in (("stride", stride), ("flip_average", flip_average)):
        own = getattr(trained.infer, name)
        if given is None:
            unused = own if file is None else getattr(file, name)
            if unused != own:
                notes.append(
                    f"infer.{name} {_written(own)} of {checkpoint}, not {_written(unused)} of the parameters"
                )
        elif given != own:
            changed[name] = given
            notes.append(f"infer.{name} {_written(given)} in place of the checkpoint's {_written(own)}")
    return trained.model_copy(update={"infer": trained.infer.model_copy(update=changed)}), notes


def _written(value: bool | int) -> str:
    """As in a parameter file."""
    return str(value).lower()
