r"""The transcription loss :math:`H(Y, T(\cdot))`: binary cross-entropy of a piano-roll."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad


def transcription_loss(logits: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    r"""Binary cross-entropy, summed over classes and pitches, averaged over clips and frames.

    .. math:: H(Y, P) = -\frac{1}{BT} \sum_{b,t} \sum_{i,p} Y \log P + (1 - Y) \log (1 - P)

    Hung et al. 2021, step 1. The sum over pitches and the mean over frames are our choice: the
    paper does not specify the reduction.

    Args:
        logits (:class:`torch.Tensor`): Logits of the note probabilities :math:`P`.
        roll (:class:`torch.Tensor`): The score :math:`Y`.

    Shape:
        - logits, roll: :math:`(batch, n\_src, pitches, frames)`
        - output: scalar

    Raises:
        ValueError: if the shapes differ.

    Examples
        >>> transcription_loss(torch.zeros(1, 1, 2, 5), torch.ones(1, 1, 2, 5))
        tensor(1.3863)
    """
    if logits.shape != roll.shape:
        raise ValueError(
            f"Logits of shape {tuple(logits.shape)} cannot be compared with a roll of shape "
            f"{tuple(roll.shape)}: STFT and roll must have the same hop and length."
        )
    entropy = binary_cross_entropy_with_logits(logits, roll.to(logits.dtype), reduction="sum")
    return entropy / (logits.shape[0] * logits.shape[-1])


def isolated_rolls(roll: torch.Tensor) -> torch.Tensor:
    r"""The rolls :math:`Y^{(i)}`: for each class the score with every other class silenced.

    Shape:
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: :math:`(batch, n\_src, n\_src, pitches, frames)`; the first `n_src` is the class
          that is kept
    """
    keep = torch.eye(roll.shape[1], dtype=roll.dtype, device=roll.device)
    return roll.unsqueeze(1) * keep[None, :, :, None, None]


def critic_roll(roll: torch.Tensor, pitches: int) -> torch.Tensor:
    """The labels of a critic with this many outputs per class: the roll, or its activity if 1."""
    return roll if pitches == roll.shape[-2] else roll.amax(dim=-2, keepdim=True)


def separated_transcription_loss(
    critic: Callable[[torch.Tensor], torch.Tensor],
    estimates: torch.Tensor,
    roll: torch.Tensor,
    classes: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Transcription loss of the estimates: :math:`\frac{1}{n} \sum_i H(Y^{(i)}, T(\hat S_i))`.

    Hung et al. 2021, step 2; the mean over classes is our choice.

    Args:
        critic (callable): Magnitudes :math:`(batch, freq, frames)` → logits
            :math:`(batch, n\_src, pitches, frames)`.
        estimates (:class:`torch.Tensor`): :math:`\hat S_i`. If there is one more than the score has
            classes, the last is a residual, in which no note should be found.
        roll (:class:`torch.Tensor`): The score.
        classes (:class:`torch.Tensor`, optional): The classes of each clip that the critic
            receives, :math:`(batch, k)`. Drawn at random they give the same loss on average for
            :math:`k / n` of the work. Default: all.

    Shape:
        - estimates: :math:`(batch, n\_src, freq, frames)`, or :math:`n\_src + 1`
        - roll: :math:`(batch, n\_src, 88, frames)`
        - output: scalar
    """
    n_src, n_estimates = roll.shape[1], estimates.shape[1]
    if classes is None:
        classes = torch.arange(n_estimates, device=roll.device).expand(len(roll), -1)
    clip = torch.arange(len(roll), device=roll.device).unsqueeze(1)
    logits = critic(estimates[clip, classes].flatten(0, 1))
    targets = isolated_rolls(critic_roll(roll, logits.shape[-2]))
    targets = pad(targets, (0, 0) * 3 + (0, n_estimates - n_src))[clip, classes]
    return transcription_loss(logits, targets.flatten(0, 1))


class TranscriptionLoss(nn.Module):
    """Step 1 as Asteroid's ``System`` calls it: logits against ``targets["roll"]``.

    With an :class:`~asteroid_scoresup.models.ActivityClassifier` the labels are the activities of
    the classes.
    """

    def forward(self, est_targets: torch.Tensor, targets: dict) -> torch.Tensor:
        """Loss of the logits `est_targets`, a scalar.

        Raises:
            ValueError: if the batch has no roll.
        """
        if not isinstance(targets, dict) or "roll" not in targets:
            raise ValueError(
                "The transcription loss reads targets['roll']: make the dataset with "
                "targets='score' or targets='both'."
            )
        labels = critic_roll(targets["roll"], est_targets.shape[-2])
        if est_targets.ndim == labels.ndim:
            return transcription_loss(est_targets, labels)
        return note_loss(est_targets, {**targets, "roll": labels})


def note_loss(logits: torch.Tensor, targets: dict[str, torch.Tensor]) -> torch.Tensor:
    r"""Sum of the transcription losses of frames and onsets (our choice).

    Args:
        logits (:class:`torch.Tensor`): Logits of the frames, and of the onsets if there are two.
        targets (dict): ``roll`` and ``onsets``, :math:`(batch, n\_src, pitches, frames)`.

    Shape:
        - logits: :math:`(batch, heads, n\_src, pitches, frames)`
        - output: scalar

    Examples
        >>> roll = torch.ones(1, 1, 2, 5)
        >>> note_loss(torch.zeros(1, 2, 1, 2, 5), {"roll": roll, "onsets": roll})
        tensor(2.7726)
    """
    loss = transcription_loss(logits[:, 0], targets["roll"])
    if logits.shape[1] > 1:
        loss = loss + transcription_loss(logits[:, 1], targets["onsets"])
    return loss
