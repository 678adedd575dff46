"""Optimizers, learning-rate schedules and gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

if TYPE_CHECKING:
    from .training import Clock


def adam(network: nn.Module, lr: float, precision: str = "auto", **kwargs: Any) -> torch.optim.Adam:
    """Adam in one fused step: the unfused one takes a tenth of a short update.

    Args:
        network (nn.Module): The network to train.
        lr (float): Learning rate.
        precision (str): Lightning's. With ``"16-mixed"`` the step is not fused: a fused Adam
            divides by the scale of float16's losses itself, and Lightning cannot clip before that.
        **kwargs: Further arguments of :class:`torch.optim.Adam`.

    Returns:
        torch.optim.Adam
    """
    fused = precision != "16-mixed"
    return torch.optim.Adam(network.parameters(), lr=lr, fused=fused, **kwargs)


def warmup_cosine(
    optimizer: torch.optim.Optimizer,
    n_steps: int,
    warmup: int = 50,
    hold: float = 0.3,
    clock: Clock | None = None,
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate: linear warm-up, then constant, then a cosine down to a hundredth.

    Args:
        optimizer (torch.optim.Optimizer): The optimizer.
        n_steps (int): Steps of the whole training.
        warmup (int): Steps of the warm-up.
        hold (float): Fraction of the training before the cosine begins.
        clock (Clock, optional): Measures the training in minutes instead of steps.

    Returns:
        torch.optim.lr_scheduler.LambdaLR: To be stepped after every batch.
    """

    def factor(step: int) -> float:
        done: float = step
        start, end = float(max(warmup, int(hold * n_steps))), float(n_steps)
        rise = (step + 1) / max(warmup, 1)
        if clock is not None:
            done, start, end = clock.progress, hold, 1.0
            # A slow model has made few steps when a tenth of its time is over.
            rise = max(rise, done / 0.1)
        if rise < 1 or done < start:
            return min(rise, 1.0)
        progress = min((done - start) / max(end - start, 1e-9), 1.0)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class ClipGradients(Callback):
    """Scales the gradients of an update down to a maximum norm.

    Like Lightning's ``gradient_clip_val``, which however refuses fused optimizers in bfloat16.

    Args:
        largest (float): The norm, over all parameters of an optimizer.
    """

    def __init__(self, largest: float):
        self.largest = largest

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Changes the gradients."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self.largest)
