"""Where notes sound beside their keys: wheel, bend range, and the tunings of a MIDI channel.

The sounding pitch of a key is the key, plus the pitch wheel times its range (registered parameter
0, two semitones unless it says otherwise), plus the channel's fine and coarse tuning (parameters 1
and 2), plus the master tuning (universal, GS and XG system exclusive messages), plus the key's own
place in the MIDI Tuning Standard (single notes, and scales of an octave).
"""

from __future__ import annotations

import numpy as np

#: Deviations up to this are nothing that a mask could show, in semitones.
INAUDIBLE = 0.1
#: Messages of the MIDI Tuning Standard that are followed in one file; a song has a few.
MAX_TUNINGS = 200

_NO_PARAMETER = [127, 127]


class Tuning:
    """Pitch of one channel over time.

    `history` lists (tick, semitones above the key, place of the keys' own tuning in `scales`)
    whenever one of them changes.
    """

    def __init__(self):
        self.scales = [np.zeros(128)]
        self.history = [(0, 0.0, 0)]
        self._master = {"fine": 0.0, "coarse": 0.0, "part": 0.0}
        self.program = 0
        self._bank = {}  # tunings of single notes by tuning program
        self._octave = np.zeros(128)
        self.reset()

    def reset(self, tick=0):
        """Power-on state."""
        self._wheel, self._range = 0.0, [2, 0]
        self._fine = self._coarse = 0.0
        # Data belong to the parameter selected last, ours (registered) or the maker's.
        self._parameter, self._registered = list(_NO_PARAMETER), True
        self._fine_bytes = [64, 0]
        self._master = dict.fromkeys(self._master, 0.0)
        self._note(tick)

    def wheel(self, tick, low, high):
        """The wheel moves: two data bytes."""
        self._wheel = ((high << 7 | low) - 8192) / 8192
        self._note(tick)

    def control(self, tick, number, value):
        """Controllers: parameter numbers and data entry, and the reset of controllers."""
        if number in (98, 99):
            self._registered = False
        elif number in (100, 101):
            self._parameter[101 - number], self._registered = value, True
        elif number == 121:
            self._wheel, self._parameter = 0.0, list(_NO_PARAMETER)
            self._registered = True
            self._note(tick)
        elif number in (6, 38) and self._registered:
            self._enter(number == 38, value)
            self._note(tick)
        elif number in (96, 97) and self._registered and self._parameter == [0, 0]:
            step = 1 if number == 96 else -1
            self._range[0] = min(max(self._range[0] + step, 0), 127)
            self._note(tick)

    def _enter(self, low, value):
        if self._parameter == [0, 0]:
            self._range = [self._range[0], value] if low else [value, 0]
        elif self._parameter == [0, 1]:
            self._fine_bytes[low] = value
            self._fine = ((self._fine_bytes[0] << 7 | self._fine_bytes[1]) - 8192) / 8192
        elif self._parameter == [0, 2] and not low:
            self._coarse = float(value - 64)
        elif self._parameter == [0, 3] and not low:
            self.program = value
            self._retune()

    def master(self, tick, **semitones):
        """Tuning by system exclusive messages: ``fine``, ``coarse``, and the ``part``'s shift."""
        self._master.update(semitones)
        self._note(tick)

    def tune_keys(self, tick, program, keys):
        """Single notes of a tuning program sound elsewhere: {key: semitones above it}."""
        table = self._bank.setdefault(program, np.zeros(128)).copy()
        table[list(keys)] = list(keys.values())
        self._bank[program] = table
        if program == self.program:
            self._retune()
            self._note(tick)

    def tune_octave(self, tick, semitones):
        """Every C, C sharp, … sounds so many semitones above its key; 12 values."""
        self._octave = np.resize(semitones, 128)
        self._retune()
        self._note(tick)

    def _retune(self):
        if len(self.scales) <= MAX_TUNINGS:
            self.scales.append(self._octave + self._bank.get(self.program, 0.0))

    def _note(self, tick):
        reach = self._range[0] + self._range[1] / 100
        total = self._wheel * reach + self._fine + self._coarse
        total += sum(self._master.values())
        entry = (tick, total, len(self.scales) - 1)
        if entry[1:] == self.history[-1][1:]:
            return
        if tick == self.history[-1][0]:
            self.history[-1] = entry
        else:
            self.history.append(entry)


class Bends:
    """The history of a :class:`Tuning`, asked note by note.

    Args:
        tuning (Tuning): Of a channel, at the end of the file.
        seconds (callable): From ticks to seconds.
    """

    def __init__(self, tuning, seconds):
        ticks, totals, places = zip(*tuning.history)
        self._ticks = np.array(ticks)
        self._seconds = seconds(self._ticks)
        self._totals, self._places = np.array(totals), np.array(places)
        self._scales = np.stack(tuning.scales)
        self.silent = not self._totals.any() and not self._scales.any()

    def span(self, onset, release):
        """Rows of the history that count between two ticks: the first, and one past the last."""
        first = max(int(np.searchsorted(self._ticks, onset, side="right")) - 1, 0)
        return first, max(int(np.searchsorted(self._ticks, release, side="left")), first + 1)

    def steps(self, pitch, span, onset):
        """Steps of one note, as :class:`~asteroid_scoresup.score.Notes` wants them.

        Args:
            pitch (int): Its key.
            span (tuple): From :meth:`span`.
            onset (float): Of the note, in seconds.

        Returns:
            array or None: Shape `(n_steps, 2)`, on a grid of milliseconds and cents.
        """
        rows = slice(*span)
        shifts = self._totals[rows] + self._scales[self._places[rows], pitch]
        if np.all(np.abs(shifts) <= INAUDIBLE):
            return None
        times = np.maximum(self._seconds[rows] - onset, 0.0)
        steps = np.column_stack([np.round(times, 3), np.round(shifts, 2)])
        # Of the steps within a millisecond the last one counts; of equal ones the first.
        steps = steps[np.append(np.diff(steps[:, 0]) > 0, True)]
        return steps[np.append(True, np.diff(steps[:, 1]) != 0)]
