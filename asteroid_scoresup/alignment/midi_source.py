"""The messages of a MIDI file, all of them, so that the file can be written again with changes.

Files are read with mido, which keeps lyrics, signatures and everything else. It stops at the first
invalid byte, though, and clips values in its own way. Where its notes are not those of the reader
of the package (:mod:`asteroid_scoresup.midi`), the messages are those of that reader, which skips
what is invalid and does not read lyrics or signatures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import mido

from ..midi.events import META, PORT, SYSEX, TRACK_NAME, Event, MidiEvents, TempoMap, read_events

Message: TypeAlias = mido.Message | mido.MetaMessage


class Source(NamedTuple):
    """A MIDI file: for each track its messages, and the same as events for the package's reader.

    Args:
        kind (int): Format, 0 or 1.
        seconds (TempoMap): Converts ticks to seconds.
        messages (list of list of mido.Message): By track; their times are not used.
        events (list of list of Event): The same, with absolute ticks.
    """

    kind: int
    seconds: TempoMap
    messages: list[list[Message]]
    events: list[list[Event]]

    @property
    def last_tick(self) -> int:
        """int: Tick of the last message."""
        return max((track[-1].tick for track in self.events if track), default=0)


def read_source(path: str | Path) -> Source:
    """Reads all messages of a MIDI file.

    Args:
        path (str or Path): The file.

    Returns:
        Source: Its messages.

    Raises:
        ValueError: if the file is missing or not a MIDI file.
    """
    read = read_events(path)
    tracks: list[list[tuple[int, Message]]]
    try:
        tracks = [_with_ticks(track) for track in mido.MidiFile(path, clip=True).tracks]
        events = [[_event(tick, message) for tick, message in track] for track in tracks]
        same = _played(events) == _played(read.tracks)
    except Exception:  # mido raises errors of many kinds on invalid bytes
        same = False
    if not same:
        tracks = _tracks_of(read)
        events = [[_event(tick, message) for tick, message in track] for track in tracks]
    messages = [[message for _, message in track] for track in tracks]
    return Source(min(read.kind, 1), read.seconds, messages, events)


def _with_ticks(track: Iterable[Message]) -> list[tuple[int, Message]]:
    """Messages with their absolute ticks; ends of tracks are left out."""
    found, tick = [], 0
    for message in track:
        tick += message.time
        if message.type != "end_of_track":
            found.append((tick, message.copy(time=0)))
    return found


def _event(tick: int, message: Message) -> Event:
    if message.type == "midi_port":
        return Event(tick, META, bytes([message.port & 0x7F]), PORT)
    if message.is_meta:
        return Event(tick, META, b"")
    status, *data = message.bytes()
    if status == SYSEX:
        return Event(tick, SYSEX, bytes(data))
    return Event(tick, status, bytes([*data, 0])[:2])


def _played(tracks: Iterable[Iterable[Event]]) -> Counter[tuple[int, int, bytes]]:
    """What the channels receive; aftertouch is not read by the package."""
    return Counter(
        (e.tick, e.status, e.data)
        for events in tracks
        for e in events
        if e.status < SYSEX and e.status & 0xF0 not in (0xA0, 0xD0)
    )


def _tracks_of(read: MidiEvents) -> list[list[tuple[int, Message]]]:
    """Messages from the events of the package's reader."""
    return [
        [(event.tick, message) for event in events if (message := _message(event)) is not None]
        for events in read.tracks
    ]


def _message(event: Event) -> Message | None:
    """The message of an event; None for those that are not used here."""
    status, data = event.status, event.data
    if status == SYSEX:
        body = data.rstrip(b"\xf7")
        return None if any(byte > 127 for byte in body) else mido.Message("sysex", data=body)
    if status == META:
        if event.kind == TRACK_NAME:
            return mido.MetaMessage("track_name", name=data.decode("latin1"))
        if event.kind == PORT and data:
            return mido.MetaMessage("midi_port", port=data[0] & 0x7F)
        return None
    if status >= SYSEX or (status & 0xE0 == 0x80 and data[0] > 127):
        return None  # notes that no instrument plays
    length = 1 if status & 0xF0 == 0xC0 else 2
    if length == 1 and data[0] > 127:
        return None  # a program that does not exist
    return mido.Message.from_bytes([status, *(min(byte, 127) for byte in data[:length])])
