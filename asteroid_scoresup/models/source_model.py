"""What every model of ours has: classes with names, one level, and files that load safely."""

from __future__ import annotations

import copy

import asteroid.models
import torch
from asteroid.models import BaseModel
from asteroid.utils.torch_utils import script_if_tracing

from ..dsp.stft import NOMINAL_RMS, at_least_single
from .loading import bounded_weights, first_line, load_package, require_package, require_sizes


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
        if torch.jit.is_tracing():
            return _as_batch(wav)  # looks at the shape of each later input
        if wav.ndim not in (1, 2, 3) or (wav.ndim == 3 and wav.shape[1] != 1):
            raise ValueError(
                f"Expected mono waveforms of shape (time), (batch, time) or (batch, 1, time), "
                f"found {tuple(wav.shape)}."
            )
        return wav.reshape(-1, wav.shape[-1])

    @staticmethod
    def like_input(outputs, wav):
        r"""Outputs of a batch without their first dimension where `wav` had no batch.

        Shape:
            - outputs: :math:`(batch, ...)`
            - wav: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        """
        return _like_input(outputs, wav)

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
        wav = at_least_single(wav)
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
        return cls.from_package(conf, name, *args, **kwargs)

    @classmethod
    def from_package(cls, conf, name="The model package", *args, **kwargs):
        """As :meth:`from_pretrained`, for a dict that was read from a file.

        Args:
            conf (dict): What :meth:`serialize` gave; it is not changed.
            name (str): The file, for messages.

        Raises:
            ValueError: if it is not the package of such a model; nothing of it was called then.
        """
        require_package(conf, name)
        # Asteroid calls whatever of that name it finds: the class is looked up and checked here.
        kind = known_model(conf["model_name"], cls)
        if kind is None or not issubclass(kind, SourceModel):
            raise ValueError(
                f"{name} holds a {conf['model_name']}, which is no {cls.__name__}"
                f"{_of_asteroid(conf['model_name'])}."
            )
        if "reads_subclasses" not in vars(cls) and kind is not cls:
            raise ValueError(f"{name} holds a {kind.__name__}, expected a {cls.__name__}.")
        if not issubclass(kind, cls):
            raise ValueError(f"{name} holds a {kind.__name__}, which is no {cls.__name__}.")
        arguments = {**copy.deepcopy(conf["model_args"]), **kwargs}
        return kind._restored(arguments, conf["state_dict"], name, *args).eval()

    @classmethod
    def _restored(cls, arguments, state_dict, name, *args):
        """Builds a model from checked parts; first without memory, to see how large it is."""
        require_sizes(arguments, name)
        try:
            with bounded_weights(state_dict):
                with torch.device("meta"):
                    cls(*args, **copy.deepcopy(arguments))
                model = cls(*args, **arguments)
            model.load_state_dict(state_dict)
        except NotImplementedError as error:
            raise ValueError(f"{name}: {first_line(error)}") from None
        except ImportError:
            raise
        except Exception as error:  # whatever a wrong argument does to a class of Asteroid's
            raise ValueError(f"{name}: {first_line(error)}") from None
        return model


@script_if_tracing
def _as_batch(wav: torch.Tensor):
    if wav.dim() > 3 or (wav.dim() == 3 and wav.shape[1] != 1):
        raise ValueError(
            "Expected mono waveforms of shape (time), (batch, time) or (batch, 1, time)."
        )
    return wav.reshape(-1, wav.shape[-1])


@script_if_tracing
def _like_input(outputs: torch.Tensor, wav: torch.Tensor):
    if wav.dim() == 1:
        return outputs[0]
    return outputs


def known_model(name, cls=None):
    """The model class of that name that Asteroid knows, or None.

    Args:
        name (str): The exact name of the class.
        cls (type, optional): A class that counts too, registered or not.
    """
    if cls is not None and name == cls.__name__:
        return cls
    kind = getattr(asteroid.models, name, None)
    fits = isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not BaseModel
    return kind if fits and kind.__name__ == name else None


def _of_asteroid(name):
    if known_model(name) is None:
        return ""
    return (
        " but a model of Asteroid's own, without names for its outputs: run `asteroid-scoresup "
        "infer` on it, or train it as a WaveformSeparator"
    )
