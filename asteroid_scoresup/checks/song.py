r"""The label check: does the audio say what the notes say?

Four questions are asked of every song, with nothing but spectra (no network, no training):

- **Pitch** of each class: by how many semitones and cents its sound is away from its labels; see
  :mod:`~asteroid_scoresup.checks.pitch`.
- **Offset** between notes and audio; see :mod:`~asteroid_scoresup.checks.time`.
- **Notes without energy**: nothing at the note's partials while it should sound.
- **References that are no instruments**: noise, or a single tone; see
  :mod:`~asteroid_scoresup.checks.noise`.

Where stems exist, each class is held against its own; else all are held against the mixture.
At most :data:`~asteroid_scoresup.checks.spectra.LISTEN_SECONDS` of a song are analyzed. All
thresholds are our choice, set so that honest data raise no alarm; where the evidence is thin the
answer is None.

A wrong pitch hides the offset and a wrong offset the pitch: the offset is looked for with the notes
as they are, then, where that fails, with every transposition; the pitch at that offset; and both
once more where the pitch turned out to be wrong.
"""

from __future__ import annotations

import numpy as np

from .bends import as_sounding
from .corrections import describe
from .noise import defect_of
from .pitch import PitchEvidence, find_pitch
from .spectra import Excerpt, find_windows
from .time import (
    OFFSET_TOLERANCE,
    best_transposition,
    find_offset,
    levels_of,
    rises_of,
    share_silent,
)

#: Programs without pitch in General MIDI: percussion, effects, and 128 for drums.
UNPITCHED = frozenset([*range(112, 128), 128])


def unpitched_classes(classes):
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


def check_song(notes, names, sample_rate, mixture, stems=None, unpitched=()):
    r"""Holds the notes of a song against its audio.

    Args:
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
        sample_rate (float): Rate of the audio, in Hz.
        mixture (array): Shape :math:`(time,)`.
        stems (dict, optional): Signals of the classes by name, of the same shape.
        unpitched (sequence of str): Classes whose notes have no pitch, such as drums.

    Returns:
        dict: By class name ``semitones`` (by which the notes must be moved to be where they sound;
        None if unclear), ``semitones_confidence`` (0 to 1), ``tuning_cents`` (what remains; None if
        unclear), ``silent_notes`` (share of notes without energy, None without notes), ``defect``
        (``"white noise"`` or ``"single tone"`` where that is what the reference is) and
        ``pitched``; and for the song ``offset_seconds`` (how much later the audio is than the
        notes; None if unclear), ``offset_confidence``, ``tuning_cents`` (None if unclear),
        ``notes_checked``, and ``warnings`` (list of str).
    """
    song = _Song(as_sounding(notes), names, sample_rate, mixture, stems or {}, unpitched)
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
        # Notes that are not in the audio at all would vote for anything.
        unclear = {"semitones": None, "semitones_confidence": 0.0, "tuning_cents": None}
        by_class, tuning, moved = [dict(unclear) for _ in names], None, [0] * len(names)
    silent = song.find_silent(moved, offset["offset_seconds"] or 0.0)
    findings = {
        name: {
            **found,
            "silent_notes": share,
            "defect": defects.get(name),
            "pitched": name not in unpitched,
        }
        for name, found, share in zip(names, by_class, silent)
    }
    findings |= {**offset, "tuning_cents": tuning, "notes_checked": song.n_notes}
    findings["warnings"] = describe(findings, names)
    return findings


def _differ(one, other):
    pair = one["offset_seconds"], other["offset_seconds"]
    return pair[0] is not None and (pair[1] is None or abs(pair[0] - pair[1]) > OFFSET_TOLERANCE)


class _Song:
    """The windows of a song with their excerpts and notes, by class."""

    def __init__(self, notes, names, sample_rate, mixture, stems, unpitched):
        self.names, self.stems, self.unpitched = names, stems, unpitched
        windows = find_windows(notes, len(mixture) / sample_rate)
        self.inside = [notes.select((notes.onset >= a) & (notes.onset < b)) for a, b in windows]
        excerpts = {}

        def excerpt_of(name, number):
            key = name if name in stems else None, number
            if key not in excerpts:
                signal = stems.get(name, mixture)
                excerpts[key] = Excerpt(signal, sample_rate, *windows[number])
            return excerpts[key]

        #: By class: windows that have notes of it, as (excerpt, its notes, all notes).
        self.parts = []
        for index, name in enumerate(names):
            own = [table.select(table.class_index == index) for table in self.inside]
            self.parts.append([
                (excerpt_of(name, number), table, self.inside[number])
                for number, table in enumerate(own)
                if len(table)
            ])  # fmt: skip
        self.unusable = set()

    @property
    def n_notes(self):
        return sum(len(table) for table in self.inside)

    def find_defects(self):
        """What is wrong with the stems, by class; they are not asked anything further."""
        defects = {}
        for name, parts in zip(self.names, self.parts):
            if parts and name in self.stems and name not in self.unpitched:
                defect = defect_of([part[0] for part in parts], [part[1] for part in parts])
                if defect:
                    defects[name] = defect
        self.unusable = set(defects)
        return defects

    def _usable(self):
        for index, (name, parts) in enumerate(zip(self.names, self.parts)):
            if parts and name not in self.unusable:
                yield index, name, parts

    def find_offset(self, moved):
        laid = [
            rises_of(excerpt, mine, moved[index])
            for index, _, parts in self._usable()
            for excerpt, mine, _ in parts
        ]
        return find_offset([pair[0] for pair in laid], [pair[1] for pair in laid])

    def best_transpositions(self):
        best = [0] * len(self.names)
        for index, name, parts in self._usable():
            if name not in self.unpitched:
                best[index] = best_transposition([p[0] for p in parts], [p[1] for p in parts])
        return best

    def find_pitch(self, offset):
        evidence = [[] for _ in self.names]
        # Drums are in the mixture, but not at the pitch of their notes.
        pitched = [k for k, name in enumerate(self.names) if name not in self.unpitched]
        for index, name, parts in self._usable():
            if index not in pitched:
                continue
            for excerpt, mine, inside in parts:
                mine, inside = (
                    t.replace(onset=t.onset + (offset or 0.0), offset=t.offset + (offset or 0.0))
                    for t in (mine, inside.select(np.isin(inside.class_index, pitched)))
                )
                evidence[index].append(
                    PitchEvidence(excerpt, mine, inside, len(self.names), name in self.stems)
                )
        return find_pitch(evidence)

    def find_silent(self, moved, offset):
        levels = {}
        for index, (name, parts) in enumerate(zip(self.names, self.parts)):
            found = [levels_of(excerpt, mine, moved[index], offset) for excerpt, mine, _ in parts]
            levels[name] = np.concatenate([np.zeros(0), *found])
        loudest = {n: np.percentile(v, 95) if len(v) else 0.0 for n, v in levels.items()}
        # In a mixture a class that is missing has no loud notes of its own to compare with.
        return [
            share_silent(levels[n], loudest[n] if n in self.stems else max(loudest.values()))
            for n in self.names
        ]
