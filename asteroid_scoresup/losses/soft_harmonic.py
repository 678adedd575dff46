"""The soft harmonic loss: overlapping partials are shared out, not left to chance (ours)."""

from __future__ import annotations

from ..score import frame_activity
from .mixture import per_mixture


def soft_harmonic_loss(sources, mixture, sounding, templates):
    r"""Holds each estimate against its share of the mixture in the score.

    The binary :func:`~asteroid_scoresup.losses.harmonic_mixture.harmonic_mixture_loss` does not
    care how classes split a bin in which several have a partial. This one does:

    .. math:: L = \frac{1}{\| X \|_1} \sum_{f,t} \Big\{ \begin{array}{ll}
        \sum_i | \hat S_i - W_i X | & \text{where a note has a partial} \\
        | X - \sum_{i \in A_t} \hat S_i | + \sum_{i \notin A_t} \hat S_i & \text{elsewhere}
        \end{array}

    with :math:`W` from the weights of the partials (our choice; not in the paper).

    Args:
        templates (HarmonicTemplates): Draws :math:`W`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    share = templates.soft_mask(sounding)
    explained = share.sum(1) > 0
    shared = (sources - share * mixture.unsqueeze(1)).abs().sum(1)
    inside = sources * frame_activity(sounding).unsqueeze(2)
    free = (mixture - inside.sum(1)).abs() + (sources - inside).sum(1)
    return per_mixture(shared.where(explained, free).sum((1, 2)), mixture)
