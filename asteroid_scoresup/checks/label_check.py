r"""The label check: do the notes of a song agree with its audio?

Four questions are asked of every song, with nothing but spectra (no network, no training):

- **Pitch** of each class: by how many semitones and cents its sound is away from its labels; see
  :mod:`~asteroid_scoresup.checks.pitch`.
- **Offset** between notes and audio; see :mod:`~asteroid_scoresup.checks.time`.
- **Silent notes**: no energy at the note's partials while it should sound.
- **Defective stems**: noise, or a single tone; see :mod:`~asteroid_scoresup.checks.noise`.

Where stems exist, the notes of each class are compared with its own stem, and otherwise with the
mixture. At most :data:`~asteroid_scoresup.checks.spectra.ANALYZED_SECONDS` of a song are analyzed.
All thresholds are our choice, set so that correct data raise no warning; where there is too little
evidence, the answer is None.

A wrong pitch hides the offset, and a wrong offset hides the pitch. The offset is therefore
estimated with the notes as they are, and if that fails with every transposition; then the pitch at
that offset; and both again if the pitch turned out to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..score import Notes
from .bends import to_sounding_pitch
from .corrections import describe
from .noise import defect_in_excerpts
from .pitch import ClassPitch, PitchEvidence, find_pitch, unclear_pitch
from .spectra import Excerpt, find_excerpts
from .time import (
    OFFSET_TOLERANCE,
    Offset,
    best_transposition,
    find_offset,
    note_levels,
    onset_strengths,
    silent_fraction,
)

if TYPE_CHECKING:
    from ..data.classes import ClassMap

#: General MIDI programs without pitch: percussion, effects, and 128 for drums.
UNPITCHED = frozenset([*range(112, 128), 128])


def unpitched_classes(classes: ClassMap) -> tuple[str, ...]:
    """Names of the classes that have instruments without pitch.

    Args:
        classes (ClassMap): The classes.

    Returns:
        tuple of str
    """
    kinds = {"drums", "percussive", "sound effects"}
    return tuple(
        source.name
        for source in classes.classes
        if source.programs & UNPITCHED or kinds & {name.lower() for name in source.inst_classes}
    )


def unpitched_indices(classes: ClassMap) -> tuple[int, ...]:
    """Indices of the classes that have only instruments without pitch.

    Their notes are keys of a drum kit: harmonic masks do not apply to them.

    Args:
        classes (ClassMap): The classes.

    Returns:
        tuple of int

    Examples
        >>> from asteroid_scoresup.data import ClassMap
        >>> unpitched_indices(ClassMap.parse("bass=32-39;drums=drums;other=40-127"))
        (1,)
    """
    named = unpitched_classes(classes)
    return tuple(
        index
        for index, source in enumerate(classes.classes)
        if source.name in named and source.programs <= UNPITCHED
    )


def check_song(
    notes: Notes,
    names: Sequence[str],
    sample_rate: float,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray] | None = None,
    unpitched: Sequence[str] = (),
) -> dict[str, Any]:
    r"""Compares the notes of a song with its audio.

    Args:
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
        sample_rate (float): Rate of the audio, in Hz.
        mixture (array): Shape :math:`(time,)`.
        stems (dict, optional): Signals of the classes by name, of the same shape.
        unpitched (sequence of str): Classes whose notes have no pitch, such as drums.

    Returns:
        dict: The findings. By class name, a dict with ``semitones`` (by which the notes must be
        moved to match their sound; None if unclear), ``semitones_confidence`` (0 to 1),
        ``tuning_cents`` (the rest; None if unclear), ``silent_notes`` (fraction of notes without
        energy; None without notes), ``defect`` (``"noise"`` or ``"single tone"`` if that is
        what the stem is, otherwise None) and ``pitched`` (bool). For the song, ``offset_seconds``
        (how much later the audio is than the notes; None if unclear), ``offset_confidence``,
        ``tuning_cents`` (None if unclear), ``notes_checked``, and ``warnings`` (list of str).
    """
    song = _Song(to_sounding_pitch(notes), names, sample_rate, mixture, stems or {}, unpitched)
    defects = song.find_defects()
    moved = [0] * len(names)
    offset = song.find_offset(moved)
    if offset["offset_seconds"] is None:
        tried = song.best_transpositions()
        offset = song.find_offset(tried) if any(tried) else offset
    by_class, tuning = song.find_pitch(offset["offset_seconds"])
    moved = [found["semitones"] or 0 for found in by_class]
    if any(moved):
        again = song.find_offset(moved)
        if _differ(again, offset):
            by_class, tuning = song.find_pitch(again["offset_seconds"])
            moved = [found["semitones"] or 0 for found in by_class]
        offset = again if again["offset_seconds"] is not None else offset
    if offset["offset_seconds"] is None:
        # Notes that are not in the audio at all would support any answer.
        by_class, tuning, moved = [unclear_pitch() for _ in names], None, [0] * len(names)
    silent = song.find_silent(moved, offset["offset_seconds"] or 0.0)
    findings: dict[str, Any] = {
        name: {
            **found,
            "silent_notes": fraction,
            "defect": defects.get(name),
            "pitched": name not in unpitched,
        }
        for name, found, fraction in zip(names, by_class, silent)
    }
    findings |= {**offset, "tuning_cents": tuning, "notes_checked": song.n_notes}
    findings["warnings"] = describe(findings, names)
    return findings


def _differ(one: Offset, other: Offset) -> bool:
    first, second = one["offset_seconds"], other["offset_seconds"]
    return first is not None and (second is None or abs(first - second) > OFFSET_TOLERANCE)


class _Song:
    """The excerpts of a song and the notes in them; arguments as for :func:`check_song`."""

    def __init__(
        self,
        notes: Notes,
        names: Sequence[str],
        sample_rate: float,
        mixture: np.ndarray,
        stems: Mapping[str, np.ndarray],
        unpitched: Sequence[str],
    ):
        self.names, self.stems, self.unpitched = names, stems, unpitched
        spans = find_excerpts(notes, len(mixture) / sample_rate)
        inside = [notes.select((notes.onset >= a) & (notes.onset < b)) for a, b in spans]
        excerpts: dict[tuple[str | None, int], Excerpt] = {}

        def excerpt_of(name: str, number: int) -> Excerpt:
            key = name if name in stems else None, number
            if key not in excerpts:
                excerpts[key] = Excerpt(stems.get(name, mixture), sample_rate, *spans[number])
            return excerpts[key]

        self.n_notes = sum(len(table) for table in inside)
        #: By class: the excerpts with notes of it, as (excerpt, its notes, all notes).
        self.parts: list[list[tuple[Excerpt, Notes, Notes]]] = []
        for index, name in enumerate(names):
            own = [table.select(table.class_index == index) for table in inside]
            self.parts.append([
                (excerpt_of(name, number), table, inside[number])
                for number, table in enumerate(own)
                if len(table)
            ])  # fmt: skip
        self.defective: set[str] = set()

    def find_defects(self) -> dict[str, str]:
        """Defects of the stems, by class; defective stems are left out of what follows."""
        defects = {}
        for name, parts in zip(self.names, self.parts):
            if parts and name in self.stems and name not in self.unpitched:
                defect = defect_in_excerpts([p[0] for p in parts], [p[1] for p in parts])
                if defect:
                    defects[name] = defect
        self.defective = set(defects)
        return defects

    def _usable(self) -> Iterator[tuple[int, str, list[tuple[Excerpt, Notes, Notes]]]]:
        for index, (name, parts) in enumerate(zip(self.names, self.parts)):
            if parts and name not in self.defective:
                yield index, name, parts

    def find_offset(self, moved: Sequence[int]) -> Offset:
        """The offset if each class is `moved` by semitones."""
        pairs = [
            onset_strengths(excerpt, own, moved[index])
            for index, _, parts in self._usable()
            for excerpt, own, _ in parts
        ]
        return find_offset([strengths for strengths, _ in pairs], [onset for _, onset in pairs])

    def best_transpositions(self) -> list[int]:
        """Semitones by class under which most onsets are found."""
        best = [0] * len(self.names)
        for index, name, parts in self._usable():
            if name not in self.unpitched:
                best[index] = best_transposition([p[0] for p in parts], [p[1] for p in parts])
        return best

    def find_pitch(self, offset: float | None) -> tuple[list[ClassPitch], float | None]:
        """Pitch by class, and the tuning of all in cents, at an offset in seconds."""
        evidence: list[list[PitchEvidence]] = [[] for _ in self.names]
        # Drums are in the mixture, but not at the pitch of their notes.
        pitched = [k for k, name in enumerate(self.names) if name not in self.unpitched]
        for index, name, parts in self._usable():
            if index not in pitched:
                continue
            for excerpt, own, inside in parts:
                own, inside = (
                    t.replace(onset=t.onset + (offset or 0.0), offset=t.offset + (offset or 0.0))
                    for t in (own, inside.select(np.isin(inside.class_index, pitched)))
                )
                evidence[index].append(
                    PitchEvidence(excerpt, own, inside, len(self.names), name in self.stems)
                )
        return find_pitch(evidence)

    def find_silent(self, moved: Sequence[int], offset: float) -> list[float | None]:
        """Fraction of silent notes, by class."""
        levels = {}
        for index, (name, parts) in enumerate(zip(self.names, self.parts)):
            found = [note_levels(excerpt, own, moved[index], offset) for excerpt, own, _ in parts]
            levels[name] = np.concatenate([np.zeros(0), *found])
        loudest = {n: np.percentile(v, 95) if len(v) else 0.0 for n, v in levels.items()}
        # In a mixture a class that is missing has no loud notes of its own to compare with.
        return [
            silent_fraction(levels[n], loudest[n] if n in self.stems else max(loudest.values()))
            for n in self.names
        ]
