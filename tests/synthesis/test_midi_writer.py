"""Written songs are read back as they were rendered."""

import numpy as np
import pretty_midi
import pytest
from raw_midi import cc, midi, note, program, wheel

from asteroid_scoresup.midi.reader import read_midi
from asteroid_scoresup.synthesis.midi_writer import write_midi
from asteroid_scoresup.synthesis.render import render_instrument


def rewritten(tmp_path, *tracks):
    """Instruments of a file, before and after they are written and read again."""
    (tmp_path / "a.mid").write_bytes(midi(*tracks))
    before = read_midi(tmp_path / "a.mid", drums=True)
    song = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=before.tempo)
    parts = [instrument.to_pretty_midi() for instrument in before.instruments]
    write_midi(tmp_path / "b.mid", song, parts)
    return before.instruments, read_midi(tmp_path / "b.mid", drums=True).instruments


def assert_same(before, after):
    assert [(i.program, i.name) for i in before] == [(i.program, i.name) for i in after]
    for one, other in zip(before, after):
        for column in ("onset", "offset", "release"):
            found = getattr(other.notes, column)
            np.testing.assert_allclose(found, getattr(one.notes, column), atol=1e-3)
        assert one.notes.pitch.tolist() == other.notes.pitch.tolist()
        for mine, yours in zip(one.notes.bends(), other.notes.bends()):
            assert (mine is None) == (yours is None)
            if mine is not None:
                np.testing.assert_allclose(mine, yours, atol=0.011)


def test_pedals_and_bend_ranges_survive(tmp_path):
    # Simultaneous and in this order; pretty_midi would sort them by number.
    reach = [cc(0, 101, 0), cc(0, 100, 0), cc(0, 6, 7), cc(0, 101, 127), cc(0, 100, 127)]
    tuning = [cc(0, 101, 0), cc(0, 100, 1), cc(0, 6, 96), cc(0, 38, 0)]
    events = [(0, raw) for raw in (*reach, *tuning, program(0, 25), cc(0, 64, 127))]
    events += [*note(0, 0, 480), (240, wheel(0, 4096)), (960, cc(0, 64, 0)), *note(0, 1000, 1500)]
    before, after = rewritten(tmp_path, [(0, b"\xff\x03\x06guitar"), *events])
    assert before[0].notes.bend[0].tolist() == [[0.0, 0.5], [0.25, 4.0]]
    assert_same(before, after)


def test_more_instruments_than_channels(tmp_path):
    tracks = []
    for number in range(40):  # on several ports, so that the input is unambiguous
        port, channel = divmod(number, 8)
        prefix = [(0, b"\xff\x21\x01" + bytes([port])), (0, program(channel, number))]
        tracks.append([*prefix, *note(channel, 0, 480, 60)])
    tracks += [note(9, 0, 100, 38)]
    before, after = rewritten(tmp_path, *tracks)
    assert len(before) == 41
    assert_same(before, after)


@pytest.mark.parametrize(
    "controls, sounds",
    [
        ([], False),
        ([(0.05, 64, 127)], True),
        ([(0.2, 66, 127)], True),  # sostenuto catches the note
        ([(0.05, 66, 127)], False),  # it was pressed before the note
        ([(0.05, 64, 127), (0.6, 64, 0)], False),
        ([(0.05, 64, 127), (0.6, 121, 0)], False),
        ([(0.05, 64, 127), (0.6, 120, 0)], False),
    ],
)
def test_pedals_sustain_notes_in_renderings_and_labels(tmp_path, controls, sounds):
    part = pretty_midi.Instrument(19)  # an organ, which does not decay
    part.notes = [pretty_midi.Note(100, 60, 0.1, 0.4)]
    part.control_changes = [pretty_midi.ControlChange(n, v, t) for t, n, v in controls]
    audio = render_instrument(part, 1.6, 16000, None, "tinysoundfont")
    level = np.sqrt(np.mean(audio[int(1.4 * 16000) :] ** 2))
    assert (level > 0.1 * np.sqrt(np.mean(audio[2400:5600] ** 2))) == sounds
    song = pretty_midi.PrettyMIDI(resolution=960)
    part.control_changes.append(pretty_midi.ControlChange(7, 100, 1.6))  # the file's end
    write_midi(tmp_path / "a.mid", song, [part])
    (organ,) = read_midi(tmp_path / "a.mid").instruments
    assert (organ.notes.release[0] > 1.4) == sounds
