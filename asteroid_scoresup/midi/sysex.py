"""System exclusive messages that change what notes are: resets, drum parts and tunings.

Universal messages (General MIDI, master tuning, MIDI Tuning Standard), and those of Roland (GS) and
Yamaha (XG), whose extensions of General MIDI are in common use. Checksums are not verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .tuning import Tuning


class Part(Protocol):
    """What a message may change in a channel."""

    tuning: Tuning

    def set_part_mode(self, is_drum: bool) -> None:
        """Makes the channel a drum kit, or a melodic part."""


class Receiver(Protocol):
    """What receives the messages: all channels of a file."""

    def numbered(self, port: int, number: int) -> Sequence[Part]:
        """The channels of one number."""

    def all_of(self, port: int) -> Sequence[Part]:
        """All channels of a port."""

    def reset(self, tick: int, port: int, banks_choose_kits: bool) -> None:
        """Returns all channels of a port to the power-on state."""


def apply_sysex(receiver: Receiver, tick: int, port: int, data: bytes) -> None:
    """Applies a message to the channels of a port; unknown messages have no effect.

    Args:
        receiver (Receiver): All channels of the file.
        tick (int): When.
        port (int): Which port it is sent to.
        data (bytes): The message after its first byte, F0.
    """
    data = data.rstrip(b"\xf7")
    if len(data) < 4:
        return
    maker, body = data[0], data[2:]
    if maker == 0x7E and body[0] == 0x09 and body[1] in (1, 3):
        receiver.reset(tick, port, banks_choose_kits=True)
    elif maker in (0x7E, 0x7F) and body[0] == 0x08:
        _tuning_standard(receiver, tick, port, body[1], body[2:])
    elif maker == 0x7F and body[0] == 0x04 and len(body) >= 4:
        if body[1] == 3:
            _master(receiver, tick, port, fine=_fine(body[3], body[2]))
        elif body[1] == 4:
            _master(receiver, tick, port, coarse=body[3] - 64)
    elif maker == 0x41 and body[:2] == b"\x42\x12" and len(body) >= 6:
        _roland(receiver, tick, port, tuple(body[2:5]), body[5:])
    elif maker == 0x43 and body[0] == 0x4C and len(body) >= 5:
        _yamaha(receiver, tick, port, tuple(body[1:4]), body[4:])


def _roland(
    receiver: Receiver, tick: int, port: int, address: tuple[int, ...], values: bytes
) -> None:
    if address in ((0x40, 0, 0x7F), (0, 0, 0x7F)):
        # In GS, banks are variations of an instrument and never kits.
        receiver.reset(tick, port, banks_choose_kits=False)
    elif address == (0x40, 0, 0) and len(values) >= 4:
        _master(receiver, tick, port, fine=_nibbles(values[:4]))
    elif address == (0x40, 0, 5):
        _master(receiver, tick, port, coarse=values[0] - 64)
    elif address[0] == 0x40 and address[1] >> 4 == 1:
        block = address[1] & 0x0F  # 0 is part 10; those above 9 keep their number
        number = 9 if block == 0 else block - 1 if block <= 9 else block
        _part(receiver, tick, port, number, address[2], 0x15, 0x16, values)
        if address[2] == 0x40 and len(values) >= 12:
            _scale(receiver, tick, port, [number], _cents(values))


def _yamaha(
    receiver: Receiver, tick: int, port: int, address: tuple[int, ...], values: bytes
) -> None:
    if address in ((0, 0, 0x7E), (0, 0, 0x7F)):
        receiver.reset(tick, port, banks_choose_kits=True)
    elif address == (0, 0, 0) and len(values) >= 4:
        _master(receiver, tick, port, fine=_nibbles(values[:4]))
    elif address == (0, 0, 6):
        _master(receiver, tick, port, coarse=values[0] - 64)
    elif address[0] == 0x08:
        ports, number = divmod(address[1], 16)
        _part(receiver, tick, port + ports, number, address[2], 0x07, 0x08, values)


def _part(
    receiver: Receiver,
    tick: int,
    port: int,
    number: int,
    what: int,
    mode: int,
    shift: int,
    values: bytes,
) -> None:
    """Part mode and key shift of a part; `mode` and `shift` are their addresses."""
    for channel in receiver.numbered(port, number):
        if what == mode:
            channel.set_part_mode(values[0] > 0)
        elif what == shift:
            channel.tuning.master(tick, part=values[0] - 64)


def _master(receiver: Receiver, tick: int, port: int, **semitones: float) -> None:
    for channel in receiver.all_of(port):
        channel.tuning.master(tick, **semitones)


def _tuning_standard(receiver: Receiver, tick: int, port: int, what: int, body: bytes) -> None:
    """The MIDI Tuning Standard: single notes, a bulk dump, or the twelve notes of an octave."""
    if what in (8, 9):
        if len(body) < 3 + 12 * (what - 7):
            return
        mask = body[0] << 14 | body[1] << 7 | body[2]
        numbers = [number for number in range(16) if mask >> number & 1]
        values = body[3:]
        if what == 8:
            _scale(receiver, tick, port, numbers, _cents(values))
        else:
            pairs = zip(values[0:24:2], values[1:24:2])
            _scale(receiver, tick, port, numbers, [_fine(high, low) for high, low in pairs])
        return
    if what == 1 and len(body) >= 17 + 3 * 128:
        program = body[0]
        rows = [bytes([key]) + body[17 + 3 * key : 20 + 3 * key] for key in range(128)]
    elif what in (2, 7) and len(body) >= what // 7 + 6:
        body = body[what // 7 :]  # 7 names a bank first
        program = body[0]
        rows = [body[k : k + 4] for k in range(2, 2 + 4 * body[1], 4)]
    else:
        return
    keys = {}
    for row in rows:
        if len(row) == 4 and row[1:] != b"\x7f\x7f\x7f":  # which means no change
            key, semitone, high, low = row
            keys[key & 0x7F] = semitone + (high << 7 | low) / 16384 - (key & 0x7F)
    for channel in receiver.all_of(port):
        channel.tuning.tune_keys(tick, program, keys)


def _fine(high: int, low: int) -> float:
    """Semitones of a 14-bit value, from -1 to 1."""
    return ((high << 7 | low) - 8192) / 8192


def _cents(values: bytes) -> list[float]:
    """Semitones of the 12 notes of an octave, one byte each: cents above -64."""
    return [(value - 64) / 100 for value in values[:12]]


def _scale(
    receiver: Receiver, tick: int, port: int, numbers: Sequence[int], semitones: Sequence[float]
) -> None:
    for number in numbers:
        for channel in receiver.numbered(port, number):
            channel.tuning.tune_octave(tick, np.array(semitones))


def _nibbles(values: bytes) -> float:
    """Master tuning of GS and XG in semitones: four nibbles, tenths of a cent around 1024."""
    number = 0
    for value in values:
        number = number << 4 | value & 0x0F
    return (number - 1024) / 1000
