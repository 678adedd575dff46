"""Data classes of the composer: a section, a part in it, rhythms and notes.

Times are in quarter notes from the start of the section; :mod:`.performance` converts them to
seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .chords import Chord
from .meter import Meter


@dataclass
class Section:
    """A section of a song: its position, length and harmony."""

    start: float  # in quarter notes from the start of the song
    bars: int
    meter: Meter
    scale: tuple[int, ...]  # pitch classes of the key
    chords: list[tuple[float, Chord]]  # (quarter notes from the section's start, chord), sorted
    tempo: float  # quarter notes per minute

    @property
    def length(self) -> float:
        """Length in quarter notes."""
        return self.bars * self.meter.beats

    def chord_at(self, beat: float) -> Chord:
        """The chord at a time in quarter notes."""
        found = self.chords[0][1]
        for start, chord in self.chords:
            if start > beat + 1e-6:
                break
            found = chord
        return found

    def spans(self) -> Iterator[tuple[float, float, Chord, Chord]]:
        """Yields (start, length, chord, next chord) for every chord."""
        for index, (start, chord) in enumerate(self.chords):
            following = self.chords[(index + 1) % len(self.chords)]
            end = following[0] if index + 1 < len(self.chords) else self.length
            yield start, end - start, chord, following[1]

    def ring(self, beat: float, length: float, times: float) -> float:
        """Length of a note that rings `times` as long, but not beyond the next chord change."""
        ends = [start for start, _ in self.chords if start > beat + 1e-6] + [self.length]
        return max(length, min(length * times, ends[0] - beat))

    def scale_at(self, beat: float) -> list[int]:
        """Pitch classes that fit the chord at a time: its tones, and those of the key more than a
        semitone away from them."""
        tones = self.chord_at(beat).tones
        rest = [p for p in self.scale if not any((p - tone) % 12 in (1, 11) for tone in tones)]
        return sorted(set(tones) | set(rest))


class BeatNote(NamedTuple):
    """A note in beats: start and length in quarter notes, MIDI note number, accent 0 to 1, and a
    delay in seconds."""

    beat: float
    length: float
    pitch: int
    accent: float = 0.7
    delay: float = 0.0


class Hit(NamedTuple):
    """One onset of a rhythm: start and length in quarter notes, accent 0 to 1."""

    beat: float
    length: float
    accent: float


@dataclass
class Part:
    """The input of a pattern: a section, and the register and density of the player."""

    section: Section
    center: float  # MIDI note number around which to play
    density: float  # 0 to 1
    shared: list[Hit] | None  # a rhythm that all players may use
    tune: list[BeatNote] | None  # a melody that all players may double
    low: int
    high: int
