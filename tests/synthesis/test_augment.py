"""Synthetic instruments and varispeed change timbres, not notes or times."""

import numpy as np
import pretty_midi
import pytest
import soundfile as sf

from asteroid_scoresup.synthesis.augment import render_at_speed, render_varied
from asteroid_scoresup.synthesis.composer.palette import PITCH_RANGES
from asteroid_scoresup.synthesis.render import default_soundfont, render_instrument
from asteroid_scoresup.synthesis.synthesize import synthesize
from asteroid_scoresup.synthesis.timbre import KINDS, synthetic_instrument

RATE = 16000


def part(program=0, pitches=(60, 64, 67, 72)):
    instrument = pretty_midi.Instrument(program)
    instrument.notes = [
        pretty_midi.Note(100, pitch, 0.25 + 0.75 * i, 0.75 + 0.75 * i)
        for i, pitch in enumerate(pitches)
    ]
    return instrument


def onsets(audio, count):
    """Times at which the energy rises most, in seconds."""
    hop = 80
    energy = np.log(1e-4 + np.add.reduceat(audio**2, np.arange(0, len(audio), hop)))
    rise = np.maximum(energy[4:] - energy[:-4], 0)
    found = []
    for _ in range(count):
        place = int(rise.argmax())
        found.append((place + 3) * hop / RATE)
        rise[max(place - 20, 0) : place + 20] = 0
    return np.sort(found)


def energy_on_partials(audio, pitch, start):
    """Fraction of the energy above 50 Hz that is on the first 20 partials (± 3 %) of a pitch."""
    note = audio[int((start + 0.05) * RATE) : int((start + 0.45) * RATE)]
    spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)))) ** 2
    frequency = np.fft.rfftfreq(len(note), 1 / RATE)
    f0 = pretty_midi.note_number_to_hz(pitch)
    near = np.zeros(len(frequency), dtype=bool)
    for k in range(1, 21):
        near |= np.abs(frequency - k * f0) < max(0.03 * k * f0, 8)
    return spectrum[near].sum() / spectrum[frequency > 50].sum()


@pytest.mark.parametrize("semitones", [-4, -1, 3, 4])
def test_varispeed_keeps_pitches_and_times(semitones):
    played = part(program=4)
    bends = [pretty_midi.PitchBend(0, 1.0)]
    played.pitch_bends = list(bends)
    how = (3.5, RATE, default_soundfont(), "tinysoundfont")
    plain = render_instrument(played, *how)
    audio = render_at_speed(played, *how, semitones)
    assert audio.shape == plain.shape
    np.testing.assert_allclose(onsets(audio, 4), [0.25, 1.0, 1.75, 2.5], atol=0.015)
    for note in played.notes:
        assert energy_on_partials(audio, note.pitch, note.start) > 0.9
    # The part itself is not modified, the sound is.
    assert played.notes[0].pitch == 60 and played.notes[0].start == 0.25
    assert bends[0].time == 1.0
    assert not np.allclose(audio, plain, atol=0.003)


def test_varispeed_of_zero_semitones_changes_nothing():
    how = (2.0, RATE, default_soundfont(), "tinysoundfont")
    played = part()
    np.testing.assert_array_equal(render_at_speed(played, *how, 0), render_instrument(played, *how))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, program, base", [("piano", 0, 60), ("guitar", 25, 52), ("bass", 33, 36)]
)
def test_synthetic_instruments_play_the_given_notes(kind, program, base):
    pitches = [base, base + 4, base + 7, base + 12]
    fractions = []
    for seed in range(5):
        played = part(program, pitches)
        rng = np.random.default_rng(seed)
        audio = render_varied(
            played, 3.5, RATE, default_soundfont(), "tinysoundfont", rng, 1.0, 0.0
        )
        assert np.isfinite(audio).all() and 0.01 < np.abs(audio).max() < 1
        np.testing.assert_allclose(onsets(audio, 4), [0.25, 1.0, 1.75, 2.5], atol=0.03)
        fractions += [energy_on_partials(audio, note.pitch, note.start) for note in played.notes]
    # Attacks, tines and stiff strings have energy elsewhere.
    assert np.median(fractions) > 0.9 and min(fractions) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_instruments_differ_and_are_repeatable(kind):
    spectra = []
    for seed in range(6):
        preset = synthetic_instrument(kind, 0, RATE, np.random.default_rng(seed))
        low, high = PITCH_RANGES[kind]
        assert preset.tones[0].pitch == low and preset.tones[-1].pitch >= high
        assert max(np.abs(tone.samples).max() for tone in preset.tones) == pytest.approx(0.9)
        spectrum = np.abs(np.fft.rfft(preset.tones[2].samples, n=8192))[:2048]
        spectra.append(20 * np.log10(spectrum / spectrum.max() + 1e-4))
    again = synthetic_instrument(kind, 0, RATE, np.random.default_rng(seed))
    assert len(again.tones) == len(preset.tones)
    for one, other in zip(preset.tones, again.tones):
        np.testing.assert_array_equal(one.samples, other.samples)
    assert np.std(spectra, axis=0).mean() > 4  # dB


@pytest.mark.slow
def test_only_training_stems_are_augmented(tmp_path):
    options = dict(n_train=1, n_validation=1, n_test=1, n_test_unseen=1, seconds=4, quiet=True)
    options.update(sample_rate=16000, renderer="tinysoundfont", jobs=1, color_db=0.0)
    synthesize(tmp_path / "plain", synthetic=0.0, varispeed=0.0, **options)
    synthesize(tmp_path / "varied", synthetic=1.0, **options)
    for plain in sorted((tmp_path / "plain").glob("*/Track*/stems/S*.flac")):
        other = tmp_path / "varied" / plain.relative_to(tmp_path / "plain")
        same = np.array_equal(sf.read(plain)[0], sf.read(other)[0])
        assert same == ("train" not in plain.parts), plain
    for plain in sorted((tmp_path / "plain").glob("*/Track*/MIDI/S*.mid")):
        other = tmp_path / "varied" / plain.relative_to(tmp_path / "plain")
        assert plain.read_bytes() == other.read_bytes()
