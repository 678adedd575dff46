"""``torch.compile`` of the networks; weights and files stay the same."""

from __future__ import annotations

import torch
from torch import nn


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
