"""A dilated depthwise convolution with the channels last, as a sum of shifted copies on a CPU.

oneDNN is slow at depthwise convolutions. With the channels last, each tap of the kernel is one
multiplication of contiguous memory.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .frames import is_recording


def depthwise_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    r"""Convolves each channel with its own kernel and keeps the number of frames.

    Args:
        x (:class:`torch.Tensor`): Input.
        weight (:class:`torch.Tensor`): One kernel of odd length per channel.
        bias (:class:`torch.Tensor`): One value per channel.
        dilation (int): Distance between the taps of a kernel, in frames.

    Shape:
        - x: :math:`(batch, frames, channels)`
        - weight: :math:`(channels, 1, taps)`
        - bias: :math:`(channels)`
        - output: :math:`(batch, frames, channels)`. On a CPU its gradient can be taken only once.

    Examples
        >>> x, weight = torch.arange(4.0).view(1, 4, 1), torch.tensor([[[1.0, 0.0, 10.0]]])
        >>> depthwise_conv(x, weight, torch.zeros(1), 1).flatten()
        tensor([10., 20., 31.,  2.])
    """
    if is_recording():  # the compiler fuses it with what is before and after, on every device
        return recorded_depthwise_conv(x, weight, bias, dilation)
    if x.device.type != "cpu":
        return plain_depthwise_conv(x, weight, bias, dilation)
    kernels = weight[:, 0]
    if not torch.is_grad_enabled():
        return _shifted_sum(x, kernels, bias, dilation)
    return _DepthwiseConv.apply(x, kernels, bias, dilation)


def plain_depthwise_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    """:func:`depthwise_conv` by torch's convolution.

    In two dimensions, since :func:`torch.nn.functional.conv1d` would first copy a tensor with the
    channels last.
    """
    padding = dilation * (weight.shape[-1] // 2)
    image, kernels = x.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2)
    y = F.conv2d(
        image, kernels, bias, padding=(0, padding), dilation=(1, dilation), groups=x.shape[-1]
    )
    return y.squeeze(2).transpose(1, 2)


def _taps(x, kernels):
    return kernels.t().to(x.dtype).contiguous()  # a factor with strides takes five times as long


def _shifted_sum(x, kernels, start, dilation):
    """Adds copies of x, shifted and multiplied by the taps, to `start`."""
    taps, n_frames = _taps(x, kernels), x.shape[1]
    middle = len(taps) // 2
    y = torch.addcmul(start.to(x.dtype), x, taps[middle])
    for tap in range(len(taps)):
        shift = (tap - middle) * dilation  # y(t) depends on x(t + shift), which is 0 outside
        if shift and abs(shift) < n_frames:
            target, source = _overlap(shift, n_frames)
            y[:, target].addcmul_(x[:, source], taps[tap])
    return y


def _overlap(shift, n_frames):
    """Frames t for which t + shift is a frame too, and the frames t + shift."""
    to, of, length = max(-shift, 0), max(shift, 0), n_frames - abs(shift)
    return slice(to, to + length), slice(of, of + length)


def recorded_depthwise_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    """:func:`depthwise_conv` in operations that do not depend on the number of frames."""
    taps, n_frames = _taps(x, weight[:, 0]), x.shape[1]
    padding = dilation * (len(taps) // 2)
    x = F.pad(x, (0, 0, padding, padding))
    y = torch.addcmul(bias.to(x.dtype), x[:, :n_frames], taps[0])
    for tap in range(1, len(taps)):
        y.addcmul_(x[:, tap * dilation : tap * dilation + n_frames], taps[tap])
    return y


class _DepthwiseConv(torch.autograd.Function):
    """The sum of shifted copies; its gradients are such sums too."""

    @staticmethod
    def forward(ctx, x, kernels, bias, dilation):
        ctx.save_for_backward(x, kernels)
        ctx.dilation = dilation
        return _shifted_sum(x, kernels, bias, dilation)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, kernels = ctx.saved_tensors
        n_frames, n_taps = grad.shape[1], kernels.shape[1]
        grad_x = _shifted_sum(grad, kernels.flip(1), grad.new_zeros(()), ctx.dilation)
        if not any(ctx.needs_input_grad[1:3]):
            return grad_x, None, None, None
        grad_kernels = kernels.new_zeros(kernels.shape)
        for tap in range(n_taps):
            shift = (tap - n_taps // 2) * ctx.dilation
            if abs(shift) < n_frames:
                target, source = _overlap(shift, n_frames)
                product = x[:, source] * grad[:, target]
                grad_kernels[:, tap] = product.sum((0, 1), dtype=kernels.dtype)
        return grad_x, grad_kernels, grad.sum((0, 1), dtype=kernels.dtype), None
