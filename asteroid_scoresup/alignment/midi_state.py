"""State of the channels of a MIDI file, and the messages that lead from one state to another.

Wherever an aligned score skips or repeats, every channel must continue as it was at that place of
the score: with its program, controllers, parameters, pitch wheel and pressure.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator

import mido

#: Controllers after a reset, where they are not 0: volume, balance, pan, expression.
_DEFAULTS = {7: 100, 8: 64, 10: 64, 11: 127}
#: What Reset All Controllers resets (MIDI recommended practice RP-015): modulation, expression, and
#: pedals.
_RESET = (1, 11, 64, 65, 66, 67)
_BANK, _BANK_LOW, _DATA, _DATA_LOW = 0, 32, 6, 38
_NULL = (127, 127)
#: Registered parameters after a reset, as (high, low) data bytes: bend range, fine and coarse
#: tuning.
_PARAMETER_DEFAULTS = {(0, 0): (2, 0), (0, 1): (64, 0), (0, 2): (64, 0)}
SUSTAIN, SOSTENUTO = 64, 66


class ChannelState:
    """What a channel has been set to so far.

    Examples
        >>> state, power_on = ChannelState(), ChannelState()
        >>> state.receive(mido.Message("program_change", program=33))
        >>> [str(message) for message in state.after(power_on)]
        ['program_change channel=0 program=33 time=0']
    """

    def __init__(self) -> None:
        self.program = 0
        self.bank = self.program_bank = (0, 0)  # selected, and effective for the program
        self.controls: dict[int, int] = {}
        # Data bytes of registered (True) and other parameters, by their number.
        self.parameters: dict[tuple[bool, tuple[int, int]], tuple[int, int]] = {}
        # The parameter to which data belong: its number in each family, and the family.
        self._numbers = {True: _NULL, False: _NULL}
        self._registered = True
        self.wheel = self.pressure = 0

    @property
    def selected(self) -> tuple[bool, tuple[int, int]]:
        """The parameter to which data belong: whether it is a registered one, and its number."""
        return self._registered, self._numbers[self._registered]

    def copy(self) -> ChannelState:
        """An independent copy."""
        return copy.deepcopy(self)

    def receive(self, message: mido.Message) -> None:
        """Applies a message; those that set nothing are ignored."""
        if message.type == "program_change":
            self.program, self.program_bank = message.program, self.bank
        elif message.type == "pitchwheel":
            self.wheel = message.pitch
        elif message.type == "aftertouch":
            self.pressure = message.value
        elif message.type == "control_change":
            self._control(message.control, message.value)

    def _control(self, number: int, value: int) -> None:
        if number == _BANK:
            self.bank = (value, self.bank[1])
        elif number == _BANK_LOW:
            self.bank = (self.bank[0], value)
        elif number in (98, 99, 100, 101):
            self._registered = number >= 100
            high, low = self._numbers[self._registered]
            changed = (value, low) if number % 2 else (high, value)
            self._numbers[self._registered] = changed
        elif number in (_DATA, _DATA_LOW, 96, 97):
            if self.selected[1] == _NULL:
                return
            coarse, fine = self._parameter(self.selected)
            if number == _DATA:
                # A new bend range has no cents until they are sent.
                coarse, fine = value, 0 if self.selected == (True, (0, 0)) else fine
            elif number == _DATA_LOW:
                fine = value
            else:
                coarse = min(max(coarse + (1 if number == 96 else -1), 0), 127)
            self.parameters[self.selected] = coarse, fine
        elif number == 121:
            self.wheel = self.pressure = 0
            self._registered, self._numbers[True] = True, _NULL
            for other in _RESET:
                self.controls.pop(other, None)
        elif number < 120:
            self.controls[number] = value

    def _parameter(self, key: tuple[bool, tuple[int, int]]) -> tuple[int, int]:
        default = _PARAMETER_DEFAULTS.get(key[1], (0, 0)) if key[0] else (0, 0)
        return self.parameters.get(key, default)

    def _value(self, number: int) -> int:
        return self.controls.get(number, _DEFAULTS.get(number, 0))

    def after(self, other: ChannelState) -> Iterator[mido.Message]:
        """The messages that bring a channel from another state to this one; its channel is 0."""
        if (self.program, self.program_bank) != (other.program, other.program_bank):
            yield from _bank(self.program_bank, other.bank)
            yield mido.Message("program_change", program=self.program)
            yield from _bank(self.bank, self.program_bank)
        else:
            yield from _bank(self.bank, other.bank)
        selected = other.selected
        for key in sorted({*self.parameters, *other.parameters}):
            wanted = self._parameter(key)
            if wanted != other._parameter(key):
                yield from _select(key)
                selected = key
                yield _control(_DATA, wanted[0])
                yield _control(_DATA_LOW, wanted[1])
        if self.selected != selected:
            yield from _select(self.selected)
        for number in sorted({*self.controls, *other.controls}):
            if self._value(number) != other._value(number):
                yield _control(number, self._value(number))
        if self.wheel != other.wheel:
            yield mido.Message("pitchwheel", pitch=self.wheel)
        if self.pressure != other.pressure:
            yield mido.Message("aftertouch", value=self.pressure)

    def pedals_down(self) -> list[int]:
        """The controllers of the pedals that are down."""
        return [number for number in (SUSTAIN, SOSTENUTO) if self._value(number) >= 64]


#: The states of all channels of a file, by (port, number, track); the track is -1 where all tracks
#: share one channel.
States = defaultdict[tuple[int, int, int], ChannelState]


class Resets:
    """Receives system exclusive messages, of which resets change the states of the channels.

    Args:
        states (States): What they change.
    """

    def __init__(self, states: States) -> None:
        self._states = states

    def numbered(self, port: int, number: int) -> list:
        """No channel: tunings and drum parts are not among the states."""
        return []

    def all_of(self, port: int) -> list:
        """No channel."""
        return []

    def reset(self, tick: int, port: int, banks_choose_kits: bool) -> None:
        """Returns the channels of a port to the power-on state."""
        for key in [key for key in self._states if key[0] == port]:
            self._states[key] = ChannelState()


def _control(number: int, value: int) -> mido.Message:
    return mido.Message("control_change", control=number, value=value)


def _bank(wanted: tuple[int, int], present: tuple[int, int]) -> Iterator[mido.Message]:
    for number, value, old in zip((_BANK, _BANK_LOW), wanted, present):
        if value != old:
            yield _control(number, value)


def _select(parameter: tuple[bool, tuple[int, int]]) -> Iterator[mido.Message]:
    registered, (high, low) = parameter
    yield _control(101 if registered else 99, high)
    yield _control(100 if registered else 98, low)
