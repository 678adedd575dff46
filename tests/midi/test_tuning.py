"""Sounding pitch of notes: pitch wheel, bend ranges, tunings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_midi import cc, exclusive, midi, note, tempo, wheel

from asteroid_scoresup.midi import reader as midi_module
from asteroid_scoresup.midi.reader import read_midi


@pytest.fixture
def bend_of(tmp_path):
    """Bend of the only note, of one second at 960 ticks, after some messages at its start."""

    def bend_of(*messages, pitch=60, channel=0, after=()):
        events = [(0, message) for message in messages] + list(after)
        (tmp_path / "a.mid").write_bytes(midi([*events, *note(channel, 0, 960, pitch)]))
        (instrument,) = read_midi(tmp_path / "a.mid", drums=True).instruments
        bend = instrument.notes.bend
        return None if bend is None else bend[0].tolist()

    return bend_of


def rpn(parameter, high, low=None):
    select = [cc(0, 101, 0), cc(0, 100, parameter), cc(0, 6, high)]
    return select + ([] if low is None else [cc(0, 38, low)])


UP, HALF = wheel(0, 8191), wheel(0, 4096)


@pytest.mark.parametrize(
    "messages, expected",
    [
        ([UP], 2.0),
        ([wheel(0, -8192)], -2.0),
        ([wheel(1, 8191)], None),  # of another channel
        ([wheel(0, 300)], None),  # 7 cents: inaudible
        ([*rpn(0, 12), HALF], 6.0),
        ([HALF, *rpn(0, 12)], 6.0),  # the range counts from when it is set
        ([*rpn(0, 0, 50), UP], 0.5),  # cents
        ([*rpn(0, 3, 40), UP], 3.4),
        ([*rpn(0, 12), *rpn(0, 2), UP], 2.0),
        # A non-registered parameter is not the range, nor is the null parameter.
        ([cc(0, 99, 0), cc(0, 98, 0), cc(0, 6, 12), UP], 2.0),
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 99, 1), cc(0, 98, 8), cc(0, 6, 12), UP], 2.0),
        ([*rpn(0, 12), cc(0, 101, 127), cc(0, 100, 127), cc(0, 6, 24), UP], 12.0),
        ([cc(0, 6, 12), UP], 2.0),  # nothing selected
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 96, 0), UP], 3.0),  # increment
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 38, 50), UP], 2.5),  # cents alone
        ([cc(0, 101, 1), cc(0, 100, 0), cc(0, 6, 12), UP], 2.0),  # another parameter
        ([cc(0, 101, 0), cc(0, 100, 0), cc(0, 97, 0), UP], 1.0),  # decrement
        ([*rpn(0, 12), cc(0, 121, 0), UP], 12.0),  # a reset of all controllers keeps the range
        (rpn(1, 96), 0.5),  # fine tuning
        (rpn(1, 32, 0), -0.5),
        (rpn(2, 76), 12.0),  # coarse tuning
        ([*rpn(2, 63), UP], 1.0),
        ([UP, cc(0, 121, 0)], None),  # reset of all controllers
        ([exclusive(0x7F, 0x7F, 4, 3, 0, 96)], 0.5),  # master fine tuning
        ([exclusive(0x7F, 0x7F, 4, 4, 0, 62)], -2.0),  # master coarse tuning
        ([exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0, 0, 0, 7, 14, 8, 0)], 1.0),  # GS: 2024
        ([exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0, 5, 67, 0)], 3.0),  # GS key shift
        ([exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x11, 0x16, 60, 0)], -4.0),  # of part 1
        ([exclusive(0x43, 0x10, 0x4C, 0, 0, 6, 66)], 2.0),  # XG transposition
        ([exclusive(0x43, 0x10, 0x4C, 8, 0, 8, 71)], 7.0),  # XG note shift of part 1
        ([exclusive(0x7F, 0x7F, 4, 4, 0, 62), exclusive(0x7E, 0x7F, 9, 1)], None),  # reset
        # MTS: C of every octave up 50 cents; in two bytes; on other channels only.
        ([exclusive(0x7E, 0x7F, 8, 8, 3, 127, 127, 114, *[64] * 11)], 0.5),
        ([exclusive(0x7F, 0x7F, 8, 9, 3, 127, 127, 96, 0, *[64, 0] * 11)], 0.5),
        ([exclusive(0x7E, 0x7F, 8, 8, 3, 127, 126, 114, *[64] * 11)], None),
        ([exclusive(0x7E, 0x7F, 8, 8, 3, 127, 127, 64, 114, *[64] * 10)], None),  # C sharp
        # MTS: key 60 sounds at 61.5; in a bank; in a program that is not selected, and is.
        ([exclusive(0x7F, 0x7F, 8, 2, 0, 1, 60, 61, 64, 0)], 1.5),
        ([exclusive(0x7F, 0x7F, 8, 7, 0, 0, 1, 60, 61, 64, 0)], 1.5),
        ([exclusive(0x7F, 0x7F, 8, 2, 0, 1, 60, 127, 127, 127)], None),  # no change
        ([exclusive(0x7F, 0x7F, 8, 2, 5, 1, 60, 61, 64, 0)], None),
        ([exclusive(0x7F, 0x7F, 8, 2, 5, 1, 60, 61, 64, 0), *rpn(3, 5)], 1.5),
        ([exclusive(0x41, 0x10, 0x42, 0x12, 0x40, 0x11, 0x40, 114, *[64] * 11, 0)], 0.5),  # GS
    ],
)
def test_a_note_sounds_above_or_below_its_key(bend_of, messages, expected):
    bend = bend_of(*messages)
    if expected is None:
        assert bend is None
    else:
        assert bend == [[0.0, pytest.approx(expected, abs=0.011)]]


def test_drums_do_not_bend(bend_of):
    assert bend_of(wheel(9, 8191), channel=9) is None


def test_a_bend_that_moves_is_a_list_of_steps(bend_of):
    after = [(240, HALF), (240, UP), (480, UP), (720, wheel(0, 0)), (2000, UP)]
    assert bend_of(after=after) == [[0.0, 0.0], [0.25, 2.0], [0.75, 0.0]]


def test_what_came_before_a_note_does_not_count(tmp_path):
    events = [(0, UP), (400, wheel(0, 0)), *note(0, 480, 960, 60), (960, UP)]
    (tmp_path / "a.mid").write_bytes(midi(events))
    (piano,) = read_midi(tmp_path / "a.mid").instruments
    assert piano.notes.bend is None


def test_bends_continue_under_the_pedal(bend_of):
    after = [(0, cc(0, 64, 127)), (1440, UP), (1920, cc(0, 64, 0))]
    assert bend_of(after=after) == [[0.0, 0.0], [1.5, 2.0]]


def test_bends_follow_the_tempo(bend_of):
    assert bend_of(tempo(1000000), after=[(480, UP)]) == [[0.0, 0.0], [1.0, 2.0]]


def test_too_many_steps_are_ignored_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(midi_module, "MAX_STEPS", 5)
    events = [*note(0, 0, 960), *((k, wheel(0, 9 * k)) for k in range(100, 900))]
    (tmp_path / "a.mid").write_bytes(midi(events))
    reading = read_midi(tmp_path / "a.mid")
    assert reading.instruments[0].notes.bend is None
    assert reading.remarks == {midi_module.TOO_MANY_BENDS: 1}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(-8192, 8191)), max_size=15),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.integers(40, 80)), max_size=6),
    st.integers(1, 24),
)
def test_bends_are_those_of_a_naive_simulation(tmp_path_factory, moves, rows, reach):
    moves = sorted(dict(moves).items())
    events = [(0, message) for message in rpn(0, reach)]
    events += [(10 * tick, wheel(0, value)) for tick, value in moves]
    rows = {pitch: (start, length) for start, length, pitch in rows}  # one note a pitch
    for pitch, (start, length) in rows.items():
        events += note(0, 10 * start, 10 * (start + length), pitch)
    path = tmp_path_factory.mktemp("bends") / "a.mid"
    path.write_bytes(midi(events, division=500, kind=0))  # a tick is a millisecond
    for instrument in read_midi(path).instruments:
        notes = instrument.notes
        for bend, pitch in zip(notes.bends(), notes.pitch):
            start, length = rows[int(pitch)]
            now = np.zeros(length)
            for n in range(length):
                before = [value for tick, value in moves if tick <= start + n]
                now[n] = before[-1] / 8192 * reach if before else 0.0
            found = np.zeros(length)
            if bend is not None:
                for seconds, semitones in bend:
                    found[round(seconds * 100) :] = semitones
            # Small bends may be left out, as a whole.
            tolerance = 0.11 if bend is None else 0.006
            np.testing.assert_allclose(found, now, atol=tolerance)
