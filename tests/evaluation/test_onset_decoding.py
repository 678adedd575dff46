"""Notes from probabilities of frames and onsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.dsp import FrameGrid
from asteroid_scoresup.evaluation import Decoding, choose_decoding
from asteroid_scoresup.evaluation.onset_decoding import notes_from_onsets, onset_peaks
from asteroid_scoresup.evaluation.transcription import note_scores
from asteroid_scoresup.score import Notes, onset_targets, piano_roll

HOP, RATE = 512, 16000
GRID = FrameGrid(2048, HOP, RATE)


def ideal(notes, n_frames=320, n_src=1):
    """What a transcriptor without errors predicts."""
    frames = piano_roll(notes, n_src, n_frames, GRID).numpy()
    return np.stack([frames, onset_targets(notes, n_src, n_frames, GRID).numpy()])


def table(onsets, offsets, pitches=60, class_index=0):
    size = len(onsets)
    return Notes(
        onsets,
        offsets,
        np.broadcast_to(pitches, size),
        np.full(size, class_index),
        np.full(size, 90),
    )


@settings(max_examples=40, deadline=None)
@given(gaps=st.lists(st.floats(0.13, 0.9), min_size=1, max_size=8), first=st.floats(0.1, 1))
def test_onsets_are_found_between_the_frames(gaps, first):
    onsets = first + np.cumsum([0, *gaps])
    notes = table(onsets, onsets + 0.1)
    row, time = onset_peaks(ideal(notes)[1, 0], 0.4)
    assert row.tolist() == [39] * len(onsets)
    np.testing.assert_allclose(time * HOP / RATE, onsets, atol=1e-3)


def test_repeated_notes_without_a_gap_stay_apart():
    onsets = np.arange(8) * 0.25 + 0.2
    notes = table(onsets, onsets + 0.25)
    probs = ideal(notes)
    found = Decoding.default(1).notes(probs, HOP, RATE)
    assert len(found) == 8
    np.testing.assert_allclose(found.onset, notes.onset, atol=1e-3)
    np.testing.assert_allclose(found.offset[:-1], notes.offset[:-1], atol=1e-3)
    assert len(Decoding.default(1).notes(probs[0], HOP, RATE)) == 1  # frames alone merge them


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_ideal_predictions_give_the_score(seed):
    rng = np.random.default_rng(seed)
    parts = []
    for pitch in rng.permutation(np.arange(30, 100))[:20]:
        onsets = np.cumsum(rng.uniform(0.4, 2, 4))
        parts.append(table(onsets, onsets + rng.uniform(0.15, 0.38, 4), pitch, pitch % 2))
    notes = Notes.concatenate(parts)
    found = Decoding.default(2).notes(ideal(notes, n_src=2), HOP, RATE)
    for row in note_scores(notes, found, ["a", "b"], onset_tolerance=0.005):
        assert row["note_f1"] == 1 and row["note_f1_offset"] == 1


def test_the_end_is_interpolated():
    frames, onsets = np.zeros((88, 12)), np.zeros((88, 12))
    frames[5, 2:6], frames[5, 6] = 1, 0.2
    onsets[5, 2] = 0.9
    notes = notes_from_onsets(frames, onsets, 1, 1, threshold=0.6, onset_threshold=0.5)
    assert notes.offset.tolist() == [pytest.approx(5.5)]


def test_gaps_are_closed_up_to_their_length():
    frames, onsets = np.zeros((88, 12)), np.zeros((88, 12))
    frames[5, [2, 3, 5, 6, 9]] = 1
    onsets[5, 2] = 0.9
    ends = [
        notes_from_onsets(frames, onsets, 1, 1, 0.5, 0.5, max_gap_seconds=gap).offset[0]
        for gap in (0, 1, 2)
    ]
    assert ends == [3.5, 6.5, 9.5]


def test_frames_without_an_onset_give_no_note_and_short_notes_are_dropped():
    frames, onsets = np.zeros((88, 12)), np.zeros((88, 12))
    frames[4, 2:9] = frames[5, 2:4] = 1
    onsets[5, 2] = 0.9
    assert len(notes_from_onsets(frames, onsets, 1, 1, 0.5, 0.5)) == 1
    assert len(notes_from_onsets(frames, onsets, 1, 1, 0.5, 0.5, min_seconds=3)) == 0
    assert len(notes_from_onsets(frames, np.zeros_like(onsets), 1, 1, 0.5, 0.5)) == 0


def test_notes_at_both_ends_of_the_recording():
    notes = table([0.0, 9.9], [0.3, 10.24])
    found = Decoding.default(1).notes(ideal(notes), HOP, RATE)
    np.testing.assert_allclose(found.onset, notes.onset, atol=0.02)
    np.testing.assert_allclose(found.offset, notes.offset, atol=0.03)


def test_other_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"Frames of shape \(88, 3\) and onsets of shape \(88, 4\)"
    ):
        notes_from_onsets(np.zeros((88, 3)), np.zeros((88, 4)), 1, 1, 0.5, 0.5)


def test_the_thresholds_are_chosen_by_the_notes():
    onsets = np.arange(8) * 0.5 + 0.2
    notes = table(onsets, onsets + 0.3)
    probs = 0.22 * ideal(notes)  # an unsure transcriptor
    decoding = choose_decoding([(notes, probs, HOP, RATE)], ["a"])
    assert decoding.onset_threshold[0] <= 0.2 and decoding.threshold[0] <= 0.2
    found = decoding.notes(probs, HOP, RATE)
    assert note_scores(notes, found, ["a"])[0]["note_f1_offset"] == 1
    again = Decoding.from_plain(decoding.plain(), 1)
    assert again == decoding


def test_decodings_of_older_files_have_default_onset_thresholds():
    old = {"threshold": [0.3], "min_seconds": [0.05], "max_gap_seconds": [0.0]}
    assert Decoding.from_plain(old, 1).onset_threshold == Decoding.default(1).onset_threshold
