r"""The transcription loss :math:`H(Y, T(\cdot))`: binary cross-entropy of a piano-roll."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad


def transcription_loss(logits, roll):
    r"""Binary cross-entropy, summed over classes and pitches, averaged over clips and frames.

    .. math:: H(Y, P) = -\frac{1}{BT} \sum_{b,t} \sum_{i,p} Y \log P + (1 - Y) \log (1 - P)

    Hung et al. 2021, step 1. That the sum runs over pitches and the mean over frames is our
    choice: the paper does not say.

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
            f"Logits of shape {tuple(logits.shape)} cannot be held against a roll of shape "
            f"{tuple(roll.shape)}: STFT and roll must have the same hop and length."
        )
    entropy = binary_cross_entropy_with_logits(logits, roll.to(logits.dtype), reduction="sum")
    return entropy / (logits.shape[0] * logits.shape[-1])


def isolated_rolls(roll):
    r"""The rolls :math:`Y^{(i)}`: for each class the score with every other class silenced.

    Shape:
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: :math:`(batch, n\_src, n\_src, pitches, frames)`; the first `n_src` says which
          class is kept
    """
    keep = torch.eye(roll.shape[1], dtype=roll.dtype, device=roll.device)
    return roll.unsqueeze(1) * keep[None, :, :, None, None]


def critic_roll(roll, pitches):
    """The labels of a critic with so many outputs: the roll itself, or its activity for one."""
    return roll if pitches == roll.shape[-2] else roll.amax(dim=-2, keepdim=True)


def separated_transcription_loss(critic, sources, roll, heard=None):
    r"""What the critic hears in the separated sources: :math:`\frac{1}{n} \sum_i H(Y^{(i)},
    T(\hat S_i))` (Hung et al. 2021, step 2; the mean over classes is our choice).

    Args:
        critic (callable): Magnitudes :math:`(batch, freq, frames)` → logits
            :math:`(batch, n\_src, pitches, frames)`.
        sources (:class:`torch.Tensor`): :math:`\hat S_i`. One more than the score has classes is a
            residual, in which nothing is to be heard.
        roll (:class:`torch.Tensor`): The score.
        heard (:class:`torch.Tensor`, optional): Classes that the critic hears of each clip,
            :math:`(batch, k)`; drawn at random they give the same loss on average for
            :math:`k / n` of the work. Default: all.

    Shape:
        - sources: :math:`(batch, n\_src, freq, frames)`, or :math:`n\_src + 1`
        - roll: :math:`(batch, n\_src, 88, frames)`
    """
    n_src, n_heard = roll.shape[1], sources.shape[1]
    if heard is None:
        heard = torch.arange(n_heard, device=roll.device).expand(len(roll), -1)
    clip = torch.arange(len(roll), device=roll.device).unsqueeze(1)
    logits = critic(sources[clip, heard].flatten(0, 1))
    targets = isolated_rolls(critic_roll(roll, logits.shape[-2]))
    targets = pad(targets, (0, 0) * 3 + (0, n_heard - n_src))[clip, heard]
    return transcription_loss(logits, targets.flatten(0, 1))


class TranscriptionLoss(nn.Module):
    """Step 1 as Asteroid's ``System`` calls it: logits against ``targets["roll"]``.

    With an :class:`~asteroid_scoresup.models.ActivityClassifier` the labels are its activities.
    """

    def forward(self, est_targets, targets):
        """Logits and the dataset's targets → scalar.

        Raises:
            ValueError: if the batch has no roll.
        """
        if not isinstance(targets, dict) or "roll" not in targets:
            raise ValueError(
                "The transcription loss needs targets['roll']: make the dataset with "
                "targets='score' or targets='both'."
            )
        return transcription_loss(est_targets, critic_roll(targets["roll"], est_targets.shape[-2]))
