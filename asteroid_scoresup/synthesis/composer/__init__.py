"""Random songs for bass, guitar and piano: unlimited training data where there are no recordings.

The goal is not good music but the *statistics* of band recordings that make separation hard or
easy: three instruments that play together most of the time, guitar and piano in one register with
the same chord tones on the same beats, bass fills that rise into the guitar's register, two guitars
or two keyboards at once, songs that change texture from section to section.

A network would memorize the patterns of a generator that has only a few. Almost everything is
therefore random: harmony (loops, functional grammar, blues, jazz, modal, chromatic...), rhythm
(nine methods, in any meter), pitch (scales, voicings with smooth voice leading, fretted guitar
chords) and articulation are drawn independently, for each instrument of each section of each song.

A song is composed in these steps: a plan (meter, tempo, key, form) → for every kind of section, its
chords and a pattern for each player → notes in beats → notes in seconds, humanized. All random
numbers come from the given generator: the same state gives the same song.

The modules, bottom up: the material (`palette`, `meter`, `chords`, `progressions`), what all
players share (`sampling`, `section`, `harmony`, `rhythm`, `melody`, `voicings`, `fretboard`), the
players (`bass`, `guitar`, `piano`, `drums`, `band`), and the song (`plan`, `performance`, `song`).
"""

from .band import PATTERNS
from .chords import Chord, parse_numeral
from .meter import METERS
from .palette import (
    ALL_PALETTE,
    OTHER_PROGRAMS,
    PITCH_RANGES,
    TRAIN_PALETTE,
    UNSEEN_PALETTE,
    Palette,
    palette_of,
)
from .performance import tidy
from .rhythm import RHYTHMS, draw_rhythm
from .section import Part, Section
from .song import compose_song

__all__ = [
    "METERS",
    "OTHER_PROGRAMS",
    "PATTERNS",
    "PITCH_RANGES",
    "RHYTHMS",
    "ALL_PALETTE",
    "TRAIN_PALETTE",
    "UNSEEN_PALETTE",
    "palette_of",
    "Chord",
    "Palette",
    "Part",
    "Section",
    "compose_song",
    "draw_rhythm",
    "parse_numeral",
    "tidy",
]
