"""The device to compute on, checked before it is used."""

from __future__ import annotations

import torch


def require_device(name: str | torch.device) -> torch.device:
    """A device, after a small computation on it.

    Args:
        name (str or torch.device): ``cpu``, ``cuda``, ``cuda:1``, ``mps``…

    Raises:
        ValueError: if it cannot be used.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).cpu()
    except Exception as error:  # torch raises many types, some with messages of many lines
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise ValueError(
            f"The device {str(name)!r} cannot be used here: {reason[:200].rstrip('.')}."
        ) from None
    return device
