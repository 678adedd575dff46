"""The loss of X-UMX and SI-SDR compared with NumPy, with silent stems."""

import itertools

import numpy as np
import pytest
import torch
from asteroid.losses import singlesrc_neg_sisdr
from tiny import stft

from asteroid_scoresup.dsp import Spectrograms
from asteroid_scoresup.losses import ScoreSupervisedLoss, multi_domain_loss, si_sdr_loss

LENGTH = 1000


def magnitude(wav):
    """Magnitudes of a plain STFT: centered, Hann, no scale."""
    frames = torch.stft(wav.double(), 256, 64, window=torch.hann_window(256).double(),
                        return_complex=True)  # fmt: skip
    return frames.abs()


def in_numpy(estimates, stems, mixture, time_weight=10.0):
    n_src, values = estimates.shape[1], []
    for size in range(1, max(n_src, 2)):
        for chosen in itertools.combinations(range(n_src), size):
            estimate, stem = estimates[:, list(chosen)].sum(1), stems[:, list(chosen)].sum(1)
            spectral = ((magnitude(estimate) - magnitude(stem)) ** 2).mean().item()
            clips = []
            for s, s_hat, x in zip(stem.numpy(), estimate.numpy(), mixture.numpy()):
                z, z_hat = x - s, x - s_hat
                alpha = (s @ s) / (s @ s + z @ z)

                def cosine(a, b):
                    norm = np.linalg.norm(a) * np.linalg.norm(b)
                    return a @ b / norm if norm else 0.0

                clips.append(-alpha * cosine(s, s_hat) - (1 - alpha) * cosine(z, z_hat))
            values.append(spectral + time_weight * np.mean(clips))
    return np.mean(values)


@pytest.mark.parametrize("n_src", [1, 2, 3, 4])
@pytest.mark.parametrize("silent", [False, True])
def test_multi_domain_loss_matches_numpy(n_src, silent):
    generator = torch.Generator().manual_seed(n_src)
    stems = torch.randn(2, n_src, LENGTH, generator=generator)
    if silent:
        stems[:, 0] = 0
    estimates = stems + 0.5 * torch.randn(2, n_src, LENGTH, generator=generator)
    mixture = stems.sum(1) + 0.1 * torch.randn(2, LENGTH, generator=generator)
    found = multi_domain_loss(estimates, stems, mixture, magnitude)
    assert found.item() == pytest.approx(in_numpy(estimates, stems, mixture), rel=1e-4)


def test_true_stems_have_the_lowest_value():
    stems = torch.randn(2, 3, LENGTH)
    mixture = stems.sum(1)
    best = multi_domain_loss(stems, stems, mixture, magnitude)
    assert best.item() == pytest.approx(-10.0, abs=1e-4)
    worse = multi_domain_loss(stems + 0.1 * torch.randn(2, 3, LENGTH), stems, mixture,
                              magnitude)  # fmt: skip
    assert worse > best


def test_si_sdr_leaves_out_silent_stems():
    stems, estimates = torch.randn(2, 3, LENGTH), torch.randn(2, 3, LENGTH)
    stems[0, 1] = 0
    kept = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    expected = np.mean([
        singlesrc_neg_sisdr(estimates[b, i][None], stems[b, i][None]).item() for b, i in kept
    ])  # fmt: skip
    assert si_sdr_loss(estimates, stems).item() == pytest.approx(expected, rel=1e-5)
    estimates.requires_grad_(True)
    nothing = si_sdr_loss(estimates, torch.zeros(2, 3, LENGTH))
    nothing.backward()
    assert nothing == 0 and not estimates.grad.any()


@pytest.mark.parametrize("term", ["si_sdr", "multi_domain"])
def test_they_are_terms_of_the_wrapper(term):
    torch.manual_seed(0)
    sources = torch.randn(2, 3, LENGTH)
    frames = stft().n_frames(LENGTH)
    roll = torch.zeros(2, 3, 88, frames)
    targets = {"mixture": sources.sum(1), "roll": roll, "sounding": roll, "sources": sources}
    loss = ScoreSupervisedLoss({term: 1.0}, stft())
    estimates = torch.randn(2, 3, LENGTH)
    if term == "si_sdr":
        expected = si_sdr_loss(estimates, sources)
    else:
        expected = multi_domain_loss(estimates, sources, targets["mixture"], magnitude).float()
    torch.testing.assert_close(loss(estimates, targets), expected, rtol=1e-4, atol=1e-4)
    # The target of a residual source is the mixture without the stems.
    rest = ScoreSupervisedLoss({term: 1.0}, stft(), residual="source")
    more = {**targets, "mixture": targets["mixture"] + torch.randn(2, LENGTH)}
    whole = torch.cat([sources, (more["mixture"] - sources.sum(1)).unsqueeze(1)], 1)
    assert rest(whole, more) < rest(whole + 0.1 * torch.randn_like(whole), more)
    with pytest.raises(ValueError, match="need waveforms, and this model gives magnitudes"):
        spectra = torch.rand(2, 3, 129, frames)
        loss(Spectrograms(spectra.sum(1), spectra), targets)
    with pytest.raises(ValueError, match=r"targets\['sources'\]"):
        loss(estimates, {k: v for k, v in targets.items() if k != "sources"})


def test_waveform_terms_alone_compute_no_spectrum():
    waveforms, roll = torch.randn(2, 3, LENGTH), torch.zeros(2, 3, 88, stft().n_frames(LENGTH))
    targets = {"mixture": waveforms.sum(1), "sources": waveforms, "roll": roll, "sounding": roll}
    loss = ScoreSupervisedLoss({"si_sdr": 1.0}, stft())
    loss.stft.forward = None  # would raise if it were called
    estimates = waveforms + 0.1 * torch.randn(2, 3, LENGTH)
    assert loss(estimates, targets) == si_sdr_loss(estimates, waveforms)
    with pytest.raises(ValueError, match="must have the same classes and the same STFT"):
        loss(estimates[..., :500], targets)
    with pytest.raises(ValueError, match="must have the same classes and the same STFT"):
        loss(estimates[:, :2], targets)
