"""SoundFonts that we write: two independent readers find what was put in."""

import shutil

import numpy as np
import pretty_midi
import pytest

from asteroid_scoresup.synthesis.render import render_instrument, render_notes
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.soundfont_reader import has_preset, soundfont_presets

RATE = 16000


def sine(pitch, seconds=2.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return Tone(pitch, 0.5 * np.sin(2 * np.pi * pretty_midi.note_number_to_hz(pitch) * time), RATE)


def frequency(audio):
    """Frequency of the strongest partial, in Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), n=8 * len(audio)))
    return spectrum.argmax() * RATE / (8 * len(audio))


def play(path, program, pitch, seconds=1.5, end=1.0):
    notes = [pretty_midi.Note(100, pitch, 0.2, end)]
    return render_notes(notes, program, seconds, RATE, path, "tinysoundfont")


def test_keys_between_and_beyond_the_samples_have_their_pitch(tmp_path):
    path = tmp_path / "a.sf2"
    write_soundfont(path, "bank", [Preset(25, "sines", (sine(60), sine(72)))])
    for pitch in (48, 60, 65, 66, 72, 79):
        audio = play(path, 25, pitch)[int(0.3 * RATE) : int(0.9 * RATE)]
        expected = pretty_midi.note_number_to_hz(pitch)
        assert frequency(audio) == pytest.approx(expected, rel=2e-3), pitch


def test_a_note_starts_on_time_and_ends_with_its_release(tmp_path):
    path = tmp_path / "a.sf2"
    ends = []
    for release in (0.02, 0.3):
        write_soundfont(path, "bank", [Preset(0, "sine", (sine(69),), release)])
        audio = play(path, 0, 69)
        audible = np.flatnonzero(np.abs(audio) > 1e-3 * np.abs(audio).max()) / RATE
        assert audible[0] == pytest.approx(0.2, abs=0.01)
        ends.append(audible[-1])
    # Players differ slightly in the curve of the release.
    assert 1.0 <= ends[0] < 1.03 and 1.12 < ends[1] < 1.3


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="fluidsynth is not installed")
@pytest.mark.parametrize("name", ["even", "odd", "a name that is far too long", ""])
def test_fluidsynth_reads_banks_of_any_name(tmp_path, name):
    path = tmp_path / "a.sf2"
    write_soundfont(path, name, [Preset(33, "low", (sine(40),))])
    notes = [pretty_midi.Note(100, 40, 0.2, 1.0)]
    audio = render_notes(notes, 33, 1.5, RATE, path, "fluidsynth")[int(0.3 * RATE) :]
    expected = pretty_midi.note_number_to_hz(40)
    assert frequency(audio[: int(0.6 * RATE)]) == pytest.approx(expected, rel=2e-3)


def test_presets_keep_their_programs_and_tones(tmp_path):
    path = tmp_path / "a.sf2"
    presets = [Preset(33, "low", (sine(40),)), Preset(0, "high", (sine(80), sine(90)))]
    write_soundfont(path, "bank", presets)
    assert soundfont_presets(path) == {(0, 0), (0, 33)}
    for program, pitch in ((33, 40), (0, 80), (0, 90)):
        audio = play(path, program, pitch)[int(0.3 * RATE) : int(0.9 * RATE)]
        assert frequency(audio) == pytest.approx(pretty_midi.note_number_to_hz(pitch), rel=2e-3)


def test_a_drum_kit_plays_its_keys(tmp_path):
    path = tmp_path / "a.sf2"
    presets = [Preset(8, "kit", (sine(36), sine(38)), bank=128), Preset(8, "sine", (sine(60),))]
    write_soundfont(path, "bank", presets)
    assert soundfont_presets(path) == {(0, 8), (128, 8)}
    assert has_preset(path, 0, is_drum=True) and not has_preset(path, 0, is_drum=False)
    for key in (36, 38):
        drums = pretty_midi.Instrument(8, is_drum=True)
        drums.notes = [pretty_midi.Note(100, key, 0.1, 1.0)]
        audio = render_instrument(drums, 1.0, RATE, path, "tinysoundfont")
        expected = pretty_midi.note_number_to_hz(key)
        assert frequency(audio[RATE // 4 : -RATE // 4]) == pytest.approx(expected, rel=0.01)


def test_the_same_tones_give_the_same_file(tmp_path):
    for name in "ab":
        write_soundfont(tmp_path / f"{name}.sf2", "bank", [Preset(0, "sine", (sine(69),))])
    assert (tmp_path / "a.sf2").read_bytes() == (tmp_path / "b.sf2").read_bytes()


@pytest.mark.parametrize(
    "presets, message",
    [
        ([], "needs a preset"),
        ([Preset(0, "empty", ())], "every preset a tone"),
        ([Preset(3, "a", (sine(60),)), Preset(3, "b", (sine(60),))], "two presets have the same"),
    ],
)
def test_invalid_presets_are_refused(tmp_path, presets, message):
    with pytest.raises(ValueError, match=message):
        write_soundfont(tmp_path / "a.sf2", "bank", presets)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_chunks_of_odd_size_may_lack_padding(tmp_path, padding):
    path = tmp_path / "a.sf2"
    write_soundfont(path, "bank", [Preset(7, "sine", (sine(69),))])
    content = path.read_bytes()
    place = content.index(b"LIST", content.index(b"sdta"))
    odd = b"LIST" + (7).to_bytes(4, "little") + b"junkabc" + padding
    path.write_bytes(content[:place] + odd + content[place:])
    assert soundfont_presets(path) == {(0, 7)}
