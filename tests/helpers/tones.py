"""Random music and its audio from decaying harmonic tones."""

import numpy as np

from asteroid_scoresup.score import Notes

RATE = 16000


def random_notes(seed, count=60, every=0.5):
    """Chords of two or three notes over a bass, on a grid with gaps."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        if rng.random() < 0.15:
            continue
        start = number * every
        for pitch in {
            int(rng.integers(36, 52)),
            *rng.integers(55, 80, rng.integers(1, 4)).tolist(),
        }:
            rows.append((start, start + every * rng.uniform(0.6, 1.5), pitch, 0, 90))
    return Notes(*np.array(sorted(rows)).T)


def render(notes, tuning_cents=0.0, tail=1.0):
    """Mono samples at :data:`RATE`; each note has five partials and decays."""
    audio = np.zeros(int((notes.offset.max() + tail) * RATE), dtype=np.float32)
    for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch):
        time = np.arange(int((offset - onset) * RATE)) / RATE
        f0 = 440 * 2 ** ((pitch - 69 + tuning_cents / 100) / 12)
        tone = sum(0.6**k * np.sin(2 * np.pi * f0 * (k + 1) * time) for k in range(5))
        fade = np.minimum(1, time / 0.004) * np.exp(-3 * time)
        fade *= np.minimum(1, (time[-1] - time) / 0.01)
        start = int(round(onset * RATE))
        audio[start : start + len(time)] += (0.1 * tone * fade).astype(np.float32)
    return audio


def at_clock(notes, score_times, audio_times):
    """Notes of the audio's clock on the clock of a score."""
    columns = {
        n: np.interp(getattr(notes, n), audio_times, score_times) for n in ("onset", "offset")
    }
    return notes.replace(**columns, release=columns["offset"])
