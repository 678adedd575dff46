"""MIDI files into note tables: times, tempo, drums, defects."""

import mido
import numpy as np
import pytest
from slakh_folder import write_midi

from asteroid_scoresup.checks.bends import IGNORED, resolve_bends
from asteroid_scoresup.midi.events import CUT
from asteroid_scoresup.midi.reader import DRUMS, join_instruments, read_midi
from asteroid_scoresup.utils.files import read_audio


def write_events(path, *tracks, ticks_per_beat=480, kind=1):
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks_per_beat)
    for events in tracks:
        file.tracks.append(mido.MidiTrack(events))
    file.save(path)


def on(pitch, time=0, velocity=90, channel=0):
    return mido.Message("note_on", note=pitch, time=time, velocity=velocity, channel=channel)


def off(pitch, time=0, channel=0):
    return mido.Message("note_off", note=pitch, time=time, channel=channel)


def test_reads_what_was_written(tmp_path):
    rows = [(0.0, 0.5, 40, 100), (0.25, 1.0, 52, 64), (2.0, 2.5, 127, 1)]
    write_midi(tmp_path / "a.mid", (33, rows))
    (instrument,), dropped, *_ = read_midi(tmp_path / "a.mid")
    assert instrument.program == 33 and not dropped
    notes = instrument.notes
    np.testing.assert_allclose(notes.onset, [0, 0.25, 2], atol=1e-3)
    np.testing.assert_allclose(notes.offset, [0.5, 1, 2.5], atol=1e-3)
    assert notes.pitch.tolist() == [40, 52, 127] and notes.velocity.tolist() == [100, 64, 1]


def test_instruments_stay_apart_and_can_be_joined(tmp_path):
    write_midi(tmp_path / "a.mid", (0, [(1.0, 2.0, 60, 80)]), (0, [(0.5, 1.5, 60, 70)]))
    instruments, *_ = read_midi(tmp_path / "a.mid")
    joined = join_instruments(instruments, class_index=2)
    assert joined.onset.tolist() == [0.5, 1.0] and joined.class_index.tolist() == [2, 2]


def test_drums_are_dropped_and_counted_unless_asked_for(tmp_path):
    write_midi(tmp_path / "a.mid", (128, [(0.0, 0.1, 38, 80)] * 3), (0, [(0.0, 1.0, 60, 80)]))
    instruments, dropped, *_ = read_midi(tmp_path / "a.mid")
    assert [i.program for i in instruments] == [0] and dropped == {"drums": 3}
    instruments, dropped, *_ = read_midi(tmp_path / "a.mid", drums=True)
    assert sorted(i.program for i in instruments) == [0, DRUMS] and not dropped


def test_overlapping_notes_of_one_pitch_are_kept(tmp_path):
    events = [on(60), on(60, 240), off(60, 240), off(60, 240)]
    write_events(tmp_path / "a.mid", events)
    (instrument,), dropped, *_ = read_midi(tmp_path / "a.mid")
    assert len(instrument.notes) == 2 and not dropped


def test_notes_without_length_or_end_are_dropped_and_counted(tmp_path):
    events = [on(60), off(60), on(62), off(62, 480), on(64)]
    write_events(tmp_path / "a.mid", events)
    (instrument,), dropped, *_ = read_midi(tmp_path / "a.mid")
    assert instrument.notes.pitch.tolist() == [62] and dropped == {"no length": 2}


def test_tempo_changes_count_wherever_they_stand(tmp_path):
    slow = mido.MetaMessage("set_tempo", tempo=1_000_000, time=480)
    end = mido.MetaMessage("end_of_track", time=0)
    name = mido.MetaMessage("track_name", name="x", time=0)
    notes = [on(60, 480), off(60, 480)]
    expected = [[name, slow, end], notes]
    misplaced = [[name, end], [slow], notes]
    for tracks in (expected, misplaced):
        write_events(tmp_path / "a.mid", *[[event.copy() for event in t] for t in tracks])
        (instrument,), *_ = read_midi(tmp_path / "a.mid")
        assert instrument.notes.onset.tolist() == pytest.approx([0.5])
        assert instrument.notes.offset.tolist() == pytest.approx([1.5])


def test_an_empty_track_is_no_obstacle(tmp_path):
    path = tmp_path / "a.mid"
    write_events(path, [on(60), off(60, 480)])
    data = path.read_bytes()
    # Header with three tracks, the last of them of length 0.
    path.write_bytes(data[:10] + b"\x00\x02" + data[12:] + b"MTrk\x00\x00\x00\x00")
    (instrument,), *_ = read_midi(path)
    assert len(instrument.notes) == 1


@pytest.mark.parametrize("content", [b"", b"no MIDI at all", b"MThd\x00\x00\x00\x06\x00\x01"])
def test_broken_files_are_named(tmp_path, content):
    (tmp_path / "broken.mid").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.mid cannot be read as MIDI: .+"):
        read_midi(tmp_path / "broken.mid")


def test_a_file_that_was_cut_is_read_up_to_there_and_says_so(tmp_path):
    write_midi(tmp_path / "a.mid", (0, [(0.1 * k, 0.1 * k + 0.1, 60, 80) for k in range(50)]))
    (whole,), *_ = read_midi(tmp_path / "a.mid")
    data = (tmp_path / "a.mid").read_bytes()
    (tmp_path / "a.mid").write_bytes(data[: len(data) // 2])
    (instrument,), _, remarks, _ = read_midi(tmp_path / "a.mid")
    assert 15 < len(instrument.notes) < 35 and remarks[CUT] == 1
    np.testing.assert_array_equal(
        instrument.notes.offset, whole.notes.offset[: len(instrument.notes)]
    )


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing.mid cannot be read"):
        read_midi(tmp_path / "nothing.mid")


def test_a_file_without_notes_has_no_instruments(tmp_path):
    write_events(tmp_path / "a.mid", [mido.MetaMessage("track_name", name="x", time=0)])
    assert read_midi(tmp_path / "a.mid") == ([], {}, {}, 120.0)


def test_real_bass(real_data):
    folder = real_data / "babyslakh_16k" / "Track00001" / "MIDI"
    (bass,), dropped, *_ = read_midi(folder / "S03.mid")
    assert bass.program == 33 and len(bass.notes) == 361 and not dropped


def test_real_slakh_ignores_the_wheel(real_data):
    folder = real_data / "slakh2100_flac_redux" / "train" / "Track00001"
    (guitar,), *_ = read_midi(folder / "MIDI" / "S00.mid")
    audio, rate = read_audio(folder / "stems" / "S00.flac")
    heard = guitar.notes.select(guitar.notes.onset < len(audio) / rate)
    assert heard.bend is not None
    unbent, verdict = resolve_bends(heard, audio, rate)
    assert verdict == IGNORED and unbent.bend is None
