r"""What the mixture losses share: estimates of active classes explain X, others are silent."""

from __future__ import annotations

import torch

from ..score import frame_activity

#: Masks and shares are kept so far from 0 and 1, where logarithms end.
EDGE = 1e-4


def mixture_loss(sources, mixture, active, residual=False):
    r"""The mixture loss of Pishdadian et al. 2020 and Hung et al. 2021 for any set :math:`A`.

    .. math::
        L = \frac{\left\| X - \sum_{i \in A} \hat S_i \right\|_1
            + \sum_{i \notin A} \| \hat S_i \|_1}{\| X \|_1}

    averaged over the batch. Dividing by the norm of the mixture is our choice: the loss then does
    not depend on level or length.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes :math:`\hat S_i`.
        mixture (:class:`torch.Tensor`): Mixture magnitudes :math:`X`.
        active (:class:`torch.Tensor`): Bool, the set :math:`A`: per clip, frame or bin.
        residual (bool): Whether the mixture has more in it than the classes (drums, voices): then
            active classes may leave a part of it, but not exceed it.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - active: broadcasts to `sources`: :math:`(batch, n\_src, 1, 1)` for clips,
          :math:`(batch, n\_src, 1, frames)` for frames
        - output: scalar

    Raises:
        ValueError: if `sources` and `mixture` do not fit together.
    """
    _check_shapes(sources, mixture)
    inside = sources * active
    unexplained = mixture - inside.sum(1)
    unexplained = (-unexplained).clamp(min=0) if residual else unexplained.abs()
    unexplained = unexplained.sum((1, 2))
    wrong = (sources - inside).sum((1, 2, 3))
    return per_mixture(unexplained + wrong, mixture)


def sharing_loss(sources, mixture, share, sounding, power=1.5, residual=False):
    r"""Holds the masks :math:`M_i = \hat S_i / X` against shares :math:`W_i` of each bin.

    .. math:: L = \frac{\sum_{f,t} X^p \sum_i D(W_i, M_i)}{\sum_{f,t} X^p}, \quad
        D(w, m) = w \log \frac{w}{m} + (1 - w) \log \frac{1 - w}{1 - m}

    averaged over the batch. Bins that the shares leave out are split evenly between the classes
    active in the frame, and belong to nobody where none is. An estimate above the mixture counts
    as the mixture, and costs what it exceeds it by (a masking network cannot).

    Our choice: shares are uncertain, and the divergence has its minimum at their mean, where the
    distance :math:`\| \hat S_i - W_i X \|_1` would make a network take sides.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.
        share (:class:`torch.Tensor`): Shares, 0 for all classes where nothing is known.
        sounding (:class:`torch.Tensor`): The score with sound tails.
        power (float): How much more loud bins weigh.
        residual (bool): Whether the mixture has more in it than the classes: then bins that the
            shares leave out belong to nobody.

    Shape:
        - sources, share: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar

    Examples
        >>> mixture, share = torch.ones(1, 2, 3), torch.full((1, 2, 2, 3), 0.5)
        >>> silent = torch.zeros(1, 2, 88, 3)
        >>> sharing_loss(share * mixture.unsqueeze(1), mixture, share, silent).abs() < 1e-6
        tensor(True)
    """
    _check_shapes(sources, mixture)
    # Half precision knows no 1 - EDGE.
    dtype = torch.float32
    for part in (sources, mixture, share):
        dtype = torch.promote_types(dtype, part.dtype)
    sources, mixture, share = (part.to(dtype) for part in (sources, mixture, share))
    active = frame_activity(sounding).unsqueeze(2).to(share.dtype)
    even = 0 * active if residual else active / active.sum(1, keepdim=True).clamp(min=1)
    share, even = share.expand_as(sources), even.expand(len(sources), -1, -1, -1)
    weight = mixture**power
    bins = _Sharing.apply(sources, mixture, share, even, weight)
    return per_mixture(bins, mixture, weight.sum((1, 2)))


class _Sharing(torch.autograd.Function):
    r"""The weighted divergence summed over each clip, with its gradient found on the way.

    One pass over memory costs as much as a layer of a small network, so they are few (autograd
    would take three times as many), and on a CPU clips are done one by one: they fit into its
    cache.
    """

    @staticmethod
    def forward(ctx, sources, mixture, share, even, weight):
        inputs, with_slope = (sources, mixture, share, even, weight), ctx.needs_input_grad[0]
        clips = (
            zip(*(part.split(1) for part in inputs)) if sources.device.type == "cpu" else [inputs]
        )
        bins, slopes = zip(*(_divergence(*clip, with_slope) for clip in clips))
        if with_slope:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(bins)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (slope,) = ctx.saved_tensors
        return slope * grad.view(-1, 1, 1, 1), None, None, None, None


def _divergence(sources, mixture, share, even, weight, with_slope):
    """The divergence of each clip and, if asked for, its slope at the sources."""
    share = share.where(share.sum(1, keepdim=True) > 0, even).clamp_(EDGE, 1 - EDGE)
    scale = mixture.clamp(min=1e-7).reciprocal().unsqueeze(1)
    ratio = sources * scale
    masks = ratio.clamp(max=1).mul_(1 - 2 * EDGE).add_(EDGE)
    of_share = share.log().sub_(masks.log())
    of_rest = torch.log1p(-share).sub_(torch.log1p(-masks))
    divergence = torch.lerp(of_rest, of_share, share)
    above = ratio > 1
    some_above = bool(above.any())
    if some_above:
        divergence.add_((ratio - 1).clamp_(min=0))
    bins = divergence.sum(1).mul_(weight).sum((1, 2))
    if not with_slope:
        return bins, None
    slope = (masks - share).div_(torch.addcmul(masks, masks, masks, value=-1))
    slope.mul_(1 - 2 * EDGE)
    if some_above:
        slope.masked_fill_(above, 1.0)
    return bins, slope.mul_(scale * weight.unsqueeze(1))


def _check_shapes(sources, mixture):
    if sources.ndim != 4 or sources[:, 0].shape != mixture.shape:
        raise ValueError(
            f"Sources of shape {tuple(sources.shape)} do not fit a mixture of shape "
            f"{tuple(mixture.shape)}; expected (batch, n_src, freq, frames) and "
            "(batch, freq, frames)."
        )


def per_mixture(distance, mixture, norm=None):
    r"""Divides one distance per clip by the clip's :math:`\| X \|_1` (or `norm`) and averages.

    A silent clip has nothing to explain and counts as 0; silent is one without a bin above 1e-5,
    80 dB under the nominal level.
    """
    norm = mixture.sum((1, 2)) if norm is None else norm
    audible = mixture.amax((1, 2)) > 1e-5
    return (distance / norm.clamp(min=1e-12)).where(audible, distance * 0).mean()
