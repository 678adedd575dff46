import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.evaluation import (
    INPUT_MIXTURE,
    METRICS,
    SCORE_ORACLE,
    all_metrics,
    detail_table,
    flat_metrics,
    separation_table,
    summarize,
    tables,
    tidy,
    transcription_table,
    write_tables,
)
from asteroid_scoresup.evaluation.summary import COLUMNS

NAN = float("nan")
NAMES = ("bass", "guitar", "piano")
#: SI-SDR of two tracks per row and class; the guitar of track "b" is silent.
SI_SDR = {
    INPUT_MIXTURE: ((1.0, -6.0, -2.0), (3.0, NAN, -4.0)),
    "isolated c": ((7.0, 1.0, 4.0), (9.0, NAN, 2.0)),
    "supervised": ((11.0, 6.0, 8.0), (13.0, NAN, 6.0)),
}


def records(seed=0, shift=0.0, test_set="slakh"):
    made = []
    for row, tracks in SI_SDR.items():
        for track, values in zip("ab", tracks):
            for i, name in enumerate(NAMES):
                before = SI_SDR[INPUT_MIXTURE]["ab".index(track)][i]
                record = {"row": row, "seed": seed, "test_set": test_set, "track": track}
                record |= {"instrument": name, "si_sdr": values[i] + shift, "comment": "ignored"}
                record |= {"input_si_sdr": before, "si_sdr_imp": values[i] + shift - before}
                record["leakage_db"] = -20.0 if np.isnan(before) else NAN
                if row == "isolated c":
                    record["note_accuracy_mixture"] = 0.5 + 0.1 * i + (0.1 if track == "b" else 0)
                    record["note_accuracy_isolated"] = NAN if np.isnan(before) else 0.8
                    record["note_f1_mixture"] = 0.25
                made.append(record)
    return made


@pytest.fixture
def summary():
    return summarize(tidy(records()))


def line(summary, **wanted):
    for column, value in wanted.items():
        summary = summary[summary[column] == value]
    assert len(summary) == 1
    return summary.iloc[0]


def test_tidy_and_all_metrics_are_inverse():
    frame = tidy(records())
    assert list(frame.columns) == list(COLUMNS)
    assert set(frame[frame.row == "supervised"].metric) == set(METRICS[:4])
    wide = all_metrics(frame)
    assert len(wide) == 3 * 2 * 3 and "note_f1_separated" not in wide
    original = pd.DataFrame(records())
    for column in wide.columns:
        pd.testing.assert_series_equal(wide[column], original[column], check_dtype=False)
    # all_metrics.csv can be read back and summarized again.
    pd.testing.assert_frame_equal(summarize(tidy(wide)), summarize(frame))


def test_summary_of_a_small_example(summary):
    bass = line(summary, row="isolated c", metric="si_sdr", instrument="bass")
    assert (bass.value, bass["median"], bass.n_counted, bass.n_silent) == (8, 8, 2, 0)
    guitar = line(summary, row="isolated c", metric="si_sdr", instrument="guitar")
    assert (guitar.value, guitar.n_counted, guitar.n_silent) == (1, 1, 1)
    mean = line(summary, row="isolated c", metric="si_sdr", instrument="mean")
    # Over instruments (8 + 1 + 3) / 3, not over the five tracks that count.
    assert (mean.value, mean.n_counted, mean.n_silent) == (4, 5, 1)
    leakage = line(summary, row="isolated c", metric="leakage_db", instrument="guitar")
    assert (leakage.value, leakage.n_counted, leakage.n_silent) == (-20, 1, 1)


def test_an_outlier_moves_the_mean_and_not_the_median():
    values = [1.0, 2.0, 3.0, 4.0, -30.0]
    made = [
        {"row": "r", "test_set": "t", "track": i, "instrument": "bass", "si_sdr": value}
        for i, value in enumerate(values)
    ]
    bass = line(summarize(tidy(made)), instrument="bass")
    assert (bass.value, bass["median"]) == (-4, 2)


def test_separation_table_is_in_the_papers_layout(summary):
    table = separation_table(summary, order=("supervised", "isolated c", "never run"))
    gap = "gap closed (%)"
    assert list(table.values.columns) == [*NAMES, "mean", "SI-SDRi", gap]
    # The two rows that are always there lead, the others follow the caller's order.
    assert list(table.values.index) == [INPUT_MIXTURE, SCORE_ORACLE, "supervised", "isolated c"]
    np.testing.assert_allclose(table.values.loc["isolated c", [*NAMES, "mean"]], [8, 1, 3, 4])
    # SI-SDRi: (6 + 7 + 6) / 3 of (10 + 12 + 10) / 3.
    assert table.values.loc["isolated c", "SI-SDRi"] == pytest.approx(19 / 3)
    assert table.values.loc["isolated c", gap] == pytest.approx(100 * 19 / 32)
    assert table.values.loc[INPUT_MIXTURE, gap] == 0
    assert table.values.loc["supervised", gap] == pytest.approx(100)
    assert table.values.loc[SCORE_ORACLE].isna().all()
    assert table.caption == "2 whole tracks; left out of the means: guitar is silent in 1."


def test_markdown(summary):
    assert separation_table(summary, order=["isolated c"]).to_markdown() == (
        "**SI-SDR in dB, slakh**\n"
        "\n"
        "|               | bass | guitar | piano | mean | SI-SDRi | gap closed (%) |\n"
        "| ------------- | ---: | -----: | ----: | ---: | ------: | -------------: |\n"
        "| input mixture |  2.0 |   -6.0 |  -3.0 | -2.3 |     0.0 |              0 |\n"
        "| score oracle  |    — |      — |     — |    — |       — |              — |\n"
        "| isolated c    |  8.0 |    1.0 |   3.0 |  4.0 |     6.3 |             59 |\n"
        "| supervised    | 12.0 |    6.0 |   7.0 |  8.3 |    10.7 |            100 |\n"
        "\n"
        "2 whole tracks; left out of the means: guitar is silent in 1.\n"
    )


def test_markdown_of_odd_names_and_small_losses():
    made = [{"row": "a|b", "test_set": "t", "track": 0, "instrument": "bass", "si_sdr": -0.01}]
    text = separation_table(summarize(tidy(made))).to_markdown()
    assert "a\\|b" in text and "-0.0" not in text


def test_spread_is_over_seeds():
    frame = tidy(records(seed=1) + records(seed=2, shift=1.0) + records(seed=3, shift=2.0))
    summary = summarize(frame)
    table = separation_table(summary)
    np.testing.assert_allclose(table.values.loc["isolated c", [*NAMES]], [9, 2, 4])
    np.testing.assert_allclose(table.spread.loc["isolated c", [*NAMES, "mean"]], 1)
    assert " 9.0 ± 1.0 |" in table.to_markdown()
    assert table.caption.endswith("± is the standard deviation over 3 seeds.")
    fewer = frame[(frame.row != "supervised") | (frame.seed != 3)]
    assert separation_table(summarize(fewer)).caption.endswith("over 2 to 3 seeds.")
    flat = table.to_frame()
    assert flat.loc[flat.row == "isolated c", "bass std"].item() == pytest.approx(1)
    assert flat_metrics(summary, "isolated c")["bass/si_sdr"] == 9
    assert flat_metrics(summary, "isolated c")["n_counted"] == 5


@pytest.mark.slow
def test_no_gap_without_a_supervised_row_that_is_better():
    made = [r for r in records() if r["row"] != "supervised"]
    summary = summarize(tidy(made))
    assert "gap closed (%)" not in separation_table(summary).values
    assert "gap closed (%)" in separation_table(summary, supervised="isolated c").values
    assert "gap closed (%)" not in separation_table(summary, supervised=INPUT_MIXTURE).values


def test_rows_over_different_tracks_are_reported():
    made = [r for r in records() if r["row"] == "isolated c" or r["track"] == "a"]
    caption = separation_table(summarize(tidy(made))).caption
    assert caption.startswith("1 to 2 whole tracks: not the same ones in every row")


def test_transcription_table_is_in_the_papers_layout(summary):
    table = transcription_table(summary, instruments=["piano", "bass", "guitar"])
    assert list(table.values.index) == ["isolated c"]
    columns = [f"{s} {n}" for s in ("mixture", "isolated") for n in ("piano", "bass", "guitar")]
    columns = [*columns[:3], "mixture mean", *columns[3:], "isolated mean"]
    assert list(table.values.columns) == columns
    np.testing.assert_allclose(table.values.iloc[0], [0.75, 0.55, 0.65, 0.65, 0.8, 0.8, 0.8, 0.8])
    assert "guitar has no note in 1" in table.caption
    text = table.to_markdown()
    assert "Note accuracy (frames) of the transcriptor, slakh" in text and " 0.75 |" in text
    assert list(transcription_table(summary, score="note_f1").values.columns)[0] == "mixture bass"
    with pytest.raises(ValueError, match="score must be one of"):
        transcription_table(summary, score="f1")


def test_a_transcriptor_alone_has_no_separation_table():
    made = [
        {"row": "pre-train", "test_set": "t", "track": 0, "instrument": name, "note_f1_mixture": 1}
        for name in NAMES
    ]
    summary = summarize(tidy(made))
    assert [table.kind for table in tables(summary)] == ["note_f1"]
    flat = flat_metrics(summary, "pre-train")
    assert (flat["note_f1_mixture"], flat["n_counted"], flat["leakage_db"]) == (1, 3, None)
    empty = separation_table(summary)
    assert list(empty.values.index) == [INPUT_MIXTURE, SCORE_ORACLE]
    assert empty.to_markdown().count("—") == 10


def test_detail_table(summary):
    table = detail_table(summary, order=["supervised"])
    assert list(table.values.index[:4]) == [f"supervised, {n}" for n in (*NAMES, "mean")]
    np.testing.assert_allclose(table.values.loc["isolated c, guitar"], [1, 1, 7, -20, 1, 1])
    np.testing.assert_allclose(table.values.loc["isolated c, mean"], [4, 4, 19 / 3, -20, 5, 1])
    assert "| isolated c, bass" in table.to_markdown()


def test_flat_metrics_have_asteroids_keys(summary):
    flat = flat_metrics(summary, "isolated c")
    expected = {
        "si_sdr": 4.0,
        "si_sdr_imp": 19 / 3,
        "input_si_sdr": (2 - 6 - 3) / 3,
        "leakage_db": -20.0,
        "note_accuracy_mixture": 0.65,
        "n_counted": 5,
        "n_silent": 1,
        "bass/si_sdr": 8.0,
        "bass/si_sdr_median": 8.0,
        "bass/leakage_db": None,
        "bass/n_counted": 2,
        "guitar/n_silent": 1,
        "guitar/leakage_db": -20.0,
    }
    for key, value in expected.items():
        assert flat[key] == (value if value is None else pytest.approx(value)), key
    assert {type(value) for value in flat.values()} <= {float, int, type(None)}
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert not any("note" in key for key in flat_metrics(summary, "supervised"))


def test_test_sets_are_never_pooled(tmp_path):
    summary = summarize(tidy(records() + records(test_set="unseen", shift=-3.0)))
    with pytest.raises(ValueError, match=r"test_set must be one of \['slakh', 'unseen'\]"):
        separation_table(summary)
    assert separation_table(summary, "unseen").values.loc["isolated c", "mean"] == 1
    assert flat_metrics(summary, "isolated c", "unseen")["si_sdr"] == 1
    made = tables(summary)
    kinds = ["separation", "note_accuracy", "note_f1"]
    assert [(t.test_set, t.kind) for t in made] == [
        (s, k) for s in ("slakh", "unseen") for k in kinds
    ]

    markdown = write_tables(tmp_path / "report", made)
    assert (tmp_path / "report/tables.md").read_text(encoding="utf-8") == markdown
    assert markdown.count("SI-SDR in dB") == 2
    csv = pd.read_csv(tmp_path / "report/tables_separation.csv")
    assert list(csv.test_set) == ["slakh"] * 4 + ["unseen"] * 4
    assert csv.loc[csv.row == "isolated c", "mean"].tolist() == [4, 1]
    content = json.loads((tmp_path / "report/tables.json").read_text())
    assert content[0]["rows"][1] == {"row": "score oracle"} | dict.fromkeys(made[0].values, None)
    assert content[3]["test_set"] == "unseen" and content[3]["rows"][2]["mean"] == 1
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == {"tables.md", "tables.json"} | {f"tables_{kind}.csv" for kind in kinds}


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_tables_do_not_depend_on_the_order_of_lines(random):
    frame = tidy(records() + records(seed=1, shift=0.7))
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    expected, found = (
        separation_table(summarize(f), order=list(SI_SDR), instruments=NAMES)
        for f in (frame, shuffled)
    )
    pd.testing.assert_frame_equal(found.values, expected.values)
    pd.testing.assert_frame_equal(found.spread, expected.spread)
    assert found.caption == expected.caption


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-30, 30) | st.just(NAN), min_size=1, max_size=12))
def test_means_equal_those_of_numpy(values):
    made = [
        {"row": "r", "test_set": "t", "track": i, "instrument": "bass", "si_sdr": value}
        for i, value in enumerate(values)
    ] + [{"row": "r", "test_set": "t", "track": 0, "instrument": "piano", "si_sdr": 1.0}]
    bass = line(summarize(tidy(made)), instrument="bass")
    counted = [value for value in values if not np.isnan(value)]
    assert (bass.n_counted, bass.n_silent) == (len(counted), len(values) - len(counted))
    if counted:
        assert bass.value == pytest.approx(np.mean(counted), abs=1e-9)
        assert bass["median"] == pytest.approx(np.median(counted), abs=1e-9)
    else:
        assert np.isnan(bass.value)
        # A class that never sounds leaves the mean to the others.
        assert line(summarize(tidy(made)), instrument="mean").value == 1


def test_invalid_tables_are_refused():
    frame = tidy(records())
    with pytest.raises(ValueError, match=r"lacks the columns \['seed'\]"):
        summarize(frame.drop(columns="seed"))
    with pytest.raises(ValueError, match="duplicate lines \\(1\\); the first is .*'track': 'a'"):
        summarize(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(ValueError, match="table of scores is empty"):
        summarize(frame.iloc[:0])
    with pytest.raises(ValueError, match="may be called 'mean'"):
        summarize(frame.assign(instrument="mean").drop_duplicates(list(frame.columns[:-1])))
    with pytest.raises(ValueError, match=r"lack \['row', 'test_set'\]"):
        tidy([{"track": 1, "instrument": "bass", "si_sdr": 1.0}])
    with pytest.raises(ValueError, match="none of the scores"):
        tidy([{"row": "r", "test_set": "t", "track": 1, "instrument": "bass", "sisdr": 1.0}])
    with pytest.raises(ValueError, match="no row 'isolated' for 'slakh', only"):
        flat_metrics(summarize(frame), "isolated")
