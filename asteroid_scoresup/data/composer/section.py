"""What players read and write: a section, their part in it, strokes and tones.

Times are quarter notes from the section's start; seconds come later, in :mod:`.performance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .chords import Chord
from .meter import Meter


@dataclass
class Section:
    """Some bars of music: where they stand in the song and what harmony they have."""

    start: float  # in quarter notes from the beginning of the song
    bars: int
    meter: Meter
    scale: tuple[int, ...]  # pitch classes of the key
    chords: list[tuple[float, Chord]]  # (quarter notes from the section's start, chord), sorted
    tempo: float  # quarter notes a minute

    @property
    def length(self):
        """Length in quarter notes."""
        return self.bars * self.meter.beats

    def chord_at(self, beat):
        """The chord that sounds at a time in quarter notes from the section's start."""
        found = self.chords[0][1]
        for start, chord in self.chords:
            if start > beat + 1e-6:
                break
            found = chord
        return found

    def spans(self):
        """Yields (start, length, chord, next chord) of every chord."""
        for index, (start, chord) in enumerate(self.chords):
            following = self.chords[(index + 1) % len(self.chords)]
            end = following[0] if index + 1 < len(self.chords) else self.length
            yield start, end - start, chord, following[1]

    def ring(self, beat, length, times):
        """Length of a tone let ring `times` as long, but damped when the chord changes."""
        ends = [start for start, _ in self.chords if start > beat + 1e-6] + [self.length]
        return max(length, min(length * times, ends[0] - beat))

    def scale_at(self, beat):
        """Pitch classes that suit the chord at a time: its tones, and the key without clashes."""
        tones = self.chord_at(beat).tones
        rest = [p for p in self.scale if not any((p - tone) % 12 in (1, 11) for tone in tones)]
        return sorted(set(tones) | set(rest))


class Tone(NamedTuple):
    """A note before it has a time: quarter notes from the section's start, and a delay in s."""

    beat: float
    length: float
    pitch: int
    accent: float = 0.7
    delay: float = 0.0


class Hit(NamedTuple):
    """One stroke of a rhythm: start and length in quarter notes, accent 0 to 1."""

    beat: float
    length: float
    accent: float


@dataclass
class Part:
    """What a player knows who has to fill a section."""

    section: Section
    centre: float  # MIDI note number around which to play
    density: float  # 0 to 1
    shared: list[Hit] | None  # a rhythm that all may use
    tune: list[Tone] | None  # a melody that all may double
    low: int
    high: int
