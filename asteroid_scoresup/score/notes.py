"""Notes: the one form in which a score travels through the package.

A score is a table with one row per note: onset and offset in seconds, MIDI pitch, index of the
class (the *source*) that plays it, and velocity. Piano-rolls, activities and harmonic masks are
made from it at the frame rate of whatever STFT is in use; no roll is ever stored.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

#: Lowest pitch of the piano-rolls (MIDI note number, A0) and how many pitches they have.
LOWEST_PITCH = 21
N_PITCHES = 88


@dataclass(frozen=True)
class Notes:
    r"""A table of notes; every column has shape :math:`(n\_notes,)`.

    Args:
        onset (array): Onset times, in seconds.
        offset (array): Offset times (note-off, not the end of the sound), in seconds.
        pitch (array): MIDI note numbers (69 is 440 Hz).
        source (array): Index of the class that plays each note.
        velocity (array): MIDI velocities, 1 to 127.

    Raises:
        ValueError: if the columns differ in length, a time is not finite, or a note ends
            before it begins.

    Examples
        >>> notes = Notes([0.0, 0.5], [0.5, 1.0], [40, 52], [0, 0], [100, 90])
        >>> len(notes), notes.within(0.4, 1.0).onset.tolist()
        (2, [-0.4, 0.09999999999999998])
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    source: np.ndarray
    velocity: np.ndarray

    def __post_init__(self):
        for field in fields(self):
            dtype = np.float64 if field.name in ("onset", "offset") else np.int64
            column = np.atleast_1d(np.asarray(getattr(self, field.name), dtype=dtype))
            object.__setattr__(self, field.name, column)
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of a note table must be equally long, found {lengths}.")
        if not (np.isfinite(self.onset).all() and np.isfinite(self.offset).all()):
            raise ValueError("The times of a note table must be finite, found NaN or infinity.")
        if np.any(self.offset < self.onset):
            worst = int(np.argmin(self.offset - self.onset))
            raise ValueError(
                f"Note {worst} ends ({self.offset[worst]:.3f} s) before it begins "
                f"({self.onset[worst]:.3f} s)."
            )

    def __len__(self):
        return len(self.onset)

    @classmethod
    def empty(cls):
        """A table without notes."""
        return cls(*(np.zeros(0) for _ in fields(cls)))

    @classmethod
    def concatenate(cls, tables):
        """Joins tables into one, sorted by onset, then source, then pitch."""
        tables = list(tables) or [cls.empty()]
        joined = cls(*(np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(cls)))
        return joined.select(np.lexsort((joined.pitch, joined.source, joined.onset)))

    def select(self, index):
        """The rows that `index` (a mask, a slice or row numbers) names, as a new table."""
        return Notes(*(getattr(self, field.name)[index] for field in fields(self)))

    def replace(self, **columns):
        """A copy with some columns exchanged."""
        return Notes(*(columns.get(f.name, getattr(self, f.name)) for f in fields(self)))

    def within(self, start, stop, margin=0.0):
        """Notes that touch [start - margin, stop + margin), on a clock that is 0 at `start`.

        Args:
            start (float): New origin of the times, in seconds.
            stop (float): End of the window, in seconds.
            margin (float): Notes up to so many seconds outside are kept too (for sound tails).
        """
        kept = self.select((self.offset > start - margin) & (self.onset < stop + margin))
        return kept.replace(onset=kept.onset - start, offset=kept.offset - start)

    def transposed(self, semitones):
        r"""Shifts the pitch of each class by its own number of semitones.

        Args:
            semitones (array): Shift per class, shape :math:`(n\_src,)`.
        """
        shifts = np.asarray(semitones, dtype=np.int64)
        return self.replace(pitch=self.pitch + (shifts[self.source] if len(self) else 0))
