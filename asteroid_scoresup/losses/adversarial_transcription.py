r"""The adversarial transcription loss :math:`L_{ATL}`: interference in separated sources."""

from __future__ import annotations

from .transcription import isolated_rolls, transcription_loss


def interference_rolls(roll):
    r"""For each separated source the score of everything that should *not* be in it.

    Shape:
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: :math:`(batch, n\_src, n\_src, pitches, frames)`
    """
    return roll.unsqueeze(1) - isolated_rolls(roll)


def interference_transcriptor_loss(logits, roll):
    r"""The transcriptor's side: in :math:`\hat S_i` it finds the other classes' notes and leaves
    the target's out; the separator's side is the ordinary transcription loss (Hung et al. 2021).

    Shape:
        - logits: :math:`(batch \cdot n\_src, n\_src, pitches, frames)`, the transcriptor on the
          separated sources, clip by clip
        - roll: :math:`(batch, n\_src, pitches, frames)`
        - output: scalar
    """
    return transcription_loss(logits, interference_rolls(roll).flatten(0, 1))
