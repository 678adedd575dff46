r"""A network that refines score-informed masks, for any list of classes.

Score-informed NMF (:mod:`asteroid_scoresup.score.informed`) splits each bin by the spectra of the
notes, which it assumes to be constant: attacks, beating partials and decays are not. This network
receives what the factorization found and corrects its masks. It is applied to one class at a time,
with the same weights for each, and to what belongs to no class; each receives the sum of the
others. What it learns applies to any number of classes of any instruments. It is convolutional in
time and in frequency, its receptive field is bounded, and nothing in it depends on the level of the
recording.

The last layer is initialized with zeros, so an untrained network returns the masks of the
factorization. Our choice throughout, not in Hung et al. 2021.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, pad

from ..score.defaults import INFORMED_POWER
from ..score.informed import EPS, Factors
from .source_model import SourceModel

#: Dilations of the blocks, in rows and frames; repeated if there are more blocks.
DILATIONS = ((1, 1), (2, 2), (4, 4), (8, 8), (1, 2), (1, 1))
#: Frames on each side over which the level of a frame is averaged.
LEVEL_FRAMES = 8
#: Bins to which the energy of a frame refers, whatever their number.
_LEVEL_BINS = 1024
#: Maps per class that the network receives, see :meth:`MaskRefiner.features`.
N_MAPS = 6
#: The first of them are combined linearly in each bin, with weights that the network predicts.
N_COMBINED = 3
#: Bin at which the position of a row is 0.75.
_POSITION_BINS = 512
#: Smallest estimate relative to the mixture: no class is ruled out for the network.
_FLOOR = 1e-4
#: Frames that are processed at a time.
_CHUNK = 256


class MaskRefiner(SourceModel):
    r"""Corrects the masks of a score-informed factorization.

    Class :math:`i` with the estimate :math:`V_i` has the mask

    .. math:: M_i = \frac{V_i^p e^{\delta_i}}{\sum_j V_j^p e^{\delta_j}},

    where :math:`j` runs over the classes and the components of no class, and :math:`p` is the power
    of :func:`~asteroid_scoresup.score.soft_masks`. The network predicts the corrections
    :math:`\delta`, as a bias and the weights of three log ratios :math:`r_k` in each bin (the
    estimate of the class, of the others, and their sum, relative to the mixture):

    .. math:: \delta_i = b_i + \sum_k w_{ik} r_{ik}.

    Args:
        channels (int): Channels of the hidden layers.
        n_blocks (int): Residual blocks.
        bins (int): Bins of the spectrum that are one row of the network.
        n_bins (int): Lowest bins that it corrects, 4 kHz at the default sample rate: most of the
            energy is there. Those above keep the masks of the factorization.
        power (float): The power :math:`p`.
        sample_rate (float): Sample rate of the training data, in Hz. The network can be applied at
            any other rate if the width of a bin and the hop are about the same in Hz and seconds.

    Examples
        >>> from asteroid_scoresup.score.informed import soft_masks
        >>> templates, activations = torch.rand(4, 65), torch.rand(4, 30)
        >>> factors = Factors(templates, activations, torch.tensor([0, 0, 1, 1]))
        >>> masks = MaskRefiner(channels=8, n_blocks=2)(templates.T @ activations, factors, 2)
        >>> masks.shape
        torch.Size([2, 65, 30])
        >>> torch.allclose(masks, soft_masks(factors, 2), atol=1e-4)
        True
    """

    def __init__(
        self,
        channels: int = 32,
        n_blocks: int = 6,
        bins: int = 8,
        n_bins: int = 512,
        power: float = INFORMED_POWER,
        sample_rate: float = 16000,
    ) -> None:
        # Classes are those of the score, not of the network.
        super().__init__([], sample_rate)
        self.channels, self.n_blocks, self.bins, self.n_bins = channels, n_blocks, bins, n_bins
        self.power = checked_power(power)
        self.inputs = nn.Conv2d(N_MAPS * bins, channels, 1)
        self.position = nn.Conv2d(2, channels, 1, bias=False)
        self.no_class = nn.Parameter(torch.zeros(channels, 1, 1))
        self.dilations = [DILATIONS[block % len(DILATIONS)] for block in range(n_blocks)]
        self.blocks = nn.ModuleList(_Block(channels, dilation) for dilation in self.dilations)
        self.outputs = nn.Conv2d(channels, (1 + N_COMBINED) * bins, 1)
        _initialize_with_zeros(self.outputs)

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the masks of a frame."""
        return LEVEL_FRAMES + sum(dilation[1] for dilation in self.dilations)

    def features(self, magnitude: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        r"""What the network receives: logarithms of ratios, which do not depend on the level.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes.
            estimates (:class:`torch.Tensor`): Estimates of the factorization, see
                :func:`class_estimates`.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates: :math:`(n\_src + 1, freq, frames)`
            - output: :math:`(n\_src + 1, 6, freq, frames)`: the estimate of the class, of
              everything else, the sum of all estimates, and the components of no class, each
              relative to the mixture; the mixture relative to the level around the frame; the mask
              of the factorization. The last row is that of no class.
        """
        level = _level(magnitude)
        own, others, total = log_ratios(magnitude, estimates, level)
        maps = magnitude.new_empty(len(estimates), N_MAPS, *magnitude.shape)
        maps[:, 0], maps[:, 1], maps[:, 2] = own, others, total
        maps[:, 3] = own[-1]
        maps[:, 4] = (magnitude / level + 1e-3).log_().div_(3)
        maps[:, 5] = self.logits(magnitude, estimates).softmax(0)
        return maps

    def logits(self, magnitude: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        r"""Logits of the masks of the factorization: :math:`p \log V`, of the shape of V."""
        return mask_logits(magnitude, estimates, self.power)

    def corrections(self, features: torch.Tensor) -> torch.Tensor:
        r"""The network: features of all classes → corrections of the logits.

        Shape:
            - features: :math:`(n\_src + 1, 6, freq, frames)`
            - output: :math:`(n\_src + 1, freq, frames)`
        """
        n_rows, n_maps, n_freqs, n_frames = features.shape
        rows = math.ceil(n_freqs / self.bins)
        padded = pad(features, (0, 0, 0, rows * self.bins - n_freqs))
        stacked = padded.view(n_rows, n_maps, rows, self.bins, n_frames).transpose(2, 3)
        hidden = self.inputs(stacked.reshape(n_rows, n_maps * self.bins, rows, n_frames))
        hidden = hidden + self.position(self._positions(rows).to(hidden))
        hidden = torch.cat([hidden[:-1], hidden[-1:] + self.no_class])
        # The part of each class in a row: silent classes do not count in means over classes.
        part = stacked[:, -1].mean(1).unsqueeze(1)
        for block in self.blocks:
            hidden = block(hidden, part)
        predicted = self.outputs(hidden.relu())
        predicted = predicted.view(n_rows, 1 + N_COMBINED, self.bins, rows, n_frames)
        weighted = (predicted[:, 1:] * stacked[:, :N_COMBINED]).sum(1)
        logits = (predicted[:, 0] + weighted).transpose(1, 2)
        return logits.reshape(n_rows, rows * self.bins, n_frames)[:, :n_freqs]

    def _positions(self, rows: int) -> torch.Tensor:
        """Where rows are in the spectrum, logarithmic; (1, 2, rows, 1)."""
        octaves = (((torch.arange(rows) + 0.5) * self.bins) / _POSITION_BINS).log2().clamp(max=0)
        position = 0.75 + octaves / 4
        return torch.stack([position, position.square()]).view(1, 2, rows, 1)

    def all_corrections(self, magnitude: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        r"""Corrections of the logits in all bins; see :meth:`corrections`.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes.
            estimates (:class:`torch.Tensor`): See :func:`class_estimates`.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates: :math:`(n\_src + 1, freq, frames)`
            - output: :math:`(n\_src + 1, freq, frames)`; 0 above the bins that are corrected
        """
        low, parts = magnitude[: self.n_bins], estimates[:, : self.n_bins]
        corrections = self.corrections(self.features(low, parts))
        return pad(corrections, (0, 0, 0, len(magnitude) - len(low)))

    def masks(
        self,
        magnitude: torch.Tensor,
        estimates: torch.Tensor,
        corrections: torch.Tensor | None = None,
    ) -> torch.Tensor:
        r"""Refined masks of a range of frames.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes.
            estimates (:class:`torch.Tensor`): See :func:`class_estimates`.
            corrections (:class:`torch.Tensor`, optional): Those of all channels together. Default:
                those of :meth:`all_corrections` for these magnitudes.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates, corrections: :math:`(n\_src + 1, freq, frames)`
            - output: :math:`(n\_src, freq, frames)`

        Returns:
            :class:`torch.Tensor`: Masks; with that of no class they sum to 1 in every bin.
        """
        if len(estimates) == 1:
            return estimates[:0]
        if corrections is None:
            corrections = self.all_corrections(magnitude, estimates)
        return corrected_masks(magnitude, estimates, corrections, self.power)

    def forward(self, magnitude: torch.Tensor, factors: Factors, n_src: int) -> torch.Tensor:
        """As :func:`refine_masks`, with gradients."""
        return self.masks(magnitude, class_estimates(magnitude, factors, n_src))

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        names = ("channels", "n_blocks", "bins", "n_bins", "power", "sample_rate")
        return {name: getattr(self, name) for name in names}


def _initialize_with_zeros(layer: nn.Module) -> None:
    for weight in layer.parameters():
        nn.init.zeros_(weight)


class _Block(nn.Module):
    """A dilated convolution in time and frequency, and an exchange between the classes."""

    def __init__(self, channels: int, dilation: tuple[int, int]) -> None:
        super().__init__()
        self.dilation = dilation
        self.local = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.shared = nn.Conv2d(channels, channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)
        _initialize_with_zeros(self.shared)

    def forward(self, hidden: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        activated = hidden.relu()
        common = self.shared((activated * part).sum(0, keepdim=True))
        return hidden + self.output((self.local(activated) + common).relu())


def _level(magnitude: torch.Tensor) -> torch.Tensor:
    """Level around each frame, above 0; shape (1, frames). Empty bins above do not change it."""
    power = magnitude.square().sum(0).view(1, 1, -1) / _LEVEL_BINS
    width = 2 * LEVEL_FRAMES + 1
    power = avg_pool1d(power, width, 1, LEVEL_FRAMES, count_include_pad=False)
    return power[0].sqrt().clamp(min=EPS)


def checked_power(power: float) -> float:
    """The power of masks, if it is one.

    Raises:
        ValueError: if it is not a number above 0, at most 10.
    """
    if isinstance(power, bool) or not isinstance(power, (int, float)) or not 0 < power <= 10:
        raise ValueError(f"the power of masks is {power!r}, expected a number above 0, up to 10.")
    return power


def mask_logits(magnitude: torch.Tensor, estimates: torch.Tensor, power: float) -> torch.Tensor:
    r"""Logits of the masks of a factorization: :math:`p \log V`.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes.
        estimates (:class:`torch.Tensor`): See :func:`class_estimates`.
        power (float): The power :math:`p`.

    Shape:
        - magnitude: :math:`(freq, frames)`
        - estimates, output: :math:`(n\_src + 1, freq, frames)`
    """
    floor = _FLOOR * magnitude + EPS * _level(magnitude)
    return power * (estimates + floor).log()


def corrected_masks(
    magnitude: torch.Tensor, estimates: torch.Tensor, corrections: torch.Tensor, power: float
) -> torch.Tensor:
    r"""Masks of a factorization with corrections of their logits.

    Args:
        magnitude, estimates, power: See :func:`mask_logits`.
        corrections (:class:`torch.Tensor`): Added to the logits.

    Shape:
        - corrections: :math:`(n\_src + 1, freq, frames)`
        - output: :math:`(n\_src, freq, frames)`

    Returns:
        :class:`torch.Tensor`: Masks; with that of no class they sum to 1 in every bin.
    """
    return (mask_logits(magnitude, estimates, power) + corrections).softmax(0)[:-1]


def log_ratios(
    magnitude: torch.Tensor, estimates: torch.Tensor, level: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Logarithms of what a factorization found relative to the mixture, scaled to about 1.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes.
        estimates (:class:`torch.Tensor`): See :func:`class_estimates`.
        level (:class:`torch.Tensor`): Level of each frame; much quieter magnitudes do not count.

    Shape:
        - magnitude: :math:`(freq, frames)`
        - estimates: :math:`(n\_src + 1, freq, frames)`
        - level: broadcasts with the magnitudes
        - output: :math:`(n\_src + 1, freq, frames)` twice, and :math:`(freq, frames)`

    Returns:
        tuple: Of each class, of everything else, and of the sum of all.
    """
    floor = 1e-3 * magnitude + _FLOOR * level
    total, reference = estimates.sum(0), (magnitude + floor).log()

    def relative(part: torch.Tensor) -> torch.Tensor:
        return ((part + floor).log() - reference).div(3).clamp(-3, 1.5)

    return relative(estimates), relative(total - estimates), relative(total)


def class_estimates(magnitude: torch.Tensor, factors: Factors, n_src: int) -> torch.Tensor:
    r"""Magnitudes of each class according to a factorization, at the level of the mixture.

    Each frame is scaled to the sum of the mixture, as the updates for the Kullback-Leibler
    divergence do: stored factors may have another scale.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes, shape :math:`(freq, frames)`.
        factors (Factors): Of the same frames.
        n_src (int): Number of classes.

    Returns:
        :class:`torch.Tensor`: Shape :math:`(n\_src + 1, freq, frames)`; the last is the sum of the
        components of no class.

    Raises:
        ValueError: if factors and magnitudes differ in size.
    """
    sizes = factors.templates.shape[1], factors.activations.shape[1]
    if magnitude.shape != sizes:
        raise ValueError(
            f"The factors have {sizes[0]} bins and {sizes[1]} frames, the magnitudes "
            f"{tuple(magnitude.shape)}: fit them to the same STFT, or cut both alike."
        )
    estimates = magnitude.new_zeros(n_src + 1, *magnitude.shape)
    for row, number in zip(estimates, [*range(n_src), -1]):
        mine = factors.class_index == number
        row.copy_(factors.templates[mine].T @ factors.activations[mine])
    return estimates * (magnitude.sum(0) / estimates.sum((0, 1)).clamp(min=EPS))


@torch.no_grad()
def refine_masks(
    magnitude: torch.Tensor,
    factors: Factors,
    n_src: int,
    refiner: MaskRefiner,
) -> torch.Tensor:
    r"""Masks from a score-informed factorization, refined by a network.

    A replacement for :func:`~asteroid_scoresup.score.soft_masks`. Frames are processed a few
    seconds at a time; the result is the same as in one piece.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes, in any unit.
        factors (Factors): From :func:`~asteroid_scoresup.score.score_informed_nmf`, of the same
            frames.
        n_src (int): Number of classes.
        refiner (MaskRefiner): The network.

    Shape:
        - magnitude: :math:`(freq, frames)`
        - output: :math:`(n\_src, freq, frames)`

    Returns:
        :class:`torch.Tensor`: Masks in [0, 1] whose sum is at most 1.

    Raises:
        ValueError: if factors and magnitudes differ in size.
    """
    margin, n_frames = refiner.receptive_field, magnitude.shape[1]
    masks = []
    for first in range(0, n_frames, _CHUNK):
        stop = min(first + _CHUNK, n_frames)
        start, end = max(first - margin, 0), min(stop + margin, n_frames)
        part = factors._replace(activations=factors.activations[:, start:end].to(magnitude))
        chunk = refiner(magnitude[:, start:end], part, n_src)
        masks.append(chunk[..., first - start : stop - start])
    return torch.cat(masks, -1) if masks else magnitude.new_zeros(n_src, *magnitude.shape)
