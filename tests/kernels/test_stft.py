"""The STFT by a few frames at a time compared with torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.kernels.frames import CACHED_FRAMES
from asteroid_scoresup.kernels.stft import istft, plain_istft, plain_stft, stft

#: Window and hop, in samples: hops that divide the window and one that does not.
SIZES = [(16, 4), (16, 8), (20, 5), (16, 6)]


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def hann(n_fft):
    return torch.hann_window(n_fft, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.sampled_from(SIZES),
    batch=st.integers(1, 3),
    n_samples=st.integers(20, 1500),
    seed=st.integers(0, 1000),
)
def test_the_transform_is_that_of_torch(sizes, batch, n_samples, seed):
    n_fft, hop = sizes
    wav = noise(batch, n_samples, seed=seed)
    expected = plain_stft(wav, hann(n_fft), hop)
    found = stft(wav, hann(n_fft), hop)
    torch.testing.assert_close(found, expected)
    assert found.stride() == expected.stride()


def test_the_gradient_of_the_transform_is_that_of_torch():
    gradients = []
    for transform in (stft, plain_stft):
        wav = noise(2, 300).requires_grad_()
        transform(wav, hann(16), 4).abs().square().sum().backward()
        gradients.append(wav.grad)
    torch.testing.assert_close(*gradients)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.sampled_from(SIZES),
    n_frames=st.integers(8, 3 * CACHED_FRAMES),
    cuts=st.lists(st.integers(1, 200), max_size=3),
    seed=st.integers(0, 1000),
)
def test_the_inverse_is_that_of_torch_however_the_frames_are_grouped(sizes, n_frames, cuts, seed):
    n_fft, hop = sizes
    spectrum = torch.complex(*noise(2, 2, 3, n_fft // 2 + 1, n_frames, seed=seed))
    n_samples = (n_frames - 1) * hop
    expected = plain_istft(spectrum, hann(n_fft), hop, n_samples)
    edges = sorted({0, n_frames, *(cut for cut in cuts if cut < n_frames)})
    groups = [spectrum[..., start:stop] for start, stop in zip(edges, edges[1:])]
    found = istft(iter(groups), hann(n_fft), hop, n_frames)
    torch.testing.assert_close(found[..., :n_samples], expected)


@pytest.mark.parametrize("n_fft, hop", SIZES)
def test_the_gradient_of_the_inverse_is_that_of_torch(n_fft, hop):
    gradients, n_samples = [], 29 * hop
    weight = noise(2, 3, n_samples, seed=1)
    for inverse in (
        lambda x: istft([x], hann(n_fft), hop, 30)[..., :n_samples],
        lambda x: plain_istft(x, hann(n_fft), hop, n_samples),
    ):
        spectrum = torch.complex(*noise(2, 2, 3, n_fft // 2 + 1, 30)).requires_grad_()
        (inverse(spectrum) * weight).sum().backward()
        gradients.append(spectrum.grad)
    torch.testing.assert_close(*gradients)
