r"""From notes to time-frequency bins: where the partials of the sounding notes are.

The paper (Hung et al. 2021) uses binary harmonic masks for its loss L_h-mix but does not publish
how they are drawn. Here, as our choice: partial :math:`k` of a note with fundamental :math:`f_0`
lies at :math:`f_k = k f_0 \sqrt{1 + B k^2}` (:math:`B`: inharmonicity of a stiff string, 0 by
default); the binary mask takes the bins within a half-width around it that is never narrower than
half the main lobe of the window; the *soft* mask weights the partials by :math:`decay^{k-1}` and
splits each bin between the classes in proportion to their weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .defaults import (
    INHARMONICITY,
    N_PARTIALS,
    PARTIAL_DECAY,
    RELATIVE_WIDTH,
    SOFT_POWER,
)
from .notes import LOWEST_PITCH, N_PITCHES


def partial_frequencies(
    pitch: torch.Tensor, n_partials: int, inharmonicity: float = 0.0
) -> torch.Tensor:
    r"""Frequencies of the partials of MIDI notes.

    Args:
        pitch (:class:`torch.Tensor`): MIDI note numbers, shape :math:`(n,)`.
        n_partials (int): Number of partials.
        inharmonicity (float): Coefficient :math:`B` of a stiff string (piano: about 0.0004).

    Returns:
        :class:`torch.Tensor`: Frequencies in Hz, shape :math:`(n, n\_partials)`.

    Examples
        >>> partial_frequencies(torch.tensor([69]), 3).tolist()
        [[440.0, 880.0, 1320.0]]
    """
    k = torch.arange(1, n_partials + 1, dtype=torch.float64)
    fundamental = 440.0 * 2.0 ** ((pitch.double() - 69) / 12)
    return fundamental[:, None] * k * torch.sqrt(1 + inharmonicity * k**2)


class HarmonicTemplates(nn.Module):
    r"""Spectra of single notes, and the masks that follow from them.

    The defaults are those of :mod:`asteroid_scoresup.score.defaults` and of the recipe.

    Args:
        sample_rate (float): Sample rate, in Hz.
        n_fft (int): Length of the STFT, in samples.
        n_partials (int): Partials drawn per note; those above Nyquist are left out.
        half_width (float, optional): Half-width of a partial, in Hz. Default: 2 bins, half the
            main lobe of a Hann window; smaller values raise an error.
        relative_width (float): Half-width relative to the partial's frequency; the larger of the
            two widths applies. Covers vibrato and detuning (0.006 is a tenth of a semitone).
        decay (float): Amplitude of a partial relative to the one below it (soft mask only).
        inharmonicity (float): See :func:`partial_frequencies`.
        power (float): Exponent on the weights before bins are split (soft mask only): 1 splits
            by amplitude, 2 by energy.
        unpitched (sequence of int): Classes without pitch, such as drums, to whose notes partials
            do not apply: while one sounds, the binary mask of its class takes every bin. Soft masks
            need a spectrum, and keep that of a tone at the key's pitch: keys of General MIDI are
            near the energy of their drums, and masks from flat or falling spectra were worse.
        tuning_cents (float): How far the recording is tuned above A = 440 Hz, in cents.

    Raises:
        ValueError: if the half-width is below half the main lobe, or `decay` outside (0, 1].
    """

    binary: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self,
        sample_rate: float,
        n_fft: int,
        n_partials: int = N_PARTIALS,
        half_width: float | None = None,
        relative_width: float = RELATIVE_WIDTH,
        decay: float = PARTIAL_DECAY,
        inharmonicity: float = INHARMONICITY,
        power: float = SOFT_POWER,
        unpitched: Sequence[int] = (),
        tuning_cents: float = 0.0,
    ) -> None:
        super().__init__()
        lobe = 2 * sample_rate / n_fft
        half_width = lobe if half_width is None else half_width
        if half_width < lobe * (1 - 1e-9):
            raise ValueError(
                f"half_width is {half_width:.1f} Hz, but half the main lobe of a Hann window of "
                f"{n_fft} samples at {sample_rate:g} Hz is {lobe:.1f} Hz: a narrower mask cuts "
                "every partial."
            )
        if not 0 < decay <= 1:
            raise ValueError(f"decay must be in (0, 1], found {decay}.")
        # Rates do not show in the shapes of the buffers: a loss compares these with its STFT.
        self.sample_rate, self.n_fft = sample_rate, n_fft
        self.n_partials, self.inharmonicity = n_partials, inharmonicity
        self.half_width, self.relative_width = half_width, relative_width
        self.decay, self.power, self.tuning_cents = decay, power, tuning_cents
        self.unpitched = tuple(unpitched)
        binary, weights = self._draw(torch.arange(LOWEST_PITCH, LOWEST_PITCH + N_PITCHES))
        self.register_buffer("binary", binary, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def _draw(self, pitch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the partials of pitches are, and their weights; each (pitch, freq)."""
        rate, n_fft = self.sample_rate, self.n_fft
        pitch = pitch.double() + self.tuning_cents / 100
        center = partial_frequencies(pitch, self.n_partials, self.inharmonicity)
        width = torch.clamp(self.relative_width * center, min=self.half_width)
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate / n_fft
        # (pitch, partial, bin); a partial above Nyquist must not leak in by its width.
        inside = (bins - center[..., None]).abs() <= width[..., None] * (1 + 1e-9)
        inside &= (center < rate / 2)[..., None]
        weight = self.decay ** torch.arange(self.n_partials, dtype=torch.float64)
        return inside.any(1).float(), (inside * weight[:, None]).amax(1).float()

    def spectra(self, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Templates for a roll with `n_rows` rows.

        Finer templates than those of 88 rows are drawn when they are first needed.

        Args:
            n_rows (int): 88, or a multiple of it where notes bend.

        Returns:
            tuple: Where partials are (0/1), and their weights; each :math:`(n\_rows, freq)`.

        Raises:
            ValueError: if `n_rows` is not a multiple of 88.
        """
        steps = n_rows // N_PITCHES
        if steps == 1 and n_rows == N_PITCHES:
            return self.binary, self.weights
        if not steps or n_rows % N_PITCHES:
            raise ValueError(f"A roll has 88 rows or a multiple of them, found {n_rows}.")
        names = f"binary_{steps}", f"weights_{steps}"
        if not hasattr(self, names[0]):
            # One step at a time: drawing all of them together takes a hundred times the memory.
            pitch = LOWEST_PITCH + torch.arange(N_PITCHES, dtype=torch.float64)
            drawn = [self._draw(pitch + step / steps) for step in range(steps)]
            for name, parts in zip(names, zip(*drawn)):
                table = torch.stack(parts, 1).flatten(0, 1).to(self.binary)
                self.register_buffer(name, table, persistent=False)
        return getattr(self, names[0]), getattr(self, names[1])

    def mask(self, sounding: torch.Tensor) -> torch.Tensor:
        r"""The paper's binary harmonic mask: the bins in which a class may have energy.

        Args:
            sounding (:class:`torch.Tensor`): Roll of sounding notes
                (:func:`~asteroid_scoresup.score.rolls.sounding_roll`).

        Shape:
            - sounding: :math:`(..., n\_src, 88, frames)`, or a multiple of 88 rows
            - output: :math:`(..., n\_src, freq, frames)`, bool
        """
        binary, _ = self.spectra(sounding.shape[-2])
        playing = (sounding > 0).to(binary.dtype)
        mask = torch.einsum("...pt,pf->...ft", playing, binary) > 0
        for index in self.unpitched:
            mask[..., index, :, :] = (sounding[..., index, :, :] > 0).any(-2).unsqueeze(-2)
        return mask

    def soft_mask(self, sounding: torch.Tensor) -> torch.Tensor:
        r"""Splits each bin between the classes by the weights of the partials that meet there.

        Args:
            sounding (:class:`torch.Tensor`): Roll of sounding notes with amplitudes.

        Shape:
            - sounding: :math:`(..., n\_src, 88, frames)`, or a multiple of 88 rows
            - output: :math:`(..., n\_src, freq, frames)`

        Returns:
            :class:`torch.Tensor`: Masks in [0, 1] that sum to 1 over the classes where any note has
            a partial, and to 0 elsewhere.
        """
        _, weights = self.spectra(sounding.shape[-2])
        weight = torch.einsum("...pt,pf->...ft", sounding.to(weights.dtype), weights)
        weight = weight**self.power if self.power != 1 else weight
        total = weight.sum(dim=-3, keepdim=True)
        return weight / total.clamp(min=torch.finfo(total.dtype).tiny)
