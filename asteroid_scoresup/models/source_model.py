"""What every model of ours has: classes with names, one level, and files that load safely."""

from __future__ import annotations

import copy

import torch
from asteroid.models import BaseModel

from .stft import NOMINAL_RMS


class SourceModel(BaseModel):
    """A model of mono recordings whose outputs belong to named classes.

    It knows the level it was trained at, and is saved as plain types and tensors.

    Args:
        sources (sequence of str): Names of the classes, in order.
        sample_rate (float): Sample rate, in Hz.
    """

    #: Classes that say so themselves read the files of all their subclasses.
    reads_subclasses = True

    def __init__(self, sources, sample_rate):
        super().__init__(sample_rate=sample_rate, in_channels=1)
        self.sources = [str(name) for name in sources]

    @property
    def n_src(self):
        """Number of classes."""
        return len(self.sources)

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
            SourceModel: The model, in evaluation mode.

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
        if "reads_subclasses" not in vars(cls) and conf["model_name"] != cls.__name__:
            raise ValueError(f"{name} holds a {conf['model_name']}, expected a {cls.__name__}.")
        conf = {**conf, "model_args": copy.deepcopy(conf["model_args"])}
        model = super().from_pretrained(conf, *args, **kwargs)
        if not isinstance(model, cls):
            raise ValueError(f"{name} holds a {conf['model_name']}, which is no {cls.__name__}.")
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
