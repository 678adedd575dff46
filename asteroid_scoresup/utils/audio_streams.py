"""Where the streams in a file begin: joined files, and headers that say too little.

libsndfile reads the first of several streams that were joined in one file, and as many samples as a
header promises or its length suggests. Here a file is cut into its streams, so that each can be
decoded to its end.
"""

from __future__ import annotations

import io
import mmap

#: Bytes in which an MPEG frame must be found: pictures in a tag can be long, noise is not.
_SEARCH = 1 << 20
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
#: Places in a tag that are tried for a frame.
_CANDIDATES = 50
_FLAC = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
#: kbit/s of MPEG-1 layers I, II, III, and of MPEG-2 layers I, and II and III.
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class BrokenOff(ValueError):
    """A file ends before its stream does.

    Args:
        what (str): What is missing.
    """


class Slice(io.RawIOBase):
    """Bytes of a file as a file of their own.

    Args:
        data (bytes or mmap): The whole file.
        start, stop (int): The part.
        head (bytes, optional): Stands in place of as many bytes at the beginning.
    """

    def __init__(self, data, start, stop, head=b""):
        super().__init__()
        self._data, self._start, self._head = data, start, head
        self._size, self._place = stop - start, 0

    def readable(self):
        """Whether it can be read: always."""
        return True

    def seekable(self):
        """Whether places can be chosen: always."""
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        """Goes to a place; see :class:`io.IOBase`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = min(max(base + offset, 0), self._size)
        return self._place

    def tell(self):
        """The place."""
        return self._place

    def readinto(self, buffer):
        """Reads the bytes that follow; see :class:`io.RawIOBase`."""
        n = min(len(buffer), self._size - self._place)
        first = self._start + self._place
        buffer[:n] = self._data[first : first + n]
        if self._place < len(self._head):
            part = self._head[self._place : self._place + n]
            buffer[: len(part)] = part
        self._place += n
        return n


def mapped(path):
    """The bytes of a file, read as they are needed."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def flac_streams(data):
    """The FLAC streams in a file, each with an unknown length, so that all of it is decoded.

    Args:
        data (bytes or mmap): The file.

    Returns:
        list of tuple: :class:`Slice`, and the samples that its header promises (0: unknown).
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


def ogg_streams(data):
    """The streams that follow each other in an Ogg file.

    Args:
        data (bytes or mmap): The file.

    Returns:
        list of Slice: One per link of the chain.

    Raises:
        BrokenOff: if the last page is not whole.
    """
    starts, at, in_head = [], data.find(b"OggS"), False
    while 0 <= at < len(data):
        n_segments = data[at + 26] if at + 27 <= len(data) else 0
        body = at + 27 + n_segments
        stop = body + sum(data[at + 27 : body])
        if stop > len(data) or at + 27 > len(data):
            raise BrokenOff("its last page is cut")
        begins = bool(data[at + 5] & 2)
        # Several streams side by side (a video, say) begin together and are one link.
        if begins and not in_head:
            starts.append(at)
        in_head = begins
        at = data.find(b"OggS", stop)
    return [Slice(data, a, b) for a, b in zip(starts, [*starts[1:], len(data)])]


def asf_size(head):
    """Size in bytes that a WMA file's header says the file has; 0 where it says nothing.

    Args:
        head (bytes): The beginning of the file.
    """
    at = head.find(_ASF_PROPERTIES)
    # Identity and length of the object, identity of the file; then the size.
    return 0 if at < 0 else int.from_bytes(head[at + 40 : at + 48], "little")


def _frame(data, at):
    """Length in bytes and kind (version, layer, rate index, mono) of the frame at a place."""
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


def _next_frame(data, at):
    """Place of the next two frames that follow each other and are of one kind."""
    limit = min(len(data), at + _SEARCH)
    while (at := data.find(b"\xff", at, limit)) >= 0:
        frame = _frame(data, at)
        if frame is not None:
            after = _frame(data, at + frame[0])
            if after is not None and after[1] == frame[1]:
                return at
        at += 1
    return None


def _after_tag(data, at):
    """Place after an ID3 or APE tag, or None."""
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


def _xing(data, at, kind):
    """Frames that an encoder's own header frame promises (0: not said), or None without one."""
    version, _, _, mono = kind
    side = (17 if mono else 32) if version == 1 else (9 if mono else 17)
    mark = at + 4 + side
    if data[mark : mark + 4] in (b"Xing", b"Info"):
        known = data[mark + 7] & 1
        return int.from_bytes(data[mark + 8 : mark + 12], "big") if known else 0
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big")
    return None


def mpeg_streams(data):
    """The MPEG audio streams in a file: MP3 files that were joined, or one without a true length.

    Args:
        data (bytes or mmap): The file.

    Returns:
        tuple: list of streams, and whether the last frame is cut. A stream whose header says how
        long it is comes as a file-like object that can be decoded as it is. One without comes as
        bytes: libsndfile would stop at its estimate, unless it reads from a pipe.

    Raises:
        BrokenOff: if frames are missing that a header promises.
    """
    groups, at, cut, kind = [], _first(data), False, None
    while at is not None and at < len(data):
        frame = _frame(data, at)
        if frame is None or (kind not in (None, frame[1]) and _next_frame(data, at) != at):
            after = _after_tag(data, at)
            at = _next_frame(data, at + 1 if after is None else after)
            continue
        length, promised = frame[0], _xing(data, at, frame[1])
        if at + length > len(data):
            cut = True
            break
        # A header's count may leave out the last frame or two.
        full = (
            groups and 0 < (groups[-1][1] or 0) < len(groups[-1][0]) and at + 2 * length < len(data)
        )
        if promised is not None or full or frame[1] != kind:
            groups.append(([], promised))
        groups[-1][0].append((at, at + length))
        at, kind = at + length, frame[1]
    streams = []
    for frames, promised in groups:
        if promised is not None and len(frames) + 4 < promised:
            raise BrokenOff(f"{promised - len(frames)} of {promised} MPEG frames are missing")
        if promised:
            streams.append(io.BytesIO(_joined(data, frames)))
        elif frames[promised is not None :]:
            streams.append(_joined(data, frames[promised is not None :]))
    return streams, cut


def _joined(data, frames):
    """The bytes of frames; what lies between them is left out."""
    spans = []
    for start, stop in frames:
        if spans and spans[-1][1] == start:
            spans[-1][1] = stop
        else:
            spans.append([start, stop])
    return b"".join(data[start:stop] for start, stop in spans)


def _first(data):
    """Place of the first frame, behind tags, but not behind what a tag only claims to be its."""
    at = 0
    while (after := _after_tag(data, at)) is not None:
        inside = _next_frame(data, at + 10)
        for _ in range(_CANDIDATES):  # what looks like a frame in a picture is not followed by more
            if inside is None or inside >= after:
                break
            if _chain(data, inside, after):
                return inside
            inside = _next_frame(data, inside + 1)
        at = after
    found = _next_frame(data, at)
    return _next_frame(data, 0) if found is None else found


def _chain(data, at, until):
    """Whether one frame follows the other from a place to beyond another."""
    kind = None
    while at < until:
        frame = _frame(data, at)
        if frame is None or kind not in (None, frame[1]):
            return at == len(data)
        at, kind = at + frame[0], frame[1]
    return True
