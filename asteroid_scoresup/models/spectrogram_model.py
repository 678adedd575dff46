"""What separator, transcriptor and activity classifier share: input, trunk, saving."""

from __future__ import annotations

import copy

import torch
from asteroid.models import BaseModel

from .stft import NOMINAL_RMS, STFT
from .tcn import ChannelsLastTDConvNet


class SpectrogramModel(BaseModel):
    r"""A TCN on a log-compressed magnitude spectrogram.

    Waveform → level normalisation → STFT → :math:`\log(1 + 1000 X)` → TCN → activation.
    Subclasses say how many outputs a frame has per class and what they mean.

    The trunk normalises each frame by itself (``norm_type="cLN"``), so what a frame's output
    depends on is the receptive field and nothing else: a long file can be done in pieces. Its
    largest dilation must fit into the training segments, or the outer taps never see a signal in
    training and carry noise into whole songs.

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

    def __init__(
        self,
        sources,
        out_chan,
        mask_act,
        n_fft=2048,
        hop_length=512,
        n_blocks=6,
        n_repeats=2,
        bn_chan=128,
        hid_chan=256,
        conv_kernel_size=3,
        norm_type="cLN",
        sample_rate=16000,
    ):
        super().__init__(sample_rate=sample_rate, in_channels=1)
        self.sources = [str(name) for name in sources]
        self.stft = STFT(n_fft, hop_length, sample_rate)
        self.trunk = ChannelsLastTDConvNet(
            in_chan=self.stft.n_freqs,
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

    @property
    def n_src(self):
        """Number of classes."""
        return len(self.sources)

    @property
    def receptive_field(self):
        """Frames on each side that can change a frame's output."""
        return sum(
            (self.trunk.conv_kernel_size - 1) * 2**block // 2
            for _ in range(self.trunk.n_repeats)
            for block in range(self.trunk.n_blocks)
        )

    @staticmethod
    def as_batch(wav):
        r"""Mono waveforms of any accepted shape as :math:`(batch, time)`.

        Raises:
            ValueError: if the shape is not (time), (batch, time) or (batch, 1, time).
        """
        if wav.ndim not in (1, 2, 3) or (wav.ndim == 3 and wav.shape[1] != 1):
            raise ValueError(
                f"Expected mono waveforms of shape (time), (batch, time) or (batch, 1, time), "
                f"found {tuple(wav.shape)}."
            )
        return wav.reshape(-1, wav.shape[-1])

    @staticmethod
    def normalize(wav, level=None):
        r"""Brings recordings to the level of the training data.

        Args:
            wav (:class:`torch.Tensor`): Shape :math:`(batch, time)`.
            level (float or :class:`torch.Tensor`, optional): RMS of the recording a clip is from,
                shape :math:`(batch,)` or scalar. Default: the RMS of each row of `wav`.

        Returns:
            tuple: the scaled waveforms, and the gains that did it, :math:`(batch, 1)`.
        """
        if level is None:
            level = wav.pow(2).mean(-1, keepdim=True).sqrt()
        else:
            level = torch.as_tensor(level, dtype=wav.dtype, device=wav.device).reshape(-1, 1)
        # Digital silence has no level: any finite gain will do.
        gain = NOMINAL_RMS / level.clamp(min=1e-6)
        return wav * gain, gain

    def outputs(self, magnitude):
        r"""The network: magnitudes at the nominal level → outputs.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, n\_src, out\_chan, frames)`, float32
        """
        return self.trunk(torch.log1p(1000 * magnitude)).float()

    def load_trunk(self, other):
        """Starts from the trained trunk of another network of the same shape: all but its output.

        Args:
            other (SpectrogramModel): For example the transcriptor that becomes the critic.

        Raises:
            ValueError: if the trunks differ in shape.
        """
        mine = self.trunk.state_dict()
        shared = {k: v for k, v in other.trunk.state_dict().items() if "mask_net.1" not in k}
        different = [k for k, v in shared.items() if k not in mine or mine[k].shape != v.shape]
        missing = [k for k in mine if k not in shared and "mask_net.1" not in k]
        if different or missing:
            raise ValueError(
                f"The trunks differ in {(different + missing)[:3]}: a network can only start from "
                "one with the same STFT, blocks and channels."
            )
        self.trunk.load_state_dict({**mine, **shared})

    def get_model_args(self):
        """Arguments to build the model again; plain Python types only."""
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

    def get_state_dict(self):
        """Weights without the STFT, which follows from the arguments."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("stft.")}

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Takes a full state dict, or one that :meth:`get_state_dict` gave."""
        stft = {k: v for k, v in self.state_dict().items() if k.startswith("stft.")}
        return super().load_state_dict({**stft, **state_dict}, strict=strict, assign=assign)

    def serialize(self):
        """As Asteroid's, with version numbers that ``torch.load(weights_only=True)`` accepts."""
        conf = super().serialize()
        versions = conf["infos"]["software_versions"]
        conf["infos"]["software_versions"] = {k: str(v) for k, v in versions.items()}
        return conf

    @classmethod
    def from_pretrained(cls, pretrained_model_conf_or_path, *args, **kwargs):
        """Restores a model from what :meth:`serialize` gave, or a file that holds it.

        Args:
            pretrained_model_conf_or_path (dict, str or Path): The dict (it is not changed) or a
                file that ``torch.save`` wrote; loaded with ``weights_only=True``.

        Returns:
            SpectrogramModel: The model, in evaluation mode.

        Raises:
            ValueError: if it is not the package of such a model.
        """
        conf, name = pretrained_model_conf_or_path, "The model package"
        if not isinstance(conf, dict):
            name = str(conf)
            conf = load_package(name)
        missing = [key for key in ("model_name", "model_args", "state_dict") if key not in conf]
        if missing:
            raise ValueError(f"{name} is no model package: it lacks {missing}.")
        if cls is not SpectrogramModel and conf["model_name"] != cls.__name__:
            raise ValueError(f"{name} holds a {conf['model_name']}, expected a {cls.__name__}.")
        conf = {**conf, "model_args": copy.deepcopy(conf["model_args"])}
        model = super().from_pretrained(conf, *args, **kwargs)
        if not isinstance(model, cls):
            raise ValueError(f"{name} holds a {conf['model_name']}, which is no model of ours.")
        return model.eval()


def load_package(path):
    """Reads a file written by ``torch.save`` without running code from it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file.
    """
    try:
        package = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no model file {path}.") from None
    except Exception as error:  # torch raises many kinds for many kinds of damage
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is not a model file: {reason}") from None
    if not isinstance(package, dict):
        raise ValueError(f"{path} is no model package: it holds a {type(package).__name__}.")
    return package
