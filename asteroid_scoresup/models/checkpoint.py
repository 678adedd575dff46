"""Model files: a separator, with or without a transcriptor and its settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..utils.files import atomic_path
from .folder import TRANSCRIPTOR
from .hub import read_package
from .score_transcriptor import ScoreTranscriptor
from .source_model import SourceModel
from .tcn_separator import TCNSeparator
from .waveform_separator import WaveformSeparator

#: Key of the settings that turn note probabilities into notes.
DECODING = "decoding"
#: Key of the General MIDI programs of the classes.
PROGRAMS = "programs"
#: Names of the settings of the decoding.
DECODING_KEYS = {"threshold", "onset_threshold", "min_seconds", "max_gap_seconds"}


class Unpacked(NamedTuple):
    """Content of a model file; None for what it does not contain.

    Args:
        separator (TCNSeparator or WaveformSeparator): The separator.
        transcriptor (ScoreTranscriptor): The transcriptor.
        decoding (dict), programs (dict): See :func:`pack`.
    """

    separator: TCNSeparator | WaveformSeparator
    transcriptor: ScoreTranscriptor | None
    decoding: dict | None
    programs: dict | None


def pack(
    separator: TCNSeparator | WaveformSeparator,
    transcriptor: ScoreTranscriptor | None = None,
    decoding: dict | None = None,
    programs: dict[str, int] | None = None,
    half: bool = False,
) -> dict:
    """Makes one package of everything that separating and transcribing a song needs.

    Asteroid's own ``from_pretrained`` reads the separator from it.

    Args:
        separator (TCNSeparator or WaveformSeparator): The separator.
        transcriptor (ScoreTranscriptor, optional): The transcriptor.
        decoding (dict, optional): Plain values, see
            :class:`~asteroid_scoresup.evaluation.decoding.Decoding`.
        programs (dict, optional): General MIDI program of each class, by name.
        half (bool): Whether weights are stored in half precision, which halves the size. They are
            loaded in single precision.

    Returns:
        dict: Plain types and tensors only, for :func:`save_model`.

    Raises:
        ValueError: if the two models do not belong together.
    """
    package = separator.serialize()
    if transcriptor is not None:
        require_pair(separator, transcriptor)
        package[TRANSCRIPTOR] = transcriptor.serialize()
    if decoding is not None:
        package[DECODING] = decoding
    if programs is not None:
        package[PROGRAMS] = {name: int(program) for name, program in programs.items()}
    for part in (package, package.get(TRANSCRIPTOR, {})) if half else ():
        weights = part["state_dict"].items()
        part["state_dict"] = {k: v.half() if v.is_floating_point() else v for k, v in weights}
    return package


def save_model(model: SourceModel | dict, path: str | Path, **infos: Any) -> None:
    """Writes a model file, completely or not at all.

    Args:
        model (SourceModel or dict): The model, or a package from :func:`pack`.
        path (str or Path): The file.
        **infos: Facts to store with the model, such as those of its training; plain types.

    Raises:
        ValueError: if weights are NaN or infinite.
    """
    package = dict(model) if isinstance(model, dict) else model.serialize()
    package["infos"] = {**package["infos"], **infos}
    if not all_finite(package["state_dict"].values()):
        raise ValueError(f"{path} is not written: weights of the model are NaN or infinite.")
    # To a stream: torch.save would write the name of the temporary file into the file.
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        torch.save(package, stream)


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no floating-point tensor contains NaN or infinity; waits for each device once."""
    checks = [t.detach().isfinite().all() for t in tensors if t.is_floating_point()]
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for check in checks:
        by_device.setdefault(check.device, []).append(check)
    return all(bool(torch.stack(group).all()) for group in by_device.values())


def unpack(path: str | Path | dict, name: str | Path | None = None) -> Unpacked:
    """Reads a model with a separator.

    Args:
        path (str, Path or dict): A file, a folder or a name on the Hugging Face Hub, see
            :func:`~asteroid_scoresup.models.hub.read_package`; or the package itself: one from
            :func:`pack`, or of a separator alone.
        name (str or Path, optional): Name of a package in messages.

    Returns:
        Unpacked: The models and settings in it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not contain the package of a separator.
    """
    package, path = _read(path, name)
    separator = SourceModel.from_package(package, path)
    if not isinstance(separator, (TCNSeparator, WaveformSeparator)):
        kind = type(separator).__name__
        raise ValueError(
            f"{path} contains a {kind}, expected a TCNSeparator or another separator: a file of "
            "step 2 or 3 (separator/best_model.pth)."
        )
    transcriptor = None
    if TRANSCRIPTOR in package:
        transcriptor = _transcriptor(package, path)
        try:
            require_pair(separator, transcriptor)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    programs = _require_programs(package.get(PROGRAMS), path)
    return Unpacked(separator, transcriptor, _require_decoding(package, path), programs)


def _read(path: str | Path | dict, name: str | Path | None = None) -> tuple[dict, str | Path]:
    """The package, and its name for messages."""
    if isinstance(path, dict):
        return path, name or "The model package"
    return read_package(path), path


def read_transcriptor(path: str | Path) -> tuple[ScoreTranscriptor, dict | None]:
    """Reads a transcriptor, from a file of its own or one that it shares with a separator.

    Args:
        path (str or Path): A file, a folder or a name on the Hugging Face Hub.

    Returns:
        tuple: The transcriptor, and the settings of its decoding or None.

    Raises:
        FileNotFoundError, ValueError: as :func:`unpack`.
    """
    package, path = _read(path)
    if TRANSCRIPTOR in package:
        model = _transcriptor(package, path)
    else:
        model = ScoreTranscriptor.from_package(package, path)
    return model, _require_decoding(package, path)


def _transcriptor(package: dict, path: str | Path) -> ScoreTranscriptor:
    """The transcriptor within a separator's package, which must not contain another package."""
    inner = package[TRANSCRIPTOR]
    if isinstance(inner, dict) and TRANSCRIPTOR in inner:
        raise ValueError(f"{path}: its transcriptor has another transcriptor packed in it.")
    return ScoreTranscriptor.from_package(inner, f"{path} (its transcriptor)")


def _require_decoding(package: dict, path: str | Path) -> dict | None:
    """The settings of the decoding: numbers per class, by name."""
    decoding = package.get(DECODING)
    plain = isinstance(decoding, dict) and all(
        isinstance(values, (list, tuple)) and all(map(_is_number, values))
        for values in decoding.values()
    )
    if decoding is not None and (not plain or not set(decoding) <= DECODING_KEYS):
        raise ValueError(
            f"{path}: its decoding is damaged: expected lists of numbers named "
            f"{', '.join(sorted(DECODING_KEYS))}."
        )
    return decoding


def _require_programs(programs: Any, path: str | Path) -> dict[str, int] | None:
    """The General MIDI programs by the name of the class."""
    plain = isinstance(programs, dict) and all(
        isinstance(name, str) and isinstance(program, int) and 0 <= program <= 128
        for name, program in programs.items()
    )
    if programs is not None and not plain:
        raise ValueError(
            f"{path}: its programs are damaged: expected General MIDI programs (0 to 128) by class."
        )
    return programs


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def require_pair(
    separator: TCNSeparator | WaveformSeparator, transcriptor: ScoreTranscriptor
) -> None:
    """Checks that a transcriptor has the classes, the sample rate and the STFT of a separator.

    Raises:
        ValueError: if one of them differs.
    """
    pairs = [
        ("the classes", separator.sources, transcriptor.sources),
        ("the sample rate", float(separator.sample_rate), float(transcriptor.sample_rate)),
    ]
    if not isinstance(separator, WaveformSeparator):  # whose waveforms fit any STFT
        pairs += [
            ("n_fft", separator.stft.n_fft, transcriptor.stft.n_fft),
            ("hop_length", separator.stft.hop_length, transcriptor.stft.hop_length),
        ]
    for what, mine, other in pairs:
        if mine != other:
            raise ValueError(
                f"Separator and transcriptor do not belong together: {what} is {mine} in the one, "
                f"{other} in the other."
            )
