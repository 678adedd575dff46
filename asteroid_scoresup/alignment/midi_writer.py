"""Aligned MIDI files: a score's own file, played as the recording plays it.

Bars and beats are those of the score. What changes is the tempo: it is set anew wherever
the recording's differs, so that every event is where the warp puts it (within 1.5 ms). Sections
that the recording skips are cut out, and those that it repeats are copied; at each jump, sounding
notes end, and the channels continue with the programs, controllers and parameters of that place of
the score. Silence before the music, and interruptions,
become bars of rest (or one shorter bar).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import mido

from ..midi.channels import DRUMS, clashing_tracks, interpret_events, merge_tracks
from ..midi.events import META, PORT, SYSEX, Event
from ..midi.pedals import Pedals
from ..midi.sysex import apply_sysex
from ..utils.files import atomic_path
from .meter import Meter
from .midi_source import Message, Source, read_source
from .midi_state import ChannelState, Resets, States
from .tempo import knots, tempi
from .warp import Span, Warp

#: Shortest silence that becomes a rest, in seconds.
SHORTEST_REST = 0.001
#: Meta events that describe a track, and are written at its beginning.
_HEAD = ("track_name", "instrument_name", "device_name", "copyright", "sequence_number")
#: Meta events that this module writes itself, or that are invalid after a change of the tempo.
_OWN = ("set_tempo", "midi_port", "time_signature", "smpte_offset", "channel_prefix")


class Aligned(Protocol):
    """What is needed of an alignment: where the score is, and how far it is transposed."""

    @property
    def warp(self) -> Warp:
        """Score time to audio time."""

    @property
    def transposition(self) -> int:
        """Semitones by which the recording is above the score."""


class _Section(NamedTuple):
    """A stretch of the score's ticks, from `first` to before `stop`, sounding until `end`."""

    first: int
    stop: int
    end: int
    span: Span


class _Played(NamedTuple):
    """A message that a channel or the system receives, in the order of playing."""

    track: int
    place: int
    event: Event
    message: Message
    receivers: tuple[tuple[int, int, int], ...]


def write_aligned_midi(
    score_path: str | Path, alignment: Aligned, output: str | os.PathLike[str]
) -> None:
    """Writes the MIDI file of a score so that it plays on the clock of the recording.

    All tracks, programs, controllers, lyrics and signatures are kept. Reading the file with
    :func:`~asteroid_scoresup.midi.read_midi` gives the notes of ``alignment.notes``, within two
    milliseconds (unless a quarter note lasts longer than 16.7 s, the slowest tempo of MIDI). Notes
    that never end in the score, and those that the transposition would move beyond the range of
    MIDI, are left out.

    Args:
        score_path (str or Path): The MIDI file that was aligned.
        alignment (Alignment): Its `warp` moves the events, its `transposition` the pitches of all
            channels but drums.
        output (str or Path): File to write.

    Raises:
        ValueError: if the score cannot be read, or the recording plays no part of it.
    """
    source = read_source(score_path)
    sections = list(_sections(source, alignment.warp))
    if not sections:
        raise ValueError(
            f"{score_path} has no part in this recording, so there is nothing to write: the "
            "alignment must cover at least one note of the score."
        )
    writer = _Writer(source, int(alignment.transposition))
    for section in sections:
        writer.play(section)
    file = writer.file()
    with atomic_path(output) as temporary:
        file.save(os.fspath(temporary))


def _sections(source: Source, warp: Warp) -> Iterator[_Section]:
    """The stretches of the score that are played, in the order of the recording."""
    last = source.last_tick
    for span in warp.spans:
        first = source.seconds.first_tick(float(span.score[0]))
        if first >= last:
            continue
        after = float(source.seconds(last)) < span.score[-1]
        stop = last + 1 if after else source.seconds.first_tick(float(span.score[-1]))
        end = min(stop, last)
        if end > first:
            yield _Section(first, stop, end, span)


class _Writer:
    """Plays sections of a score one after another, and collects what is to be written.

    Args:
        source (Source): The score.
        transposition (int): Semitones.
    """

    def __init__(self, source: Source, transposition: int) -> None:
        self._source, self._transposition = source, transposition
        self._quarter = min(max(round(source.seconds.ticks_per_quarter), 1), 32767)
        self._meter = Meter(source.messages, source.events, self._quarter)
        self._played = list(_in_order(source))
        self._homes = self._home_tracks()
        self._drums = self._kept_notes()
        # Messages by track, with a key that sorts them: tick, section, phase, place.
        self._out: list[list[tuple[tuple[int, int, int, int], Message]]]
        self._out = [[] for _ in source.messages]
        self._knots: list[tuple[int, float]] = [(0, 0.0)]
        self._states: States = defaultdict(ChannelState)
        self._ports: dict[int, int] = {}
        self._sent: set[tuple[int, int]] = set()  # system exclusive messages
        self._n_sections = 0
        for track, messages in enumerate(source.messages):
            for place, message in enumerate(messages):
                if message.type in _HEAD:
                    self._out[track].append(((0, -2, 0, place), message))

    def _home_tracks(self) -> dict[tuple[int, int, int], int]:
        """For each channel the track into which its state is written: its own, or the first."""
        homes: dict[tuple[int, int, int], int] = {}
        for played in self._played:
            for key in played.receivers:
                track = key[2] if key[2] >= 0 else played.track
                homes[key] = min(track, homes.get(key, track))
        return homes

    def _kept_notes(self) -> dict[tuple[int, int, int, int], list[bool]]:
        """Whether notes are drums, by (track, channel, tick, key), for all notes that end."""
        kept = defaultdict(list)
        for channel in interpret_events(self._source.events):
            for note in channel.notes:
                key = (note.track, channel.number, note.onset, note.pitch)
                kept[key].append(note.program == DRUMS)
        return kept

    def play(self, section: _Section) -> None:
        """Adds a section."""
        start = self._rest_before(section)
        shift = start - section.first
        number = self._n_sections
        self._n_sections += 1
        beats = self._meter.beats(section.first, section.end)
        for tick, time in knots(section.span, self._source.seconds, beats):
            if tick + shift > self._knots[-1][0]:
                self._knots.append((tick + shift, time))
        jumps = number > 0 or start > 0 or section.first > 0
        for tick, message in self._meter.within(section.first, section.stop, jumps):
            self._out[0].append(((tick + shift, number, 0, 0), message))
        self._restore(section, start, number)
        self._play_notes(section, shift, number)
        for track, messages in enumerate(self._source.messages):
            for place, (message, event) in enumerate(zip(messages, self._source.events[track])):
                inside = section.first <= event.tick < section.stop
                if inside and message.is_meta and message.type not in (*_HEAD, *_OWN):
                    key = (event.tick + shift, number, 1, place)
                    self._out[track].append((key, message))

    def _rest_before(self, section: _Section) -> int:
        """Adds the rest between the last section and this one; the tick at which it begins."""
        tick, now = self._knots[-1]
        span, seconds = section.span, self._source.seconds
        begin = float(span.to_audio(float(seconds(section.first))))
        if begin - now < SHORTEST_REST:
            return tick
        ahead = min(section.first + self._quarter, section.end)
        passed = float(span.to_audio(float(seconds(ahead)))) - begin
        quarters = (begin - now) / passed * (ahead - section.first) / self._quarter
        length, signature = self._meter.rest(quarters, section.first)
        if signature is not None and (tick > 0 or signature != self._meter.at(section.first)):
            self._out[0].append(((tick, self._n_sections, -1, 0), signature))
        self._knots.append((tick + length, begin))
        return tick + length

    def _restore(self, section: _Section, start: int, number: int) -> None:
        """Brings all channels into the state that they have where a section begins."""
        target: States = defaultdict(ChannelState)
        ports: dict[int, int] = {}
        for played in self._played:
            if played.event.tick >= section.first:
                break
            _receive(target, ports, played)
            # Resets and drum parts count, even where the recording begins later.
            if played.event.status == SYSEX and (played.track, played.place) not in self._sent:
                self._sent.add((played.track, played.place))
                self._out[played.track].append(((start, number, 0, -1), played.message))
                _receive(self._states, self._ports, played)
        for track, port in ports.items():
            if self._ports.get(track) != port:
                message = mido.MetaMessage("midi_port", port=port)
                self._out[track].append(((start, number, -1, 0), message))
        self._ports = ports
        for receiver, track in self._homes.items():
            state = target[receiver]
            for message in state.after(self._states[receiver]):
                copy = message.copy(channel=receiver[1])
                self._out[track].append(((start, number, 0, 0), copy))
            self._states[receiver] = state

    def _play_notes(self, section: _Section, shift: int, number: int) -> None:
        """Adds what the channels receive in a section, and ends its notes."""
        # By channel and key: onset, track, and the key that was written.
        down: dict[tuple, list[tuple[int, int, int]]] = defaultdict(list)
        kept = {key: list(drums) for key, drums in self._drums.items()}
        for played in self._played:
            tick, message = played.event.tick, played.message
            if not section.first <= tick < section.stop:
                continue
            key = (tick + shift, number, 1, played.place)
            out = self._out[played.track]
            first = played.receivers[0] if played.receivers else None
            if message.type == "note_on" and message.velocity:
                is_drum = kept.get((played.track, message.channel, tick, message.note))
                if not is_drum:
                    continue
                pitch = message.note + (0 if is_drum.pop() else self._transposition)
                if 0 <= pitch <= 127:
                    down[first, message.note].append((tick, played.track, pitch))
                    out.append((key, message.copy(note=pitch)))
            elif message.type in ("note_off", "note_on"):
                ended = [note for note in down[first, message.note] if note[0] < tick]
                down[first, message.note] = [n for n in down[first, message.note] if n[0] == tick]
                for pitch in {pitch for *_, pitch in ended}:
                    out.append((key, message.copy(note=pitch)))
            elif message.type == "polytouch":
                for pitch in {pitch for *_, pitch in down[first, message.note]}:
                    out.append((key, message.copy(note=pitch)))
            else:
                if message.type == "control_change" and Pedals.lifts_all(message.control):
                    for one in [one for one in down if one[0] in played.receivers]:
                        down[one] = [note for note in down[one] if note[0] == tick]
                _receive(self._states, self._ports, played)
                self._sent.add((played.track, played.place))
                out.append((key, message))
        self._end(down, section.end + shift, number)

    def _end(self, down: dict[tuple, list[tuple[int, int, int]]], tick: int, number: int) -> None:
        """Lifts all keys and pedals."""
        for (receiver, _), notes in down.items():
            for _, track, pitch in notes:
                message = mido.Message("note_off", channel=receiver[1], note=pitch)
                self._out[track].append(((tick, number, 2, 0), message))
        for receiver, state in self._states.items():
            for pedal in state.pedals_down():
                message = mido.Message("control_change", channel=receiver[1], control=pedal)
                self._out[self._homes[receiver]].append(((tick, number, 2, 1), message))
                state.receive(message)

    def file(self) -> mido.MidiFile:
        """The file, with its tempo map in the first track."""
        if not self._out:
            self._out.append([])
        for tick, tempo in tempi(self._knots, self._quarter):
            message = mido.MetaMessage("set_tempo", tempo=tempo)
            self._out[0].append(((tick, -1, 0, 0), message))
        end = self._knots[-1][0]
        file = mido.MidiFile(type=self._source.kind, ticks_per_beat=self._quarter)
        for messages in self._out:
            track, now = mido.MidiTrack(), 0
            for (tick, *_), message in sorted(messages, key=lambda entry: entry[0]):
                track.append(message.copy(time=tick - now))
                now = tick
            track.append(mido.MetaMessage("end_of_track", time=max(end - now, 0)))
            file.tracks.append(track)
        return file


def _in_order(source: Source) -> Iterator[_Played]:
    """All messages that play or set something, in the order of the package's reader."""
    separate = clashing_tracks(source.events)
    ports: dict[int, int] = defaultdict(int)
    for track, place in merge_tracks(source.events):
        event, message = source.events[track][place], source.messages[track][place]
        if event.status == META:
            if event.kind != PORT:
                continue
            ports[track] = event.data[0]
        receivers: tuple[tuple[int, int, int], ...] = ()
        if event.status < SYSEX:
            channel = (ports[track], event.status & 0x0F)
            own = separate.get(channel, set())
            receivers = ((*channel, track if track in own else -1),)
            if track not in own:
                receivers += tuple((*channel, other) for other in sorted(own))
        yield _Played(track, place, event, message, receivers)


def _receive(states: States, ports: dict[int, int], played: _Played) -> None:
    """Applies a message to the states of the channels, and to the ports of the tracks."""
    event = played.event
    if event.kind == PORT:
        ports[played.track] = event.data[0]
    elif event.status == SYSEX:
        apply_sysex(Resets(states), event.tick, ports.get(played.track, 0), event.data)
    else:
        for key in played.receivers:
            states[key].receive(played.message)
