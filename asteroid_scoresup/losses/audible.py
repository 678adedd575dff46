r"""What may be heard in an estimate, as score and mask tell it: labels for a truthful critic."""

from __future__ import annotations

import torch

from .transcription import critic_roll

#: A note is audible if its partials pass with more than the second, gone with less than the first.
GONE, AUDIBLE = 0.15, 0.4


def passed(masks, mixture, templates):
    r"""How much of each pitch a mask lets through: :math:`\frac{\sum_f B_p(f) M_i(f, t) X(f, t)}
    {\sum_f B_p(f) X(f, t)}`, with the partials' weights :math:`B_p`.

    Shape:
        - masks: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - output: :math:`(batch, n\_src, 88, frames)`, in [0, 1]
    """
    weights = templates.weights.to(mixture.dtype)
    through = torch.einsum("pf,bift->bipt", weights, masks * mixture.unsqueeze(1))
    there = torch.einsum("pf,bft->bpt", weights, mixture)
    return through / there.unsqueeze(1).clamp(min=1e-7)


def audible_rolls(masks, mixture, roll, templates):
    r"""The notes of all classes that may be heard in each estimate, and where that is known.

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
        tuple: rolls :math:`(batch, n\_src, n\_src, 88, frames)`, the first `n_src` says in which
        estimate; and a bool tensor of that shape: false for notes between :data:`GONE` and
        :data:`AUDIBLE`, of which nothing is said.
    """
    share = passed(masks, mixture, templates).unsqueeze(2)
    playing = roll.unsqueeze(1)
    labels = playing * (share > AUDIBLE)
    known = (playing == 0) | (share > AUDIBLE) | (share < GONE)
    return labels, known.expand_as(labels)


def truthful_loss(logits, masks, mixture, roll, templates):
    r"""The transcriptor learns to hear in the estimates what is in them (our choice).

    A critic that knows mixtures only can be satisfied by masks that separate nothing. Here it hears
    the separator's estimates, with labels that are true whatever the separator does: a note is in
    an estimate if the mask lets its partials through. Where the estimates are right, these are the
    rolls :math:`Y^{(i)}`; unlike the adversarial losses this one never asks for what is not so.

    .. math:: \frac{1}{n} \sum_i H(Y \cdot [\text{audible in } \hat S_i], T(\hat S_i))

    Args:
        logits (:class:`torch.Tensor`): What the transcriptor says of the estimates.
        masks, mixture, roll, templates: See :func:`audible_rolls`.

    Shape:
        - logits: :math:`(batch \cdot n\_src, n\_src, pitches, frames)`
        - output: scalar
    """
    labels, known = audible_rolls(masks, mixture, roll, templates)
    labels = critic_roll(labels.flatten(0, 1), logits.shape[-2])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, labels.to(logits.dtype), reduction="none"
    )
    if known.shape[-2] == logits.shape[-2]:
        entropy = entropy * known.flatten(0, 1)
    return entropy.sum() / (logits.shape[0] * logits.shape[-1])
