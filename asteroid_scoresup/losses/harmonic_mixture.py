r"""The harmonic mixture loss :math:`L_{h\text{-}mix}`."""

from __future__ import annotations

from ..score import frame_activity
from .mixture import mixture_loss


def allowed_bins(mask, sounding, strict=False):
    r"""Which class may have energy in which bin.

    A bin in which a note has a partial belongs to the classes of those notes. A bin that no note
    explains (a quarter of real magnitude: attacks, noise, partials above the drawn ones) follows
    the frame's active classes; with `strict` it must be silent, which is the formula taken
    literally and charges even the true stems with two thirds of the mixture.

    Shape:
        - mask: :math:`(batch, n\_src, freq, frames)`, bool
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: :math:`(batch, n\_src, freq, frames)`, bool
    """
    if strict:
        return mask
    unexplained = ~mask.any(1, keepdim=True)
    return mask | (unexplained & frame_activity(sounding).unsqueeze(2))


def harmonic_mixture_loss(sources, mixture, sounding, templates, strict=False, residual=False):
    r"""Classes with a partial in the bin explain the bin; the others are silent in it.

    Hung et al. 2021, loss of the row "isolated, h". The masks themselves, and what becomes of
    bins without a partial, are our choice.

    Args:
        templates (HarmonicTemplates): Draws the masks.
        strict (bool): See :func:`allowed_bins`.
        residual (bool): See :func:`~asteroid_scoresup.losses.mixture.mixture_loss`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    active = allowed_bins(templates.mask(sounding), sounding, strict)
    return mixture_loss(sources, mixture, active, residual)
