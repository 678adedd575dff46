"""The score of a recording as it is used: aligned, or unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from ..alignment.align import Alignment, align
from ..utils.stream import Recording
from .song_score import SongScore


@dataclass(frozen=True)
class UsedScore:
    """The score of a recording, on its clock and in its key.

    Args:
        score (SongScore): The notes.
        alignment (Alignment, optional): Where they come from; None if the score is used as it is.
        tuning_cents (float): Tuning of the recording, relative to A = 440 Hz.
        warnings (tuple of str): What the user should know.
    """

    score: SongScore
    alignment: Alignment | None = None
    tuning_cents: float = 0.0
    warnings: tuple[str, ...] = ()

    def describe(self, name: str) -> str:
        """One or two sentences about the score, for the listening page.

        Args:
            name (str): Name of the score.
        """
        if self.alignment is None:
            return f"Separated with the score {name}, used as it is."
        facts = [f"confidence {self.alignment.confidence:.2f}"]
        if self.alignment.transposition:
            facts.append(f"transposed by {self.alignment.transposition:+d} semitones")
        if abs(self.tuning_cents) >= 1:
            facts.append(f"tuned by {self.tuning_cents:+.0f} cents")
        text = f"Separated with the score {name}, aligned with the recording ({', '.join(facts)})."
        if self.alignment.uncertain:
            text += f" Uncertain: {_stretches(self.alignment)}."
        return text


def align_score(score: SongScore, recording: Recording, mode: str, name: str) -> UsedScore:
    """Aligns a score with a recording.

    Args:
        score (SongScore): The score as it was read.
        recording (Recording): The recording.
        mode (str): One of :data:`~asteroid_scoresup.alignment.align.ALIGN_MODES`.
        name (str): Name of the score, for messages.

    Returns:
        UsedScore: The score on the clock of the recording.

    Raises:
        ValueError: if the mode is ``"auto"`` and the score seems to be that of another song, or it
            is ``"always"`` and there are too few notes to align.
    """
    if mode == "never":
        return UsedScore(score)
    try:
        found = align(recording, score.pitched)
    except ValueError:
        # Too few notes; a file that cannot be read fails again, with its own message.
        if mode == "always":
            raise
        return UsedScore(score, warnings=(f"{name} has too few pitched notes to be aligned",))
    if not found.is_match and mode == "auto":
        raise ValueError(
            f"{name} seems to be the score of another song than {recording.name} (confidence "
            f"{found.confidence:.2f}): name its own score, or use it nevertheless with --align "
            "always, or as it is with --align never."
        )
    tuning = float(found.tuning_cents)
    if mode == "auto" and score.is_aligned(found, recording.seconds):
        return UsedScore(score, tuning_cents=tuning)
    warnings = []
    if not found.is_match:
        warnings.append(f"{name} seems to be the score of another song")
    elif found.uncertain:
        warnings.append(f"the score is uncertain at {_stretches(found)}")
    return UsedScore(score.aligned(found), found, tuning, tuple(warnings))


def _stretches(alignment: Alignment) -> str:
    """The uncertain stretches, in minutes and seconds."""
    spans = [
        [f"{round(s) // 60}:{round(s) % 60:02d}" for s in span] for span in alignment.uncertain
    ]
    return ", ".join(f"{start}–{stop}" for start, stop in spans)
