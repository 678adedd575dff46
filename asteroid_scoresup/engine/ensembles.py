"""Random ensembles with damaged scores, from prepared songs, to train the correction of masks.

A network that refines masks for any ensemble must be trained on many: with two classes
or six, with parts of no class, which the score has or not, with a score whose timing drifts and
which lacks notes. An ensemble is a random subset of the classes of a song at random levels, alone
or within the whole song, or the sum of two mixtures, with a score that was damaged at random. All
of it is our choice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from ..checks.label_check import unpitched_indices
from ..data import Manifest, PreparedTrack
from ..score import Notes

#: Largest number of classes in half of the ensembles.
_FEW = 4
#: Of a fixed list of classes: probability of a sum of those with pitch and nothing else, and
#: otherwise, that all are kept that a song has.
_SUM, _ALL = 0.25, 0.6
#: Probability that nothing sounds besides the classes, and that everything else does.
_ALONE, _WHOLE = 0.45, 0.8
#: Probability that a part of no class is in the score.
_KNOWN = 0.8


class Ensemble(NamedTuple):
    r"""An ensemble: signals, and a score with a class for each of its parts.

    Args:
        signals (:class:`numpy.ndarray`): The targets of the loss, and the rest of the mixture,
            which belongs to no class; :math:`(n\_groups + 1, time)`.
        group (tuple of int): Group of each class.
        notes (Notes): The score, damaged; indices from ``len(group)`` on are those of no class.
        unpitched (tuple of int): Class indices without pitch, such as drums.
    """

    signals: np.ndarray
    group: tuple[int, ...]
    notes: Notes
    unpitched: tuple[int, ...] = ()


def damage(notes: Notes, rng: np.random.Generator, unpitched: Collection[int] = ()) -> Notes:
    """Damages a score as alignment and manual transcription do.

    A third of the scores drift smoothly by up to 50 ms, a quarter lack up to one in twenty of their
    notes, and a quarter have as many at a wrong pitch.

    Args:
        notes (Notes): The score.
        rng (numpy.random.Generator): Random generator.
        unpitched (collection of int): Classes whose notes keep their keys.
    """
    if rng.random() < 0.33 and len(notes):
        periods, phases = rng.uniform(4, 20, (2, 1)), rng.uniform(0, 2 * np.pi, (2, 1))
        largest = rng.uniform(0, 0.05)

        def late(times: np.ndarray) -> np.ndarray:
            waves = np.sin(2 * np.pi * times / periods + phases)
            return np.maximum(times + largest * waves.mean(0), 0)

        notes = notes.replace(
            onset=late(notes.onset), offset=late(notes.offset), release=late(notes.release)
        )
    if rng.random() < 0.25:
        notes = notes.select(rng.random(len(notes)) >= rng.uniform(0, 0.05))
    if rng.random() < 0.25:
        wrong = rng.random(len(notes)) < rng.uniform(0, 0.05)
        wrong &= ~np.isin(notes.class_index, list(unpitched))
        notes = notes.replace(pitch=notes.pitch + wrong * rng.choice([-2, -1, 1, 2], len(notes)))
    return notes


def played(track: PreparedTrack) -> list[str]:
    """Names of the classes that have notes in a track."""
    return [name for name, count in track.n_notes.items() if count]


def parts_of(
    manifest: Manifest,
    track: PreparedTrack,
    rng: np.random.Generator,
    classes: Sequence[str] | None = None,
) -> Ensemble:
    """Some of the classes of a song; the other parts belong to no class, or are left out.

    Args:
        manifest (Manifest): The prepared data, with stems.
        track (PreparedTrack): The song.
        rng (numpy.random.Generator): Random generator.
        classes (sequence of str, optional): Classes of the ensemble, in order; those that are not
            kept are silent. Default: those that are kept.
    """
    present, without_pitch = played(track), unpitched_indices(manifest.classes)
    pitched = [i for i, n in enumerate(present) if manifest.names.index(n) not in without_pitch]
    is_sum = False
    if classes is None:
        kept = _some(range(len(present)), rng)
    else:
        kept = [i for i, name in enumerate(present) if name in classes]
        summed = [i for i in kept if i in pitched]
        is_sum = rng.random() < _SUM and len(summed) > 1
        if is_sum:
            kept = summed
        elif rng.random() >= _ALL:
            kept = _some(kept, rng)
    stems = {n: manifest.read_stem(track, n) for n in present}
    alone = is_sum or rng.random() < _ALONE
    # Which of the other parts sound, and which of these are in the score.
    sounds = rng.random(len(present)) < (1.0 if rng.random() < _WHOLE else 0.5)
    known = rng.random(len(present)) < _KNOWN
    gains = 10 ** (rng.normal(0, 4, len(present) + 1) / 20)
    signals = [gains[i] * stems[present[i]] for i in kept]
    rest = np.zeros_like(signals[0])
    if not alone and manifest.mixture == "song":
        rest = gains[-1] * (manifest.read_mixture(track) - sum(stems.values()))
    place = {i: row if classes is None else classes.index(present[i]) for row, i in enumerate(kept)}
    n_kept, index = len(classes or kept), np.full(len(manifest.names), -1)
    for i, name in enumerate(present):
        n = manifest.names.index(name)
        if i in kept:
            index[n] = place[i]
        elif not alone and sounds[i]:
            rest = rest + gains[i] * stems[name]
            # Two numbers for the parts of no class: with and without pitch.
            index[n] = n_kept + (n in without_pitch) if known[i] else -1
    unpitched = tuple({int(index[n]) for n in without_pitch} - {-1} | {n_kept + 1})
    notes = damage(_renumbered(manifest.notes(track), index), rng, unpitched)
    parts = np.zeros((n_kept + 1, len(rest)), rest.dtype)
    parts[list(place.values())], parts[-1] = signals, rest
    return Ensemble(parts, tuple(range(n_kept)), notes, unpitched)


def _some(numbers: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Draws at least two of the classes of a song, by their numbers."""
    most = min(_FEW, len(numbers)) if rng.random() < 0.5 else len(numbers)
    return sorted(rng.choice(numbers, rng.integers(2, most + 1), replace=False))


def sum_of(songs: Sequence[tuple[Manifest, PreparedTrack]], rng: np.random.Generator) -> Ensemble:
    """Several songs at once, of which each class counts as a class of its own; no stem is read.

    Args:
        songs (sequence of tuple): The songs, each a group, with the data that they are part of.
        rng (numpy.random.Generator): Random generator.
    """
    signals: list[np.ndarray] = []
    tables: list[Notes] = []
    unpitched: list[int] = []
    group: list[int] = []
    for g, (manifest, track) in enumerate(songs):
        without_pitch = unpitched_indices(manifest.classes)
        numbers = [manifest.names.index(name) for name in played(track)]
        index = np.full(len(manifest.names), -1)
        index[numbers] = range(len(group), len(group) + len(numbers))
        tables.append(_renumbered(manifest.notes(track), index))
        unpitched += [int(index[n]) for n in numbers if n in without_pitch]
        group += [g] * len(numbers)
        signals.append(manifest.read_mixture(track) / track.rms * 10 ** (rng.normal(0, 2) / 20))
    n_samples = min(map(len, signals))
    silence = np.zeros(n_samples, signals[0].dtype)
    cut = np.stack([*(signal[:n_samples] for signal in signals), silence])
    notes = Notes.concatenate(tables)
    notes = notes.select(notes.onset < n_samples / songs[0][0].sample_rate)
    return Ensemble(cut, tuple(group), damage(notes, rng, unpitched), tuple(unpitched))


def _renumbered(notes: Notes, index: np.ndarray) -> Notes:
    """The notes with other class indices; those with -1 are left out."""
    notes = notes.replace(class_index=index[notes.class_index])
    return notes.select(notes.class_index >= 0)
