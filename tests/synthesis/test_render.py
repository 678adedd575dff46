"""Rendering: pitch, time and level of notes, control changes, errors."""

import importlib.util
import os
import shutil
import stat
import sys

import numpy as np
import pretty_midi
import pytest

from asteroid_scoresup.synthesis import render, soundfont_reader
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, UNSEEN_PALETTE
from asteroid_scoresup.synthesis.render import (
    default_soundfont,
    render_instrument,
    render_notes,
    resolve_renderer,
)
from asteroid_scoresup.synthesis.soundfont_reader import soundfont_presets

HAS = {
    "fluidsynth": shutil.which("fluidsynth") is not None,
    "tinysoundfont": importlib.util.find_spec("tinysoundfont") is not None,
}
RENDERERS = [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"{name} is not installed"))
    for name, there in HAS.items()
]
each_renderer = pytest.mark.parametrize("renderer", RENDERERS)


def note(pitch, start=0.1, end=1.1, velocity=100):
    return pretty_midi.Note(velocity=velocity, pitch=pitch, start=start, end=end)


def energy_at_odd_partials(audio, rate, f0):
    """Fraction of the energy at f0, 3 f0, 5 f0, ...: small if the note sounds an octave higher."""
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 2**17)) ** 2
    freqs = np.fft.rfftfreq(2**17, 1 / rate)
    near = [np.abs(freqs - f0 * k) < max(0.02 * f0, 3.0) for k in (1, 3, 5, 7, 9)]
    return power[np.logical_or.reduce(near)].sum() / power.sum()


@pytest.mark.parametrize("renderer", RENDERERS[1:])
@pytest.mark.parametrize("kind", ["piano", "guitar", "bass"])
@pytest.mark.slow
def test_every_program_sounds_at_its_written_pitch(kind, renderer):
    for program in (*getattr(TRAIN_PALETTE, kind), *getattr(UNSEEN_PALETTE, kind)):
        pitches = (33, 45) if kind == "bass" else (55, 67)
        for pitch in pitches:
            audio = render_notes([note(pitch, 0.1, 1.0)], program, 1.0, 16000, None, renderer)
            fraction = energy_at_odd_partials(
                audio[3200:], 16000, pretty_midi.note_number_to_hz(pitch)
            )
            assert fraction > 0.2, (program, pitch, fraction)


@pytest.mark.skipif(not HAS["tinysoundfont"], reason="tinysoundfont is not installed")
@pytest.mark.slow
def test_unseen_programs_use_no_sample_of_a_training_program():
    """Two programs with the same recording have the same waveform, up to a gain."""

    def waveform(program, pitch):
        part = [note(pitch, 0.0, 0.6)]
        audio = render_notes(part, program, 0.5, 16000, None, "tinysoundfont")[1600:]
        return audio / np.linalg.norm(audio)

    def likeness(one, other):
        spectra = [np.fft.rfft(audio, 2 * len(one)) for audio in (one, other)]
        return np.abs(np.fft.irfft(spectra[0] * spectra[1].conj())).max()

    for pitch in (40, 52, 64):
        assert likeness(waveform(0, pitch), waveform(1, pitch)) > 0.95  # the same piano
        for kind in ("piano", "guitar", "bass"):
            known = [waveform(program, pitch) for program in getattr(TRAIN_PALETTE, kind)]
            for program in getattr(UNSEEN_PALETTE, kind):
                own = waveform(program, pitch)
                assert max(likeness(own, other) for other in known) < 0.95, (program, pitch)


@each_renderer
def test_guitar_harmonics_would_sound_an_octave_off(renderer):
    """This is why no palette contains program 31."""
    audio = render_notes([note(55)], 31, 1.2, 16000, None, renderer)
    assert energy_at_odd_partials(audio[3200:], 16000, pretty_midi.note_number_to_hz(55)) < 0.02


@each_renderer
def test_frequency_of_a_note(renderer):
    audio = render_notes([note(69, 0.0, 1.0)], 5, 1.0, 16000, None, renderer)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 2**18))
    freqs = np.fft.rfftfreq(2**18, 1 / 16000)
    window = (freqs > 400) & (freqs < 480)
    assert abs(freqs[window][spectrum[window].argmax()] - 440.0) < 2.0


@each_renderer
@pytest.mark.parametrize("program", [0, 26, 34])
def test_onset_comes_within_ten_milliseconds(program, renderer):
    rate = 44100
    audio = render_notes([note(50, 0.5, 1.0)], program, 1.0, rate, None, renderer)
    onset = np.argmax(np.abs(audio) > 0.01 * np.abs(audio).max()) / rate
    assert 0.0 <= onset - 0.5 < 0.010
    assert np.abs(audio[: int(0.499 * rate)]).max() < 1e-4


@each_renderer
def test_rendering_is_reproducible_and_not_normalized(renderer):
    def play(*notes):
        return render_notes(list(notes), 26, 0.8, 44100, None, renderer)

    low, high = note(40, 0.1, 0.6), note(64, 0.2, 0.6)
    assert np.array_equal(play(low, high), play(low, high))
    # Linear to -60 dB: no normalization, no limiter, no state of an earlier stem. (tinysoundfont
    # updates envelopes in blocks, whose boundaries depend on the other notes.)
    np.testing.assert_allclose(play(low, high), play(low) + play(high), atol=2e-4)
    soft = play(note(40, 0.1, 0.6, velocity=40))
    assert np.abs(soft).max() < 0.6 * np.abs(play(low)).max()


@each_renderer
def test_a_loud_chord_does_not_reach_full_scale(renderer):
    chord = [note(pitch, velocity=127) for pitch in (40, 47, 52, 56, 59, 64)]
    for program in (0, 30):
        assert np.abs(render_notes(chord, program, 1.0, 44100, None, renderer)).max() < 1.0


@each_renderer
def test_bends_volume_and_pedal_are_played(renderer):
    def play(**changes):
        part = pretty_midi.Instrument(5)
        part.notes = [note(69, 0.0, 0.4)]
        part.control_changes = [
            pretty_midi.ControlChange(number, value, 0.0) for number, value in changes.get("cc", [])
        ]
        part.pitch_bends = [pretty_midi.PitchBend(b, 0.0) for b in changes.get("bend", [])]
        return render_instrument(part, 1.0, 16000, None, renderer)

    plain = play()
    bent = play(bend=[8191])  # two semitones up, the default range
    freqs = np.fft.rfftfreq(2**16, 1 / 16000)
    peak = {
        name: freqs[np.abs(np.fft.rfft(audio[:6400], 2**16)).argmax()]
        for name, audio in {"plain": plain, "bent": bent}.items()
    }
    assert abs(12 * np.log2(peak["bent"] / peak["plain"]) - 2) < 0.2
    # A wider range, set by a sequence of control changes whose order matters.
    wide = play(bend=[8191], cc=[(101, 0), (100, 0), (6, 12), (38, 0)])
    wide_peak = freqs[np.abs(np.fft.rfft(wide[:6400], 2**16)).argmax()]
    assert abs(12 * np.log2(wide_peak / peak["plain"]) - 12) < 0.3
    assert np.abs(play(cc=[(7, 40)])).max() < 0.5 * np.abs(plain).max()
    assert np.abs(play(cc=[(11, 40)])).max() < 0.5 * np.abs(plain).max()
    tail = slice(int(0.8 * 16000), None)
    held = play(cc=[(64, 127)])  # held at the end: rendering must end nevertheless
    assert np.abs(held[tail]).max() > 5 * np.abs(plain[tail]).max()
    # Pan does not change a mono stem.
    np.testing.assert_array_equal(play(cc=[(10, 0)]), plain)


@each_renderer
def test_length_and_cut(renderer):
    late = [note(60, 0.2, 5.0), note(72, 3.0, 4.0)]
    for seconds, rate in ((1.0, 16000), (0.7331, 8000), (6.0, 22050)):
        audio = render_notes(late, 0, seconds, rate, None, renderer)
        assert audio.dtype == np.float32 and audio.shape == (round(seconds * rate),)
    silence = render_instrument(pretty_midi.Instrument(0), 0.5, 16000, None, renderer)
    assert silence.shape == (8000,) and not silence.any()


@each_renderer
def test_drums(renderer):
    kit = pretty_midi.Instrument(0, is_drum=True)
    kit.notes = [note(36, 0.1, 0.2), note(38, 0.4, 0.5)]
    assert np.abs(render_instrument(kit, 1.0, 16000, None, renderer)).max() > 0.01


@pytest.mark.skipif(not all(HAS.values()), reason="needs both renderers")
def test_the_renderers_agree():
    """Magnitude spectra correlate, although envelopes differ."""
    for program in (0, 26, 33):
        spectra = []
        for renderer in HAS:
            audio = render_notes([note(48)], program, 1.0, 16000, None, renderer)
            spectra.append(np.abs(np.fft.rfft(audio)))
        assert np.corrcoef(*spectra)[0, 1] > 0.9


def test_bad_values_are_named(tmp_path):
    with pytest.raises(ValueError, match="unknown renderer 'timidity'"):
        resolve_renderer("timidity")
    with pytest.raises(FileNotFoundError, match="SoundFont not found: .*nowhere.sf2"):
        render_notes([note(60)], 0, 1.0, soundfont=tmp_path / "nowhere.sf2")
    fake = tmp_path / "fake.sf2"
    fake.write_bytes(b"RIFF0000WAVEfmt ")
    with pytest.raises(ValueError, match="fake.sf2 is not a SoundFont"):
        render_notes([note(60)], 0, 1.0, soundfont=fake)
    cut = tmp_path / "cut.sf2"
    cut.write_bytes(default_soundfont().read_bytes()[:5000])
    with pytest.raises(ValueError, match="damaged SoundFont"):
        soundfont_presets(cut)
    with pytest.raises(ValueError, match="cannot render 0 seconds"):
        render_notes([], 0, 0)
    with pytest.raises(ValueError, match="cannot render at 0 Hz"):
        render_notes([], 0, 1.0, sample_rate=0)


def test_a_program_that_the_soundfont_lacks_is_named(monkeypatch):
    monkeypatch.setattr(soundfont_reader, "soundfont_presets", lambda path: frozenset({(0, 0)}))
    with pytest.raises(ValueError, match="has no program 33"):
        render_notes([note(40)], 33, 0.5)
    kit = pretty_midi.Instrument(0, is_drum=True)
    with pytest.raises(ValueError, match="has no drum kit"):
        render_instrument(kit, 0.5)


def test_a_missing_default_soundfont_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pretty_midi, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match="reinstall pretty_midi, or name a SoundFont"):
        default_soundfont()


def test_missing_renderers_say_how_to_install_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="apt install fluidsynth"):
        resolve_renderer("fluidsynth")
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    for name in ("auto", "tinysoundfont"):
        with pytest.raises(FileNotFoundError, match="pip install --no-deps tinysoundfont"):
            resolve_renderer(name)


def fake_fluidsynth(folder, body, monkeypatch):
    program = folder / "fluidsynth"
    program.write_text("#!/bin/sh\n" + body)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="fluidsynth is not installed")
@pytest.mark.parametrize("program, is_drum", [(0, False), (33, False), (0, True)])
def test_a_soundfont_that_fluidsynth_cannot_read_is_not_replaced(tmp_path, program, is_drum):
    data = default_soundfont().read_bytes()
    path = tmp_path / "damaged.sf2"
    # The presets can still be read, and the name has an odd size.
    place = data.index(b"INAM") + 4
    size = int.from_bytes(data[place : place + 4], "little")
    path.write_bytes(data[:place] + (size - 1).to_bytes(4, "little") + data[place + 4 :])
    part = pretty_midi.Instrument(program, is_drum)
    part.notes = [note(60)]
    with pytest.raises(OSError, match="damaged.sf2 is not a SoundFont that fluidsynth can read: I"):
        render_instrument(part, 0.5, 16000, path, "fluidsynth")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_renderer_that_fails_or_hangs_is_reported(tmp_path, monkeypatch):
    fake_fluidsynth(tmp_path, "echo no more memory; exit 3\n", monkeypatch)
    with pytest.raises(OSError, match="fluidsynth failed with .*: no more memory"):
        render_notes([note(60)], 0, 0.5, renderer="fluidsynth")
    fake_fluidsynth(tmp_path, "exec sleep 30\n", monkeypatch)
    monkeypatch.setattr(render, "_PATIENCE", 0.2)
    with pytest.raises(TimeoutError, match="did not end within"):
        render_notes([note(60)], 0, 0.01, renderer="fluidsynth")
