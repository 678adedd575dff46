"""Results files: a round trip keeps all numbers, and the tables made from them."""

import pandas as pd
import pytest

from asteroid_scoresup.evaluation import (
    RESULT_COLUMNS,
    read_results,
    summarize,
    tables,
    tidy,
    to_results,
)


@pytest.fixture
def summary():
    records = [
        {"row": row, "seed": seed, "test_set": test_set, "track": track, "instrument": name,
         "si_sdr": 3 * seed + len(row) + track / 3, "si_sdr_imp": 1.0 + len(row) / 7,
         "note_accuracy_mixture": 0.5 if row == "fine-tune" else float("nan")}
        for row in ("input mixture", "isolated c", "fine-tune", "supervised")
        for seed in (0, 1)
        for test_set in ("test", "other")
        for track in (0, 1, 2)
        for name in ("bass", "piano")
    ]  # fmt: skip
    return summarize(tidy(records))


def test_results_are_tidy_and_without_missing_numbers(summary):
    results = to_results(summary)
    assert tuple(results.columns) == RESULT_COLUMNS
    assert set(results.metric) == {"si_sdr", "si_sdr_i", "note_accuracy_mixture"}
    assert set(results[results.metric == "note_accuracy_mixture"].row) == {"fine-tune"}
    assert results.value.notna().all()


def test_tables_of_a_file_are_those_of_the_summary(summary, tmp_path):
    to_results(summary).to_csv(tmp_path / "r.csv", index=False)
    again = tables(read_results(tmp_path / "r.csv"))
    expected = tables(summary)
    assert len(again) == len(expected) == 4
    for one, other in zip(again, expected):
        assert one.title == other.title
        pd.testing.assert_frame_equal(one.to_frame(), other.to_frame(), rtol=1e-3)
    assert again[0].caption == "± is the standard deviation over 2 seeds."


def test_damaged_files_are_refused(summary, tmp_path):
    path = tmp_path / "r.csv"
    results = to_results(summary)
    results.drop(columns="seed").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"r\.csv lacks the columns \['seed'\]"):
        read_results(path)
    pd.concat([results, results[:1]]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"r\.csv contains duplicate lines \(1\)"):
        read_results(path)
