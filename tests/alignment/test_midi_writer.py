"""Aligned MIDI files: read back, they have the notes of the warp; bars, texts and programs stay."""

from dataclasses import dataclass

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_midi import cc, exclusive, midi, note, off, on, program, tempo, wheel

from asteroid_scoresup.alignment import Span, Warp
from asteroid_scoresup.alignment.midi_writer import write_aligned_midi
from asteroid_scoresup.midi import DRUMS, read_midi

#: Largest difference between a note of the file and the same note of the warp, in seconds.
CLOSE = 0.002


@dataclass
class Alignment:
    """What the writer needs of an alignment."""

    warp: Warp
    transposition: int = 0


def table(instruments, warp=None, transposition=0):
    """Rows (program, pitch, velocity, onset, offset, release) of a song, sorted."""
    rows = []
    for instrument in instruments:
        notes = instrument.notes if warp is None else warp.notes(instrument.notes)
        shift = 0 if instrument.program == DRUMS else transposition
        rows += [
            (instrument.program, pitch + shift, velocity, onset, offset, release)
            for pitch, velocity, onset, offset, release in zip(
                notes.pitch, notes.velocity, notes.onset, notes.offset, notes.release
            )
        ]
    return np.array(sorted(rows)).reshape(-1, 6)


def written(folder, content, warp, transposition=0):
    """The tables of the written file and of the warped notes, and the file."""
    (folder / "score.mid").write_bytes(content)
    out = folder / "out.mid"
    write_aligned_midi(folder / "score.mid", Alignment(warp, transposition), out)
    score = read_midi(folder / "score.mid", drums=True).instruments
    found = table(read_midi(out, drums=True).instruments)
    return found, table(score, warp, transposition), mido.MidiFile(out)


@st.composite
def scores(draw):
    """Files of two tracks with pedals, wheels, programs and tempi; every velocity occurs once."""
    division = draw(st.sampled_from([24, 96, 480]))
    ticks = st.integers(0, 16 * division)
    velocities = iter(range(1, 128))
    tracks = [[(0, tempo(500_000))]]
    tracks[0] += [(t, tempo(draw(st.integers(250_000, 900_000)))) for t in draw(st.lists(ticks))]
    for number in range(2):
        events = [(0, program(number, 10 + number))]
        for _ in range(draw(st.integers(0, 8))):
            start, length = draw(ticks), draw(st.integers(1, 4 * division))
            pitch = draw(st.sampled_from([60, 60, 61, 72]))
            channel = draw(st.sampled_from([number, number, 9]))
            events += note(channel, start, start + length, pitch, next(velocities))
        for _ in range(draw(st.integers(0, 4))):
            change = draw(
                st.sampled_from(
                    [cc(number, 64, 127), cc(number, 64, 0), cc(number, 66, 127), cc(number, 66, 0)]
                    + [program(number, 20), program(number, 30), cc(0, 64, 127), cc(1, 123, 0)]
                )
            )
            events.append((draw(ticks), change))
        tracks.append(events)
    return midi(*tracks, division=division)


@st.composite
def warps(draw):
    found, begin = [], draw(st.sampled_from([0.0, 0.0004, 0.03, 2.2]))
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(2, 5))
        steps = np.array(draw(st.lists(st.floats(0.1, 4), min_size=n - 1, max_size=n - 1)))
        speed = np.array(draw(st.lists(st.floats(0.4, 2.5), min_size=n - 1, max_size=n - 1)))
        first = draw(st.sampled_from([0.0, 0.0, 1.0, 3.21]))
        score = first + np.concatenate([[0], np.cumsum(steps)])
        found.append(Span(score, begin + np.concatenate([[0], np.cumsum(steps * speed)])))
        begin = found[-1].audio[-1] + draw(st.sampled_from([0.0, 0.0, 0.3, 5.0]))
    return Warp(tuple(found))


@settings(deadline=None, max_examples=80)
@given(content=scores(), warp=warps(), transposition=st.integers(-5, 5))
@pytest.mark.slow
def test_the_notes_of_the_file_are_those_of_the_warp(
    tmp_path_factory, content, warp, transposition
):
    folder = tmp_path_factory.mktemp("midi")
    try:
        found, expected, _ = written(folder, content, warp, transposition)
    except ValueError as error:
        assert "has no part in this recording" in str(error)
        (folder / "score.mid").write_bytes(content)
        assert not len(table(read_midi(folder / "score.mid", drums=True).instruments, warp))
        return
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found[:, :3], expected[:, :3])
    np.testing.assert_allclose(found[:, 3:], expected[:, 3:], atol=CLOSE)


def beat_times(file):
    """Seconds of successive beats, by the tempo events of the first track."""
    changes, tick = [], 0
    for message in file.tracks[0]:
        tick += message.time
        if message.type == "set_tempo":
            changes.append((tick, message.tempo))
    seconds, times = 0.0, []
    for beat in range(64):
        times.append(seconds)
        for tick in range(file.ticks_per_beat):
            now = beat * file.ticks_per_beat + tick
            seconds += next(t for k, t in reversed(changes) if k <= now) / 1e6 / file.ticks_per_beat
    return np.array(times)


def test_every_beat_lies_where_the_warp_puts_it(tmp_path):
    # A beat of half a second, for 20 s; the recording slows down gradually.
    score = np.linspace(0, 20, 401)
    warp = Warp((Span(score, score + 0.02 * score**2),))
    events = [e for beat in range(40) for e in note(0, 24 * beat, 24 * beat + 12)]
    *_, file = written(tmp_path, midi([(0, tempo(500_000))], events, division=24), warp)
    beats = np.arange(0, 39) / 2
    np.testing.assert_allclose(beat_times(file)[:39], beats + 0.02 * beats**2, atol=0.0005)
    # One tempo or two a beat are enough for a curve that is nearly straight within a beat.
    n_tempi = sum(message.type == "set_tempo" for message in file.tracks[0])
    assert n_tempi <= 2 * 40


def test_a_steady_tempo_is_one_tempo(tmp_path):
    warp = Warp((Span([0, 10, 20], [0, 11, 22]),))
    events = [e for beat in range(40) for e in note(0, 24 * beat, 24 * beat + 12)]
    *_, file = written(tmp_path, midi([(0, tempo(500_000))], events, division=24), warp)
    assert [m.tempo for m in file.tracks[0] if m.type == "set_tempo"] == [550_000]


def messages(file, *kinds):
    """Messages of some kinds by absolute tick, of all tracks."""
    found = []
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type in kinds:
                found.append((tick, message))
    return sorted(found, key=lambda one: one[0])


@pytest.fixture
def song(tmp_path):
    """Four bars of 3/4 at 120 beats per minute (1.5 s each), with lyrics, on two channels."""
    file = mido.MidiFile(ticks_per_beat=96)
    head = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=3, denominator=4)])
    head.append(mido.MetaMessage("key_signature", key="Eb"))
    words = mido.MidiTrack([mido.MetaMessage("track_name", name="Voice")])
    words.append(mido.Message("program_change", channel=3, program=52))
    for bar, word in enumerate(["one", "two", "three", "four"]):
        words.append(mido.MetaMessage("lyrics", text=word, time=0))
        words.append(mido.Message("note_on", channel=3, note=60 + bar, velocity=70))
        if bar == 1:
            words.append(mido.Message("program_change", channel=3, program=53))
        words.append(mido.Message("note_off", channel=3, note=60 + bar, time=288))
    file.tracks += [head, words]
    file.save(tmp_path / "song.mid")
    return tmp_path / "song.mid"


def test_texts_names_signatures_and_bars_stay(song, tmp_path):
    out = tmp_path / "out.mid"
    write_aligned_midi(song, Alignment(Warp((Span([0, 3, 6], [0, 4, 6]),))), out)
    before, after = mido.MidiFile(song), mido.MidiFile(out)
    kinds = ("lyrics", "track_name", "key_signature", "time_signature", "program_change")
    kinds += ("note_on", "note_off")
    plain = [[(t, m.copy(time=0)) for t, m in messages(f, *kinds)] for f in (before, after)]
    assert plain[0] == plain[1]
    assert after.ticks_per_beat == 96 and after.type == before.type


def test_silence_before_the_music_becomes_bars_of_rest(song, tmp_path):
    # 3 s are two bars of 1.5 s.
    write_aligned_midi(song, Alignment(Warp((Span([0, 6], [3, 9]),))), tmp_path / "out.mid")
    file = mido.MidiFile(tmp_path / "out.mid")
    assert [tick for tick, _ in messages(file, "lyrics")] == [576, 864, 1152, 1440]
    assert [m.tempo for _, m in messages(file, "set_tempo")] == [500_000]


def test_a_short_silence_becomes_a_short_bar(song, tmp_path):
    # A quarter of a second is half a beat: a bar of 1/8, then 3/4 from the music on.
    write_aligned_midi(song, Alignment(Warp((Span([0, 6], [0.25, 6.25]),))), tmp_path / "out.mid")
    file = mido.MidiFile(tmp_path / "out.mid")
    found = [(t, m.numerator, m.denominator) for t, m in messages(file, "time_signature")]
    assert found == [(0, 1, 8), (48, 3, 4)]
    assert [m.tempo for _, m in messages(file, "set_tempo")] == [500_000]
    assert messages(file, "lyrics")[0][0] == 48


def test_sections_are_skipped_and_repeated_with_their_programs(song, tmp_path):
    # Bars 2 to 4 (from the change of program on), then bar 1, then bar 4.
    spans = (Span([1.5, 6], [0, 4.5]), Span([0, 1.5], [4.5, 6]), Span([4.5, 6], [6, 7.5]))
    write_aligned_midi(song, Alignment(Warp(spans)), tmp_path / "out.mid")
    file = mido.MidiFile(tmp_path / "out.mid")
    assert [(t, m.text) for t, m in messages(file, "lyrics")] == [
        (0, "two"), (288, "three"), (576, "four"), (864, "one"), (1152, "four")
    ]  # fmt: skip
    parts = read_midi(tmp_path / "out.mid").instruments
    assert {part.program: part.notes.pitch.tolist() for part in parts} == {
        52: [61, 60],
        53: [62, 63, 63],
    }
    assert len(messages(file, "track_name")) == 1


def test_a_section_that_begins_within_a_bar_gets_an_incomplete_bar(song, tmp_path):
    # From the second beat on: two beats are left of the bar.
    write_aligned_midi(song, Alignment(Warp((Span([0.5, 6], [0, 5.5]),))), tmp_path / "out.mid")
    file = mido.MidiFile(tmp_path / "out.mid")
    found = [(t, m.numerator, m.denominator) for t, m in messages(file, "time_signature")]
    assert found == [(0, 2, 4), (192, 3, 4)]


def test_notes_and_pedals_end_at_a_jump(tmp_path):
    events = [(0, cc(0, 64, 127)), *note(0, 0, 480, 60), *note(0, 0, 3840, 62)]
    warp = Warp((Span([0, 1], [0, 1]), Span([0, 2], [1, 3])))
    found, expected, _ = written(tmp_path, midi(events), warp)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    # The first notes end with the first section, the pedal included.
    assert found[found[:, 3] < 0.5, 5].tolist() == pytest.approx([1.0, 1.0], abs=CLOSE)


def test_controllers_parameters_and_wheel_are_those_of_the_place(tmp_path):
    bend_range = [cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 12)]
    events = [(0, program(0, 5)), *note(0, 0, 240, 60)]
    events += [(480, raw) for raw in [*bend_range, wheel(0, 4096), cc(0, 7, 50)]]
    events += note(0, 960, 1440, 60)
    warp = Warp((Span([1, 1.5], [0, 0.5]), Span([0, 1.5], [0.5, 2])))
    found, expected, file = written(tmp_path, midi(events), warp)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    (part,) = read_midi(tmp_path / "out.mid").instruments
    # 4096 of 8192 of an octave are six semitones; the repeat of the beginning is not bent.
    pitches = [0.0 if bend is None else bend[0, 1] for bend in part.notes.bends()]
    assert pitches == [6.0, 0.0, 6.0]
    assert [m.value for _, m in messages(file, "control_change") if m.control == 7] == [50, 100, 50]


def test_drum_parts_and_resets_before_the_first_section_count(tmp_path):
    # A GS message makes channel 3 (index 2) a drum part: it is not transposed.
    drum = exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x13, 0x15, 0x01, 0x17)
    events = [(0, drum), *note(2, 960, 1440, 40), *note(0, 960, 1440, 60)]
    found, expected, _ = written(tmp_path, midi(events), Warp((Span([0.9, 3], [0, 2]),)), 3)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    assert found[:, :2].tolist() == [[0, 63], [128, 40]]


def test_channels_that_tracks_share_keep_their_programs(tmp_path):
    # Writers with more than 16 instruments use a channel for several.
    tracks = [[(0, program(0, p)), *note(0, 960, 1440, 60 + p)] for p in (1, 2, 3)]
    found, expected, _ = written(tmp_path, midi(*tracks), Warp((Span([0.9, 3], [0, 2]),)))
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    assert found[:, 0].tolist() == [1, 2, 3]


def test_notes_that_leave_the_range_of_midi_are_left_out(tmp_path):
    events = [*note(0, 0, 480, 125), *note(0, 0, 480, 60)]
    found, *_ = written(tmp_path, midi(events), Warp.identity(3), 5)
    assert found[:, 1].tolist() == [65]


def test_a_note_without_an_end_does_not_get_one(tmp_path):
    events = [(0, on(0, 70)), *note(0, 0, 480, 60)]
    warp = Warp((Span([0, 1], [0, 1]), Span([0, 1], [1, 2])))
    found, *_ = written(tmp_path, midi(events), warp)
    assert found[:, 1].tolist() == [60, 60]


@pytest.mark.parametrize(
    "content",
    [
        midi([(0, b"\xff\x59\x02\x20\x09"), *note(0, 0, 480)]),  # a key that does not exist
        midi([(0, on(0, 60)), (480, bytes([0x80, 60, 200]))]),  # a data byte above 127
        midi(note(0, 0, 480), division=0xE728),  # SMPTE: 25 frames of 40 ticks
        b"RIFF\0\0\0\0RMIDdata\0\0\0\0" + midi(note(0, 0, 480)),
    ],
)
def test_files_that_the_reader_can_read_can_be_aligned(tmp_path, content):
    found, expected, _ = written(tmp_path, content, Warp((Span([0, 0.2, 1], [0.5, 1, 2]),)))
    assert len(found) == 1
    np.testing.assert_allclose(found, expected, atol=CLOSE)


def test_a_score_that_is_not_played_is_refused_and_nothing_is_written(tmp_path):
    (tmp_path / "score.mid").write_bytes(midi(note(0, 0, 480)))
    for warp in (Warp(()), Warp((Span([50, 60], [0, 10]),))):
        with pytest.raises(ValueError, match=r"score.mid has no part in this recording"):
            write_aligned_midi(tmp_path / "score.mid", Alignment(warp), tmp_path / "out.mid")
    with pytest.raises(ValueError, match="cannot be read as MIDI"):
        write_aligned_midi(tmp_path / "no.mid", Alignment(Warp(())), tmp_path / "out.mid")
    assert [path.name for path in tmp_path.iterdir()] == ["score.mid"]


def test_a_key_lifted_by_another_track_is_lifted(tmp_path):
    tracks = [[(0, on(0, 60))], [(480, off(0, 60)), *note(0, 960, 1440, 62)]]
    warp = Warp((Span([0, 2], [0, 2]), Span([0, 2], [2, 4])))
    found, expected, _ = written(tmp_path, midi(*tracks), warp)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    assert len(found) == 4
