"""The STFT: the same as asteroid_filterbanks', readable as amplitudes, and there and back again."""

import math
import warnings

import pytest
import torch
from asteroid_filterbanks import make_enc_dec
from asteroid_filterbanks.transforms import mag
from tiny import HOP, N_FFT, RATE, stft

from asteroid_scoresup.dsp import NOMINAL_RMS, STFT
from asteroid_scoresup.kernels.frames import CACHED_FRAMES
from asteroid_scoresup.score import frame_times


def noise(*shape, seed=0):
    return NOMINAL_RMS * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def in_their_layout(spectrum):
    """Real parts over imaginary parts, as asteroid_filterbanks has them."""
    return torch.cat([spectrum.real, spectrum.imag], dim=-2)


@pytest.mark.parametrize("n_fft, hop", [(256, 64), (512, 256), (400, 100)])
def test_matches_the_encoder_of_asteroid_filterbanks(n_fft, hop):
    wav, ours = noise(2, 5000), STFT(n_fft, hop, RATE)
    window = torch.hann_window(n_fft)
    options = dict(n_filters=n_fft, kernel_size=n_fft, stride=hop, sample_rate=float(RATE))
    encoder, _ = make_enc_dec("torch_stft", window=window.numpy(), **options)
    theirs = encoder(wav.unsqueeze(1))
    spectrum = ours(wav)
    torch.testing.assert_close(
        in_their_layout(spectrum), theirs, rtol=0, atol=5e-5 * float(theirs.abs().max())
    )
    expected = mag(theirs) * 2 / window.sum()
    torch.testing.assert_close(ours.magnitude(spectrum), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("amplitude", [0.5, 0.01])
def test_a_sinusoid_of_amplitude_a_reads_a(amplitude):
    time = torch.arange(RATE) / RATE
    spectrum = stft()(amplitude * torch.sin(2 * math.pi * 16 * RATE / N_FFT * time)[None])
    inner = stft().magnitude(spectrum)[0, :, 4:-4]
    torch.testing.assert_close(inner[16], torch.full_like(inner[16], amplitude), rtol=1e-3, atol=0)
    assert (inner.argmax(0) == 16).all()


@pytest.mark.parametrize("n_samples", [1, 100, 256, 257, 4000, 4037, 4095])
def test_there_and_back_again_edges_and_tail_included(n_samples):
    wav = noise(2, n_samples)
    spectrum = stft()(wav)
    back = stft().waveform(spectrum.unsqueeze(1), n_samples)
    assert spectrum.shape[-1] == stft().n_frames(n_samples)
    torch.testing.assert_close(back[:, 0], wav, rtol=0, atol=2e-6)


def test_inverse_is_that_of_the_filterbank():
    parts = torch.randn(2, 2, 3, N_FFT // 2 + 1, 20, generator=torch.Generator().manual_seed(0))
    spectrum = torch.complex(*parts)
    window = torch.hann_window(N_FFT)
    options = dict(n_filters=N_FFT, kernel_size=N_FFT, stride=HOP, sample_rate=float(RATE))
    _, decoder = make_enc_dec("torch_stft", window=window.numpy(), **options)
    expected = decoder(in_their_layout(spectrum))[..., : 19 * HOP]
    torch.testing.assert_close(stft().waveform(spectrum, 19 * HOP), expected, rtol=1e-5, atol=1e-5)


def test_a_long_window_goes_through_without_warnings():
    long = STFT(2048, 512, 16000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long.waveform(long(noise(1, 16000)).unsqueeze(1), 16000)


@pytest.mark.parametrize("frame", [5, 20])
def test_frames_are_centred_where_frame_times_says(frame):
    seconds = float(frame_times(30, HOP, RATE)[frame])
    wav = torch.zeros(1, 30 * HOP)
    wav[0, round(seconds * RATE)] = 1.0
    energy = stft().magnitude(stft()(wav))[0].square().sum(0)
    assert int(energy.argmax()) == frame
    torch.testing.assert_close(energy[frame - 1], energy[frame + 1], rtol=1e-3, atol=0)


def test_masks_of_one_and_zero():
    spectrum = stft()(noise(2, 4000))
    masks = torch.stack([torch.ones(2, 129, 63), torch.zeros(2, 129, 63)], dim=1)
    masked = stft().masked(spectrum, masks)
    assert torch.equal(masked[:, 0], spectrum)
    assert not masked[:, 1].any()


def test_a_mask_scales_the_magnitude_and_keeps_the_phase():
    spectrum = stft()(noise(1, 4000))
    masks = torch.rand(1, 2, 129, 63, generator=torch.Generator().manual_seed(1))
    masked = stft().masked(spectrum, masks)
    torch.testing.assert_close(masked.abs(), masks * spectrum.abs().unsqueeze(1))
    torch.testing.assert_close(masked.angle(), spectrum.angle().unsqueeze(1).expand_as(masks))


def test_autocast_does_not_reach_the_transform():
    wav = noise(1, 4000)
    exact = stft()(wav)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectrum = stft()(wav)
        back = stft().waveform(spectrum.unsqueeze(1), 4000)
    assert torch.equal(spectrum, exact)
    torch.testing.assert_close(back[:, 0], wav, rtol=0, atol=2e-6)


def test_gradient_of_the_magnitude_is_finite_at_silence():
    wav = torch.zeros(1, 1000, requires_grad=True)
    stft().magnitude(stft()(wav)).sum().backward()
    assert torch.isfinite(wav.grad).all()


@pytest.mark.parametrize("hop", [HOP, 48])
@pytest.mark.parametrize("n_samples", [300, 64 * 63, 64 * 64, 64 * 200 + 17])
def test_separating_by_pieces_of_frames_changes_nothing(n_samples, hop):
    transform = STFT(N_FFT, hop, RATE)
    spectrum = transform(noise(2, n_samples))
    masks = torch.rand(2, 3, *spectrum.shape[1:])
    whole = transform.waveform(transform.masked(spectrum, masks), n_samples)
    done, masked = [], transform.masked
    transform.masked = lambda *part: (done.append(part[0].shape[-1]), masked(*part))[1]
    with torch.no_grad():
        pieces = transform.separated(spectrum, masks, n_samples)
    torch.testing.assert_close(pieces, whole)
    n_frames = spectrum.shape[-1]
    assert sum(done) == n_frames and len(done) == -(-n_frames // CACHED_FRAMES)
    # What is learned from goes in one piece, and passes the same gradient on.
    gradients = []
    for separate in (transform.separated, lambda x, m, n: transform.waveform(masked(x, m), n)):
        learned = masks.clone().requires_grad_()
        separate(spectrum, learned, n_samples).square().sum().backward()
        gradients.append(learned.grad)
    torch.testing.assert_close(*gradients)
    assert done[-1] == n_frames


@torch.no_grad()
def test_masks_of_another_length_are_refused_and_constant_ones_are_not():
    spectrum = stft()(noise(1, 64 * 200))
    constant = torch.rand(1, 2, spectrum.shape[1], 1)
    expected = stft().waveform(stft().masked(spectrum, constant), 64 * 200)
    torch.testing.assert_close(stft().separated(spectrum, constant, 64 * 200), expected)
    with pytest.raises(ValueError, match="128 frames, the spectrum has 201"):
        stft().separated(spectrum, constant.expand(-1, -1, -1, 128), 64 * 200)


@torch.no_grad()
@pytest.mark.parametrize("n_samples", [1, 255, 256, 64 * 300 + 5])
def test_by_parts_it_is_the_transform_of_torch(n_samples):
    wav = noise(3, n_samples)
    longer = torch.nn.functional.pad(wav, (0, max(N_FFT - n_samples, 0)))
    expected = torch.stft(longer, N_FFT, HOP, window=stft().window, return_complex=True)
    found = stft()(wav)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert found.shape[-1] == stft().n_frames(n_samples) and found.stride() == expected.stride()
