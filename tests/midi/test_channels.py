"""Which instrument plays which note: programs, banks, drums, note-offs, pedals."""

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_midi import cc, exclusive, midi, note, off, on, program, tempo, track

from asteroid_scoresup.midi.reader import DRUMS, read_midi

GM, GM2 = exclusive(0x7E, 0x7F, 9, 1), exclusive(0x7E, 0x7F, 9, 3)
GS = exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0, 0x7F, 0, 0x41)
XG = exclusive(0x43, 0x10, 0x4C, 0, 0, 0x7E, 0)


def gs_rhythm(block, value):
    return exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | block, 0x15, value, 0)


def xg_mode(part, value):
    return exclusive(0x43, 0x10, 0x4C, 8, part, 7, value)


@pytest.fixture
def read(tmp_path):
    def read(*tracks, drums=True, **how):
        (tmp_path / "a.mid").write_bytes(midi(*tracks, **how))
        return read_midi(tmp_path / "a.mid", drums=drums)

    return read


def played(reading):
    """Rows (program, onset in ticks of 480 a half second, pitch), in order of time."""
    rows = [
        (i.program, round(onset * 960), int(pitch))
        for i in reading.instruments
        for onset, pitch in zip(i.notes.onset, i.notes.pitch)
    ]
    return sorted(rows, key=lambda row: (row[1], row[2]))


def test_programs_may_be_in_another_track(read):
    setup = [(0, program(0, 33)), (0, program(1, 25)), (960, program(1, 0))]
    notes = note(1, 0, 480, 62) + note(1, 960, 1440, 64)
    found = read(setup, note(0, 0, 480, 40), notes)
    assert played(found) == [(33, 0, 40), (25, 0, 62), (0, 960, 64)]
    # The set-up may come last in the file, too.
    assert played(read(note(0, 0, 480, 40), notes, setup)) == played(found)


def test_a_part_in_two_tracks_of_one_channel_is_one_instrument(read):
    left = [(0, b"\xff\x03\x04left"), (0, program(0, 0)), *note(0, 0, 480, 40)]
    right = [(0, b"\xff\x03\x05right"), *note(0, 0, 480, 64)]
    (piano,) = read(left, right).instruments
    assert piano.notes.pitch.tolist() == [40, 64] and piano.name == ""
    (alone,) = read(left).instruments
    assert alone.name == "left"


@pytest.mark.parametrize("separate", [False, True], ids=["one track", "three tracks"])
def test_a_note_has_the_program_of_its_start(read, separate):
    """Program change, note-off and note-on at one tick."""
    change, end, start = (480, program(0, 25)), (480, off(0, 60)), (480, on(0, 60))
    if separate:
        tracks = [start, (960, off(0, 60))], [(0, program(0, 0)), change], [(0, on(0, 60)), end]
    else:
        first = [(0, program(0, 0)), (0, on(0, 60))]
        tracks = ([*first, change, end, start, (960, off(0, 60))],)
    found = read(*tracks)
    assert played(found) == [(0, 0, 60), (25, 480, 60)] and not found.dropped
    assert all(i.notes.offset - i.notes.onset == 0.5 for i in found.instruments)


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_repeated_note_at_one_tick_ends_the_old_one(read, ends_first):
    middle = [(480, off(0, 60)), (480, on(0, 60))]
    events = [(0, on(0, 60)), *(middle if ends_first else middle[::-1]), (960, off(0, 60))]
    (piano,) = read(events).instruments
    assert piano.notes.onset.tolist() == [0, 0.5] and piano.notes.offset.tolist() == [0.5, 1]


def test_a_stray_note_off_before_a_note_does_no_harm(read):
    assert played(read([(0, off(0, 60)), *note(0, 0, 480)])) == [(0, 0, 60)]


def kit(*before, channel=11):
    return [*((0, raw) for raw in before), *note(channel, 0, 480, 38)]


@pytest.mark.parametrize(
    "before, channel, expected",
    [
        ([], 9, DRUMS),
        ([program(9, 24)], 9, DRUMS),
        ([], 11, 0),
        ([cc(11, 0, 127), program(11, 0)], 11, DRUMS),
        ([cc(11, 0, 120), program(11, 16)], 11, DRUMS),
        ([cc(11, 0, 126), program(11, 0)], 11, DRUMS),
        # A bank counts from the next program change on.
        ([cc(11, 0, 127)], 11, 0),
        ([cc(11, 0, 127), program(11, 0), cc(11, 0, 0), program(11, 33)], 11, 33),
        ([cc(9, 0, 121), program(9, 33)], 9, 33),
        ([cc(9, 0, 0), program(9, 8)], 9, DRUMS),
        ([gs_rhythm(0xB, 1)], 11, DRUMS),
        ([gs_rhythm(2, 2), program(1, 8)], 1, DRUMS),
        ([gs_rhythm(0, 0), program(9, 33)], 9, 33),
        ([gs_rhythm(2, 1), gs_rhythm(2, 0), program(1, 5)], 1, 5),
        # In GS, banks are variations of an instrument.
        ([GS, cc(11, 0, 127), program(11, 3)], 11, 3),
        ([XG, cc(11, 0, 127), program(11, 3)], 11, DRUMS),
        ([xg_mode(11, 1)], 11, DRUMS),
        ([xg_mode(9, 0), program(9, 40)], 9, 40),
        ([xg_mode(11, 2), XG], 11, 0),
        ([program(11, 40), GM], 11, 0),
        ([cc(9, 0, 121), program(9, 33), GM2], 9, DRUMS),
    ],
)
def test_drums(read, before, channel, expected):
    found = read(kit(*before, channel=channel))
    assert [i.program for i in found.instruments] == [expected]
    # The set-up may be in a track of its own, at the same tick.
    found = read(note(channel, 0, 480, 38), [(0, raw) for raw in before])
    assert [i.program for i in found.instruments] == [expected]


def test_drums_that_were_not_requested_are_counted(read):
    found = read(kit(cc(11, 0, 127), program(11, 0)), note(0, 0, 480), drums=False)
    assert played(found) == [(0, 0, 60)] and found.dropped == {"drums": 1}


def test_ports_double_the_channels(read):
    port = (0, b"\xff\x21\x01\x01")
    found = read([(0, program(0, 33)), *note(0, 0, 480, 40)], [port, *note(0, 0, 480, 64)])
    assert played(found) == [(33, 0, 40), (0, 0, 64)]


def test_tracks_that_reuse_a_channel_keep_their_programs(tmp_path):
    """pretty_midi lets instruments beyond the fifteenth share channels."""
    song = pretty_midi.PrettyMIDI()
    for program_number in range(40):
        part = pretty_midi.Instrument(program_number)
        part.notes = [pretty_midi.Note(90, 60, 0.5, 1.0)]  # all of one pitch, at one time
        song.instruments.append(part)
    song.write(str(tmp_path / "a.mid"))
    instruments = read_midi(tmp_path / "a.mid").instruments
    assert [(i.program, len(i.notes)) for i in instruments] == [(p, 1) for p in range(40)]


@pytest.mark.parametrize("number", [120, 123, 124, 125, 126, 127])
def test_all_notes_off(read, number):
    events = [(0, on(0, 60)), (0, on(0, 64)), (480, cc(0, number, 0)), *note(0, 960, 1440, 62)]
    (piano,) = read(events).instruments
    assert piano.notes.offset.tolist() == [0.5, 0.5, 1.5]


def test_all_notes_off_waits_for_the_pedal_and_all_sound_off_does_not(read):
    for number, release in ((123, 1.0), (120, 0.5)):
        events = [(0, cc(0, 64, 127)), (0, on(0, 60)), (480, cc(0, number, 0)), (960, cc(0, 64, 0))]
        (piano,) = read(events).instruments
        assert piano.notes.offset.tolist() == [0.5] and piano.notes.release.tolist() == [release]


@pytest.mark.parametrize(
    "pedal, release",
    [
        ([(0, cc(0, 64, 127)), (1440, cc(0, 64, 0))], 1.5),
        ([(0, cc(0, 64, 64)), (1440, cc(0, 64, 63))], 1.5),  # half is down
        ([(0, cc(0, 64, 63))], 0.5),
        ([(0, cc(0, 64, 127)), (240, cc(0, 64, 0))], 0.5),  # up before the key is
        ([(600, cc(0, 64, 127)), (1440, cc(0, 64, 0))], 0.5),  # down after the key is up
        ([(0, cc(0, 64, 127)), (960, cc(0, 121, 0))], 1.0),  # reset of all controllers
        ([(0, cc(0, 64, 127))], 2.0),  # never up: to the end of the file
        ([(240, cc(0, 66, 127)), (1440, cc(0, 66, 0))], 1.5),  # sostenuto catches what is down
        ([(0, cc(0, 66, 127)), (1440, cc(0, 66, 0))], 0.5),  # and nothing that comes later
        ([(240, cc(0, 66, 127)), (300, cc(0, 64, 127)), (900, cc(0, 66, 0)),
          (1440, cc(0, 64, 0))], 1.5),
        ([(0, cc(1, 64, 127))], 0.5),  # of another channel
        ([(0, cc(0, 64, 127)), (720, on(0, 60)), (1440, cc(0, 64, 0))], 0.75),  # struck again
    ],
)  # fmt: skip
def test_pedals_move_the_release_and_not_the_offset(read, pedal, release):
    # The pedal is in a track of its own; at tick 0 it comes before the note.
    ending = [(1920, cc(0, 7, 100))]
    (piano,) = read(note(0, 0, 480), pedal + ending).instruments
    assert piano.notes.offset[0] == 0.5
    assert piano.notes.release[0] == pytest.approx(release)


pedal_rows = st.lists(
    st.tuples(
        st.integers(0, 40),  # tick / 100
        st.sampled_from(["on", "off", "sustain", "sostenuto"]),
        st.integers(60, 62),
        st.booleans(),
    ),
    max_size=40,
)


def simulate(rows, length):
    """Naive: whether a note of each pitch sounds at each tick, event by event."""
    keys, held, caught = {}, set(), set()
    sustain = sostenuto = False
    sounding = np.zeros((length, 3), dtype=bool)
    place = 0
    for tick in range(length):
        while place < len(rows) and rows[place][0] == tick:
            _, what, pitch, down = rows[place]
            place += 1
            if what == "on":
                keys[pitch] = tick
                held.discard(pitch)
                caught.discard(pitch)
            elif what == "off" and pitch in keys:
                if keys.pop(pitch) < tick and (sustain or pitch in caught):
                    held.add(pitch)
                else:
                    caught.discard(pitch)
            elif what == "sustain":
                sustain = down
            elif what == "sostenuto":
                caught = (set(keys) if down and not sostenuto else caught) if down else set()
                sostenuto = down
            if not sustain:
                held &= caught
        for pitch in (*keys, *held):
            sounding[tick, pitch - 60] = True
    return sounding


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(pedal_rows)
def test_releases_are_those_of_a_naive_simulation(tmp_path_factory, rows):
    # One event per tick, so that their order is clear; keys go up before they go down again.
    rows, seen, down = sorted(rows, key=lambda row: row[0]), set(), set()
    clean = []
    for tick, what, pitch, pressed in rows:
        if tick in seen or (what == "on") == (pitch in down) and what in ("on", "off"):
            continue
        seen.add(tick)
        down ^= {pitch} if what in ("on", "off") else set()
        clean.append((tick, what, pitch, pressed))
    clean += [(50 + n, "off", pitch, False) for n, pitch in enumerate(sorted(down))]
    raw = {
        "on": lambda pitch, _: on(0, pitch),
        "off": lambda pitch, _: off(0, pitch),
        "sustain": lambda _, down: cc(0, 64, 127 * down),
        "sostenuto": lambda _, down: cc(0, 66, 127 * down),
    }
    events = [(tick, raw[what](pitch, down)) for tick, what, pitch, down in clean]
    events.append((60, cc(0, 7, 100)))
    path = tmp_path_factory.mktemp("pedals") / "a.mid"
    path.write_bytes(midi(events, division=960, kind=0))
    found = np.zeros((60, 3), dtype=bool)
    for instrument in read_midi(path).instruments:
        notes = instrument.notes
        for onset, release, pitch in zip(notes.onset, notes.release, notes.pitch):
            first, last = round(onset * 1920), round(release * 1920)
            found[first:last, pitch - 60] = True
    np.testing.assert_array_equal(found, simulate(clean, 60))


rows_of_notes = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 9]),
        st.integers(0, 30),
        st.integers(1, 8),
        st.integers(58, 62),
        st.integers(1, 127),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(rows_of_notes, st.integers(250000, 900000))
def test_well_formed_files_are_read_as_pretty_midi_reads_them(tmp_path_factory, rows, beat):
    path = tmp_path_factory.mktemp("notes") / "a.mid"
    file = mido.MidiFile(ticks_per_beat=100)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=beat)]))
    for channel, number in ((0, 33), (1, 25), (9, 0)):
        events = []
        for c, start, length, pitch, velocity in rows:
            if c == channel:
                events.append((start * 50, 1, "note_on", pitch, velocity))
                events.append(((start + length) * 50, 0, "note_off", pitch, 0))
        messages = [mido.Message("program_change", channel=channel, program=number)]
        now = 0
        for tick, _, kind, pitch, velocity in sorted(events):
            message = mido.Message(kind, channel=channel, note=pitch, velocity=velocity)
            messages.append(message.copy(time=tick - now))
            now = tick
        file.tracks.append(mido.MidiTrack(messages))
    file.save(path)
    expected = sorted(
        (128 if i.is_drum else i.program, round(n.start, 9), round(n.end, 9), n.pitch, n.velocity)
        for i in pretty_midi.PrettyMIDI(str(path)).instruments
        for n in i.notes
    )
    found = sorted(
        (i.program, round(on, 9), round(off, 9), int(pitch), int(velocity))
        for i in read_midi(path, drums=True).instruments
        for on, off, pitch, velocity in zip(
            i.notes.onset, i.notes.offset, i.notes.pitch, i.notes.velocity
        )
    )
    assert [row[3:] for row in found] == [row[3:] for row in expected]
    np.testing.assert_allclose(
        np.array(found).reshape(-1, 5), np.array(expected).reshape(-1, 5), atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(rows_of_notes, st.data())
def test_splitting_a_file_over_tracks_changes_nothing(tmp_path_factory, rows, data):
    """All events in one track, or each kind of event in a track drawn at random."""
    events = []
    for channel, start, length, pitch, _ in rows:
        events.append(((start + length) * 50, 0, off(channel, pitch), (channel, pitch)))
        events.append((start * 50, 2, on(channel, pitch), (channel, pitch)))
    for tick, number in ((0, 33), (400, 25), (900, 0)):
        events += [(tick, 1, program(c, number), ("program", c, tick)) for c in (0, 1)]
    events += [(200, 1, cc(0, 64, 127), "pedal"), (700, 1, cc(0, 64, 0), "pedal")]
    events.append((300, 1, tempo(400000), "tempo"))
    events.sort(key=lambda event: event[:2])
    groups = sorted({event[3] for event in events}, key=str)
    place = {group: data.draw(st.integers(0, 4)) for group in groups}
    tracks = [[(e[0], e[2]) for e in events if place[e[3]] == n] for n in range(5)]
    folder = tmp_path_factory.mktemp("split")
    (folder / "one.mid").write_bytes(midi(track([(e[0], e[2]) for e in events]), kind=0))
    (folder / "many.mid").write_bytes(midi(*tracks))
    one, many = (read_midi(folder / f"{name}.mid", drums=True) for name in ("one", "many"))
    assert one.dropped == many.dropped
    by_program = [
        sorted(
            (i.program, *row)
            for i in reading.instruments
            for row in zip(i.notes.onset, i.notes.offset, i.notes.release, i.notes.pitch)
        )
        for reading in (one, many)
    ]
    assert by_program[0] == by_program[1]


# ----------------------------------------------------------------------- odd files from the field
def rows(reading):
    """Rows (program, onset, offset, release, pitch), times in ticks, in order of time."""
    found = []
    for i in reading.instruments:
        times = np.round(960 * np.stack([i.notes.onset, i.notes.offset, i.notes.release])).T
        found += [(i.program, *map(int, t), int(p)) for t, p in zip(times, i.notes.pitch)]
    return sorted(found, key=lambda row: (row[1], row[4]))


PEDAL, UP = cc(0, 64, 127), cc(0, 64, 0)


@pytest.mark.parametrize(
    "tracks, expected",
    [
        pytest.param(
            [[(0, b"\xff\x21\x01\x01"), (0, program(0, 40))], note(0, 0, 480)],
            [(0, 0, 480, 480, 60)],
            id="a program of another port",
        ),
        pytest.param(
            [[(0, program(0, 33)), *note(0, 0, 480), (480, b"\xff\x21\x01\x01"),
              *note(0, 480, 960)]],
            [(33, 0, 480, 480, 60), (0, 480, 960, 960, 60)],
            id="a track that changes its port",
        ),
        pytest.param(
            [[(0, cc(3, 32, 127)), (0, program(3, 5)), *note(3, 0, 480)]],
            [(5, 0, 480, 480, 60)],
            id="the low byte of a bank alone",
        ),
        pytest.param(
            [[(0, program(3, 7)), (0, gs_rhythm(4, 1)), (0, on(3, 38)), (240, gs_rhythm(4, 0)),
              (480, off(3, 38)), *note(3, 480, 960)]],
            [(DRUMS, 0, 480, 480, 38), (7, 480, 960, 960, 60)],
            id="GS drums on channel 4 and back during a note",
        ),
        pytest.param(
            [[(0, PEDAL), *note(0, 0, 480), (480, program(0, 40)), *note(0, 500, 700, 62),
              (960, UP)]],
            [(0, 0, 480, 960, 60), (40, 500, 700, 960, 62)],
            id="a pedal held over a program change",
        ),
        pytest.param(
            [[(0, PEDAL), *note(0, 0, 480)], note(1, 0, 1440, 50)],
            [(0, 0, 1440, 1440, 50), (0, 0, 480, 1440, 60)],
            id="a pedal held beyond the end of its track",
        ),
        pytest.param(
            [note(0, 0, 480), [(480, PEDAL), (960, UP)]],
            [(0, 0, 480, 480, 60)],
            id="a pedal at the tick of a note-off",
        ),
        pytest.param(
            [[(0, on(0, 60)), (240, on(0, 60)), (480, off(0, 60)), (960, off(0, 60))]],
            [(0, 0, 480, 480, 60), (0, 240, 480, 480, 60)],
            id="overlapping notes end at the first note-off",
        ),
        pytest.param(
            [[(0, on(0, 60)), (480, cc(0, 123, 0)), (480, on(0, 60)), (960, off(0, 60))]],
            [(0, 0, 480, 480, 60), (0, 480, 960, 960, 60)],
            id="all notes off, then a note at the same tick",
        ),
        pytest.param(
            [note(0, 0, 960), [], [(480, tempo(1000000))]],
            [(0, 0, 1440, 1440, 60)],
            id="a tempo change in a later track during a note",
        ),
        pytest.param(
            [[(0, program(0, 40)), (0, exclusive(0x7E, 0x7F, 9, 2)), *note(0, 0, 480)]],
            [(40, 0, 480, 480, 60)],
            id="General MIDI off is not a reset",
        ),
        pytest.param(
            [[(0, b"\xf0\x04\x41\x10\x42\x12"), (0, b"\xf7\x07\x40\x14\x15\x01\x00\x00\xf7"),
              *note(3, 0, 480, 38)]],
            [(DRUMS, 0, 480, 480, 38)],
            id="a system exclusive message in two packets",
        ),
        pytest.param(
            [[event for c in range(9) for event in [(0, program(c, c)), *note(c, 0, 480, 50 + c)]]],
            [(c, 0, 480, 480, 50 + c) for c in range(9)],
            id="many channels in one track",
        ),
    ],
)  # fmt: skip
def test_odd_files(read, tracks, expected):
    found = read(*tracks)
    assert rows(found) == expected and not found.dropped and not found.remarks
