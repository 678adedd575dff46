r"""Score-informed NMF: what score and *mixture* together reveal about each bin.

A harmonic mask describes where partials are, but not how strong they are. The mixture does: a
nonnegative matrix factorization whose templates and activations are initialized by the score, and
stay zero where the score does not allow energy, finds the spectrum of every note of the song and
its amplitude over time (Ewert and Müller, "Using score-informed constraints for NMF-based source
separation", ICASSP 2012; the updates are those of Lee and Seung for the Kullback-Leibler
divergence). Each bin is then split between the classes. No stem is needed, and nothing is trained.

Our choice, not in Hung et al. 2021: the masks replace their harmonic masks as training targets of
the separator. Few iterations are better than many: late ones move energy between notes that always
sound together.

Drums and other unpitched instruments have no partials to look for. Each key has one component whose
spectrum is free, and which sounds from its onset on (:mod:`~asteroid_scoresup.score.hits`).

The channels of a stereo recording are factorized together: a component has one spectrum and one
activation, and a gain for each channel, so that the panning of an instrument tells it from others
(nonnegative tensor factorization: FitzGerald, Cranitch, Coyle, "Non-negative tensor factorisation
for sound source separation", ISSC 2005). The notes of an instrument have about the same panning, so
the gains of a class are drawn toward their mean (our choice); not to the mean, since a class may
have two guitars, one on each side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch.nn.functional import max_pool1d

from ..dsp.grid import FrameGrid
from .defaults import GAIN_SHRINKAGE, HIT_WEIGHT
from .harmonic import HarmonicTemplates
from .notes import Notes
from .rolls import piano_roll

EPS = 1e-9


class Factors(NamedTuple):
    r"""Spectra of the notes of a song, and their amplitudes over time.

    Args:
        templates (:class:`torch.Tensor`): One spectrum per component, each with sum 1, shape
            :math:`(n, freq)`.
        activations (:class:`torch.Tensor`): Shape :math:`(n, frames)`.
        class_index (:class:`torch.Tensor`): Class of each component, shape :math:`(n,)`; -1 for
            components of no class.
        gains (:class:`torch.Tensor`, optional): Gain of each component in each channel, with a mean
            of 1, shape :math:`(n, channels)`; None for one channel.
    """

    templates: torch.Tensor
    activations: torch.Tensor
    class_index: torch.Tensor
    gains: torch.Tensor | None = None

    def cpu(self) -> Factors:
        """The factors on the CPU."""
        gains = None if self.gains is None else self.gains.cpu()
        return Factors(self.templates.cpu(), self.activations.cpu(), self.class_index.cpu(), gains)


def onset_roll(
    notes: Notes, n_src: int, n_frames: int, grid: FrameGrid, before: int = 1, after: int = 2
) -> torch.Tensor:
    r"""In which frames a note of a class is struck.

    Args:
        notes (Notes): The score, on the clock of the signal.
        n_src (int): Number of classes.
        n_frames (int): Number of STFT frames.
        grid (FrameGrid): The grid of the STFT.
        before (int): Frames before each onset that are part of it.
        after (int): Frames after each onset that are part of it.

    Returns:
        :class:`torch.Tensor`: 1.0 in the frames of onsets, else 0.0; shape
        :math:`(n\_src, n\_frames)`.
    """
    struck = notes.replace(offset=notes.onset)
    roll = piano_roll(struck, n_src, n_frames, grid).amax(1)
    padded = torch.nn.functional.pad(roll, (after, before))
    return max_pool1d(padded.unsqueeze(0), before + after + 1, stride=1)[0]


def score_informed_nmf(
    magnitude: torch.Tensor,
    sounding: torch.Tensor,
    onsets: torch.Tensor,
    templates: HarmonicTemplates,
    iterations: int = 10,
    attack: float = 0.02,
    free: int = 0,
    *,
    hits: torch.Tensor | None = None,
    hit: float = HIT_WEIGHT,
    n_panned: int = 0,
    progress: Callable[[float], object] | None = None,
) -> Factors:
    r"""Fits the spectra of the notes of a song to its mixture.

    There is one component for each (class, pitch) that occurs, allowed on its partials while it
    sounds, and one per class for the noise of attacks, allowed everywhere around onsets. Where
    notes bend, pitches are the finer rows of the roll. Each (class, key) of `hits` has one
    component, allowed everywhere while the key sounds.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes :math:`X`, of one channel or several.
        sounding (:class:`torch.Tensor`): Roll of sounding notes with amplitudes.
        onsets (:class:`torch.Tensor`): See :func:`onset_roll`.
        templates (HarmonicTemplates): Where partials are, and their initial weights.
        iterations (int): Number of updates of activations and templates.
        attack (float): Initial weight of an attack's bins, relative to a fundamental.
        free (int): Number of components that the score does not constrain, for mixtures that
            contain more than the classes (voices, whatever the score leaves out).
        hits (:class:`torch.Tensor`, optional): Roll of unpitched keys, see
            :func:`~asteroid_scoresup.score.hits.hit_roll`. A class may have notes in both rolls.
        hit (float): Initial weight of a hit's bins, relative to a fundamental.
        n_panned (int): Number of classes, the first ones, within each of which notes have about the
            same panning.
        progress (callable, optional): Called after each iteration with the fraction that is done.

    Shape:
        - magnitude: :math:`(freq, frames)` or :math:`(channels, freq, frames)`
        - sounding: :math:`(n\_src, 88, frames)`, or a multiple of 88 rows
        - onsets: :math:`(n\_src, frames)`
        - hits: :math:`(n\_src, 128, frames)`

    Returns:
        Factors: With ``gains`` where `magnitude` has a channel axis.
    """
    n_src, n_freqs = len(sounding), magnitude.shape[-2]
    class_index, pitch = (sounding.amax(-1) > 0).nonzero(as_tuple=True)
    flat = torch.full((n_src, n_freqs), attack, device=magnitude.device)
    _, weights = templates.spectra(sounding.shape[1])
    spectra = torch.cat([weights[pitch], flat])
    activations = torch.cat([sounding[class_index, pitch], onsets.to(sounding)])
    class_index = torch.cat([class_index, torch.arange(n_src, device=class_index.device)])
    # Not of hits, which follow: the drums of a kit are spread over the channels.
    alike = class_index.clamp(max=n_panned)
    if hits is not None:
        struck, key = (hits.amax(-1) > 0).nonzero(as_tuple=True)
        spectra = torch.cat([spectra, spectra.new_full((len(key), n_freqs), hit)])
        activations = torch.cat([activations, hits[struck, key].to(activations)])
        class_index = torch.cat([class_index, struck])
    if free:
        # Initially faint and different from each other: they must not take over the notes' energy.
        generator = torch.Generator().manual_seed(0)
        shapes = (free, n_freqs), (free, magnitude.shape[-1])
        start = [torch.rand(*shape, generator=generator).to(magnitude) for shape in shapes]
        spectra = torch.cat([spectra, attack * start[0]])
        activations = torch.cat([activations, start[1]])
        class_index = torch.cat([class_index, class_index.new_full((free,), -1)])
    count, factors = _counted(iterations, progress), Factors(spectra, activations, class_index)
    if magnitude.dim() == 2:
        return _fit(magnitude + EPS, factors, count)
    return _fit_channels(magnitude + EPS, factors, count, alike, n_panned)


def _counted(iterations: int, progress: Callable[[float], object] | None) -> Iterator[int]:
    for number in range(iterations):
        yield number
        if progress is not None:
            progress((number + 1) / iterations)


def _fit(target: torch.Tensor, factors: Factors, iterations: Iterable[int]) -> Factors:
    """Updates of Lee and Seung for the Kullback-Leibler divergence, of one channel."""
    spectra, activations = factors.templates, factors.activations
    activations = activations * (target.sum() / (spectra.T @ activations).sum().clamp(min=EPS))
    for _ in iterations:
        ratio = target / (spectra.T @ activations + EPS)
        activations = activations * (spectra @ ratio) / (spectra.sum(1, keepdim=True) + EPS)
        ratio = target / (spectra.T @ activations + EPS)
        spectra = spectra * (activations @ ratio.T) / (activations.sum(1, keepdim=True) + EPS)
        norm = spectra.sum(1, keepdim=True).clamp(min=EPS)
        spectra, activations = spectra / norm, activations * norm
    return factors._replace(templates=spectra, activations=activations)


def _fit_channels(
    target: torch.Tensor,
    factors: Factors,
    iterations: Iterable[int],
    alike: torch.Tensor,
    n_panned: int,
) -> Factors:
    """The same for the channels together, with a gain of each component in each of them.

    The gains of the first components are drawn toward the mean of those with the same number in
    `alike`, unless it is `n_panned`.
    """
    shrinkage = GAIN_SHRINKAGE * (alike < n_panned).unsqueeze(1)
    spectra, activations = factors.templates, factors.activations
    gains = spectra.new_ones(len(spectra), len(target))
    activations = activations * (
        target.mean(0).sum() / _product(spectra, activations).sum().clamp(min=EPS)
    )

    def ratios() -> list[torch.Tensor]:
        return [
            channel / (_product(spectra * gains[:, c, None], activations) + EPS)
            for c, channel in enumerate(target)
        ]

    for _ in iterations:
        found = sum(g[:, None] * (spectra @ r) for g, r in zip(gains.T, ratios()))
        known = gains.sum(1, keepdim=True) * spectra.sum(1, keepdim=True)
        activations = activations * found / (known + EPS)
        in_channels = [activations @ r.T for r in ratios()]
        # Templates and gains share their numerators: both are updated from one set of ratios.
        found = sum(g[:, None] * part for g, part in zip(gains.T, in_channels))
        known = gains.sum(1, keepdim=True) * activations.sum(1, keepdim=True)
        by_channel = torch.stack([(spectra * part).sum(1) for part in in_channels], 1)
        mass = (spectra.sum(1) * activations.sum(1)).unsqueeze(1)
        spectra = spectra * found / (known + EPS)
        gains = gains * by_channel / (mass + EPS)
        gains = gains / gains.mean(1, keepdim=True).clamp(min=EPS)
        if n_panned:
            own, weights = gains[: len(alike)], mass[: len(alike)]
            total = own.new_zeros(n_panned + 1, len(target) + 1)
            total.index_add_(0, alike, torch.cat([weights * own, weights], 1))
            means = total[alike, :-1] / total[alike, -1:].clamp(min=EPS)
            gains[: len(alike)] = own + shrinkage * (means - own)
        norm = spectra.sum(1, keepdim=True).clamp(min=EPS)
        spectra, activations = spectra / norm, activations * norm
    return Factors(spectra, activations, factors.class_index, gains)


def _product(spectra: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    return spectra.T @ activations


def soft_masks(factors: Factors, n_src: int, power: float = 1.5) -> torch.Tensor:
    r"""Splits each bin between the classes by the factors.

    Args:
        factors (Factors): From :func:`score_informed_nmf`, whole or a range of frames.
        n_src (int): Number of classes.
        power (float): Exponent before bins are split: 1 by amplitude, 2 by energy.

    Returns:
        :class:`torch.Tensor`: Masks, shape :math:`(n\_src, freq, frames)`, or
        :math:`(channels, n\_src, freq, frames)` if the factors have gains. Where any component has
        energy they and the mask of components of no class sum to 1; elsewhere they are 0.
    """
    if factors.gains is not None:
        channels = [
            factors._replace(templates=factors.templates * gain[:, None], gains=None)
            for gain in factors.gains.T
        ]
        return torch.stack([soft_masks(channel, n_src, power) for channel in channels])
    n_freqs, n_frames = factors.templates.shape[1], factors.activations.shape[1]
    spectrograms = factors.activations.new_empty(n_src + 1, n_freqs, n_frames)
    for row, i in enumerate([*range(n_src), -1]):
        mine = (factors.class_index == i).nonzero()[:, 0]
        spectrograms[row] = factors.templates[mine].T @ factors.activations[mine]
    return _split(spectrograms, power)[:n_src]


def soft_masks_of_batch(factors: Factors, n_src: int, power: float = 1.5) -> torch.Tensor:
    r"""The soft masks of several segments in a few operations, for a GPU.

    Args:
        factors (Factors): Of one channel, with a batch dimension: templates
            :math:`(batch, n, freq)`, activations :math:`(batch, n, frames)`, and class_index
            :math:`(batch, n)`. Segments with fewer components than others are padded with
            activations of 0.
        n_src, power: See :func:`~asteroid_scoresup.score.informed.soft_masks`.

    Returns:
        :class:`torch.Tensor`: Masks, shape :math:`(batch, n\_src, freq, frames)`.
    """
    templates = factors.templates.transpose(1, 2)
    classes = [*range(n_src), -1]
    spectrograms = torch.stack(
        [
            templates @ (factors.activations * (factors.class_index == i).unsqueeze(-1))
            for i in classes
        ],
    )
    return _split(spectrograms, power)[:n_src].transpose(0, 1)


def _split(spectrograms: torch.Tensor, power: float) -> torch.Tensor:
    """Divides the bins of :math:`(..., freq, frames)` between the classes, the first dimension.

    Overwrites its input, unless a gradient is needed: the memory of another copy takes longer to
    get than to fill.
    """
    total = spectrograms.sum(0)
    loudest = total.amax((-2, -1), keepdim=True)
    known = total > 1e-6 * loudest.clamp(min=EPS)
    # Relative to the loudest class first, so that powers of faint bins do not underflow.
    loudest_class = spectrograms.amax(0).clamp(min=EPS)
    if spectrograms.requires_grad:
        weight = (spectrograms / loudest_class) ** power
    else:
        weight = spectrograms.div_(loudest_class)
        for row in weight:  # a general power takes seven times as long on a CPU
            row.mul_(row.sqrt()) if power == 1.5 else row.pow_(power)
    part = known / weight.sum(0).clamp(min=EPS)
    return weight * part if weight.requires_grad else weight.mul_(part)
