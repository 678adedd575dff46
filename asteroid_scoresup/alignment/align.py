r"""Aligns a recording with its score.

1. Levels of 88 semitone bands (:mod:`.features`), at the recording's own tuning
   (:mod:`~asteroid_scoresup.alignment.tuning`).
2. Transposition: the one under which a coarse path fits best (:mod:`.search`).
3. Coarse path with jumps and interruptions, on a clock that follows the tempo (:mod:`.search`),
   cut into sections (:mod:`.jumps`).
4. Refinement: every onset moves to where its own pitches rise (:mod:`.onsets`).
5. Certainty, per stretch and as a whole (:mod:`.certainty`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..midi import DRUMS, join_instruments
from ..notation import read_score
from ..score import LOWEST_PITCH, N_PITCHES, Notes
from ..utils.stream import Recording
from . import certainty as sure
from .boundaries import move_boundaries
from .clock import ScoreClock
from .drums import follow_drums
from .features import band_levels, loudness
from .jumps import Section, find_sections
from .mismatch import UnalignableScoreError, WrongScoreError, explain_mismatch
from .onsets import PASSES, TOGETHER, Groups, refine, rises
from .search import Search
from .tuning import find_tuning
from .warp import Span, Warp

#: When a command aligns a score with its recording: if it needs to be, always, or never.
ALIGN_MODES = ("auto", "always", "never")

_TRIED = 3  # transpositions that are refined where the first fails, besides none
_SURELY = 0.9  # confidence at which no other is tried
_LEAST_NOTES = 8
_LONGEST = 12 * 3600.0  # seconds of a score
_EDGE = 0.15  # seconds by which an onset may come out before its section
_BEYOND = 0.3  # seconds around a section in which onsets belong to it
_FASTEST = 4.0  # a section that is played faster or slower than the score by more is none
_ADJACENT = 0.2  # seconds between sections of which the second begins where the first ends
_CLOSEST = 0.002  # seconds between anchors, in both clocks


@dataclass(frozen=True, eq=False)
class Alignment:
    r"""Where a recording plays its score, and how certain that is.

    Args:
        warp (Warp): Score time to audio time.
        transposition (int): Semitones that the recording is above the score.
        tuning_cents (float): Tuning of the recording relative to A = 440 Hz, -50 to 50.
        certainty (array): Certainty of successive stretches of
            :data:`~asteroid_scoresup.alignment.warp.CERTAINTY_STEP` seconds of audio, 0 to 1, 0
            where only drums are followed, NaN where the score has nothing, shape :math:`(n,)`.
        confidence (float): Certainty as a whole, 0 to 1.
        uncertain (tuple): Uncertain stretches of the recording, as (start, stop) in seconds.
        is_match (bool): Whether the score belongs to the recording.
    """

    warp: Warp
    transposition: int
    tuning_cents: float
    certainty: np.ndarray
    confidence: float
    uncertain: tuple[tuple[float, float], ...]
    is_match: bool

    def notes(self, notes: Notes) -> Notes:
        """Notes of the score at their times and pitches in the recording.

        Args:
            notes (Notes): Notes on the clock of the score.

        Returns:
            Notes: Those that are played, sorted by onset.
        """
        moved = self.warp.notes(notes)
        return moved.replace(pitch=moved.pitch + self.transposition)


def align(
    audio: str | Path | np.ndarray | Recording,
    score: str | Path | Notes,
    sample_rate: float | None = None,
    *,
    unpitched: Notes | None = None,
    max_transposition: int = 7,
    require_match: bool = False,
) -> Alignment:
    r"""Aligns a recording with its score.

    Any tempo, silence or other music before and after, skipped and repeated sections, and
    transpositions are allowed. Pitches outside the 88 keys are ignored. Drums are followed where
    they play alone, before the first pitched note and after the last, if the recording has that
    note; such stretches are uncertain from one second on. Elsewhere drums are ignored.

    Args:
        audio (str, Path, array or Recording): The recording; samples have the shape
            :math:`(time)` or :math:`(channels, time)`.
        score (str, Path or Notes): A MIDI or MusicXML file, or notes.
        sample_rate (float, optional): Sample rate of an array, in Hz.
        unpitched (Notes, optional): Drums of a score that is given as notes; those of a file are
            read.
        max_transposition (int): Largest transposition looked for, in semitones.
        require_match (bool): Whether a score that does not match the recording is an error.

    Returns:
        Alignment: The alignment.

    Raises:
        ValueError: if a file cannot be read.
        UnalignableScoreError: if the score has too few notes, or lasts longer than 12 hours.
        WrongScoreError: if `require_match` and the score does not belong to the recording.

    Examples
        >>> rate = 16000
        >>> pitches = np.array([60, 64, 67, 72, 65, 69, 62, 57, 60, 55, 64, 71])
        >>> time = np.arange(round(0.6 * rate)) / rate
        >>> tones = [np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time) for p in pitches]
        >>> audio = np.concatenate([tone * np.exp(-4 * time) for tone in tones])
        >>> onset = np.arange(12.0)  # the score is slower than the recording
        >>> score = Notes(onset, onset + 0.9, pitches, np.zeros(12), np.full(12, 90))
        >>> found = align(audio, score, rate)
        >>> bool(np.abs(found.notes(score).onset - 0.6 * onset).max() < 0.06)
        True
    """
    recording = audio if isinstance(audio, Recording) else Recording(audio, sample_rate)
    if isinstance(score, Notes):
        notes, name = score, "The score"
    else:
        if unpitched is not None:
            raise ValueError("The drums of a file are read from it: leave out `unpitched`.")
        (notes, unpitched), name = _pitched_and_drums(score), str(score)
    playable = (notes.pitch >= LOWEST_PITCH) & (notes.pitch < LOWEST_PITCH + N_PITCHES)
    notes = notes.select(np.flatnonzero(playable & (notes.onset >= 0)))
    if len(notes) < _LEAST_NOTES:
        count = f"{len(notes)} pitched note{'' if len(notes) == 1 else 's'}"
        raise UnalignableScoreError(
            name, f"has {count}, expected at least {_LEAST_NOTES}: too few to align it"
        )
    if notes.onset.max() - notes.onset.min() > _LONGEST:
        hours = (notes.onset.max() - notes.onset.min()) / 3600
        raise UnalignableScoreError(
            name,
            f"lasts {hours:.1f} hours, expected at most {_LONGEST / 3600:.0f}: check the time of "
            "its last note",
        )
    if not 0 <= max_transposition <= 24:
        raise ValueError(f"max_transposition is {max_transposition}, expected 0 to 24 semitones.")
    tuning = find_tuning(recording)
    levels = band_levels(recording, tuning)
    best = best_alignment(levels, notes, recording.seconds, tuning, max_transposition)
    if require_match and not best.is_match:
        why = explain_mismatch(recording, name, best.confidence)
        raise WrongScoreError(f"{why.what}: {why.advice}.")
    if unpitched is None or not len(unpitched):
        return best
    warp, added = follow_drums(best.warp, notes, unpitched, levels, recording.seconds)
    uncertain = sure.merged_stretches([*best.uncertain, *added])
    local = sure.without_certainty(best.certainty, added)
    return replace(best, warp=warp, certainty=local, uncertain=tuple(uncertain))


def _pitched_and_drums(path: str | Path) -> tuple[Notes, Notes]:
    """All pitched notes of a score, of any class, and its drums."""
    song = read_score(path, drums=True)
    drums = [one for one in song.instruments if one.program == DRUMS]
    pitched = [one for one in song.instruments if one.program != DRUMS]
    return join_instruments(pitched), join_instruments(drums)


def best_alignment(
    levels: np.ndarray, notes: Notes, seconds: float, tuning_cents: float, max_transposition: int
) -> Alignment:
    r"""The most convincing alignment among several transpositions.

    Args:
        levels (array): From :func:`~asteroid_scoresup.alignment.features.band_levels`.
        notes (Notes): The score, with pitches of the 88 keys.
        seconds (float): Length of the recording.
        tuning_cents (float): Its tuning.
        max_transposition (int): Largest transposition looked for, in semitones.
    """
    aligner = Aligner(levels, notes, seconds)
    best: Alignment | None = None
    likely = aligner.search.transpositions(max_transposition)[:_TRIED]
    # Most scores have the key of the recording, which sustained sounds may hide.
    for shift in dict.fromkeys([*likely, 0]):
        found = aligner.at(shift, tuning_cents)
        if best is None or found.confidence > best.confidence:
            best = found
        if found.confidence > _SURELY:
            break
    assert best is not None
    return best


@dataclass(frozen=True, eq=False)
class Draft:
    r"""A warp and the signs of how certain it is.

    Args:
        warp (Warp): Score time to audio time.
        signs (Signs): Those of the whole.
        local (array): Those of each stretch, from
            :func:`~asteroid_scoresup.alignment.certainty.local_signs`.
    """

    warp: Warp
    signs: sure.Signs
    local: np.ndarray


class Aligner:
    """A recording's levels and a score, aligned under one transposition after another."""

    def __init__(self, levels: np.ndarray, notes: Notes, seconds: float) -> None:
        self.seconds = seconds
        self.levels, self.loud = levels, loudness(levels)
        # The clock of the paths starts at the first note: what is before it is not a rest.
        self.origin = float(notes.onset.min())
        notes = notes.shifted(-self.origin)
        self.end = float(np.minimum(notes.release, notes.onset + 8).max())
        self.search = Search(levels, self.loud, notes, self.end)
        self.rises = [rises(levels, self.loud, one.before, one.after) for one in PASSES]

    def at(self, shift: int, tuning: float) -> Alignment:
        """The alignment under a transposition."""
        draft = self.draft(shift)
        local = sure.local_certainty(draft.local)
        confidence = draft.signs.confidence()
        return Alignment(
            warp=draft.warp,
            transposition=shift,
            tuning_cents=tuning,
            certainty=local,
            confidence=confidence,
            uncertain=sure.uncertain_stretches(local, self.seconds),
            is_match=confidence >= sure.MATCH,
        )

    def draft(self, shift: int) -> Draft:
        """The warp under a transposition, and the signs of how certain it is."""
        found = self.search.path(shift)
        clock = found.clock
        groups = Groups.of(found.notes)
        pieces = []
        sections = find_sections(found.frames, found.hop)
        sections = move_boundaries(sections, self.levels, self.loud, found.notes)
        ends = [min(s.audio[-1], t.audio[0]) for s, t in zip(sections, sections[1:])]
        for number, section in enumerate(sections):
            start = ends[number - 1] if number else 0.0
            stop = ends[number] if number < len(ends) else self.seconds
            piece = self.span(section, groups, start, stop, clock)
            if piece is not None:
                pieces.append(piece)
        spans = [span for span, _, _ in pieces]
        onsets = [times for _, times, _ in pieces]
        contrast = [values for _, _, values in pieces]
        warp = Warp(tuple(Span(clock.score_at(s.score) + self.origin, s.audio) for s in spans))
        at = np.concatenate(onsets) if onsets else np.zeros(0)
        every_contrast = np.concatenate(contrast) if contrast else np.zeros(0)
        covered = [(float(s.audio[0]), float(s.audio[-1])) for s in spans]
        margin = found.margins()[np.clip(at / found.hop, 0, len(found.frames) - 1).astype(int)]
        margin = np.nan_to_num(margin)  # an onset beyond the ends of the path
        local = sure.local_signs(at, every_contrast, margin, covered, self.seconds)
        signs = sure.Signs.of(spans, len(at), len(groups.times), self.seconds, found.fitness())
        return Draft(warp, signs, local)

    def span(
        self, section: Section, groups: Groups, start: float, stop: float, clock: ScoreClock
    ) -> tuple[Span, np.ndarray, np.ndarray] | None:
        """A refined section between two times: its span, and times and contrasts of its onsets."""
        expected = section.to_audio(groups.times)
        low, high = section.audio[0] - _BEYOND, section.audio[-1] + _BEYOND
        edge = _EDGE
        if start > 0:
            low = max(low, start - edge)
        elif low < 0:  # what the path puts before the recording may belong to its beginning
            low, edge = low - _BEYOND, _BEYOND
        if stop < self.seconds:
            high = min(high, stop)
        first, last = np.searchsorted(expected, [low, high])
        part = groups.part(int(first), int(last))
        if len(part.times) < 2:
            return None
        at = expected[first:last]
        for one, rise in zip(PASSES, self.rises):
            at, _ = refine(rise, part, at, one)
            at = np.maximum.accumulate(at)
        # An onset at the very edge may come out a little beyond it: the last of those.
        early = np.flatnonzero((at < start) & (at > start - edge))
        at[early[-1:]] = start
        contrast = sure.contrasts(self.rises[-1], part, at)
        score, audio = _increasing(part.times, at, start, stop)
        if len(score) < 2:
            return None
        # A little earlier, for notes of the first group that begin before its mean.
        lead = min(2 * TOGETHER, audio[0] - start)
        if lead < _CLOSEST:
            lead = min(2 * _CLOSEST, (audio[1] - start) / 2)
            audio[0] = start + lead
        score = np.insert(score, 0, score[0] - 2 * TOGETHER)
        audio = np.insert(audio, 0, audio[0] - lead)
        path = Section(audio, score)
        if section.audio[0] - start < _ADJACENT and audio[0] > start + _CLOSEST:
            # Back to where the recording jumped, at the tempo of the first onsets.
            head = max(float(path.to_score(np.array([start]))[0]), 0.0)
            if head < score[0] - _CLOSEST:
                score, audio = np.insert(score, 0, head), np.insert(audio, 0, start)
        # On to the end of the section, or of the last notes, at the tempo of the last onsets.
        end = float(clock.of(np.array(self.end)))
        tail = min(section.score[-1] if last < len(groups.times) else end, end)
        tail_audio = float(path.to_audio(np.array([tail]))[0])
        if tail_audio > stop:
            tail_audio, tail = stop, float(path.to_score(np.array([stop]))[0])
        if tail > score[-1] + _CLOSEST and tail_audio > audio[-1] + _CLOSEST:
            score, audio = np.append(score, tail), np.append(audio, tail_audio)
        # Under a wrong key, one chord may fit so well that a clock stretches it over minutes.
        speed = np.ptp(clock.score_at(score)) / np.ptp(audio)
        if not 1 / _FASTEST <= speed <= _FASTEST:
            return None
        inside = (at >= start) & (at <= stop)
        return Span(score, audio), at[inside], contrast[inside]


def _increasing(
    score: np.ndarray, audio: np.ndarray, start: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Anchors between two times of the recording that increase strictly on both clocks."""
    kept: list[int] = []
    for row in range(len(score)):
        if not start <= audio[row] <= stop:
            continue
        if kept and (
            audio[row] - audio[kept[-1]] < _CLOSEST or score[row] - score[kept[-1]] < _CLOSEST
        ):
            continue
        kept.append(row)
    return score[kept], audio[kept]
