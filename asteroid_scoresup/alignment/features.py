r"""Features that audio and score are compared by: levels and rises of 88 semitone bands.

Both sides become two vectors per frame. The *spectrum* describes which pitches sound: the
compressed level of each band above its surroundings, of unit norm. The *rise* describes which
pitches begin: the positive change of the compressed level, with a norm of at most 1. In the score,
notes have partials of decreasing amplitude. All choices here are ours; features of this kind
(energy and onsets of pitch bands) come from Ewert, Müller and Grosche 2009.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from ..score import LOWEST_PITCH, N_PITCHES, Notes
from ..utils.stream import Recording, chunks, resampled

#: Sample rate of the analysis, in Hz.
RATE = 16000
#: Samples and seconds between frames of the levels.
STEP = 160
HOP = STEP / RATE
#: Lowest MIDI notes of the bands that each window (in samples) analyzes: longer windows resolve
#: the semitones of low notes.
WINDOWS = ((4096, 21), (2048, 50), (1024, 66))

#: Levels further below the loud bands of a recording count as silence, in dB.
FLOOR_DB = -60.0
#: Semitones from a note to its partials, and their amplitudes.
PARTIALS = ((0, 1.0), (12, 0.6), (19, 0.4), (24, 0.3), (28, 0.2), (31, 0.15))

_FRAMES = 2000  # analyzed at a time
_SURROUNDINGS = 19  # bands


def mono_chunks(recording: Recording) -> Iterator[tuple[np.ndarray, int]]:
    r"""The recording in chunks of mono samples at :data:`RATE`, with half a window around them.

    Yields:
        tuple: Samples, shape :math:`(time,)`, padded with zeros at the ends of the recording; and
        the number of frames in the chunk.
    """
    margin = WINDOWS[0][0] // 2
    blocks = (block.mean(axis=1, keepdims=True) for block in recording.blocks())
    stream = resampled(blocks, recording.sample_rate, RATE, 1)
    filled = (block for block in stream if len(block))
    # A recording shorter than one sample at this rate gives none.
    first = next(filled, np.zeros((1, 1), dtype=np.float32))
    for chunk in chunks(itertools.chain([first], filled), _FRAMES * STEP, margin):
        after = len(chunk.samples[0]) - chunk.start - chunk.length
        padded = np.pad(chunk.samples[0], (margin - chunk.start, margin - after))
        yield padded.astype(np.float32), -(-chunk.length // STEP)


def band_levels(recording: Recording, tuning_cents: float = 0.0) -> np.ndarray:
    r"""Levels of the semitone bands of a recording.

    Args:
        recording (Recording): Any number of channels, which are averaged.
        tuning_cents (float): Tuning of the recording relative to A = 440 Hz.

    Returns:
        :class:`numpy.ndarray`: RMS amplitude in dB, float16, shape :math:`(frames, 88)`; a frame
        lasts ``HOP`` seconds and is centered on its time.
    """
    banks = [_filters(n_fft, first, tuning_cents) for n_fft, first in WINDOWS]
    middle = WINDOWS[0][0] // 2
    done = []
    for samples, n_frames in mono_chunks(recording):
        signal = torch.from_numpy(samples)
        levels = np.empty((n_frames, N_PITCHES), dtype=np.float32)
        for (n_fft, first), (low, bank) in zip(WINDOWS, banks):
            stop = middle + (n_frames - 1) * STEP + n_fft // 2
            part = signal[middle - n_fft // 2 : stop]
            part = torch.nn.functional.pad(part, (0, n_fft + STEP * n_frames - len(part)))
            frames = part.unfold(0, n_fft, STEP)[:n_frames] * torch.hann_window(n_fft)
            spectrum = torch.fft.rfft(frames)[:, low : low + bank.shape[1]]
            power = (spectrum.real**2 + spectrum.imag**2) / (n_fft / 4) ** 2
            band = first - LOWEST_PITCH
            levels[:, band : band + len(bank)] = (power @ bank.T).numpy()
        done.append((10 * np.log10(levels + 1e-12)).astype(np.float16))
    return np.concatenate(done)


def _filters(n_fft: int, first: int, tuning_cents: float) -> tuple[int, torch.Tensor]:
    """First bin, and weights of shape (bands, bins), of the bands that a window analyzes."""
    later = [low for _, low in WINDOWS if low > first]
    pitches = np.arange(first, later[0] if later else LOWEST_PITCH + N_PITCHES)
    centers = 440 * 2 ** ((pitches - 69 + tuning_cents / 100) / 12)
    bins = np.arange(n_fft // 2 + 1) * RATE / n_fft
    width = np.maximum(centers * (2 ** (1 / 24) - 1), RATE / n_fft)
    weights = np.clip(1 - np.abs(bins - centers[:, None]) / (2 * width[:, None]), 0, None)
    used = np.flatnonzero(weights.any(axis=0))
    weights = weights[:, used[0] : used[-1] + 1]
    weights /= weights.sum(axis=1, keepdims=True)
    return int(used[0]), torch.from_numpy(weights.astype(np.float32))


def compressed(levels: np.ndarray, loud: float) -> np.ndarray:
    """Levels from 0 (60 dB below `loud`, or less) to 1 (at `loud`), float32."""
    scaled = (levels.astype(np.float32) - (loud + FLOOR_DB)) / -FLOOR_DB
    return np.clip(scaled, 0, None)


def loudness(levels: np.ndarray) -> float:
    """Level of the loud bands of a recording in dB, at least -90."""
    each = levels[:: max(1, len(levels) // 20000)].max(axis=1)
    return max(float(np.quantile(each.astype(np.float64), 0.9)), -90.0)


def shifted(bands: np.ndarray, semitones: int) -> np.ndarray:
    r"""Bands of shape :math:`(frames, 88)`, moved up; zeros come in."""
    moved = np.zeros_like(bands)
    if semitones >= 0:
        moved[:, semitones:] = bands[:, : N_PITCHES - semitones]
    else:
        moved[:, :semitones] = bands[:, -semitones:]
    return moved


def frame_vectors(spectrum: np.ndarray, rise: np.ndarray, typical: float) -> np.ndarray:
    """Joins spectra (unit norm, or zero in silence) and rises (norm up to 1) of frames."""
    norm = np.linalg.norm(spectrum, axis=1, keepdims=True)
    spectrum = spectrum / np.maximum(norm, 0.1)
    size = np.linalg.norm(rise, axis=1, keepdims=True)
    return np.concatenate([spectrum, rise / np.maximum(size, typical)], axis=1)


def audio_vectors(levels: np.ndarray, loud: float, every: int) -> np.ndarray:
    r"""Vectors of a recording.

    Args:
        levels (array): From :func:`band_levels`.
        loud (float): From :func:`loudness`.
        every (int): Frames of the levels per vector.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(n, 176)`: 88 bands of spectrum, and 88 of
        rise, at the centers of successive stretches.
    """
    n = -(-len(levels) // every)
    spectrum = np.empty((n, N_PITCHES), dtype=np.float32)
    rise = np.empty((n, N_PITCHES), dtype=np.float32)
    step = max(1, 20000 // every)
    for start in range(0, n, step):
        stop = min(start + step, n)
        first, last = start * every, min(stop * every, len(levels))
        around = compressed(levels[max(first - 3, 0) : last + 3], loud)
        around = np.pad(around, ((3 - min(first, 3), 0), (0, 0)), mode="edge")
        missing = (stop - start) * every + 6 - len(around)
        around = np.pad(around, ((0, missing), (0, 0)), mode="edge")
        change = np.maximum(around[5:-1] - around[1:-5], 0)
        level = around[3:-3].reshape(stop - start, every, N_PITCHES).mean(axis=1)
        above = level - uniform_filter1d(level, _SURROUNDINGS, axis=1, mode="nearest")
        spectrum[start:stop] = np.maximum(above, 0)
        rise[start:stop] = change.reshape(stop - start, every, N_PITCHES).max(axis=1)
    size = np.linalg.norm(rise, axis=1)
    typical = max(float(np.quantile(size, 0.8)), 1e-3) if n else 1.0
    return frame_vectors(spectrum, rise, typical)


def score_vectors(notes: Notes, hop: float, n_frames: int) -> np.ndarray:
    r"""Vectors of a score, from time 0; notes outside the 88 pitches are left out.

    Args:
        notes (Notes): The score.
        hop (float): Seconds per vector.
        n_frames (int): Number of vectors.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(n\_frames, 176)`.
    """
    level = np.zeros((n_frames, N_PITCHES), dtype=np.float32)
    rise = np.zeros((n_frames, N_PITCHES), dtype=np.float32)
    loud = np.sqrt(np.clip(notes.velocity, 1, 127) / 100).astype(np.float32)
    band = notes.pitch - LOWEST_PITCH
    first = np.clip((notes.onset / hop).astype(int), 0, n_frames - 1)
    end = np.minimum(np.maximum(notes.release, notes.onset + 0.15), notes.onset + 4.0)
    stop = np.clip(np.ceil(end / hop).astype(int), first + 1, n_frames)
    lengths = stop - first
    note = np.repeat(np.arange(len(band)), lengths)
    since = np.arange(len(note)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    fade = loud[note] * np.exp(-hop * since).astype(np.float32)
    for semitones, amplitude in PARTIALS:
        weight = np.float32(amplitude)
        row = band + semitones
        inside = (row >= 0) & (row < N_PITCHES)
        np.maximum.at(rise.ravel(), (first * N_PITCHES + row)[inside], weight * loud[inside])
        sounds = inside[note]
        where = (first[note] + since) * N_PITCHES + row[note]
        np.maximum.at(level.ravel(), where[sounds], weight * fade[sounds])
    return frame_vectors(np.sqrt(level), rise, 1.0)
