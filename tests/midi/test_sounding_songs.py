"""Pedals and bends from MIDI file to masks: songs whose sound differs from their keys."""

import numpy as np
import pytest
import soundfile as sf
import torch
from raw_midi import cc, midi, note, program, tempo, wheel
from slakh_folder import RATE, melody, play, write_stem, write_track

from asteroid_scoresup.checks.bends import FOLLOWED, IGNORED, UNCLEAR, describe_bends, resolve_bends
from asteroid_scoresup.data.dataset import ScoreDataset
from asteroid_scoresup.data.labels import check_folder
from asteroid_scoresup.data.manifest import Manifest
from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.dsp import STFT, FrameGrid
from asteroid_scoresup.midi.reader import read_midi
from asteroid_scoresup.score import (
    HarmonicTemplates,
    Notes,
    onset_roll,
    score_informed_nmf,
    soft_masks,
    sounding_roll,
)
from asteroid_scoresup.synthesis.synthesize import synthesize

SECONDS, N_FFT, HOP = 8.0, 2048, 512
GRID = FrameGrid(N_FFT, HOP, RATE)
PROGRAMS = {"bass": 33, "guitar": 25, "piano": 0}
LOWEST = {"bass": 31, "guitar": 50, "piano": 64}


def ticks(rows, channel):
    """Note events at 1,000 ticks a second."""
    return [
        event
        for onset, offset, pitch, velocity in rows
        for event in note(channel, round(1000 * onset), round(1000 * offset), pitch, velocity)
    ]


def song_midi(rows, extra=()):
    """One track a class, on channels 0 to 2, and events of the song."""
    tracks = [
        [(0, program(channel, PROGRAMS[name])), *ticks(rows[name], channel)]
        for channel, name in enumerate(PROGRAMS)
    ]
    return midi([(0, tempo(480000)), *extra], *tracks, division=480)


@pytest.fixture
def rows():
    return {name: melody([5, n], SECONDS, LOWEST[name]) for n, name in enumerate(PROGRAMS)}


def si_sdr(estimate, stem):
    scaled = stem * (estimate @ stem) / (stem @ stem)
    return float(10 * np.log10((scaled**2).sum() / ((estimate - scaled) ** 2).sum()))


def informed_si_sdr(notes, parts):
    """SI-SDR of each class with the masks of score-informed NMF."""
    stft, templates = STFT(N_FFT, HOP, RATE), HarmonicTemplates(RATE, N_FFT, 40)
    mixture = torch.from_numpy(sum(parts)).unsqueeze(0)
    spectrum = stft(mixture)
    magnitude = stft.magnitude(spectrum)[0]
    size = (len(parts), magnitude.shape[-1], GRID)
    roll = sounding_roll(notes, *size)
    factors = score_informed_nmf(magnitude, roll, onset_roll(notes, *size), templates)
    masks = soft_masks(factors, len(parts)).unsqueeze(0)
    masked = stft.separated(spectrum, masks, mixture.shape[-1])[0].numpy()
    return [si_sdr(found, part) for found, part in zip(masked, parts)]


def under_mask(notes, signal):
    """Fraction of a signal's magnitude under the harmonic mask of its notes."""
    stft, templates = STFT(N_FFT, HOP, RATE), HarmonicTemplates(RATE, N_FFT, 40)
    magnitude = stft.magnitude(stft(torch.from_numpy(signal).unsqueeze(0)))[0]
    roll = sounding_roll(notes, 1, magnitude.shape[-1], GRID)
    return float(magnitude[templates.mask(roll)[0]].sum() / magnitude.sum())


def read_classes(path):
    """All notes of a file, with the class of their program."""
    index = {program_number: n for n, program_number in enumerate(PROGRAMS.values())}
    tables = [
        i.notes.replace(class_index=np.full(len(i.notes), index[i.program]))
        for i in read_midi(path).instruments
    ]
    return Notes.concatenate(tables)


def test_masks_follow_the_pedal(tmp_path, rows):
    keys, held, pedal = [], [], []
    for start in np.arange(0.3, SECONDS - 1.9, 1.9):
        pedal += [(round(1000 * start) - 20, cc(2, 64, 127))]
        pedal += [(round(1000 * start) + 1700, cc(2, 64, 0))]
        for pitch in (52, 59, 64, 68):
            keys.append((start, start + 0.2, pitch, 90))
            held.append((start, start + 1.7, pitch, 90))
    path = tmp_path / "song.mid"
    path.write_bytes(song_midi({**rows, "piano": keys}, pedal))
    notes = read_classes(path)
    parts = [play(rows["bass"], SECONDS), play(rows["guitar"], SECONDS), play(held, SECONDS)]
    with_pedal = informed_si_sdr(notes, parts)
    without = informed_si_sdr(notes.replace(release=notes.offset), parts)
    assert with_pedal[2] > without[2] + 2 and min(np.subtract(with_pedal, without)) > -0.3
    # Transcription is compared with the keys.
    piano = notes.select(notes.class_index == 2)
    np.testing.assert_allclose(piano.offset - piano.onset, 0.2, atol=1e-9)
    np.testing.assert_allclose(piano.release - piano.onset, 1.7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("semitones", [2, -1, 0.5, 0.75])
def test_masks_follow_bends(tmp_path, rows, semitones):
    path = tmp_path / "song.mid"
    path.write_bytes(song_midi(rows, [(0, wheel(1, round(8191 * semitones / 2)))]))
    notes = read_classes(path)
    parts = [
        play(rows[name], SECONDS, transpose=semitones if name == "guitar" else 0)
        for name in PROGRAMS
    ]
    guitar = notes.select(notes.class_index == 1).replace(
        class_index=np.zeros((notes.class_index == 1).sum())
    )
    straight = play(rows["guitar"], SECONDS)
    best = under_mask(guitar.replace(bend=None), straight)
    assert under_mask(guitar, parts[1]) > best - 0.02
    assert under_mask(guitar.replace(bend=None), parts[1]) < best - 0.05
    bent, unbent = informed_si_sdr(notes, parts), informed_si_sdr(notes.replace(bend=None), parts)
    assert bent[1] > unbent[1] + 1


@pytest.mark.parametrize(
    "audio, verdict", [("bent", FOLLOWED), ("straight", IGNORED), ("neither", UNCLEAR)]
)
@pytest.mark.slow
def test_the_audio_decides_whether_bends_count(tmp_path, rows, audio, verdict):
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "a.mid").write_bytes(song_midi(rows, [(0, wheel(1, 8191))]))
    parts = {name: play(rows[name], SECONDS) for name in PROGRAMS}
    if audio == "bent":
        parts["guitar"] = play(rows["guitar"], SECONDS, transpose=2)
    elif audio == "neither":
        parts["guitar"] = 0.01 * np.random.default_rng(0).standard_normal(len(parts["bass"]))
    sf.write(songs / "a.wav", sum(parts.values()).astype(np.float32), RATE, subtype="FLOAT")
    report = prepare(songs, tmp_path / "out", jobs=1, progress=False)
    manifest = Manifest.load(tmp_path / "out")
    (song,) = manifest.tracks
    assert song.facts["bends"] == {"guitar": [verdict]}
    assert f"According to the audio, pitch bends: guitar {verdict} in 1 part" in summary(report)
    notes = manifest.notes(song)
    guitar = notes.select(notes.class_index == 1)
    expected = rows["guitar"]
    assert guitar.pitch.tolist() == [row[2] for row in expected]  # keys, in any case
    if verdict == FOLLOWED:
        assert all(bend.tolist() == [[0.0, 2.0]] for bend in guitar.bend)
    else:
        assert notes.bend is None
    for folder in (songs, tmp_path / "out"):
        found = check_folder(folder, jobs=1, progress=False)
        assert f"guitar {verdict} in 1 part" in found["bends"] and found["bends"] in summary(found)
    # Rolls of all items have the same rows, so that they fit into a batch.
    items = ScoreDataset(manifest, song.split, segment=1.0)
    n_rows = {targets["sounding"].shape[1] for _, targets in items}
    assert n_rows == ({4 * 88} if verdict == FOLLOWED else {88})


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.slow
def test_stems_decide_each_for_themselves(tmp_path, rows, follows):
    """As in Slakh2100, where one sampler plays the wheel and another does not."""
    folder = tmp_path / "in" / "train" / "Track00001"
    audio = play(rows["guitar"], SECONDS, transpose=2 if follows else 0)
    stems = [
        write_stem(folder, 0, "bass", rows["bass"], seconds=SECONDS),
        write_stem(folder, 1, "guitar", rows["guitar"], audio, seconds=SECONDS),
        write_stem(folder, 2, "guitar", rows["guitar"], seconds=SECONDS),
        write_stem(folder, 3, "piano", rows["piano"], seconds=SECONDS),
    ]
    for number in (1, 2):
        bent = [(0, program(0, 25)), (0, wheel(0, 8191)), *ticks(rows["guitar"], 0)]
        (folder / "MIDI" / f"S0{number}.mid").write_bytes(midi(bent, division=500))
    write_track(folder, stems, generated=False)
    prepare(tmp_path / "in", tmp_path / "out", label_shift="none", jobs=1, progress=False)
    (song,) = Manifest.load(tmp_path / "out").tracks
    assert song.facts["bends"] == {"guitar": [FOLLOWED if follows else IGNORED, IGNORED]}


def test_bends_of_one_part_do_not_need_a_verdict_of_another():
    notes = Notes([0.0], [1.0], [60], [0], [90])
    assert resolve_bends(notes, np.zeros(RATE, dtype=np.float32), RATE) == (notes, None)
    assert describe_bends([{}, {}]) == ""


def test_preparation_and_synthesis_read_the_same(tmp_path, rows):
    """One odd file read in both ways: as a pair, and as a synthesized track."""
    keys = [(0.5 + k, 0.7 + k, 60 + k, 90) for k in range(5)]
    late = [(0, b"\xff\x03\x04late"), (0, tempo(600000)), (2000, tempo(300000))]
    setup = [(0, program(channel, PROGRAMS[n])) for channel, n in enumerate(PROGRAMS)]
    setup += [(0, cc(11, 0, 127)), (0, program(11, 0))]
    sound = [(400, cc(2, 64, 127)), (1900, cc(2, 64, 0)), (2500, wheel(1, 8191))]
    sound[:0] = [(0, cc(1, 101, 0)), (0, cc(1, 100, 0)), (0, cc(1, 6, 4))]
    tracks = [ticks({**rows, "piano": keys}[name], n) for n, name in enumerate(PROGRAMS)]
    kit = ticks([(0.1 * k, 0.1 * k + 0.05, 38, 100) for k in range(30)], 11)
    content = midi([], *tracks, kit, setup, sound, late, division=480)
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "a.mid").write_bytes(content)
    made = tmp_path / "made"
    options = dict(sample_rate=16000, fractions=(1, 0, 0), jobs=1, quiet=True)
    assert synthesize(made, midi_dir=songs, renderer="tinysoundfont", **options)["made"] == 1
    prepare(made, tmp_path / "synthesized", jobs=1, progress=False)
    mixture, rate = sf.read(made / "train" / "Track00001" / "mix.flac")
    sf.write(songs / "a.flac", mixture, rate)
    prepare(songs, tmp_path / "pairs", jobs=1, progress=False)
    tables = []
    for name in ("synthesized", "pairs"):
        manifest = Manifest.load(tmp_path / name)
        (song,) = manifest.tracks
        tables.append(manifest.notes(song))
    one, other = tables
    assert len(one) == sum(len(rows[name]) for name in ("bass", "guitar")) + len(keys)
    for column in ("class_index", "pitch", "velocity"):
        np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
    np.testing.assert_allclose(one.onset, other.onset, atol=2e-3)
    # Equal pitches that touch get room between them when they are rendered.
    np.testing.assert_allclose(one.offset, other.offset, atol=8e-3)
    held = one.release - one.offset
    assert (held[one.class_index == 2] > 0.1).any() and not (
        held[one.class_index != 2] > 0.01
    ).any()
    np.testing.assert_allclose(one.release, other.release, atol=8e-3)
    assert one.bend is not None and other.bend is not None
    for mine, yours in zip(one.bend, other.bend):
        assert (mine is None) == (yours is None)
        if mine is not None:
            np.testing.assert_allclose(mine, yours, atol=0.011)
            assert mine[-1, 1] == pytest.approx(4.0, abs=0.02)
