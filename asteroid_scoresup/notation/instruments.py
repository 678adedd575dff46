"""Names of instruments, and the keys of a drum set, as General MIDI numbers."""

from __future__ import annotations

import re
import unicodedata

import pretty_midi

from ..midi.channels import DRUMS

#: Names beyond those of General MIDI, in the languages of most scores; ``_`` is a space.
_NAMES = {
    0: "piano klavier pianoforte fortepiano keyboard keyboards",
    4: "rhodes electric_piano e_piano",
    6: "harpsichord cembalo clavecin clavicembalo",
    8: "celeste",
    11: "vibes vibraphon",
    14: "chimes",
    16: "organ hammond",
    19: "pipe_organ orgel organo orgue",
    21: "akkordeon",
    24: "guitar gitarre guitare chitarra guitarra classical_guitar",
    25: "acoustic_guitar ukulele",
    27: "electric_guitar e_gitarre",
    32: "upright_bass string_bass",
    33: "bass bass_guitar electric_bass e_bass bassgitarre",
    40: "violins violine violinen violino violini violon violons geige",
    41: "violas bratsche bratschen viole",
    42: "cellos violoncello violoncellos violoncelli violoncelle violoncelles",
    43: "contrabasses contrabasso contrabbasso kontrabass contrebasse double_bass",
    46: "harp harfe arpa harpe",
    47: "pauken timbales kettledrums",
    48: "strings streicher archi cordes",
    52: "choir chor chorus coro soprano alto tenor baritone voice vocals singer mezzo_soprano "
    "sopran bariton",
    56: "trumpets trompete tromba trombe trompette cornet kornett flugelhorn",
    57: "trombones bass_trombone posaune posaunen tromboni",
    58: "basstuba euphonium",
    60: "horn horns horner corno corni cor",
    61: "brass",
    64: "soprano_saxophone sopransaxophon",
    65: "saxophone alto_saxophone altsaxophon",
    66: "tenor_saxophone tenorsaxophon",
    67: "baritone_saxophone baritonsaxophon",
    68: "oboes hautbois oboi",
    69: "cor_anglais englischhorn corno_inglese",
    70: "bassoons fagott fagotte fagotto fagotti basson bassons",
    71: "clarinets bass_clarinet klarinette klarinetten bassklarinette clarinetto clarinetti "
    "clarinette clarinettes",
    72: "piccolos piccolo_flute flauto_piccolo",
    73: "flutes alto_flute flote floten flauto flauti",
    74: "recorders blockflote flauto_dolce",
    80: "lead synth_lead",
    88: "pad synth_pad",
    DRUMS: "drum drums drumset drumkit drum_set drum_kit bass_drum snare_drum percussion "
    "schlagzeug batteria batterie snare cymbals becken",
}

#: Keys of unpitched notes by the line or space of the staff, as the note of the treble clef there,
#: for files that name no key (Weinberg, *Guidelines for Drumset Notation*, 1998).
DRUM_STAFF = {
    ("D", 4): 44, ("E", 4): 35, ("F", 4): 36, ("G", 4): 41, ("A", 4): 43, ("B", 4): 45,
    ("C", 5): 38, ("D", 5): 47, ("E", 5): 48, ("F", 5): 51, ("G", 5): 42, ("A", 5): 49,
    ("B", 5): 57,
}  # fmt: skip
SNARE = 38


def program_of_name(name: str) -> int | None:
    """The General MIDI program of the name of an instrument or a part.

    If it contains several names, the longest is used, and of equally long ones the first.

    Args:
        name (str): For example ``Violoncello``, ``Clarinet in B♭ 2`` or ``Drums``.

    Returns:
        int or None: 0 to 127; 128 for drums; None for an unknown name.

    Examples
        >>> [program_of_name(name) for name in ("Violini I", "Bass Clarinet 2", "Drumset", "?")]
        [40, 71, 128, None]
    """
    text = f" {_plain(name)} "
    found = [known for known in _PROGRAMS if f" {known} " in text]
    longest = max(found, key=lambda known: (len(known), -text.index(known)), default=None)
    return None if longest is None else _PROGRAMS[longest]


def _plain(name: str) -> str:
    """Words in lower case, without accents, numbers and punctuation."""
    letters = unicodedata.normalize("NFKD", name.lower())
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    words = re.findall(r"[^\W\d_]+", letters)
    return " ".join("saxophone" if word == "sax" else word for word in words)


_PROGRAMS = {_plain(pretty_midi.program_to_instrument_name(k)): k for k in range(128)} | {
    known.replace("_", " "): program for program, text in _NAMES.items() for known in text.split()
}
