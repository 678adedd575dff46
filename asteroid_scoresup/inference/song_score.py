"""The score of one recording: its notes by class, and those of no class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from ..alignment.align import Alignment
from ..checks.label_check import UNPITCHED, unpitched_classes
from ..data.classes import DEFAULT_CLASSES, ClassMap
from ..evaluation.decoding import to_midi
from ..midi import DRUMS, MidiSong, join_instruments
from ..notation.reader import read_score
from ..score import Notes
from .record import describe_song

#: A score is on the clock of a recording if this fraction of its onsets is within this many seconds
#: of where an alignment finds them: about the error of an alignment.
_ON_TIME, _MOST = 0.05, 0.9


@dataclass(frozen=True)
class SongScore:
    """The notes of a score, by how their sound is modeled.

    Notes of no class have the class index `n_src`: their sound is kept out of all stems.

    Args:
        n_src (int): Number of classes.
        pitched (Notes): Notes with partials.
        unpitched (Notes): Notes of drums and other instruments without pitch; `pitch` is the key.
    """

    n_src: int
    pitched: Notes
    unpitched: Notes

    @classmethod
    def read(cls, score: str | Path | Notes, classes: ClassMap) -> SongScore:
        """Reads a score and assigns its instruments to classes.

        Args:
            score (str, Path or Notes): A MIDI or MusicXML file; or notes whose `class_index` refers
                to `classes`, or is larger for notes of no class.
            classes (ClassMap): The classes.

        Raises:
            ValueError: if a file cannot be read, has no notes, or has none of any class.
        """
        n_src = len(classes)
        if isinstance(score, Notes):
            index = np.minimum(score.class_index, n_src)
            notes = score.replace(class_index=index)
            without_pitch = unpitched_classes(classes)
            unpitched = [i for i, name in enumerate(classes.names) if name in without_pitch]
            is_unpitched = np.isin(index, unpitched)
            found = cls(n_src, notes.select(~is_unpitched), notes.select(is_unpitched))
        else:
            found = cls._of_midi(read_score(score, drums=True), classes)
        name = "The score" if isinstance(score, Notes) else str(score)
        if not len(found.pitched) + len(found.unpitched):
            raise ValueError(f"{name} contains no notes.")
        if not len(found.notes):
            raise ValueError(
                f"{name} contains no notes of the classes {', '.join(classes.names)}: choose "
                f"classes by the programs of the score (--classes), which are {_programs(score)}."
            )
        return found

    @classmethod
    def _of_midi(cls, song: MidiSong, classes: ClassMap) -> SongScore:
        pitched, unpitched = [Notes.empty()], [Notes.empty()]
        for instrument in song.instruments:
            index = classes.index_of(instrument.program, track_name=instrument.name)
            notes = join_instruments([instrument], len(classes) if index is None else index)
            (unpitched if instrument.program in UNPITCHED else pitched).append(notes)
        return cls(len(classes), Notes.concatenate(pitched), Notes.concatenate(unpitched))

    @property
    def notes(self) -> Notes:
        """The notes of the classes, pitched or not, sorted by onset."""
        both = Notes.concatenate([self.pitched, self.unpitched])
        return both.select(both.class_index < self.n_src)

    def silent_classes(self, classes: ClassMap) -> list[str]:
        """The names of the classes without a note.

        Args:
            classes (ClassMap): The classes.
        """
        played = set(self.notes.class_index.tolist())
        return [name for index, name in enumerate(classes.names) if index not in played]

    def to_midi(self, classes: ClassMap) -> pretty_midi.PrettyMIDI:
        """The notes of the classes as MIDI, one track per class.

        Args:
            classes (ClassMap): Their names and programs.
        """
        programs = {source.name: source.default_program for source in classes.classes}
        pitched = {name: program for name, program in programs.items() if program != DRUMS}
        midi = to_midi(self.notes, classes.names, pitched)
        for part in midi.instruments:
            part.is_drum = programs[part.name] == DRUMS
            part.program = 0 if part.is_drum else part.program
        return midi

    def aligned(self, alignment: Alignment) -> SongScore:
        """The notes where a recording plays them.

        Args:
            alignment (Alignment): Of the recording with this score.
        """
        # The keys of a drum kit are not transposed.
        unpitched = alignment.warp.notes(self.unpitched)
        return SongScore(self.n_src, alignment.notes(self.pitched), unpitched)

    def is_aligned(self, alignment: Alignment, seconds: float) -> bool:
        """Whether the score is on the clock of the recording already, and in its key.

        Args:
            alignment (Alignment): Of the recording with this score.
            seconds (float): Length of the recording.
        """
        onset = self.pitched.onset[self.pitched.onset < seconds]
        late = np.abs(alignment.warp.to_audio(onset) - onset)
        return not alignment.transposition and bool(np.mean(late <= _ON_TIME) >= _MOST)

    def within(self, start: float, stop: float, margin: float) -> SongScore:
        """The notes of a stretch, see :meth:`~asteroid_scoresup.score.Notes.within`."""
        parts = (notes.within(start, stop, margin) for notes in (self.pitched, self.unpitched))
        return SongScore(self.n_src, *parts)


def default_classes(names: Sequence[str]) -> ClassMap:
    """The classes of a model with their programs, which a model file does not have.

    Args:
        names (sequence of str): Names of the classes, all of them default classes.

    Raises:
        ValueError: if one is not.
    """
    known = {source.name: source for source in ClassMap.parse(DEFAULT_CLASSES).classes}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"The programs of the classes {', '.join(unknown)} are not known: name them with "
            "`classes`, for example 'strings=48-51'."
        )
    return ClassMap([known[name] for name in names])


def score_identity(score: str | Path | Notes) -> str:
    """A hash of the content of a score.

    Raises:
        ValueError: if a file cannot be read.
    """
    if not isinstance(score, Notes):
        return str(describe_song(score)["sha256"])
    digest = hashlib.sha256()
    for column in ("onset", "offset", "release", "pitch", "class_index", "velocity"):
        digest.update(np.ascontiguousarray(getattr(score, column)).tobytes())
    for bend in score.bends():
        digest.update(b"-" if bend is None else np.ascontiguousarray(bend).tobytes())
    return digest.hexdigest()


def _programs(score: Any) -> str:
    """The programs of a score, for a message."""
    if isinstance(score, Notes):
        return "not in a note table"
    programs = {instrument.program for instrument in read_score(score, drums=True).instruments}
    return ", ".join(map(str, sorted(programs)))
