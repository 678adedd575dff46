"""From note probabilities to notes: decoding per class and its choice, velocities, MIDI."""

import numpy as np
import pretty_midi
import pytest
import torch

from asteroid_scoresup.dsp import STFT, FrameGrid
from asteroid_scoresup.evaluation import Decoding, choose_decoding, to_midi
from asteroid_scoresup.evaluation.decoding import default_program, pitch_levels, with_velocities
from asteroid_scoresup.score import Notes, piano_roll

HOP, RATE = 160, 16000
GRID = FrameGrid(2 * HOP, HOP, RATE)


def score():
    """Two classes: repeated notes of one pitch, and a slow scale."""
    onset = np.concatenate([np.arange(0, 4, 0.5), np.arange(0, 4, 1.0)])
    length = np.concatenate([np.full(8, 0.3), np.full(4, 0.8)])
    pitch = np.concatenate([np.full(8, 40), 60 + np.arange(4)])
    class_index = np.concatenate([np.zeros(8), np.ones(4)])
    return Notes(onset, onset + length, pitch, class_index, np.full(12, 90))


def test_each_class_has_its_own_threshold():
    roll = piano_roll(score(), 2, 450, GRID).numpy()
    roll[0] *= 0.35
    roll[1] *= 0.15
    found = Decoding((0.3, 0.1), (0.0, 0.0), (0.0, 0.0)).notes(roll, HOP, RATE)
    assert len(found) == len(score())
    assert len(Decoding((0.4, 0.1), (0.0,) * 2, (0.0,) * 2).notes(roll, HOP, RATE)) == 4


def test_the_decoding_is_chosen_per_class():
    """Class 0: low probabilities. Class 1: high ones, and short false notes of medium ones."""
    roll = piano_roll(score(), 2, 450, GRID).numpy()
    roll[0] *= 0.22
    roll[1] *= 0.9
    roll[1, 10:70:3, 50:54] = 0.45
    roll[1, 10:70:3, 150:154] = 0.45
    decoding = choose_decoding([(score(), roll, HOP, RATE)], ["a", "b"])
    assert decoding.threshold[0] <= 0.2
    found = decoding.notes(roll, HOP, RATE)
    assert [int((found.class_index == i).sum()) for i in (0, 1)] == [8, 4]


def test_a_class_that_never_plays_keeps_the_default():
    notes = score().select(score().class_index == 0)
    roll = piano_roll(notes, 2, 450, GRID).numpy()
    decoding = choose_decoding([(notes, roll, HOP, RATE)], ["a", "b"])
    assert decoding.threshold[1] == Decoding.default(2).threshold[1]


def test_plain_values_are_restored():
    decoding = Decoding((0.1, 0.2), (0.05, 0.1), (0.0, 0.04))
    assert Decoding.from_plain(decoding.plain(), 2) == decoding
    assert Decoding.from_plain(None, 3) == Decoding.default(3)
    with pytest.raises(ValueError, match="values for 2 classes, the model has 3"):
        Decoding.from_plain(decoding.plain(), 3)
    with pytest.raises(ValueError, match="one value per class"):
        Decoding((0.1,), (0.1, 0.2), (0.0,))


def test_louder_notes_get_higher_velocities():
    """A SoundFont plays velocities 40, 80 and 120 with amplitudes (v / 127) ** 2."""
    time = np.arange(RATE) / RATE
    velocities, wave = [40, 80, 120], []
    for velocity in velocities:
        amplitude = 0.3 * (velocity / 127) ** 2
        tone = sum(0.5**k * np.sin(2 * np.pi * 440 * (k + 1) * time) for k in range(4))
        wave.append(amplitude * tone * np.exp(-3 * time))
    stft = STFT(2048, 512, RATE)
    magnitude = stft.magnitude(stft(torch.tensor(np.concatenate(wave), dtype=torch.float32)[None]))
    levels = pitch_levels(magnitude, 2048, RATE)
    onset = np.array([0.0, 1.0, 2.0])
    notes = Notes(onset, onset + 0.9, [69] * 3, [0] * 3, [1] * 3)
    found = with_velocities(notes, levels[0].numpy(), 512, RATE).velocity
    np.testing.assert_allclose(found, velocities, atol=3)


def test_the_pitch_that_sounds_has_the_highest_level():
    time = np.arange(RATE) / RATE
    tone = sum(0.6**k * np.sin(2 * np.pi * 220 * (k + 1) * time) for k in range(6))
    stft = STFT(2048, 512, RATE)
    magnitude = stft.magnitude(stft(torch.tensor(tone, dtype=torch.float32)[None]))
    levels = pitch_levels(magnitude, 2048, RATE)
    assert levels.shape == (1, 88, magnitude.shape[-1])
    assert levels[0, :, 10].argmax() == 57 - 21


def test_midi_has_a_track_with_the_notes_of_each_class():
    midi = to_midi(score(), ["bass", "organ"], {"organ": 19})
    assert [(part.name, part.program) for part in midi.instruments] == [("bass", 33), ("organ", 19)]
    assert [len(part.notes) for part in midi.instruments] == [8, 4]
    assert default_program("lead vocals") == 80 and default_program("anything") == 0


def test_drums_are_a_drum_kit(tmp_path):
    for programs in ({"drums": 128}, None):
        midi = to_midi(score(), ["bass", "drums"], programs)
        midi.write(str(tmp_path / "a.mid"))
        parts = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).instruments
        assert [(p.name, p.is_drum) for p in parts] == [("bass", False), ("drums", True)]


def test_the_midi_of_a_very_long_song_can_be_read_again(tmp_path):
    """pretty_midi refuses files of more than ten million ticks."""
    onset = np.array([0.0, 0.5, 3 * 3600.0])
    notes = Notes(onset, onset + 0.25, [40, 41, 42], [0] * 3, [90] * 3)
    to_midi(notes, ["bass"]).write(str(tmp_path / "long.mid"))
    back = pretty_midi.PrettyMIDI(str(tmp_path / "long.mid")).instruments[0].notes
    np.testing.assert_allclose([note.start for note in back], onset, atol=2e-3)
