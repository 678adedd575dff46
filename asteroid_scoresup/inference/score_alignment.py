"""The score of a recording as it is used: aligned, or unchanged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..alignment.align import Alignment, align
from ..alignment.mismatch import UnalignableScoreError, explain_mismatch
from ..dsp.level import BLOCK_SECONDS, LevelMeter
from ..utils.stream import Recording
from .song_score import SongScore

#: Stretches of a recording without a score are reported from this length on, in seconds.
_LEAST_MISSING = 5.0


@dataclass(frozen=True)
class UsedScore:
    """The score of a recording, on its clock and in its key.

    Args:
        score (SongScore): The notes.
        alignment (Alignment, optional): Where they come from; None if the score is used as it is.
        tuning_cents (float): Tuning of the recording, relative to A = 440 Hz.
        warnings (tuple of str): What the user should know.
        missing (tuple): Stretches of the recording that sound, but have no score, as (start, stop)
            in seconds.
    """

    score: SongScore
    alignment: Alignment | None = None
    tuning_cents: float = 0.0
    warnings: tuple[str, ...] = ()
    missing: tuple[tuple[float, float], ...] = ()

    def describe(self, name: str) -> str:
        """One or two sentences about the score, for the listening page.

        Args:
            name (str): Name of the score.
        """
        if self.alignment is None:
            text = f"Separated with the score {name}, used as it is."
        else:
            facts = [f"confidence {self.alignment.confidence:.2f}"]
            if self.alignment.transposition:
                facts.append(f"transposed by {self.alignment.transposition:+d} semitones")
            if abs(self.tuning_cents) >= 1:
                facts.append(f"tuned by {self.tuning_cents:+.0f} cents")
            text = f"Separated with the score {name}, aligned with the recording "
            text += f"({', '.join(facts)})."
            if self.alignment.uncertain:
                text += f" Uncertain: {_clock(self.alignment.uncertain)}."
        if self.missing:
            text += f" Without a score: {_clock(self.missing)}."
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
        ValueError: if the mode is ``"auto"`` and the score does not seem to belong to the
            recording, or it is ``"always"`` and the score cannot be aligned.
    """
    used = _aligned(score, recording, mode, name)
    missing = _without_score(used, recording)
    if not missing:
        return used
    warning = f"{name} has no notes at {_clock(missing)}, where the stems are silent"
    return replace(used, missing=missing, warnings=(*used.warnings, warning))


def _aligned(score: SongScore, recording: Recording, mode: str, name: str) -> UsedScore:
    if mode == "never":
        return UsedScore(score)
    try:
        found = align(recording, score.pitched, unpitched=score.unpitched)
    except UnalignableScoreError as error:
        if mode == "always":
            raise UnalignableScoreError(name, error.why) from None
        return UsedScore(score, warnings=(f"{name} {error.why}; it is used as it is",))
    warnings = []
    if not found.is_match:
        why = explain_mismatch(recording, name, found.confidence)
        if mode == "auto":
            raise ValueError(
                f"{why.what}: {why.advice}, or use the score nevertheless with --align always, or "
                "as it is with --align never."
            )
        warnings.append(why.what)
    elif found.uncertain:
        warnings.append(f"the score is uncertain at {_clock(found.uncertain)}")
    tuning = float(found.tuning_cents)
    if mode == "auto" and score.is_aligned(found, recording.seconds):
        return UsedScore(score, tuning_cents=tuning)
    return UsedScore(score.aligned(found), found, tuning, tuple(warnings))


def _without_score(used: UsedScore, recording: Recording) -> tuple[tuple[float, float], ...]:
    """The stretches of a recording that sound for seconds before, after or without the score.

    Rests within the score do not count, nor does silence in the recording.
    """
    seconds, both = recording.seconds, (used.score.pitched, used.score.unpitched)
    first = min((float(n.onset.min()) for n in both if len(n)), default=seconds)
    last = max((float(n.release.max()) for n in both if len(n)), default=seconds)
    stretches = [(0.0, min(first, seconds)), (last, seconds)]
    if used.alignment is not None:
        gaps = used.alignment.warp.gaps(seconds, _LEAST_MISSING)
        stretches += [(start, stop) for start, stop in gaps if start > first and stop < last]
    stretches = sorted(s for s in stretches if s[1] - s[0] >= _LEAST_MISSING)
    if not stretches:
        return ()
    meter = LevelMeter(recording.sample_rate)
    for block in recording.blocks():
        meter.add(block)
    missing = []
    for start, stop in stretches:
        part = slice(math.ceil(start / BLOCK_SECONDS), math.floor(stop / BLOCK_SECONDS))
        sounding = np.flatnonzero(meter.sounding[part])
        if len(sounding):
            start = BLOCK_SECONDS * float(part.start + sounding[0])
            stop = BLOCK_SECONDS * float(part.start + sounding[-1] + 1)
            if stop - start >= _LEAST_MISSING:
                missing.append((start, stop))
    return tuple(missing)


def _clock(stretches: Iterable[tuple[float, float]]) -> str:
    """Stretches in minutes and seconds."""
    spans = [[f"{round(s) // 60}:{round(s) % 60:02d}" for s in span] for span in stretches]
    return ", ".join(f"{start}–{stop}" for start, stop in spans)
