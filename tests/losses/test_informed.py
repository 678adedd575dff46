"""The score-informed loss, and the masks on disk that it reads."""

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, separator, sharing_by_bins, stft, write_folder

from asteroid_scoresup.data import ScoreDataset, ScoreInformedMasks
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.manifest import Manifest
from asteroid_scoresup.losses import ScoreSupervisedLoss, informed_loss, mask_kl_loss
from asteroid_scoresup.score import hit_roll


@pytest.fixture
def manifest(tmp_path):
    return write_folder(tmp_path, stems=False)


def test_the_formula(manifest):
    rng = np.random.default_rng(0)
    mixture = rng.random((2, 5, 4))
    estimates = 1.2 * rng.random((2, 3, 5, 4)) * mixture[:, None]
    target_masks = rng.dirichlet([1, 1, 1], (2, 5, 4)).transpose(0, 3, 1, 2)
    target_masks[:, :, 2] = 0  # a bin without a target
    sounding = np.zeros((2, 3, 88, 4))
    sounding[:, 0, 10] = 1
    sounding[1, 2, 20, :2] = 1
    expected = sharing_by_bins(estimates, mixture, target_masks, sounding)
    found = informed_loss(*map(torch.from_numpy, (estimates, mixture, target_masks, sounding)))
    assert float(found) == pytest.approx(expected)


def test_segments_have_the_masks_of_their_position(manifest):
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)
    data = ScoreDataset(
        manifest,
        "train",
        segment=1.024,
        n_segments=8,
        n_fft=N_FFT,
        hop_length=HOP,
        soft_masks=masks,
    )
    whole = ScoreDataset(manifest, "train", segment=None, n_fft=N_FFT, hop_length=HOP)
    for index in range(8):
        mixture, targets = data[index]
        places = []
        for number, (song, _) in enumerate(whole):
            windows = song.unfold(0, len(mixture), HOP)
            scale = mixture.norm() / windows.norm(dim=1, keepdim=True).clamp(min=1e-9)
            error = (windows * scale - mixture).norm(dim=1)
            places.append((float(error.min()), number, int(error.argmin())))
        _, number, first = min(places)
        expected = masks.read(data.tracks[number])[..., first : first + 65]
        # A segment is normalized by itself: masks of very soft bins may differ.
        agree = ((targets["soft_masks"] - expected).abs() < 1e-3).float().mean()
        assert agree > 0.99


@pytest.mark.slow
def test_factors_are_fitted_once_by_any_number_of_processes(manifest):
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)
    tracks = manifest.select("train")
    masks.fit_all(tracks, jobs=2, progress=False)
    before = {t.id: (masks.path(t).stat().st_mtime_ns, masks.read(t)) for t in tracks}
    masks.fit_all(tracks, jobs=1, progress=False)
    for track in tracks:
        assert masks.path(track).stat().st_mtime_ns == before[track.id][0]
        masks.fit(track)
        again = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6).read(track)
        torch.testing.assert_close(again, before[track.id][1], atol=2e-3, rtol=0)
    other = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=5)
    assert other.path(tracks[0]) != masks.path(tracks[0])


@pytest.mark.slow
def test_it_overfits_one_batch_without_stems(manifest):
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)
    data = ScoreDataset(
        manifest, "train", segment=1.024, n_fft=N_FFT, hop_length=HOP, soft_masks=masks
    )
    batch = torch.utils.data.default_collate([data[i] for i in range(4)])
    model, loss = separator(), ScoreSupervisedLoss({"informed": 1.0}, stft())
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    values = []
    for _ in range(120):
        value = loss(model.spectrograms(batch[0]), batch[1])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
        if values[-1] < 0.45 * values[0]:
            break
    assert values[-1] < 0.45 * values[0]


def test_masks_that_do_not_fit_the_dataset_are_refused(manifest):
    masks = ScoreInformedMasks(manifest, N_FFT, HOP)
    with pytest.raises(ValueError, match="masks are for an STFT of 256/64 samples"):
        ScoreDataset(manifest, "train", n_fft=512, hop_length=128, soft_masks=masks)
    with pytest.raises(ValueError, match="neither stems nor masks"):
        ScoreDataset(manifest, "train", n_fft=N_FFT, hop_length=HOP, soft_masks=masks, remix=0.5)
    data = ScoreDataset(manifest, "train", segment=1.024, n_fft=N_FFT, hop_length=HOP)
    mixture, targets = torch.utils.data.default_collate([data[0]])
    with pytest.raises(ValueError, match="reads targets\\['soft_masks'\\]"):
        loss = ScoreSupervisedLoss({"informed": 1.0}, stft())
        loss(separator().spectrograms(mixture), targets)


@pytest.mark.parametrize("semitones", [-3, 2, 5])
def test_masks_at_another_speed_follow_the_audio(manifest, semitones):
    speed = 2 ** (semitones / 12)
    informed = ScoreInformedMasks(manifest, N_FFT, HOP)
    track = manifest.select("train")[0]
    plain = informed.read(track)
    first, n_frames = 20, 60
    found = informed.read(track, first, n_frames, speed)
    assert found.shape == (3, N_FFT // 2 + 1, n_frames)
    # Bin f of frame t comes from bin f / speed of frame first + t * speed.
    frame = (first + speed * torch.arange(n_frames)).round().long()
    bins = (torch.arange(N_FFT // 2 + 1) / speed).round().long()
    known = bins < N_FFT // 2
    expected = plain[:, bins.clamp(max=N_FFT // 2)][:, :, frame]
    assert (found[:, known] - expected[:, known]).abs().mean() < 0.1
    moved = plain[:, :, first : first + n_frames]
    assert (found - expected)[:, known].abs().mean() < (found - moved)[:, known].abs().mean() / 2
    total = found.sum(0)
    assert total.max() < 1 + 1e-4 and not found[:, ~known].any()


def test_masks_of_one_example_serve_a_batch_and_other_shapes_are_refused():
    estimates, mixture = torch.rand(3, 2, 5, 4), torch.rand(3, 5, 4) + 0.1
    target_masks, silent = torch.rand(1, 2, 5, 4), torch.zeros(3, 2, 88, 4)
    whole = mask_kl_loss(estimates, mixture, target_masks.expand(3, -1, -1, -1), silent)
    torch.testing.assert_close(mask_kl_loss(estimates, mixture, target_masks, silent), whole)
    with pytest.raises(ValueError, match="do not match a mixture"):
        mask_kl_loss(estimates, mixture[:2], target_masks, silent)


def test_drums_of_a_track_have_components_of_their_own(manifest):
    track = manifest.select("train")[0]
    as_tones = ScoreInformedMasks(manifest, N_FFT, HOP)
    classes = ClassMap.parse("bass=32-39;guitar=24-31;piano=128")
    drums = Manifest(manifest.root, manifest.sample_rate, classes)
    masks = ScoreInformedMasks(drums, N_FFT, HOP)
    assert masks.path(track) != as_tones.path(track)
    factors, tones = masks.fit(track), as_tones.fit(track)
    # The keys of the drums sound from their onset on, in all bins; the other classes have partials.
    notes = manifest.notes(track)
    size = (3, tones.activations.shape[1], masks.grid)
    hits = hit_roll(notes.select(notes.class_index == 2), *size)
    keys = hits[2].amax(-1).nonzero().flatten()
    own = (factors.class_index == 2).nonzero().flatten()[1:]  # after that of attacks
    assert len(own) == len(keys)
    silent = hits[2, keys] == 0
    assert (factors.activations[own][silent] == 0).all()
    assert (factors.templates[own] > 0).float().mean() > 0.9
    assert (factors.class_index == 0).sum() == (tones.class_index == 0).sum()
    read = masks.read(track)
    assert read.shape[0] == 3 and float(read.sum(0).max()) < 1 + 1e-3
