"""Notes: the form of a score throughout the package.

A score is a table with one row per note: onset and offset in seconds, MIDI pitch, index of the
class that plays it, and velocity. Two more columns describe the sound where it differs from the
keys: when a note is released (the sustain pedal holds notes beyond their offset), and how its pitch
bends. Piano-rolls, activities and harmonic masks are made from the table at the frame rate of the
STFT in use; rolls are never stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: Lowest pitch of the piano-rolls (MIDI note number, A0) and how many pitches they have.
LOWEST_PITCH = 21
N_PITCHES = 88

_TIMES = ("onset", "offset", "release")


@dataclass(frozen=True)
class Notes:
    r"""A table of notes; every column has shape :math:`(n\_notes,)`.

    `offset` and `pitch` describe the key: transcription is trained on and scored against them.
    `release` and `bend` describe the sound: activities and masks follow them.

    Args:
        onset (array): Onset times, in seconds.
        offset (array): Offset times (note-off, not the end of the sound), in seconds.
        pitch (array): MIDI note numbers (69 is 440 Hz).
        class_index (array): Index of the class that plays each note.
        velocity (array): MIDI velocities, 1 to 127.
        release (array, optional): Release times, in seconds: later than the offset where a pedal
            holds the note. Default: at the offset.
        bend (sequence, optional): For each note None, or an array of steps of shape
            :math:`(n\_steps, 2)`: a time in seconds after the onset, and the number of semitones
            above `pitch` from then on. The first step applies before its time, too. Default: no
            note bends.

    Raises:
        ValueError: if the columns differ in length, a time is not finite, a note ends before it
            begins or is released before it ends, or the steps of a bend are not in order.

    Examples
        >>> notes = Notes([0.0, 0.5], [0.5, 1.0], [40, 52], [0, 0], [100, 90])
        >>> len(notes), notes.within(0.4, 1.0).onset.tolist()
        (2, [-0.4, 0.09999999999999998])
    """

    onset: np.ndarray
    offset: np.ndarray
    pitch: np.ndarray
    class_index: np.ndarray
    velocity: np.ndarray
    release: np.ndarray = None  # type: ignore[assignment]  # set in __post_init__
    bend: Sequence[Any] | np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.release is None:
            object.__setattr__(self, "release", np.array(self.offset, dtype=np.float64))
        if self.bend is not None:
            object.__setattr__(self, "bend", _bend_column(self.bend))
        for field in fields(self)[:-1]:
            dtype = np.float64 if field.name in _TIMES else np.int64
            column = np.atleast_1d(np.asarray(getattr(self, field.name), dtype=dtype))
            object.__setattr__(self, field.name, column)
        lengths = {name: len(column) for name, column in self._columns().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"The columns of a note table must be equally long, found {lengths}.")
        if not all(np.isfinite(getattr(self, name)).all() for name in _TIMES):
            raise ValueError("The times of a note table must be finite, found NaN or infinity.")
        for first, last, what in (
            ("onset", "offset", "ends ({:.3f} s) before it begins"),
            ("offset", "release", "is released ({:.3f} s) before it ends"),
        ):
            first, last = getattr(self, first), getattr(self, last)
            if np.any(last < first):
                worst = int(np.argmin(last - first))
                found = what.format(last[worst])
                raise ValueError(f"Note {worst} {found} ({first[worst]:.3f} s).")

    def __len__(self) -> int:
        return len(self.onset)

    def _columns(self) -> dict[str, Any]:
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: column for name, column in columns.items() if column is not None}

    @classmethod
    def empty(cls) -> Notes:
        """A table without notes."""
        return cls(*(np.zeros(0) for _ in range(5)))

    @classmethod
    def concatenate(cls, tables: Iterable[Notes]) -> Notes:
        """Joins tables into one, sorted by onset, then class_index, then pitch."""
        tables = list(tables) or [cls.empty()]
        names = [field.name for field in fields(cls)[:-1]]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(t, name) for t in tables]) for name in names
        }
        if any(table.bend is not None for table in tables):
            columns["bend"] = [b for t in tables for b in t.bends()]
        joined = cls(**columns)
        return joined.select(np.lexsort((joined.pitch, joined.class_index, joined.onset)))

    def bends(self) -> list[np.ndarray | None]:
        """The bend of each note, None for notes that keep their pitch."""
        return [None] * len(self) if self.bend is None else list(self.bend)

    def select(self, index: np.ndarray | slice) -> Notes:
        """The rows given by `index` (a mask, a slice or row numbers), as a new table."""
        return Notes(**{name: column[index] for name, column in self._columns().items()})

    def replace(self, **columns: Any) -> Notes:
        """A copy with some columns replaced; releases keep their distance from new offsets."""
        if "offset" in columns and "release" not in columns:
            held = self.release - self.offset
            columns["release"] = np.asarray(columns["offset"], dtype=np.float64) + held
        return Notes(**{**self._columns(), **columns})

    def shifted(self, seconds: float) -> Notes:
        """The notes, all later by `seconds`; the bends move with them."""
        times = {name: getattr(self, name) + seconds for name in _TIMES}
        return self.replace(**times)

    def within(self, start: float, stop: float, margin: float = 0.0) -> Notes:
        """Notes that sound in [start - margin, stop + margin), on a clock that is 0 at `start`.

        Args:
            start (float): New origin of the times, in seconds.
            stop (float): End of the window, in seconds.
            margin (float): Notes up to this many seconds outside are kept too (for their decay).
        """
        kept = self.select((self.release > start - margin) & (self.onset < stop + margin))
        return kept.replace(**{name: getattr(kept, name) - start for name in _TIMES})

    def clipped(self, start: float, stop: float) -> Notes:
        """Notes cut at the edges of [start, stop], on the same clock.

        Notes outside get a length of 0; the caller decides what to do with them.
        """
        times = {name: np.clip(getattr(self, name), start, stop) for name in _TIMES}
        columns = dict(times)
        if self.bend is not None:
            late = times["onset"] - self.onset
            columns["bend"] = [
                None if b is None else np.column_stack([np.maximum(b[:, 0] - s, 0), b[:, 1]])
                for b, s in zip(self.bend, late)
            ]
        return self.replace(**columns)

    def transposed(self, semitones: ArrayLike) -> Notes:
        r"""Shifts the pitch of each class by its own number of semitones.

        Args:
            semitones (array): Shift per class, shape :math:`(n\_src,)`.
        """
        shifts = np.asarray(semitones, dtype=np.int64)
        return self.replace(pitch=self.pitch + (shifts[self.class_index] if len(self) else 0))

    def at_speed(self, semitones: int, unpitched: Sequence[int] = ()) -> Notes:
        """The notes of a recording played faster, so that it sounds `semitones` higher.

        Args:
            semitones (int): How much higher.
            unpitched (sequence of int): Classes whose notes are keys of a drum kit: a snare that
                sounds higher is still a snare.
        """
        speed = 2 ** (semitones / 12)
        columns = {name: getattr(self, name) / speed for name in _TIMES}
        if self.bend is not None:
            columns["bend"] = [None if b is None else b / [speed, 1] for b in self.bend]
        moved = ~np.isin(self.class_index, list(unpitched))
        return self.replace(pitch=self.pitch + semitones * moved, **columns)


def _bend_column(bends):
    """Bends as an object array; None if no note has one."""
    column = np.empty(len(bends), dtype=object)
    for row, bend in enumerate(bends):
        if bend is None:
            continue
        steps = np.asarray(bend, dtype=np.float64)
        if steps.ndim != 2 or steps.shape[1] != 2 or not len(steps) or not np.isfinite(steps).all():
            raise ValueError(
                f"The bend of note {row} must be an array of (seconds, semitones), found {bend!r}."
            )
        if np.any(np.diff(steps[:, 0]) < 0):
            raise ValueError(f"The steps of the bend of note {row} must be in order of time.")
        column[row] = steps
    return column if any(bend is not None for bend in column) else None
