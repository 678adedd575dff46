"""Levels, tuning, rises and the refinement of onsets, against plain formulas."""

import itertools

import numpy as np
import pytest

from asteroid_scoresup.alignment.certainty import (
    LOCAL,
    Signs,
    local_certainty,
    local_signs,
    uncertain_stretches,
)
from asteroid_scoresup.alignment.features import (
    HOP,
    PARTIALS,
    band_levels,
    frame_vectors,
    loudness,
    score_vectors,
    shifted,
)
from asteroid_scoresup.alignment.onsets import Groups, Pass, posterior, refine, rises
from asteroid_scoresup.alignment.tuning import find_tuning
from asteroid_scoresup.alignment.warp import Span
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.stream import Recording
from tests.helpers.tones import RATE, random_notes, render


@pytest.mark.parametrize("pitch", [45, 57, 69, 93])
def test_a_tone_is_loudest_in_its_own_band(pitch):
    time = np.arange(2 * 44100) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69 + 0.2) / 12) * time)
    levels = band_levels(Recording(np.stack([tone, tone]), 44100), tuning_cents=20.0)
    assert levels.shape == (200, 88)
    assert levels[100].argmax() == pitch - 21
    assert levels[100].max() > levels[100, pitch - 21 + 3] + 20


def test_levels_do_not_depend_on_the_chunks():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=45 * RATE).astype(np.float32)
    whole = band_levels(Recording(audio, RATE))
    late = band_levels(Recording(audio[25 * RATE :], RATE))
    assert np.allclose(whole[2600:], late[100:], atol=0.1)


@pytest.mark.parametrize("cents", [-40.0, -10.0, 0.0, 33.0])
def test_tuning(cents):
    audio = render(random_notes(2, count=16), tuning_cents=cents)
    assert find_tuning(Recording(audio, RATE)) == pytest.approx(cents, abs=4)


def test_noise_has_no_tuning():
    noise = np.random.default_rng(0).normal(size=10 * RATE)
    assert find_tuning(Recording(noise, RATE)) == 0.0


def test_score_vectors_have_their_notes():
    notes = Notes([0.0, 1.0], [0.9, 2.0], [60, 64], [0, 0], [100, 100])
    vectors = score_vectors(notes, 0.1, 20)
    assert vectors[3, :88].argmax() == 60 - 21 and vectors[14, :88].argmax() == 64 - 21
    assert vectors[0, 88 + 39] == vectors[:, 88 + 39].max() > 0
    assert np.linalg.norm(vectors[14, :88]) == pytest.approx(1, abs=1e-5)
    assert not vectors[3, 88:].any()
    assert np.array_equal(shifted(vectors[:, :88], -3)[:, :85], vectors[:, 3:88])


def test_score_vectors_equal_a_loop_over_the_notes():
    notes = random_notes(6, count=20)
    notes = notes.replace(velocity=np.random.default_rng(0).integers(20, 120, len(notes)))
    hop, n = 0.1, 120
    level, rise = np.zeros((n, 88)), np.zeros((n, 88))
    for onset, release, pitch, velocity in zip(
        notes.onset, notes.release, notes.pitch, notes.velocity
    ):
        first = min(int(onset / hop), n - 1)
        end = min(max(release, onset + 0.15), onset + 4.0)
        stop = min(max(int(np.ceil(end / hop)), first + 1), n)
        for semitones, weight in PARTIALS:
            band = pitch - 21 + semitones
            if band < 88:
                loud = weight * np.sqrt(velocity / 100)
                rise[first, band] = max(rise[first, band], loud)
                for t in range(first, stop):
                    level[t, band] = max(level[t, band], loud * np.exp(-hop * (t - first)))
    found = score_vectors(notes, hop, n)
    assert np.allclose(found, frame_vectors(np.sqrt(level), rise, 1.0), atol=1e-5)


def test_rises_are_differences_of_means():
    rng = np.random.default_rng(0)
    levels = rng.uniform(-60, 0, (300, 88)).astype(np.float16)
    found = rises(levels, 0.0, 0.05, 0.08)
    scaled = 10 ** (levels.astype(np.float64) / 40)
    expected = scaled[100:108].mean(axis=0) - scaled[95:100].mean(axis=0)
    assert np.allclose(found[100], np.maximum(expected, 0), atol=2e-3)


def test_posterior_equals_the_sum_over_all_combinations():
    rng = np.random.default_rng(3)
    one = Pass(0.02, 0.02, 0.01, 0.01, 0.02, 0.0, 2.0)
    offsets, at = np.array([-0.02, 0.0, 0.02]), np.array([0.0, 0.5, 1.0, 1.5])
    found = rng.random((4, 3))
    mean, deviation = posterior(found, at, offsets, one)
    kernel = np.exp(-0.5 * ((offsets[:, None] - offsets) / one.jitter) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)  # from an earlier offset to a later one
    weights, values = [], []
    for states in itertools.product(range(3), repeat=4):
        weight = np.exp(-0.5 * (offsets[states[0]] / one.reach) ** 2)
        weight *= np.prod([np.exp(one.trust * found[i, s]) for i, s in enumerate(states)])
        weight *= np.prod([kernel[a, b] for a, b in zip(states, states[1:])])
        weights.append(weight)
        values.append(offsets[list(states)])
    expected = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((np.array(values) - expected) ** 2, axis=0, weights=weights))
    assert mean == pytest.approx(expected, abs=1e-4)
    assert deviation == pytest.approx(spread, abs=1e-4)


def test_refinement_finds_the_onsets():
    notes = random_notes(4, count=30)
    levels = band_levels(Recording(render(notes), RATE))
    one = Pass(0.096, 0.004, 0.01, 0.02, 0.004, 0.015, 3.0)
    groups = Groups.of(notes)
    assert np.array_equal(groups.times, np.unique(notes.onset))
    start = groups.times + 0.04 * np.sin(groups.times / 3)
    at, _ = refine(rises(levels, loudness(levels), 0.01, 0.02), groups, start, one)
    assert np.median(np.abs(at - groups.times)) < 0.01 < np.median(np.abs(start - groups.times))


def test_groups_join_what_begins_together():
    notes = Notes([0.0, 0.01, 0.5, 0.52, 0.6], [1] * 5, [60, 64, 67, 10, 72], [0] * 5, [90] * 5)
    groups = Groups.of(notes)
    assert groups.times == pytest.approx([0.005, 0.5, 0.6])
    assert groups.part(1, 3).group.tolist() == [0, 1]


def test_certainty_follows_contrast_and_margin():
    at = np.arange(0, 30, 0.25)
    good = np.where(at < 15, 2.5, 0.0)
    spans = [(0.0, 30.0)]
    for contrast, margin in ((good, 6 * good + 2), (2.5 + 0 * at, 8 * good)):
        found = local_certainty(local_signs(at, contrast, margin, spans, 40.0))
        assert found.shape == (8,) and np.all(found[:2] > 0.9) and np.all(found[4:6] < 0.5)
        assert np.isnan(found[6:]).all()
        ((start, stop),) = uncertain_stretches(found, 40.0)
        assert start in (15.0, 20.0) and stop == 30.0
    # Within 5 s of the middle of the fourth stretch, plus four onsets of the mean.
    near = good[np.abs(at - 17.5) < 5]
    mean = (near.sum() + 4 * good.mean()) / (len(near) + 4)
    expected = LOCAL[0] * 2.5 + LOCAL[1] * 8 * mean + LOCAL[2]
    assert found[3] == pytest.approx(1 / (1 + np.exp(-expected)))


def test_confidence_falls_with_an_unsteady_tempo_and_a_bad_fit():
    steady = Span(np.arange(0, 30.0), np.arange(0, 30.0))
    wild = Span(np.cumsum(np.tile([0.2, 1.8], 15)), np.arange(0, 30.0))
    sure, unsure = (Signs.of([s], 60, 60, 30.0, 0.6) for s in (steady, wild))
    assert sure.unrest < 0.01 < 0.5 < unsure.unrest
    assert sure.confidence() > 0.9 > 0.5 > unsure.confidence()
    assert Signs.of([steady], 60, 60, 30.0, 0.0).confidence() < 0.5
    assert Signs.of([], 0, 60, 30.0, 0.0).confidence() == 0.0
    assert pytest.approx(0.01) == HOP
