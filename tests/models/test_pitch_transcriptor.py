"""The transcriptor that shares its weights over pitch."""

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, NAMES, NET, RATE, tone, write_folder

from asteroid_scoresup.data import ScoreDataset, make_loader
from asteroid_scoresup.engine import TranscriptorTrainingWrapper
from asteroid_scoresup.engine.build import build_separator
from asteroid_scoresup.kernels.frames import CACHED_PITCH_FRAMES
from asteroid_scoresup.losses import TranscriptionLoss
from asteroid_scoresup.models import PitchTranscriptor, ScoreTranscriptor, SourceModel
from asteroid_scoresup.models.pitch_model import (
    BINS_PER_SEMITONE,
    log_frequency_matrix,
)

SIZES = dict(NET, pitch_chan=8)


def network(seed=0, **changes):
    torch.manual_seed(seed)
    net = PitchTranscriptor(NAMES, **{**SIZES, **changes}).eval()
    # Blocks start as the identity: with random weights every path counts.
    for block in net.blocks:
        torch.nn.init.normal_(block.out, std=0.2)
    return net


def magnitudes(frames=40, batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, NET["n_fft"] // 2 + 1, frames, generator=generator) * 0.05


def test_filters_are_centered_on_their_pitch():
    matrix = log_frequency_matrix(2048, 16000)
    frequencies = torch.arange(1025) * 16000 / 2048
    for pitch in (69, 81, 93, 105):
        center = matrix[(pitch - 21) * BINS_PER_SEMITONE + 1]
        found = float((center * frequencies).sum() / center.sum())
        assert found == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.003)
    torch.testing.assert_close(matrix.square().sum(1), torch.ones(len(matrix)))


def test_a_spectrum_moved_by_semitones_moves_the_notes():
    net = network(sample_rate=16000, n_fft=2048, hop_length=512)
    torch.nn.init.zeros_(net.context.weight)  # what depends on absolute frequency
    spectrum = torch.rand(30, 1, len(net.log_frequency))
    spectrum[..., :30] = spectrum[..., -60:] = 0
    moved = spectrum.roll(5 * BINS_PER_SEMITONE, -1)
    with torch.no_grad():
        one, other = (net.over_pitches(s, torch.zeros(30, 1, 48)) for s in (spectrum, moved))
    one, other = one[..., 30:45, :], other[..., 35:50, :]
    assert (one - other).abs().max() < 0.1 * one.std()  # a little is seen of the ends of the axis
    for block in (block for block in net.blocks if block.compare is not None):
        torch.nn.init.zeros_(block.compare.weight)  # what looks beyond the partials
    with torch.no_grad():
        one, other = (net.over_pitches(s, torch.zeros(30, 1, 48)) for s in (spectrum, moved))
    torch.testing.assert_close(one[..., 30:45, :], other[..., 35:50, :])


def test_chunks_with_context_give_the_whole():
    net, mixture = network(), magnitudes(90)
    reach = net.receptive_field
    with torch.no_grad():
        whole = net.heads(mixture)
        part = net.heads(mixture[..., 40 - reach : 50 + reach])
    torch.testing.assert_close(part[..., reach : reach + 10], whole[..., 40:50])


def test_many_frames_are_computed_in_groups_with_the_result_of_all_together():
    net, mixture = network(), magnitudes(2 * CACHED_PITCH_FRAMES + 9)
    with torch.no_grad():
        grouped = net.heads(mixture)
    torch.testing.assert_close(grouped, net.heads(mixture).detach())  # gradients need all together


def test_no_frame_beyond_the_receptive_field_matters_and_the_last_one_does():
    net = network()
    mixture = magnitudes(90).requires_grad_()
    net.heads(mixture)[..., 45].sum().backward()
    seen = torch.nonzero(mixture.grad.abs().sum((0, 1)) > 0).flatten()
    assert seen.min() == 45 - net.receptive_field
    assert seen.max() == 45 + net.receptive_field


def test_gradients_reach_masked_magnitudes():
    net, mixture = network(), magnitudes()
    mask = torch.full_like(mixture, 0.5, requires_grad=True)
    net.outputs(mask * mixture).sum().backward()
    assert torch.isfinite(mask.grad).all() and (mask.grad != 0).float().mean() > 0.9


def test_shapes_of_all_inputs():
    net = network()
    for shape in ((2000,), (2, 2000), (2, 1, 2000)):
        batch = shape[:1] if len(shape) > 1 else ()
        probs = net.note_probs(torch.randn(shape))
        assert probs.shape == (*batch, 2, 3, 88, 32)
        frames = net(torch.randn(shape))
        assert frames.shape == (*batch, 3, 88, 32)


def test_the_frames_are_the_first_head():
    net, wav = network(), torch.randn(2000)
    with torch.no_grad():
        torch.testing.assert_close(net.note_probs(wav)[0], net(wav).sigmoid())


def test_it_is_saved_and_restored(tmp_path):
    net, mixture = network(), magnitudes()
    torch.save(net.serialize(), tmp_path / "model.pth")
    for kind in (PitchTranscriptor, ScoreTranscriptor, SourceModel):
        again = kind.from_pretrained(tmp_path / "model.pth")
        assert type(again) is PitchTranscriptor and again.pitch_chan == 8
        with torch.no_grad():
            torch.testing.assert_close(again.heads(mixture), net.heads(mixture))


def test_at_most_a_million_weights_in_the_size_of_the_recipe():
    sizes = dict(n_blocks=6, n_repeats=2, bn_chan=128, hid_chan=256)
    net = PitchTranscriptor(NAMES, **sizes)
    assert sum(p.numel() for p in net.parameters()) < 1e6


def test_a_tcn_cannot_start_from_its_trunk():
    with pytest.raises(ValueError, match="The trunks differ"):
        build_separator("tcn", dict(NET, sources=NAMES), trunk=network())


@pytest.mark.slow
def test_it_overfits_one_batch(tmp_path):
    torch.manual_seed(0)
    wrapper = TranscriptorTrainingWrapper(PitchTranscriptor(NAMES, **SIZES))
    shared = dict(segment=1.0, n_fft=N_FFT, hop_length=HOP, onsets=True)
    dataset = ScoreDataset(write_folder(tmp_path), "train", **shared)
    wav, targets = next(iter(make_loader(dataset, 4)))
    optimizer = torch.optim.Adam(wrapper.parameters(), 5e-3)
    losses = []
    for _ in range(50):
        loss = TranscriptionLoss()(wrapper(wav), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.4 * losses[0]:
            break
    assert losses[-1] < 0.4 * losses[0]
    used = [name for name, p in wrapper.named_parameters() if p.grad is None or not p.grad.any()]
    assert not used  # every weight has a gradient


@pytest.mark.slow
def test_a_note_it_has_learned_at_one_pitch_is_found_at_others():
    """Trained on a few pitches of a class it reads the pitches between, which a TCN cannot."""

    def wave(pitches):
        return torch.from_numpy(np.concatenate([tone(p, 0.4, RATE) for p in pitches]))

    def roll(pitches, n_frames):
        target = torch.zeros(1, 88, n_frames)
        for place, pitch in enumerate(pitches):
            target[0, pitch - 21, round(place * 25) : round((place + 1) * 25)] = 1
        return target

    def accuracy(net, pitches):
        probs = net.note_probs(wave(pitches))[0]
        target = roll(pitches, probs.shape[-1])
        found = probs > 0.4
        return float((found & (target > 0)).sum() / (found | (target > 0)).sum())

    known, new = (60, 63, 66, 69, 72, 75), (62, 64, 67, 70, 73)
    scores = {}
    for kind, sizes in ((PitchTranscriptor, SIZES), (ScoreTranscriptor, NET)):
        torch.manual_seed(0)
        net = kind(["tone"], **sizes)
        optimizer = torch.optim.Adam(net.parameters(), 5e-3)
        wav = wave(known)
        for _ in range(60):
            scaled, _ = net.normalize(wav[None])
            logits = net.heads(net.stft.magnitude(net.stft(scaled)))[:, 0]
            target = roll(known, logits.shape[-1])[None]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad()
            (1000 * loss).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            scores[kind] = accuracy(net, new)
    assert scores[PitchTranscriptor] > 0.5 > 2 * scores[ScoreTranscriptor]
