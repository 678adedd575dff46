"""The dataset: what an item contains, which files it opens, and what is random."""

import os
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import HOP, N_FFT, NAMES, RATE, stft, tone, write_folder

from asteroid_scoresup import dsp
from asteroid_scoresup.data import Manifest, ScoreDataset, make_loader
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.score import Notes, clip_activity, piano_roll, sounding_roll
from asteroid_scoresup.utils.files import write_audio

SEGMENT, N_SAMPLES = 1.024, 4096
STFT = dict(n_fft=N_FFT, hop_length=HOP)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def opened(monkeypatch):
    """What is opened while the test runs: (path, first sample, samples read)."""
    log = []

    class Logged(sf.SoundFile):
        def __init__(self, file, *args, **kwargs):
            super().__init__(file, *args, **kwargs)
            log.append([os.fsdecode(file), 0, 0])

        def read(self, *args, **kwargs):
            before = self.tell()
            audio = super().read(*args, **kwargs)
            log[-1][1:] = [before, log[-1][2] + self.tell() - before]
            return audio

    monkeypatch.setattr(sf, "SoundFile", Logged)
    return log


def random_segments(manifest, n_segments=8, **kwargs):
    options = {"segment": SEGMENT, "n_segments": n_segments, **STFT, **kwargs}
    return ScoreDataset(manifest, "train", **options)


def same_items(one, other):
    flat = [[item[0], *item[1].values()] for item in (one, other)]
    return all(torch.equal(a, b) for a, b in zip(*flat))


def test_fixed_segments_are_the_tracks_end_to_end(manifest):
    data = ScoreDataset(manifest, "train", segment=SEGMENT, **STFT)
    expected = []
    for track in manifest.select("train"):
        wav, notes = manifest.read_mixture(track), manifest.notes(track)
        scale = NOMINAL_RMS / np.sqrt(np.mean(wav**2))
        for k in range(len(wav) // N_SAMPLES):
            start = k * N_SAMPLES
            local = notes.replace(
                onset=notes.onset - start / RATE, offset=notes.offset - start / RATE
            )
            expected.append((wav[start : start + N_SAMPLES] * scale, local))
    assert len(data) == len(expected) > 6
    for (mixture, targets), (wav, notes) in zip((data[i] for i in range(len(data))), expected):
        np.testing.assert_allclose(mixture, wav, rtol=1e-5, atol=1e-7)
        assert torch.equal(targets["mixture"], mixture)
        size = (3, stft().n_frames(N_SAMPLES), stft().grid)
        assert torch.equal(targets["roll"], piano_roll(notes, *size))
        assert torch.equal(targets["sounding"], sounding_roll(notes, *size))
        assert targets.keys() == {"mixture", "roll", "sounding"}


def test_options_of_the_sounding_roll_reach_it(manifest):
    options = dict(before=3, after=0, fade=[0.1, 0.2, 0.5], use_velocity=True)
    _, targets = ScoreDataset(manifest, "test", segment=None, **STFT, sounding=options)[0]
    track = manifest.select("test")[0]
    size = (3, stft().n_frames(track.n_samples), stft().grid)
    expected = sounding_roll(manifest.notes(track), *size, options)
    torch.testing.assert_close(targets["sounding"], expected)


def test_whole_tracks(manifest):
    data = ScoreDataset(manifest, "train", segment=None, **STFT)
    lengths = [track.n_samples for track in manifest.select("train")]
    assert [len(data[i][0]) for i in range(len(data))] == lengths and len(set(lengths)) == 3
    assert [batch[0].shape[0] for batch in make_loader(data, batch_size=4)] == [1, 1, 1]


@pytest.mark.parametrize("segment", [0.03, SEGMENT, 1.0, 10.0, None])
def test_rolls_have_the_frames_of_the_stft(manifest, segment):
    mixture, targets = ScoreDataset(manifest, "test", segment=segment, **STFT)[0]
    n_frames = stft()(mixture[None]).shape[-1]
    assert targets["roll"].shape == targets["sounding"].shape == (3, 88, n_frames)


def test_a_track_shorter_than_the_segment_ends_in_silence(manifest):
    track = manifest.select("test")[0]
    for kwargs in ({}, {"n_segments": 2}):
        mixture, _ = ScoreDataset(manifest, "test", segment=6.0, **STFT, **kwargs)[0]
        assert mixture[: track.n_samples].std() > 0.05
        assert not mixture[track.n_samples :].any() and len(mixture) == 6 * RATE


def test_references_belong_to_the_mixture(manifest):
    for targets in ("stems", "both"):
        data = random_segments(manifest, targets=targets, gain_db=6.0)
        for index in range(4):
            mixture, target = data[index]
            sources = target if targets == "stems" else target["sources"]
            assert sources.shape == (3, N_SAMPLES) and sources.std(1).min() > 0
            torch.testing.assert_close(sources.sum(0), mixture, rtol=1e-4, atol=1e-6)


MODES = [
    dict(segment=SEGMENT, n_segments=6, gain_db=6.0, saliency=0.5, remix=0.5),
    dict(segment=SEGMENT),
    dict(segment=None),
]


@pytest.mark.parametrize("mode", MODES)
def test_no_stem_is_opened_unless_asked_for(manifest, opened, mode):
    data = ScoreDataset(manifest, "train", **STFT, **mode)
    for index in range(len(data)):
        data[index]
    assert len(opened) >= len(data)
    assert all(path.endswith("mixture.wav") for path, *_ in opened)
    if "remix" not in mode:
        data = ScoreDataset(manifest, "train", "both", **STFT, **mode)
        opened.clear()  # the headers of all files, whose lengths are compared with the manifest
        data[0]
        assert [path.rsplit("/")[-1] for path, *_ in opened] == [
            "mixture.wav", *(f"{name}.wav" for name in NAMES)
        ]  # fmt: skip


def test_a_folder_without_references_serves_the_same_items(manifest, tmp_path):
    shutil.copytree(manifest.root, tmp_path / "bare")
    for folder in (tmp_path / "bare").rglob("stems"):
        shutil.rmtree(folder)
    bare = Manifest.load(tmp_path / "bare")
    for one, other in zip(random_segments(manifest), random_segments(bare)):
        assert same_items(one, other)


def test_a_segment_costs_the_same_wherever_it_lies(manifest, opened):
    data = random_segments(manifest, n_segments=30)
    opened.clear()
    for index in range(30):
        data[index]
    assert {n_samples for *_, n_samples in opened} == {N_SAMPLES}
    starts = [start for _, start, _ in opened]
    assert min(starts) < 2000 and max(starts) > 10000


@pytest.mark.slow
def test_tracks_are_drawn_by_their_length(tmp_path):
    manifest = write_folder(tmp_path, splits={"train": 2}, seconds=1.5)
    first, second = manifest.tracks
    silence = np.zeros(3 * first.n_samples, dtype=np.float32)
    write_audio(manifest.mixture_path(second), silence, RATE)
    second.n_samples = len(silence)
    manifest.save()
    data = random_segments(manifest, n_segments=400, segment=0.3)
    from_second = sum(not data[i][0].any() for i in range(400)) / 400
    assert from_second == pytest.approx(0.75, abs=0.08)


def test_iterating_comes_to_an_end(manifest):
    data = random_segments(manifest, n_segments=3)
    assert len(list(data)) == len(data) == 3


def epochs_of(data, num_workers, batch_size=2, epochs=2):
    loader = make_loader(data, batch_size, num_workers)
    batches = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(manifest, num_workers):
    options = dict(n_segments=5, gain_db=6.0, saliency=0.4, remix=0.5, seed=3)
    alone = epochs_of(random_segments(manifest, **options), 0)
    helped = epochs_of(random_segments(manifest, **options), num_workers)
    assert len(alone) == len(helped) == 2 * 2  # the incomplete batch of each epoch is dropped
    for one, other in zip(alone, helped):
        assert same_items(one, other)


def test_chance_depends_on_seed_item_and_epoch_only(manifest):
    data = random_segments(manifest, gain_db=6.0)
    last_first = [data[i] for i in reversed(range(8))][::-1]
    torch.manual_seed(1)
    for index in range(8):
        assert same_items(data[index], last_first[index])
    assert not same_items(data[0], data[1])
    assert not same_items(data[0], random_segments(manifest, gain_db=6.0, seed=1)[0])
    first, second = epochs_of(data, 0, batch_size=8)
    assert not same_items(first, second)


def test_gains_scale_all_that_sounds_within_their_range(manifest):
    plain = random_segments(manifest, 40, targets="both")
    varied = random_segments(manifest, 40, targets="both", gain_db=6.0)
    gains = []
    for index in range(40):
        (one, before), (other, after) = plain[index], varied[index]
        gain = float(other.norm() / one.norm())
        gains.append(20 * np.log10(gain))
        for key in ("mixture", "sources"):
            torch.testing.assert_close(after[key], gain * before[key], rtol=1e-4, atol=1e-6)
        assert torch.equal(before["roll"], after["roll"])
    assert np.abs(gains).max() <= 6.01
    assert max(gains) > 4 and min(gains) < -4


def test_fixed_segments_know_no_chance(manifest):
    one, other = (
        ScoreDataset(manifest, "train", segment=SEGMENT, gain_db=6.0, saliency=1.0, seed=s, **STFT)
        for s in (0, 1)
    )
    assert all(same_items(one[i], other[i]) for i in range(len(one)))


def classes_playing(item):
    # The last frame is centered on the end of the segment.
    return int(clip_activity(item[1]["roll"][..., :-1]).sum())


def test_saliency_asks_for_classes_that_play(tmp_path):
    manifest = write_folder(tmp_path, splits={"train": 1}, seconds=6.0)
    track = manifest.tracks[0]
    # Bass all along, guitar in the second half, no piano.
    notes = Notes([0.0, 3.0], [6.0, 6.0], [40, 60], [0, 1], [90, 90])
    write_notes(manifest.folder(track) / "notes.csv", notes, NAMES)
    playing = {
        saliency: [
            classes_playing(item)
            for item in random_segments(manifest, 40, segment=0.5, saliency=saliency)
        ]
        for saliency in (0.0, 0.5, 1.0)
    }
    assert set(playing[0.0]) == {1, 2}
    assert set(playing[0.5]) == {2}
    assert set(playing[1.0]) == {1, 2}  # cannot be had: after 20 tries anything goes


def test_remixed_items_are_two_places_and_the_union_of_their_scores(manifest):
    plain = random_segments(manifest, 10)
    summed = random_segments(manifest, 10, remix=1.0)
    for index in range(10):
        (one, before), (mixture, after) = plain[index], summed[index]
        second = mixture * 2**0.5 - one
        # Find where the second part comes from.
        places = []
        for track in manifest.select("train"):
            wav = manifest.read_mixture(track) * NOMINAL_RMS / track.rms
            likeness = np.correlate(wav, second.numpy(), "valid")
            start = int(likeness.argmax())
            error = np.abs(wav[start : start + N_SAMPLES] - second.numpy()).max()
            places.append((error, start, track))
        error, start, track = min(places, key=lambda place: place[0])
        assert error < 1e-5
        local = manifest.notes(track).within(start / RATE, (start + N_SAMPLES) / RATE, margin=1.0)
        roll = piano_roll(local, 3, stft().n_frames(N_SAMPLES), stft().grid)
        assert torch.equal(after["roll"], torch.maximum(before["roll"], roll))
        assert torch.equal(after["mixture"], mixture)
        assert (after["sounding"] >= before["sounding"]).all()


def test_remix_is_a_probability(manifest):
    plain, mixed = random_segments(manifest, 60), random_segments(manifest, 60, remix=0.3)
    share = sum(not torch.equal(plain[i][0], mixed[i][0]) for i in range(60)) / 60
    assert 0.15 < share < 0.45


def test_only_some_tracks(manifest):
    whole = ScoreDataset(manifest, "train", segment=None, **STFT)
    one = ScoreDataset(manifest, "train", segment=None, tracks=["Track00001"], **STFT)
    assert len(one) == 1
    assert same_items(one[0], whole[1])


def test_infos_travel_with_a_published_model(manifest):
    data = ScoreDataset(manifest, "train", **STFT)
    assert data.dataset_name == "slakh-score" and data.names == NAMES
    assert data.get_infos() == {"dataset": "slakh-score (train, 3 tracks)", "licenses": []}


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(targets="wavs"), "'score', 'stems' or 'both', found 'wavs'"),
        (dict(segment=None, n_segments=4), "give segment, in seconds"),
        (dict(targets="both", remix=0.5), "neither stems nor masks: use it"),
        (dict(tracks=["Track9"]), r"no tracks \['Track9'\] in the split 'train'"),
        (dict(tracks=[]), r"no tracks \[\] in the split 'train'"),
        (dict(split="dev"), "no tracks in the split 'dev', only in .*'train'"),
    ],
)
def test_bad_wishes_are_refused(manifest, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ScoreDataset(manifest, **{"split": "train", **kwargs})


def test_missing_stems_and_folders_are_named(tmp_path):
    manifest = write_folder(tmp_path / "own", stems=False)
    with pytest.raises(ValueError, match=r"bass.wav does not exist.*targets='both' asks for stems"):
        ScoreDataset(manifest, "train", "both")
    with pytest.raises(FileNotFoundError, match="manifest.json does not exist"):
        ScoreDataset(tmp_path / "nowhere", "train")


def test_tones_read_their_pitch(manifest, tmp_path):
    """The score fits the sound: the loudest bin of a lone note is its fundamental."""
    one = write_folder(tmp_path, splits={"train": 1}, seconds=1.0, n_src=1)
    track = one.tracks[0]
    wave = np.zeros(RATE, dtype=np.float32)
    wave[1000:3000] = tone(69, 0.5)
    write_audio(one.mixture_path(track), wave, RATE)
    write_notes(one.folder(track) / "notes.csv", Notes([0.25], [0.75], [69], [0], [90]), one.names)
    mixture, targets = ScoreDataset(one, "train", segment=None, **STFT)[0]
    magnitude = stft().magnitude(stft()(mixture[None]))[0]
    on = targets["roll"][0, 69 - 21] > 0
    assert int(on.sum()) == 31 or int(on.sum()) == 32
    inner = magnitude[:, on][:, 2:-2]
    assert (inner.argmax(0) == round(440 * N_FFT / RATE)).all()
    assert magnitude[:, ~on][:, :10].max() < 0.01 * inner.max()


def test_another_speed_moves_sound_and_score_together(manifest):
    """Where the score says a note is, its fundamental stands out, at every speed."""
    data = random_segments(manifest, 40, varispeed=5, targets="both")
    plain = random_segments(manifest, 40, targets="both")
    changed = n_steady = 0
    for index in range(40):
        (mixture, targets), (before, scored) = data[index], plain[index]
        torch.testing.assert_close(targets["sources"].sum(0), mixture, atol=1e-5, rtol=0)
        assert mixture.shape == before.shape and targets["roll"].shape == scored["roll"].shape
        changed += not torch.equal(targets["roll"], scored["roll"])
        fine = dsp.STFT(1024, HOP, RATE)
        for source, roll in zip(targets["sources"], targets["roll"]):
            frames = roll.sum(0) == 1
            frames[:8], frames[-8:] = False, False
            # Steady frames only: the note is the same a little before and after.
            steady = frames & (roll == roll.roll(6, 1)).all(0) & (roll == roll.roll(-6, 1)).all(0)
            n_steady += int(steady.sum())
            if not steady.any():
                continue
            pitch = roll[:, steady].argmax(0) + 21
            expected = 440 * 2 ** ((pitch - 69) / 12) * 1024 / RATE
            spectrum = fine.magnitude(fine(source[None]))[0][:, steady]
            assert (spectrum.argmax(0) - expected).abs().max() < 1.5
    assert changed > 25 and n_steady > 100


def test_speed_is_off_unless_asked_for_and_repeats(manifest):
    once, twice = (random_segments(manifest, 6, varispeed=3) for _ in range(2))
    assert all(same_items(once[i], twice[i]) for i in range(6))
    fixed = ScoreDataset(
        manifest, "validation", segment=1.024, n_fft=N_FFT, hop_length=HOP, varispeed=3
    )
    plain = ScoreDataset(manifest, "validation", segment=1.024, n_fft=N_FFT, hop_length=HOP)
    assert all(same_items(fixed[i], plain[i]) for i in range(len(fixed)))


@pytest.mark.slow
def test_stems_may_be_there_for_some_songs_only(tmp_path, opened):
    manifest = write_folder(tmp_path, splits={"train": 8})
    options = dict(targets="both", saliency=0.0)
    few = random_segments(manifest, 40, stem_fraction=0.25, **options)
    more = random_segments(manifest, 40, stem_fraction=0.5, **options)
    assert len(few.with_stems) == 2 and len(more.with_stems) == 4
    assert few.with_stems < more.with_stems
    for track in few.tracks:
        if track.id not in few.with_stems:
            shutil.rmtree(manifest.folder(track) / "stems")
    opened.clear()
    items = list(few)
    folders = {path.split("/")[-3] for path, *_ in opened if "/stems/" in path}
    assert folders and folders <= few.with_stems
    has = [bool(targets["has_stems"]) for _, targets in items]
    assert 0 < sum(has) < 40
    for with_stems, (mixture, targets) in zip(has, items):
        total = targets["sources"].sum(0)
        torch.testing.assert_close(total, mixture if with_stems else torch.zeros_like(mixture))
    alone = random_segments(manifest, 40, stem_fraction=0.25, stem_draw=1.0, **options)
    assert all(targets["has_stems"] for _, targets in alone)
    half = random_segments(manifest, 200, stem_fraction=0.25, stem_draw=0.5, **options)
    assert 70 < sum(bool(targets["has_stems"]) for _, targets in half) < 130
    with pytest.raises(ValueError, match="does not exist"):
        random_segments(manifest, 1, stem_fraction=0.5, **options)


def test_a_share_of_stems_needs_stems_and_a_share(manifest):
    with pytest.raises(ValueError, match="targets='both'"):
        random_segments(manifest, stem_fraction=0.5)
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="stem_fraction is"):
            random_segments(manifest, targets="both", stem_fraction=share)
