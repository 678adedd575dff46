"""A dilated convolution over time with three taps, as three matrix products without copies.

With the frames first, a shift in time is a slice of contiguous memory: the products of the taps
are added where they belong, and nothing is padded or concatenated.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .frames import is_recording

#: Taps of the kernel: frame :math:`t - d`, frame :math:`t`, frame :math:`t + d`.
TAPS = 3


def shifted_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    r"""Applies a linear layer to three frames at a time; frames beyond the ends are zeros.

    .. math:: y_t = b + W_0 x_{t-d} + W_1 x_t + W_2 x_{t+d}

    Args:
        x (:class:`torch.Tensor`): Input.
        weight (:class:`torch.Tensor`): One matrix per tap.
        bias (:class:`torch.Tensor`): One value per output channel.
        dilation (int): The distance :math:`d` of the taps, in frames.

    Shape:
        - x: :math:`(frames, rows, in)`
        - weight: :math:`(3, out, in)`
        - bias: :math:`(out)`
        - output: :math:`(frames, rows, out)`. On a CPU its gradient can be taken only once.

    Examples
        >>> x, weight = torch.arange(4.0).view(4, 1, 1), torch.tensor([1.0, 0, 10]).view(3, 1, 1)
        >>> shifted_linear(x, weight, torch.zeros(1), 1).flatten()
        tensor([10., 20., 31.,  2.])
    """
    if x.device.type != "cpu" or is_recording() or torch.is_autocast_enabled("cpu"):
        return plain_shifted_linear(x, weight, bias, dilation)
    if x.dtype != weight.dtype:
        return plain_shifted_linear(x, weight, bias, dilation)
    if not torch.is_grad_enabled():
        return _sum_of_products(x, weight, bias, dilation)
    return _ShiftedLinear.apply(x, weight, bias, dilation)


def plain_shifted_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    """:func:`shifted_linear` by one product with the concatenated frames."""
    n_frames = x.shape[0]
    padded = F.pad(x, (0, 0, 0, 0, dilation, dilation))
    frames = [padded[tap * dilation : tap * dilation + n_frames] for tap in range(TAPS)]
    return F.linear(torch.cat(frames, -1), torch.cat(tuple(weight), -1), bias)


def _overlaps(n_frames, dilation):
    """For the outer taps: frames t, and the frames that they read."""
    if dilation >= n_frames:
        return []
    late, early = slice(dilation, None), slice(0, n_frames - dilation)
    return [(0, late, early), (2, early, late)]


def _flat(x):
    return x.reshape(-1, x.shape[-1])


def _sum_of_products(x, weight, bias, dilation):
    x = x.contiguous()
    y = torch.addmm(bias, _flat(x), weight[1].t()).view(*x.shape[:2], -1)
    for tap, to, of in _overlaps(len(x), dilation):
        _flat(y[to]).addmm_(_flat(x[of]), weight[tap].t())
    return y


class _ShiftedLinear(torch.autograd.Function):
    """The sum of products; its gradients are such products too."""

    @staticmethod
    def forward(ctx, x, weight, bias, dilation):
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _sum_of_products(x, weight, bias, dilation)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        overlaps = _overlaps(len(x), ctx.dilation)
        grad_x = (_flat(grad) @ weight[1]).view_as(x)
        for tap, to, of in overlaps:
            _flat(grad_x[of]).addmm_(_flat(grad[to]), weight[tap])
        if not any(ctx.needs_input_grad[1:3]):
            return grad_x, None, None, None
        grad_weight = torch.zeros_like(weight)
        torch.mm(_flat(grad).t(), _flat(x), out=grad_weight[1])
        for tap, to, of in overlaps:
            torch.mm(_flat(grad[to]).t(), _flat(x[of]), out=grad_weight[tap])
        return grad_x, grad_weight, grad.sum((0, 1)), None
