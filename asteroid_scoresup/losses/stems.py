"""The supervised losses, for the upper bound."""

from __future__ import annotations

import torch

from .mixture import per_mixture, sharing_loss


def stem_loss(sources, references, mixture):
    r"""L1 distance of magnitudes: :math:`\sum_i \| \hat S_i - S_i \|_1 / \| X \|_1`.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes.
        references (:class:`torch.Tensor`): Magnitudes of the stems.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.

    Shape:
        - sources, references: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - output: scalar
    """
    return per_mixture((sources - references).abs().sum((1, 2, 3)), mixture)


def stem_share_loss(sources, references, mixture, sounding, residual=False):
    r"""Holds each estimate against its stem's share of the bin.

    The stems' :func:`~asteroid_scoresup.losses.mixture.sharing_loss`, with the true shares
    :math:`W_i = |S_i| / (\sum_j |S_j| + |R|)`: the same form as the
    :func:`~asteroid_scoresup.losses.informed.informed_loss`, so that what differs between the two
    rows is the teacher and not the distance. Our choice. :math:`R` is what belongs to no class; its
    magnitude is taken as what the stems leave of :math:`X`.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes.
        references (:class:`torch.Tensor`): Magnitudes of the stems.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.
        sounding (:class:`torch.Tensor`): The score with sound tails.
        residual (bool): Whether the mixture has more in it than the classes.

    Shape:
        - sources, references: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    total = references.sum(1)
    if residual:
        total = torch.maximum(total, mixture)
    share = references / total.clamp(min=1e-7).unsqueeze(1)
    return sharing_loss(sources, mixture, share, sounding, residual=residual)
