r"""A network that refines score-informed masks, for any list of classes.

Score-informed NMF (:mod:`asteroid_scoresup.score.informed`) splits each bin by the spectra of the
notes, which it assumes to be constant: attacks, beating partials and decays are not. This network
receives what the factorization found and corrects its masks. It is applied to one class at a time,
with the same weights for each, and receives the sum of the others: what it learns applies to any
number of classes of any instruments. It is convolutional in time and in frequency, its receptive
field is bounded, and nothing in it depends on the level of the recording.

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
DILATIONS = ((1, 1), (2, 2), (4, 4), (8, 1), (1, 2), (1, 1))
#: Frames on each side over which the level of a frame is averaged.
LEVEL_FRAMES = 8
#: Maps per class that the network receives, see :meth:`MaskRefiner.features`.
N_MAPS = 6
#: Smallest estimate relative to the mixture: no class is ruled out for the network.
_FLOOR = 1e-4
#: Frames that are processed at a time.
_CHUNK = 256


class MaskRefiner(SourceModel):
    r"""Corrects the masks of a score-informed factorization.

    Class :math:`i` with the estimate :math:`V_i` has the mask

    .. math:: M_i = \frac{V_i^p e^{\delta_i}}{\sum_j V_j^p e^{\delta_j}},

    where :math:`j` runs over the classes and, if there are any, the components of no class. Without
    them the masks sum to 1: the mixture has nothing else. :math:`p` is the power
    of :func:`~asteroid_scoresup.score.soft_masks`, and :math:`\delta` is the output of the network.

    Args:
        channels (int): Channels of the hidden layers.
        n_blocks (int): Residual blocks.
        bins (int): Bins of the spectrum that are one row of the network.
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
        channels: int = 16,
        n_blocks: int = 4,
        bins: int = 8,
        power: float = INFORMED_POWER,
        sample_rate: float = 16000,
    ) -> None:
        # Classes are those of the score, not of the network.
        super().__init__([], sample_rate)
        self.channels, self.n_blocks, self.bins, self.power = channels, n_blocks, bins, power
        self.inputs = nn.Conv2d(N_MAPS * bins, channels, 1)
        self.dilations = [DILATIONS[block % len(DILATIONS)] for block in range(n_blocks)]
        self.blocks = nn.ModuleList(_Block(channels, dilation) for dilation in self.dilations)
        self.class_logits = nn.Conv2d(channels, bins, 1)
        self.rest_logits = nn.Conv2d(channels, bins, 1)
        for layer in (self.class_logits, self.rest_logits):
            _initialize_with_zeros(layer)

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the masks of a frame."""
        return LEVEL_FRAMES + sum(dilation[1] for dilation in self.dilations)

    def features(
        self, magnitude: torch.Tensor, estimates: torch.Tensor, n_src: int
    ) -> torch.Tensor:
        r"""What the network receives: logarithms of ratios, which do not depend on the level.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes.
            estimates (:class:`torch.Tensor`): Estimates of the factorization, see
                :func:`class_estimates`.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates: :math:`(n\_src, freq, frames)`, or one more with components of no class
            - output: :math:`(n\_src, 6, freq, frames)`: the mixture relative to the level around
              the frame; the estimate of the class, of everything else, of the components of no
              class and the sum of all estimates, each relative to the mixture; the mask of the
              factorization.
        """
        return self._features(magnitude, estimates, n_src, self.logits(magnitude, estimates))

    def _features(
        self, magnitude: torch.Tensor, estimates: torch.Tensor, n_src: int, logits: torch.Tensor
    ) -> torch.Tensor:
        level = _level(magnitude)
        floor = 1e-3 * magnitude + _FLOOR * level
        total, reference = estimates.sum(0), (magnitude + floor).log()
        classes = estimates[:n_src]

        def relative(part: torch.Tensor) -> torch.Tensor:
            return ((part + floor).log_() - reference).div_(3).clamp_(-3, 1.5)

        maps = magnitude.new_empty(n_src, N_MAPS, *magnitude.shape)
        maps[:, 0] = (magnitude / level + 1e-3).log_().div_(3)
        maps[:, 1] = relative(classes)
        maps[:, 2] = relative(total - classes)
        maps[:, 3] = relative(estimates[n_src:].sum(0))
        maps[:, 4] = relative(total)
        maps[:, 5] = logits.softmax(0)[:n_src]
        return maps

    def logits(self, magnitude: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        r"""Logits of the masks of the factorization: :math:`p \log V`, of the shape of V."""
        floor = _FLOOR * magnitude + EPS * _level(magnitude)
        return self.power * (estimates + floor).log()

    def corrections(self, features: torch.Tensor) -> torch.Tensor:
        r"""The network: features of all classes → corrections of the logits.

        Shape:
            - features: :math:`(n\_src, 6, freq, frames)`
            - output: :math:`(n\_src + 1, freq, frames)`; the last is that of no class
        """
        n_src, n_maps, n_freqs, n_frames = features.shape
        rows = math.ceil(n_freqs / self.bins)
        padded = pad(features, (0, 0, 0, rows * self.bins - n_freqs))
        stacked = padded.view(n_src, n_maps, rows, self.bins, n_frames).transpose(2, 3)
        hidden = self.inputs(stacked.reshape(n_src, n_maps * self.bins, rows, n_frames))
        # The part of each class in a row: silent classes do not count in means over classes.
        part = stacked[:, -1].mean(1).unsqueeze(1)
        for block in self.blocks:
            hidden = block(hidden, part)
        hidden = hidden.relu()
        rest = (hidden * part).sum(0, keepdim=True)
        logits = torch.cat([self.class_logits(hidden), self.rest_logits(rest)])
        return logits.transpose(1, 2).reshape(n_src + 1, rows * self.bins, n_frames)[:, :n_freqs]

    def masks(self, magnitude: torch.Tensor, estimates: torch.Tensor, n_src: int) -> torch.Tensor:
        r"""Refined masks of a range of frames.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes.
            estimates (:class:`torch.Tensor`): See :func:`class_estimates`.
            n_src (int): Number of classes.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates: :math:`(n\_src, freq, frames)`, or one more with components of no class
            - output: :math:`(n\_src, freq, frames)`

        Returns:
            :class:`torch.Tensor`: Masks; with that of no class, if there is one, they sum to 1 in
            every bin.
        """
        if not n_src:
            return estimates[:0]
        logits = self.logits(magnitude, estimates)
        features = self._features(magnitude, estimates, n_src, logits)
        refined = logits + self.corrections(features)[: len(logits)]
        return refined.softmax(0)[:n_src]

    def forward(self, magnitude: torch.Tensor, factors: Factors, n_src: int) -> torch.Tensor:
        """As :func:`refine_masks`, with gradients."""
        return self.masks(magnitude, class_estimates(magnitude, factors, n_src), n_src)

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        names = ("channels", "n_blocks", "bins", "power", "sample_rate")
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
    """RMS around each frame, above 0; shape (1, frames)."""
    power = magnitude.square().mean(0).view(1, 1, -1)
    width = 2 * LEVEL_FRAMES + 1
    power = avg_pool1d(power, width, 1, LEVEL_FRAMES, count_include_pad=False)
    return power[0].sqrt().clamp(min=EPS)


def class_estimates(magnitude: torch.Tensor, factors: Factors, n_src: int) -> torch.Tensor:
    r"""Magnitudes of each class according to a factorization, at the level of the mixture.

    Each frame is scaled to the sum of the mixture, as the updates for the Kullback-Leibler
    divergence do: stored factors may have another scale.

    Args:
        magnitude (:class:`torch.Tensor`): Mixture magnitudes, shape :math:`(freq, frames)`.
        factors (Factors): Of the same frames.
        n_src (int): Number of classes.

    Returns:
        :class:`torch.Tensor`: Shape :math:`(n\_src, freq, frames)`, or one more if there are
        components of no class, which is last.

    Raises:
        ValueError: if factors and magnitudes differ in size.
    """
    sizes = factors.templates.shape[1], factors.activations.shape[1]
    if magnitude.shape != sizes:
        raise ValueError(
            f"The factors have {sizes[0]} bins and {sizes[1]} frames, the magnitudes "
            f"{tuple(magnitude.shape)}: fit them to the same STFT, or cut both alike."
        )
    numbers = list(range(n_src))
    if bool((factors.class_index < 0).any()):
        numbers.append(-1)
    estimates = magnitude.new_zeros(len(numbers), *magnitude.shape)
    for row, number in zip(estimates, numbers):
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
