"""Masks averaged with those of a factorization that starts from the transcription."""

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET, RATE, separator, stft, tone, transcriptor

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.inference.factorization import NoteFactorization
from asteroid_scoresup.models import TCNSeparator, WaveformSeparator, pack
from asteroid_scoresup_cli import main

#: Pitch and sounding seconds of each class; their partials overlap.
PARTS = {0: (45, 0.2, 2.8), 1: (57, 0.2, 1.4), 2: (64, 1.4, 2.8)}
SECONDS = 3.0


def stems():
    made = np.zeros((3, int(SECONDS * RATE)))
    for index, (pitch, start, stop) in PARTS.items():
        wav = tone(pitch, stop - start)
        made[index, int(start * RATE) :][: len(wav)] = wav[: made.shape[1] - int(start * RATE)]
    return torch.from_numpy(made).float()


class Knowing(torch.nn.Module):
    """A transcriptor that knows the notes."""

    def __init__(self, n_frames, certainty=6.0):
        super().__init__()
        self.stft = stft()
        per_second = RATE / self.stft.hop_length
        logits = torch.full((1, 2, 3, 88, n_frames), -certainty)
        for index, (pitch, start, stop) in PARTS.items():
            first, last = int(start * per_second), int(stop * per_second)
            logits[0, 0, index, pitch - 21, first:last] = certainty
            logits[0, 1, index, pitch - 21, first : first + 2] = certainty
        self.logits = logits

    def heads(self, magnitude):
        return self.logits

    def outputs(self, magnitude):
        return self.logits[:, 0]


@pytest.fixture(scope="module")
def song():
    grid, true = stft(), stems()
    magnitudes = grid.magnitude(grid(true))
    mixture = grid.magnitude(grid(true.sum(0, keepdim=True)))
    return mixture, magnitudes


def distance(masks, song):
    mixture, magnitudes = song
    return float((masks[0] * mixture - magnitudes).square().sum() / magnitudes.square().sum())


def test_it_improves_masks_that_know_nothing(song):
    knowing = Knowing(song[0].shape[-1])
    even = torch.full((1, 3, *song[0].shape[1:]), 1 / 3)
    averaged = NoteFactorization(knowing)(song[0], even)
    assert distance(averaged, song) < 0.5 * distance(even, song)
    factorized = 2 * averaged - even
    assert factorized.min() >= -1e-5 and factorized.sum(1).max() <= 1 + 1e-4
    assert distance(factorized, song) < 0.3 * distance(even, song)


def test_classes_without_pitch_keep_their_masks(song):
    masks = torch.rand(1, 3, *song[0].shape[1:], generator=torch.Generator().manual_seed(0))
    averaged = NoteFactorization(Knowing(song[0].shape[-1]), unpitched=[1])(song[0], masks)
    torch.testing.assert_close(averaged[:, 1], masks[:, 1])
    assert (averaged[:, 0] - masks[:, 0]).abs().max() > 0.1


def test_without_notes_the_masks_stay(song):
    nothing = Knowing(song[0].shape[-1])
    nothing.logits = torch.full_like(nothing.logits, -9.0)
    masks = torch.rand(1, 3, *song[0].shape[1:])
    assert NoteFactorization(nothing)(song[0], masks) is masks


def test_a_transcriptor_without_onsets(song):
    knowing = Knowing(song[0].shape[-1])
    knowing.logits = knowing.logits[:, :1]
    even = torch.full((1, 3, *song[0].shape[1:]), 1 / 3)
    averaged = NoteFactorization(knowing)(song[0], even)
    assert distance(averaged, song) < 0.5 * distance(even, song)


def test_the_separator_uses_it_and_says_so():
    wav = stems().sum(0).numpy()
    plain = Separator(separator(), transcriptor())
    both = Separator(separator(), transcriptor(), factorize=True)
    assert plain.identity() != both.identity()
    one, other = plain.separate(wav, RATE), both.separate(wav, RATE)
    assert set(one) == set(other) == set(NAMES)
    assert any(np.abs(one[name] - other[name]).max() > 1e-3 for name in NAMES)
    assert all(np.isfinite(stem).all() and stem.shape == wav.shape for stem in other.values())


def test_drums_are_known_by_their_program():
    both = Separator(separator(), transcriptor(), None, {"guitar": 128, "bass": 32}, factorize=True)
    assert both.factorization.unpitched == [1]


def test_what_it_needs_is_said():
    with pytest.raises(ValueError, match="and its transcriptor"):
        Separator(separator(), factorize=True)
    net = WaveformSeparator(NAMES, "OpenUnmix", dict(n_fft=256, hop_length=64), RATE)
    with pytest.raises(ValueError, match="predicts masks"):
        Separator(net, transcriptor(), factorize=True)
    with pytest.raises(ValueError, match="a stream does not have"):
        Separator(separator(), transcriptor(), factorize=True).stream(RATE)


def test_the_command(tmp_path, capsys):
    sf.write(tmp_path / "song.wav", stems().sum(0).numpy(), RATE)
    torch.save(pack(separator(), transcriptor()), tmp_path / "model.pth")
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "alone.pth")
    command = ["separate", str(tmp_path / "song.wav"), "-o", str(tmp_path / "out")]
    model = ["--model", str(tmp_path / "model.pth"), "--quiet"]
    assert main([*command, *model]) == 0
    before = sf.read(tmp_path / "out" / "song" / "bass.wav")[0]
    assert main([*command, *model, "--factorize", "--overwrite"]) == 0
    after = sf.read(tmp_path / "out" / "song" / "bass.wav")[0]
    assert np.abs(before - after).max() > 1e-3
    assert main([*command, "--model", str(tmp_path / "alone.pth"), "--factorize"]) != 0
    assert "and its transcriptor" in capsys.readouterr().err
    score = ["--score", "song.mid", "--factorize"]
    assert main([*command, *score]) != 0
    assert "--factorize is for models" in capsys.readouterr().err
