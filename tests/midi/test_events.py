"""Bytes of MIDI files: clocks, wrappers, damage, and the cost of hostile files."""

import io
import struct
import time
import tracemalloc

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_midi import cc, midi, note, off, on, program, tempo, track, variable

from asteroid_scoresup.midi import events as midi_events
from asteroid_scoresup.midi.events import parse_events
from asteroid_scoresup.midi.reader import read_midi

SONG = [(0, program(0, 0)), *note(0, 0, 480, 60), *note(0, 480, 960, 64)]
TIMES = [0.0, 0.5, 1.0]


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "a.mid").write_bytes(content)
        return read_midi(tmp_path / "a.mid")

    return read


def times(reading):
    (piano,) = reading.instruments
    return [*piano.notes.onset.tolist(), piano.notes.offset[-1]]


def meta(kind, *data):
    return bytes([0xFF, kind, len(data), *data])


@pytest.mark.parametrize(
    "event",
    [
        meta(0x59, 0xEE, 1),  # 18 flats
        meta(0x59, 0, 7),  # no mode
        meta(0x59),
        meta(0x58, 4, 200, 24, 8),  # a 2 ** 200th
        meta(0x58, 0, 0, 0, 0),
        meta(0x58, 4),
        meta(0x54, 99, 99, 99, 99, 99),  # SMPTE offset
        meta(0x20),  # channel prefix without a channel
        meta(0x20, 200),
        meta(0x21),
        meta(0x00),
        meta(0x01, *"häß".encode()),
        meta(0x03, 0x80, 0xFF),
        meta(0x7F, 0, 0, 0x41),
        meta(0x6E, 1, 2, 3),  # unknown
        b"\xf0\x03\x7e\x7f\x09",  # exclusive without an end
        b"\xf0\x01\xf7",
        b"\xf0\x00",
        b"\xf7\x02\x01\x02",
        b"\xf8",  # a clock of the wire
        b"\xf2\x01\x02",
        bytes([0xA0, 60, 10]),
        bytes([0xD0, 10]),
    ],
    ids=lambda event: event.hex(),
)
def test_events_that_do_not_matter_for_notes(read, event):
    found = read(midi([(240, event), *SONG]))
    assert times(found) == TIMES and not found.dropped and not found.remarks


@pytest.mark.parametrize("event", [cc(0, 7, 200), cc(0, 200, 7), b"\xe0\x80\xff", program(0, 200)])
def test_data_bytes_above_127_are_reported(read, event):
    found = read(midi([(960, event), *SONG]))
    assert times(found) == TIMES and found.remarks == {midi_events.BEYOND_127: 1}


def test_a_note_above_127_is_dropped_and_a_velocity_limited(read):
    found = read(midi([*note(0, 0, 480, 200), *note(0, 0, 960, 60, velocity=180)]))
    (piano,) = found.instruments
    assert piano.notes.pitch.tolist() == [60] and piano.notes.velocity.tolist() == [127]
    assert found.dropped == {"pitch above 127": 1}


@pytest.mark.parametrize("places", [[0, 0], [1, 0], [2, 0], [2, 1]])
def test_tempo_changes_count_in_any_track(read, places):
    tracks = [[(0, meta(0x03, 65))], SONG, []]
    for place, change in zip(places, [(0, tempo(1000000)), (480, tempo(250000))]):
        tracks[place] = [*tracks[place], change]
    assert times(read(midi(*tracks))) == [0.0, 1.0, 1.25]


@pytest.mark.parametrize("bad", [tempo(0), meta(0x51), meta(0x51, 7)])
def test_an_invalid_tempo_is_ignored(read, bad):
    found = read(midi([(0, tempo(1000000)), (240, bad), *SONG]))
    assert times(found) == [0.0, 1.0, 2.0] and found.remarks == {midi_events.BAD_TEMPO: 1}


@pytest.mark.parametrize(
    "frames, ticks, per_second",
    [(24, 4, 96), (25, 40, 1000), (29, 100, 100 * 30000 / 1001), (30, 80, 2400)],
)
def test_smpte_clocks(read, frames, ticks, per_second):
    found = read(midi([(0, tempo(1000000)), *SONG], division=(256 - frames) << 8 | ticks))
    assert times(found) == pytest.approx([0, 480 / per_second, 960 / per_second], abs=1e-9)


@pytest.mark.parametrize(
    "division, message",
    [(0, "0 ticks per quarter"), ((256 - 25) << 8, "0 ticks per frame at 25 frames"),
     ((256 - 99) << 8 | 4, "at 99 frames per second, expected .* 24, 25, 29 or 30")],
)  # fmt: skip
def test_invalid_clocks_are_refused(read, division, message):
    with pytest.raises(ValueError, match=rf"a\.mid cannot be read as MIDI: its clock .*{message}"):
        read(midi(SONG, division=division))


def test_format_2_is_read_if_it_has_one_pattern(read):
    found = read(midi([(0, tempo(250000))], SONG, kind=2))
    assert times(found) == TIMES  # the tempo of another pattern is not this one's
    with pytest.raises(ValueError, match="2 independent patterns .* save the song as format 1"):
        read(midi(SONG, SONG, kind=2))


def riff(content, size=0):
    return b"RIFF" + struct.pack("<I", size) + b"RMIDdata" + struct.pack("<I", size) + content


@pytest.mark.parametrize(
    "wrap",
    [
        riff,
        lambda content: riff(content, len(content)),
        lambda content: riff(b"LIST" + b"x" * 9000 + content),
        lambda content: content + b"\0" * 100,
        lambda content: content + b"garbage at the end",
        lambda content: b"\0" * 128 + content,  # a resource header of old Macintosh files
    ],
)
def test_wrappers_and_bytes_around_the_file(read, wrap):
    assert times(read(wrap(midi(SONG)))) == TIMES


@pytest.mark.parametrize("chunk", [b"XFIH\0\0\0\4abcd", b"XFKM\0\0\0\0", b"MTrk\0\0\0\0"])
@pytest.mark.parametrize("announced", [1, 2])
def test_unknown_chunks_and_empty_tracks_are_skipped(read, chunk, announced):
    for tracks in ([chunk, track(SONG)], [track(SONG), chunk]):
        found = read(midi(*tracks, announced=announced))
        assert times(found) == TIMES and not found.remarks


def test_a_header_may_be_longer_and_announce_too_much(read):
    found = read(midi(SONG, header=b"\1\2\3\4"))
    assert times(found) == TIMES and not found.remarks
    found = read(midi(SONG, announced=5))
    assert times(found) == TIMES and found.remarks == {midi_events.FEWER_TRACKS: 1}


@pytest.mark.parametrize("claimed", [0, 3, 20, 10_000, 2**32 - 1])
@pytest.mark.parametrize("ended", [True, False])
def test_lengths_that_lie(read, claimed, ended):
    setup = track([(0, tempo(500000)), (0, cc(0, 7, 90))], end=ended)
    lying = setup[:4] + struct.pack(">I", claimed) + setup[8:]
    assert times(read(midi(lying, SONG))) == TIMES
    song = track(SONG, end=ended)
    assert times(read(midi(song[:4] + struct.pack(">I", claimed) + song[8:]))) == TIMES


def test_running_status(read):
    events = b"\0\xc0\0" + b"\0\x90\x3c\x5a" + variable(480) + b"\x3c\0" + b"\0\x40\x5a"
    events += b"\0" + meta(0x01, 65) + variable(480) + b"\x40\0"  # continues after a meta event
    content = b"MTrk" + struct.pack(">I", len(events)) + events
    assert times(read(midi(content))) == TIMES


def test_data_without_a_status_are_skipped_and_reported(read):
    events = b"\0\x3c\0" + track(SONG)[8:]
    found = read(midi(b"MTrk" + struct.pack(">I", len(events)) + events))
    assert found.remarks == {midi_events.JUNK: 1}


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "it is empty, expected 'MThd'"),
        (b"ID3 no MIDI", "it begins with b'ID3 ', expected 'MThd'"),
        (b"MThd\0\0\0\6\0\1", "its header is truncated"),
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0", "it has no tracks"),
        (riff(b"nothing"), "begins with b'RIFF'"),
    ],
)
def test_other_files_are_refused_in_one_sentence(read, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(content)
    assert "a.mid cannot be read as MIDI: " in str(error.value) and "\n" not in str(error.value)


def test_a_directory_and_a_missing_file_get_a_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "none.mid"):
        with pytest.raises(ValueError, match="cannot be read as MIDI: .+"):
            read_midi(path)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutations_are_read_or_refused_in_a_sentence(tmp_path_factory, data):
    content = bytearray(
        midi([(0, tempo(400000)), (0, cc(0, 64, 127)), *SONG], [(0, program(1, 30)), (9, on(1, 70)),
             (20, b"\xe1\x00\x50"), (480, off(1, 70))])
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path_factory.mktemp("mutation") / "a.mid"
    path.write_bytes(content)
    try:
        instruments = read_midi(path, drums=True).instruments
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        for instrument in instruments:
            notes = instrument.notes
            assert (notes.offset > notes.onset).all() and (notes.release >= notes.offset).all()
            assert (notes.pitch < 128).all() and (notes.velocity < 128).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 15), st.integers(0, 127)),
                max_size=40), st.integers(1, 2000))  # fmt: skip
def test_events_are_those_that_mido_wrote(rows, division):
    """mido as an independent reader and writer, running status included."""
    file, messages, expected, now = mido.MidiFile(ticks_per_beat=division), [], [], 0
    for delta, channel, value in rows:
        now += delta
        message = mido.Message("control_change", channel=channel, control=value, value=value // 2)
        messages.append(message.copy(time=delta))
        expected.append((now, 0xB0 | channel, bytes([value, value // 2])))
    file.tracks.append(mido.MidiTrack(messages))
    stream = io.BytesIO()
    file.save(file=stream)
    read = parse_events(stream.getvalue())
    found = [(e.tick, e.status, e.data) for t in read.tracks for e in t if e.status < 0xF0]
    assert found == expected
    np.testing.assert_allclose(read.seconds(now), now * 0.5 / division, rtol=1e-12)


def hostile():
    huge = variable(2**28 - 1)
    many = b"".join(huge + on(0, 60) + huge + off(0, 60) for _ in range(2000))
    yield "huge times", midi(b"MTrk" + struct.pack(">I", len(many)) + many)
    yield "empty tracks", midi(*[b"MTrk\0\0\0\0"] * 10_000, track(SONG))
    yield "tracks that only end", midi(*[track([])] * 5000, track(SONG))
    yield "false chunks", midi(track(SONG), b"ABCD\xff\xff\xff\xff" * 10_000)
    piled = [(0, on(0, k % 128)) for k in range(4000)]
    bent = [(k, b"\xe0\x00" + bytes([k % 128])) for k in range(1, 4000)]
    ends = [(4001, off(0, k)) for k in range(128)]
    yield "piled notes under bends", midi(piled + bent + ends)
    pedals = [(k, cc(0, 66, 127 * (k % 2))) for k in range(4000)]
    yield "piled notes and pedals", midi(piled + pedals + ends)
    tuning = b"\xf0\x13\x7e\x7f\x08\x08\x03\x7f\x7f" + b"\x50" * 12 + b"\xf7"
    yield "tunings", midi([(k, tuning) for k in range(2500)] + SONG)
    yield "resets", midi([(k, b"\xf0\x05\x7e\x7f\x09\x01\xf7") for k in range(2500)] + SONG)


@pytest.mark.slow
@pytest.mark.parametrize("content", [pytest.param(c, id=name) for name, c in hostile()])
def test_small_files_stay_cheap(read, content):
    tracemalloc.start()
    start = time.process_time()
    read(content)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Generous, since tracing slows Python down; anything quadratic takes minutes.
    assert time.process_time() - start < 20 and used < 100e6


def test_a_file_too_large_for_a_song_is_refused(tmp_path):
    with open(tmp_path / "a.mid", "wb") as stream:
        stream.write(midi(SONG))
        stream.truncate(midi_events.MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"it has \d+ bytes, expected at most \d+"):
        read_midi(tmp_path / "a.mid")
