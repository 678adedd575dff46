r"""What the mixture losses share: estimates of active classes explain X, others are silent."""

from __future__ import annotations

from ..score import frame_activity


def mixture_loss(sources, mixture, active):
    r"""The mixture loss of Pishdadian et al. 2020 and Hung et al. 2021 for any set :math:`A`.

    .. math::
        L = \frac{\left\| X - \sum_{i \in A} \hat S_i \right\|_1
            + \sum_{i \notin A} \| \hat S_i \|_1}{\| X \|_1}

    averaged over the batch. Dividing by the norm of the mixture is our choice: the loss then does
    not depend on level or length.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes :math:`\hat S_i`.
        mixture (:class:`torch.Tensor`): Mixture magnitudes :math:`X`.
        active (:class:`torch.Tensor`): Bool, the set :math:`A`: per clip, frame or bin.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - active: broadcasts to `sources`: :math:`(batch, n\_src, 1, 1)` for clips,
          :math:`(batch, n\_src, 1, frames)` for frames
        - output: scalar

    Raises:
        ValueError: if `sources` and `mixture` do not fit together.
    """
    if sources.ndim != 4 or sources[:, 0].shape != mixture.shape:
        raise ValueError(
            f"Sources of shape {tuple(sources.shape)} do not fit a mixture of shape "
            f"{tuple(mixture.shape)}; expected (batch, n_src, freq, frames) and "
            "(batch, freq, frames)."
        )
    inside = sources * active
    unexplained = (mixture - inside.sum(1)).abs().sum((1, 2))
    wrong = (sources - inside).sum((1, 2, 3))
    return per_mixture(unexplained + wrong, mixture)


def shared_mixture_loss(sources, mixture, share, sounding):
    r"""Holds each estimate against its share :math:`W_i` of the mixture.

    .. math:: L = \frac{1}{\| X \|_1} \sum_{f,t} \Big\{ \begin{array}{ll}
        \sum_i | \hat S_i - W_i X | & \text{where the bin is shared out} \\
        | X - \sum_{i \in A_t} \hat S_i | + \sum_{i \notin A_t} \hat S_i & \text{elsewhere}
        \end{array}

    averaged over the batch; :math:`A_t` are the classes active in the frame.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - share: :math:`(batch, n\_src, freq, frames)`; 0 for all classes where nothing is known
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    explained = share.sum(1) > 0
    shared = (sources - share * mixture.unsqueeze(1)).abs().sum(1)
    inside = sources * frame_activity(sounding).unsqueeze(2)
    free = (mixture - inside.sum(1)).abs() + (sources - inside).sum(1)
    return per_mixture(shared.where(explained, free).sum((1, 2)), mixture)


def per_mixture(distance, mixture):
    r"""Divides one distance per clip by the clip's :math:`\| X \|_1` and averages.

    A silent clip has nothing to explain and counts as 0; silent is one without a bin above 1e-5,
    80 dB under the nominal level (an STFT of zeros reads about 1e-6, not 0).
    """
    norm = mixture.sum((1, 2))
    audible = mixture.amax((1, 2)) > 1e-5
    return (distance / norm.clamp(min=1e-6)).where(audible, distance * 0).mean()
