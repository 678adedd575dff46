"""Finds the audio streams in files that were joined, or have a wrong length in the header.

Of several streams that were joined in one file libsndfile reads only the first, and no more samples
than the header announces or the size of the file suggests. The functions here split a file into its
streams, so that each can be decoded completely.
"""

from __future__ import annotations

import io
import mmap
import os
from typing import Any, TypeAlias

Data: TypeAlias = bytes | mmap.mmap
#: Kind of an MPEG frame: version, layer, index of the sample rate, whether it is mono.
Kind: TypeAlias = tuple[float, int, int, bool]
#: Number of bytes that are searched for an MPEG frame: pictures in tags can be long.
_SEARCH = 1 << 20
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
#: Number of positions in a tag that are tried as the start of a frame.
_CANDIDATES = 50
_FLAC = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
#: Bit rates, in kbit/s, by MPEG version and layer.
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class Truncated(ValueError):
    """A file ends before its stream does; the message is a part of a sentence."""


class Slice(io.RawIOBase):
    """A part of a file, as a file object.

    Args:
        data (bytes or mmap): The whole file.
        start (int): First byte of the part.
        stop (int): First byte after the part.
        head (bytes): Replaces the first bytes of the part.
    """

    def __init__(self, data: Data, start: int, stop: int, head: bytes = b"") -> None:
        super().__init__()
        self._data, self._start, self._head = data, start, head
        self._size, self._position = stop - start, 0

    def reopened(self) -> Slice:
        """The same part with a position of its own."""
        return Slice(self._data, self._start, self._start + self._size, self._head)

    def readable(self) -> bool:
        """See :class:`io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See :class:`io.IOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See :class:`io.IOBase`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = min(max(base + offset, 0), self._size)
        return self._position

    def tell(self) -> int:
        """See :class:`io.IOBase`."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """See :class:`io.RawIOBase`."""
        n = min(len(buffer), self._size - self._position)
        first = self._start + self._position
        buffer[:n] = self._data[first : first + n]
        if self._position < len(self._head):
            part = self._head[self._position : self._position + n]
            buffer[: len(part)] = part
        self._position += n
        return n


def mapped(path: str | os.PathLike[str]) -> mmap.mmap:
    """Maps a file into memory.

    Args:
        path (str or Path): The file.

    Returns:
        mmap.mmap: Its bytes, which are read when they are accessed.
    """
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def flac_streams(data: Data) -> list[tuple[Slice, int]]:
    """Finds the FLAC streams in a file, and marks their lengths as unknown in their headers.

    Args:
        data (bytes or mmap): The file.

    Returns:
        list of tuple: The stream, and the number of samples in its header (0: unknown).
    """
    starts, at = [], 0
    while True:
        found = [place for mark in _FLAC if (place := data.find(mark, at)) >= 0]
        if not found:
            break
        starts.append(min(found))
        at = starts[-1] + 8
    streams = []
    for start, stop in zip(starts, [*starts[1:], len(data)]):
        head = bytearray(data[start : start + 26])
        n_samples = (head[21] & 15) << 32 | int.from_bytes(head[22:26], "big")
        head[21] &= 0xF0
        head[22:26] = bytes(4)
        streams.append((Slice(data, start, stop, bytes(head)), n_samples))
    return streams


def ogg_streams(data: Data) -> list[Slice]:
    """Finds the consecutive streams in an Ogg file.

    Args:
        data (bytes or mmap): The file.

    Returns:
        list of Slice: The streams.

    Raises:
        Truncated: if the last page is incomplete.
    """
    starts, at, in_head = [], data.find(b"OggS"), False
    while 0 <= at < len(data):
        n_segments = data[at + 26] if at + 27 <= len(data) else 0
        body = at + 27 + n_segments
        stop = body + sum(data[at + 27 : body])
        if stop > len(data) or at + 27 > len(data):
            raise Truncated("its last page is incomplete")
        begins = bool(data[at + 5] & 2)
        # Simultaneous streams (of a video, for example) start together and count as one.
        if begins and not in_head:
            starts.append(at)
        in_head = begins
        at = data.find(b"OggS", stop)
    return [Slice(data, a, b) for a, b in zip(starts, [*starts[1:], len(data)])]


def asf_size(head: bytes) -> int:
    """Reads the size of a WMA file from its header.

    Args:
        head (bytes): The beginning of the file.

    Returns:
        int: Size of the file, in bytes; 0 if the header does not tell.
    """
    at = head.find(_ASF_PROPERTIES)
    # The size follows the ID and size of the object and the ID of the file.
    return 0 if at < 0 else int.from_bytes(head[at + 40 : at + 48], "little")


def _frame(data: Data, at: int) -> tuple[int, Kind] | None:
    """Size in bytes and kind of the MPEG frame at a position, if there is one."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    a, b, c = data[at + 1], data[at + 2], data[at + 3]
    version, layer = {0: 2.5, 2: 2, 3: 1}.get(a >> 3 & 3), 4 - (a >> 1 & 3)
    rate, index, padding = b >> 2 & 3, b >> 4, b >> 1 & 1
    if version is None or layer == 4 or rate == 3 or index in (0, 15):
        return None
    hertz = (44100, 48000, 32000)[rate] // {1: 1, 2: 2, 2.5: 4}[version]
    bits = 1000 * _BITRATES[min(int(version), 2), layer][index - 1]
    if layer == 1:
        length = (12 * bits // hertz + padding) * 4
    else:
        length = (72 if layer == 3 and version != 1 else 144) * bits // hertz + padding
    return length, (version, layer, rate, c >> 6 == 3)


def _next_frame(data: Data, at: int) -> int | None:
    """Position of the next frame that is followed by another of the same kind."""
    limit = min(len(data), at + _SEARCH)
    while (at := data.find(b"\xff", at, limit)) >= 0:
        frame = _frame(data, at)
        if frame is not None:
            after = _frame(data, at + frame[0])
            if after is not None and after[1] == frame[1]:
                return at
        at += 1
    return None


def _after_tag(data: Data, at: int) -> int | None:
    """Position after an ID3 or APE tag, if there is one."""
    head = data[at : at + 32]
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return at + 10 + size + (10 if head[5] & 16 else 0)
    if head[:3] == b"TAG":
        return at + 128
    if head[:8] == b"APETAGEX" and len(head) == 32:
        has_header = head[23] & 0x20 and not head[23] & 0x80
        return at + int.from_bytes(head[12:16], "little") + (0 if has_header else 32)
    return None


def _xing(data: Data, at: int, kind: Kind) -> int | None:
    """Number of frames in an encoder's header frame (0: unknown); None for other frames."""
    version, _, _, mono = kind
    side = (17 if mono else 32) if version == 1 else (9 if mono else 17)
    mark = at + 4 + side
    if data[mark : mark + 4] in (b"Xing", b"Info"):
        known = data[mark + 7] & 1
        return int.from_bytes(data[mark + 8 : mark + 12], "big") if known else 0
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big")
    return None


def mpeg_streams(data: Data) -> tuple[list[Slice | bytes], bool]:
    """Finds the MPEG audio streams in a file: joined MP3 files, or one without a known length.

    Args:
        data (bytes or mmap): The file.

    Returns:
        tuple: The streams, and whether the last frame is incomplete. A stream with its length in
        the header is a file object. A stream without is bytes, to be decoded through a pipe, since
        libsndfile would otherwise estimate its length and stop there.

    Raises:
        Truncated: if fewer frames are present than a header announces.
    """
    groups: list[tuple[list[tuple[int, int]], int | None]] = []
    at, incomplete, kind = _first(data), False, None
    while at is not None and at < len(data):
        frame = _frame(data, at)
        if frame is None or (kind not in (None, frame[1]) and _next_frame(data, at) != at):
            after = _after_tag(data, at)
            at = _next_frame(data, at + 1 if after is None else after)
            continue
        length, announced = frame[0], _xing(data, at, frame[1])
        if at + length > len(data):
            incomplete = True
            break
        # The count in a header may not include the last frame or two.
        full = (
            groups and 0 < (groups[-1][1] or 0) < len(groups[-1][0]) and at + 2 * length < len(data)
        )
        if announced is not None or full or frame[1] != kind:
            groups.append(([], announced))
        groups[-1][0].append((at, at + length))
        at, kind = at + length, frame[1]
    streams: list[Slice | bytes] = []
    for frames, announced in groups:
        if announced is not None and len(frames) + 4 < announced:
            raise Truncated(f"{announced - len(frames)} of {announced} MPEG frames are missing")
        if announced:
            joined = _joined(data, frames)
            streams.append(Slice(joined, 0, len(joined)))
        elif frames[announced is not None :]:
            streams.append(_joined(data, frames[announced is not None :]))
    return streams, incomplete


def _joined(data: Data, frames: list[tuple[int, int]]) -> bytes:
    """The bytes of frames, without those between them."""
    spans: list[list[int]] = []
    for start, stop in frames:
        if spans and spans[-1][1] == start:
            spans[-1][1] = stop
        else:
            spans.append([start, stop])
    return b"".join(data[start:stop] for start, stop in spans)


def _first(data: Data) -> int | None:
    """Position of the first frame after the tags, whose announced sizes may be wrong."""
    at = 0
    while (after := _after_tag(data, at)) is not None:
        inside = _next_frame(data, at + 10)
        for _ in range(_CANDIDATES):  # data in a picture may look like two frames, not like many
            if inside is None or inside >= after:
                break
            if _chain(data, inside, after):
                return inside
            inside = _next_frame(data, inside + 1)
        at = after
    found = _next_frame(data, at)
    return _next_frame(data, 0) if found is None else found


def _chain(data: Data, at: int, until: int) -> bool:
    """Whether the bytes between two positions are consecutive frames."""
    kind = None
    while at < until:
        frame = _frame(data, at)
        if frame is None or kind not in (None, frame[1]):
            return at == len(data)
        at, kind = at + frame[0], frame[1]
    return True
