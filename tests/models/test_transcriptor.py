"""The transcriptor and the activity classifier."""

import math

import pytest
import torch
from tiny import HOP, NAMES, NET, stft, transcriptor, write_folder

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.losses import TranscriptionLoss
from asteroid_scoresup.models import ActivityClassifier
from asteroid_scoresup.score import N_PITCHES, Notes, piano_roll


def noise(*shape, seed=0):
    return NOMINAL_RMS * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("n_samples", [100, 3000, 3001, 3071, 3072])
def test_logits_have_as_many_frames_as_the_roll(n_samples):
    model, wav = transcriptor().eval(), noise(2, n_samples)
    n_frames = stft().n_frames(n_samples)
    roll = piano_roll(Notes([0.0], [0.02], [60], [1], [90]), 3, n_frames, stft().grid)
    logits = model(wav)
    assert logits.shape == (2, *roll.shape) and roll.any()
    torch.testing.assert_close(model(wav[0]), logits[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(wav[:, None]), logits)


@torch.no_grad()
def test_the_output_is_independent_of_the_level():
    model, wav = transcriptor().eval(), noise(2, 3000)
    torch.testing.assert_close(model(0.01 * wav), model(wav), rtol=1e-3, atol=1e-4)
    rms = float(wav.square().mean().sqrt())
    assert not torch.allclose(model(0.01 * wav, level=rms), model(wav), atol=0.01)


@torch.no_grad()
@pytest.mark.parametrize("kind", [transcriptor, lambda: ActivityClassifier(NAMES, **NET)])
def test_notes_are_improbable_at_the_start(kind):
    torch.manual_seed(0)
    probability = kind().eval()(noise(1, 3000)).sigmoid()
    assert float(probability.mean()) == pytest.approx(1 / (1 + math.exp(3)), abs=0.03)


@torch.no_grad()
def test_the_activity_classifier_has_one_output_per_class():
    model = ActivityClassifier(NAMES, **NET).eval()
    assert model.outputs(torch.rand(2, 129, 7)).shape == (2, 3, 1, 7)
    assert transcriptor().outputs(torch.rand(2, 129, 7)).shape == (2, 3, N_PITCHES, 7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transcriptor", "classifier"])
def test_it_overfits_one_batch(tmp_path, kind):
    data = ScoreDataset(write_folder(tmp_path), "train", segment=2.0, hop_length=HOP, n_fft=256)
    wav, targets = torch.utils.data.default_collate([data[i] for i in range(2)])
    torch.manual_seed(0)
    model = transcriptor(bn_chan=32) if kind == "transcriptor" else ActivityClassifier(NAMES, **NET)
    magnitude, loss_func = stft().magnitude(stft()(wav)), TranscriptionLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(250):
        loss = loss_func(model.outputs(magnitude), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.03 * losses[0]:
            break
    assert losses[-1] < 0.03 * losses[0], losses[::40]
