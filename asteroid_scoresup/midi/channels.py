"""What a synthesizer makes of MIDI events: which instrument plays which note, from when to when.

Channels are what counts, not tracks: programs, banks, pedals and bends of a channel may come from
any track. A note keeps the program of its start. Which channels are drum kits follows General MIDI
(channel 10), General MIDI 2 and XG (bank select), GS and XG (part modes by system exclusive
messages).
"""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import groupby

from .events import META, PORT, SYSEX
from .exclusive import obey_exclusive
from .pedals import ALL_SOUND_OFF, Pedals
from .tuning import Tuning

#: Program number that stands for drums, as in Slakh's metadata.
DRUMS = 128
#: Banks of drum kits: GM2 120, XG 127 and 126 (effects); GM2's bank of melodic instruments.
_KITS, _MELODIC = (120, 126, 127), 121
#: System exclusive messages that are obeyed in one file: each may concern all channels.
MAX_EXCLUSIVE = 2000


class PlayedNote:
    """A note in ticks; `offset` and `release` are None until they are known."""

    __slots__ = ("onset", "offset", "release", "pitch", "velocity", "program", "track")

    def __init__(self, onset, pitch, velocity, program, track):
        self.onset, self.offset, self.release = onset, None, None
        self.pitch, self.velocity = pitch, velocity
        self.program, self.track = program, track


class Channel:
    """One channel: its state while the file plays, and what it has played."""

    def __init__(self, number):
        self.number = number
        self.pedals, self.tuning = Pedals(), Tuning()
        self.notes, self.controls, self.wheel = [], [], []
        self.dropped = Counter()
        self.reset(0)

    def reset(self, tick):
        """Power-on state: program 0, drums on channel 10 only."""
        self.program, self.bank = 0, 0
        self._kit = self._part_mode = None  # as bank select and as part modes say
        self.release(self.pedals.control(121, 0), tick)
        self.tuning.reset(tick)

    @property
    def is_drum(self):
        """Whether it is a drum kit now."""
        for told in (self._kit, self._part_mode):
            if told is not None:
                return told
        return self.number == 9

    def change_program(self, program, banks_choose_kits):
        """The bank selected before counts from now on."""
        if program > 127:
            return
        self.program = program
        self._kit = None
        if banks_choose_kits and self.bank in _KITS:
            self._kit = True
        elif banks_choose_kits and self.bank == _MELODIC:
            self._kit = False

    def set_part_mode(self, is_drum):
        """A system exclusive message makes the part a drum kit, or no longer one."""
        self._part_mode, self._kit = is_drum, None

    def strike(self, tick, pitch, velocity, track):
        """A note begins."""
        if pitch > 127:
            self.dropped["pitch above 127"] += 1
            return
        program = DRUMS if self.is_drum else self.program
        note = PlayedNote(tick, pitch, min(velocity, 127), program, track)
        self.release(self.pedals.strike(pitch, note), tick)

    def lift(self, tick, pitch):
        """A note-off: ends the notes of its pitch that began before, as synthesizers do."""
        entries = self.pedals.keys.pop(pitch, [])
        ended = [entry for entry in entries if entry[1].onset < tick]
        fresh = [entry for entry in entries if entry[1].onset == tick]
        if ended and fresh:
            # The end of the old note, written after the start of the new one.
            self.pedals.keys[pitch] = fresh
        else:
            self.dropped["no length"] += len(fresh)
        for _, note in ended:
            note.offset = tick
            self.notes.append(note)
        self.release(self.pedals.lift(pitch, ended), tick)

    def control(self, tick, number, value):
        """A control change."""
        value = min(value, 127)
        self.controls.append((tick, number, value))
        if number == 0:
            self.bank = value
        if Pedals.lifts_all(number):
            for pitch in list(self.pedals.keys):
                self.lift(tick, pitch)
        if number >= ALL_SOUND_OFF or number in (64, 66):
            self.release(self.pedals.control(number, value), tick)
        self.tuning.control(tick, number, value)

    def bend(self, tick, low, high):
        """The pitch wheel."""
        low, high = min(low, 127), min(high, 127)
        self.wheel.append((tick, (high << 7 | low) - 8192))
        self.tuning.wheel(tick, low, high)

    @staticmethod
    def release(notes, tick):
        """The sound of notes ends."""
        for note in notes:
            note.release = tick

    def finish(self, tick):
        """The file ends: what pedals still hold is let go, keys that are still down are dropped."""
        self.dropped["no length"] += sum(len(entries) for entries in self.pedals.keys.values())
        for note in self.notes:
            note.release = tick if note.release is None else note.release


def play_events(tracks):
    """Plays the tracks of a file.

    Args:
        tracks (list): Lists of :class:`~asteroid_scoresup.midi.events.Event`.

    Returns:
        list of Channel: Those that have notes, played or dropped.
    """
    player = _Player(_clashing_tracks(tracks))
    tick = 0
    for track, event in _in_order(tracks):
        tick = event.tick
        player.play(track, event)
    for channel in player.channels.values():
        channel.finish(tick)
    return [c for c in player.channels.values() if c.notes or +c.dropped]


class _Player:
    """All channels of a file."""

    def __init__(self, own):
        self.channels = {}
        self._own = own  # tracks that have a channel to themselves, see _clashing_tracks
        self._ports = Counter()  # 0 until a track says otherwise
        self._n_exclusive = 0
        self._banks_choose_kits = True

    def _of(self, port, number, track):
        """The channels that an event of a track goes to."""
        owners = self._own.get((port, number))
        key = (port, number, -1)
        if owners is None:
            keys = [key]
        elif track in owners:
            keys = [(port, number, track)]
        else:
            keys = [key, *((port, number, owner) for owner in sorted(owners))]
        for key in keys:
            if key not in self.channels:
                self.channels[key] = Channel(number)
        return [self.channels[key] for key in keys]

    def numbered(self, port, number):
        """The channel of a number; several where tracks have it to themselves."""
        return [
            self._of(port, number, track)[0]
            for track in [-1, *sorted(self._own.get((port, number), ()))]
        ]

    def all_of(self, port):
        """All channels of a port, also those that have not been heard yet."""
        return [channel for number in range(16) for channel in self.numbered(port, number)]

    def reset(self, tick, port, banks_choose_kits):
        """Power-on state for all channels of a port, in one of the standards."""
        self._banks_choose_kits = banks_choose_kits
        for channel in self.all_of(port):
            channel.reset(tick)

    def play(self, track, event):
        """One event."""
        tick, status, data, kind = event
        port = self._ports[track]
        if status == META:
            if kind == PORT and data:
                self._ports[track] = data[0] & 0x7F
            return
        if status == SYSEX:
            self._n_exclusive += 1
            if self._n_exclusive <= MAX_EXCLUSIVE:
                obey_exclusive(self, tick, port, data)
            return
        channels = self._of(port, status & 0x0F, track)
        what, (first, second) = status & 0xF0, data
        if what == 0x90 and second:
            channels[0].strike(tick, first, second, track)
        elif what in (0x80, 0x90):
            channels[0].lift(tick, first)
        for channel in channels:
            if what == 0xB0:
                channel.control(tick, first, second)
            elif what == 0xC0:
                channel.change_program(first, self._banks_choose_kits)
            elif what == 0xE0:
                channel.bend(tick, first, second)


def _rank(event):
    """Order of what happens at one tick in different tracks: note-offs, set-up, note-ons."""
    if event.status in (META, SYSEX):
        return 1
    what = event.status & 0xF0
    if what == 0x80 or (what == 0x90 and not event.data[1]):
        return 0
    return 3 if what == 0x90 else 2


def _in_order(tracks):
    """Pairs (track, event) of all tracks by tick; within a track in its own order."""
    entries = [(e.tick, t, i) for t, events in enumerate(tracks) for i, e in enumerate(events)]
    entries.sort()
    for _, together in groupby(entries, key=lambda entry: entry[0]):
        together = list(together)
        if together[0][1] == together[-1][1]:
            for _, track, place in together:
                yield track, tracks[track][place]
            continue
        waiting = {t: [i for *_, i in group] for t, group in groupby(together, key=lambda e: e[1])}
        heads = [(_rank(tracks[t][places[0]]), t, 0) for t, places in waiting.items()]
        heapq.heapify(heads)
        while heads:
            _, track, n = heapq.heappop(heads)
            places = waiting[track]
            yield track, tracks[track][places[n]]
            if n + 1 < len(places):
                heapq.heappush(heads, (_rank(tracks[track][places[n + 1]]), track, n + 1))


def _clashing_tracks(tracks):
    """Tracks that cannot share a channel, by (port, channel).

    Programs that write more instruments than there are channels (pretty_midi, and with it Slakh's
    ``all_src.mid``) use channels again: two tracks then begin with different programs on one
    channel, at one tick. Played literally, one of them would have the other's instrument.
    """
    first = {}
    for number, events in enumerate(tracks):
        port, programs, banks, closed = 0, {}, {}, set()
        for event in events:
            if event.kind == PORT and event.data:
                port = event.data[0] & 0x7F
            if event.status >= SYSEX:
                continue
            key, what = (port, event.status & 0x0F), event.status & 0xF0
            if key in closed:
                continue
            if what == 0xC0:
                programs[key] = (event.tick, event.data[0], banks.get(key, 0))
            elif what == 0xB0 and event.data[0] == 0:
                banks[key] = event.data[1]
            elif what == 0x90 and event.data[1]:
                closed.add(key)
                if key in programs:
                    first.setdefault(key, {})[number] = programs[key]
    clashing = {}
    for key, found in first.items():
        ticks = Counter(tick for tick, *_ in set(found.values()))
        if any(count > 1 for count in ticks.values()):
            clashing[key] = set(found)
    return clashing
