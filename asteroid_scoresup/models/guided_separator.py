r"""A separator that takes a score where there is one: it corrects the masks of a factorization.

A network that separates without a score knows instruments, but not who plays which note; a
score-informed factorization (:mod:`asteroid_scoresup.score.song_factors`) knows the notes, but
nothing about instruments. This network receives what the factorization found, besides the mixture,
and corrects its masks. In training the factorization is left out of a part of the items, so that
the same weights also separate without a score. Our choice throughout, not in Hung et al. 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from ..dsp.grid import FrameGrid
from ..score.defaults import INFORMED_POWER
from .mask_refiner import N_COMBINED, checked_power, log_ratios
from .pitch_model import BINS_PER_SEMITONE, log_frequency_matrix
from .pitch_separator import PitchSeparator, bins_to_freqs

#: Channels between the estimates of all classes and what is added to the input of the TCN.
GUIDE_CHAN = 64
#: Channels between the two layers of the last part.
CORRECTION_CHAN = 64
#: Level of a silent frame, relative to which nothing is compared.
_QUIET = 1e-4


class ScoreGuidedSeparator(PitchSeparator):
    r"""Separates with a score and without one, with the same weights.

    Without a score it is a :class:`~asteroid_scoresup.models.PitchSeparator`. With a score it
    receives the estimates :math:`V_i` of a factorization on the logarithmic frequency axis,
    relative to the mixture: all of them are projected and added to the input of the TCN, and those
    in the bins of a pitch to the vector of the pitch. From these vectors it predicts corrections of
    the masks, as the :class:`~asteroid_scoresup.models.MaskRefiner` does, but for its own classes.
    The last row of estimates and corrections is that of no class.

    The layers that only a score needs are initialized with zeros: an untrained network returns the
    masks of the factorization, and one that starts from a trained
    :class:`~asteroid_scoresup.models.PitchSeparator` the same masks without a score.

    Args:
        sources (sequence of str): Names of the classes, in order.
        power (float): The power of the masks of the factorization.
        **kwargs: See :class:`~asteroid_scoresup.models.PitchSeparator`.

    Examples
        >>> model = ScoreGuidedSeparator(["bass", "guitar"], n_fft=512, hop_length=128, n_blocks=2)
        >>> magnitude, estimates = torch.rand(257, 20), torch.rand(3, 257, 20)
        >>> model.all_corrections(magnitude, estimates).shape
        torch.Size([3, 257, 20])
        >>> model(torch.randn(4, 8000)).shape  # without a score
        torch.Size([4, 2, 8000])
    """

    loads_as_parent = True

    def __init__(self, sources: Sequence[str], power: float = INFORMED_POWER, **kwargs: Any):
        super().__init__(sources, **kwargs)
        if self.predicts_notes:
            raise ValueError("A score-guided separator predicts no notes: the score has them.")
        self.power = checked_power(power)
        rows = self.n_src + 1
        self.n_bins = self.mask_pitches * BINS_PER_SEMITONE
        self.guide_trunk = nn.Sequential(
            nn.Linear(rows * self.n_bins, GUIDE_CHAN, bias=False),
            nn.Linear(GUIDE_CHAN, self.trunk_channels(), bias=False),
        )
        self.guide_pitch = nn.Linear(rows * BINS_PER_SEMITONE, self.pitch_chan)
        n_outputs = rows * (1 + N_COMBINED) * BINS_PER_SEMITONE
        self.correction_head = nn.Sequential(
            nn.Linear(self.pitch_chan + rows * BINS_PER_SEMITONE, CORRECTION_CHAN),
            nn.ReLU(),
            nn.Linear(CORRECTION_CHAN, n_outputs),
        )
        for layer in (self.guide_trunk[1], self.guide_pitch, self.correction_head[2]):
            for weight in layer.parameters():
                nn.init.zeros_(weight)

    def all_corrections(
        self, magnitude: torch.Tensor, estimates: torch.Tensor, grid: FrameGrid | None = None
    ) -> torch.Tensor:
        r"""Corrections of the logits of masks, as those of a
        :class:`~asteroid_scoresup.models.MaskRefiner`.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes at the nominal level.
            estimates (:class:`torch.Tensor`): See
                :func:`~asteroid_scoresup.models.mask_refiner.class_estimates`; one row for each
                class of the model, and that of no class.
            grid (FrameGrid, optional): The STFT, if it is not the model's: at another sample rate,
                with about the same window and hop in seconds.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates, output: :math:`(n\_src + 1, freq, frames)`; 0 above the highest frequency
              of the model

        Raises:
            ValueError: if there are estimates of more or fewer classes.
        """
        rows = self.n_src + 1
        if len(estimates) != rows:
            raise ValueError(
                f"Expected estimates of {', '.join(self.sources)} and of no class, i.e. {rows} "
                f"rows, found {len(estimates)}."
            )
        to_bins, to_freqs = self._axes(grid, magnitude.shape[0])
        low = len(to_freqs)
        low_magnitude, low_estimates = magnitude[:low], estimates[:, :low]
        mixture = to_bins @ low_magnitude
        spectrum = self.compressed(mixture).unsqueeze(0).to(self.register.dtype)
        level = mixture.square().mean(0, keepdim=True).sqrt().clamp(min=_QUIET)
        guide = log_ratios(mixture, to_bins @ low_estimates, level)[0].to(spectrum.dtype)
        # (rows, bins, frames) -> (frames, rows, bins)
        guide = guide[:, : self.n_bins].permute(2, 0, 1)
        added = self.guide_trunk(guide.flatten(1)).t().unsqueeze(0)
        context = self.trunk(spectrum + added).to(spectrum.dtype)[:, :, : self.n_outputs]
        # (frames, pitches, rows · 3)
        local = guide.unflatten(2, (-1, BINS_PER_SEMITONE)).transpose(1, 2).flatten(2)
        more = pad(self.guide_pitch(local), (0, 0, 0, self.n_pitches - self.mask_pitches))
        x = self.pitch_features(spectrum, context, more.unsqueeze(1))
        for block in self.partial_blocks:
            x = block(x)
        x = torch.cat([x[:, 0, : self.mask_pitches], local], -1)
        predicted = self.correction_head(x).unflatten(2, (rows, 1 + N_COMBINED, BINS_PER_SEMITONE))
        # (frames, pitches, rows, 1 + 3, 3) -> (rows, 1 + 3, bins, frames)
        predicted = predicted.permute(2, 3, 1, 4, 0).flatten(2, 3)
        bias, *weights = (to_freqs.to(predicted.dtype) @ predicted).float().unbind(1)
        ratios = log_ratios(low_magnitude, low_estimates, level)
        corrections = bias
        for weight, ratio in zip(weights, ratios):
            corrections = corrections + weight * ratio
        return pad(corrections, (0, 0, 0, len(magnitude) - low))

    def _axes(self, grid: FrameGrid | None, n_freqs: int) -> tuple[torch.Tensor, torch.Tensor]:
        """From the bins of an STFT below the model's highest frequency to its axis, and back."""
        own = self.stft.grid
        grid = grid or own
        if n_freqs != grid.n_fft // 2 + 1:
            raise ValueError(
                f"The magnitudes have {n_freqs} bins, an STFT of {grid.n_fft} samples has "
                f"{grid.n_fft // 2 + 1}."
            )
        if grid == own:
            return self.log_frequency, self.bins_to_freqs
        with torch.device(self.register.device):
            to_bins = log_frequency_matrix(grid.n_fft, grid.sample_rate)[: self.trunk_channels()]
            n_bins = min(len(to_bins), self.n_bins)
            to_freqs = bins_to_freqs(grid.n_fft, grid.sample_rate, n_bins)
        low = min(int(self.sample_rate / 2 * grid.n_fft / grid.sample_rate) + 1, n_freqs)
        to_bins = pad(to_bins, (0, 0, 0, self.trunk_channels() - len(to_bins)))
        return to_bins[:, :low], pad(to_freqs, (0, self.n_bins - n_bins))[:low]

    def load_separator(self, other: PitchSeparator) -> None:
        """Copies the layers of a trained separator without a score; those for a score stay.

        Args:
            other (PitchSeparator): The separator.

        Raises:
            ValueError: if it is another kind of model, or has other sizes or classes.
        """
        fits = type(other) is PitchSeparator
        if fits:
            sizes = {**other.get_model_args(), "predicts_notes": False}
            fits = sizes == PitchSeparator.get_model_args(self)
        if not fits:
            raise ValueError(
                "A score-guided separator can be initialized from a PitchSeparator with the same "
                f"classes ({', '.join(self.sources)}) and sizes, found a {type(other).__name__} "
                f"of {', '.join(other.sources)}."
            )
        mine = self.state_dict()
        shared = {k: v for k, v in other.state_dict().items() if k in mine}
        self.load_state_dict({**mine, **shared})

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        return {**super().get_model_args(), "power": self.power}


def read_guided(name: str | Path) -> ScoreGuidedSeparator:
    """Reads a score-guided separator; a separator without a score gets untrained layers for it.

    Args:
        name (str or Path): See :func:`~asteroid_scoresup.models.hub.read_package`.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it is another kind of model.
    """
    model = PitchSeparator.from_pretrained(name)
    if isinstance(model, ScoreGuidedSeparator):
        return model
    # Notes are not trained with it.
    guided = ScoreGuidedSeparator(**{**model.get_model_args(), "predicts_notes": False})
    guided.load_separator(model)
    return guided.eval()
