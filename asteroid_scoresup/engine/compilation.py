"""``torch.compile`` of the networks; weights and files stay the same."""

from __future__ import annotations

import torch
from torch import nn

from ..models.pitch_model import PitchModel

#: Planned updates from which on compiling pays: it costs up to three minutes of a core, and saves
#: 0.01 to 0.02 s of each update of the networks of `small` (docs/performance.md).
COMPILE_FROM = 30_000


def compile_if_it_pays(n_updates: int, *models: nn.Module) -> str:
    """Compiles networks for a training that is long enough, if they can be compiled here.

    Args:
        n_updates (int): Number of planned updates.
        *models (nn.Module): As for :func:`compile_networks`. Networks over pitch are left as they
            are: what compiling them gains was not measured.

    Returns:
        str: What was decided, as a line; empty for short trainings.
    """
    if torch.backends.mps.is_available():  # not measured
        return ""
    if n_updates < COMPILE_FROM or any(isinstance(model, PitchModel) for model in models):
        return ""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:  # a compiler, its headers or a driver may be missing
        x = torch.ones(16, device=device, requires_grad=True)
        torch.compile(lambda x: (x * torch.relu(x)).sum())(x).backward()
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return (
            f"torch.compile does not work here, the networks are not compiled: {reason[0]:.200}\n"
        )
    # What cannot be compiled is computed as ever: nobody has asked for it.
    torch._dynamo.config.suppress_errors = True
    compile_networks(*models)
    return f"the networks are compiled, for {n_updates:,} updates (--compile false avoids it)\n"


def compile_networks(*models: nn.Module) -> None:
    """Compiles the networks of some models in place, behind their STFT.

    Args:
        *models (nn.Module): Separators, transcriptors or other networks.
    """
    # Separator and critic run the same code with several shapes each: more than torch expects.
    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, 32)
    for model in models:
        whole = getattr(model, "trunk", getattr(model, "net", model))
        # Inductor fails on the layout of Open-Unmix's STFT, so only what follows is compiled.
        for part in getattr(whole, "targets", [whole]):
            part.compile()
