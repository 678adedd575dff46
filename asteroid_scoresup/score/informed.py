r"""Score-informed factorization: what a score and the *mixture* together say about each bin.

A harmonic mask knows where partials lie, not how strong they are. The mixture does: a
nonnegative factorization whose spectra and activations start as the score allows, and stay zero
where it forbids, finds the spectrum of every note of the song and how it sounds over time (Ewert
and Müller, "Using score-informed constraints for NMF-based source separation", ICASSP 2012; the
updates are Lee and Seung's for the Kullback-Leibler divergence). Each class then gets its share of
each bin. No stem is involved, and nothing is trained.

Our choice, not in Hung et al. 2021: it stands in for their harmonic masks as teacher of the
separator. Few iterations are better than many: late ones move energy between notes that always
sound together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import max_pool1d

from .rolls import piano_roll

EPS = 1e-9


class Factors(NamedTuple):
    r"""Spectra of the notes of a song, and when they sound.

    Args:
        templates (:class:`torch.Tensor`): One spectrum per component, each with sum 1,
            :math:`(n, freq)`.
        activations (:class:`torch.Tensor`): :math:`(n, frames)`.
        class_index (:class:`torch.Tensor`): Class of each component, :math:`(n,)`; -1 for what
            belongs to no class.
    """

    templates: torch.Tensor
    activations: torch.Tensor
    class_index: torch.Tensor


def onset_roll(notes, n_src, n_frames, hop_length, sample_rate, before=1, after=2):
    r"""In which frames a note of a class is struck.

    Returns:
        :class:`torch.Tensor`: 1.0 from `before` frames before each onset to `after` frames after
        it, :math:`(n\_src, n\_frames)`.
    """
    struck = notes.replace(offset=notes.onset)
    roll = piano_roll(struck, n_src, n_frames, hop_length, sample_rate).amax(1)
    padded = torch.nn.functional.pad(roll, (after, before))
    return max_pool1d(padded.unsqueeze(0), before + after + 1, stride=1)[0]


def score_informed_nmf(magnitude, sounding, onsets, templates, iterations=10, attack=0.02, free=0):
    r"""Fits the spectra of the notes of a song to its mixture.

    Components: one for each (class, pitch) that occurs, allowed on its partials while it sounds,
    and one per class for the noise of attacks, allowed everywhere around onsets. Where notes bend,
    pitches are those of the roll's finer rows.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes :math:`X`.
        sounding (:class:`torch.Tensor`): Roll of sounding notes with amplitudes.
        onsets (:class:`torch.Tensor`): See :func:`onset_roll`.
        templates (HarmonicTemplates): Where partials lie, and their weights at the start.
        iterations (int): Updates of activations and spectra.
        attack (float): Weight of an attack's bins at the start, relative to a fundamental.
        free (int): Components that the score does not bind, for mixtures with more in them than
            the classes (drums, voices).

    Shape:
        - magnitude: :math:`(freq, frames)`
        - sounding: :math:`(n\_src, 88, frames)`, or a multiple of 88 rows
        - onsets: :math:`(n\_src, frames)`

    Returns:
        Factors
    """
    n_src = len(sounding)
    source, pitch = (sounding.amax(-1) > 0).nonzero(as_tuple=True)
    flat = torch.full((n_src, len(magnitude)), attack, device=magnitude.device)
    _, weights = templates.spectra(sounding.shape[1])
    spectra = torch.cat([weights[pitch], flat])
    levels = torch.cat([sounding[source, pitch], onsets.to(sounding)])
    source = torch.cat([source, torch.arange(n_src, device=source.device)])
    if free:
        # They begin different from each other, and faint: what the notes explain stays theirs.
        generator = torch.Generator().manual_seed(0)
        shapes = (free, len(magnitude)), (free, magnitude.shape[1])
        start = [torch.rand(*shape, generator=generator).to(magnitude) for shape in shapes]
        spectra = torch.cat([spectra, attack * start[0]])
        levels = torch.cat([levels, start[1]])
        source = torch.cat([source, source.new_full((free,), -1)])
    target = magnitude + EPS
    levels = levels * (target.sum() / (spectra.T @ levels).sum().clamp(min=EPS))
    for _ in range(iterations):
        ratio = target / (spectra.T @ levels + EPS)
        levels = levels * (spectra @ ratio) / (spectra.sum(1, keepdim=True) + EPS)
        ratio = target / (spectra.T @ levels + EPS)
        spectra = spectra * (levels @ ratio.T) / (levels.sum(1, keepdim=True) + EPS)
        norm = spectra.sum(1, keepdim=True).clamp(min=EPS)
        spectra, levels = spectra / norm, levels * norm
    return Factors(spectra, levels, source)


def soft_masks(factors, n_src, power=1.5):
    r"""Share of each class in each bin.

    Args:
        factors (Factors): From :func:`score_informed_nmf`, whole or a stretch of frames.
        n_src (int): Number of classes.
        power (float): Exponent before bins are split: 1 by amplitude, 2 by energy.

    Returns:
        :class:`torch.Tensor`: :math:`(n\_src, freq, frames)`; where any component has energy the
        shares sum to 1 over the classes and what belongs to none, elsewhere to 0.
    """
    models = torch.stack(
        [
            factors.templates[factors.class_index == i].T
            @ factors.activations[factors.class_index == i]
            for i in [*range(n_src), -1]
        ]
    )
    total = models.sum(0)
    # Relative to the loudest class first, so that powers of faint bins do not underflow.
    models = (models / models.amax(0).clamp(min=EPS)) ** power
    known = total > 1e-6 * total.amax().clamp(min=EPS)
    return (models / models.sum(0).clamp(min=EPS) * known)[:n_src]
