"""The factorization of a whole song: parts of no class and sounds without a score have components.

Score-informed masks as training targets (:mod:`asteroid_scoresup.data.informed`) are made from the
notes of the classes only. Where a song is separated with its score, the score has more: drums and
instruments of no class get components of their own, which are in no stem, and a few free components
receive what the score does not have. Networks that refine the masks are trained on the same
factorization. All of it is our choice.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..dsp.grid import FrameGrid
from .defaults import INFORMED_ITERATIONS, N_FREE
from .harmonic import HarmonicTemplates
from .hits import hit_roll
from .informed import Factors, onset_roll, score_informed_nmf
from .notes import Notes
from .rolls import sounding_roll

#: Seconds after an onset in which the noise of an attack may sound.
ATTACK_SECONDS = 0.25
#: Half-width of a partial, relative to its frequency.
SONG_RELATIVE_WIDTH = 0.01


def song_templates(sample_rate: float, n_fft: int, tuning_cents: float = 0.0) -> HarmonicTemplates:
    """Where the partials of a song are.

    For :func:`~asteroid_scoresup.score.song_factors.factorize_song`.

    Args:
        sample_rate (float): Sample rate, in Hz.
        n_fft (int): STFT length, in samples.
        tuning_cents (float): Tuning of the recording relative to A = 440 Hz, in cents.
    """
    return HarmonicTemplates(
        sample_rate, n_fft, relative_width=SONG_RELATIVE_WIDTH, tuning_cents=tuning_cents
    )


def factorize_song(
    magnitude: torch.Tensor,
    pitched: Notes,
    unpitched: Notes,
    n_src: int,
    grid: FrameGrid,
    templates: HarmonicTemplates,
    progress: Callable[[float], object] | None = None,
    iterations: int = INFORMED_ITERATIONS,
) -> Factors:
    r"""Factorizes a song by all that its score has.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes, of one channel or several.
        pitched (Notes): Notes with partials; the class index `n_src` is that of no class.
        unpitched (Notes): Notes of drums, likewise; `pitch` is the key.
        n_src (int): Number of classes.
        grid (FrameGrid): The grid of the STFT.
        templates (HarmonicTemplates): See :func:`song_templates`.
        progress (callable, optional): Called after each iteration with the fraction that is done.
        iterations (int): Number of updates; 0 for the initial factors, not normalized.

    Shape:
        - magnitude: :math:`(freq, frames)` or :math:`(channels, freq, frames)`

    Returns:
        Factors: Components of no class have the class index -1. They have ``gains`` where
        `magnitude` has a channel axis.

    Examples
        >>> notes = Notes([0.1], [0.5], [60], [0], [90])
        >>> factors = factorize_song(torch.rand(65, 40), notes, Notes.empty(), 2,
        ...                          FrameGrid(128, 32, 2000), song_templates(2000, 128))
        >>> sorted(set(factors.class_index.tolist()))
        [-1, 0, 1]
    """
    # The parts of no class have a row of their own, so that they do not share components.
    size = (n_src + 1, magnitude.shape[-1], grid)
    factors = score_informed_nmf(
        magnitude,
        sounding_roll(pitched, *size),
        onset_roll(pitched, *size, after=round(ATTACK_SECONDS * grid.frames_per_second)),
        templates,
        iterations,
        free=N_FREE,
        hits=hit_roll(unpitched, *size),
        n_panned=n_src,
        progress=progress,
    )
    index = factors.class_index
    return factors._replace(class_index=index.masked_fill(index == n_src, -1))
