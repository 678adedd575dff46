"""One function for all formats of scores."""

from __future__ import annotations

from pathlib import Path

from ..midi.reader import MidiSong, read_midi
from .musicxml import read_musicxml

#: Names of MIDI files end in one of these, in lower case.
MIDI_SUFFIXES = (".mid", ".midi")
#: Names of MusicXML files, likewise.
MUSICXML_SUFFIXES = (".musicxml", ".mxl", ".xml")
#: Names of files that are scores, in lower case.
SCORE_SUFFIXES = (*MIDI_SUFFIXES, *MUSICXML_SUFFIXES)


def read_score(path: str | Path, drums: bool = False) -> MidiSong:
    """Reads the instruments of a score.

    Args:
        path (str or Path): A MusicXML file, if it ends in ``.musicxml``, ``.mxl`` or ``.xml``;
            otherwise a standard MIDI file.
        drums (bool): Whether drums are read too; otherwise they are dropped and counted.

    Returns:
        MidiSong: Instruments, dropped notes, remarks, and tempo.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    if Path(path).suffix.lower() in MUSICXML_SUFFIXES:
        return read_musicxml(path, drums)
    return read_midi(path, drums)
