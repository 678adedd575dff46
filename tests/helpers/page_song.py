"""A song of tones for the tests of the listening page: its stems, its score, a transcription."""

import numpy as np
import soundfile as sf

from asteroid_scoresup.score import Notes

RATE, SECONDS = 16000, 5.0
NAMES = ("bass", "guitar", "piano")
#: One note after the other, per stem.
PITCHES = ((40, 43, 45, 40), (57, 60, 64, 57), (76, 79, 72, 76))


def score():
    rows = [
        (0.2 + 1.2 * i, 1.2 + 1.2 * i, pitch, source, 90)
        for source, pitches in enumerate(PITCHES)
        for i, pitch in enumerate(pitches)
    ]
    return Notes.concatenate([Notes(*zip(*rows))])


def transcription():
    """The score with one note an octave too high and one note missed."""
    notes = score()
    pitch = notes.pitch.copy()
    pitch[2] += 12
    return notes.replace(pitch=pitch).select(np.arange(len(notes)) != 5)


def tones(notes, rate=RATE, seconds=SECONDS):
    time = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(time))
    for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch):
        envelope = np.clip(np.minimum(time - onset, offset - time) / 0.02, 0, 1)
        for partial in (1, 2, 3):
            phase = 2 * np.pi * partial * 440 * 2 ** ((pitch - 69) / 12) * time
            sound += 0.15 / partial**2 * envelope * np.sin(phase)
    return sound


def write_song(folder):
    """Stereo files of the mixture and of each stem; returns their paths."""
    notes, stems = score(), {}
    for source, name in enumerate(NAMES):
        sound = tones(notes.select(notes.class_index == source))
        stems[name] = np.stack([sound, 0.6 * sound], axis=1)
    sounds = {"mixture": sum(stems.values()), **stems}
    for name, sound in sounds.items():
        sf.write(folder / f"{name}.wav", sound, RATE, subtype="FLOAT")
    return folder / "mixture.wav", {name: folder / f"{name}.wav" for name in NAMES}
