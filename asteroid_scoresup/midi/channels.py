"""From MIDI events to notes: which instrument plays which note, from when to when.

Channels are what counts, not tracks: programs, banks, pedals and bends of a channel may come from
any track. A note keeps the program of its start. Which channels are drum kits follows General MIDI
(channel 10), General MIDI 2 and XG (bank select), GS and XG (part modes by system exclusive
messages).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from .events import META, PORT, SYSEX, Event
from .pedals import ALL_SOUND_OFF, SOSTENUTO, SUSTAIN, Pedals
from .sysex import apply_sysex
from .tuning import Tuning

#: Program number of drums, as in Slakh's metadata.
DRUMS = 128
#: Banks of drum kits (GM2: 120, XG: 127, and 126 for effects), and GM2's bank of melodic programs.
_KIT_BANKS, _MELODIC_BANK = (120, 126, 127), 121
#: System exclusive messages that are applied in one file: each may affect all channels.
MAX_SYSEX = 2000


@dataclass(eq=False)
class ChannelNote:
    """A note of a channel; all times are in ticks.

    Args:
        onset (int): Note-on.
        pitch (int): MIDI note number of the key.
        velocity (int): 1 to 127.
        program (int): General MIDI program at the onset; 128 for drums.
        track (int): Track of the note-on.
        offset (int): Note-off; -1 while the key is down.
        release (int): End of the sound, by the pedals; -1 while it lasts.
    """

    __slots__ = ("onset", "pitch", "velocity", "program", "track", "offset", "release")

    onset: int
    pitch: int
    velocity: int
    program: int
    track: int
    offset: int
    release: int


class Channel:
    """State of one channel while a file is read, and the notes found so far.

    Args:
        number (int): 0 to 15.

    Attributes:
        notes (list of ChannelNote): Notes that have ended, in order of their offsets.
        controls (list of tuple): Control changes, as (tick, number, value).
        pitch_wheel (list of tuple): Pitch wheel, as (tick, -8192 to 8191).
        tuning (Tuning): Sounding pitch over time.
        dropped (Counter): How many notes were left out, by reason.
    """

    def __init__(self, number: int):
        self.number = number
        self.tuning = Tuning()
        self.notes: list[ChannelNote] = []
        self.controls: list[tuple[int, int, int]] = []
        self.pitch_wheel: list[tuple[int, int]] = []
        self.dropped: Counter[str] = Counter()
        self._pedals = Pedals()
        self.reset(0)

    def reset(self, tick: int) -> None:
        """Returns to the power-on state: program 0, drums on channel 10 only."""
        self.program, self.bank = 0, 0
        # Whether it is a drum kit by its bank, and by its part mode; None if nothing was said.
        self._kit_by_bank: bool | None = None
        self._kit_by_mode: bool | None = None
        self._release(self._pedals.control(121, 0), tick)
        self.tuning.reset(tick)

    @property
    def is_drum(self) -> bool:
        """Whether the channel is a drum kit now."""
        for is_kit in (self._kit_by_bank, self._kit_by_mode):
            if is_kit is not None:
                return is_kit
        return self.number == 9

    def change_program(self, program: int, banks_choose_kits: bool) -> None:
        """A program change, which also makes the last bank select effective.

        Args:
            program (int): Invalid above 127, and then ignored.
            banks_choose_kits (bool): Whether some banks are drum kits, as in GM2 and XG.
        """
        if program > 127:
            return
        self.program = program
        self._kit_by_bank = None
        if banks_choose_kits and self.bank in _KIT_BANKS:
            self._kit_by_bank = True
        elif banks_choose_kits and self.bank == _MELODIC_BANK:
            self._kit_by_bank = False

    def set_part_mode(self, is_drum: bool) -> None:
        """A system exclusive message makes the channel a drum kit, or a melodic part."""
        self._kit_by_mode, self._kit_by_bank = is_drum, None

    def note_on(self, tick: int, pitch: int, velocity: int, track: int) -> None:
        """A note begins."""
        if pitch > 127:
            self.dropped["pitch above 127"] += 1
            return
        program = DRUMS if self.is_drum else self.program
        note = ChannelNote(tick, pitch, min(velocity, 127), program, track, -1, -1)
        self._release(self._pedals.strike(pitch, note), tick)

    def note_off(self, tick: int, pitch: int) -> None:
        """Ends all notes of a pitch that began before, as synthesizers do."""
        entries = self._pedals.keys.pop(pitch, [])
        ended = [entry for entry in entries if entry[1].onset < tick]
        new = [entry for entry in entries if entry[1].onset == tick]
        if ended and new:
            # The end of the old note was written after the start of the new one.
            self._pedals.keys[pitch] = new
        else:
            self.dropped["no length"] += len(new)
        for _, note in ended:
            note.offset = tick
            self.notes.append(note)
        self._release(self._pedals.lift(pitch, ended), tick)

    def control(self, tick: int, number: int, value: int) -> None:
        """A control change."""
        value = min(value, 127)
        self.controls.append((tick, number, value))
        if number == 0:
            self.bank = value
        if Pedals.lifts_all(number):
            for pitch in list(self._pedals.keys):
                self.note_off(tick, pitch)
        if number >= ALL_SOUND_OFF or number in (SUSTAIN, SOSTENUTO):
            self._release(self._pedals.control(number, value), tick)
        self.tuning.control(tick, number, value)

    def bend(self, tick: int, low: int, high: int) -> None:
        """The pitch wheel moves; `low` and `high` are the message's data bytes."""
        low, high = min(low, 127), min(high, 127)
        self.pitch_wheel.append((tick, (high << 7 | low) - 8192))
        self.tuning.wheel(tick, low, high)

    def finish(self, tick: int) -> None:
        """The file ends: pedals are released, and notes whose key is still down are dropped."""
        self.dropped["no length"] += sum(len(keys) for keys in self._pedals.keys.values())
        for note in self.notes:
            note.release = tick if note.release < 0 else note.release

    @staticmethod
    def _release(notes: Iterable[ChannelNote], tick: int) -> None:
        for note in notes:
            note.release = tick


def interpret_events(tracks: list[list[Event]]) -> list[Channel]:
    """Finds the notes of all channels of a file.

    Args:
        tracks (list): Lists of :class:`~asteroid_scoresup.midi.events.Event`.

    Returns:
        list of Channel: Those that have notes, kept or dropped.
    """
    system = _System(clashing_tracks(tracks))
    tick = 0
    for track, place in merge_tracks(tracks):
        event = tracks[track][place]
        tick = event.tick
        system.receive(track, event)
    for channel in system.channels.values():
        channel.finish(tick)
    return [c for c in system.channels.values() if c.notes or +c.dropped]


class _System:
    """All channels of a file, by (port, number, track); the track is -1 where all share one.

    Args:
        separate (dict): Tracks that have a channel of their own, by (port, number); see
            :func:`clashing_tracks`.
    """

    def __init__(self, separate: dict[tuple[int, int], set[int]]):
        self.channels: dict[tuple[int, int, int], Channel] = {}
        self._separate = separate
        self._ports: Counter[int] = Counter()  # by track; 0 until a port event
        self._n_sysex = 0
        self._banks_choose_kits = True

    def _receiving(self, port: int, number: int, track: int) -> list[Channel]:
        """The channels that receive an event of a track."""
        separate = self._separate.get((port, number))
        key = (port, number, -1)
        if separate is None:
            keys = [key]
        elif track in separate:
            keys = [(port, number, track)]
        else:
            keys = [key, *((port, number, other) for other in sorted(separate))]
        for key in keys:
            if key not in self.channels:
                self.channels[key] = Channel(number)
        return [self.channels[key] for key in keys]

    def numbered(self, port: int, number: int) -> list[Channel]:
        """The channel of a number; several where tracks have one of their own."""
        return [
            self._receiving(port, number, track)[0]
            for track in [-1, *sorted(self._separate.get((port, number), ()))]
        ]

    def all_of(self, port: int) -> list[Channel]:
        """All channels of a port, also those without events so far."""
        return [channel for number in range(16) for channel in self.numbered(port, number)]

    def reset(self, tick: int, port: int, banks_choose_kits: bool) -> None:
        """Returns all channels of a port to the power-on state of a standard."""
        self._banks_choose_kits = banks_choose_kits
        for channel in self.all_of(port):
            channel.reset(tick)

    def receive(self, track: int, event: Event) -> None:
        """Applies one event."""
        tick, status, data, kind = event
        port = self._ports[track]
        if status == META:
            if kind == PORT and data:
                self._ports[track] = data[0] & 0x7F
            return
        if status == SYSEX:
            self._n_sysex += 1
            if self._n_sysex <= MAX_SYSEX:
                apply_sysex(self, tick, port, data)
            return
        channels = self._receiving(port, status & 0x0F, track)
        what, (first, second) = status & 0xF0, data
        if what == 0x90 and second:
            channels[0].note_on(tick, first, second, track)
        elif what in (0x80, 0x90):
            channels[0].note_off(tick, first)
        for channel in channels:
            if what == 0xB0:
                channel.control(tick, first, second)
            elif what == 0xC0:
                channel.change_program(first, self._banks_choose_kits)
            elif what == 0xE0:
                channel.bend(tick, first, second)


def _rank(event: Event) -> int:
    """Order of the events of one tick in different tracks: note-offs, set-up, note-ons."""
    if event.status in (META, SYSEX):
        return 1
    what = event.status & 0xF0
    if what == 0x80 or (what == 0x90 and not event.data[1]):
        return 0
    return 3 if what == 0x90 else 2


def merge_tracks(tracks: list[list[Event]]) -> Iterator[tuple[int, int]]:
    """Pairs (track, place in it) in order of ticks; the order within each track is kept."""
    entries = [(e.tick, t, i) for t, events in enumerate(tracks) for i, e in enumerate(events)]
    entries.sort()
    for _, group_of_tick in groupby(entries, key=lambda entry: entry[0]):
        together = list(group_of_tick)
        if together[0][1] == together[-1][1]:
            for _, track, place in together:
                yield track, place
            continue
        waiting = {t: [i for *_, i in group] for t, group in groupby(together, key=lambda e: e[1])}
        heads = [(_rank(tracks[t][places[0]]), t, 0) for t, places in waiting.items()]
        heapq.heapify(heads)
        while heads:
            _, track, n = heapq.heappop(heads)
            places = waiting[track]
            yield track, places[n]
            if n + 1 < len(places):
                heapq.heappush(heads, (_rank(tracks[track][places[n + 1]]), track, n + 1))


def clashing_tracks(tracks: list[list[Event]]) -> dict[tuple[int, int], set[int]]:
    """Tracks that cannot share a channel, by (port, channel).

    Writers of more instruments than there are channels (pretty_midi, and with it Slakh's
    ``all_src.mid``) reuse channels: two tracks then begin with different programs on one channel,
    at one tick. Taken literally, one of them would get the other's instrument.
    """
    first: dict[tuple[int, int], dict[int, tuple[int, int, int]]] = {}
    for number, events in enumerate(tracks):
        port = 0
        programs: dict[tuple[int, int], tuple[int, int, int]] = {}
        banks: dict[tuple[int, int], int] = {}
        playing: set[tuple[int, int]] = set()  # only the set-up before the first note counts
        for event in events:
            if event.kind == PORT and event.data:
                port = event.data[0] & 0x7F
            if event.status >= SYSEX:
                continue
            key, what = (port, event.status & 0x0F), event.status & 0xF0
            if key in playing:
                continue
            if what == 0xC0:
                programs[key] = (event.tick, event.data[0], banks.get(key, 0))
            elif what == 0xB0 and event.data[0] == 0:
                banks[key] = event.data[1]
            elif what == 0x90 and event.data[1]:
                playing.add(key)
                if key in programs:
                    first.setdefault(key, {})[number] = programs[key]
    clashing = {}
    for key, found in first.items():
        ticks = Counter(tick for tick, *_ in set(found.values()))
        if any(count > 1 for count in ticks.values()):
            clashing[key] = set(found)
    return clashing
