"""Drum kits: every key of the composer plays its sample, and only kits are in the SoundFont."""

import numpy as np
import pretty_midi
import pytest
import soundfile

from asteroid_scoresup.synthesis.composer import drums
from asteroid_scoresup.synthesis.drum_kits import HITS, PROGRAMS, write_drum_kits
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.soundfont_reader import has_preset, soundfont_presets

RATE = 44100
FREQUENCIES = {name: 200.0 + 40 * i for i, name in enumerate(sorted({*sum(HITS.values(), ())}))}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Sines of different frequencies, one of them late, stereo and at another rate."""
    folder = tmp_path_factory.mktemp("samples")
    for name, hz in FREQUENCIES.items():
        odd = name == "drum_cowbell"
        rate = 48000 if odd else RATE
        time = np.arange(rate // 2) / rate
        wave = 0.7 * np.sin(2 * np.pi * hz * time)
        if odd:
            wave = np.stack([np.concatenate([np.zeros(rate // 4), wave])] * 2, axis=1)
        soundfile.write(folder / f"{name}.flac", wave, rate)
    return folder


def test_kits_play_the_samples_of_their_keys(samples, tmp_path):
    path = tmp_path / "kits.sf2"
    write_drum_kits(path, samples)
    assert soundfont_presets(path) == {(128, program) for program in PROGRAMS}
    assert not has_preset(path, 0, is_drum=False)
    played = {}
    for program in PROGRAMS[:3]:
        for keys, names in HITS.items():
            part = pretty_midi.Instrument(program, is_drum=True)
            part.notes = [pretty_midi.Note(100, keys[0], 0.0, 0.4)]
            audio = render_instrument(part, 0.4, RATE, path, "tinysoundfont")
            assert np.argmax(np.abs(audio) > 0.1 * np.abs(audio).max()) < 0.02 * RATE
            spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
            hz = spectrum.argmax() * RATE / (8 * len(audio))
            # Tuned by at most two semitones and a half.
            near = [abs(12 * np.log2(hz / FREQUENCIES[name])) < 2.5 for name in names]
            assert any(near), (program, keys, hz)
            played.setdefault(keys, set()).add(round(hz))
    assert len(played[35, 36]) == 3  # kits differ


def test_every_key_of_the_composer_has_a_sample():
    known = {key for keys in HITS for key in keys}
    groups = (drums.CYMBALS, drums.KICKS, drums.SNARES, drums.TOMS, drums.CRASHES)
    assert {key for keys in groups for key in keys} <= known


def test_kits_are_repeatable_and_bad_samples_are_named(samples, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_drum_kits(tmp_path / f"{name}.sf2", samples, seed)
    first, same, other = ((tmp_path / f"{name}.sf2").read_bytes() for name in "abc")
    assert first == same != other
    with pytest.raises(FileNotFoundError, match="is missing .Debian: apt install sonic-pi-samples"):
        write_drum_kits(tmp_path / "d.sf2", tmp_path)
    for name in FREQUENCIES:
        (tmp_path / f"{name}.flac").write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"the sample .*\.flac cannot be read"):
        write_drum_kits(tmp_path / "d.sf2", tmp_path)
    for name in FREQUENCIES:
        soundfile.write(tmp_path / f"{name}.flac", np.zeros(100), RATE)
    with pytest.raises(ValueError, match=r"the sample .*\.flac is silent"):
        write_drum_kits(tmp_path / "d.sf2", tmp_path)
    assert not (tmp_path / "d.sf2").exists()
