r"""The clip-level mixture loss :math:`L_{c\text{-}mix}`."""

from __future__ import annotations

from ..score import clip_activity
from .mixture import mixture_loss


def clip_mixture_loss(sources, mixture, roll, residual=False):
    r"""Classes with a note anywhere in the clip explain the mixture; the others are silent.

    Hung et al. 2021, loss of the row "isolated, c".

    Args:
        residual (bool): See :func:`~asteroid_scoresup.losses.mixture.mixture_loss`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - roll: :math:`(batch, n\_src, 88, frames)`, the score (or the sounding roll)
        - output: scalar
    """
    return mixture_loss(sources, mixture, clip_activity(roll)[..., None, None], residual)
