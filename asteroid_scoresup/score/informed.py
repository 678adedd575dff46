r"""Score-informed NMF: what a score and the *mixture* together say about each bin.

A harmonic mask knows where partials lie, but not how strong they are. The mixture tells: a
nonnegative matrix factorization whose templates and activations are initialized by the score, and
stay zero where the score does not allow energy, finds the spectrum of every note of the song and
its amplitude over time (Ewert and Müller, "Using score-informed constraints for NMF-based source
separation", ICASSP 2012; the updates are those of Lee and Seung for the Kullback-Leibler
divergence). Each bin is then split between the classes. No stem is needed, and nothing is trained.

Our choice, not in Hung et al. 2021: the masks replace their harmonic masks as training targets of
the separator. Few iterations are better than many: late ones move energy between notes that always
sound together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import max_pool1d

from ..dsp.grid import FrameGrid
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
    """

    templates: torch.Tensor
    activations: torch.Tensor
    class_index: torch.Tensor


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
) -> Factors:
    r"""Fits the spectra of the notes of a song to its mixture.

    There is one component for each (class, pitch) that occurs, allowed on its partials while it
    sounds, and one per class for the noise of attacks, allowed everywhere around onsets. Where
    notes bend, pitches are the finer rows of the roll.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes :math:`X`.
        sounding (:class:`torch.Tensor`): Roll of sounding notes with amplitudes.
        onsets (:class:`torch.Tensor`): See :func:`onset_roll`.
        templates (HarmonicTemplates): Where partials lie, and their initial weights.
        iterations (int): Number of updates of activations and templates.
        attack (float): Initial weight of an attack's bins, relative to a fundamental.
        free (int): Number of components that the score does not constrain, for mixtures that
            contain more than the classes (drums, voices).

    Shape:
        - magnitude: :math:`(freq, frames)`
        - sounding: :math:`(n\_src, 88, frames)`, or a multiple of 88 rows
        - onsets: :math:`(n\_src, frames)`

    Returns:
        Factors
    """
    n_src = len(sounding)
    class_index, pitch = (sounding.amax(-1) > 0).nonzero(as_tuple=True)
    flat = torch.full((n_src, len(magnitude)), attack, device=magnitude.device)
    _, weights = templates.spectra(sounding.shape[1])
    spectra = torch.cat([weights[pitch], flat])
    activations = torch.cat([sounding[class_index, pitch], onsets.to(sounding)])
    class_index = torch.cat([class_index, torch.arange(n_src, device=class_index.device)])
    if free:
        # Initially faint and different from each other: they must not take over the notes' energy.
        generator = torch.Generator().manual_seed(0)
        shapes = (free, len(magnitude)), (free, magnitude.shape[1])
        start = [torch.rand(*shape, generator=generator).to(magnitude) for shape in shapes]
        spectra = torch.cat([spectra, attack * start[0]])
        activations = torch.cat([activations, start[1]])
        class_index = torch.cat([class_index, class_index.new_full((free,), -1)])
    target = magnitude + EPS
    activations = activations * (target.sum() / (spectra.T @ activations).sum().clamp(min=EPS))
    for _ in range(iterations):
        ratio = target / (spectra.T @ activations + EPS)
        activations = activations * (spectra @ ratio) / (spectra.sum(1, keepdim=True) + EPS)
        ratio = target / (spectra.T @ activations + EPS)
        spectra = spectra * (activations @ ratio.T) / (activations.sum(1, keepdim=True) + EPS)
        norm = spectra.sum(1, keepdim=True).clamp(min=EPS)
        spectra, activations = spectra / norm, activations * norm
    return Factors(spectra, activations, class_index)


def soft_masks(factors: Factors, n_src: int, power: float = 1.5) -> torch.Tensor:
    r"""Splits each bin between the classes by the factors.

    Args:
        factors (Factors): From :func:`score_informed_nmf`, whole or a range of frames.
        n_src (int): Number of classes.
        power (float): Exponent before bins are split: 1 by amplitude, 2 by energy.

    Returns:
        :class:`torch.Tensor`: Masks, shape :math:`(n\_src, freq, frames)`. Where any component has
        energy they and the mask of components of no class sum to 1; elsewhere they are 0.
    """
    spectrograms = torch.stack(
        [
            factors.templates[factors.class_index == i].T
            @ factors.activations[factors.class_index == i]
            for i in [*range(n_src), -1]
        ]
    )
    total = spectrograms.sum(0)
    # Relative to the loudest class first, so that powers of faint bins do not underflow.
    weight = (spectrograms / spectrograms.amax(0).clamp(min=EPS)) ** power
    known = total > 1e-6 * total.amax().clamp(min=EPS)
    return (weight / weight.sum(0).clamp(min=EPS) * known)[:n_src]
