"""Warps: times and notes moved between score and recording, against a loop over the anchors."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.alignment import Span, Warp
from asteroid_scoresup.alignment.warp import first_tempo
from asteroid_scoresup.score import Notes


def played_by_hand(span, seconds):
    """The time in the recording, by the two anchors around it; at the ends of the span beyond."""
    if seconds <= span.score[0]:
        return span.audio[0]
    for left in range(len(span.score) - 1):
        a, b = span.score[left : left + 2]
        if a <= seconds <= b:
            x, y = span.audio[left : left + 2]
            return x + (seconds - a) / (b - a) * (y - x)
    return span.audio[-1]


@st.composite
def spans(draw, begin):
    n = draw(st.integers(2, 5))
    steps = st.lists(st.floats(0.05, 5), min_size=n - 1, max_size=n - 1)
    score = draw(st.floats(0, 8)) + np.concatenate([[0], np.cumsum(draw(steps))])
    audio = begin + np.concatenate([[0], np.cumsum(draw(steps))])
    return Span(score, audio)


@st.composite
def warps(draw):
    found, begin = [], 0.0
    for _ in range(draw(st.integers(0, 4))):
        begin += draw(st.sampled_from([0.0, 0.7]))
        found.append(draw(spans(begin)))
        begin = found[-1].audio[-1]
    return Warp(tuple(found))


times = st.lists(st.floats(0, 20), max_size=8)


@settings(deadline=None, max_examples=150)
@given(warps(), times)
@pytest.mark.slow
def test_notes_are_played_by_every_span_in_which_they_begin(warp, onsets):
    onset = np.array(onsets)
    notes = Notes(onset, onset + 1, onset * 0 + 60, onset * 0, onset * 0 + 80, onset + 1.5)
    expected = sorted(
        tuple(played_by_hand(span, time + after) for after in (0, 1, 1.5))
        for span in warp.spans
        for time in onset
        if span.score[0] <= time < span.score[-1]
    )
    moved = warp.notes(notes)
    found = sorted(zip(moved.onset, moved.offset, moved.release))
    np.testing.assert_allclose(np.reshape(found, (-1, 3)), np.reshape(expected, (-1, 3)), atol=1e-9)
    assert np.all(np.diff(moved.onset) >= 0)


@settings(deadline=None, max_examples=150)
@given(warps(), times)
@pytest.mark.slow
def test_times_go_to_the_recording_and_back(warp, seconds):
    for score, audio in zip(seconds, warp.to_audio(seconds)):
        holding = [s for s in warp.spans if s.score[0] <= score < s.score[-1]]
        holding = holding or [s for s in warp.spans if score == s.score[-1]]
        if not holding:
            assert math.isnan(audio)
        else:
            assert audio == pytest.approx(played_by_hand(holding[0], score))
    for audio, score in zip(seconds, warp.to_score(seconds)):
        holding = [s for s in warp.spans if s.audio[0] <= audio <= s.audio[-1]]
        assert math.isnan(score) == (not holding)
        if holding:
            assert played_by_hand(holding[-1], score) == pytest.approx(audio, abs=1e-6)


def test_times_keep_their_shape():
    warp = Warp((Span([0, 2], [0, 4]),))
    assert warp.to_audio(1.0).shape == () and float(warp.to_audio(1.0)) == 2
    assert warp.to_score([[1.0, 9.0]]).shape == (1, 2)
    assert np.isnan(Warp(()).to_audio([0.0, 1.0])).all()


def test_bends_move_with_their_notes_and_end_with_the_span():
    warp = Warp((Span([0, 2, 4], [10, 14, 15]),))
    bend = [[0.0, 0.0], [1.0, 0.5], [2.0, 1.0], [9.0, 2.0]]
    notes = Notes([1.0, 3.9], [3.5, 9.0], [60, 61], [0, 0], [80, 80], [9.0, 9.0], [bend, None])
    moved = warp.notes(notes)
    assert (moved.onset.tolist(), moved.offset.tolist()) == ([12.0, 14.95], [14.75, 15.0])
    assert moved.release.tolist() == [15.0, 15.0]
    # Score seconds 1, 2, 3 are audio seconds 12, 14, 14.5; second 10 is beyond the span.
    np.testing.assert_allclose(moved.bend[0], [[0, 0], [2, 0.5], [2.5, 1.0]])
    assert moved.bend[1] is None


def test_a_note_keeps_the_pitch_of_a_bend_whose_first_step_is_beyond_the_span():
    notes = Notes([1.0], [9.0], [60], [0], [80], bend=[[[5.0, 1.0]]])
    moved = Warp((Span([0, 2], [0, 2]),)).notes(notes)
    assert moved.bend[0].tolist() == [[1.0, 1.0]]


def test_the_identity_changes_nothing():
    notes = Notes([0.0, 1.0], [0.5, 3.0], [60, 61], [0, 1], [80, 81], [0.5, 4.0])
    moved = Warp.identity(10).notes(notes)
    for column in ("onset", "offset", "release", "pitch", "class_index", "velocity"):
        np.testing.assert_array_equal(getattr(moved, column), getattr(notes, column))


def test_plain_types_give_the_same_warp_again():
    warp = Warp((Span([0, 1.1, 2], [0.5, 1.7, 3]), Span([5, 6], [3, 4.3])))
    assert Warp.of(json.loads(json.dumps(warp.plain()))) == warp
    assert Warp.of(Warp(()).plain()) == Warp(())
    assert hash(Warp.of(warp.plain())) == hash(warp)
    assert warp != Warp.identity(3)


def test_the_table_has_all_anchors_with_their_certainty(tmp_path):
    warp = Warp((Span([0, 1], [0.5, 6]), Span([5, 6], [11, 99])))
    warp.save_csv(tmp_path / "warp.csv", [0.25, 1.0, np.nan])
    with open(tmp_path / "warp.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["span", "score_seconds", "audio_seconds", "certainty"],
        ["0", "0.000000", "0.500000", "0.250"],
        ["0", "1.000000", "6.000000", "1.000"],
        ["1", "5.000000", "11.000000", ""],
        ["1", "6.000000", "99.000000", ""],
    ]


@pytest.mark.parametrize(
    "score, audio, message",
    [
        ([0], [0], "at least two anchors, found score of shape"),
        ([0, 1], [0, 1, 2], "2 anchors in the score and 3 in the audio"),
        ([0, 1, 1], [0, 1, 2], "score times of a span must be finite and strictly increasing"),
        ([0, 1], [0, np.nan], "audio times of a span must be finite"),
    ],
)
def test_bad_spans_are_refused(score, audio, message):
    with pytest.raises(ValueError, match=message):
        Span(score, audio)


def test_overlapping_spans_are_refused():
    with pytest.raises(ValueError, match=r"Span 1 of a warp begins at 0.900 s .* ends \(1.000 s\)"):
        Warp((Span([0, 1], [0, 1]), Span([0, 1], [0.9, 2])))


@pytest.mark.parametrize("plain", [{}, {"spans": [{"score": [0, 1]}]}, {"spans": 3}, []])
def test_malformed_warps_are_refused(plain):
    with pytest.raises(ValueError, match="not a warp"):
        Warp.of(plain)


def test_anchors_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Warp.identity(3).spans[0].score[0] = 1


@settings(deadline=None, max_examples=150)
@given(warps().filter(lambda warp: warp.spans), st.floats(-5, 30), st.floats(-5, 60))
def test_an_extended_warp_goes_on_at_its_tempo(warp, first, last):
    seconds = warp.spans[-1].audio[-1] + 3
    longer = warp.extended(first, last, seconds)
    assert len(longer.spans) == len(warp.spans)
    head, tail = longer.spans[0], longer.spans[-1]
    for before, after in zip(warp.spans, longer.spans):
        inner = np.isin(after.audio, before.audio)
        assert np.array_equal(after.audio[inner], before.audio)
        assert np.array_equal(after.score[inner], before.score)
        assert np.flatnonzero(~inner).tolist() in ([], [0], [len(inner) - 1], [0, len(inner) - 1])
    assert head.audio[0] >= 0 and tail.audio[-1] <= seconds
    # As far as asked for, unless the recording begins or ends before.
    begin = warp.spans[0].score[0]
    if 0 < head.audio[0] < warp.spans[0].audio[0]:
        assert head.score[0] == first
    elif head.audio[0]:  # it is not continued by less than 10 ms
        assert begin - first <= 0.01 * first_tempo(head.score, head.audio) + 1e-9
    if warp.spans[-1].audio[-1] < tail.audio[-1] < seconds:
        assert tail.score[-1] == last


def test_the_tempo_of_an_extended_warp_is_that_of_eight_seconds():
    warp = Warp((Span([10, 18, 30, 40, 48], [6, 10, 14, 30, 34]),))
    longer = warp.extended(7.5, 53.0, 40.0).spans[0]
    assert longer.score[[0, -1]].tolist() == [7.5, 53.0]
    assert longer.audio[[0, -1]].tolist() == [5.0, 36.5]  # 20 s in 8, and 8 s in 4
    longer = warp.extended(-100.0, 90.0, 36.0).spans[0]
    assert longer.score[[0, -1]].tolist() == [-5.0, 52.0]
    assert longer.audio[[0, -1]].tolist() == [0.0, 36.0]
