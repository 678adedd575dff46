"""The soft harmonic loss: overlapping partials are shared out, not left to chance (ours)."""

from __future__ import annotations

from .mixture import sharing_loss


def soft_harmonic_loss(sources, mixture, sounding, templates, residual=False):
    r"""Holds each estimate against its share of the mixture in the score.

    The binary :func:`~asteroid_scoresup.losses.harmonic_mixture.harmonic_mixture_loss` does not
    care how classes split a bin in which several have a partial. This one does, by the weights of
    the partials (:func:`~asteroid_scoresup.losses.mixture.sharing_loss`; not in the paper).

    Args:
        templates (HarmonicTemplates): Draws the shares :math:`W`.
        residual (bool): See :func:`~asteroid_scoresup.losses.mixture.sharing_loss`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    share = templates.soft_mask(sounding)
    return sharing_loss(sources, mixture, share, sounding, residual=residual)
