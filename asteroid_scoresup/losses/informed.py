"""The score-informed loss: each bin is shared out as score and mixture together tell (ours)."""

from __future__ import annotations

from .mixture import sharing_loss


def informed_loss(sources, mixture, share, sounding, residual=False):
    r"""Holds each estimate against the share that a score-informed factorisation gives its class
    (:func:`~asteroid_scoresup.losses.mixture.sharing_loss`).

    Where the :func:`~asteroid_scoresup.losses.soft_harmonic.soft_harmonic_loss` guesses the
    strength of partials, this one has them fitted to the song
    (:mod:`asteroid_scoresup.score.informed`); the score is needed in training only, and no stem
    at all. Not in the paper.

    Args:
        residual (bool): See :func:`~asteroid_scoresup.losses.mixture.sharing_loss`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - share: :math:`(batch, n\_src, freq, frames)`, see
          :class:`~asteroid_scoresup.data.informed.InformedShares`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    return sharing_loss(sources, mixture, share, sounding, residual=residual)
