"""Writes the instruments of a song to a MIDI file from which the same notes can be read back.

pretty_midi sorts simultaneous control changes by number, which breaks the sequences that set a bend
range or a tuning, and makes instruments beyond the fifteenth share channels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import mido
import pretty_midi

from ..utils.files import explained
from .render import messages

#: Channels of melodic instruments; when all of a port are in use, the next port follows.
_MELODIC_CHANNELS = [channel for channel in range(16) if channel != 9]


def write_midi(
    path: str | os.PathLike[str],
    song: pretty_midi.PrettyMIDI,
    parts: Iterable[pretty_midi.Instrument],
) -> None:
    """Writes instruments of a song, one per track, with the song's tempo and meter.

    Args:
        path (str or Path): File to write.
        song (pretty_midi.PrettyMIDI): Song from which tempo, meter and resolution are taken.
        parts (list of pretty_midi.Instrument): Instruments to write.

    Raises:
        OSError: if the file cannot be written.
    """
    tempo = mido.bpm2tempo(float(song.get_tempo_changes()[1][0]))
    file = mido.MidiFile(type=1, ticks_per_beat=song.resolution)
    per_second = song.resolution * 1e6 / tempo
    head = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    now = 0
    for change in song.time_signature_changes:
        tick = round(change.time * per_second)
        head.append(
            mido.MetaMessage(
                "time_signature",
                numerator=change.numerator,
                denominator=change.denominator,
                time=tick - now,
            )
        )
        now = tick
    file.tracks.append(head)
    n_melodic = n_drums = 0
    for part in parts:
        if part.is_drum:
            port, channel, n_drums = n_drums, 9, n_drums + 1
        else:
            port, place = divmod(n_melodic, len(_MELODIC_CHANNELS))
            channel, n_melodic = _MELODIC_CHANNELS[place], n_melodic + 1
        track = mido.MidiTrack()
        if part.name:
            # MIDI stores names in Latin-1.
            name = part.name.encode("latin1", "replace").decode("latin1")
            track.append(mido.MetaMessage("track_name", name=name))
        if port:
            track.append(mido.MetaMessage("midi_port", port=port))
        now = 0
        for time, message in messages(part):
            tick = round(time * per_second)
            track.append(message.copy(channel=channel, time=tick - now))
            now = tick
        file.tracks.append(track)
    with explained(path):
        file.save(os.fspath(path))
