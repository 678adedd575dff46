r"""The adversarial mixture loss :math:`L_{AML}`: remixes of separated sources."""

from __future__ import annotations

import torch

from .transcription import transcription_loss


def remix_order(batch, n_src, generator=None):
    r"""Which clip gives which source to which remix: no two sources of a remix share a clip.

    Same-clip remixes would hide the separator's errors, since the estimates sum to the mixture.

    Args:
        batch (int): Clips in the batch, at least `n_src`.
        n_src (int): Number of classes.
        generator (torch.Generator, optional): Source of the random shifts.

    Returns:
        :class:`torch.Tensor`: Clip numbers, shape :math:`(batch, n\_src)`.

    Raises:
        ValueError: if the batch is too small.
    """
    if batch < n_src:
        raise ValueError(
            f"Remixing {n_src} sources of different clips needs a batch of at least {n_src}, "
            f"found {batch}."
        )
    shifts = torch.randperm(batch, generator=generator)[:n_src]
    return (torch.arange(batch)[:, None] + shifts) % batch


def remix(sources, roll, order):
    r"""Sums separated sources of different clips, and gathers the scores that belong to them.

    Args:
        sources (:class:`torch.Tensor`): Separated sources. Complex spectra are right: a sum of
            magnitudes knows no interference and could be told from a real mixture by that alone.
        roll (:class:`torch.Tensor`): Scores.
        order (:class:`torch.Tensor`): Clip numbers from :func:`remix_order`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`
        - roll: :math:`(batch, n\_src, 88, frames)`
        - output: :math:`(batch, freq, frames)` and :math:`(batch, n\_src, 88, frames)`
    """
    columns = range(sources.shape[1])
    mixture = sum(sources[order[:, i], i] for i in columns)
    return mixture, torch.stack([roll[order[:, i], i] for i in columns], dim=1)


def remix_separator_loss(logits, remixed_roll):
    """The separator's side: a remix should be transcribed as the scores of its sources."""
    return transcription_loss(logits, remixed_roll)


def remix_transcriptor_loss(logits):
    """The transcriptor's side: in a remix, which only the separator's errors tell from a real
    mixture, it should find nothing (Hung et al. 2021)."""
    return transcription_loss(logits, torch.zeros_like(logits))
