"""Any waveform model of Asteroid as a separator of named classes."""

from __future__ import annotations

import copy
import math

import torch

from ..dsp.stft import STFT, at_least_single
from .open_unmix import OpenUnmixNet
from .source_model import SourceModel, known_model

#: Seconds before and after a piece of a long recording that the model gets with it.
CONTEXT_SECONDS = 2.0


class WaveformSeparator(SourceModel):
    r"""A model of Asteroid's, with names for its outputs and one level for its inputs.

    What `ConvTasNet` and the others lack beside our separator: they know neither which output is
    the bass nor how loud their training data were. Training goes through ``net``, the model
    as Asteroid has it.

    Args:
        sources (sequence of str): Names of the classes, in order.
        model (str): Name of a model that :func:`asteroid.models.get` knows and that takes `n_src`
            and `sample_rate`, such as ``"ConvTasNet"``, ``"DPRNNTasNet"``, ``"SuDORMRFNet"``,
            ``"DCUNet"``; or ``"OpenUnmix"``, see
            :class:`~asteroid_scoresup.models.open_unmix.OpenUnmixNet`.
        model_args (dict, optional): Its other arguments, plain types. Default: those that Asteroid
            has, which for ConvTasNet are those of its librimix recipe.
        sample_rate (float): Sample rate, in Hz.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Raises:
        ValueError: if Asteroid has no such model.

    Examples
        >>> import torch
        >>> small = {"n_filters": 16, "n_blocks": 2, "n_repeats": 1, "bn_chan": 8, "hid_chan": 8}
        >>> model = WaveformSeparator(["bass", "piano"], "ConvTasNet", small)
        >>> model(torch.randn(8000)).shape
        torch.Size([2, 8000])
    """

    def __init__(self, sources, model="ConvTasNet", model_args=None, sample_rate=16000):
        super().__init__(sources, sample_rate)
        self.model, self.model_args = model, copy.deepcopy(dict(model_args or {}))
        build = OpenUnmixNet if model == "OpenUnmix" else known_model(str(model))
        if build is None or issubclass(build, SourceModel):
            raise ValueError(
                f"Asteroid has no model {model!r}: use ConvTasNet, another class of "
                "asteroid.models, or OpenUnmix."
            )
        # The frames by which recordings are cut and transcribed; nothing of it is saved.
        self.stft = STFT(2048, 512, sample_rate)
        self.net = build(n_src=len(self.sources), sample_rate=sample_rate, **self.model_args)

    #: Whether what a frame depends on is bounded; here it is taken to be.
    is_local = True

    @property
    def receptive_field(self):
        """Frames on each side of a piece that the model gets with it."""
        return math.ceil(CONTEXT_SECONDS * self.sample_rate / self.stft.hop_length)

    def forward(self, wav, level=None):
        r"""Separates waveforms; the estimates are at the level of the mixture.

        Args:
            wav (:class:`torch.Tensor`): Mixtures.
            level (float or :class:`torch.Tensor`, optional): RMS of the whole recording that the
                clip is a part of. Default: the RMS of the clip.
        """
        scaled, gain = self.normalize(self.as_batch(wav), level)
        precision = next(self.net.parameters()).dtype
        estimates = at_least_single(self.net(scaled.to(precision))) / gain.unsqueeze(-1)
        return self.like_input(estimates, wav)

    def in_pieces(self, wav, level, seconds=30.0):
        r"""Separates a long recording piece by piece, in the memory of one.

        Pieces know nothing of each other and are joined as they are: what a model with a long
        memory hears across a seam is lost.

        Args:
            wav (:class:`torch.Tensor`): Shape :math:`(time)`.
            level (float): RMS of the recording.
            seconds (float): Length of a piece; a rest of less than half of it is added to the last.

        Returns:
            :class:`torch.Tensor`: :math:`(n\_src, time)`.
        """
        length = round(seconds * self.sample_rate)
        count = max(round(wav.shape[-1] / length), 1)
        ends = [k * length for k in range(1, count)] + [wav.shape[-1]]
        pieces = [wav[begin:end] for begin, end in zip([0, *ends], ends)]
        return torch.cat([self(piece, level) for piece in pieces], -1)

    def get_model_args(self):
        """Arguments to build the model again; plain Python types only."""
        return {
            "sources": list(self.sources),
            "model": self.model,
            "model_args": copy.deepcopy(self.model_args),
            "sample_rate": self.sample_rate,
        }
