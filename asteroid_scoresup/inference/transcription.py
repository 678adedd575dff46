"""From the note probabilities of successive chunks to the score of a recording."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pretty_midi

from ..evaluation.decoding import to_midi, with_velocities
from ..score import Notes
from ..utils.files import atomic_path
from .chunk import SeparatedChunk

if TYPE_CHECKING:
    from .separator import Separator


#: Columns of a table of notes: those of basic-pitch's ``--save-note-events``, and the class.
COLUMNS = ("start_time_s", "end_time_s", "pitch_midi", "velocity", "class")


def write_note_events(path: str | Path, notes: Notes, names: Sequence[str]) -> None:
    """Writes notes as a CSV table, sorted by onset, with :data:`COLUMNS`.

    Args:
        path (str or Path): File to write.
        notes (Notes): The notes. Those of no class (an index beyond `names`) are left out.
        names (sequence of str): Names of the classes.

    Raises:
        OSError: if the file cannot be written.
    """
    order = np.lexsort((notes.class_index, notes.pitch, notes.onset))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for i in order:
            if notes.class_index[i] < len(names):
                times = (f"{notes.onset[i]:.6f}", f"{notes.offset[i]:.6f}")
                name = names[int(notes.class_index[i])]
                table.writerow([*times, int(notes.pitch[i]), int(notes.velocity[i]), name])


class TranscriptionBuilder:
    """Collects the predictions of a recording, chunk by chunk, and decodes them to notes.

    Probabilities are stored in steps of 1 / 255: an hour takes about 90 MB.

    Args:
        separator (Separator): Its decoding, classes and MIDI programs are used.
    """

    def __init__(self, separator: Separator) -> None:
        self.separator = separator
        self._probs: list[np.ndarray] = []
        self._levels: list[np.ndarray] = []

    def append(self, chunk: SeparatedChunk) -> None:
        """Adds the next chunk, which must have note probabilities and levels."""
        assert chunk.note_probs is not None and chunk.note_levels is not None
        self._probs.append(np.round(255 * chunk.note_probs).astype(np.uint8))
        self._levels.append(chunk.note_levels)

    def notes(self) -> Notes:
        """The transcription, with velocities."""
        separator = self.separator
        grid = (separator.model.stft.hop_length, separator.model.stft.sample_rate)
        tables = [Notes.empty()]
        for index in range(len(separator.names) if self._probs else 0):
            # One class at a time, since float32 takes four times the memory.
            probs = np.concatenate([part[:, index] for part in self._probs], axis=-1)
            levels = np.concatenate([part[index] for part in self._levels], axis=-1)
            probs = probs.astype(np.float32) / 255
            notes = separator.decoding.class_notes(probs, index, *grid)
            tables.append(with_velocities(notes, levels, *grid))
        return Notes.concatenate(tables)

    def midi(self) -> pretty_midi.PrettyMIDI:
        """The transcription as MIDI."""
        return to_midi(self.notes(), self.separator.names, self.separator.programs)
