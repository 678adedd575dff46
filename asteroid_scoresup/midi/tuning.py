"""Sounding pitch of a MIDI channel: pitch wheel, bend range and tunings.

A key sounds at its own pitch, plus the pitch wheel times the bend range (registered parameter 0,
two semitones by default), plus the channel's fine and coarse tuning (parameters 1 and 2), plus the
master tuning (universal, GS and XG system exclusive messages), plus the key's tuning by the MIDI
Tuning Standard (single notes, and scales of an octave).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

#: Largest deviation from the key that is ignored, in semitones: masks are wider than that.
INAUDIBLE = 0.1
#: Changes of the keys' tuning that are followed in one file; a song has a few.
MAX_TUNINGS = 200

_NO_PARAMETER = [127, 127]
_BEND_RANGE, _FINE, _COARSE, _TUNING_PROGRAM = [0, 0], [0, 1], [0, 2], [0, 3]


class PitchState(NamedTuple):
    """Pitch of a channel from a tick on.

    Args:
        tick (int): When it begins.
        semitones (float): Distance of all keys from their pitch.
        scale (int): Which of the channel's `scales` is added.
    """

    tick: int
    semitones: float
    scale: int


class Tuning:
    """Pitch of one channel over time.

    Attributes:
        history (list of PitchState): One entry for every change.
        scales (list of array): Semitones that are added for each of the 128 keys.
    """

    def __init__(self) -> None:
        self.scales = [np.zeros(128)]
        self.history = [PitchState(0, 0.0, 0)]
        self._program = 0
        self._programs: dict[int, np.ndarray] = {}  # tunings of single notes
        self._octave = np.zeros(128)
        self.reset()

    def reset(self, tick: int = 0) -> None:
        """Returns to the power-on state."""
        self._wheel, self._range = 0.0, [2, 0]
        self._fine = self._coarse = 0.0
        self._fine_bytes = [64, 0]
        # Data entry belongs to the parameter selected last, registered or not.
        self._parameter, self._registered = list(_NO_PARAMETER), True
        self._master = {"fine": 0.0, "coarse": 0.0, "part": 0.0}
        self._record(tick)

    def wheel(self, tick: int, low: int, high: int) -> None:
        """The pitch wheel moves; `low` and `high` are the message's data bytes."""
        self._wheel = ((high << 7 | low) - 8192) / 8192
        self._record(tick)

    def control(self, tick: int, number: int, value: int) -> None:
        """A control change: parameter numbers, data entry, and the reset of all controllers."""
        if number in (98, 99):
            self._registered = False
        elif number in (100, 101):
            self._parameter[101 - number], self._registered = value, True
        elif number == 121:
            self._wheel, self._parameter = 0.0, list(_NO_PARAMETER)
            self._registered = True
            self._record(tick)
        elif number in (6, 38) and self._registered:
            self._enter(number == 38, value)
            self._record(tick)
        elif number in (96, 97) and self._registered and self._parameter == _BEND_RANGE:
            step = 1 if number == 96 else -1
            self._range[0] = min(max(self._range[0] + step, 0), 127)
            self._record(tick)

    def _enter(self, is_low: bool, value: int) -> None:
        """Data entry, high or low byte."""
        if self._parameter == _BEND_RANGE:
            self._range = [self._range[0], value] if is_low else [value, 0]
        elif self._parameter == _FINE:
            self._fine_bytes[is_low] = value
            self._fine = ((self._fine_bytes[0] << 7 | self._fine_bytes[1]) - 8192) / 8192
        elif self._parameter == _COARSE and not is_low:
            self._coarse = float(value - 64)
        elif self._parameter == _TUNING_PROGRAM and not is_low:
            self._program = value
            self._add_scale()

    def master(self, tick: int, **semitones: float) -> None:
        """Sets the master tuning.

        Args:
            tick (int): When.
            semitones (float): Any of ``fine``, ``coarse``, and ``part`` (key shift of one part).
        """
        self._master.update(semitones)
        self._record(tick)

    def tune_keys(self, tick: int, program: int, keys: Mapping[int, float]) -> None:
        """Retunes single keys of a tuning program.

        Args:
            tick (int): When.
            program (int): Tuning program; it counts while the channel has it selected.
            keys (dict): Semitones above the key, by key.
        """
        if self._is_full():
            return
        table = self._programs.setdefault(program, np.zeros(128)).copy()
        table[list(keys)] = list(keys.values())
        self._programs[program] = table
        if program == self._program:
            self._add_scale()
            self._record(tick)

    def tune_octave(self, tick: int, semitones: Sequence[float] | np.ndarray) -> None:
        """Retunes every C, C sharp, … of the channel; 12 values in semitones above the key."""
        if self._is_full():
            return
        self._octave = np.resize(semitones, 128)
        self._add_scale()
        self._record(tick)

    def _is_full(self) -> bool:
        """Whether further changes of the keys' tuning are ignored."""
        return len(self.scales) > MAX_TUNINGS

    def _add_scale(self) -> None:
        if not self._is_full():
            self.scales.append(self._octave + self._programs.get(self._program, 0.0))

    def _record(self, tick: int) -> None:
        """Adds the present state to the history if it differs from the last one."""
        semitones = self._wheel * (self._range[0] + self._range[1] / 100)
        semitones += self._fine + self._coarse + sum(self._master.values())
        state = PitchState(tick, semitones, len(self.scales) - 1)
        if state[1:] == self.history[-1][1:]:
            return
        if tick == self.history[-1].tick:
            self.history[-1] = state
        else:
            self.history.append(state)


class Bends:
    """Bends of the notes of a channel, from the history of its :class:`Tuning`.

    Args:
        tuning (Tuning): Of the channel, at the end of the file.
        seconds (callable): Converts an array of ticks to seconds.
    """

    def __init__(self, tuning: Tuning, seconds: Callable[[np.ndarray], np.ndarray]):
        ticks, semitones, scales = zip(*tuning.history)
        self._ticks = np.array(ticks)
        self._seconds = seconds(self._ticks)
        self._semitones, self._scale_index = np.array(semitones), np.array(scales)
        self._scales = np.stack(tuning.scales)
        #: Whether all keys of the channel sound at their own pitch all the time.
        self.all_zero = not self._semitones.any() and not self._scales.any()

    def span(self, onset: int, release: int) -> tuple[int, int]:
        """Rows of the history between two ticks: the first, and one past the last."""
        first = max(int(np.searchsorted(self._ticks, onset, side="right")) - 1, 0)
        return first, max(int(np.searchsorted(self._ticks, release, side="left")), first + 1)

    def steps(self, pitch: int, span: tuple[int, int], onset: float) -> np.ndarray | None:
        r"""The bend of one note, in the form of :class:`~asteroid_scoresup.score.Notes`.

        Args:
            pitch (int): Its key.
            span (tuple): From :meth:`span`.
            onset (float): Of the note, in seconds.

        Returns:
            array or None: Shape :math:`(n\_steps, 2)`, rounded to milliseconds and cents; None if
            the note stays within :data:`INAUDIBLE` of its key.
        """
        rows = slice(*span)
        shifts = self._semitones[rows] + self._scales[self._scale_index[rows], pitch]
        if np.all(np.abs(shifts) <= INAUDIBLE):
            return None
        times = np.maximum(self._seconds[rows] - onset, 0.0)
        steps = np.column_stack([np.round(times, 3), np.round(shifts, 2)])
        # Of several steps within a millisecond the last one counts; of equal ones the first.
        steps = steps[np.append(np.diff(steps[:, 0]) > 0, True)]
        return steps[np.append(True, np.diff(steps[:, 1]) != 0)]
