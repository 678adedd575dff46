r"""The adversarial losses of Hung et al. 2021.

In :math:`L_{AML}` separated sources of different clips are remixed: the separator is trained so
that the remix is transcribed as the matching scores, the transcriptor to predict no notes in it. In
:math:`L_{ATL}` the transcriptor learns to find the interference that is left in a separated source.
"""

from __future__ import annotations

import functools

import torch

from .transcription import isolated_rolls, transcription_loss


def remix_order(batch: int, n_src: int, generator: torch.Generator | None = None) -> torch.Tensor:
    r"""Chooses the clip of each source of each remix: no two sources of a remix share a clip.

    Same-clip remixes would hide the separator's errors, since the estimates sum to the mixture.

    Args:
        batch (int): Clips in the batch, at least `n_src`.
        n_src (int): Number of classes.
        generator (torch.Generator, optional): Random generator.

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


def remix(
    sources: torch.Tensor, roll: torch.Tensor, order: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Sums separated sources of different clips, and gathers their scores.

    Args:
        sources (:class:`torch.Tensor`): Separated sources, as complex spectra: in a sum of
            magnitudes nothing cancels, which alone would tell it from a real mixture.
        roll (:class:`torch.Tensor`): Scores.
        order (:class:`torch.Tensor`): Clip numbers from :func:`remix_order`.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`
        - roll: :math:`(batch, n\_src, 88, frames)`
        - output: :math:`(batch, freq, frames)` and :math:`(batch, n\_src, 88, frames)`
    """
    columns = range(sources.shape[1])
    # In one copy that need not be waited for, instead of one for every index.
    order = order.to(sources.device, non_blocking=True)
    mixture = functools.reduce(torch.add, [sources[order[:, i], i] for i in columns])
    return mixture, torch.stack([roll[order[:, i], i] for i in columns], dim=1)


def remix_separator_loss(logits: torch.Tensor, remixed_roll: torch.Tensor) -> torch.Tensor:
    """The separator's side: a remix should be transcribed as the scores of its sources."""
    return transcription_loss(logits, remixed_roll)


def remix_transcriptor_loss(logits: torch.Tensor) -> torch.Tensor:
    """The transcriptor's side: it should find nothing in a remix, which differs from a real mixture
    only by the errors of the separator (Hung et al. 2021)."""
    return transcription_loss(logits, torch.zeros_like(logits))


def interference_rolls(roll: torch.Tensor) -> torch.Tensor:
    r"""For each separated source the score of everything that should *not* be in it.

    Shape:
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: :math:`(batch, n\_src, n\_src, pitches, frames)`
    """
    return roll.unsqueeze(1) - isolated_rolls(roll)


def interference_transcriptor_loss(logits: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    r"""The transcriptor's side: in :math:`\hat S_i` it finds the notes of the other classes and
    none of the target; the separator's side is the ordinary transcription loss (Hung et al. 2021).

    Shape:
        - logits: :math:`(batch \cdot n\_src, n\_src, pitches, frames)`, the transcriptor on the
          separated sources, clip by clip
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: scalar
    """
    return transcription_loss(logits, interference_rolls(roll).flatten(0, 1))
