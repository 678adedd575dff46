import sys

import numpy as np
import pandas as pd
import pytest
import torch

from asteroid_scoresup.inference import plots
from asteroid_scoresup.metrics.summary import COLUMNS
from asteroid_scoresup.score import LOWEST_PITCH, N_PITCHES

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.image import imread  # noqa: E402

HOP, RATE, N_FFT, N_FRAMES = 512, 16000, 512, 20
N_BINS = N_FFT // 2 + 1
NAMES = ["bass", "guitar", "piano"]


@pytest.fixture
def spectra():
    rng = np.random.default_rng(0)
    masks = rng.random((3, N_BINS, N_FRAMES))
    mixture = rng.random((N_BINS, N_FRAMES)) + 0.1
    roll = np.zeros((3, N_PITCHES, N_FRAMES))
    roll[0, 40 - LOWEST_PITCH, 2:8] = 1
    roll[2, 69 - LOWEST_PITCH, 5:10] = 1
    roll[2, 69 - LOWEST_PITCH, 12:] = 1
    return mixture, masks, roll


def saved(figure, tmp_path):
    """The picture as it lands on disk, (height, width, channels)."""
    path = tmp_path / "figure.png"
    figure.savefig(path)
    return imread(path)


def shown_bins(low=35.0, high=6000.0):
    width = RATE / N_FFT
    return slice(int(low // width), int(np.ceil(high / width)) + 1)


def test_masks_are_drawn_as_they_are(spectra, tmp_path):
    _, masks, _ = spectra
    figure = plots.plot_masks(torch.tensor(masks), RATE, HOP, NAMES, start=3.0)
    axes = figure.axes[:3]
    for axis, mask, name in zip(axes, masks, NAMES):
        (mesh,) = axis.collections
        np.testing.assert_array_equal(mesh.get_array(), mask.astype("f4")[shown_bins()])
        assert mesh.get_clim() == (0, 1)
        assert axis.get_title("left") == f"Mask of {name}"
        assert axis.get_yscale() == "log" and axis.get_ylim() == pytest.approx((35, 6000))
        # A cell reaches half a hop to both sides of the centre of its frame.
        span = (3 - HOP / RATE / 2, 3 + (N_FRAMES - 0.5) * HOP / RATE)
        assert axis.get_xlim() == pytest.approx(span)
    assert axes[-1].get_xlabel() == "time (s)" and axes[0].get_ylabel() == "frequency (Hz)"
    assert saved(figure, tmp_path).std() > 0.05


def test_mask_cells_lie_at_their_frequency(tmp_path):
    masks = np.zeros((1, N_BINS, N_FRAMES))
    masks[0, 32] = 1  # 1000 Hz
    (mesh,) = plots.plot_masks(masks, RATE, HOP).axes[0].collections
    edges = mesh.get_coordinates()[:, 0, 1]
    row = np.nonzero(mesh.get_array()[:, 0])[0].item()
    assert edges[row] == 1000 - RATE / N_FFT / 2 and edges[row + 1] == 1000 + RATE / N_FFT / 2


def test_roll_is_drawn_with_a_colour_per_class(spectra, tmp_path):
    _, _, roll = spectra
    figure = plots.plot_piano_roll(0.5 * roll, HOP, RATE, NAMES, start=1.0)
    (axis,) = figure.axes
    assert len(axis.images) == 3
    for image, values, colour in zip(axis.images, roll, plots.PALETTE):
        drawn = np.asarray(image.get_array())
        np.testing.assert_allclose(drawn[..., 3], 0.5 * values)
        np.testing.assert_allclose(drawn[0, 0, :3], to_rgb(colour))
        hop = HOP / RATE
        assert image.get_extent() == pytest.approx(
            [1 - hop / 2, 1 + (N_FRAMES - 0.5) * hop, LOWEST_PITCH - 0.5, 108.5]
        )
    low, high = axis.get_ylim()
    assert low < 40 and high > 69 and high - low < 40
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("time (s)", "pitch")
    ticks = dict(zip(axis.get_yticks(), (t.get_text() for t in axis.get_yticklabels())))
    assert ticks[60] == "C4"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == NAMES
    picture = saved(plots.plot_piano_roll(roll, HOP, RATE, NAMES), tmp_path)[..., :3]
    for colour, present in zip(plots.PALETTE, (True, False, True)):
        near = (np.abs(picture - to_rgb(colour)) < 0.02).all(-1).sum()
        # The legend shows every colour; the notes add far more of it.
        assert (near > 2000) == present


def test_roll_of_one_class_and_of_nothing(spectra, tmp_path):
    figure = plots.plot_piano_roll(spectra[2][0], HOP, RATE)
    assert len(figure.axes[0].images) == 1 and not figure.legends
    assert saved(plots.plot_piano_roll(np.zeros((88, 5)), HOP, RATE), tmp_path).ndim == 3


def test_separation_shows_everything(spectra, tmp_path):
    mixture, masks, roll = spectra
    references = masks[::-1] * mixture
    figure = plots.plot_separation(
        torch.tensor(mixture), RATE, HOP, torch.tensor(masks), references=references,
        roll=torch.tensor(roll), names=NAMES, title="song",
    )  # fmt: skip
    axes = {axis.get_title("left"): axis for axis in figure.axes if axis.get_title("left")}
    kinds = ("Mask", "Estimate", "Reference")
    assert list(axes) == ["Mixture", "Score"] + [f"{k}, {n}" for k in kinds for n in NAMES]
    assert figure.get_suptitle() == "song"
    decibels = {
        "Mixture": mixture,
        **{f"Estimate, {n}": m * mixture for n, m in zip(NAMES, masks)},
        **{f"Reference, {n}": r for n, r in zip(NAMES, references)},
    }
    for title, magnitude in decibels.items():
        mesh = axes[title].collections[0]
        expected = np.maximum(20 * np.log10(magnitude / mixture.max()), -plots.RANGE_DB)
        np.testing.assert_allclose(mesh.get_array(), expected[shown_bins()], atol=1e-4)
        assert mesh.get_clim() == (-plots.RANGE_DB, 0)
    for name, mask in zip(NAMES, masks):
        mesh = axes[f"Mask, {name}"].collections[0]
        np.testing.assert_allclose(mesh.get_array(), mask[shown_bins()], atol=1e-6)
    bars = [axis.get_ylabel() for axis in figure.axes if not axis.get_title("left")]
    assert sorted(bars) == ["level (dB)", "mask"]
    assert saved(figure, tmp_path).std() > 0.05


def test_notes_lie_on_their_fundamental(spectra):
    mixture, masks, roll = spectra
    figure = plots.plot_separation(mixture, RATE, HOP, masks, roll=roll, names=NAMES, start=2.0)
    axes = {axis.get_title("left"): axis for axis in figure.axes}
    notes = axes["Estimate, piano"].collections[1]
    hop = HOP / RATE
    segments = np.array(notes.get_segments())
    assert segments[:, :, 1] == pytest.approx(440)
    spans = 2 + (np.array([[5, 10], [12, N_FRAMES]]) - 0.5) * hop
    np.testing.assert_allclose(segments[:, :, 0], spans)
    assert notes.get_colors()[0, :3] == pytest.approx(to_rgb(plots.PALETTE[2]))
    assert len(axes["Mixture"].collections) == 1 + 3
    assert len(axes["Mask, piano"].collections) == 1


def test_estimates_may_stand_alone(spectra, tmp_path):
    mixture, masks, _ = spectra
    figure = plots.plot_separation(mixture, RATE, HOP, estimates=(masks * mixture)[:1])
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles == ["Mixture", "Estimate, class 0", ""]
    # Silence has no loudest bin.
    silent = plots.plot_separation(0 * mixture, RATE, HOP, estimates=0 * masks, names=NAMES)
    assert (silent.axes[0].collections[0].get_array() == -plots.RANGE_DB).all()
    saved(silent, tmp_path)


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
    figure = plots.plot_box(frame, order=["input mixture", "supervised"])
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
        to_rgb(colour) for colour in plots.PALETTE[:3]
    ]
    saved(figure, tmp_path)


def test_box_plot_names_what_is_missing():
    frame = scores()
    with pytest.raises(ValueError, match=r"no 'sisdr' for 'slakh', only \['si_sdr'\]"):
        plots.plot_box(frame, "sisdr")
    two = pd.concat([frame, frame.assign(test_set="unseen")])
    with pytest.raises(ValueError, match=r"test_set must be one of \['slakh', 'unseen'\]"):
        plots.plot_box(two)
    assert "unseen" in plots.plot_box(two, test_set="unseen").axes[0].get_title()


@pytest.fixture
def log():
    """What CSVLogger writes: a line per event, empty where nothing was logged."""
    lines = []
    for step in range(0, 40, 2):
        lines.append({"epoch": step // 10, "step": step, "loss": 1 / (1 + step)})
        if step % 10 == 8:
            lines.append({"epoch": step // 10, "step": step, "val_loss": 2 / (1 + step)})
            lines.append({"epoch": step // 10, "step": step, "val_si_sdr": float(step)})
    lines.append({"epoch": 3, "step": 39, "lr-Adam": 0.001})
    return pd.DataFrame(lines)


def test_curves_hold_the_logged_values(log, tmp_path):
    path = tmp_path / "metrics.csv"
    log.to_csv(path, index=False)
    figure = plots.plot_training_curves({"first": path, "second": log.assign(loss=log.loss * 2)})
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
    saved(figure, tmp_path)


def test_curves_of_many_runs_have_colours_of_their_own(log):
    figure = plots.plot_training_curves({str(i): log for i in range(9)}, metrics=["si_sdr"])
    (axis,) = figure.axes
    assert len({tuple(line.get_color()) for line in axis.lines}) == 9


def test_long_curves_are_smoothed(log):
    rng = np.random.default_rng(0)
    noisy = pd.DataFrame({"step": range(5000), "epoch": 0, "loss": 1 + rng.normal(size=5000)})
    (line,) = plots.plot_training_curves({"run": noisy}).axes[0].lines
    assert line.get_ydata().std() < 0.2 and line.get_ydata().mean() == pytest.approx(1, abs=0.1)


def test_bad_logs_are_named(log, tmp_path):
    with pytest.raises(ValueError, match="no training logs"):
        plots.plot_training_curves({})
    with pytest.raises(FileNotFoundError, match="the training log of 'run', does not exist"):
        plots.plot_training_curves({"run": tmp_path / "none.csv"})
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match="is not a log of Lightning's CSVLogger"):
        plots.plot_training_curves({"run": tmp_path / "empty.csv"})
    with pytest.raises(ValueError, match="expected some lines, and `step` or `epoch`"):
        plots.plot_training_curves({"run": log[["loss"]]})
    with pytest.raises(ValueError, match=r"do not hold any of \['accuracy'\]"):
        plots.plot_training_curves({"run": log}, metrics=["accuracy"])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, k, r: plots.plot_masks(m, RATE, HOP), "expected .n_src, freq, frames."),
        (lambda m, k, r: plots.plot_masks(k, RATE, HOP, ["a"]), "1 names .* for 3 masks"),
        (lambda m, k, r: plots.plot_masks(k, RATE, HOP, frequencies=(0, 9)), "0 < low < high"),
        (lambda m, k, r: plots.plot_piano_roll(r[:, 1:], HOP, RATE), "roll has shape .3, 87, 20."),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP), "Give masks or estimates"),
        (lambda m, k, r: plots.plot_separation(k, RATE, HOP, k), "mixture has shape .3,"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, references=m), "references has"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, roll=r[..., 1:]), "19 frames"),
    ],
)
def test_bad_arrays_are_named(spectra, call, message):
    with pytest.raises(ValueError, match=message):
        call(*spectra)


def test_missing_matplotlib_is_explained(spectra, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plots.plot_masks(spectra[1], RATE, HOP)


def test_figures_belong_to_no_window(spectra):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    plots.plot_piano_roll(spectra[2], HOP, RATE)
    assert pyplot.get_fignums() == before
