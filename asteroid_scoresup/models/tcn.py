"""Asteroid's TCN, computed with the channels last: the same weights, the same results, faster."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from asteroid.masknn import TDConvNet
from asteroid.masknn.norms import ChanLN
from torch import nn
from torch.nn import functional as F

from ..dsp.stft import at_least_single
from ..kernels.depthwise import depthwise_conv
from ..kernels.frames import split_frames
from ..kernels.prelu import prelu

_EPS = 1e-8  # of asteroid.masknn.norms


class ChannelsLastTDConvNet(TDConvNet):
    r""":class:`asteroid.masknn.TDConvNet` with another memory layout, for per-frame layer norm.

    With the channels last, a 1×1 convolution is a matrix product and ``cLN`` is torch's fused layer
    norm. Parameters and state dict are those of TDConvNet. Nets with other norms, causal nets and
    nets with skip connections are computed by TDConvNet itself. On a CPU gradients can be taken
    once, not twice (:mod:`asteroid_scoresup.kernels`).

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

    def forward(self, mixture_w: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mixture_w = self._cast(mixture_w)
        if not self._channels_last():
            return super().forward(mixture_w)
        return self._head(self._hidden(mixture_w))

    def iter_outputs(
        self, mixture_w: torch.Tensor, frames: slice = slice(None)
    ) -> Iterator[torch.Tensor]:
        r"""Yields the output a few frames at a time, so that on a CPU they stay in the cache.

        Args:
            mixture_w (:class:`torch.Tensor`): Shape :math:`(batch, in\_chan, frames)`.
            frames (slice): The frames to output; the others are context.

        Yields:
            :class:`torch.Tensor`: shape :math:`(batch, n\_src, out\_chan, frames')`; all frames
            together if a gradient is needed.
        """
        mixture_w = self._cast(mixture_w)
        if not self._channels_last():
            yield self.forward(mixture_w)[..., frames]
            return
        hidden = self._hidden(mixture_w)[:, frames]
        for group in split_frames(hidden, 1, list(self.mask_net.parameters())):
            yield self._head(group)

    def _cast(self, x: torch.Tensor) -> torch.Tensor:
        """To the precision of the weights, which ``double()`` or ``bf16-true`` may have changed."""
        return x.to(self.bottleneck[1].weight.dtype)

    def _channels_last(self) -> bool:
        """Whether the memory layout here serves this net."""
        odd = self.conv_kernel_size % 2 == 1  # Asteroid refuses even kernels in its own way
        return self.norm_type == "cLN" and not self.causal and not self.skip_chan and odd

    def _hidden(self, mixture_w: torch.Tensor) -> torch.Tensor:
        norm, conv = self.bottleneck
        output = _pointwise(_norm(mixture_w.transpose(1, 2), norm), conv)
        for block in self.TCN:
            conv, act, norm, depthwise, depthwise_act, depthwise_norm = block.shared_block
            hidden = _norm(_activation(_pointwise(output, conv), act), norm)
            hidden = _activation(_depthwise(hidden, depthwise), depthwise_act)
            hidden = _norm(hidden, depthwise_norm)
            output = output + _pointwise(hidden, block.res_conv)
        return output

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        act, conv = self.mask_net
        # Half precision cannot represent masks between 0.996 and 1, and gives them no gradient.
        score = at_least_single(_pointwise(_activation(hidden, act), conv)).transpose(1, 2)
        batch, n_frames = hidden.shape[:2]
        return self.output_act(score.reshape(batch, self.n_src, self.out_chan, n_frames))


def _norm(x: torch.Tensor, norm: ChanLN) -> torch.Tensor:
    # Its own size, a constant for exporters, rather than that of x.
    size, gamma, beta = (norm.channel_size,), norm.gamma, norm.beta
    if x.device.type != "cuda" or x.dtype == gamma.dtype:
        return F.layer_norm(x, size, gamma, beta, _EPS)
    # Autocast would return float32 on a GPU: twice the bytes for all that follows. The statistics
    # are computed in float32 in any case.
    with torch.autocast("cuda", enabled=False):
        return F.layer_norm(x, size, gamma.to(x.dtype), beta.to(x.dtype), _EPS)


def _pointwise(x: torch.Tensor, conv: nn.Conv1d) -> torch.Tensor:
    return F.linear(x, conv.weight.squeeze(-1), conv.bias)


def _activation(x: torch.Tensor, act: nn.Module) -> torch.Tensor:
    return prelu(x, act.weight) if isinstance(act, nn.PReLU) else act(x)


def _depthwise(x: torch.Tensor, conv: nn.Conv1d) -> torch.Tensor:
    assert conv.bias is not None
    return depthwise_conv(x, conv.weight, conv.bias, conv.dilation[0])
