"""Which device networks compute on."""

from __future__ import annotations

import torch

from pipeline.errors import UserError


def chosen_device(name: str) -> torch.device:
    """``auto`` = the first CUDA device, or the CPU where there is none; otherwise the device named.

    Raises:
        UserError: the name is no device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used here ({reason}); give auto, cpu or cuda") from error
    return device
