"""Modules between network and System."""

import torch
from tiny import separator, stft, transcriptor

from asteroid_scoresup.dsp import Spectrograms
from asteroid_scoresup.engine import SeparatorTrainingWrapper, TranscriptorTrainingWrapper

WAV = 0.1 * torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))


def test_separator_wrapper_returns_masked_magnitudes():
    model = separator()
    mixture, sources = estimates = SeparatorTrainingWrapper(model)(WAV)
    assert isinstance(estimates, Spectrograms)
    magnitude = stft().magnitude(stft()(WAV))
    torch.testing.assert_close(mixture, magnitude)
    torch.testing.assert_close(sources, model.masks(magnitude) * magnitude[:, None])
    # Clips are at the nominal level already: nothing levels them again.
    assert not torch.allclose(
        SeparatorTrainingWrapper(model)(0.1 * WAV).sources, 0.1 * sources, rtol=0.01
    )


@torch.no_grad()
def test_transcriptor_wrapper_does_not_change_the_level_of_segments():
    front = TranscriptorTrainingWrapper(transcriptor())
    magnitude = stft().magnitude(stft()(WAV))
    torch.testing.assert_close(front(WAV), front.transcriptor.outputs(magnitude))
    assert not torch.allclose(front(0.1 * WAV), front(WAV), atol=0.01)
