import warnings

import numpy as np
import pytest
import torch
from asteroid.metrics import get_metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.evaluation import separation_scores, si_sdr
from asteroid_scoresup.evaluation.separation import LEAKAGE_FLOOR_DB, LIMIT_DB

RATE = 8000


def plain_si_sdr(estimate, reference):
    """Le Roux et al. (2019), equation 2, after subtracting the means."""
    estimate, reference = estimate - estimate.mean(), reference - reference.mean()
    target = (estimate @ reference) / (reference @ reference) * reference
    return 10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target)))


@pytest.fixture
def song():
    rng = np.random.default_rng(0)
    sources = {name: rng.normal(size=RATE) * level for name, level in
               (("bass", 0.1), ("guitar", 0.03), ("piano", 0.06))}  # fmt: skip
    mixture = sum(sources.values())
    estimates = {
        name: 0.7 * source + 0.2 * mixture + 0.01 * rng.normal(size=RATE)
        for name, source in sources.items()
    }
    return sources, estimates, mixture


def test_si_sdr_is_the_formula(song):
    sources, estimates, mixture = song
    for name in sources:
        for signal in (estimates[name], mixture):
            assert si_sdr(signal, sources[name]) == pytest.approx(
                plain_si_sdr(signal, sources[name]), abs=1e-5
            )


def test_scores_equal_those_of_asteroid(song):
    sources, estimates, mixture = song
    rows = separation_scores(sources, estimates, mixture)
    stack = (np.stack([signals[name] for name in sources]) for signals in (sources, estimates))
    clean, estimate = stack
    asteroid = get_metrics(
        mixture[None], clean, estimate, sample_rate=RATE, metrics_list=["si_sdr"], average=False
    )
    for metric in ("si_sdr", "input_si_sdr"):
        np.testing.assert_allclose(
            [row[metric] for row in rows], asteroid[metric].ravel(), atol=1e-5
        )
    for row in rows:
        assert row["si_sdr_imp"] == row["si_sdr"] - row["input_si_sdr"]
        assert not row["silent"] and not row["silent_estimate"] and np.isnan(row["leakage_db"])


def test_stored_numbers():
    t = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 50 * t), np.sin(2 * np.pi * 400 * t)
    assert si_sdr(low + 0.5 * high, low) == pytest.approx(20 * np.log10(2), abs=1e-6)
    # An offset of 1 % of the RMS is taken off: without that, the last digits would change.
    assert si_sdr(low + 0.5 * high + 0.01, low) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert si_sdr(low, low) == LIMIT_DB
    assert si_sdr(high, low) == -LIMIT_DB
    assert si_sdr(low, low, limit_db=100) == 100


def test_silence():
    sound = np.sin(np.arange(RATE) / 9)
    zeros = np.zeros(RATE)
    values = si_sdr(np.stack([sound, zeros, zeros]), np.stack([zeros, sound, zeros]))
    np.testing.assert_array_equal(values, [np.nan, -LIMIT_DB, np.nan])
    # Noise of a converter is silence, a quiet note is not.
    assert np.isnan(si_sdr(sound, 1e-5 * sound))
    assert si_sdr(sound, 1e-3 * sound) == LIMIT_DB


def test_silent_classes_have_a_leakage_instead_of_a_score():
    bass = np.sin(np.arange(RATE) / 20)
    zeros = np.zeros(RATE)
    stems = {"bass": bass, "guitar": zeros, "piano": 1e-4 * bass}
    estimates = {"bass": zeros, "guitar": zeros, "piano": 0.1 * bass}
    rows = {row["instrument"]: row for row in separation_scores(stems, estimates, bass)}
    assert [row["silent"] for row in rows.values()] == [False, True, True]
    assert [row["silent_estimate"] for row in rows.values()] == [True, True, False]
    # Only the bass counts, its estimate is empty, and the mixture is the bass.
    assert rows["bass"]["si_sdr"] == -LIMIT_DB and rows["bass"]["input_si_sdr"] == LIMIT_DB
    for name in ("guitar", "piano"):
        assert all(np.isnan(rows[name][m]) for m in ("si_sdr", "input_si_sdr", "si_sdr_imp"))
    assert np.isnan(rows["bass"]["leakage_db"])
    assert rows["guitar"]["leakage_db"] == LEAKAGE_FLOOR_DB
    assert rows["piano"]["leakage_db"] == pytest.approx(-20)


def test_a_silent_song_has_no_scores():
    zeros = np.zeros(RATE)
    (row,) = separation_scores({"bass": zeros}, {"bass": zeros + 0.1}, zeros)
    assert row["silent"] and np.isnan(row["si_sdr"]) and np.isnan(row["leakage_db"])


@settings(max_examples=25, deadline=None)
@given(
    gain=st.floats(1e-4, 1e4),
    level=st.floats(1e-3, 1e2),
    seed=st.integers(0, 100),
    noise=st.floats(0.05, 20),
)
def test_scores_do_not_depend_on_the_scale_of_song_and_estimate(gain, level, seed, noise):
    rng = np.random.default_rng(seed)
    source, other, error = rng.normal(size=(3, 500))
    names = ("a", "b", "c")

    def score(level, gain):
        stems = dict(zip(names, (level * source, level * other, 0 * source)))
        estimates = dict(zip(names, (gain * (source + noise * error), gain * other, level * other)))
        rows = separation_scores(stems, estimates, level * (source + other))
        return [[row[m] for m in ("si_sdr", "si_sdr_imp", "leakage_db")] for row in rows]

    np.testing.assert_allclose(score(level, gain), score(1, 1), atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(["bass", "guitar", "piano"]))
def test_scores_do_not_depend_on_the_order_of_classes(order):
    rng = np.random.default_rng(1)
    stems = {name: rng.normal(size=400) for name in ("bass", "guitar", "piano")}
    estimates = {name: rng.normal(size=400) + signal for name, signal in stems.items()}
    mixture = sum(stems.values())
    expected = {row["instrument"]: row for row in separation_scores(stems, estimates, mixture)}
    rows = separation_scores({name: stems[name] for name in order}, estimates, mixture)
    assert [row["instrument"] for row in rows] == list(order)
    for row in rows:
        np.testing.assert_equal(row, expected[row["instrument"]])


def test_tensors_and_batches(song):
    sources, estimates, _ = song
    names = list(sources)
    clean = torch.tensor(np.stack([sources[n] for n in names]), dtype=torch.float32)
    found = torch.tensor(np.stack([estimates[n] for n in names]), dtype=torch.float32)
    found.requires_grad_()
    batch = si_sdr(found.expand(2, 3, -1), clean)
    assert batch.shape == (2, 3) and batch.dtype == np.float64
    single = [si_sdr(estimates[n], sources[n]) for n in names]
    np.testing.assert_allclose(batch, [single, single], atol=1e-4)


def test_sdr_equals_that_of_mir_eval(song):
    from mir_eval.separation import bss_eval_sources

    sources, estimates, mixture = song
    sources, estimates = dict(sources, drums=0 * mixture), dict(estimates, drums=mixture)
    rows = separation_scores(sources, estimates, mixture, sdr=True)
    sounding = ["bass", "guitar", "piano"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # All classes together: the SDR of one must not depend on the others.
        expected = bss_eval_sources(
            np.stack([sources[n] for n in sounding]), np.stack([estimates[n] for n in sounding]),
            compute_permutation=False,
        )[0]  # fmt: skip
    np.testing.assert_allclose([row["sdr"] for row in rows[:3]], expected, atol=1e-6)
    assert all(row["sdr_imp"] == row["sdr"] - row["input_sdr"] for row in rows[:3])
    assert np.isnan(rows[3]["sdr"])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r, e, m: (r, {"bass": e["bass"]}, m), "the classes must be the same"),
        (lambda r, e, m: ({}, {}, m), "no stems"),
        (lambda r, e, m: (r, dict(e, bass=e["bass"][:-1]), m), "estimate of 'bass' has shape"),
        (lambda r, e, m: (dict(r, piano=r["piano"][None]), e, m), "stem of 'piano' has shape"),
        (lambda r, e, m: (r, dict(e, piano=e["piano"] * np.nan), m), "'piano' contains NaN"),
        (lambda r, e, m: (r, e, m[:0]), "The mixture contains no samples"),
    ],
)
def test_invalid_input_is_refused(song, change, message):
    with pytest.raises(ValueError, match=message):
        separation_scores(*change(*song))


def test_si_sdr_names_the_lengths():
    with pytest.raises(ValueError, match="has 4 samples, the reference 5"):
        si_sdr(np.ones(4), np.ones(5))


@pytest.mark.parametrize("offset", [1e-6, 0.01, -0.5, 3.0])
def test_a_silent_stem_with_a_constant_offset_is_left_out(offset):
    """The offset is not sound, so there is no score, and the leakage is that of the noise."""
    rng = np.random.default_rng(0)
    bass, leak = rng.standard_normal((2, 8000)) * 0.1
    silent = np.full(8000, offset)
    stems = {"bass": bass, "piano": silent}
    estimates = {"bass": bass + offset, "piano": 0.01 * leak + offset}
    rows = separation_scores(stems, estimates, bass + silent)
    assert not rows[0]["silent"] and rows[0]["si_sdr"] == LIMIT_DB
    assert rows[1]["silent"] and np.isnan(rows[1]["si_sdr"])
    mixture = bass - bass.mean()
    expected = 20 * np.log10(np.std(0.01 * leak) / np.sqrt(np.mean(mixture**2)))
    assert rows[1]["leakage_db"] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(si_sdr(bass, silent))


def test_a_constant_estimate_is_silent():
    bass = np.random.default_rng(0).standard_normal(8000) * 0.1
    row = separation_scores({"bass": bass}, {"bass": np.full(8000, 0.3)}, bass)[0]
    assert row["silent_estimate"] and row["si_sdr"] == -LIMIT_DB


def test_a_stem_of_float32_with_an_offset_is_silent():
    """float32 cannot represent 0.1: the mean of many samples differs from each of them."""
    row = separation_scores(
        {"bass": np.full(99_991, 0.1, dtype=np.float32)},
        {"bass": np.zeros(99_991, dtype=np.float32)},
        np.random.default_rng(0).standard_normal(99_991),
    )[0]
    assert row["silent"]
