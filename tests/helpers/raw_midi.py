"""MIDI files byte by byte, so that odd ones can be made."""

import struct


def variable(number):
    """A number of variable length."""
    data = [number & 127]
    while number := number >> 7:
        data.insert(0, 128 | (number & 127))
    return bytes(data)


def track(events, end=True):
    """A chunk of (tick, bytes), in the order given where ticks are equal."""
    data, now = b"", 0
    for tick, raw in sorted(events, key=lambda event: event[0]):
        data, now = data + variable(tick - now) + raw, tick
    data += b"\0\xff\x2f\0" if end else b""
    return b"MTrk" + struct.pack(">I", len(data)) + data


def midi(*tracks, division=480, kind=1, announced=None, header=b""):
    """A file; each track is a chunk, or a list of events."""
    chunks = [chunk if isinstance(chunk, bytes) else track(chunk) for chunk in tracks]
    number = len(chunks) if announced is None else announced
    head = struct.pack(">IHHH", 6 + len(header), kind, number, division & 0xFFFF)
    return b"MThd" + head + header + b"".join(chunks)


def tempo(microseconds):
    """Microseconds per quarter note."""
    return b"\xff\x51\x03" + struct.pack(">I", microseconds)[1:]


def program(channel, number):
    """A program change."""
    return bytes([0xC0 | channel, number])


def cc(channel, number, value):
    """A control change."""
    return bytes([0xB0 | channel, number, value])


def wheel(channel, value):
    """The pitch wheel, -8192 to 8191."""
    return bytes([0xE0 | channel, value + 8192 & 127, value + 8192 >> 7])


def on(channel, pitch, velocity=90):
    """A note-on."""
    return bytes([0x90 | channel, pitch, velocity])


def off(channel, pitch):
    """A note-off."""
    return bytes([0x80 | channel, pitch, 0])


def note(channel, start, stop, pitch=60, velocity=90):
    """Both ends of a note, in ticks."""
    return [(start, on(channel, pitch, velocity)), (stop, off(channel, pitch))]


def exclusive(*data):
    """A system exclusive message; F0 and F7 are added."""
    return b"\xf0" + variable(len(data) + 1) + bytes(data) + b"\xf7"
