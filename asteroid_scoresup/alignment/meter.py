"""Bars and beats of a MIDI file, by its time signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor

import mido
import numpy as np

from ..midi.events import Event
from .midi_source import Message

#: Note values of time signatures for incomplete bars: quarter notes down to 64ths.
_DENOMINATORS = (4, 8, 16, 32, 64)
#: Largest relative difference between a rest and the note values that represent it.
_INEXACT = 0.35


class Meter:
    """The time signatures of a file.

    Args:
        messages (list of list): The messages of all tracks.
        events (list of list): The same as events, with ticks.
        quarter (int): Ticks per quarter note.
    """

    def __init__(
        self,
        messages: Sequence[Sequence[Message]],
        events: Sequence[Sequence[Event]],
        quarter: int,
    ) -> None:
        self._quarter = quarter
        signatures = {0: _signature(4, 4)}
        for track, track_events in zip(messages, events):
            for message, event in zip(track, track_events):
                if message.type == "time_signature" and message.numerator:
                    signatures[event.tick] = message
        self._signatures = sorted(signatures.items())

    def _last(self, tick: int) -> tuple[int, Message]:
        return next(one for one in reversed(self._signatures) if one[0] <= tick)

    def at(self, tick: int) -> Message:
        """The time signature at a tick."""
        return self._last(tick)[1]

    def _bar(self, tick: int) -> int:
        """Length of the bar at a tick, in ticks."""
        return self._length(self.at(tick))

    def _length(self, signature: Message) -> int:
        return max(signature.numerator * 4 * self._quarter // signature.denominator, 1)

    def _to_barline(self, tick: int) -> int:
        """Ticks from a tick to the next barline; 0 on a barline."""
        return (self._last(tick)[0] - tick) % self._bar(tick)

    def within(self, first: int, stop: int, jumps: bool) -> Iterator[tuple[int, Message]]:
        """The time signatures of a section, with the ticks of the score.

        Args:
            first (int): Its first tick.
            stop (int): The first tick after it.
            jumps (bool): Whether something else comes before it: its first bar may then be an
                incomplete one, which gets a signature of its own where note values allow it.
        """
        inside = [one for one in self._signatures if first <= one[0] < stop]
        if not jumps:
            # No signatures are added to a file without any.
            yield from [one for one in inside if one[0] or one[1] != _signature(4, 4)]
            return
        rest = self._to_barline(first)
        if not inside or inside[0][0] > first + rest:
            if rest:
                partial = self._exact(rest)
                if partial is not None:
                    yield first, partial
            if first + rest < stop:
                yield first + rest, self.at(first)
        yield from inside

    def _exact(self, ticks: int) -> Message | None:
        """The signature of a bar of this many ticks, if there is one."""
        for denominator in _DENOMINATORS:
            numerator, left = divmod(ticks * denominator, 4 * self._quarter)
            if not left and 1 <= numerator <= 255:
                return _signature(numerator, denominator)
        return None

    def rest(self, quarters: float, tick: int) -> tuple[int, Message | None]:
        """Bars of rest that last about as long as a silence.

        Args:
            quarters (float): Length of the silence, in quarter notes.
            tick (int): Tick of the score before which they are inserted.

        Returns:
            tuple: Their length in ticks, and their time signature.
        """
        bars = quarters * self._quarter / self._bar(tick)
        if bars >= 0.5:
            return max(floor(bars + 0.5), 1) * self._bar(tick), self.at(tick)
        for denominator in _DENOMINATORS:
            wanted = quarters * denominator / 4
            numerator = floor(wanted + 0.5)
            length = numerator * 4 * self._quarter // denominator
            if length and abs(numerator / wanted - 1) <= _INEXACT:
                return length, _signature(numerator, denominator)
        return max(self._quarter * 4 // _DENOMINATORS[-1], 1), _signature(1, _DENOMINATORS[-1])

    def beats(self, first: int, end: int) -> np.ndarray:
        """The beats between two ticks, and these two; a beat is a quarter note."""
        start = self._last(first)[0]
        place = start + -(-(first - start) // self._quarter) * self._quarter
        return np.unique([first, *range(place, end, self._quarter), end])


def _signature(numerator: int, denominator: int) -> Message:
    return mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator)
