"""Scores without stems, against plain NumPy and notes counted by hand."""

import numpy as np
import pytest
from mir_eval import transcription as mir_transcription
from mir_eval.util import midi_to_hz

from asteroid_scoresup.evaluation import (
    TranscriptorReader,
    onset_scores,
    reference_free_scores,
    reference_free_table,
    summarize,
    tidy,
)
from asteroid_scoresup.evaluation.reference_free import AFTER_SECONDS, BEFORE_SECONDS, resting
from asteroid_scoresup.models import ScoreTranscriptor
from asteroid_scoresup.score import Notes

RATE, NAMES = 1000, ("bass", "piano")
#: Bass from 0 to 2 s, piano from 4 to 6 s, 8 s in all.
SCORE = Notes([0, 1, 4, 5], [1, 2, 5, 6], [40, 41, 70, 71], [0, 0, 1, 1], [90] * 4)
N = 8 * RATE
NOISE = np.random.default_rng(0).standard_normal((3, N))


def scores(estimates, **options):
    rows = reference_free_scores(estimates, NOISE[0], SCORE, NAMES, RATE, **options)
    return {row["instrument"]: row for row in rows}


def test_rests_against_plain_numpy():
    estimates = {"bass": 0.3 * NOISE[1], "piano": 0.01 * NOISE[2]}
    rows = scores(estimates)
    time = np.arange(N) / RATE
    for name, start, stop in (("bass", 0, 2), ("piano", 4, 6)):
        rests = (time < start - BEFORE_SECONDS) | (time >= stop + AFTER_SECONDS)
        power = (estimates[name][rests] ** 2).sum() / (NOISE[0][rests] ** 2).sum()
        assert rows[name]["rest_db"] == pytest.approx(10 * np.log10(power), abs=1e-6)
    missing = NOISE[0] - estimates["bass"] - estimates["piano"]
    total = 10 * np.log10((missing**2).sum() / (NOISE[0] ** 2).sum())
    assert rows["bass"]["sum_db"] == rows["piano"]["sum_db"] == pytest.approx(total)


def test_uncertain_stretches_do_not_count():
    loud = np.where(np.arange(N) < 7 * RATE, 0, NOISE[0])
    assert scores({"bass": loud})["bass"]["rest_db"] > -10
    assert scores({"bass": loud}, uncertain=[[7, 8]])["bass"]["rest_db"] == -80


def test_a_class_that_never_rests_and_a_sum_of_some_classes():
    score = Notes([0], [8], [40], [0], [90])
    row = reference_free_scores({"bass": NOISE[0]}, NOISE[0], score, NAMES, RATE)[0]
    assert np.isnan(row["rest_db"]) and np.isnan(row["sum_db"])
    assert "note_f1" not in row


def test_overlapping_notes_and_notes_beyond_the_end():
    notes = Notes([0.5, 0.6, 7.9], [0.9, 3.0, 9.0], [40] * 3, [0] * 3, [90] * 3)
    rests = resting(notes, N, RATE)
    edges = np.flatnonzero(np.diff(rests.astype(int))) + 1
    assert edges.tolist() == [450, 3500, 7850] and rests[0] and not rests[-1]


def test_notes_of_the_reader():
    """One of two bass notes, a piano note, and one of nobody."""
    found = Notes([0.03, 4.0, 6.5], [1, 5, 7], [40, 70, 60], [0] * 3, [90] * 3)
    received = []

    def reader(signal, sample_rate, level):
        received.append((len(signal), sample_rate, level))
        return found

    row = scores({"bass": NOISE[1]}, reader=reader)["bass"]
    assert received == [(N, RATE, pytest.approx(np.sqrt((NOISE[0] ** 2).mean()), rel=0.01))]
    assert row["note_precision"] == pytest.approx(1 / 3)
    assert row["note_recall"] == row["note_leakage"] == 0.5
    assert row["note_f1"] == pytest.approx(2 / 5)


def test_unisons_are_no_leakage():
    score = Notes([0, 0], [1, 1], [50, 50], [0, 1], [90] * 2)

    def reader(*_):
        return score.select(slice(1))

    row = reference_free_scores({"bass": NOISE[1]}, NOISE[0], score, NAMES, RATE, reader)[0]
    assert row["note_recall"] == 1 and np.isnan(row["note_leakage"])


def test_onset_scores_of_nothing():
    nothing = Notes.empty()
    assert np.isnan(onset_scores(nothing, nothing)).all()
    assert onset_scores(SCORE, nothing)[1:] == (0, 0)
    assert onset_scores(nothing, SCORE)[0] == 0


def test_a_transcriptor_reads_any_class(monkeypatch):
    """The most probable class counts, at the rate of the network."""
    network = ScoreTranscriptor(["a", "b"], sample_rate=8000, n_fft=512, hop_length=256,
                                n_blocks=1, n_repeats=1, bn_chan=4, hid_chan=4)  # fmt: skip
    lengths = []

    def note_probs(wav, level):
        import torch

        lengths.append(len(wav))
        probs = torch.zeros(1, 2, 88, 32)
        probs[0, 0, 19, 2:10] = probs[0, 1, 30, 12:20] = 0.9
        return probs

    monkeypatch.setattr(network, "note_probs", note_probs)
    notes = TranscriptorReader(network)(NOISE[0][:RATE], RATE, 0.1)
    assert lengths == [8000]
    assert notes.pitch.tolist() == [40, 51] and notes.class_index.tolist() == [0, 0]
    assert notes.onset == pytest.approx([2 * 256 / 8000, 12 * 256 / 8000], abs=0.05)


@pytest.mark.parametrize(
    ("estimates", "message"),
    [
        ({"organ": NOISE[0]}, "estimate of 'organ', but the classes are"),
        ({"bass": NOISE[0][:10]}, r"shape \(10,\), the mixture \(8000,\)"),
    ],
)
def test_bad_estimates(estimates, message):
    with pytest.raises(ValueError, match=message):
        scores(estimates)


def test_table():
    found = scores({"bass": 0.1 * NOISE[1], "piano": NOISE[2]})
    records = [{**row, "row": "network", "test_set": "t", "track": "a"} for row in found.values()]
    table = reference_free_table(summarize(tidy(records)))
    assert list(table.values.columns) == ["rest_db", "sum_db"]
    cells = table.to_markdown().replace(" ", "")
    assert f"|network,bass|{found['bass']['rest_db']:.1f}|" in cells


def test_onset_scores_against_mir_eval():
    rng = np.random.default_rng(1)
    tables = []
    for n_notes in (60, 50):
        onset = np.sort(rng.uniform(0, 5, n_notes)).round(3)
        tables.append(
            Notes(onset, onset + 0.2, rng.integers(60, 66, n_notes), [0] * n_notes, [90] * n_notes)
        )
    intervals = [np.stack([notes.onset, notes.offset], 1) for notes in tables]
    hertz = [midi_to_hz(notes.pitch.astype(float)) for notes in tables]
    expected = mir_transcription.precision_recall_f1_overlap(
        intervals[0], hertz[0], intervals[1], hertz[1], offset_ratio=None
    )
    assert 0 < expected[2] < 1
    assert onset_scores(*tables) == pytest.approx(expected[:3])
