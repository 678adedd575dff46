"""The bytes of MIDI files: chunks, events and times, whatever state they are in.

Readers of MIDI files (mido, and pretty_midi on top of it) give up at the first odd byte. What is
found in the field has many: key signatures that do not exist, values above 127, unknown chunks,
tracks that end in the middle. Hardly any of it touches the notes. So the bytes are read here, as
players read them: what makes no sense is passed over and named, and only a file that has no notes
to tell is refused.

Bounds: every event takes at least one byte of the file, files have at most :data:`MAX_BYTES`, and
lengths that the file claims are never believed.
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: No song has so many bytes of MIDI; one of ten minutes has some 100,000.
MAX_BYTES = 8 * 2**20

META, SYSEX = 0xFF, 0xF0
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
#: Meta events that are of use here; the others (texts, lyrics, signatures) are not kept.
TRACK_NAME, PORT, END, TEMPO = 0x03, 0x21, 0x2F, 0x51
#: Frames per second of an SMPTE division; 29 stands for 30 drop frame.
_FRAME_RATES = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}
_LARGEST_DELTA = 2**28 - 1

CUT = "a track ends in the middle of an event"
JUNK = "bytes that belong to no event were passed over"
BEYOND_127 = "data bytes above 127 were read as 127"
BAD_TEMPO = "a tempo that is none was passed over"
FEWER_TRACKS = "the header announces tracks that are not there"


class Event(NamedTuple):
    """One event: tick, status byte (channel included), and its data.

    `data` are the bytes of a channel message (two, the second 0 where there is one only), the bytes
    after F0 of a system exclusive message, or the payload of a meta event after its type in `kind`.
    """

    tick: int
    status: int
    data: bytes
    kind: int = -1


class MidiBytes(NamedTuple):
    """What a file holds, before anything is played.

    Args:
        kind (int): Format 0, 1 or 2.
        seconds (callable): Seconds of an array of ticks.
        tracks (list): One list of :class:`Event` a track, in the file's order.
        remarks (Counter): What was passed over or mended, and how often.
    """

    kind: int
    seconds: TempoMap
    tracks: list
    remarks: Counter


class TempoMap:
    """From ticks to seconds.

    Args:
        changes (list): Pairs (tick, microseconds per quarter), in order of time.
        ticks_per_quarter (float): Resolution.
    """

    def __init__(self, changes, ticks_per_quarter):
        ticks, tempi = zip(*[(0, 500000), *changes])
        self._ticks = np.array(ticks, dtype=np.float64)
        self._per_tick = np.array(tempi, dtype=np.float64) / 1e6 / ticks_per_quarter
        passed = np.diff(self._ticks) * self._per_tick[:-1]
        self._seconds = np.concatenate([[0.0], np.cumsum(passed)])
        #: Beats per minute at the beginning.
        self.tempo = 60e6 / next((t for k, t in reversed(changes) if k == 0), 500000)

    def __call__(self, ticks):
        """Seconds of an array of ticks."""
        ticks = np.asarray(ticks, dtype=np.float64)
        place = np.searchsorted(self._ticks, ticks, side="right") - 1
        return self._seconds[place] + (ticks - self._ticks[place]) * self._per_tick[place]


def read_events(path):
    """Reads the events of a MIDI file.

    Args:
        path (str or Path): Standard MIDI file, alone or in a RIFF wrapper (RMID).

    Returns:
        MidiBytes: Its tracks. Empty ones are left out.

    Raises:
        ValueError: if the file is missing, no MIDI file, too large, or has no clock.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size} bytes, expected at most {MAX_BYTES}")
        return parse_events(Path(path).read_bytes())
    except (ValueError, OSError) as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path} cannot be read as MIDI: {detail}.") from None


def parse_events(content):
    """The same, from bytes; messages do not know the file's name.

    Examples
        >>> head = b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 1, 224])
        >>> track = bytes([0, 0x90, 60, 90, 96, 60, 0, 0, 0xFF, 0x2F, 0])
        >>> read = parse_events(head + b"MTrk" + bytes([0, 0, 0, len(track)]) + track)
        >>> [(e.tick, hex(e.status), e.data[0]) for e in read.tracks[0][:2]]
        [(0, '0x90', 60), (96, '0x90', 60)]
        >>> float(read.seconds(96))
        0.1
    """
    start = _find_header(content)
    if len(content) < start + 14:
        raise ValueError("its header is cut off")
    size, kind, announced, division = struct.unpack_from(">IHHH", content, start + 4)
    remarks, tracks, found = Counter(), [], 0
    found_others = 0  # chunks that are no tracks; some writers count them
    position = start + 8 + (size if 6 <= size <= len(content) else 6)
    while position + 8 <= len(content):
        name, length = struct.unpack_from(">4sI", content, position)
        body = position + 8
        if name == b"MTrk":
            found += 1
            events, position = _read_track(content, body, length, remarks)
            if any(event.kind != END for event in events):
                tracks.append(events)
        elif _is_chunk(content, position) and body + length <= len(content):
            found_others += 1
            position = body + length  # the format asks readers to skip what they do not know
        else:
            following = content.find(b"MTrk", position + 1)
            if following >= 0:
                remarks[JUNK] += 1
            position = following if following >= 0 else len(content)
    if not found:
        raise ValueError("it has no tracks")
    if found + found_others < announced:
        remarks[FEWER_TRACKS] += 1
    kind = kind if kind in (0, 1, 2) else 1
    if kind == 2:
        playing = [track for track in tracks if any(e.status & 0xF0 == 0x90 for e in track)]
        if len(playing) > 1:
            raise ValueError(
                f"it holds {len(playing)} independent patterns (format 2), which have no common "
                "clock: save the song as format 1"
            )
        tracks = playing
    return MidiBytes(kind, _clock(division, tracks, remarks), tracks, remarks)


def _find_header(content):
    if content[:4] == b"MThd":
        return 0
    # RIFF wraps it, at any place; old Macintosh files have a resource header before it.
    start = content.find(b"MThd", 0, None if content[:4] == b"RIFF" else 4096)
    if start < 0:
        what = f"begins with {content[:4]!r}" if content else "is empty"
        raise ValueError(f"it {what}, expected 'MThd'")
    return start


def _is_chunk(content, position):
    name = content[position : position + 4]
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _read_track(content, start, length, remarks):
    """Events of a track, and where the next chunk begins, whatever its length claims to be."""
    claimed = start + length
    end = claimed
    if claimed > len(content):
        following = content.find(b"MTrk", start)
        end = following if following >= 0 else len(content)
    events, stop, state = _parse(content, start, end, remarks)
    if state == "end":
        # A length that is too large by mistake would swallow the tracks that follow.
        fits = claimed == len(content) or (claimed < len(content) and _is_chunk(content, claimed))
        return events, claimed if fits else stop
    if claimed < len(content) and not _is_chunk(content, claimed):
        # As of writers that could not go back to fill it in.
        following = content.find(b"MTrk", start)
        end = following if following >= 0 else len(content)
        events, stop, state = _parse(content, start, end, remarks)
        if state == "end":
            return events, stop
    if state == "cut" or claimed > len(content):
        remarks[CUT] += 1
    return events, end


def _parse(content, start, end, remarks):
    """Events between two places: the list, where it stopped, and ``end``, ``cut`` or ``open``."""
    events, tick, position, running = [], 0, start, 0
    noted = Counter()  # of this attempt only

    def finish(state):
        remarks.update(noted)
        return events, position, state

    while position < end:
        delta, position = _variable(content, position, end)
        if delta is None:
            return finish("cut")
        tick += delta
        if position >= end:
            return finish("cut")
        status = content[position]
        if status >= 0x80:
            position += 1
        elif running:
            status = running
        else:
            noted[JUNK] = 1
            position += 1
            continue
        if status < 0xF0:
            running = status
            count = _DATA_BYTES[status & 0xF0]
            data = content[position : position + count]
            if position + count > end:
                return finish("cut")
            position += count
            if max(data) > 127:
                noted[BEYOND_127] = 1
            if status & 0xF0 not in (0xA0, 0xD0):  # nothing here follows the pressure on keys
                events.append(Event(tick, status, data if count == 2 else data + b"\0"))
        elif status in (META, SYSEX, 0xF7):
            kind = -1
            if status == META:
                if position >= end:
                    return finish("cut")
                kind = content[position]
                position += 1
                if kind == END:
                    # Its length is 0, and where it is not, nothing follows that matters.
                    position += 1
                    events.append(Event(tick, META, b"", END))
                    return finish("end")
            size, position = _variable(content, position, end)
            if size is None or position + size > end:
                return finish("cut")
            data = content[position : position + size]
            position += size
            if status == SYSEX or kind in (TRACK_NAME, PORT, TEMPO):
                events.append(Event(tick, status, data, kind))
        else:
            # System messages have no place in a file, but a known length.
            position += _SYSTEM_DATA_BYTES.get(status, 0)
    return finish("open")


def _variable(content, position, end):
    """A number of variable length and where it ends; None if it does not."""
    value = 0
    for place in range(position, min(position + 8, end)):
        value = value << 7 | (content[place] & 0x7F)
        if content[place] < 0x80:
            return (value if value <= _LARGEST_DELTA else None), place + 1
    return None, end


def _clock(division, tracks, remarks):
    """From ticks to seconds, with the tempi of all tracks."""
    if division >= 0x8000:
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if frames not in _FRAME_RATES or not ticks:
            raise ValueError(
                f"its clock runs at {ticks} ticks in each of {frames} frames a second, expected "
                "24, 25, 29 or 30 frames"
            )
        # A quarter of half a second makes a tick of the frame clock; tempi do not count.
        return TempoMap([], _FRAME_RATES[frames] * ticks / 2)
    if not division:
        raise ValueError("its clock has 0 ticks per quarter note")
    changes = []
    for track in tracks:
        for event in track:
            if event.kind == TEMPO:
                tempo = int.from_bytes(event.data[:3], "big")
                if len(event.data) < 3 or not tempo:
                    remarks[BAD_TEMPO] += 1
                else:
                    changes.append((event.tick, tempo))
    return TempoMap(sorted(changes, key=lambda change: change[0]), division)
