"""Uncertain stretches: left out of segments and masks; data without any do not change."""

import json

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, RATE, stft, write_folder

from asteroid_scoresup.data import Manifest, PreparedTrack, ScoreDataset, ScoreInformedMasks
from asteroid_scoresup.data.stretches import (
    certain_frames,
    certain_notes,
    certain_signal,
    certain_stretches,
)
from asteroid_scoresup.dsp import NOMINAL_RMS, FrameGrid
from asteroid_scoresup.engine.loaders import training_loaders
from asteroid_scoresup.score import (
    HarmonicTemplates,
    Notes,
    onset_roll,
    piano_roll,
    score_informed_nmf,
    sounding_roll,
)
from asteroid_scoresup.utils.files import read_audio

STFT_SIZE = dict(n_fft=N_FFT, hop_length=HOP)
SEGMENT, N_SAMPLES = 0.512, 2048


def track(uncertain, seconds=10.0):
    return PreparedTrack("a", "train", round(seconds * RATE), 0.1, uncertain=uncertain)


@pytest.fixture
def manifest(tmp_path):
    """Three tracks of 4.0, 4.3 and 4.6 s for training; nothing is uncertain."""
    return write_folder(tmp_path)


def doubt(manifest, *uncertain):
    """Makes stretches of the training tracks uncertain, also in the file."""
    for one, stretches in zip(manifest.select("train"), uncertain):
        one.uncertain = stretches
    manifest.save()
    return Manifest.load(manifest.root)


@pytest.mark.parametrize(
    "uncertain, certain",
    [
        ([], [(0, 10)]),
        ([[0, 4]], [(4, 10)]),
        ([[3, 4], [8, 10]], [(0, 3), (4, 8)]),
        ([[3, 4], [4.9, 20]], [(0, 3)]),  # a rest of 0.9 s is too short
        ([[0, 10]], []),
    ],
)
def test_certain_stretches_are_what_remains(uncertain, certain):
    expected = [(round(a * RATE), round(b * RATE)) for a, b in certain]
    assert certain_stretches(track(uncertain), RATE) == expected
    signal = torch.arange(10 * RATE)
    kept = certain_signal(signal, track(uncertain), RATE)
    assert kept.tolist() == [i for a, b in expected for i in range(a, b)]


def test_a_short_track_without_doubt_is_used():
    assert certain_stretches(track([], 0.3), RATE) == [(0, round(0.3 * RATE))]


def test_frames_and_notes_follow_their_times():
    grid = FrameGrid(N_FFT, HOP, RATE)
    n_frames = grid.n_frames(10 * RATE)
    found = certain_frames(track([[2.0, 5.0]]), n_frames, grid)
    time = np.arange(n_frames) * HOP / RATE
    np.testing.assert_array_equal(found.numpy(), (time < 2) | (time >= 5))
    assert certain_frames(track([]), n_frames, grid).all()
    notes = Notes([1.9, 2.0, 4.9, 5.0], [6, 6, 6, 6], [60] * 4, [0] * 4, [90] * 4)
    assert certain_notes(notes, [[2.0, 5.0]]).onset.tolist() == [1.9, 5.0]
    assert certain_notes(notes, []) is notes


def test_the_manifest_mentions_uncertain_stretches_only_where_there_are_any(manifest):
    path = manifest.root / "manifest.json"
    assert "uncertain" not in path.read_text()
    before = manifest.fingerprint()
    again = doubt(manifest, [[1.0, 2.0]])
    tracks = json.loads(path.read_text())["tracks"]
    assert [one.get("uncertain") for one in tracks if one["split"] == "train"] == [
        [[1.0, 2.0]], None, None
    ]  # fmt: skip
    assert again.select("train")[0].uncertain == [[1.0, 2.0]]
    assert again.fingerprint() != before


@pytest.mark.parametrize(
    "value",
    [
        3,
        [1, 2],
        [[2, 1]],
        [[0, 2], [1, 3]],
        [[-1, 2]],
        [[0, float("nan")]],
        [["a", "b"]],
        [[0, 10**400]],
    ],
)
def test_malformed_stretches_are_refused(value):
    content = {**track([]).to_dict(), "uncertain": value}
    with pytest.raises(ValueError, match="uncertain of the track train/a is"):
        PreparedTrack.from_dict(content)


def test_certain_data_give_the_segments_of_a_plain_draw(manifest):
    data = ScoreDataset(
        manifest, "train", segment=SEGMENT, n_segments=40, varispeed=1, seed=5, **STFT_SIZE
    )
    tracks = manifest.select("train")
    ends = np.cumsum([one.n_samples for one in tracks])
    for index in range(40):
        rng = np.random.default_rng([5, index])
        semitones = int(rng.integers(-1, 2))
        length = N_SAMPLES if not semitones else round(N_SAMPLES * 2 ** (semitones / 12)) + 1
        chosen = int(np.searchsorted(ends / ends[-1], rng.random(), side="right"))
        room = tracks[chosen].n_samples - length
        start = int(rng.integers(room // HOP + 1)) * HOP
        assert data.place(index) == f"train/{tracks[chosen].id} at {start / RATE:.1f} s"
        if not semitones:
            wav = read_audio(manifest.mixture_path(tracks[chosen]))[0][start : start + length]
            level = NOMINAL_RMS / tracks[chosen].rms
            np.testing.assert_allclose(data[index][0].numpy(), level * wav, rtol=1e-5)


@pytest.mark.parametrize("n_segments", [None, 60])
@pytest.mark.parametrize("varispeed", [0, 2])
def test_segments_are_drawn_from_certain_stretches_only(manifest, n_segments, varispeed):
    if varispeed and n_segments is None:
        pytest.skip("fixed segments keep their speed")
    uncertain = [[[0.0, 1.0], [2.5, 4.0]], [[1.5, 2.0]], [[0.0, 4.6]]]
    manifest = doubt(manifest, *uncertain)
    data = ScoreDataset(
        manifest,
        "train",
        segment=SEGMENT,
        n_segments=n_segments,
        varispeed=varispeed,
        **STFT_SIZE,
    )
    assert data.n_left_out == 1 and len(data.tracks) == 2
    names = [one.id for one in data.tracks]
    used = set()
    for index in range(len(data)):
        name, _, seconds = data.place(index).removeprefix("train/").partition(" at ")
        start, number = float(seconds[:-2]), names.index(name)
        used.add(number)
        for first, stop in uncertain[number]:
            # Times of messages are rounded to 0.1 s.
            assert start + SEGMENT <= first + 0.15 + 0.1 * varispeed or start >= stop - 0.05
    assert used == {0, 1}


def test_every_certain_second_has_the_same_probability(manifest):
    manifest = doubt(manifest, [[0.0, 4.0]], [[1.5, 2.0]], [[0.0, 4.6]])
    data = ScoreDataset(manifest, "train", segment=SEGMENT, n_segments=400, **STFT_SIZE)
    early = sum(float(data.place(i).split(" at ")[1][:-2]) < 1.5 for i in range(400))
    # 1.5 of 3.8 s; the deviation of 400 draws is 10.
    assert abs(early - 400 * 1.5 / 3.8) < 40


def test_a_stretch_shorter_than_a_segment_is_padded(manifest):
    manifest = doubt(manifest, [[0.0, 1.0], [2.2, 4.0]], [[0.0, 4.3]], [[0.0, 4.6]])
    data = ScoreDataset(manifest, "train", segment=2.048, n_segments=3, **STFT_SIZE)
    one = data.tracks[0]
    first = -(-RATE // HOP) * HOP
    stop = round(2.2 * RATE)
    wav = read_audio(manifest.mixture_path(one))[0][first:stop] * NOMINAL_RMS / one.rms
    mixture, targets = data[0]
    np.testing.assert_allclose(mixture[: len(wav)].numpy(), wav, rtol=1e-5)
    assert not mixture[len(wav) :].any()
    # Beyond the end no note sounds, and those that last beyond it end there.
    inside = -(-(stop - first) // HOP)
    assert targets["roll"][..., :inside].any() and not targets["roll"][..., inside:].any()
    notes = manifest.notes(one)
    notes = notes.select(notes.onset < 2.2).within(first / RATE, stop / RATE)
    expected = piano_roll(notes, 3, data.grid.n_frames(len(mixture)), data.grid)
    torch.testing.assert_close(targets["roll"][..., :inside], expected[..., :inside])


def test_whole_tracks_are_given_whole(manifest):
    manifest = doubt(manifest, [[0.0, 4.0]])
    data = ScoreDataset(manifest, "train", segment=None, **STFT_SIZE)
    assert len(data) == 3 and len(data[0][0]) == 4 * RATE


def test_a_split_that_is_uncertain_throughout_is_refused(manifest):
    manifest = doubt(manifest, [[0.0, 4.0]], [[0.0, 4.3]], [[0.0, 9.0]])
    with pytest.raises(ValueError, match="scores of all 3 tracks in the split 'train'"):
        ScoreDataset(manifest, "train", segment=SEGMENT, **STFT_SIZE)


def test_training_says_how_many_songs_it_leaves_out(manifest, caplog):
    manifest = doubt(manifest, [[0.0, 4.0]])
    training_loaders(manifest, 2, 1, segment=SEGMENT, **STFT_SIZE)
    assert "1 training songs are left out" in caplog.text


def test_masks_are_fitted_to_the_certain_frames(manifest):
    certain_path = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6).path(
        manifest.select("train")[0]
    )
    manifest = doubt(manifest, [[1.0, 2.0]])
    one = manifest.select("train")[0]
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6, iterations=3)
    assert masks.path(one) != certain_path
    wav, grid = torch.from_numpy(manifest.read_mixture(one)), masks.grid
    time = np.arange(grid.n_frames(len(wav))) * HOP / RATE
    kept = torch.from_numpy((time < 1) | (time >= 2))
    size = (3, len(time), grid)
    notes = manifest.notes(one)
    transform = stft()
    expected = score_informed_nmf(
        transform.magnitude(transform(wav.unsqueeze(0)))[0][:, kept],
        sounding_roll(notes, *size)[..., kept],
        onset_roll(notes, *size)[:, kept],
        HarmonicTemplates(RATE, N_FFT, **masks.partials),
        3,
    )
    found = masks.fit(one)
    torch.testing.assert_close(found.templates, expected.templates)
    torch.testing.assert_close(found.activations[:, kept], expected.activations)
    assert not found.activations[:, ~kept].any()
    assert not masks.read(one)[..., ~kept].any()


def test_an_uncertain_song_has_no_masks(manifest):
    """Masks are fitted to whole splits, in which some songs may be uncertain throughout."""
    manifest = doubt(manifest, [[0.0, 60.0]])
    one = manifest.select("train")[0]
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6, iterations=1)
    masks.fit_all([one], jobs=1, progress=False)
    assert masks.path(one).is_file()
    found = masks.read(one, 2, 5)
    assert found.shape == (3, masks.grid.n_freqs, 5) and not found.any()
    assert not masks.read(one, 2, 5, speed=1.1).any()
