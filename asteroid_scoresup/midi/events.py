"""The bytes of MIDI files: chunks, events and clocks, in whatever state they are.

Readers of MIDI files (mido, and pretty_midi on top of it) stop at the first invalid byte. Files in
the field have many: key signatures that do not exist, data bytes above 127, unknown chunks, tracks
that are truncated. Hardly any of it affects the notes. This parser therefore behaves as players do:
it skips what is invalid, reports it as a remark, and refuses only files from which no notes can be
read.

The cost is bounded: every event takes at least one byte of the file, files have at most
:data:`MAX_BYTES`, and lengths that the file claims are never trusted.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: Largest file that is read, in bytes; a song of ten minutes takes about 100,000.
MAX_BYTES = 8 * 2**20

#: Status bytes of meta events, system exclusive messages, and their continuation packets.
META, SYSEX, SYSEX_CONTINUATION = 0xFF, 0xF0, 0xF7
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
#: Meta events that are kept; texts, lyrics and signatures are not.
TRACK_NAME, PORT, END, TEMPO = 0x03, 0x21, 0x2F, 0x51
#: Frames per second of an SMPTE division; 29 means 30 drop frame.
_FRAME_RATES = {24: 24.0, 25: 25.0, 29: 30000 / 1001, 30: 30.0}
_LARGEST_DELTA = 2**28 - 1
_DEFAULT_TEMPO = 500_000  # microseconds per quarter note

CUT = "a track ends in the middle of an event"
JUNK = "bytes that belong to no event were skipped"
BEYOND_127 = "data bytes above 127 were read as 127"
BAD_TEMPO = "an invalid tempo was ignored"
FEWER_TRACKS = "the header announces more tracks than the file has"


class Event(NamedTuple):
    """One event of a track.

    Args:
        tick (int): Absolute time, in ticks.
        status (int): Status byte, channel included.
        data (bytes): Two bytes of a channel message (the second is 0 where the message has one
            only), the bytes after F0 of a system exclusive message, or the payload of a meta event.
        kind (int): Type of a meta event; -1 for others.
    """

    tick: int
    status: int
    data: bytes
    kind: int = -1


class MidiEvents(NamedTuple):
    """The events of a file, before they are interpreted.

    Args:
        kind (int): Format 0, 1 or 2.
        seconds (TempoMap): Converts ticks to seconds.
        tracks (list of list of Event): In the order of the file; empty tracks are left out.
        remarks (Counter): What was skipped or repaired, and how often.
    """

    kind: int
    seconds: TempoMap
    tracks: list[list[Event]]
    remarks: Counter[str]


class TempoMap:
    """Converts ticks to seconds.

    Args:
        changes (sequence of tuple): Pairs (tick, microseconds per quarter note), in order of time.
        ticks_per_quarter (float): Resolution.
    """

    def __init__(self, changes: Sequence[tuple[int, int]], ticks_per_quarter: float):
        ticks, tempi = zip(*[(0, _DEFAULT_TEMPO), *changes])
        self._ticks = np.array(ticks, dtype=np.float64)
        self._per_tick = np.array(tempi, dtype=np.float64) / 1e6 / ticks_per_quarter
        passed = np.diff(self._ticks) * self._per_tick[:-1]
        self._seconds = np.concatenate([[0.0], np.cumsum(passed)])
        self.ticks_per_quarter = ticks_per_quarter
        #: Beats per minute at the beginning.
        self.tempo = 60e6 / next((t for k, t in reversed(changes) if k == 0), _DEFAULT_TEMPO)

    @property
    def changes(self) -> np.ndarray:
        """The ticks at which the tempo changes, the first tick included."""
        return self._ticks.astype(np.int64)

    def ticks(self, seconds: np.ndarray | Sequence[float] | float) -> np.ndarray:
        """Ticks at an array of times, with fractions, in the same shape."""
        seconds = np.asarray(seconds, dtype=np.float64)
        segment = np.maximum(np.searchsorted(self._seconds, seconds, side="right") - 1, 0)
        return self._ticks[segment] + (seconds - self._seconds[segment]) / self._per_tick[segment]

    def first_tick(self, seconds: float) -> int:
        """The first tick that is not before a time, from 0 on."""
        tick = max(math.ceil(float(self.ticks(seconds))), 0)
        # Rounding errors, so that the answer agrees with the times of the ticks.
        while tick > 0 and self(tick - 1) >= seconds:
            tick -= 1
        while self(tick) < seconds:
            tick += 1
        return tick

    def __call__(self, ticks: np.ndarray | Sequence[int] | int) -> np.ndarray:
        """Seconds of an array of ticks, in the same shape."""
        ticks = np.asarray(ticks, dtype=np.float64)
        segment = np.searchsorted(self._ticks, ticks, side="right") - 1
        return self._seconds[segment] + (ticks - self._ticks[segment]) * self._per_tick[segment]


def read_events(path: str | Path) -> MidiEvents:
    """Reads the events of a MIDI file.

    Args:
        path (str or Path): Standard MIDI file, alone or in a RIFF wrapper (RMID).

    Returns:
        MidiEvents: Its tracks and its clock.

    Raises:
        ValueError: if the file is missing, not a MIDI file, too large, or without a valid clock.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size} bytes, expected at most {MAX_BYTES}")
        return parse_events(Path(path).read_bytes())
    except (ValueError, OSError) as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"{path} cannot be read as MIDI: {detail}.") from None


def parse_events(content: bytes) -> MidiEvents:
    """Parses the bytes of a MIDI file; as :func:`read_events`, but errors do not name a file.

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
        raise ValueError("its header is truncated")
    size, kind, announced, division = struct.unpack_from(">IHHH", content, start + 4)
    remarks: Counter[str] = Counter()
    tracks: list[list[Event]] = []
    n_tracks = n_others = 0  # some writers count other chunks as tracks
    position = start + 8 + (size if 6 <= size <= len(content) else 6)
    while position + 8 <= len(content):
        name, length = struct.unpack_from(">4sI", content, position)
        body = position + 8
        if name == b"MTrk":
            n_tracks += 1
            events, position = _read_track(content, body, length, remarks)
            if any(event.kind != END for event in events):
                tracks.append(events)
        elif _is_chunk(content, position) and body + length <= len(content):
            n_others += 1
            position = body + length  # the format asks readers to skip unknown chunks
        else:
            following = content.find(b"MTrk", position + 1)
            if following >= 0:
                remarks[JUNK] += 1
            position = following if following >= 0 else len(content)
    if not n_tracks:
        raise ValueError("it has no tracks")
    if n_tracks + n_others < announced:
        remarks[FEWER_TRACKS] += 1
    kind = kind if kind in (0, 1, 2) else 1
    if kind == 2:
        playing = [track for track in tracks if any(e.status & 0xF0 == 0x90 for e in track)]
        if len(playing) > 1:
            raise ValueError(
                f"it contains {len(playing)} independent patterns (format 2), which have no common "
                "clock: save the song as format 1"
            )
        tracks = playing
    return MidiEvents(kind, _tempo_map(division, tracks, remarks), tracks, remarks)


def _find_header(content: bytes) -> int:
    if content[:4] == b"MThd":
        return 0
    # A RIFF wrapper may have it anywhere; old Macintosh files begin with a resource header.
    start = content.find(b"MThd", 0, None if content[:4] == b"RIFF" else 4096)
    if start < 0:
        what = f"begins with {content[:4]!r}" if content else "is empty"
        raise ValueError(f"it {what}, expected 'MThd'")
    return start


def _is_chunk(content: bytes, position: int) -> bool:
    name = content[position : position + 4]
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _read_track(
    content: bytes, start: int, length: int, remarks: Counter[str]
) -> tuple[list[Event], int]:
    """Events of a track and where the next chunk begins, whatever its length claims to be."""
    claimed = start + length
    end = claimed
    if claimed > len(content):
        following = content.find(b"MTrk", start)
        end = following if following >= 0 else len(content)
    events, stop, state = _parse_track(content, start, end, remarks)
    if state == "end":
        # A length that is too large by mistake would swallow the tracks that follow.
        fits = claimed == len(content) or (claimed < len(content) and _is_chunk(content, claimed))
        return events, claimed if fits else stop
    if claimed < len(content) and not _is_chunk(content, claimed):
        # Written by programs that could not go back to fill in the length.
        following = content.find(b"MTrk", start)
        end = following if following >= 0 else len(content)
        events, stop, state = _parse_track(content, start, end, remarks)
        if state == "end":
            return events, stop
    if state == "cut" or claimed > len(content):
        remarks[CUT] += 1
    return events, end


def _parse_track(
    content: bytes, start: int, end: int, remarks: Counter[str]
) -> tuple[list[Event], int, str]:
    """Events between two positions, where parsing stopped, and ``end``, ``cut`` or ``open``."""
    events: list[Event] = []
    tick, position, running = 0, start, 0
    found: Counter[str] = Counter()  # remarks on this attempt only

    def finish(state: str) -> tuple[list[Event], int, str]:
        remarks.update(found)
        return events, position, state

    while position < end:
        delta, position = _variable_length(content, position, end)
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
            found[JUNK] = 1
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
                found[BEYOND_127] = 1
            if status & 0xF0 not in (0xA0, 0xD0):  # aftertouch is not used
                events.append(Event(tick, status, data if count == 2 else data + b"\0"))
        elif status in (META, SYSEX, SYSEX_CONTINUATION):
            kind = -1
            if status == META:
                if position >= end:
                    return finish("cut")
                kind = content[position]
                position += 1
                if kind == END:
                    # Its length should be 0; where it is not, nothing of interest follows.
                    position += 1
                    events.append(Event(tick, META, b"", END))
                    return finish("end")
            size, position = _variable_length(content, position, end)
            if size is None or position + size > end:
                return finish("cut")
            data = content[position : position + size]
            position += size
            if status == SYSEX or kind in (TRACK_NAME, PORT, TEMPO):
                events.append(Event(tick, status, data, kind))
            elif status == SYSEX_CONTINUATION and events and _is_open(events[-1]):
                # A message sent in several packets takes effect with the last of them.
                events[-1] = Event(tick, SYSEX, events[-1].data + data)
        else:
            # System messages do not belong in a file, but their length is known.
            position += _SYSTEM_DATA_BYTES.get(status, 0)
    return finish("open")


def _is_open(event: Event) -> bool:
    """Whether an event is a system exclusive message that has not ended yet."""
    return event.status == SYSEX and not event.data.endswith(b"\xf7")


def _variable_length(content: bytes, position: int, end: int) -> tuple[int | None, int]:
    """A variable-length quantity and where it ends; None if it is cut or too large."""
    value = 0
    for place in range(position, min(position + 8, end)):
        value = value << 7 | (content[place] & 0x7F)
        if content[place] < 0x80:
            return (value if value <= _LARGEST_DELTA else None), place + 1
    return None, end


def _tempo_map(division: int, tracks: list[list[Event]], remarks: Counter[str]) -> TempoMap:
    """The clock of a file, with the tempo changes of all its tracks."""
    if division >= 0x8000:
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if frames not in _FRAME_RATES or not ticks:
            raise ValueError(
                f"its clock has {ticks} ticks per frame at {frames} frames per second, expected "
                "at least 1 tick and 24, 25, 29 or 30 frames"
            )
        # An SMPTE clock ignores tempo changes. Half a second makes a quarter at the default tempo.
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
