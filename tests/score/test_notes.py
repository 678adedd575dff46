"""The note table: what it accepts, and cutting, joining and transposing it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.score import Notes


def table(rows):
    return Notes(*np.array(rows, dtype=float).reshape(-1, 5).T)


ROWS = [(0.0, 0.5, 40, 0, 100), (0.5, 1.0, 52, 1, 90), (0.25, 2.0, 60, 0, 80)]


def test_columns_get_the_dtypes_that_rolls_rely_on():
    notes = Notes([0, 1], [1, 2], [40.0, 41.0], [0, 1], [90, 90])
    assert (notes.onset.dtype, notes.offset.dtype) == (np.float64, np.float64)
    assert {getattr(notes, c).dtype for c in ("pitch", "class_index", "velocity")} == {
        np.dtype("int64")
    }


@pytest.mark.parametrize(
    "columns, message",
    [
        (([0, 1], [1, 2], [40], [0, 0], [1, 1]), "equally long.*'pitch': 1"),
        (([0, 2], [1, 1.5], [40, 41], [0, 0], [1, 1]), r"Note 1 ends \(1.500 s\) before .*2.000 s"),
        (([0, np.nan], [1, 2], [40, 41], [0, 0], [1, 1]), "must be finite"),
        (([0, 1], [1, np.inf], [40, 41], [0, 0], [1, 1]), "must be finite"),
    ],
)
def test_bad_tables_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Notes(*columns)


def test_a_table_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        table(ROWS).onset = np.zeros(3)


def test_concatenate_sorts_by_onset_then_source_then_pitch():
    one = table([(1.0, 2.0, 50, 1, 1), (0.0, 1.0, 60, 0, 2)])
    other = table([(1.0, 2.0, 40, 1, 3), (1.0, 2.0, 70, 0, 4)])
    joined = Notes.concatenate([one, other])
    assert joined.velocity.tolist() == [2, 4, 3, 1]
    assert len(Notes.concatenate([])) == 0


def test_select_and_replace_leave_the_original_alone():
    notes = table(ROWS)
    assert notes.select(notes.class_index == 0).velocity.tolist() == [100, 80]
    louder = notes.replace(velocity=notes.velocity + 1)
    assert louder.velocity.tolist() == [101, 91, 81]
    assert notes.velocity.tolist() == [100, 90, 80]


def test_transposing_moves_each_class_by_its_own_interval():
    notes = table(ROWS).transposed([3, -5])
    assert notes.pitch.tolist() == [43, 47, 63]
    assert len(Notes.empty().transposed([1, 2])) == 0


notes_lists = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 10), st.integers(21, 108)), max_size=8
)


@settings(deadline=None)
@given(notes_lists, st.integers(0, 30), st.integers(1, 20), st.integers(0, 8))
def test_within_keeps_what_touches_the_window(rows, start, length, margin):
    # Times in eighths of a second are exact in floating point.
    rows = [(on / 8, (on + n) / 8, pitch, 0, 64) for on, n, pitch in rows]
    start, stop, margin = start / 8, (start + length) / 8, margin / 8
    kept = table(rows).within(start, stop, margin)
    expected = [
        (on - start, off - start, pitch)
        for on, off, pitch, _, _ in rows
        if off > start - margin and on < stop + margin
    ]
    assert list(zip(kept.onset, kept.offset, kept.pitch)) == expected


def test_drums_keep_their_keys_at_another_speed():
    notes = Notes([0.0, 1.0], [0.5, 2.0], [40, 38], [0, 1], [90, 90])
    faster = notes.at_speed(12, unpitched=(1,))
    assert faster.pitch.tolist() == [52, 38] and faster.onset.tolist() == [0.0, 0.5]
    assert notes.at_speed(12).pitch.tolist() == [52, 50]
