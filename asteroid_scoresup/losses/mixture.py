r"""The mixture losses: estimates of active classes explain the mixture, the others are silent.

They differ in what is called active: classes with a note anywhere in the clip
(:func:`clip_mixture_loss`, :math:`L_{c\text{-}mix}`), in the frame (:func:`frame_mixture_loss`), or
with a partial in the time-frequency bin (:func:`harmonic_mixture_loss`, :math:`L_{h\text{-}mix}`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from ..score import HarmonicTemplates, clip_activity, frame_activity

#: Magnitude that no bin of a silent clip exceeds: 80 dB below the nominal level.
SILENT_MAGNITUDE = 1e-5


def mixture_loss(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    active: torch.Tensor,
    residual: bool = False,
) -> torch.Tensor:
    r"""The mixture loss of Pishdadian et al. 2020 and Hung et al. 2021 for any set :math:`A`.

    .. math::
        L = \frac{\left\| X - \sum_{i \in A} \hat S_i \right\|_1
            + \sum_{i \notin A} \| \hat S_i \|_1}{\| X \|_1}

    averaged over the batch. The division by the norm of the mixture is our choice: it makes the
    loss independent of level and length.

    Args:
        estimates (:class:`torch.Tensor`): Estimated magnitudes :math:`\hat S_i`.
        mixture (:class:`torch.Tensor`): Mixture magnitudes :math:`X`.
        active (:class:`torch.Tensor`): Bool, the set :math:`A`: per clip, frame or bin.
        residual (bool): Whether the mixture contains more than the classes (drums, voices). The
            active classes may then leave a part of it unexplained, but not exceed it.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - active: broadcasts to `estimates`: :math:`(batch, n\_src, 1, 1)` for clips,
          :math:`(batch, n\_src, 1, frames)` for frames
        - output: scalar

    Raises:
        ValueError: if the shapes of `estimates` and `mixture` do not match.
    """
    check_shapes(estimates, mixture)
    inside = estimates * active
    unexplained = mixture - inside.sum(1)
    unexplained = (-unexplained).clamp(min=0) if residual else unexplained.abs()
    unexplained = unexplained.sum((1, 2))
    wrong = (estimates - inside).sum((1, 2, 3))
    return mean_over_clips(unexplained + wrong, mixture)


def clip_mixture_loss(
    estimates: torch.Tensor, mixture: torch.Tensor, roll: torch.Tensor, residual: bool = False
) -> torch.Tensor:
    r"""Classes with a note anywhere in the clip explain the mixture; the others are silent.

    Hung et al. 2021, the loss of the row "isolated, c".

    Args:
        estimates, mixture, residual: See :func:`mixture_loss`.
        roll (:class:`torch.Tensor`): The score.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - roll: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    return mixture_loss(estimates, mixture, clip_activity(roll)[..., None, None], residual)


def frame_mixture_loss(
    estimates: torch.Tensor, mixture: torch.Tensor, sounding: torch.Tensor, residual: bool = False
) -> torch.Tensor:
    r"""Classes with a note in the frame explain the frame; the others are silent in it.

    Pishdadian, Wichern, Le Roux 2020; the row "baseline" of Hung et al. 2021.

    Args:
        estimates, mixture, residual: See :func:`mixture_loss`.
        sounding (:class:`torch.Tensor`): The sounding roll, with which a decaying note may still
            explain its frame.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    return mixture_loss(estimates, mixture, frame_activity(sounding).unsqueeze(2), residual)


def allowed_bins(
    mask: torch.Tensor,
    sounding: torch.Tensor,
    strict: bool = False,
    unpitched: Sequence[int] = (),
) -> torch.Tensor:
    r"""Which class may have energy in which bin.

    A bin in which a note has a partial belongs to the classes of those notes. A bin that no note
    explains (a quarter of the magnitude of real songs: attacks, noise, higher partials) follows the
    active classes of its frame. With `strict` it must be silent, which is the formula taken
    literally and costs even the true stems two thirds of the mixture. Classes without pitch (drums)
    may use every bin of the frames in which they play, and explain none.

    Shape:
        - mask: :math:`(batch, n\_src, freq, frames)`, bool
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: :math:`(batch, n\_src, freq, frames)`, bool
    """
    if strict:
        return mask
    # By slices: a list of indices would be copied to a GPU, which then waits.
    pitched = [part for index, part in enumerate(mask.unbind(1)) if index not in unpitched]
    explained = functools.reduce(torch.logical_or, pitched, torch.zeros_like(mask[:, 0]))
    unexplained = ~explained.unsqueeze(1)
    return mask | (unexplained & frame_activity(sounding).unsqueeze(2))


def harmonic_mixture_loss(
    estimates: torch.Tensor,
    mixture: torch.Tensor,
    sounding: torch.Tensor,
    templates: HarmonicTemplates,
    strict: bool = False,
    residual: bool = False,
) -> torch.Tensor:
    r"""Classes with a partial in the bin explain the bin; the others are silent in it.

    Hung et al. 2021, the loss of the row "isolated, h". The shape of the masks and the treatment of
    bins without a partial are our choice.

    Args:
        estimates, mixture, residual: See :func:`mixture_loss`.
        sounding (:class:`torch.Tensor`): The sounding roll.
        templates (HarmonicTemplates): Draws the masks.
        strict (bool): See :func:`allowed_bins`.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`, magnitudes
        - mixture: :math:`(batch, freq, frames)`
        - sounding: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    active = allowed_bins(templates.mask(sounding), sounding, strict, templates.unpitched)
    return mixture_loss(estimates, mixture, active, residual)


def check_shapes(estimates: torch.Tensor, mixture: torch.Tensor) -> None:
    """Raises a ValueError unless the shapes are (batch, n_src, freq, frames) and the same without
    n_src."""
    if estimates.ndim != 4 or estimates[:, 0].shape != mixture.shape:
        raise ValueError(
            f"Estimates of shape {tuple(estimates.shape)} do not match a mixture of shape "
            f"{tuple(mixture.shape)}; expected (batch, n_src, freq, frames) and "
            "(batch, freq, frames)."
        )


def mean_over_clips(
    distance: torch.Tensor, mixture: torch.Tensor, norm: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Divides the distance of each clip by :math:`\| X \|_1` (or `norm`) and averages.

    A clip without a bin above :data:`SILENT_MAGNITUDE` has nothing to explain and counts as 0.

    Shape:
        - distance, norm: :math:`(batch)`
        - mixture: :math:`(batch, freq, frames)`
        - output: scalar
    """
    norm = mixture.sum((1, 2)) if norm is None else norm
    audible = mixture.amax((1, 2)) > SILENT_MAGNITUDE
    return (distance / norm.clamp(min=1e-12)).where(audible, distance * 0).mean()
