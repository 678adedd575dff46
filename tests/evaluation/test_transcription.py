import mir_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.evaluation import frame_accuracy, note_scores, roll_to_notes
from asteroid_scoresup.score import LOWEST_PITCH, N_PITCHES, Notes, piano_roll

HOP, RATE = 512, 16000
FRAME = HOP / RATE


def random_notes(seed, n_notes=40, n_src=3, seconds=4.0):
    rng = np.random.default_rng(seed)
    onset = rng.uniform(0, seconds, n_notes)
    return Notes(
        onset,
        onset + rng.uniform(0.02, 0.8, n_notes),
        rng.integers(30, 80, n_notes),
        rng.integers(0, n_src, n_notes),
        rng.integers(1, 128, n_notes),
    )


def mir_eval_accuracy(reference, estimate):
    """`Accuracy` of mir_eval.multipitch for binary rolls (88, frames)."""
    times = np.arange(reference.shape[-1]) * FRAME
    hertz = mir_eval.util.midi_to_hz(np.arange(N_PITCHES) + LOWEST_PITCH)
    lists = ([hertz[column > 0] for column in roll.T] for roll in (reference, estimate))
    return mir_eval.multipitch.metrics(times, next(lists), times, next(lists))[2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore:.*empty")
def test_accuracy_equals_that_of_mir_eval(seed):
    reference = piano_roll(random_notes(seed), 3, 150, HOP, RATE).numpy()
    rng = np.random.default_rng(seed)
    # Some misses, some false alarms, some empty frames.
    estimate = reference * (rng.random(reference.shape) < 0.8)
    estimate = np.maximum(estimate, rng.random(reference.shape) < 0.01)
    estimate[..., 20:30] = 0
    expected = [mir_eval_accuracy(*pair) for pair in zip(reference, estimate)]
    np.testing.assert_allclose(frame_accuracy(reference, estimate), expected, atol=1e-12)


def test_accuracy_of_a_small_example():
    reference, estimate = torch.zeros(2, 3, 88, 10)
    reference[:2, 40, :6] = 1
    estimate[0, 40, 3:9] = 0.31  # 3 found, 3 missed, 3 too many
    estimate[2, 50] = 1  # a class without notes
    np.testing.assert_allclose(frame_accuracy(reference, estimate), [1 / 3, 0, np.nan])
    np.testing.assert_allclose(frame_accuracy(reference, estimate, 0.32), [0, 0, np.nan])
    assert frame_accuracy(reference[0], reference[0]) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.99))
def test_accuracy_is_symmetric_and_independent_of_order(seed, density):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 88, 12)) < density
    value = frame_accuracy(a, b)
    assert 0 <= value <= 1
    assert value == frame_accuracy(b, a)
    frames = rng.permutation(12)
    assert value == frame_accuracy(a[:, frames], b[:, frames])


@pytest.mark.parametrize(
    "reference, estimate, options, message",
    [
        (np.zeros((88, 4)), np.zeros((88, 5)), {}, "has shape .88, 4., the estimated roll .88, 5."),
        (np.zeros((88, 4)), np.full((88, 4), 3.0), {}, "apply a sigmoid"),
        (np.zeros((88, 4)), np.full((88, 4), np.nan), {}, "apply a sigmoid"),
        (np.zeros((88, 4)), np.zeros((88, 4)), {"threshold": 0}, "threshold must be in"),
        (np.zeros(88), np.zeros(88), {}, "expected twice"),
    ],
)
def test_invalid_rolls_are_refused(reference, estimate, options, message):
    with pytest.raises(ValueError, match=message):
        frame_accuracy(reference, estimate, **options)


def test_notes_of_a_roll():
    roll = np.zeros((2, 88, 12))
    roll[0, 3, 0:4] = 0.9
    roll[0, 3, 5:8] = 0.4
    roll[1, 60, 11] = 0.3
    notes = roll_to_notes(roll, HOP, RATE, min_seconds=0)
    np.testing.assert_allclose(notes.onset / FRAME, [0, 4.5, 10.5])
    np.testing.assert_allclose(notes.offset / FRAME, [3.5, 7.5, 11.5])
    assert notes.pitch.tolist() == [24, 24, 81] and notes.class_index.tolist() == [0, 0, 1]
    assert len(roll_to_notes(roll, HOP, RATE)) == 2  # one frame is shorter than 50 ms
    assert len(roll_to_notes(roll, HOP, RATE, threshold=0.5)) == 1
    joined = roll_to_notes(roll, HOP, RATE, max_gap_seconds=FRAME)
    np.testing.assert_allclose(joined.offset / FRAME, [7.5])
    one = roll_to_notes(torch.tensor(roll[1]), HOP, RATE, min_seconds=0, class_index=7)
    assert one.class_index.tolist() == [7]
    assert len(roll_to_notes(np.zeros((88, 0)), HOP, RATE)) == 0


def test_gaps_are_closed_within_a_pitch_only():
    roll = np.zeros((88, 10))
    roll[10, 8:], roll[11, :2] = 1, 1
    assert len(roll_to_notes(roll, HOP, RATE, max_gap_seconds=10)) == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 0.9), st.integers(1, 40))
def test_roll_of_the_notes_of_a_roll_is_the_roll(seed, density, n_frames):
    roll = (np.random.default_rng(seed).random((2, 88, n_frames)) < density).astype(float)
    notes = roll_to_notes(roll, HOP, RATE, min_seconds=0)
    np.testing.assert_array_equal(piano_roll(notes, 2, n_frames, HOP, RATE), roll)


def test_times_are_off_by_half_a_hop_at_most_and_unbiased():
    rng = np.random.default_rng(0)
    onset = np.arange(60) * 0.5 + rng.uniform(0.1, 0.3, 60)
    true = Notes(onset, onset + 0.15, np.arange(60) + 25, np.zeros(60), np.full(60, 90))
    found = roll_to_notes(piano_roll(true, 1, 1000, HOP, RATE), HOP, RATE)
    for a, b in ((true.onset, found.onset), (true.offset, found.offset)):
        assert np.abs(a - b).max() <= FRAME / 2 + 1e-9
        assert abs((a - b).mean()) < FRAME / 8


def test_note_scores_of_a_small_example():
    score = Notes([0, 1, 2, 0], [0.5, 1.5, 2.5, 1], [40, 41, 42, 60], [0, 0, 0, 1], [90] * 4)
    found = Notes(
        [0.04, 1.06, 2.0, 3.0, 5.0],  # found, too late, found but ends early, two false alarms
        [0.54, 1.50, 2.1, 3.5, 6.0],
        [40, 41, 42, 43, 70],
        [0, 0, 0, 0, 2],
        [90] * 5,
    )
    bass, guitar, piano = note_scores(score, found, ["bass", "guitar", "piano"])
    assert bass["note_f1"] == pytest.approx(2 * 2 / (3 + 4))
    assert bass["note_f1_offset"] == pytest.approx(2 * 1 / (3 + 4))
    assert (bass["n_reference"], bass["n_estimate"]) == (3, 4)
    assert guitar["note_f1"] == 0 and guitar["n_estimate"] == 0
    assert np.isnan(piano["note_f1"]) and np.isnan(piano["note_f1_offset"])
    assert (piano["instrument"], piano["n_estimate"]) == ("piano", 1)
    assert note_scores(score, found, ["a", "b", "c"], onset_tolerance=0.1)[0]["note_f1"] > 0.8


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_note_scores_equal_those_of_mir_eval(seed):
    true, noise = random_notes(seed), np.random.default_rng(seed)
    shift = noise.normal(size=len(true)) * 0.04
    found = true.replace(onset=true.onset + shift, offset=true.offset + shift + 0.03)
    # Times before 0 occur in excerpts; mir_eval refuses them.
    true, found = (t.replace(onset=t.onset - 1, offset=t.offset - 1) for t in (true, found))
    rows = note_scores(true, found, ["a", "b", "c"])
    for index, row in enumerate(rows):
        tables = [t.select(t.class_index == index) for t in (true, found)]
        arguments = []
        for table in tables:
            arguments.append(np.stack([table.onset, table.offset], axis=1) + 3)
            arguments.append(mir_eval.util.midi_to_hz(table.pitch.astype(float)))
        expected = mir_eval.transcription.evaluate(*arguments)
        assert row["note_f1"] == pytest.approx(expected["F-measure_no_offset"], abs=1e-12)
        assert row["note_f1_offset"] == pytest.approx(expected["F-measure"], abs=1e-12)


def test_the_score_itself_is_perfect_even_without_durations():
    notes = random_notes(0)
    notes = notes.replace(offset=np.where(np.arange(len(notes)) % 3, notes.offset, notes.onset))
    for row in note_scores(notes, notes, ["a", "b", "c"]):
        assert row["note_f1"] == row["note_f1_offset"] == 1


def test_a_true_roll_scores_well_through_thresholding():
    # Notes of one pitch may touch in the roll: hence not exactly 1.
    notes = random_notes(3)
    found = roll_to_notes(piano_roll(notes, 3, 200, HOP, RATE), HOP, RATE, min_seconds=0)
    assert all(row["note_f1"] > 0.9 for row in note_scores(notes, found, ["a", "b", "c"]))


def test_notes_of_unknown_classes_are_refused():
    with pytest.raises(ValueError, match=r"transcription has notes of the classes \[2\]"):
        note_scores(Notes.empty(), Notes([0], [1], [40], [2], [90]), ["bass", "piano"])
    with pytest.raises(ValueError, match=r"shape \(87, 4\), expected \(88, frames\)"):
        roll_to_notes(np.zeros((87, 4)), HOP, RATE)
    with pytest.raises(ValueError, match="apply a sigmoid"):
        roll_to_notes(np.full((88, 4), -2.0), HOP, RATE)
