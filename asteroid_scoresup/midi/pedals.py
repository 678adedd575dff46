"""Keys and pedals of a MIDI channel: when the sound of a note ends after its key is up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

#: Controllers: sustain and sostenuto pedal (down from 64 on), and those that silence a channel.
SUSTAIN, SOSTENUTO = 64, 66
ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 120, 121, 123
#: Changes of mode switch all notes off as well.
_NOTES_OFF = (ALL_NOTES_OFF, 124, 125, 126, 127)


class Pedals:
    """Keys and pedals of one MIDI channel.

    Notes may be any objects. Every method returns the notes whose *sound* it ends. Each note is
    held in one list only and moves a bounded number of times, so that the cost of a hostile file
    is linear in its length.

    Attributes:
        keys (dict): By pitch, the notes whose key is down, as (order, note).
        sustain (bool): Whether the sustain pedal is down.
        sostenuto (bool): Whether the sostenuto pedal is down.
    """

    def __init__(self) -> None:
        self.sustain = self.sostenuto = False
        self.keys: defaultdict[int, list[tuple[int, Any]]] = defaultdict(list)
        self._sustained: defaultdict[int, list] = defaultdict(list)
        self._caught: defaultdict[int, list] = defaultdict(list)
        self._order = self._caught_before = 0

    def strike(self, pitch: int, note: Any) -> list:
        """A key goes down; a string that a pedal still holds is struck again.

        Args:
            pitch (int): Key, a MIDI note number.
            note (object): The note that begins.

        Returns:
            list: Earlier notes of the pitch, whose sound ends here.
        """
        ended = self._sustained.pop(pitch, []) + self._caught.pop(pitch, [])
        self.keys[pitch].append((self._order, note))
        self._order += 1
        return ended

    def lift(self, pitch: int, lifted: Iterable[tuple[int, Any]]) -> list:
        """Keys go up; the pedals may hold the sound of their notes.

        Args:
            pitch (int): Key, a MIDI note number.
            lifted (iterable of tuple): Entries that the caller has removed from ``keys[pitch]``.

        Returns:
            list: The notes that no pedal holds.
        """
        ended = []
        for order, note in lifted:
            if self.sostenuto and order < self._caught_before:
                self._caught[pitch].append(note)
            elif self.sustain:
                self._sustained[pitch].append(note)
            else:
                ended.append(note)
        return ended

    def control(self, number: int, value: int) -> list:
        """A control change: a pedal moves, or the channel is silenced.

        Args:
            number (int): Controller; those that are not about pedals or silence have no effect.
            value (int): 0 to 127.

        Returns:
            list: The notes whose sound ends.
        """
        if number == SUSTAIN:
            self.sustain = value >= 64
            return [] if self.sustain else self._release(self._sustained)
        if number == SOSTENUTO:
            if value >= 64 and not self.sostenuto:
                self._caught_before = self._order
            self.sostenuto = value >= 64
            if self.sostenuto:
                return []
            if not self.sustain:
                return self._release(self._caught)
            for pitch, notes in self._caught.items():
                self._sustained[pitch] += notes
            self._caught.clear()
            return []
        if number == ALL_SOUND_OFF:
            return self._release(self._sustained) + self._release(self._caught)
        if number == RESET_CONTROLLERS:
            return self.control(SOSTENUTO, 0) + self.control(SUSTAIN, 0)
        return []

    @staticmethod
    def lifts_all(number: int) -> bool:
        """Whether a controller releases all keys of the channel."""
        return number == ALL_SOUND_OFF or number in _NOTES_OFF

    @staticmethod
    def _release(held: defaultdict[int, list]) -> list:
        notes = [note for group in held.values() for note in group]
        held.clear()
        return notes
