import os

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from asteroid_scoresup.evaluation.summary import COLUMNS
from asteroid_scoresup.report import charts
from asteroid_scoresup.report.plots import PALETTE

NAMES = ["bass", "guitar", "piano"]


def scores():
    rng = np.random.default_rng(0)
    lines = []
    for row in ("supervised", "input mixture"):
        for i, name in enumerate(NAMES):
            for track in range(8):
                silent = name == "guitar" and track < 2
                value = float("nan") if silent else rng.normal() + i
                lines.append((row, 0, "slakh", track, name, "si_sdr", value))
    return pd.DataFrame(lines, columns=list(COLUMNS))


def test_box_plot_shows_medians_and_means(tmp_path):
    frame = scores()
    figure = charts.plot_box(frame, order=["input mixture", "supervised"])
    (axis,) = figure.axes
    assert axis.get_ylabel() == "SI-SDR (dB)"
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["input mixture", "supervised"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["bass (8 tracks)", "guitar (6 tracks)", "piano (8 tracks)"]
    groups = frame.groupby(["instrument", "row"]).value
    medians = {line.get_ydata()[0] for line in axis.lines if len(set(line.get_ydata())) == 1}
    diamonds = [line.get_ydata()[0] for line in axis.lines if line.get_marker() == "D"]
    assert set(groups.median()) <= medians
    assert sorted(diamonds) == pytest.approx(sorted(groups.mean()))
    assert len(axis.patches) == 6
    assert [box.get_facecolor()[:3] for box in axis.patches[::2]] == [
        to_rgb(color) for color in PALETTE[:3]
    ]
    figure.savefig(tmp_path / "figure.png")


def test_a_box_plot_without_data_is_refused():
    frame = scores()
    with pytest.raises(ValueError, match=r"no 'sisdr' for 'slakh', only \['si_sdr'\]"):
        charts.plot_box(frame, "sisdr")
    two = pd.concat([frame, frame.assign(test_set="unseen")])
    with pytest.raises(ValueError, match=r"test_set must be one of \['slakh', 'unseen'\]"):
        charts.plot_box(two)
    assert "unseen" in charts.plot_box(two, test_set="unseen").axes[0].get_title()


@pytest.fixture
def log():
    """A log of CSVLogger: one line per event, with empty cells for other quantities."""
    lines = []
    for step in range(0, 40, 2):
        lines.append({"epoch": step // 10, "step": step, "loss": 1 / (1 + step)})
        if step % 10 == 8:
            lines.append({"epoch": step // 10, "step": step, "val_loss": 2 / (1 + step)})
            lines.append({"epoch": step // 10, "step": step, "val_si_sdr": float(step)})
    lines.append({"epoch": 3, "step": 39, "lr-Adam": 0.001})
    return pd.DataFrame(lines)


@pytest.mark.slow
def test_curves_hold_the_logged_values(log, tmp_path):
    path = tmp_path / "metrics.csv"
    log.to_csv(path, index=False)
    figure = charts.plot_training_curves({"first": path, "second": log.assign(loss=log.loss * 2)})
    loss, si_sdr = (axis for axis in figure.axes if axis.get_visible())
    assert (loss.get_title(), si_sdr.get_title()) == ("loss", "si_sdr")
    assert (loss.get_xlabel(), si_sdr.get_ylabel()) == ("step", "SI-SDR (dB)")
    training, validation, doubled, _ = loss.lines
    np.testing.assert_allclose(training.get_ydata(), 1 / (1 + np.arange(0, 40, 2)))
    np.testing.assert_allclose(doubled.get_ydata(), 2 / (1 + np.arange(0, 40, 2)))
    np.testing.assert_array_equal(validation.get_xdata(), [8, 18, 28, 38])
    assert training.get_linestyle() == "--" and validation.get_linestyle() == "-"
    assert training.get_color() == validation.get_color() != doubled.get_color()
    np.testing.assert_array_equal(si_sdr.lines[0].get_ydata(), [8, 18, 28, 38])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["first", "second", "training", "validation"]
    figure.savefig(tmp_path / "figure.png")


def test_curves_of_many_runs_have_different_colors(log):
    figure = charts.plot_training_curves({str(i): log for i in range(9)}, metrics=["si_sdr"])
    (axis,) = figure.axes
    assert len({tuple(line.get_color()) for line in axis.lines}) == 9


def test_long_curves_are_smoothed(log):
    rng = np.random.default_rng(0)
    noisy = pd.DataFrame({"step": range(5000), "epoch": 0, "loss": 1 + rng.normal(size=5000)})
    (line,) = charts.plot_training_curves({"run": noisy}).axes[0].lines
    assert line.get_ydata().std() < 0.2 and line.get_ydata().mean() == pytest.approx(1, abs=0.1)


def test_invalid_logs_are_refused(log, tmp_path):
    with pytest.raises(ValueError, match="no training logs"):
        charts.plot_training_curves({})
    with pytest.raises(FileNotFoundError, match="the training log of 'run', does not exist"):
        charts.plot_training_curves({"run": tmp_path / "none.csv"})
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match="is not a log of Lightning's CSVLogger"):
        charts.plot_training_curves({"run": tmp_path / "empty.csv"})
    with pytest.raises(ValueError, match="expected at least one line, and `step` or `epoch`"):
        charts.plot_training_curves({"run": log[["loss"]]})
    with pytest.raises(ValueError, match=r"do not contain any of \['accuracy'\]"):
        charts.plot_training_curves({"run": log}, metrics=["accuracy"])


def test_the_log_of_a_resumed_run_is_read_in_order(log, tmp_path):
    assert charts.read_training_log(tmp_path) is None
    for version, (part, time) in {10: (log[:8], 1e9), 2: (log[8:], 2e9)}.items():
        path = tmp_path / "logs" / f"version_{version}" / "metrics.csv"
        path.parent.mkdir(parents=True)
        part.to_csv(path, index=False)
        os.utime(path, (time, time))
    whole = charts.read_training_log(tmp_path)
    pd.testing.assert_frame_equal(whole, log.reset_index(drop=True), check_dtype=False)
    path.write_text("epoch,step\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not a log of Lightning's CSVLogger"):
        charts.read_training_log(tmp_path)


@pytest.mark.parametrize("n_bytes", [0, 5, -1, -4])
def test_the_log_of_a_killed_run_is_read_up_to_its_last_whole_line(log, n_bytes, tmp_path):
    path = tmp_path / "logs" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    text = log.to_csv(index=False)
    path.write_text(text[:n_bytes])
    found = charts.read_training_log(tmp_path)
    if n_bytes >= 0:  # killed before or in the header
        assert found is None
    else:
        pd.testing.assert_frame_equal(found, log[:-1], check_dtype=False)
    resumed = path.parent.with_name("version_1")
    resumed.mkdir()
    (resumed / "metrics.csv").write_text(text)
    n_found = 0 if found is None else len(found)
    assert len(charts.read_training_log(tmp_path)) == n_found + len(log)


def test_learning_rates_are_shown_on_request_only(log):
    log = log.assign(hp_metric=log.loss, val_si_sdr_bass=1.0)
    axes = charts.plot_training_curves({"run": log}).axes
    names = [axis.get_title() for axis in axes]
    labels = [axis.get_ylabel() for axis in axes]
    assert "hp_metric" not in names and "SI-SDR of bass (dB)" in labels
    assert names == ["loss", "si_sdr", "si_sdr_bass"]
    figure = charts.plot_training_curves({"run": log}, metrics=["lr-Adam"])
    assert figure.axes[0].get_title() == "lr-Adam"
    with pytest.raises(ValueError, match="do not contain any quantity"):
        charts.plot_training_curves({"run": log[["step", "epoch"]]})
