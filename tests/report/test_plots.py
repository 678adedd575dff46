import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from asteroid_scoresup.report import plots
from asteroid_scoresup.score import LOWEST_PITCH, N_PITCHES

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
    """The image as it is saved, (height, width, channels)."""
    path = tmp_path / "figure.png"
    figure.savefig(path)
    return imread(path)


def shown_bins(low=35.0, high=6000.0):
    width = RATE / N_FFT
    return slice(int(low // width), int(np.ceil(high / width)) + 1)


@pytest.mark.slow
def test_panels_share_time_and_frequency(spectra):
    mixture, masks, _ = spectra
    figure = plots.plot_separation(mixture, RATE, HOP, torch.tensor(masks), names=NAMES, start=3.0)
    axes = [axis for axis in figure.axes if axis.get_title("left")]
    for axis in axes:
        assert axis.get_yscale() == "log" and axis.get_ylim() == pytest.approx((35, 6000))
        # A cell reaches half a hop to both sides of the center of its frame.
        span = (3 - HOP / RATE / 2, 3 + (N_FRAMES - 0.5) * HOP / RATE)
        assert axis.get_xlim() == pytest.approx(span)
    figure.draw_without_rendering()
    ticks = {label.get_text() for label in axes[0].get_yticklabels()}
    assert {"100", "500", "1k", "5k"} <= ticks
    assert axes[-1].get_xlabel() == "time (s)" and axes[0].get_ylabel() == "frequency (Hz)"


def test_bins_are_drawn_at_their_frequency():
    masks = np.zeros((1, N_BINS, N_FRAMES))
    masks[0, 32] = 1  # 1000 Hz
    figure = plots.plot_separation(np.ones((N_BINS, N_FRAMES)), RATE, HOP, masks)
    (mesh,) = figure.axes[1].collections
    edges = mesh.get_coordinates()[:, 0, 1]
    row = np.nonzero(mesh.get_array()[:, 0])[0].item()
    assert edges[row] == 1000 - RATE / N_FFT / 2 and edges[row + 1] == 1000 + RATE / N_FFT / 2


@pytest.mark.slow
def test_the_score_is_drawn_with_a_color_per_class(spectra, tmp_path):
    mixture, masks, roll = spectra
    figure = plots.plot_separation(mixture, RATE, HOP, masks, roll=0.5 * roll, names=NAMES, start=1)
    (axis,) = (axis for axis in figure.axes if axis.get_title("left") == "Score")
    assert len(axis.images) == 3
    for image, values, color in zip(axis.images, roll, plots.PALETTE):
        drawn = np.asarray(image.get_array())
        np.testing.assert_allclose(drawn[..., 3], 0.5 * values)
        np.testing.assert_allclose(drawn[0, 0, :3], to_rgb(color))
        hop = HOP / RATE
        assert image.get_extent() == pytest.approx(
            [1 - hop / 2, 1 + (N_FRAMES - 0.5) * hop, LOWEST_PITCH - 0.5, 108.5]
        )
    low, high = axis.get_ylim()
    assert low < 40 and high > 69 and high - low < 40
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("time (s)", "pitch")
    ticks = dict(zip(axis.get_yticks(), (t.get_text() for t in axis.get_yticklabels())))
    assert ticks[60] == "C4"
    assert [t.get_text() for t in axis.get_legend().get_texts()] == NAMES
    # An empty score is drawn too.
    saved(plots.plot_separation(mixture, RATE, HOP, masks, roll=0 * roll, names=NAMES), tmp_path)


@pytest.mark.slow
def test_the_separation_plot_has_all_panels(spectra, tmp_path):
    mixture, masks, roll = spectra
    stems = masks[::-1] * mixture
    figure = plots.plot_separation(
        torch.tensor(mixture), RATE, HOP, torch.tensor(masks), stems=stems,
        roll=torch.tensor(roll), names=NAMES, title="song",
    )  # fmt: skip
    axes = {axis.get_title("left"): axis for axis in figure.axes if axis.get_title("left")}
    kinds = ("Mask", "Estimate", "Stem")
    assert list(axes) == ["Mixture", "Score"] + [f"{k}, {n}" for k in kinds for n in NAMES]
    assert figure.get_suptitle() == "song"
    decibels = {
        "Mixture": mixture,
        **{f"Estimate, {n}": m * mixture for n, m in zip(NAMES, masks)},
        **{f"Stem, {n}": s for n, s in zip(NAMES, stems)},
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


def test_notes_are_drawn_at_their_fundamental(spectra):
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


@pytest.mark.slow
def test_masks_are_optional(spectra, tmp_path):
    mixture, masks, _ = spectra
    figure = plots.plot_separation(mixture, RATE, HOP, estimates=(masks * mixture)[:1])
    titles = [axis.get_title("left") for axis in figure.axes]
    assert titles == ["Mixture", "Estimate, class 0", ""]
    # Silence has no loudest bin.
    silent = plots.plot_separation(0 * mixture, RATE, HOP, estimates=0 * masks, names=NAMES)
    assert (silent.axes[0].collections[0].get_array() == -plots.RANGE_DB).all()
    saved(silent, tmp_path)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, m), "masks has shape"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, names=["a"]), "1 names .* for 3"),
        (
            lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, frequencies=(0, 9)),
            "0 < low < high",
        ),
        (
            lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, roll=r[:, 1:]),
            r"shape .3, 87, 20.",
        ),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, roll=r[:2]), "n_src = 3"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP), "Give masks or estimates"),
        (lambda m, k, r: plots.plot_separation(k, RATE, HOP, k), "mixture has shape .3,"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, stems=m), "stems has"),
        (lambda m, k, r: plots.plot_separation(m, RATE, HOP, k, roll=r[..., 1:]), "19 frames"),
    ],
)
def test_invalid_arrays_are_refused(spectra, call, message):
    with pytest.raises(ValueError, match=message):
        call(*spectra)


def test_figures_are_not_registered_with_pyplot(spectra):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    plots.plot_separation(*spectra[:1], RATE, HOP, spectra[1])
    assert pyplot.get_fignums() == before
