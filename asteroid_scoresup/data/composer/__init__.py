"""A small composer: endless songs for bass, guitar and piano, to train on when no data is at hand.

It does not aim at good music but at the *statistics* of band recordings that make separation hard
or easy: three instruments that sound together most of the time, guitar and piano in one register
striking the same chord tones on the same beats, bass fills that rise into the guitar's register,
two guitars or two keyboards at once, songs that change texture from section to section.

A generator with few patterns teaches its patterns. So hardly anything here is a fixed pattern:
harmony (loops, functional grammar, blues, jazz, modal, chromatic...), rhythm (nine ways of drawing
a rhythm, on any metre), pitch (scales, voicings that move by small steps, fretted guitar chords)
and articulation are drawn independently, for each instrument of each section of each song.

A song is made in these steps: a plan (metre, tempo, key, form) → for every kind of section its
chords and who plays which pattern → tones in beats → notes in seconds, humanised. All random
numbers come from the generator that is handed in: the same state gives the same song.

The files, from the ground up: what may be played (`palette`, `meter`, `chords`, `progressions`),
what all players share (`chance`, `section`, `harmony`, `rhythm`, `melody`, `voicings`,
`fretboard`), the players (`bass`, `guitar`, `piano`, `drums`, `band`), and the song (`plan`,
`performance`, `song`).
"""

from .band import PATTERNS
from .chords import Chord, parse_numeral
from .meter import METERS
from .palette import OTHER_PROGRAMS, PITCH_RANGES, TRAIN_PALETTE, UNSEEN_PALETTE, Palette
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
    "TRAIN_PALETTE",
    "UNSEEN_PALETTE",
    "Chord",
    "Palette",
    "Part",
    "Section",
    "compose_song",
    "draw_rhythm",
    "parse_numeral",
    "tidy",
]
