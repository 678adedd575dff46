"""The part that the pitch models have in common: a network whose weights are shared over pitch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..dsp.stft import at_least_single, default_device
from ..kernels.frames import overlapping_groups
from ..kernels.shifted_linear import TAPS, shifted_linear
from ..score import LOWEST_PITCH
from .spectrogram_model import SpectrogramModel

#: Bins per semitone of the log-frequency spectrum.
BINS_PER_SEMITONE = 3
#: Multiples of the fundamental at which the spectrum is read for each pitch.
HARMONICS = (1 / 2, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
#: Bins that are read around each of them.
NEAR = 5
#: Intervals in semitones at which a pitch compares itself with others: their partials coincide.
INTERVALS = (-24, -19, -12, -1, 1, 12, 19, 24)
#: Channels that a pitch shows the others.
SHOWN = 8
#: Channels between the two layers of the first and of the last part.
HIDDEN_CHAN = 32
#: Frames between the taps of each block, and whether it compares pitches.
BLOCKS = ((1, True), (2, False), (4, True), (8, False), (1, True), (2, False))


def log_frequency_matrix(n_fft: int, sample_rate: float) -> torch.Tensor:
    r"""Projects STFT magnitudes onto a logarithmic frequency axis (our choice).

    Triangular filters, :data:`BINS_PER_SEMITONE` per semitone from the pitch 21 up to the Nyquist
    frequency, at least as wide as a bin of the STFT, of unit norm. The middle bin of each semitone
    is its center.

    Args:
        n_fft (int): Length of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        :class:`torch.Tensor`: shape :math:`(bins, freq)`, see :func:`n_log_bins`.
    """
    device = default_device()
    # On the device "meta", where models are first built, torch would import its compiler for this.
    with torch.device("cpu"):
        steps = torch.arange(n_log_bins(sample_rate)) - (BINS_PER_SEMITONE - 1) / 2
        hertz = 440 * 2 ** ((LOWEST_PITCH + steps / BINS_PER_SEMITONE - 69) / 12)
        width = sample_rate / n_fft
        frequencies = torch.arange(n_fft // 2 + 1) * width
        half = (hertz * (2 ** (1 / 12 / BINS_PER_SEMITONE) - 1)).clamp(min=width)
        filters = (1 - (frequencies - hertz[:, None]).abs() / half[:, None]).clamp(min=0)
        filters /= filters.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)
    return filters.to(device)


def n_log_bins(sample_rate: float) -> int:
    """Bins of the logarithmic frequency axis, from the pitch 21 up to the Nyquist frequency.

    Args:
        sample_rate (float): Sample rate, in Hz.
    """
    top = 69 + 12 * math.log2(sample_rate / 2 / 440)
    return max(int((top - LOWEST_PITCH) * BINS_PER_SEMITONE), 1)


class PitchModel(SpectrogramModel):
    r"""Describes every pitch of every frame by a vector (our choice).

    A pitch is a pattern of partials that moves along a logarithmic frequency axis. The magnitudes
    are projected onto such an axis; for each pitch the bins around the multiples of its fundamental
    are read, and the same small network processes every pitch, looking at neighboring frames and
    at the pitches whose partials coincide. What depends on absolute frequency, i.e. which classes
    play, comes from the TCN of the paper over the same spectrum, and from a vector per pitch.

    Subclasses call ``_add_pitch_layers``, and predict from :meth:`pitch_features`.
    """

    #: Outputs of the TCN per class and frame.
    n_outputs = 16

    def _add_pitch_layers(self, n_pitches: int, pitch_chan: int) -> None:
        """Adds the layers for `n_pitches` semitones from pitch 21 up, of `pitch_chan` channels."""
        nn.init.zeros_(self.trunk.mask_net[1].bias)
        self.n_pitches, self.pitch_chan = n_pitches, pitch_chan
        matrix = log_frequency_matrix(self.stft.n_fft, self.sample_rate)
        self.register_buffer("log_frequency", matrix, persistent=False)
        self.front = nn.Sequential(
            nn.Linear(NEAR * len(HARMONICS), HIDDEN_CHAN),
            nn.ReLU(),
            nn.Linear(HIDDEN_CHAN, pitch_chan),
        )
        self.context = nn.Linear(self.n_src * self.n_outputs, pitch_chan)
        self.register = nn.Parameter(torch.zeros(n_pitches, pitch_chan))
        self.blocks = nn.ModuleList(PitchBlock(pitch_chan, *sizes) for sizes in BLOCKS)

    def trunk_channels(self) -> int:
        """Bins of the log-frequency spectrum."""
        return n_log_bins(self.sample_rate)

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the output of a frame."""
        return super().receptive_field + sum(dilation for dilation, _ in BLOCKS)

    def log_spectrum(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""The compressed spectrum on the logarithmic axis, input of all layers.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`, at the nominal level
            - output: :math:`(batch, bins, frames)`
        """
        spectrum = self.compressed(self.log_frequency @ at_least_single(magnitude))
        return spectrum.to(self.register.dtype)

    def pitch_features(
        self, spectrum: torch.Tensor, context: torch.Tensor, more: torch.Tensor | None = None
    ) -> torch.Tensor:
        r"""The vectors of all pitches. Frames come first: they are shifted without copies.

        Args:
            spectrum (:class:`torch.Tensor`): See :meth:`log_spectrum`.
            context (:class:`torch.Tensor`): Output of the TCN for it.
            more (:class:`torch.Tensor`, optional): What else is known of the pitches, added to
                their vectors.

        Shape:
            - spectrum: :math:`(batch, bins, frames)`
            - context: :math:`(batch, n\_src, n\_outputs, frames)`
            - more, output: :math:`(frames, batch, pitches, channels)`
        """
        context = context.flatten(1, 2).permute(2, 0, 1)
        return self.over_pitches(spectrum.permute(2, 0, 1) / 4, context, more)

    def over_pitches(
        self, spectrum: torch.Tensor, context: torch.Tensor, more: torch.Tensor | None = None
    ) -> torch.Tensor:
        r"""The part that is shared over pitch.

        Shape:
            - spectrum: :math:`(frames, batch, bins)`
            - context: output of the TCN, :math:`(frames, batch, n\_src \cdot n\_outputs)`
            - more, output: :math:`(frames, batch, pitches, channels)`
        """
        reach = sum(dilation for dilation, _ in BLOCKS)
        groups = overlapping_groups(spectrum, reach, [context, *self.parameters()])
        outputs = []
        for frames, inner in groups:
            x = self.front(_harmonics(spectrum[frames], self.n_pitches))
            x = x + (self.context(context[frames]).unsqueeze(2) + self.register)
            if more is not None:
                x = x + more[frames]
            for block in self.blocks:
                x = block(x)
            outputs.append(x[inner])
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _harmonics(spectrum: torch.Tensor, n_pitches: int) -> torch.Tensor:
    """The bins around the multiples of each pitch, (..., bins) → (..., pitches, columns)."""
    size = n_pitches * BINS_PER_SEMITONE
    octave = 12 * BINS_PER_SEMITONE
    below = octave + NEAR
    padded = F.pad(spectrum, (below, max(below + 4 * octave + size - spectrum.shape[-1], 0)))
    columns = []
    for multiple in HARMONICS:
        shift = round(octave * math.log2(multiple))
        first = below + shift + BINS_PER_SEMITONE // 2 - NEAR // 2
        stretch = padded[..., first : first + size - BINS_PER_SEMITONE + NEAR]
        columns.append(stretch.unfold(-1, NEAR, BINS_PER_SEMITONE))
    return torch.cat(columns, -1)


class PitchBlock(nn.Module):
    """A residual block: three frames of each pitch, and the pitches that share its partials."""

    def __init__(
        self,
        channels: int,
        dilation: int,
        compares: bool,
        intervals: Sequence[int] = INTERVALS,
    ):
        super().__init__()
        self.dilation, self.intervals = dilation, intervals
        bound = (3 * channels) ** -0.5
        self.weight = nn.Parameter(torch.empty(TAPS, channels, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.shown = self.compare = None
        if compares:
            self.shown = nn.Linear(channels, SHOWN)
            self.compare = nn.Linear(SHOWN * len(intervals), channels, bias=False)
        # Zeros: each block starts as the identity, which takes the place of a normalization.
        self.out = nn.Parameter(torch.zeros(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape: (frames, batch, pitches, channels)."""
        rows = x.flatten(1, 2)
        y = shifted_linear(rows, self.weight, self.bias, self.dilation).view_as(x)
        if self.shown is not None and self.compare is not None:
            y = y + self.compare(_at_intervals(self.shown(x), self.intervals))
        return torch.addmm(x.flatten(0, 2), F.relu(y).flatten(0, 2), self.out).view_as(x)


def _at_intervals(x: torch.Tensor, intervals: Sequence[int]) -> torch.Tensor:
    """Each pitch with what those at the intervals show, (..., pitches, n) → (..., pitches, k n)."""
    reach, n_pitches = max(map(abs, intervals)), x.shape[-2]
    padded = F.pad(x, (0, 0, reach, reach))
    starts = [reach + interval for interval in intervals]
    return torch.cat([padded[..., start : start + n_pitches, :] for start in starts], -1)
