"""The frame-level mixture loss, that of the weak baseline."""

from __future__ import annotations

from ..score import frame_activity
from .mixture import mixture_loss


def frame_mixture_loss(sources, mixture, sounding, residual=False):
    r"""Classes with a note in the frame explain the frame; the others are silent in it.

    Pishdadian, Wichern, Le Roux 2020; the row "baseline" of Hung et al. 2021.

    Args:
        residual (bool): See :func:`~asteroid_scoresup.losses.mixture.mixture_loss`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`; with sound tails, so that a decaying note
          may still explain its frame
        - output: scalar
    """
    return mixture_loss(sources, mixture, frame_activity(sounding).unsqueeze(2), residual)
