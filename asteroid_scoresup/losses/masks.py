r"""Losses that compare masks or magnitudes with a target, bin by bin.

The targets come from the score (:func:`soft_harmonic_loss`), from score and mixture together
(:func:`informed_loss`) or from stems (:func:`mask_approximation_loss`,
:func:`magnitude_approximation_loss`). None of them is in the paper.
"""

from __future__ import annotations

import torch

from ..kernels.mask_kl import MaskKL
from ..score import HarmonicTemplates, frame_activity
from .mixture import check_shapes, mean_over_clips


def mask_kl_loss(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    target_masks: torch.Tensor,
    sounding: torch.Tensor,
    power: float = 1.5,
    residual: bool = False,
) -> torch.Tensor:
    r"""Divergence of the masks :math:`M_i = \hat S_i / X` from target masks :math:`W_i`.

    .. math:: L = \frac{\sum_{f,t} X^p \sum_i D(W_i, M_i)}{\sum_{f,t} X^p}, \quad
        D(w, m) = w \log \frac{w}{m} + (1 - w) \log \frac{1 - w}{1 - m}

    averaged over the batch. Bins without a target are split evenly between the classes active in
    the frame; where none is active their target is 0. Where an estimate exceeds the mixture, its
    mask counts as 1 and the excess is added to the loss (a masking network cannot exceed it).

    Our choice: target masks are uncertain, and the divergence has its minimum at their mean, where
    the distance :math:`\| \hat S_i - W_i X \|_1` would push masks to 0 or 1.

    Args:
        estimates (:class:`torch.Tensor`): Estimated magnitudes.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.
        target_masks (:class:`torch.Tensor`): Target masks, 0 for all classes where unknown.
        sounding (:class:`torch.Tensor`): The sounding roll.
        power (float): Exponent :math:`p`: how much more loud bins weigh.
        residual (bool): Whether the mixture contains more than the classes. Bins without a target
            then belong to no class.

    Shape:
        - estimates, target_masks: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar

    Raises:
        ValueError: if the shapes of `estimates` and `mixture` do not match.

    Examples
        >>> mixture, masks = torch.ones(1, 2, 3), torch.full((1, 2, 2, 3), 0.5)
        >>> silent = torch.zeros(1, 2, 88, 3)
        >>> mask_kl_loss(masks * mixture.unsqueeze(1), mixture, masks, silent).abs() < 1e-6
        tensor(True)
    """
    check_shapes(estimates, mixture)
    dtype = torch.float32  # half precision cannot represent 1 - EDGE
    for tensor in (estimates, mixture, target_masks):
        dtype = torch.promote_types(dtype, tensor.dtype)
    estimates, mixture, target_masks = (x.to(dtype) for x in (estimates, mixture, target_masks))
    active = frame_activity(sounding).unsqueeze(2).to(dtype)
    fallback = 0 * active if residual else active / active.sum(1, keepdim=True).clamp(min=1)
    target_masks = target_masks.expand_as(estimates)
    fallback = fallback.expand(len(estimates), -1, -1, -1)
    weight = mixture**power
    divergence = MaskKL.apply(estimates, mixture, target_masks, fallback, weight)
    return mean_over_clips(divergence, mixture, weight.sum((1, 2)))


def soft_harmonic_loss(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    sounding: torch.Tensor,
    templates: HarmonicTemplates,
    residual: bool = False,
) -> torch.Tensor:
    r"""Compares each mask with the soft harmonic mask of its class.

    The binary :func:`~asteroid_scoresup.losses.mixture.harmonic_mixture_loss` does not depend
    on how classes split a bin in which several of them have a partial. This one does, by the
    weights of the partials (:func:`mask_kl_loss`).

    Args:
        estimates, mixture, sounding, residual: See :func:`mask_kl_loss`.
        templates (HarmonicTemplates): Draws the target masks :math:`W`.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    target_masks = templates.soft_mask(sounding)
    return mask_kl_loss(estimates, mixture, target_masks, sounding, residual=residual)


def informed_loss(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    soft_masks: torch.Tensor,
    sounding: torch.Tensor,
    residual: bool = False,
) -> torch.Tensor:
    r"""Compares each mask with the score-informed mask of its class.

    The distance is that of :func:`mask_kl_loss`. Where :func:`soft_harmonic_loss` assumes the
    strength of partials, a score-informed factorization of the mixture fits them to the song
    (:mod:`asteroid_scoresup.score.informed`). Scores are needed in training only; stems are not.

    Args:
        estimates, mixture, sounding, residual: See :func:`mask_kl_loss`.
        soft_masks (:class:`torch.Tensor`): See
            :class:`~asteroid_scoresup.data.informed.ScoreInformedMasks`.

    Shape:
        - estimates, soft_masks: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    return mask_kl_loss(estimates, mixture, soft_masks, sounding, residual=residual)


def mask_approximation_loss(
    estimates: torch.Tensor,
    stems: torch.Tensor,
    mixture: torch.Tensor,
    sounding: torch.Tensor,
    residual: bool = False,
) -> torch.Tensor:
    r"""Compares each mask with the ideal ratio mask of its stem.

    The distance is that of :func:`mask_kl_loss`, and the target masks are
    :math:`W_i = |S_i| / (\sum_j |S_j| + |R|)`. The form is that of :func:`informed_loss`, so that
    results of the two losses differ by their targets only. The magnitude of the residual :math:`R`
    is estimated as the difference of :math:`X` and the sum of the stems.

    Args:
        estimates, mixture, sounding, residual: See :func:`mask_kl_loss`.
        stems (:class:`torch.Tensor`): Magnitudes of the stems.

    Shape:
        - estimates, stems: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    total = stems.sum(1)
    if residual:
        total = torch.maximum(total, mixture)
    target_masks = stems / total.clamp(min=1e-7).unsqueeze(1)
    return mask_kl_loss(estimates, mixture, target_masks, sounding, residual=residual)


def magnitude_approximation_loss(
    estimates: torch.Tensor, stems: torch.Tensor, mixture: torch.Tensor
) -> torch.Tensor:
    r"""L1 distance to the magnitudes of the stems.

    .. math:: L = \frac{\sum_i \| \hat S_i - S_i \|_1}{\| X \|_1}

    Args:
        estimates (:class:`torch.Tensor`): Estimated magnitudes.
        stems (:class:`torch.Tensor`): Magnitudes of the stems.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.

    Shape:
        - estimates, stems: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - output: scalar
    """
    return mean_over_clips((estimates - stems).abs().sum((1, 2, 3)), mixture)
