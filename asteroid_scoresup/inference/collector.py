"""From the pieces of a recording to its score."""

from __future__ import annotations

import numpy as np

from ..evaluation.decoding import to_midi, with_velocities
from ..score import Notes


class NoteCollector:
    """Gathers the pieces of a recording and makes its score of them.

    It keeps some 90 MB an hour.

    Args:
        separator (Separator): Whose pieces they are.
    """

    def __init__(self, separator):
        self.separator, self.pieces = separator, []

    def add(self, piece):
        """Takes the next :class:`~asteroid_scoresup.inference.separator.Piece`."""
        self.pieces.append((piece.probabilities, piece.levels))

    def notes(self):
        """Notes: the score with velocities."""
        stft, decoding = self.separator.model.stft, self.separator.decoding
        clock = (stft.hop_length, stft.sample_rate)
        tables = [Notes.empty()]
        for source in range(len(self.separator.names) if self.pieces else 0):
            probabilities, levels = (
                np.concatenate([part[source] for part in parts], axis=-1)
                for parts in zip(*self.pieces)
            )
            probabilities = probabilities.astype(np.float32) / 255
            notes = decoding.class_notes(probabilities, source, *clock)
            tables.append(with_velocities(notes, levels, *clock))
        return Notes.concatenate(tables)

    def midi(self):
        """pretty_midi.PrettyMIDI: the score."""
        return to_midi(self.notes(), self.separator.names, self.separator.programs)
