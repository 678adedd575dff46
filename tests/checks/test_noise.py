"""Stems that are noise or a single tone are found, and no instrument is mistaken for one."""

import numpy as np
import pretty_midi
import pytest
from scipy.signal import butter, sosfilt
from slakh_folder import RATE, melody, play, write_song, write_stem, write_track

from asteroid_scoresup.checks.label_check import check_song
from asteroid_scoresup.checks.noise import NOISE, SINGLE_TONE, find_defect
from asteroid_scoresup.data import Manifest
from asteroid_scoresup.data.classes import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.data.discovery import find_songs
from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.data.reader import read_song
from asteroid_scoresup.data.settings import Settings
from asteroid_scoresup.score import Notes
from asteroid_scoresup.synthesis.render import render_instrument

SECONDS = 8.0
TIME = np.arange(round(SECONDS * RATE)) / RATE


def to_notes(rows, class_index=0):
    table = np.array(rows).reshape(-1, 4).T
    return Notes(table[0], table[1], table[2], np.full(len(rows), class_index), table[3])


def noise(kind, seed=0):
    white = 0.1 * np.random.default_rng(seed).standard_normal(len(TIME))
    if kind == "white":
        return white
    if kind == "uniform":
        return np.random.default_rng(seed).uniform(-0.2, 0.2, len(TIME))
    if kind == "pink":
        spectrum = np.fft.rfft(white)
        return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20))) * 30
    low, high = kind
    return sosfilt(butter(4, [low, high], "bandpass", fs=RATE, output="sos"), white)


KINDS = ["white", "uniform", "pink", (200, 2000), (900, 1100), (2000, 7000), (60, 300)]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("low", "chord"), [(30, 1), (50, 3), (72, 1)])
def test_noise_of_any_color_is_found(kind, low, chord):
    rows = melody(low, SECONDS, low, chord=chord)
    assert find_defect(noise(kind, low).astype(np.float32), RATE, to_notes(rows)) == NOISE


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_noise_at_any_rate(rate):
    audio = 0.1 * np.random.default_rng(rate).standard_normal(round(SECONDS * rate))
    assert find_defect(audio.astype(np.float32), rate, to_notes(melody(1, SECONDS))) == NOISE


def test_noise_that_starts_and_stops_with_the_notes_is_found():
    rows = melody(2, SECONDS, 45)
    gate = np.zeros(len(TIME))
    for onset, offset, _, velocity in rows:
        gate[(onset <= TIME) & (offset > TIME)] = velocity / 127
    assert find_defect((gate * noise("white")).astype(np.float32), RATE, to_notes(rows)) == NOISE


@pytest.mark.parametrize(("frequency", "chord"), [(60.0, 1), (440.0, 3), (1000.0, 1)])
@pytest.mark.parametrize("wave", ["sine", "saw", "gated"])
def test_a_single_tone_is_found(frequency, wave, chord):
    rows = melody(3, SECONDS, 45, chord=chord)
    audio = 0.1 * np.sin(2 * np.pi * frequency * TIME)
    if wave == "saw":
        audio = 0.1 * (2 * (frequency * TIME % 1) - 1)
    if wave == "gated":
        audio *= np.any([(a <= TIME) & (b > TIME) for a, b, _, _ in rows], axis=0)
    assert find_defect(audio.astype(np.float32), RATE, to_notes(rows)) == SINGLE_TONE


def test_notes_of_one_pitch_may_sound_like_one_tone():
    """A pedal point, and a melody that keeps returning to one note."""
    rows = [(a, b, 40, v) for a, b, _, v in melody(4, SECONDS)]
    assert find_defect(play(rows, SECONDS), RATE, to_notes(rows)) is None
    rows = [(a, b, 40 if k % 4 else p, v) for k, (a, b, p, v) in enumerate(melody(4, SECONDS, 30))]
    assert find_defect(play(rows, SECONDS), RATE, to_notes(rows)) is None


# Of all families; 13 (xylophone), 55 (orchestra hit) and 52 (choir) come closest to noise. Low,
# dense and distorted instruments are included.
PROGRAMS = (0, 13, 17, 24, 29, 30, 31, 32, 36, 37, 47, 52, 55, 65, 75, 81)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.slow
def test_no_instrument_is_mistaken_for_noise(program):
    chord = 3 if program % 2 else 1
    rows = melody(program, SECONDS, 28 if 32 <= program < 40 else 48, span=14, chord=chord)
    instrument = pretty_midi.Instrument(program)
    instrument.notes = [pretty_midi.Note(v, p, a, b) for a, b, p, v in rows]
    audio = render_instrument(instrument, SECONDS, RATE, renderer="tinysoundfont")
    for semitones in (0, -12, -3):  # also with wrong labels
        notes = to_notes(rows)
        assert find_defect(audio, RATE, notes.replace(pitch=notes.pitch - semitones)) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["reverberant", "clipped", "noisy", "hum"])
def test_bad_recordings_are_not_noise(kind):
    rows = melody(5, SECONDS, 45, chord=3)
    audio = play(rows, SECONDS).astype(np.float64)
    rng = np.random.default_rng(0)
    if kind == "reverberant":  # a church, two seconds of reverberation
        tail = rng.standard_normal(2 * RATE) * 10 ** (-3 * np.arange(2 * RATE) / (2 * RATE))
        audio = np.convolve(audio, tail)[: len(TIME)]
    if kind == "clipped":
        audio = np.tanh(100 * audio)
    if kind == "noisy":  # 10 dB below
        audio += 10**-0.5 * np.sqrt(np.mean(audio**2)) * rng.standard_normal(len(TIME))
    if kind == "hum":
        audio += 0.1 * np.sin(2 * np.pi * 50 * TIME)
    assert find_defect(audio.astype(np.float32), RATE, to_notes(rows)) is None


@pytest.mark.parametrize("audio", [np.zeros(RATE), np.zeros(10), np.full(RATE, 0.1)])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_little_evidence_is_not_a_defect(audio, count):
    notes = to_notes(melody(6, 1.5, gap=(0.05, 0.1))[:count])
    assert find_defect(audio.astype(np.float32), RATE, notes) in (None, SINGLE_TONE)


# ------------------------------------------------------------------------------- consequences
def write_noisy_track(folder, defect, generated):
    rows = melody(7, SECONDS, 50)
    bad = noise("white") if defect == NOISE else 0.1 * np.sin(2 * np.pi * 1000 * TIME)
    stems = [
        write_stem(folder, 0, "guitar", melody(8, SECONDS, 48), seconds=SECONDS),
        write_stem(folder, 1, "guitar", rows, bad.astype(np.float32)),
        write_stem(folder, 2, "piano", melody(9, SECONDS, 62), seconds=SECONDS),
        write_stem(folder, 3, "drums", [(0.5, 0.6, 38, 100)], noise("white").astype(np.float32)),
    ]
    return write_track(folder, stems, generated)


@pytest.mark.parametrize("defect", [NOISE, SINGLE_TONE])
@pytest.mark.parametrize("generated", [True, False])
@pytest.mark.parametrize("mixture", ["submix", "song"])
@pytest.mark.slow
def test_a_stem_that_is_noise_is_treated_as_a_known_problem(tmp_path, defect, generated, mixture):
    write_noisy_track(tmp_path / "in" / "Track00007", defect, generated)
    report = prepare(tmp_path / "in", tmp_path / "out", mixture=mixture, jobs=1, progress=False)
    (group,) = report["dropped"]
    assert (group["what"], group["reason"]) == ("stem", f"found by the label check: {defect}")
    assert group["where"] == ["Track00007/S01"]
    assert group["notes"] == len(melody(7, SECONDS, 50))
    assert f"found by the label check: {defect} [Track00007/S01]" in summary(report)
    manifest = Manifest.load(tmp_path / "out")
    (track,) = manifest.tracks
    assert track.n_notes["guitar"] == len(melody(8, SECONDS, 48))
    assert ("residual" in track.stems) == (mixture == "song")


def test_a_stem_that_is_noise_gives_a_warning(tmp_path):
    """In folders prepared without this check."""
    rows = melody(10, SECONDS, 50)
    audio = noise("white").astype(np.float32)
    names = ("guitar", "piano")
    other = melody(11, SECONDS, 62)
    notes = Notes.concatenate([to_notes(rows, 0), to_notes(other, 1)])
    stems = {"guitar": audio, "piano": play(other, SECONDS)}
    found = check_song(notes, names, RATE, sum(stems.values()), stems)
    assert found["guitar"]["defect"] == NOISE and found["piano"]["defect"] is None
    assert found["guitar"]["semitones"] is None and found["piano"]["semitones"] == 0
    (warning,) = found["warnings"]
    assert warning.startswith("the stem of guitar is not an instrument (noise): prepare")


def test_classes_without_pitch_may_be_noise(tmp_path):
    write_song(tmp_path / "in" / "Track00001", seconds=SECONDS)
    classes = "guitar=24-31,Guitar;drums=128,Drums"
    report = prepare(tmp_path / "in", tmp_path / "out", classes, jobs=1, progress=False)
    assert not report["dropped"] and not report["warnings"]


@pytest.mark.parametrize("layout", ["slakh2100_flac_redux", "babyslakh_16k"])
def test_real_stems_are_instruments(real_data, layout):
    (source,) = (s for s in find_songs(real_data / layout)[1] if s.id == "Track00001")
    song = read_song(source, Settings(ClassMap.parse(DEFAULT_CLASSES)))
    assert not any("label check" in drop["reason"] for drop in song.facts["drops"])
