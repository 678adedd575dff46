r"""The label check, stems: is a stem an instrument that plays its notes?

Some stems of Slakh2100 are white noise or a single tone. Both have energy at every partial of every
note, so that looking for notes without energy does not find them. Here a stem must fail in itself
*and* against its notes:

- Against its notes: their partials do not stand out from what lies between them.
- **Noise** in itself: its spectrum is flat within narrow bands (spectral flatness, the geometric
  over the arithmetic mean of the power: :math:`e^{-\gamma} = 0.56` for noise of any color, seldom
  above 0.3 for instruments).
- **Single tone** in itself: its power stays at the same frequencies while its notes move about.

Either of the two in itself is not enough: a stem that hums or hisses may still play its notes, and
one whose labels have a wrong pitch is no noise.

Instruments without pitch (drums, effects) are no concern of this check.
"""

from __future__ import annotations

import numpy as np

from .spectra import Excerpt, find_windows, frequency_of

NOISE = "white noise"
SINGLE_TONE = "single tone"

#: Mean spectral flatness above which a stem may be noise.
FLATNESS = 0.42
#: How far the partials of its notes stand out of a stem, in dB, if it plays them.
CONTRAST_DB = 2.5
#: Share of the power that never moves, above which a stem is a single tone.
CONSTANCY = 0.6

_BAND = 24  # bins of a band, 94 Hz: a few partials of the lowest bass
_LOWEST = 6  # bins below 23 Hz are not heard
_LEAST_FRAMES = 20
_LEAST_NOTES = 8
_MAX_NOTES = 80


def find_defect(signal, sample_rate, notes):
    r"""What keeps a stem from being an instrument that plays its notes.

    Args:
        signal (array): The stem, shape :math:`(time,)`.
        sample_rate (float): Its rate, in Hz.
        notes (Notes): The notes that it should play; their octave does not matter.

    Returns:
        str or None: ``"white noise"`` (noise of any color), ``"single tone"``, or None.
    """
    windows = find_windows(notes, len(signal) / sample_rate)
    excerpts = [Excerpt(signal, sample_rate, *window) for window in windows]
    tables = [notes.select((notes.onset >= a) & (notes.onset < b)) for a, b in windows]
    return defect_of(excerpts, tables)


def defect_of(excerpts, tables):
    """As :func:`find_defect`, of windows of a signal and the notes in each."""
    flatness = np.concatenate([_flatness(excerpt) for excerpt in excerpts])
    spectra = [_spectra_of_notes(e, t) for e, t in zip(excerpts, tables) if len(t)]
    if not spectra:
        return None
    pitch = np.concatenate([pair[0] for pair in spectra])
    per_bin = spectra[0][1]
    power = np.concatenate([pair[2] for pair in spectra])
    if len(flatness) < _LEAST_FRAMES or not len(pitch):
        return None
    if _contrast(pitch, power, per_bin) >= CONTRAST_DB:
        return None  # it plays its notes, whatever hums or hisses besides
    if flatness.mean() > FLATNESS:
        return NOISE
    varied = any(_is_varied(table) for table in tables)
    return SINGLE_TONE if varied and _constancy(excerpts) > CONSTANCY else None


def _flatness(excerpt):
    """Spectral flatness of the loud frames: the mean over narrow bands, weighted by power."""
    power, _, _ = excerpt.spectrum(0.256, 0.064)
    power = power[_LOWEST:]
    total = power.sum(axis=0)
    loud = total > max(1e-3 * np.percentile(total, 95), 1e-10)
    n_bands = len(power) // _BAND
    bands = power[: n_bands * _BAND, loud].reshape(n_bands, _BAND, int(loud.sum()))
    mean = bands.mean(axis=1)
    flat = np.exp(np.log(np.maximum(bands, 1e-20)).mean(axis=1)) / np.maximum(mean, 1e-20)
    # By the root of the power: a tone that hums through the noise is no instrument either.
    weight = np.sqrt(mean)
    return (flat * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-20)


def _spectra_of_notes(excerpt, notes):
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


def _contrast(pitch, power, per_bin):
    """Median over the notes of how far partials stand out from what lies between them, in dB.

    A place is held against both of its sides, so that a slope of the spectrum does not count.
    """
    contrasts = []
    for note, spectrum in zip(pitch, power):
        f0 = frequency_of(note)
        k = np.arange(1, 9)
        k = k[(k + 0.5) * f0 < per_bin * (len(spectrum) - 4)]
        if f0 < 8 * per_bin or not len(k):
            continue  # the places between would lie in the main lobes
        level = 10 * np.log10(np.maximum(spectrum, spectrum.max() * 1e-6))

        def near(frequency, level=level):
            center = np.round(frequency / per_bin).astype(int)
            return level[center[:, None] + np.arange(-1, 2)].mean(axis=1)

        sides = (near((k - 0.5) * f0) + near((k + 0.5) * f0)) / 2
        contrasts.append(np.mean(near(k * f0) - sides))
    return float(np.median(contrasts)) if contrasts else 0.0


def _constancy(excerpts):
    """Share of the power that stays where it is: the lower decile over the loud frames, by bin."""
    frames = []
    for excerpt in excerpts:
        power, _, _ = excerpt.spectrum(0.256, 0.064)
        total = power.sum(axis=0)
        loud = total > max(0.2 * np.percentile(total, 95), 1e-10)
        frames.append(power[:, loud] / total[loud])
    frames = np.concatenate(frames, axis=1)
    if frames.shape[1] < _LEAST_FRAMES:
        return 0.0
    return float(np.percentile(frames, 10, axis=1).sum())


def _is_varied(notes):
    """Whether notes would move about: no pitch takes half of the time, and there are some."""
    used, index = np.unique(notes.pitch, return_inverse=True)
    time = np.bincount(index, weights=notes.offset - notes.onset, minlength=len(used))
    return len(notes) >= _LEAST_NOTES and len(used) >= 4 and time.max() < 0.5 * time.sum()
