"""From MusicXML files to note tables.

A score becomes what a player would play: repeats, endings and jumps unfolded, tempo marks followed,
tied notes joined, transposing instruments at their sounding pitch. Conventions:

- Tempo is 120 quarter notes per minute until the first mark. A tempo belongs to its place in the
  score, so that a repeated passage has the same tempo each time. Gradual changes and fermatas are
  not followed.
- The program of an instrument is the MIDI program that the file gives it; else it is guessed from
  the names of the instrument and the part. Unpitched notes, and those of MIDI channel 10, are
  drums; their keys are those in the file, else those of the drum staff.
- Grace notes sound before their note, :data:`GRACE_SECONDS` each (our choice).
- Velocities follow dynamics with numbers for playback. Articulations and pedals are not followed.

The reader uses the standard library only. partitura and music21 read more of the notation, but
less of the sound: partitura 1.9 leaves out MIDI programs, drum keys, transpositions by octaves and
jumps that are written into one part only; tests compare the rest with it.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..midi.reader import DRUMS, Instrument, MidiSong
from ..score import Notes
from .limits import require_few_parts
from .measures import Measure, WrittenNote, read_measures
from .playback import playback_order
from .xml_files import read_xml

#: Length of a grace note, in seconds.
GRACE_SECONDS = 0.06
#: Most notes of a performance.
MAX_NOTES = 1_000_000
_TEMPO = 120.0


class _PlayedNote(NamedTuple):
    """Times in quarter notes from the beginning; grace notes have no length."""

    start: Fraction
    stop: Fraction
    pitch: int
    velocity: int


def read_musicxml(path: str | Path, drums: bool = False) -> MidiSong:
    """Reads the instruments of a MusicXML file, as they would be played.

    Args:
        path (str or Path): A MusicXML file, plain or compressed (``.mxl``).
        drums (bool): Whether drums are read too; otherwise they are dropped and counted.

    Returns:
        MidiSong: One instrument for each program of a part, with the part's name.

    Raises:
        ValueError: if the file is missing, damaged, or not a score in parts.
    """
    root = read_xml(path)
    if root.tag != "score-partwise":
        found = "a score by measures" if root.tag == "score-timewise" else f"<{root.tag[:40]}>"
        raise ValueError(
            f"{path} cannot be read as MusicXML: found {found}, expected <score-partwise>; export "
            "it again from a notation program."
        )
    try:
        score = read_measures(root)
        order = playback_order([measure.marks for measure in score.measures])
        lengths = [score.measures[index].length for index in order]
        require_few_parts(len(score.names), len(order))
        starts = list(itertools.accumulate(lengths, initial=Fraction(0)))
        parts = _play(score.measures, order, starts, len(score.names))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as MusicXML: {error}.") from None
    clock = _Clock(score.measures, order, starts)
    dropped: Counter[str] = Counter()
    instruments = []
    for name, by_program in zip(score.names, parts):
        for program, notes in by_program.items():
            if program == DRUMS and not drums:
                dropped["drums"] += len(notes)
            else:
                instruments.append(Instrument(program, name, _table(notes, clock), [], []))
    return MidiSong(instruments, dict(+dropped), dict(+score.remarks), clock.tempos[0])


def _play(
    measures: Sequence[Measure], order: Sequence[int], starts: Sequence[Fraction], n_parts: int
) -> list[dict[int, list[_PlayedNote]]]:
    """The notes of each part by program, with ties joined."""
    parts = []
    n_notes = 0
    for part in range(n_parts):
        played: dict[int, list[_PlayedNote]] = defaultdict(list)
        # Where in `played` the last note of a program and pitch is that ends at a time.
        open_notes: dict[tuple[int, int, Fraction], int] = {}
        for index, start in zip(order, starts):
            notes = measures[index].notes[part]
            n_notes += len(notes)
            if n_notes > MAX_NOTES:
                raise ValueError(f"with repeats it has more than {MAX_NOTES} notes")
            for note in notes:
                _add(note, start, played, open_notes)
        parts.append(dict(played))
    return parts


def _add(
    note: WrittenNote,
    start: Fraction,
    played: dict[int, list[_PlayedNote]],
    open_notes: dict[tuple[int, int, Fraction], int],
) -> None:
    """Adds a note, or lengthens the one that it is tied to."""
    onset, stop = start + note.start, start + note.start + note.length
    place = None
    if note.is_tied:
        place = open_notes.pop((note.program, note.pitch, onset), None)
    own = played[note.program]
    if place is None:
        own.append(_PlayedNote(onset, stop, note.pitch, note.velocity))
        place = len(own) - 1
    else:
        own[place] = own[place]._replace(stop=stop)
    if note.length:
        open_notes[note.program, note.pitch, stop] = place


class _Clock:
    """Seconds of times in quarter notes."""

    def __init__(
        self, measures: Sequence[Measure], order: Sequence[int], starts: Sequence[Fraction]
    ) -> None:
        # The tempo at the beginning of each measure, as written.
        current, before = _TEMPO, []
        for measure in measures:
            before.append(current)
            current = measure.tempos[max(measure.tempos)] if measure.tempos else current
        times, tempos = [0.0], [_TEMPO]
        for index, start in zip(order, starts):
            for time, tempo in sorted(
                {Fraction(0): before[index], **measures[index].tempos}.items()
            ):
                if tempo != tempos[-1] and float(start + time) == times[-1]:
                    tempos[-1] = tempo
                elif tempo != tempos[-1]:
                    times.append(float(start + time))
                    tempos.append(tempo)
        self.times, self.tempos = np.array(times), tempos
        self.per_quarter = 60 / np.array(tempos)
        steps = np.diff(self.times) * self.per_quarter[:-1]
        self.seconds = np.concatenate([[0.0], np.cumsum(steps)])

    def __call__(self, quarters: Sequence[Fraction]) -> np.ndarray:
        times = np.array([float(time) for time in quarters])
        segment = np.searchsorted(self.times, times, side="right") - 1
        return self.seconds[segment] + (times - self.times[segment]) * self.per_quarter[segment]


def _table(notes: Sequence[_PlayedNote], clock: _Clock) -> Notes:
    onset, offset = clock([n.start for n in notes]), clock([n.stop for n in notes])
    following = 0
    # From the last of a group of grace notes to the first.
    for index in reversed(range(len(notes))):
        is_grace = notes[index].start == notes[index].stop
        same = following and notes[index + 1].start == notes[index].start
        following = (following + 1 if same else 1) if is_grace else 0
        if is_grace:
            onset[index] = max(onset[index] - following * GRACE_SECONDS, 0.0)
            offset[index] = onset[index] + GRACE_SECONDS
    pitch, velocity = (
        np.array([getattr(n, name) for n in notes]) for name in ("pitch", "velocity")
    )
    table = Notes(onset, offset, pitch, np.zeros(len(notes)), velocity)
    return Notes.concatenate([table])
