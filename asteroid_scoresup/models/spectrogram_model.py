"""Base of separator, transcriptor and activity classifier: their input and trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..dsp.stft import STFT, at_least_single
from .source_model import SourceModel
from .tcn import ChannelsLastTDConvNet


class SpectrogramModel(SourceModel):
    r"""A TCN on a log-compressed magnitude spectrogram.

    Waveform → level normalization → STFT → :math:`\log(1 + 1000 X)` → TCN → activation.
    Subclasses define how many outputs a frame has per class, and their meaning.

    The trunk normalizes each frame by itself (``norm_type="cLN"``), so the output of a frame
    depends on the receptive field only, and a long file can be processed in chunks. The largest
    dilation must fit into the training segments: otherwise the outer taps never receive a signal in
    training and add noise to whole songs.

    Args:
        sources (sequence of str): Names of the classes, in order.
        out_chan (int): Outputs per class and frame.
        mask_act (str): Activation of the output, a name of :mod:`asteroid.masknn.activations`.
        n_fft (int): STFT length, in samples.
        hop_length (int): STFT hop, in samples.
        n_blocks, n_repeats, bn_chan, hid_chan, conv_kernel_size, norm_type: See
            :class:`asteroid.masknn.TDConvNet`.
        sample_rate (float): Sample rate, in Hz.
    """

    reads_subclasses = True

    def __init__(
        self,
        sources: Sequence[str],
        out_chan: int,
        mask_act: str,
        n_fft: int = 2048,
        hop_length: int = 512,
        n_blocks: int = 6,
        n_repeats: int = 2,
        bn_chan: int = 128,
        hid_chan: int = 256,
        conv_kernel_size: int = 3,
        norm_type: str = "cLN",
        sample_rate: float = 16000,
    ):
        super().__init__(sources, sample_rate)
        self.stft = STFT(n_fft, hop_length, sample_rate)
        self.trunk = ChannelsLastTDConvNet(
            in_chan=self.trunk_channels(),
            n_src=len(self.sources),
            out_chan=out_chan,
            n_blocks=n_blocks,
            n_repeats=n_repeats,
            bn_chan=bn_chan,
            hid_chan=hid_chan,
            skip_chan=0,
            conv_kernel_size=conv_kernel_size,
            norm_type=norm_type,
            mask_act=mask_act,
        )

    def trunk_channels(self) -> int:
        """Channels that the trunk receives per frame."""
        return self.stft.n_freqs

    @property
    def is_local(self) -> bool:
        """Whether frames depend on the receptive field only, so that chunks give exact results."""
        return self.trunk.norm_type == "cLN"

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the output of a frame."""
        return sum(
            (self.trunk.conv_kernel_size - 1) * 2**block // 2
            for _ in range(self.trunk.n_repeats)
            for block in range(self.trunk.n_blocks)
        )

    @staticmethod
    def compressed(magnitude: torch.Tensor) -> torch.Tensor:
        """Input of the trunk for magnitudes at the nominal level, of the same shape."""
        return torch.log1p(1000 * magnitude)

    def outputs(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""The network: magnitudes at the nominal level → outputs.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, n\_src, out\_chan, frames)`, float32 at least
        """
        return at_least_single(self.trunk(self.compressed(magnitude)))

    def load_trunk(self, other: SpectrogramModel) -> None:
        """Copies the trunk of another network of the same shape, except its output layer.

        Args:
            other (SpectrogramModel): The network, such as a trained transcriptor.

        Raises:
            ValueError: if the trunks differ in shape.
        """
        mine = self.trunk.state_dict()
        shared = {k: v for k, v in other.trunk.state_dict().items() if "mask_net.1" not in k}
        different = [k for k, v in shared.items() if k not in mine or mine[k].shape != v.shape]
        missing = [k for k in mine if k not in shared and "mask_net.1" not in k]
        if different or missing:
            raise ValueError(
                f"The trunks differ in {(different + missing)[:3]}: a network can only be "
                "initialized from one with the same STFT, blocks and channels."
            )
        self.trunk.load_state_dict({**mine, **shared})

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        return {
            "sources": list(self.sources),
            "n_fft": self.stft.n_fft,
            "hop_length": self.stft.hop_length,
            **{
                key: self.trunk.get_config()[key]
                for key in (
                    "n_blocks",
                    "n_repeats",
                    "bn_chan",
                    "hid_chan",
                    "conv_kernel_size",
                    "norm_type",
                )
            },
            "sample_rate": self.sample_rate,
        }

    def get_state_dict(self) -> dict[str, torch.Tensor]:
        """The weights, without the STFT, which follows from the arguments."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("stft.")}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Loads a full state dict, or one from :meth:`get_state_dict`."""
        stft = {k: v for k, v in self.state_dict().items() if k.startswith("stft.")}
        return super().load_state_dict({**stft, **state_dict}, strict=strict, assign=assign)
