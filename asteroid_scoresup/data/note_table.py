"""Note tables: a score as a CSV file, one row per note.

Columns: ``onset``, ``offset`` and ``release`` in seconds, ``pitch`` (MIDI note number), ``class``
(its name), ``velocity`` (MIDI), and ``bend`` (steps ``seconds:semitones;…``, empty for a note that
keeps its pitch).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..score import Notes
from ..utils.files import atomic_path

COLUMNS = ("onset", "offset", "pitch", "class", "velocity")
#: Columns that tables of earlier versions lack: their notes are released at the offset, unbent.
SOUND_COLUMNS = ("release", "bend")
_LONGEST = 10**7  # seconds, four months: no song is that long
#: Range of the columns: seconds, MIDI note numbers, MIDI velocities.
BOUNDS = (("onset", 0, _LONGEST), ("offset", 0, _LONGEST), ("pitch", 0, 127), ("velocity", 0, 127))


def write_notes(path: str | Path, notes: Notes, names: Sequence[str]) -> None:
    """Writes a note table as CSV; times in seconds, classes by name.

    Args:
        path (str or Path): File to write.
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *SOUND_COLUMNS])
        columns = (notes.onset, notes.offset, notes.pitch, notes.class_index, notes.velocity)
        sound = (notes.release, notes.bends())
        for onset, offset, pitch, index, velocity, release, bend in zip(*columns, *sound):
            row = (f"{onset:.6f}", f"{offset:.6f}", pitch, names[index], velocity)
            writer.writerow([*row, f"{release:.6f}", _format_bend(bend)])


def _format_bend(bend: np.ndarray | None) -> str:
    """Steps of a bend as ``seconds:semitones;…``; empty for a note that keeps its pitch."""
    return "" if bend is None else ";".join(f"{time:.3f}:{shift:.2f}" for time, shift in bend)


def _parse_bend(text: str) -> list[list[float]] | None:
    if not text:
        return None
    return [[float(number) for number in step.split(":")] for step in text.split(";")]


def read_notes(path: str | Path, names: Sequence[str]) -> Notes:
    """Reads a table written by :func:`write_notes`.

    Args:
        path (str or Path): File to read. Tables of earlier versions, without ``release`` and
            ``bend``, are read too.
        names (sequence of str): Names of the classes.

    Returns:
        Notes: The score.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if a column is missing, a class is unknown, or a value is malformed or out of
            range.
    """
    try:
        # A byte order mark, which spreadsheets write, is skipped.
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or [])
            if "class" not in columns and "source" in columns:  # the name in earlier versions
                columns[columns.index("source")] = "class"
                reader.fieldnames = columns
            rows = list(reader)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: the prepared folder is incomplete, prepare it again."
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a note table: {error}.") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; expected {list(COLUMNS)}.")
    if not rows:
        return Notes.empty()
    unknown = {row["class"] for row in rows} - set(names)
    if unknown:
        raise ValueError(
            f"{path} has notes of {sorted(map(str, unknown))}, but the classes are {list(names)}."
        )
    index = {name: i for i, name in enumerate(names)}
    try:
        offset = np.array([float(row["offset"]) for row in rows])
        notes = Notes(
            np.array([float(row["onset"]) for row in rows]),
            offset,
            np.array([int(row["pitch"]) for row in rows]),
            np.array([index[row["class"]] for row in rows]),
            np.array([int(row["velocity"]) for row in rows]),
            np.array([float(row["release"]) for row in rows]) if "release" in rows[0] else offset,
            [_parse_bend(row["bend"]) for row in rows] if "bend" in rows[0] else None,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a note table: {error}.") from None
    for column, low, high in BOUNDS:
        values = getattr(notes, column)
        wrong = (values < low) | (values > high)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{path} has the {column} {values[row]:g} in line {row + 2}, expected {low} to "
                f"{high}."
            )
    return notes
