"""The critic of the weak baseline: who plays when, and nothing about pitch."""

from __future__ import annotations

from .score_transcriptor import ScoreTranscriptor


class ActivityClassifier(ScoreTranscriptor):
    r"""Frame-wise instrument activity (Pishdadian, Wichern, Le Roux 2020).

    A transcriptor with one output per class instead of 88: it stands where the transcriptor
    stands, with :math:`(batch, n\_src, 1, frames)` logits, and its labels are the rolls with the
    pitches folded into one.
    """

    n_outputs = 1
