"""Which device networks compute on, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

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


@cache
def has_fast_bf16(kind: str) -> bool:
    """Whether devices of a kind compute faster in bfloat16 than in float32.

    Intel's CPUs without AMX have AVX-512's bfloat16 products at half the rate of float32's
    (docs/performance.md), AMD's have them at twice that rate.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # newer than the oldest torch we run on; without it we do not know, and fp32 is right everywhere
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get("amx_bf16"):
        return True
    return bool(capabilities.get("avx512_bf16")) and "Intel" not in str(capabilities.get("cpu_name"))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """``bf16``: matrix products and convolutions in bfloat16, the rest in float32; ``fp32``: no change.

    ``auto`` is bf16 where the device has it.
    """
    if precision == "bf16" or (precision == "auto" and has_fast_bf16(device.type)):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
