r"""The label check, stems: is a stem an instrument that plays its notes?

Some stems of Slakh2100 are white noise or a single tone. Both have energy at every partial of every
note, so that a search for silent notes does not find them. A stem counts as defective only if it
fails by itself *and* against its notes:

- Against its notes: their partials do not stand out from the bins between them.
- **Noise** by itself: its spectrum is flat within narrow bands (spectral flatness, the geometric
  over the arithmetic mean of the power: about :math:`e^{-\gamma} = 0.56` for noise of any color,
  seldom above 0.3 for instruments).
- **Single tone** by itself: its power stays at the same frequencies while its notes move.

Either of the two alone is not enough: a stem that hums or hisses may still play its notes, and a
stem whose labels have a wrong pitch is not noise.

Instruments without pitch (drums, effects) are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pretty_midi import note_number_to_hz

from ..score import Notes
from .spectra import Excerpt, find_excerpts

#: The defects by name.
NOISE, SINGLE_TONE = "noise", "single tone"
#: Their names here and in the list of known problems of Slakh2100.
DEFECTS = (NOISE, "white noise", SINGLE_TONE)

#: Mean spectral flatness above which a stem may be noise. Noise in a band of 200 Hz has 0.47, white
#: noise 0.59; an orchestra hit has 0.45, other instruments have less than 0.35.
FLATNESS = 0.46
#: How far the partials of its notes stand out from a stem that plays them, in dB.
CONTRAST_DB = 2.5
#: Fraction of the power that never moves, above which a stem is a single tone.
CONSTANCY = 0.6

_BAND = 24  # bins of a band, 94 Hz: a few partials of the lowest bass
_LOWEST = 6  # bins below 23 Hz are inaudible
_MIN_FRAMES = 20
_MIN_NOTES = 8
_MAX_NOTES = 80


def find_defect(signal: np.ndarray, sample_rate: float, notes: Notes) -> str | None:
    r"""Tests whether a stem is noise or a single tone instead of its notes.

    Args:
        signal (array): The stem, shape :math:`(time,)`.
        sample_rate (float): Its rate, in Hz.
        notes (Notes): The notes that it should play; their octave does not matter.

    Returns:
        str or None: ``"noise"`` (of any color), ``"single tone"``, or None.
    """
    spans = find_excerpts(notes, len(signal) / sample_rate)
    excerpts = [Excerpt(signal, sample_rate, *span) for span in spans]
    tables = [notes.select((notes.onset >= a) & (notes.onset < b)) for a, b in spans]
    return defect_in_excerpts(excerpts, tables)


def defect_in_excerpts(excerpts: Sequence[Excerpt], tables: Sequence[Notes]) -> str | None:
    """As :func:`find_defect`, given excerpts of the stem and the notes in each."""
    flatness = np.concatenate([_flatness(excerpt) for excerpt in excerpts])
    spectra = [_note_spectra(e, t) for e, t in zip(excerpts, tables) if len(t)]
    if not spectra:
        return None
    pitch = np.concatenate([pitch for pitch, _, _ in spectra])
    per_bin = spectra[0][1]
    power = np.concatenate([power for _, _, power in spectra])
    if len(flatness) < _MIN_FRAMES or not len(pitch):
        return None
    if _contrast(pitch, power, per_bin) >= CONTRAST_DB:
        return None  # it plays its notes, with whatever hum or hiss
    if flatness.mean() > FLATNESS:
        return NOISE
    varied = any(_is_varied(table) for table in tables)
    return SINGLE_TONE if varied and _constancy(excerpts) > CONSTANCY else None


def _flatness(excerpt: Excerpt) -> np.ndarray:
    """Spectral flatness of the loud frames: the weighted mean over narrow bands."""
    power, _, _ = excerpt.spectrum(0.256, 0.064)
    power = power[_LOWEST:]
    total = power.sum(axis=0)
    loud = total > max(1e-3 * np.percentile(total, 95), 1e-10)
    n_bands = len(power) // _BAND
    bands = power[: n_bands * _BAND, loud].reshape(n_bands, _BAND, int(loud.sum()))
    mean = bands.mean(axis=1)
    flat = np.exp(np.log(np.maximum(bands, 1e-20)).mean(axis=1)) / np.maximum(mean, 1e-20)
    # Weighted by the root of the power, so that one humming tone does not outweigh the noise.
    weight = np.sqrt(mean)
    return (flat * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-20)


def _note_spectra(excerpt: Excerpt, notes: Notes) -> tuple[np.ndarray, float, np.ndarray]:
    """Pitches of the longest notes, Hz per bin, and their mean power, shape (notes, freq)."""
    power, per_bin, per_frame = excerpt.spectrum(0.256, 0.064)
    pitches, spectra = [], []
    for row in np.argsort(notes.onset - notes.offset, kind="stable")[:_MAX_NOTES]:
        first = int(np.ceil((notes.onset[row] + 0.06 - excerpt.origin) / per_frame))
        last = int((min(notes.offset[row], notes.onset[row] + 1.0) - excerpt.origin) / per_frame)
        last = min(max(first, last), power.shape[1] - 1)
        if 0 <= first <= last:
            mean = power[:, first : last + 1].mean(axis=1)
            if mean.max() > 1e-10:
                pitches.append(notes.pitch[row])
                spectra.append(mean)
    return np.array(pitches), per_bin, np.array(spectra).reshape(-1, len(power))


def _contrast(pitch: np.ndarray, power: np.ndarray, per_bin: float) -> float:
    """Median over the notes of how far partials stand out from the bins between them, in dB.

    A partial is compared with both of its sides, so that a slope of the spectrum does not count.
    """
    contrasts = []
    for f0, spectrum in zip(note_number_to_hz(pitch), power):
        k = np.arange(1, 9)
        k = k[(k + 0.5) * f0 < per_bin * (len(spectrum) - 4)]
        if f0 < 8 * per_bin or not len(k):
            continue  # the bins between would be within the main lobes
        level = 10 * np.log10(np.maximum(spectrum, spectrum.max() * 1e-6))

        def near(frequency: np.ndarray, level: np.ndarray = level) -> np.ndarray:
            center = np.round(frequency / per_bin).astype(int)
            return level[center[:, None] + np.arange(-1, 2)].mean(axis=1)

        sides = (near((k - 0.5) * f0) + near((k + 0.5) * f0)) / 2
        contrasts.append(np.mean(near(k * f0) - sides))
    return float(np.median(contrasts)) if contrasts else 0.0


def _constancy(excerpts: Iterable[Excerpt]) -> float:
    """Fraction of the power that never moves: the lower decile over the loud frames, by bin."""
    frames = []
    for excerpt in excerpts:
        power, _, _ = excerpt.spectrum(0.256, 0.064)
        total = power.sum(axis=0)
        loud = total > max(0.2 * np.percentile(total, 95), 1e-10)
        frames.append(power[:, loud] / total[loud])
    joined = np.concatenate(frames, axis=1)
    if joined.shape[1] < _MIN_FRAMES:
        return 0.0
    return float(np.percentile(joined, 10, axis=1).sum())


def _is_varied(notes: Notes) -> bool:
    """Whether notes vary: there are several pitches, and none takes half of the time."""
    used, index = np.unique(notes.pitch, return_inverse=True)
    time = np.bincount(index, weights=notes.offset - notes.onset, minlength=len(used))
    return bool(len(notes) >= _MIN_NOTES and len(used) >= 4 and time.max() < 0.5 * time.sum())
