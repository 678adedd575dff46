"""PReLU with one slope, with its own gradient on a CPU.

There, the backward pass of :func:`torch.nn.functional.prelu` would take a fifth of a training step.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .frames import is_recording


def prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """:func:`torch.nn.functional.prelu` with one slope for all channels.

    Args:
        x (:class:`torch.Tensor`): Any shape.
        slope (:class:`torch.Tensor`): Factor of the negative values, one element.

    Returns:
        :class:`torch.Tensor`: As `x`. On a CPU its gradient can be taken only once.

    Examples
        >>> prelu(torch.tensor([-2.0, 3.0]), torch.tensor([0.25]))
        tensor([-0.5000,  3.0000])
    """
    if x.device.type != "cpu" or is_recording():
        return F.prelu(x, slope)
    if not torch.is_grad_enabled():
        return F.leaky_relu(x, slope.item())
    return _PReLU.apply(x, slope)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, slope = ctx.saved_tensors
        grad_x = torch.ops.aten.leaky_relu_backward(grad, x, slope.item(), False)
        if not ctx.needs_input_grad[1]:
            return grad_x, None
        below = x.clamp(max=0).mul_(grad).sum(-1, dtype=slope.dtype)
        return grad_x, below.sum().reshape(slope.shape)
