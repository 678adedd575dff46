"""A separator whose weights are shared over pitch: masks that follow notes of any instrument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from asteroid.masknn import activations
from torch import nn

from ..dsp.stft import Spectrograms, SpectrogramsAndNotes, at_least_single, default_device
from ..score import LOWEST_PITCH, N_PITCHES
from .pitch_model import (
    BINS_PER_SEMITONE,
    HIDDEN_CHAN,
    PitchBlock,
    PitchModel,
    log_frequency_matrix,
)
from .pitch_transcriptor import PitchTranscriptor, note_head, note_logits
from .spectrogram_model import SpectrogramModel
from .tcn_separator import TCNSeparator

#: Intervals in semitones from a fundamental to its partials 2 to 8, up and down: a partial belongs
#: to whoever plays its fundamental.
PARTIALS = (-36, -34, -31, -28, -24, -19, -12, 12, 19, 24, 28, 31, 34, 36)
#: Dilations of the blocks that pass on what plays the fundamental.
PARTIAL_BLOCKS = (1, 2)
#: Weights of the last layer of the TCN.
OUTPUT_LAYER = ("trunk.mask_net.1.weight", "trunk.mask_net.1.bias")


class PitchSeparator(PitchModel, TCNSeparator):
    r"""Estimates masks with weights that are shared over pitch (our choice).

    For each semitone up to the Nyquist frequency the vectors of the
    :class:`~asteroid_scoresup.models.pitch_model.PitchModel` are exchanged with those at the
    intervals of partials; each predicts logits of the masks of its
    :data:`~asteroid_scoresup.models.pitch_model.BINS_PER_SEMITONE` bins, which are interpolated to
    the bins of the STFT. The logits that the TCN predicts for these are added. It can start from
    all layers of a trained :class:`~asteroid_scoresup.models.PitchTranscriptor`.

    Args:
        sources (sequence of str): Names of the classes, in order.
        mask_act (str): ``"sigmoid"`` (independent masks) or ``"softmax"`` (masks that sum to 1).
        pitch_chan (int): Channels per pitch.
        predicts_notes (bool): Whether it predicts notes too, as a
            :class:`~asteroid_scoresup.models.PitchTranscriptor` does: the term ``notes`` of the
            loss trains them, and :meth:`transcriptor` returns them.
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`; they
            are the sizes of the TCN.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Examples
        >>> model = PitchSeparator(["bass", "guitar"], n_fft=512, hop_length=128, n_blocks=2)
        >>> model(torch.randn(4, 8000)).shape
        torch.Size([4, 2, 8000])
    """

    loads_as_parent = True

    def __init__(
        self,
        sources: Sequence[str],
        mask_act: str = "sigmoid",
        pitch_chan: int = 24,
        predicts_notes: bool = False,
        **kwargs: Any,
    ):
        # Not TCNSeparator.__init__: there the TCN gives masks, here logits, and the context.
        n_freqs = kwargs.get("n_fft", 2048) // 2 + 1
        SpectrogramModel.__init__(self, sources, self.n_outputs + n_freqs, "linear", **kwargs)
        self.mask_act = mask_act
        self.mask_pitches = self.trunk_channels() // BINS_PER_SEMITONE
        self._add_pitch_layers(max(self.mask_pitches, N_PITCHES), pitch_chan)
        self.partial_blocks = nn.ModuleList(
            PitchBlock(pitch_chan, dilation, True, PARTIALS) for dilation in PARTIAL_BLOCKS
        )
        last = nn.Linear(HIDDEN_CHAN, BINS_PER_SEMITONE * self.n_src)
        self.mask_head = nn.Sequential(nn.Linear(pitch_chan, HIDDEN_CHAN), nn.ReLU(), last)
        self.predicts_notes = predicts_notes
        if predicts_notes:
            self.head = note_head(pitch_chan, self.n_src)
        n_bins = self.mask_pitches * BINS_PER_SEMITONE
        self.register_buffer(
            "bins_to_freqs", bins_to_freqs(self.stft.n_fft, self.sample_rate, n_bins), False
        )
        self.output_act = activations.get(mask_act)(**({"dim": 1} if mask_act == "softmax" else {}))

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the output of a frame."""
        return super().receptive_field + sum(PARTIAL_BLOCKS)

    def outputs(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""The network: magnitudes at the nominal level → masks.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, n\_src, freq, frames)`, float32 at least
        """
        return self._masks(*self._features(magnitude))

    def spectrograms(self, wav: torch.Tensor) -> Spectrograms | SpectrogramsAndNotes:
        r"""Magnitudes of mixture and estimates, and logits of the notes if they are predicted.

        Shape:
            - wav: :math:`(batch, time)`, at the nominal level
        """
        mixture = self.stft.magnitude(self.stft(wav))
        x, logits = self._features(mixture)
        estimates = self._masks(x, logits) * mixture.unsqueeze(1)
        if not self.predicts_notes:
            return Spectrograms(mixture, estimates)
        notes = note_logits(self.head, x[:, :, :N_PITCHES])
        return SpectrogramsAndNotes(mixture, estimates, notes)

    def transcriptor(self) -> PitchTranscriptor:
        """The part that predicts notes, with weights of its own.

        Raises:
            ValueError: if the separator does not predict notes.
        """
        if not self.predicts_notes:
            raise ValueError(
                "This separator does not predict notes: train one with the term `notes` in its "
                "loss."
            )
        sizes = SpectrogramModel.get_model_args(self)
        model = PitchTranscriptor(**sizes, pitch_chan=self.pitch_chan)
        mine = self.state_dict()
        weights = {key: mine[key] for key in model.state_dict()}
        weights["register"] = mine["register"][:N_PITCHES]
        for key in OUTPUT_LAYER:
            weights[key] = self._per_class(mine[key])[:, : self.n_outputs].flatten(0, 1)
        model.load_state_dict(weights)
        return model.to(mine["register"].device).train(self.training)

    def _per_class(self, output_layer: torch.Tensor) -> torch.Tensor:
        return output_layer.unflatten(0, (self.n_src, -1))

    def _features(self, magnitude: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors of all pitches, and the logits of the TCN."""
        spectrum = self.log_spectrum(magnitude)
        sizes = [self.n_outputs, self.stft.n_freqs]
        context, logits = self.trunk(spectrum).to(spectrum.dtype).split(sizes, 2)
        return self.pitch_features(spectrum, context), logits

    def _masks(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        for block in self.partial_blocks:
            x = block(x)
        bins = self.mask_head(x[:, :, : self.mask_pitches]).unflatten(
            -1, (self.n_src, BINS_PER_SEMITONE)
        )
        # (frames, batch, pitches, n_src, 3) -> (batch, n_src, bins, frames)
        bins = bins.permute(1, 3, 2, 4, 0).flatten(2, 3)
        logits = logits + self.bins_to_freqs.to(bins.dtype) @ bins
        return self.output_act(at_least_single(logits))

    def load_trunk(self, other: SpectrogramModel) -> None:
        """Copies all layers that a trained pitch transcriptor has in common with this separator.

        Raises:
            ValueError: if `other` has no such layers, or their shapes differ.
        """
        if not isinstance(other, PitchModel):
            raise ValueError(
                f"The weights of a {type(other).__name__} do not fit a PitchSeparator: it can be "
                "initialized from a PitchTranscriptor (train one with --t_model pitch)."
            )
        mine = self.state_dict()
        shared = {k: v for k, v in other.state_dict().items() if k in mine}
        if other.n_src == self.n_src:
            for key in OUTPUT_LAYER:
                layer = self._per_class(mine[key]).clone()
                layer[:, : self.n_outputs] = self._per_class(shared[key])
                shared[key] = layer.flatten(0, 1)
        different = [k for k, v in shared.items() if mine[k].shape[1:] != v.shape[1:]]
        if different:
            raise ValueError(
                f"The layers differ in {different[:3]}: a network can only be initialized from one "
                "with the same classes, STFT, blocks and channels."
            )
        register, known = mine["register"].clone(), shared["register"]
        register[: len(known)] = known[: len(register)]
        super().load_state_dict({**mine, **shared, "register": register})

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        args = SpectrogramModel.get_model_args(self)
        own = ("mask_act", "pitch_chan", "predicts_notes")
        return {**args, **{key: getattr(self, key) for key in own}}


def bins_to_freqs(n_fft: int, sample_rate: float, n_bins: int) -> torch.Tensor:
    r"""Interpolates from a logarithmic frequency axis to the bins of the STFT (our choice).

    Args:
        n_fft (int): Length of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.
        n_bins (int): How many bins of
            :func:`~asteroid_scoresup.models.pitch_model.log_frequency_matrix` are used.

    Returns:
        :class:`torch.Tensor`: shape :math:`(freq, bins)`, rows sum to 1; bins of the STFT that no
        filter covers take the value of the nearest one.
    """
    device = default_device()
    with torch.device("cpu"):  # as in log_frequency_matrix
        filters = log_frequency_matrix(n_fft, sample_rate)[:n_bins]
        weights = (filters / filters.sum(1, keepdim=True).clamp(min=1e-6)).t()
        frequencies = torch.arange(n_fft // 2 + 1) * sample_rate / n_fft
        steps = (69 + 12 * torch.log2(frequencies / 440) - LOWEST_PITCH) * BINS_PER_SEMITONE
        nearest = (steps + (BINS_PER_SEMITONE - 1) / 2).round().clamp(0, n_bins - 1)
        # Too little to change the bins that filters cover.
        weights = weights + 1e-6 * (nearest[:, None] == torch.arange(n_bins))
        weights = weights / weights.sum(1, keepdim=True)
    return weights.to(device)
