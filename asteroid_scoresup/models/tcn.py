"""Asteroid's TCN, computed with the channels last: the same weights, the same results, faster."""

from __future__ import annotations

import torch
from asteroid.masknn import TDConvNet
from torch import nn
from torch.nn import functional as F

from ..dsp.stft import at_least_single, frame_parts, recorded

_EPS = 1e-8  # of asteroid.masknn.norms


class ChannelsLastTDConvNet(TDConvNet):
    r""":class:`asteroid.masknn.TDConvNet` for per-frame layer norm, with another layout inside.

    With the channels last a 1×1 convolution is a matrix product and ``cLN`` is torch's fused layer
    norm. Parameters and state dict are TDConvNet's; other norms, causal nets and skip connections
    take its own way. On a CPU its gradients are our own: they can be taken once, not twice.

    Args:
        *args: See :class:`asteroid.masknn.TDConvNet`.
        **kwargs: The same.

    Shape:
        - input: :math:`(batch, in\_chan, frames)`
        - output: :math:`(batch, n\_src, out\_chan, frames)`

    Examples
        >>> sizes = dict(n_src=2, out_chan=5, n_blocks=2, bn_chan=8, hid_chan=16, skip_chan=0)
        >>> net = ChannelsLastTDConvNet(10, **sizes, norm_type="cLN", mask_act="sigmoid")
        >>> frames = torch.randn(3, 10, 20)
        >>> torch.allclose(net(frames), TDConvNet.forward(net, frames), atol=1e-5)
        True
    """

    def forward(self, mixture_w):
        """See the class."""
        mixture_w = self._cast(mixture_w)
        if self._another():
            return super().forward(mixture_w)
        return self._head(self._hidden(mixture_w))

    def in_parts(self, mixture_w, frames=slice(None)):
        r"""The output some frames at a time, which on a processor stay in its cache.

        Args:
            mixture_w (:class:`torch.Tensor`): Shape :math:`(batch, in\_chan, frames)`.
            frames (slice): The frames that are wanted; the others are only heard.

        Yields:
            :class:`torch.Tensor`: shape :math:`(batch, n\_src, out\_chan, frames')`; all in one
            where something is learned.
        """
        mixture_w = self._cast(mixture_w)
        if self._another():
            yield self.forward(mixture_w)[..., frames]
            return
        hidden = self._hidden(mixture_w)[:, frames]
        for part in frame_parts(hidden, 1, *self.mask_net.parameters()):
            yield self._head(part)

    def _cast(self, x):
        """In the precision of the weights, which ``double()`` or ``bf16-true`` may have changed."""
        return x.to(self.bottleneck[1].weight.dtype)

    def _another(self):
        """Whether this is a net that the layout here does not serve."""
        even = self.conv_kernel_size % 2 == 0  # which Asteroid refuses in its own way
        return self.norm_type != "cLN" or self.causal or self.skip_chan or even

    def _hidden(self, mixture_w):
        norm, conv = self.bottleneck
        output = _pointwise(_norm(mixture_w.transpose(1, 2), norm), conv)
        for block in self.TCN:
            conv, act, norm, depthwise, depthwise_act, depthwise_norm = block.shared_block
            hidden = _norm(_activation(_pointwise(output, conv), act), norm)
            hidden = _activation(_depthwise(hidden, depthwise), depthwise_act)
            hidden = _norm(hidden, depthwise_norm)
            output = output + _pointwise(hidden, block.res_conv)
        return output

    def _head(self, hidden):
        act, conv = self.mask_net
        # Half precision knows no mask between 0.996 and 1, and gives those no gradient.
        score = at_least_single(_pointwise(_activation(hidden, act), conv)).transpose(1, 2)
        batch, n_frames = hidden.shape[:2]
        return self.output_act(score.reshape(batch, self.n_src, self.out_chan, n_frames))


def _norm(x, norm):
    return F.layer_norm(x, (x.shape[-1],), norm.gamma, norm.beta, _EPS)


def _pointwise(x, conv):
    return F.linear(x, conv.weight.squeeze(-1), conv.bias)


def _activation(x, act):
    """The PReLU of a block, with one slope."""
    if x.device.type != "cpu" or recorded() or not isinstance(act, nn.PReLU):
        return act(x)
    if not torch.is_grad_enabled():
        return F.leaky_relu(x, act.weight.item())
    return _PReLU.apply(x, act.weight)


def _depthwise(x, conv):
    """A dilated depthwise convolution over (batch, frames, channels) that keeps their number."""
    dilation, padding = conv.dilation[0], conv.padding[0]
    if x.device.type != "cpu":
        image, kernel = x.transpose(1, 2).unsqueeze(2), conv.weight.unsqueeze(2)
        sizes = dict(padding=(0, padding), dilation=(1, dilation), groups=x.shape[-1])
        return F.conv2d(image, kernel, conv.bias, **sizes).squeeze(2).transpose(1, 2)
    # oneDNN is slow at depthwise convolutions; the sum of shifted copies is not.
    weight, bias = conv.weight[:, 0], conv.bias
    if recorded():
        return _recorded_sum(x, weight, bias, dilation, padding)
    if not torch.is_grad_enabled():
        return _shifted_sum(x, weight, bias, dilation)
    return _Depthwise.apply(x, weight, bias, dilation)


def _taps(x, weight):
    return weight.t().to(x.dtype).contiguous()  # a factor with strides takes five times as long


def _shifted_sum(x, weight, start, dilation):
    """The sum of copies of x, shifted and multiplied by the taps, on `start`."""
    taps, n_frames = _taps(x, weight), x.shape[1]
    middle = len(taps) // 2
    y = torch.addcmul(start.to(x.dtype), x, taps[middle])
    for tap in range(len(taps)):
        shift = (tap - middle) * dilation  # y(t) hears x(t + shift); what lies outside is 0
        if shift and abs(shift) < n_frames:
            to, of = max(-shift, 0), max(shift, 0)
            length = n_frames - abs(shift)
            y[:, to : to + length].addcmul_(x[:, of : of + length], taps[tap])
    return y


def _recorded_sum(x, weight, bias, dilation, padding):
    """The same in operations that do not depend on the number of frames."""
    taps, n_frames, x = _taps(x, weight), x.shape[1], F.pad(x, (0, 0, padding, padding))
    y = torch.addcmul(bias.to(x.dtype), x[:, :n_frames], taps[0])
    for tap in range(1, len(taps)):
        y.addcmul_(x[:, tap * dilation : tap * dilation + n_frames], taps[tap])
    return y


class _PReLU(torch.autograd.Function):
    """PReLU with one slope: torch's own backward pass takes a fifth of an update on a CPU."""

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


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution as a sum of shifted copies, and its gradients as such sums too."""

    @staticmethod
    def forward(ctx, x, weight, bias, dilation):
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _shifted_sum(x, weight, bias, dilation)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        n_frames, n_taps = grad.shape[1], weight.shape[1]
        grad_x = _shifted_sum(grad, weight.flip(1), grad.new_zeros(()), ctx.dilation)
        if not any(ctx.needs_input_grad[1:3]):
            return grad_x, None, None, None
        grad_weight = weight.new_zeros(weight.shape)
        for tap in range(n_taps):
            shift = (tap - n_taps // 2) * ctx.dilation
            if abs(shift) < n_frames:
                to, of = max(-shift, 0), max(shift, 0)
                length = n_frames - abs(shift)
                product = x[:, of : of + length] * grad[:, to : to + length]
                grad_weight[:, tap] = product.sum((0, 1), dtype=weight.dtype)
        return grad_x, grad_weight, grad.sum((0, 1), dtype=weight.dtype), None
