"""Harmonic masks: against loops in NumPy, and against tones that really sound."""

import numpy as np
import pytest
import torch
from tiny import tone

from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.score import (
    N_PITCHES,
    HarmonicTemplates,
    Notes,
    partial_frequencies,
    sounding_roll,
)

RATE, N_FFT, HOP = 8000, 1024, 256
N_FREQS = N_FFT // 2 + 1


def roll_of(*pitches_per_source, frames=3, level=1.0):
    roll = torch.zeros(len(pitches_per_source), N_PITCHES, frames)
    for source, pitches in enumerate(pitches_per_source):
        for pitch in pitches:
            roll[source, pitch - 21] = level
    return roll


def test_partials_of_a_stiff_string():
    pitches = np.array([21, 45, 69])
    k = np.arange(1, 8)
    expected = 440 * 2 ** ((pitches[:, None] - 69) / 12) * k * np.sqrt(1 + 4e-4 * k**2)
    found = partial_frequencies(torch.tensor(pitches), 7, inharmonicity=4e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("half_width, relative, decay", [(None, 0.006, 0.65), (40.0, 0.02, 1.0)])
def test_templates_are_those_of_a_loop_over_notes_partials_and_bins(half_width, relative, decay):
    templates = HarmonicTemplates(
        RATE, N_FFT, 12, half_width, relative, decay=decay, inharmonicity=1e-4
    )
    expected = np.zeros((N_PITCHES, N_FREQS))
    for row in range(N_PITCHES):
        for k in range(1, 13):
            f = 440 * 2 ** ((row + 21 - 69) / 12) * k * np.sqrt(1 + 1e-4 * k**2)
            if f >= RATE / 2:
                continue
            width = max(2 * RATE / N_FFT if half_width is None else half_width, relative * f)
            for b in range(N_FREQS):
                if abs(b * RATE / N_FFT - f) <= width:
                    expected[row, b] = max(expected[row, b], decay ** (k - 1))
    np.testing.assert_array_equal(templates.binary, expected > 0)
    np.testing.assert_allclose(templates.weights, expected, rtol=1e-6)


def test_nothing_above_nyquist():
    templates = HarmonicTemplates(RATE, N_FFT, n_partials=40, relative_width=0.05)
    # The highest keys lie above Nyquist with all their partials, and their width reaches nothing.
    beyond = partial_frequencies(torch.arange(21, 109), 1)[:, 0] >= RATE / 2
    assert beyond.any()
    assert not templates.binary[beyond].any()
    assert templates.binary[~beyond].any(1).all()
    # G#6 at 3322.4 Hz has one partial under Nyquist: its second would start at 6644.9 Hz.
    bins = templates.binary[92 - 21].nonzero().flatten() * RATE / N_FFT
    assert bins.max() < 3322.5 * 1.05


@pytest.mark.parametrize("pitch", [33, 40, 52, 60, 76, 88])
def test_the_energy_of_a_tone_lies_in_its_mask(pitch):
    templates, stft = HarmonicTemplates(RATE, N_FFT, n_partials=10), STFT(N_FFT, HOP, RATE)
    wave = np.zeros(RATE, dtype=np.float32)
    note = tone(pitch, 0.5, RATE, n_partials=10, decay=0.8, ramp=0.05)
    wave[2000 : 2000 + len(note)] = note
    energy = stft.magnitude(stft(torch.from_numpy(wave)[None]))[0].square()
    notes = Notes([0.25], [0.75], [pitch], [0], [100])
    sounding = sounding_roll(notes, 1, energy.shape[-1], stft.grid, {"before": 2, "after": 2})
    mask = templates.mask(sounding)[0]
    assert energy[mask].sum() / energy.sum() > 0.99
    assert mask.float().mean() < 0.35  # or the claim would be cheap


def test_the_relative_width_covers_a_detuned_tone():
    stft = STFT(N_FFT, HOP, RATE)
    wave = torch.from_numpy(tone(88, 1.0, RATE, n_partials=3, decay=1.0, detune=1.01))
    energy = stft.magnitude(stft(wave[None]))[0].square()
    sounding = roll_of([88], frames=energy.shape[-1])
    inside = {
        width: float(
            energy[HarmonicTemplates(RATE, N_FFT, relative_width=width).mask(sounding)[0]].sum()
            / energy.sum()
        )
        for width in (0.0, 0.018)
    }
    assert inside[0.0] < 0.9
    assert inside[0.018] > 0.99


def test_mask_is_the_union_over_the_sounding_notes_of_a_class():
    templates = HarmonicTemplates(RATE, N_FFT)
    mask = templates.mask(torch.stack([roll_of([40, 47], [60]), roll_of([], [60])]))
    expected = torch.maximum(templates.binary[40 - 21], templates.binary[47 - 21]) > 0
    assert mask.dtype == torch.bool
    for frame in range(3):
        assert torch.equal(mask[0, 0, :, frame], expected)
        assert torch.equal(mask[0, 1, :, frame], templates.binary[60 - 21] > 0)
    assert not mask[1, 0].any()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_soft_shares_follow_the_weights_and_sum_to_one(power):
    templates = HarmonicTemplates(RATE, N_FFT, power=power)
    roll = torch.stack([roll_of([45, 52], [57], [64], level=0.3)])
    roll[:, 1] = 0.9 * (roll[:, 1] > 0)
    share = templates.soft_mask(roll)
    weight = np.einsum("bspt,pf->bsft", roll.numpy(), templates.weights.numpy()) ** power
    total = weight.sum(1, keepdims=True)
    expected = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    np.testing.assert_allclose(share, expected, atol=1e-6)
    covered = templates.mask(roll).any(1)
    assert covered.any() and not covered.all()
    torch.testing.assert_close(share.sum(1), covered.float())


def test_soft_shares_of_a_faint_sound_still_sum_to_one():
    # A struck note five time constants old, split by energy: products of tiny numbers.
    templates = HarmonicTemplates(RATE, N_FFT, power=2.0)
    roll = roll_of([40], [45], level=float(np.exp(-5.0)))
    covered = templates.mask(roll).any(0)
    torch.testing.assert_close(templates.soft_mask(roll).sum(0), covered.float())


def test_an_octave_splits_where_partials_meet():
    templates = HarmonicTemplates(RATE, N_FFT, n_partials=10, decay=0.5)
    share = templates.soft_mask(roll_of([57], [69]))[:, :, 0]
    at = {f: round(f * N_FFT / RATE) for f in (220, 440, 660)}
    torch.testing.assert_close(share[:, at[220]], torch.tensor([1.0, 0.0]))
    # The second partial of 220 Hz weighs 0.5, the first of 440 Hz weighs 1.
    torch.testing.assert_close(share[:, at[440]], torch.tensor([1 / 3, 2 / 3]))
    torch.testing.assert_close(share[:, at[660]], torch.tensor([1.0, 0.0]))


def test_a_mask_narrower_than_the_main_lobe_is_refused():
    HarmonicTemplates(RATE, N_FFT, half_width=2 * RATE / N_FFT)
    with pytest.raises(ValueError, match=r"half_width is 10.0 Hz, but half the main lobe.*15.6 Hz"):
        HarmonicTemplates(RATE, N_FFT, half_width=10.0)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.1])
def test_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match=rf"decay must be in \(0, 1\], found {decay}"):
        HarmonicTemplates(RATE, N_FFT, decay=decay)


def test_drums_have_a_mask_by_frames_and_the_soft_mask_of_their_keys():
    roll = torch.zeros(2, N_PITCHES, 4)
    roll[0, 20, :2], roll[1, 17, 1:3] = 1.0, 0.5
    drums = HarmonicTemplates(RATE, N_FFT, unpitched=[1])
    plain = HarmonicTemplates(RATE, N_FFT)
    mask = drums.mask(roll)
    assert mask[1].all(0).tolist() == mask[1].any(0).tolist() == [False, True, True, False]
    assert torch.equal(mask[0], plain.mask(roll)[0])
    assert torch.equal(drums.soft_mask(roll), plain.soft_mask(roll))


def test_a_recording_tuned_a_semitone_higher_has_the_partials_of_the_next_key():
    plain, sharp = HarmonicTemplates(16000, 1024), HarmonicTemplates(16000, 1024, tuning_cents=100)
    torch.testing.assert_close(sharp.binary[:-1], plain.binary[1:])
    torch.testing.assert_close(sharp.spectra(4 * 88)[1][:-4], plain.spectra(4 * 88)[1][4:])
