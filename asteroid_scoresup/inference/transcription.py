"""From the note probabilities of successive chunks to the score of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pretty_midi

from ..evaluation.decoding import to_midi, with_velocities
from ..score import Notes
from .chunk import SeparatedChunk

if TYPE_CHECKING:
    from .separator import Separator


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
