"""Base of all models of the package: named classes, a nominal level, files that load safely."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asteroid.models
import torch
from asteroid.models import BaseModel
from asteroid.utils.torch_utils import script_if_tracing

from ..dsp.stft import NOMINAL_RMS, at_least_single
from .hub import HubMixin, read_package, split_options
from .loading import bounded_weights, first_line, require_package, require_sizes


class SourceModel(HubMixin, BaseModel):
    """A model of mono recordings whose outputs belong to named classes.

    Inputs are scaled to the level of the training data. Model files have plain types and tensors.

    Args:
        sources (sequence of str): Names of the classes, in order.
        sample_rate (float): Sample rate, in Hz.
    """

    #: A class that defines this attribute itself can load the files of all its subclasses.
    reads_subclasses = True
    #: Files of a class that defines this attribute itself can be loaded by its parent class.
    loads_as_parent = False

    def __init__(self, sources: Sequence[str], sample_rate: float):
        super().__init__(sample_rate=sample_rate, in_channels=1)
        self.sources = [str(name) for name in sources]

    @property
    def n_src(self) -> int:
        """Number of classes."""
        return len(self.sources)

    @staticmethod
    def as_batch(wav: torch.Tensor) -> torch.Tensor:
        r"""Mono waveforms of any accepted shape as :math:`(batch, time)`.

        Raises:
            ValueError: if the shape is not (time), (batch, time) or (batch, 1, time).
        """
        if torch.jit.is_tracing():
            return _as_batch(wav)  # checks the shape of each later input
        if wav.ndim not in (1, 2, 3) or (wav.ndim == 3 and wav.shape[1] != 1):
            raise ValueError(
                f"Expected mono waveforms of shape (time), (batch, time) or (batch, 1, time), "
                f"found {tuple(wav.shape)}."
            )
        return wav.reshape(-1, wav.shape[-1])

    @staticmethod
    def like_input(outputs: torch.Tensor, wav: torch.Tensor) -> torch.Tensor:
        r"""Removes the batch dimension of outputs if `wav` has none.

        Shape:
            - outputs: :math:`(batch, ...)`
            - wav: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        """
        return _like_input(outputs, wav)

    @staticmethod
    def normalize(
        wav: torch.Tensor, level: float | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        r"""Scales recordings to the level of the training data.

        Args:
            wav (:class:`torch.Tensor`): Shape :math:`(batch, time)`.
            level (float or :class:`torch.Tensor`, optional): RMS of the whole recording, for a
                segment of it; shape :math:`(batch)` or scalar. Default: the RMS of each row of
                `wav`.

        Returns:
            tuple: The scaled waveforms, and the gains, :math:`(batch, 1)`.
        """
        wav = at_least_single(wav)
        if level is None:
            level = wav.pow(2).mean(-1, keepdim=True).sqrt()
        else:
            level = torch.as_tensor(level, dtype=wav.dtype, device=wav.device).reshape(-1, 1)
        # Digital silence has no level: any finite gain is right.
        gain = NOMINAL_RMS / level.clamp(min=1e-6)
        return wav * gain, gain

    def serialize(self) -> dict[str, Any]:
        """As in Asteroid, with version numbers that ``torch.load(weights_only=True)`` accepts."""
        conf = super().serialize()
        versions = conf["infos"]["software_versions"]
        conf["infos"]["software_versions"] = {k: str(v) for k, v in versions.items()}
        return conf

    def hub_package(self) -> dict[str, Any]:
        """What ``save_pretrained`` and ``push_to_hub`` save."""
        return self.serialize()

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_conf_or_path: dict | str | Path,
        *args: Any,
        **kwargs: Any,
    ) -> SourceModel:
        """Restores a model from a package, a file, a folder, or the Hugging Face Hub.

        Args:
            pretrained_model_conf_or_path (dict, str or Path): A package of :meth:`serialize` (it is
                not changed), or a name for :func:`~asteroid_scoresup.models.hub.read_package`.
            *args: For the constructor of the model.
            **kwargs: Options of :func:`~asteroid_scoresup.models.hub.download`, such as
                ``revision``; others replace arguments of the constructor that were saved.

        Returns:
            SourceModel: The model, in evaluation mode.

        Raises:
            FileNotFoundError: if there is no such model.
            ValueError: if it is not the package of such a model.
            ConnectionError: if the Hub cannot be reached.
        """
        conf, name = pretrained_model_conf_or_path, "The model package"
        if not isinstance(conf, dict):
            name = str(conf)
            options, kwargs = split_options(kwargs)
            conf = read_package(conf, **options)
        return cls.from_package(conf, name, *args, **kwargs)

    @classmethod
    def from_package(
        cls, conf: dict, name: str | Path = "The model package", *args: Any, **kwargs: Any
    ) -> SourceModel:
        """Restores a model from a package that was read from a file.

        Args:
            conf (dict): The package; it is not changed.
            name (str or Path): The file, for messages.

        Raises:
            ValueError: if it is not the package of such a model.
        """
        require_package(conf, name)
        # Asteroid would call anything of that name: the class is looked up and checked here.
        kind = known_model(conf["model_name"], cls)
        if kind is None or not issubclass(kind, SourceModel):
            raise ValueError(
                f"{name} contains a {conf['model_name']}, which is not a {cls.__name__}"
                f"{_of_asteroid(conf['model_name'])}."
            )
        reads = "reads_subclasses" in vars(cls) or "loads_as_parent" in vars(kind)
        if kind is not cls and not reads:
            raise ValueError(f"{name} contains a {kind.__name__}, expected a {cls.__name__}.")
        if not issubclass(kind, cls):
            raise ValueError(f"{name} contains a {kind.__name__}, which is not a {cls.__name__}.")
        arguments = {**copy.deepcopy(conf["model_args"]), **kwargs}
        return kind._restored(arguments, conf["state_dict"], name, *args).eval()

    @classmethod
    def _restored(
        cls, arguments: dict, state_dict: dict, name: str | Path, *args: Any
    ) -> SourceModel:
        """Builds a model from a checked package, first without memory, to find out its size."""
        require_sizes(arguments, name)
        try:
            with bounded_weights(state_dict):
                with torch.device("meta"):
                    cls(*args, **copy.deepcopy(arguments))
                model = cls(*args, **arguments)
            model.load_state_dict(state_dict)
        except ImportError:
            raise
        except Exception as error:  # wrong arguments raise many kinds in Asteroid
            raise ValueError(f"{name}: {first_line(error)}") from None
        return model


@script_if_tracing
def _as_batch(wav: torch.Tensor) -> torch.Tensor:
    if wav.dim() > 3 or (wav.dim() == 3 and wav.shape[1] != 1):
        raise ValueError(
            "Expected mono waveforms of shape (time), (batch, time) or (batch, 1, time)."
        )
    return wav.reshape(-1, wav.shape[-1])


@script_if_tracing
def _like_input(outputs: torch.Tensor, wav: torch.Tensor) -> torch.Tensor:
    if wav.dim() == 1:
        return outputs[0]
    return outputs


def known_model(name: str, cls: type[BaseModel] | None = None) -> type[BaseModel] | None:
    """Looks up a model class that is registered with Asteroid.

    Args:
        name (str): The exact name of the class.
        cls (type, optional): A class that is accepted too, registered or not.

    Returns:
        type or None: The class, None if there is no such model.
    """
    if cls is not None and name == cls.__name__:
        return cls
    kind = getattr(asteroid.models, name, None)
    if not isinstance(kind, type) or not issubclass(kind, BaseModel) or kind is BaseModel:
        return None
    return kind if kind.__name__ == name else None


def _of_asteroid(name: str) -> str:
    """Advice for a model class of Asteroid, empty for an unknown one."""
    if known_model(name) is None:
        return ""
    return (
        " but a model of Asteroid, without names for its outputs: run `asteroid-scoresup "
        "infer` on it, or train it as a WaveformSeparator"
    )
