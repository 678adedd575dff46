"""What pedals do to notes: when a sound ends that a key began."""

from __future__ import annotations

from collections import defaultdict

#: Controllers: sustain and sostenuto pedal (down from 64 on), and what silences a channel.
SUSTAIN, SOSTENUTO = 64, 66
ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 120, 121, 123
#: Changes of mode switch all notes off as well.
_NOTES_OFF = (ALL_NOTES_OFF, 124, 125, 126, 127)


class Pedals:
    """Keys and pedals of one MIDI channel.

    Every method returns the notes whose *sound* ends by it, whatever objects notes are. Each note
    is held in one list only, and moves a bounded number of times, so that a hostile file costs no
    more than its length.
    """

    def __init__(self):
        self.sustain = self.sostenuto = False
        self.keys = defaultdict(list)  # pitch: (order, note) whose key is down
        self._sustained, self._caught = defaultdict(list), defaultdict(list)
        self._order = self._caught_before = 0

    def strike(self, pitch, note):
        """A key goes down. A string that still sounds from before is struck again."""
        ended = self._sustained.pop(pitch, []) + self._caught.pop(pitch, [])
        self.keys[pitch].append((self._order, note))
        self._order += 1
        return ended

    def lift(self, pitch, lifted):
        """The keys of some notes of a pitch go up; the pedals may hold their sound.

        Args:
            pitch (int): Their pitch.
            lifted (list): Entries of ``keys[pitch]``, which they leave.
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

    def control(self, number, value):
        """A pedal moves, or the sound of the channel is switched off."""
        if number == SUSTAIN:
            self.sustain = value >= 64
            return [] if self.sustain else self._let_go(self._sustained)
        if number == SOSTENUTO:
            if value >= 64 and not self.sostenuto:
                self._caught_before = self._order
            self.sostenuto = value >= 64
            if self.sostenuto:
                return []
            if not self.sustain:
                return self._let_go(self._caught)
            for pitch, notes in self._caught.items():
                self._sustained[pitch] += notes
            self._caught.clear()
            return []
        if number == ALL_SOUND_OFF:
            return self._let_go(self._sustained) + self._let_go(self._caught)
        if number == RESET_CONTROLLERS:
            return self.control(SOSTENUTO, 0) + self.control(SUSTAIN, 0)
        return []

    @staticmethod
    def lifts_all(number):
        """Whether a controller lets all keys of the channel go."""
        return number == ALL_SOUND_OFF or number in _NOTES_OFF

    @staticmethod
    def _let_go(held):
        notes = [note for group in held.values() for note in group]
        held.clear()
        return notes
