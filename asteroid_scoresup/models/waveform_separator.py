"""Any waveform model of Asteroid as a separator of named classes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from ..dsp.stft import STFT, at_least_single
from .open_unmix import OpenUnmixNet
from .source_model import SourceModel, known_model

#: Context on each side of a chunk of a long recording, in seconds.
CONTEXT_SECONDS = 2.0


class WaveformSeparator(SourceModel):
    r"""A model of Asteroid with names for its outputs and one level for its inputs.

    `ConvTasNet` and the others do not store which output is the bass or how loud their training
    data were. ``net`` is the model as Asteroid has it, and the one to train.

    Args:
        sources (sequence of str): Names of the classes, in order.
        model (str): Name of a model that :func:`asteroid.models.get` knows and that takes `n_src`
            and `sample_rate`, such as ``"ConvTasNet"``, ``"DPRNNTasNet"``, ``"SuDORMRFNet"``,
            ``"DCUNet"``; or ``"OpenUnmix"``, see
            :class:`~asteroid_scoresup.models.open_unmix.OpenUnmixNet`.
        model_args (dict, optional): Its other arguments, plain types. Default: those of Asteroid,
            which for ConvTasNet are those of its librimix recipe.
        sample_rate (float): Sample rate, in Hz.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Raises:
        ValueError: if Asteroid has no such model.

    Examples
        >>> small = {"n_filters": 16, "n_blocks": 2, "n_repeats": 1, "bn_chan": 8, "hid_chan": 8}
        >>> model = WaveformSeparator(["bass", "piano"], "ConvTasNet", small)
        >>> model(torch.randn(8000)).shape
        torch.Size([2, 8000])
    """

    def __init__(
        self,
        sources: Sequence[str],
        model: str = "ConvTasNet",
        model_args: dict[str, Any] | None = None,
        sample_rate: float = 16000,
    ):
        super().__init__(sources, sample_rate)
        self.model, self.model_args = model, copy.deepcopy(dict(model_args or {}))
        build = OpenUnmixNet if model == "OpenUnmix" else known_model(str(model))
        if build is None or issubclass(build, SourceModel):
            raise ValueError(
                f"Asteroid has no model {model!r}: use ConvTasNet, another class of "
                "asteroid.models, or OpenUnmix."
            )
        # Its frames are those of chunks and of the transcriptor; it is not saved.
        self.stft = STFT(2048, 512, sample_rate)
        self.net = build(n_src=len(self.sources), sample_rate=sample_rate, **self.model_args)

    #: Whether the receptive field is bounded, which is assumed here.
    is_local = True

    @property
    def receptive_field(self) -> int:
        """Number of frames of context on each side of a chunk."""
        return math.ceil(CONTEXT_SECONDS * self.sample_rate / self.stft.hop_length)

    def forward(self, wav: torch.Tensor, level: float | torch.Tensor | None = None) -> torch.Tensor:
        r"""Separates waveforms; the estimates are at the level of the mixture.

        Args:
            wav (:class:`torch.Tensor`): Mixtures.
            level (float or :class:`torch.Tensor`, optional): RMS of the whole recording, for a
                segment of it. Default: the RMS of `wav`.
        """
        scaled, gain = self.normalize(self.as_batch(wav), level)
        precision = next(self.net.parameters()).dtype
        estimates = at_least_single(self.net(scaled.to(precision))) / gain.unsqueeze(-1)
        return self.like_input(estimates, wav)

    def in_chunks(self, wav: torch.Tensor, level: float, seconds: float = 30.0) -> torch.Tensor:
        r"""Separates a long recording chunk by chunk, with the memory that one chunk needs.

        Chunks are separated independently and joined without overlap, so a model with a long memory
        loses its context at the borders.

        Args:
            wav (:class:`torch.Tensor`): Shape :math:`(time)`.
            level (float): RMS of the recording.
            seconds (float): Length of a chunk; a remainder of less than half of it is added to the
                last one.

        Returns:
            :class:`torch.Tensor`: :math:`(n\_src, time)`.
        """
        length = round(seconds * self.sample_rate)
        count = max(round(wav.shape[-1] / length), 1)
        ends = [k * length for k in range(1, count)] + [wav.shape[-1]]
        chunks = [wav[begin:end] for begin, end in zip([0, *ends], ends)]
        return torch.cat([self(chunk, level) for chunk in chunks], -1)

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        return {
            "sources": list(self.sources),
            "model": self.model,
            "model_args": copy.deepcopy(self.model_args),
            "sample_rate": self.sample_rate,
        }
