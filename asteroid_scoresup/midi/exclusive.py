"""System exclusive messages that change what notes are: resets, drum parts and tunings.

Universal messages (General MIDI, master tuning, MIDI Tuning Standard) and those of the two
makers whose extensions of General MIDI songs use, Roland (GS) and Yamaha (XG).
"""

from __future__ import annotations

import numpy as np


def obey_exclusive(player, tick, port, data):
    """Lets the channels of a port follow a message.

    Args:
        player: Has ``all_of(port)``, ``numbered(port, number)`` and ``reset``, see
            ``midi_channels``.
        tick (int): When.
        port (int): Where.
        data (bytes): The message after its first byte, F0.
    """
    data = data.rstrip(b"\xf7")
    if len(data) < 4:
        return
    maker, body = data[0], data[2:]
    if maker == 0x7E and body[0] == 0x09:
        player.reset(tick, port, banks_choose_kits=True)
    elif maker in (0x7E, 0x7F) and body[0] == 0x08:
        _tune(player, tick, port, body[1], body[2:])
    elif maker == 0x7F and body[0] == 0x04 and len(body) >= 4:
        if body[1] == 3:
            fine = ((body[3] << 7 | body[2]) - 8192) / 8192
            _master(player, tick, port, fine=fine)
        elif body[1] == 4:
            _master(player, tick, port, coarse=body[3] - 64)
    elif maker == 0x41 and body[:2] == b"\x42\x12" and len(body) >= 6:
        _roland(player, tick, port, tuple(body[2:5]), body[5:])
    elif maker == 0x43 and body[0] == 0x4C and len(body) >= 5:
        _yamaha(player, tick, port, tuple(body[1:4]), body[4:])


def _roland(player, tick, port, address, values):
    if address in ((0x40, 0, 0x7F), (0, 0, 0x7F)):
        # In GS, banks are variations of an instrument and never kits.
        player.reset(tick, port, banks_choose_kits=False)
    elif address == (0x40, 0, 0) and len(values) >= 4:
        _master(player, tick, port, fine=_nibbles(values[:4]))
    elif address == (0x40, 0, 5):
        _master(player, tick, port, coarse=values[0] - 64)
    elif address[0] == 0x40 and address[1] >> 4 == 1:
        block = address[1] & 0x0F  # 0 is part 10; those above it keep their number
        number = 9 if block == 0 else block - 1 if block <= 9 else block
        _part(player, tick, port, number, address[2], 0x15, 0x16, values)
        if address[2] == 0x40 and len(values) >= 12:
            _scale(player, tick, port, [number], _cents(values))


def _yamaha(player, tick, port, address, values):
    if address in ((0, 0, 0x7E), (0, 0, 0x7F)):
        player.reset(tick, port, banks_choose_kits=True)
    elif address == (0, 0, 0) and len(values) >= 4:
        _master(player, tick, port, fine=_nibbles(values[:4]))
    elif address == (0, 0, 6):
        _master(player, tick, port, coarse=values[0] - 64)
    elif address[0] == 0x08:
        ports, number = divmod(address[1], 16)
        _part(player, tick, port + ports, number, address[2], 0x07, 0x08, values)


def _part(player, tick, port, number, what, mode, shift, values):
    """Drum part or not, and the key shift of a part; `mode` and `shift` are their addresses."""
    for channel in player.numbered(port, number):
        if what == mode:
            channel.set_part_mode(values[0] > 0)
        elif what == shift:
            channel.tuning.master(tick, part=values[0] - 64)


def _master(player, tick, port, **semitones):
    for channel in player.all_of(port):
        channel.tuning.master(tick, **semitones)


def _tune(player, tick, port, what, body):
    """The MIDI Tuning Standard: single notes, a bulk dump, or the twelve notes of an octave."""
    if what in (8, 9):
        if len(body) < 3 + 12 * (what - 7):
            return
        mask = body[0] << 14 | body[1] << 7 | body[2]
        numbers = [number for number in range(16) if mask >> number & 1]
        values = body[3:]
        if what == 8:
            _scale(player, tick, port, numbers, _cents(values))
        else:
            pairs = zip(values[0:24:2], values[1:24:2])
            scale = [((high << 7 | low) - 8192) / 8192 for high, low in pairs]
            _scale(player, tick, port, numbers, scale)
        return
    if what == 1 and len(body) >= 17 + 3 * 128:
        program, rows = body[0], [(k, *body[17 + 3 * k : 20 + 3 * k]) for k in range(128)]
    elif what in (2, 7) and len(body) >= what // 7 + 6:
        body = body[what // 7 :]  # 7 names a bank first
        program = body[0]
        rows = [tuple(body[k : k + 4]) for k in range(2, 2 + 4 * body[1], 4)]
    else:
        return
    keys = {}
    for row in rows:
        if len(row) == 4 and row[1:] != (127, 127, 127):  # which stands for no change
            key, semitone, high, low = row
            keys[key & 0x7F] = semitone + (high << 7 | low) / 16384 - (key & 0x7F)
    for channel in player.all_of(port):
        channel.tuning.tune_keys(tick, program, keys)


def _cents(values):
    return [(value - 64) / 100 for value in values[:12]]


def _scale(player, tick, port, numbers, semitones):
    for number in numbers:
        for channel in player.numbered(port, number):
            channel.tuning.tune_octave(tick, np.array(semitones))


def _nibbles(values):
    """Master tuning of GS and XG in semitones: four nibbles, tenths of a cent around 1024."""
    number = 0
    for value in values:
        number = number << 4 | value & 0x0F
    return (number - 1024) / 1000
