"""The separator that shares its weights over pitch."""

import pytest
import torch
from tiny import NAMES, NET, RATE

from asteroid_scoresup.inference import Separator
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.models import (
    PitchSeparator,
    PitchTranscriptor,
    ScoreTranscriptor,
    SourceModel,
    TCNSeparator,
    load_package,
    pack,
    save_model,
    unpack,
)
from asteroid_scoresup.models.pitch_model import BINS_PER_SEMITONE, log_frequency_matrix
from asteroid_scoresup.models.pitch_separator import bins_to_freqs

SIZES = dict(NET, pitch_chan=8)


def network(seed=0, **changes):
    torch.manual_seed(seed)
    net = PitchSeparator(NAMES, **{**SIZES, **changes}).eval()
    # Blocks start as the identity: with random weights every path counts.
    for block in [*net.blocks, *net.partial_blocks]:
        torch.nn.init.normal_(block.out, std=0.2)
    return net


def magnitudes(frames=40, batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, NET["n_fft"] // 2 + 1, frames, generator=generator) * 0.05


@pytest.mark.parametrize("n_fft, rate", [(2048, 16000), (4096, 44100), (512, 8000)])
def test_interpolation_keeps_a_mask_that_is_the_same_everywhere(n_fft, rate):
    weights = bins_to_freqs(n_fft, rate, len(log_frequency_matrix(n_fft, rate)))
    assert weights.shape[0] == n_fft // 2 + 1
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    assert (weights >= 0).all()


def test_interpolation_puts_a_bin_at_its_frequency():
    weights = bins_to_freqs(2048, 16000, 294)
    for pitch in (69, 81, 93, 105):
        column = weights[:, (pitch - 21) * BINS_PER_SEMITONE + 1]
        hertz = float(column.argmax()) * 16000 / 2048
        assert hertz == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=16000 / 2048)


@pytest.mark.parametrize("mask_act", ["sigmoid", "softmax"])
def test_masks_are_in_range_and_softmax_sums_to_one(mask_act):
    net = network(mask_act=mask_act)
    with torch.no_grad():
        masks = net.masks(magnitudes(batch=2))
    assert masks.shape == (2, len(NAMES), NET["n_fft"] // 2 + 1, 40)
    assert (masks > 0).all() and (masks < 1).all() and masks.std() > 0.01
    sums = masks.sum(1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5) == (mask_act == "softmax")


def test_chunks_with_context_give_the_whole():
    net, mixture = network(), magnitudes(90)
    reach = net.receptive_field
    with torch.no_grad():
        whole = net.masks(mixture)
        part = net.masks(mixture[..., 40 - reach : 50 + reach])
    torch.testing.assert_close(part[..., reach : reach + 10], whole[..., 40:50])


def test_no_frame_beyond_the_receptive_field_matters_and_the_last_one_does():
    net = network()
    mixture = magnitudes(90).requires_grad_()
    net.masks(mixture)[..., 45].sum().backward()
    seen = torch.nonzero(mixture.grad.abs().sum((0, 1)) > 0).flatten()
    assert seen.min() == 45 - net.receptive_field
    assert seen.max() == 45 + net.receptive_field


def test_it_starts_from_all_layers_of_a_pitch_transcriptor():
    torch.manual_seed(3)
    net, transcriptor = network(), PitchTranscriptor(NAMES, **SIZES)
    for block in transcriptor.blocks:
        torch.nn.init.normal_(block.out, std=0.2)
    net.load_trunk(transcriptor)
    spectrum = net.log_spectrum(magnitudes())
    n_pitches = min(net.n_pitches, transcriptor.n_pitches)
    for one in (net, transcriptor):  # of pitches beyond the others' range a little is seen
        for block in one.blocks:
            if block.compare is not None:
                torch.nn.init.zeros_(block.compare.weight)
    with torch.no_grad():
        mine = net._features(magnitudes())[0]
        its = transcriptor.pitch_features(spectrum, transcriptor.trunk(spectrum))
    torch.testing.assert_close(mine[:, :, :n_pitches], its[:, :, :n_pitches])


def test_it_does_not_start_from_networks_without_such_layers():
    with pytest.raises(ValueError, match="--t_model pitch"):
        network().load_trunk(ScoreTranscriptor(NAMES, **NET))
    with pytest.raises(ValueError, match="The layers differ in"):
        network().load_trunk(PitchTranscriptor(NAMES, **{**SIZES, "pitch_chan": 4}))


def test_it_is_saved_and_restored(tmp_path):
    net, mixture = network(mask_act="softmax"), magnitudes()
    save_model(net, tmp_path / "model.pth")
    for kind in (PitchSeparator, TCNSeparator, SourceModel):
        again = kind.from_pretrained(tmp_path / "model.pth")
        assert type(again) is PitchSeparator
        assert again.get_model_args() == net.get_model_args()
        with torch.no_grad():
            torch.testing.assert_close(again.masks(mixture), net.masks(mixture))


def test_a_package_with_it_separates_songs(tmp_path):
    net = network()
    torch.save(pack(net, ScoreTranscriptor(NAMES, **NET)), tmp_path / "model.pth")
    assert isinstance(unpack(load_package(tmp_path / "model.pth")).separator, PitchSeparator)
    song = torch.randn(1, 3 * RATE) * 0.1
    stems = Separator.from_pretrained(tmp_path / "model.pth").separate(song, RATE)
    with torch.no_grad():
        expected = net(song[0])
    for estimate, name in zip(expected, NAMES, strict=True):
        torch.testing.assert_close(torch.as_tensor(stems[name][0]), estimate, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_it_learns_a_batch():
    torch.manual_seed(0)
    net = PitchSeparator(NAMES, **SIZES)
    mixture = magnitudes(batch=2)
    target = torch.zeros(2, len(NAMES), *mixture.shape[1:])
    target[:, 0, : mixture.shape[1] // 4] = 1
    target[:, 1, mixture.shape[1] // 4 :] = 1
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(net.masks(mixture), target)
        loss.backward()
        optimizer.step()
        if loss < 0.1:
            break
    assert loss < 0.1
    unused = [name for name, p in net.named_parameters() if p.grad is None]
    assert not unused


def test_the_transcriptor_of_one_that_predicts_notes():
    net, wav = network(predicts_notes=True), torch.randn(2, 2000)
    torch.nn.init.zeros_(net.register[88:])
    for block in net.blocks:
        if (
            block.compare is not None
        ):  # pitches beyond 88 look down, and are not in the transcriptor
            torch.nn.init.zeros_(block.compare.weight)
    transcriptor = net.transcriptor()
    assert type(transcriptor) is PitchTranscriptor and not transcriptor.training
    with torch.no_grad():
        notes = net.spectrograms(wav).notes
        torch.testing.assert_close(notes, transcriptor.heads(net.stft.magnitude(net.stft(wav))))
    torch.nn.init.zeros_(net.front[0].weight)
    assert (transcriptor.front[0].weight != 0).any()
    with pytest.raises(ValueError, match="term `notes`"):
        network().transcriptor()


def test_its_notes_learn_by_the_term_of_the_loss_and_masks_do_not():
    net, wav = PitchSeparator(NAMES, **SIZES, predicts_notes=True), torch.randn(2, 2000)
    made = net.spectrograms(wav)
    roll = (torch.rand(2, len(NAMES), 88, made.mixture.shape[-1]) > 0.9).float()
    loss = ScoreSupervisedLoss({"notes": 1.0}, net.stft)
    value = loss(made, {"roll": roll, "onsets": roll})
    entropy = torch.nn.functional.binary_cross_entropy(
        made.notes.sigmoid(), roll.unsqueeze(1).expand_as(made.notes), reduction="sum"
    ) / (2 * roll.shape[-1])
    torch.testing.assert_close(value, entropy, rtol=1e-3, atol=0)
    value.backward()
    assert net.head[2].weight.grad.abs().sum() > 0 and net.front[0].weight.grad.abs().sum() > 0
    assert net.mask_head[0].weight.grad is None
    with pytest.raises(ValueError, match="a separator that predicts notes"):
        loss(TCNSeparator(NAMES, **NET).spectrograms(wav), {"roll": roll, "onsets": roll})
    with pytest.raises(ValueError, match="onsets=True"):
        loss(net.spectrograms(wav), {"roll": roll})
