"""The critic of the weakly supervised baseline: which class plays when, without pitch."""

from __future__ import annotations

from .score_transcriptor import ScoreTranscriptor


class ActivityClassifier(ScoreTranscriptor):
    r"""Frame-wise instrument activity (Pishdadian, Wichern, Le Roux 2020).

    A transcriptor with one output per class instead of 88: it can replace the transcriptor
    everywhere. Its logits have shape :math:`(batch, n\_src, 1, frames)`, and its labels are the
    maximum of the piano-roll over the pitches.
    """

    n_outputs = 1
