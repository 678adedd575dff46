"""Writing the instruments of a song as a MIDI file that reads back as what was played.

pretty_midi sorts the control changes of one tick by their numbers, which tears the sequences apart
that set a bend range or a tuning, and lets instruments beyond the fifteenth share channels.
"""

from __future__ import annotations

import os

import mido

from ..utils.files import explained
from .render import messages

#: Instruments beyond the channels of one port go to the next.
_MELODIC_CHANNELS = [channel for channel in range(16) if channel != 9]


def write_midi(path, song, parts):
    """Writes some instruments of a song, with its tempo and meter, one track each.

    Args:
        path (os.PathLike): File to write.
        song (pretty_midi.PrettyMIDI): Tells tempo, meter and resolution.
        parts (list of pretty_midi.Instrument): What plays.
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
            # Names are Latin 1 in the format.
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
