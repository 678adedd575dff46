"""Data sets of stems with a score: URMP, PHENICX-Anechoic, GuitarSet and ChoraleBricks.

Layouts: the papers (Li et al. 2018; Miron et al. 2016; Xi et al. 2018; Balke, Berndt and Müller
2025), mirdata's loaders of PHENICX-Anechoic and GuitarSet, and the package ``choralebricks``. Note
tables are on the clock of the recordings.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pretty_midi

from asteroid_scoresup.midi import join_instruments
from asteroid_scoresup.midi.reader import read_midi
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import read_json

from .pieces import Part, Piece, plain_name

#: Velocity of notes, which the tables do not have.
VELOCITY = 80
#: URMP's abbreviations: instrument and General MIDI program.
URMP = {
    "vn": ("violin", 40), "va": ("viola", 41), "vc": ("cello", 42), "db": ("double bass", 43),
    "fl": ("flute", 73), "ob": ("oboe", 68), "cl": ("clarinet", 71), "sax": ("saxophone", 65),
    "bn": ("bassoon", 70), "tpt": ("trumpet", 56), "hn": ("horn", 60), "tbn": ("trombone", 57),
    "tba": ("tuba", 58),
}  # fmt: skip
#: The instruments of PHENICX-Anechoic and their programs.
PHENICX = {
    "violin": 40, "viola": 41, "cello": 42, "doublebass": 43, "flute": 73, "oboe": 68,
    "clarinet": 71, "bassoon": 70, "trumpet": 56, "horn": 60,
}  # fmt: skip
#: ChoraleBricks' abbreviations: instrument and program.
CHORALEBRICKS = {
    "fl": ("flute", 73), "cl": ("clarinet", 71), "bcl": ("bass clarinet", 71), "ob": ("oboe", 68),
    "eh": ("english horn", 69), "as": ("alto saxophone", 65), "ts": ("tenor saxophone", 66),
    "bs": ("baritone saxophone", 67), "tp": ("trumpet", 56), "fh": ("fluegelhorn", 56),
    "bar": ("baritone", 58), "fho": ("french horn", 60), "tb": ("trombone", 57),
    "tba": ("tuba", 58),
}  # fmt: skip
VOICES = {1: "soprano", 2: "alto", 3: "tenor", 4: "bass"}
#: The strings of a guitar in the order of GuitarSet's channels and annotations.
STRINGS = ("E2", "A2", "D3", "G3", "B3", "E4")


def urmp(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """The pieces of URMP. Their written score is ``Sco_*.mid``, one track per part, in order.

    Args:
        root (Path): Any folder above those of the pieces.
        left_out (list of str): Receives the pieces that lack a file or cannot be read.
    """
    files = defaultdict(list)
    for path in sorted(root.rglob("AuSep_*.wav")):
        files[path.parent].append(path)
    for folder, paths in sorted(files.items()):
        parts = []
        try:
            for path in sorted(paths, key=lambda path: int(_words(path)[1])):
                number, short = _words(path)[1:3]
                name, program = URMP[short]
                table = folder / path.name.replace("AuSep_", "Notes_").replace(".wav", ".txt")
                notes = read_table(table, "onset_hertz_duration")
                parts.append(Part(f"{name} {number}", (path,), program, notes))
            written = _written_score(folder, len(parts))
        except (IndexError, KeyError, OSError, ValueError) as error:
            left_out.append(f"{folder.name}: {_why(error)}")
            continue
        parts = [Part(p.name, p.audio, p.program, p.notes, w) for p, w in zip(parts, written)]
        yield Piece(plain_name(folder.name), tuple(parts))


def _words(path: Path) -> list[str]:
    return path.stem.split("_")


def _written_score(folder: Path, n_parts: int) -> Sequence[Notes | None]:
    """The tracks of a piece's MIDI file that have notes, if there are as many as parts."""
    for path in sorted(folder.glob("Sco_*.mid")):
        instruments = [i for i in read_midi(path).instruments if len(i.notes)]
        if len(instruments) == n_parts:
            return [join_instruments([instrument], 0) for instrument in instruments]
    return [None] * n_parts


def phenicx(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """The four pieces of PHENICX-Anechoic; the desks of an instrument are one part.

    Args:
        root (Path): The folder with ``audio`` and ``annotations``.
        left_out (list of str): Receives the pieces that lack a file or cannot be read.
    """
    for folder in sorted(root.glob("audio/*")):
        tables = root / "annotations" / folder.name
        files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.glob("*.wav")):
            files[path.stem.rstrip("0123456789")].append(path)
        parts = []
        try:
            for name, paths in files.items():
                notes = read_table(tables / f"{name}.txt", "onset_offset_name")
                original = tables / f"{name}_o.txt"
                written = read_table(original, "onset_offset_name") if original.is_file() else None
                parts.append(Part(name, tuple(paths), PHENICX[name], notes, written))
        except (KeyError, OSError, ValueError) as error:
            left_out.append(f"{folder.name}: {_why(error)}")
            continue
        if parts:
            yield Piece(plain_name(folder.name), tuple(parts))


def guitarset(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """GuitarSet's excerpts as a microphone recorded them: one part.

    Args:
        root (Path): The folder with ``annotation`` and ``audio_mono-mic``.
        left_out (list of str): Receives the excerpts that lack a file or cannot be read.
    """
    for name, tables in _jams(root, left_out):
        path = root / "audio_mono-mic" / f"{name}_mic.wav"
        if not path.is_file():
            left_out.append(f"{name} lacks audio_mono-mic/{path.name}")
            continue
        yield Piece(plain_name(name), (Part("guitar", (path,), 24, Notes.concatenate(tables)),))


def guitarset_strings(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """GuitarSet's excerpts as the hexaphonic pickup recorded them: one part per string.

    Args:
        root (Path): The folder with ``annotation`` and ``audio_hex-pickup_debleeded``.
        left_out (list of str): Receives the excerpts that lack a file or cannot be read.
    """
    for name, tables in _jams(root, left_out):
        path = root / "audio_hex-pickup_debleeded" / f"{name}_hex_cln.wav"
        if not path.is_file():
            left_out.append(f"{name} lacks audio_hex-pickup_debleeded/{path.name}")
            continue
        parts = (
            Part(f"string {string}", (path,), 24, tables[channel], channel=channel)
            for channel, string in enumerate(STRINGS)
        )
        yield Piece(plain_name(name), tuple(parts))


def _jams(root: Path, left_out: list[str]) -> Iterator[tuple[str, list[Notes]]]:
    """Name and notes per string of each excerpt; JAMS files are JSON."""
    for path in sorted((root / "annotation").glob("*.jams")):
        tables = [Notes.empty() for _ in STRINGS]
        try:
            for annotation in read_json(path)["annotations"]:
                if annotation["namespace"] == "note_midi":
                    string = int(annotation["annotation_metadata"]["data_source"])
                    rows = [(d["time"], d["duration"], d["value"]) for d in annotation["data"]]
                    onset, duration, pitch = np.array(rows, float).reshape(-1, 3).T
                    tables[string] = _notes(onset, onset + duration, pitch)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            left_out.append(
                f"annotation/{path.name} is not a JAMS file of GuitarSet: {_why(error)}"
            )
            continue
        yield path.stem, tables


def choralebricks(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """Ensembles of ChoraleBricks: each recording of each voice is in at least one of them.

    The `k`-th ensemble of a song consists of the `k`-th recording of each voice, by name, and where
    a voice has fewer, of its first ones again.

    Args:
        root (Path): Any folder above those of the songs.
        left_out (list of str): Receives the recordings that lack notes or cannot be read.
    """
    for folder in sorted(root.rglob("tracks_normalized")):
        song = folder.parent
        voices: dict[int, list[Part]] = defaultdict(list)
        for path in sorted(folder.glob("*.wav")):
            try:
                voice, short = path.stem.split("_")
                name, program = CHORALEBRICKS[short]
                table = song / "annotations" / f"{path.stem}_notes.csv"
                notes = read_table(table, "choralebricks")
                part = Part(f"{VOICES[int(voice)]} {name}", (path,), program, notes)
                voices[int(voice)].append(part)
            except (KeyError, OSError, ValueError) as error:
                left_out.append(f"{song.name}/{path.name}: {_why(error)}")
        for number in range(max(map(len, voices.values()), default=0)):
            parts = tuple(own[number % len(own)] for _, own in sorted(voices.items()))
            yield Piece(plain_name(f"{song.name}_{number + 1}"), parts)


def read_table(path: Path, form: str) -> Notes:
    """Reads a table of notes.

    Args:
        path (Path): The file.
        form (str): ``onset_hertz_duration`` (URMP, white space between the columns),
            ``onset_offset_name`` (PHENICX, commas), or ``choralebricks`` (semicolons and a header:
            ``start_sec``, ``end_sec``, ``pitch`` from version 1.1 on; before ``TIME``, ``VALUE`` in
            Hz and ``DURATION``).

    Returns:
        Notes: Of class 0. Rows without a duration or without a pitch are left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent.name}/{path.name} is missing")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        if form == "onset_hertz_duration":
            rows = [line.split() for line in text.splitlines() if line.strip()]
            onset, hertz, duration = np.array([row[:3] for row in rows], float).reshape(-1, 3).T
            return _notes(onset, onset + duration, _pitch(hertz))
        if form == "onset_offset_name":
            rows = [row for row in csv.reader(text.splitlines()) if row]
            onset, offset = np.array([row[:2] for row in rows], float).reshape(-1, 2).T
            pitch = [pretty_midi.note_name_to_number(_ascii(row[2])) for row in rows]
            return _notes(onset, offset, np.array(pitch, float))
        separator = ";" if ";" in text.partition("\n")[0] else ","
        table = list(csv.DictReader(text.splitlines(), delimiter=separator))
        if table and "TIME" in table[0]:
            onset, duration, hertz = (_column(table, k) for k in ("TIME", "DURATION", "VALUE"))
            return _notes(onset, onset + duration, _pitch(hertz))
        onset, offset, pitch = (_column(table, k) for k in ("start_sec", "end_sec", "pitch"))
        return _notes(onset, offset, pitch)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path.parent.name}/{path.name} is not a table of notes of the form {form}: "
            f"{_why(error)}"
        ) from None


def _column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def _ascii(name: str) -> str:
    """A note name with the accidentals of ASCII."""
    return re.sub("[♭]", "b", re.sub("[♯]", "#", name.strip()))


def _pitch(hertz: np.ndarray) -> np.ndarray:
    """MIDI pitches of frequencies; -1 for 0 Hz, which means that there is none."""
    return np.where(hertz > 0, 69 + 12 * np.log2(np.maximum(hertz, 1e-3) / 440), -1)


def _notes(onset: np.ndarray, offset: np.ndarray, pitch: np.ndarray) -> Notes:
    """A table of notes of class 0, at the nearest semitones."""
    kept = (offset > onset) & (pitch >= 0)
    columns = onset[kept], offset[kept], np.round(pitch[kept])
    return Notes(*columns, np.zeros(kept.sum()), np.full(kept.sum(), VELOCITY))


def _why(error: Exception) -> str:
    """The message of an error; a KeyError has only the key."""
    return f"unknown name {error}" if isinstance(error, KeyError) else str(error)
