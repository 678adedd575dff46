r"""The loss of a mask refiner: scale-invariant signal-to-distortion ratio, in the STFT domain.

With masks :math:`M_i` of classes in groups :math:`g` whose true signals are :math:`S_g`,

.. math::
    L = \frac{1}{G} \sum_g 10 \log_{10}
        \frac{\sum_{f,t} |\alpha_g X \sum_{i \in g} M_i - S_g|^2 + \tau}
        {\sum_{f,t} |S_g|^2 + \tau}

where :math:`\alpha_g` is the scale with the smallest error, or 1 for groups with less than a
hundredth of the energy of the mixture, and :math:`\tau` is a thousandth of that energy, so that
groups that are silent in a segment count by what leaks into them. A group is one class where stems
are known. Where only mixtures and their scores are, two of them are summed, and a group is all
classes of one: no stem is needed, as in mixture invariant training (Wisdom et al. 2020), but the
score says which classes belong to which mixture. Both are our choice, not in Hung et al. 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

#: Energy relative to that of the mixture that is added to each group.
QUIET = 1e-3
#: Energy relative to that of the mixture below which a group counts as silent.
SILENT = 1e-2


class RefinementItem(NamedTuple):
    r"""A segment to refine, with its targets.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes :math:`|X|`, :math:`(freq, frames)`.
        estimates (:class:`torch.Tensor`): See
            :func:`~asteroid_scoresup.models.mask_refiner.class_estimates`,
            :math:`(n\_src + 1, freq, frames)`.
        group (:class:`torch.Tensor`): Group of each class, :math:`(n\_src,)`.
        projection (:class:`torch.Tensor`): :math:`Re(X^* S_g)`, :math:`(n\_groups, freq, frames)`.
        energy (:class:`torch.Tensor`): :math:`\sum |S_g|^2`, :math:`(n\_groups,)`.
        is_complete (bool): Whether everything that sounds like one of the classes is its target:
            without a score, nothing tells it from what belongs to no class.
    """

    magnitude: torch.Tensor
    estimates: torch.Tensor
    group: torch.Tensor
    projection: torch.Tensor
    energy: torch.Tensor
    is_complete: bool = True


def refinement_loss(
    masks: torch.Tensor, item: RefinementItem, scale_invariant: bool = True
) -> torch.Tensor:
    r"""Negative scale-invariant signal-to-distortion ratio of masked estimates.

    Args:
        masks (:class:`torch.Tensor`): Masks, :math:`(n\_src, freq, frames)`.
        item (RefinementItem): The segment.
        scale_invariant (bool): Whether estimates may have any scale; otherwise
            :math:`\alpha_g = 1`, for masks whose sum nothing else determines.

    Returns:
        :class:`torch.Tensor`: In dB, :math:`(n\_groups,)`.

    Examples
        >>> X = torch.ones(3, 4)
        >>> item = RefinementItem(X, None, torch.tensor([0, 1]), torch.stack([X, 0 * X]),
        ...                       torch.tensor([12.0, 0.0]))
        >>> refinement_loss(torch.stack([X, 0 * X]), item).round().tolist()
        [-30.0, 0.0]
    """
    n_groups = len(item.projection)
    grouped = masks.new_zeros(n_groups, *masks.shape[1:]).index_add(0, item.group, masks)
    power = item.magnitude.square()
    quiet = QUIET * power.sum().clamp(min=1e-12)
    common, own = (grouped * item.projection).sum((1, 2)), (grouped.square() * power).sum((1, 2))
    # A scale of its own would hide what leaks into a silent group.
    sounds = (item.energy > SILENT * power.sum()) & scale_invariant
    scale = torch.where(sounds, common / own.clamp(min=1e-12), torch.ones_like(own))
    # |a M X - S|^2, without complex numbers.
    error = scale * (scale * own - 2 * common) + item.energy
    return 10 * ((error.clamp(min=0) + quiet) / (item.energy + quiet)).log10()
