r"""The divergence of :func:`~asteroid_scoresup.losses.masks.mask_kl_loss`, with its own gradient.

One pass over memory costs as much as a layer of a small network. Autograd takes three times as many
passes as :class:`MaskKL`, which computes the gradient together with the value and, on a CPU, works
on one clip at a time, since a clip fits into the cache.
"""

from __future__ import annotations

import torch

#: Smallest distance of masks from 0 and 1, where the logarithms are infinite.
EDGE = 1e-4


def plain_mask_kl(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    target_masks: torch.Tensor,
    fallback_masks: torch.Tensor,
    weight: torch.Tensor,
) -> torch.Tensor:
    r"""The divergence of each clip, summed over bins and classes.

    Args:
        estimates (:class:`torch.Tensor`): Estimated magnitudes.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.
        target_masks (:class:`torch.Tensor`): Target masks, 0 for all classes where unknown.
        fallback_masks (:class:`torch.Tensor`): Target masks of the bins that are unknown.
        weight (:class:`torch.Tensor`): Weight of each bin.

    Shape:
        - estimates, target_masks: :math:`(batch, n\_src, freq, frames)`
        - fallback_masks: broadcasts to `estimates`
        - mixture, weight: :math:`(batch, freq, frames)`
        - output: :math:`(batch)`
    """
    known = target_masks.sum(1, keepdim=True) > 0
    target = target_masks.where(known, fallback_masks).clamp(EDGE, 1 - EDGE)
    ratio = estimates / mixture.clamp(min=1e-7).unsqueeze(1)
    masks = ratio.clamp(max=1) * (1 - 2 * EDGE) + EDGE
    divergence = target * (target / masks).log()
    divergence = divergence + (1 - target) * ((1 - target) / (1 - masks)).log()
    divergence = divergence + (ratio - 1).clamp(min=0)
    return (divergence.sum(1) * weight).sum((1, 2))


class MaskKL(torch.autograd.Function):
    """:func:`plain_mask_kl`; only `estimates` receives a gradient, and only once."""

    @staticmethod
    def forward(ctx, estimates, mixture, target_masks, fallback_masks, weight):
        """See :func:`plain_mask_kl`."""
        inputs = (estimates, mixture, target_masks, fallback_masks, weight)
        with_slope = ctx.needs_input_grad[0]
        clips = [inputs]
        if estimates.device.type == "cpu":
            clips = zip(*(tensor.split(1) for tensor in inputs))
        values, slopes = zip(*(_value_and_slope(*clip, with_slope) for clip in clips))
        if with_slope:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        """The slope, scaled by the gradient of each clip."""
        (slope,) = ctx.saved_tensors
        return slope * grad.view(-1, 1, 1, 1), None, None, None, None


def _value_and_slope(estimates, mixture, target, fallback, weight, with_slope):
    """The divergence of each clip and, on request, its derivative with respect to the estimates."""
    target = target.where(target.sum(1, keepdim=True) > 0, fallback).clamp_(EDGE, 1 - EDGE)
    scale = mixture.clamp(min=1e-7).reciprocal().unsqueeze(1)
    ratio = estimates * scale
    masks = ratio.clamp(max=1).mul_(1 - 2 * EDGE).add_(EDGE)
    inside = target.log().sub_(masks.log())
    outside = torch.log1p(-target).sub_(torch.log1p(-masks))
    divergence = torch.lerp(outside, inside, target)
    above = ratio > 1
    # Looking would keep a GPU waiting; a CPU saves two passes.
    some_above = above.device.type != "cpu" or bool(above.any())
    if some_above:
        divergence.add_((ratio - 1).clamp_(min=0))
    value = divergence.sum(1).mul_(weight).sum((1, 2))
    if not with_slope:
        return value, None
    slope = (masks - target).div_(torch.addcmul(masks, masks, masks, value=-1))
    slope.mul_(1 - 2 * EDGE)
    if some_above:
        slope.masked_fill_(above, 1.0)
    return value, slope.mul_(scale * weight.unsqueeze(1))
