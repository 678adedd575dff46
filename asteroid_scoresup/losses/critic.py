r"""Adapting the critic to the separator's estimates, with labels that are true (our choice).

A critic that was trained on mixtures only can be satisfied by masks that separate nothing. Here it
is trained on the estimates as well. A note is labeled as present in an estimate if the mask lets
its partials through, whatever the separator does. Unlike the adversarial losses, this one never
trains the critic to predict what is not there.
"""

from __future__ import annotations

import torch

from ..score import HarmonicTemplates
from .transcription import critic_roll

#: Fraction of a note's magnitude below which it counts as removed, and above which as audible.
REMOVED, AUDIBLE = 0.15, 0.4


def passed_fraction(
    masks: torch.Tensor, mixture: torch.Tensor, templates: HarmonicTemplates
) -> torch.Tensor:
    r"""How much of each pitch a mask lets through.

    .. math:: \frac{\sum_f B_p(f) M_i(f, t) X(f, t)}{\sum_f B_p(f) X(f, t)}

    with the weights :math:`B_p` of the partials of pitch :math:`p`.

    Shape:
        - masks: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - output: :math:`(batch, n\_src, 88, frames)`, in [0, 1]
    """
    weights = templates.weights.to(mixture.dtype)
    through = torch.einsum("pf,bift->bipt", weights, masks * mixture.unsqueeze(1))
    total = torch.einsum("pf,bft->bpt", weights, mixture)
    return through / total.unsqueeze(1).clamp(min=1e-7)


def audible_rolls(
    masks: torch.Tensor, mixture: torch.Tensor, roll: torch.Tensor, templates: HarmonicTemplates
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""The notes of all classes that are audible in each estimate, and where that is certain.

    Args:
        masks (:class:`torch.Tensor`): Masks :math:`M_i`.
        mixture (:class:`torch.Tensor`): Magnitudes :math:`X`.
        roll (:class:`torch.Tensor`): The score.
        templates (HarmonicTemplates): Partials of the pitches.

    Shape:
        - masks: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - roll: :math:`(batch, n\_src, 88, frames)`

    Returns:
        tuple: rolls :math:`(batch, n\_src, n\_src, 88, frames)`, where the first `n_src` is the
        estimate and the second the class of the notes; and a bool tensor of the same shape, false
        for notes between :data:`REMOVED` and :data:`AUDIBLE`, which are left out of the loss.
    """
    fraction = passed_fraction(masks, mixture, templates).unsqueeze(2)
    playing = roll.unsqueeze(1)
    labels = playing * (fraction > AUDIBLE)
    certain = (playing == 0) | (fraction > AUDIBLE) | (fraction < REMOVED)
    return labels, certain.expand_as(labels)


def audible_notes_loss(
    logits: torch.Tensor,
    masks: torch.Tensor,
    mixture: torch.Tensor,
    roll: torch.Tensor,
    templates: HarmonicTemplates,
) -> torch.Tensor:
    r"""The transcriptor learns to predict which notes are audible in the estimates.

    .. math:: \frac{1}{n} \sum_i H(Y \cdot [\text{audible in } \hat S_i], T(\hat S_i))

    For perfect estimates the labels are the rolls :math:`Y^{(i)}`.

    Args:
        logits (:class:`torch.Tensor`): Output of the transcriptor for the estimates.
        masks, mixture, roll, templates: See :func:`audible_rolls`.

    Shape:
        - logits: :math:`(batch \cdot n\_src, n\_src, pitches, frames)`
        - output: scalar
    """
    labels, certain = audible_rolls(masks, mixture, roll, templates)
    labels = critic_roll(labels.flatten(0, 1), logits.shape[-2])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, labels.to(logits.dtype), reduction="none"
    )
    if certain.shape[-2] == logits.shape[-2]:
        entropy = entropy * certain.flatten(0, 1)
    return entropy.sum() / (logits.shape[0] * logits.shape[-1])
