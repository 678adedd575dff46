"""Model folders, the form of the Hub: ``config.json``, ``model.safetensors`` and ``README.md``.

The configuration is the model package without its weights, which are in the safetensors file, so
that nothing in a folder can run code. A folder may come from anywhere: it is checked as strictly
as a model file (:mod:`asteroid_scoresup.models.loading`).
"""

from __future__ import annotations

import hashlib
import math
import numbers
from pathlib import Path
from typing import Any

import torch

from ..utils.files import atomic_path, read_json, write_json

#: Names of the files of a folder.
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
#: Name of this package in configurations and model cards.
LIBRARY = "asteroid-scoresup"
#: Key of the transcriptor's package within that of a separator; prefix of its weights in a folder.
TRANSCRIPTOR = "transcriptor"
_VERSION = 1
_HASH = "weights_sha256"
#: Largest sizes of the files, in bytes.
_MOST_CONFIG, _MOST_WEIGHTS = 16 << 20, 4 << 30
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def write_folder(package: dict, folder: str | Path, card: str | None = None) -> None:
    """Writes a model package as a folder.

    The weights are written first, and the configuration contains their hash: if the writing is
    interrupted, an old configuration with new weights is refused instead of used.

    Args:
        package (dict): From :func:`~asteroid_scoresup.models.pack` or ``serialize()``.
        folder (str or Path): The folder; other files in it are kept.
        card (str, optional): Text of the model card. Default: the card is left as it is.

    Raises:
        ValueError: if weights are NaN or infinite, or a value cannot be written as JSON.
    """
    from safetensors.torch import save

    folder = Path(folder)
    tensors = _tensors(package)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{folder} is not written: the weight {name!r} is NaN or infinite.")
    weights = save(tensors, {"format": "pt"})
    config = {
        "library_name": LIBRARY,
        "format_version": _VERSION,
        **_without_weights(package),
        _HASH: hashlib.sha256(weights).hexdigest(),
    }
    plain = _plain(config, f"{folder} is not written: the package")
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(weights)
    write_json(folder / CONFIG, plain)
    if card is not None:
        with atomic_path(folder / CARD) as temporary:
            temporary.write_text(card, encoding="utf-8")


def read_folder(folder: str | Path, name: str | None = None) -> dict:
    """Reads a model package from a folder.

    Args:
        folder (str or Path): The folder.
        name (str, optional): Name of the model in messages. Default: the folder.

    Returns:
        dict: The package: tensors and plain values, not checked further.

    Raises:
        ValueError: if it is not a complete model folder of this package.
    """
    folder, name = Path(folder), str(name or folder)
    config = _read_config(folder, name)
    data = _read_bytes(folder / WEIGHTS, name)
    expected = config.pop(_HASH, None)
    if expected is not None and expected != hashlib.sha256(data).hexdigest():
        raise ValueError(
            f"{name}: {WEIGHTS} is not the file that {CONFIG} was written with (its SHA-256 "
            "differs): it is damaged or from another model. Copy or download both again."
        )
    own, packed = {}, {}
    for key, tensor in _parse_weights(data, name).items():
        if key.startswith(f"{TRANSCRIPTOR}."):
            packed[key.removeprefix(f"{TRANSCRIPTOR}.")] = tensor
        else:
            own[key] = tensor
    inner = config.get(TRANSCRIPTOR)
    if packed and not isinstance(inner, dict):
        raise ValueError(
            f"{name}: {WEIGHTS} contains a transcriptor that {CONFIG} does not describe: the files "
            "are from two models. Copy or download both again."
        )
    if isinstance(inner, dict):
        config[TRANSCRIPTOR] = {**inner, "state_dict": packed}
    return {**config, "state_dict": own}


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(
            f"{name} is not a model of {LIBRARY}: it has no {CONFIG}. Expected {CONFIG} and "
            f"{WEIGHTS}, as save_pretrained and `asteroid-scoresup export` write them."
        )
    if path.stat().st_size > _MOST_CONFIG:
        raise ValueError(f"{name}: {CONFIG} has {path.stat().st_size} bytes: it is not of a model.")
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(f"{name}: {str(error)[:300]}") from None
    if not isinstance(config, dict) or config.get("library_name") != LIBRARY:
        raise ValueError(
            f"{name} is not a model of {LIBRARY}: its {CONFIG} does not have "
            f'"library_name": "{LIBRARY}".'
        )
    version = config.pop("format_version", None)
    if version != _VERSION:
        raise ValueError(
            f"{name}: {CONFIG} has the format_version {str(version)[:20]}, expected {_VERSION}: "
            f"update {LIBRARY} to read it."
        )
    del config["library_name"]
    return config


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MOST_WEIGHTS:
            raise ValueError(f"{name}: {WEIGHTS} has {size} bytes, expected at most 4 GiB.")
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f"{name} is not complete: it has no {WEIGHTS}. Copy or download it again."
        ) from None
    except OSError as error:
        raise ValueError(f"{name}: {WEIGHTS} cannot be read: {error.strerror}.") from None


def _parse_weights(data: bytes, name: str) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file, whose format does not allow larger ones than the file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{name}: {WEIGHTS} is damaged: {reason}.") from None
    for key, tensor in tensors.items():
        if tensor.dtype not in (*_FLOATS, *_INTEGERS):
            raise ValueError(
                f"{name}: its weight {key[:60]!r} is of type {tensor.dtype}, expected 16, 32 or "
                "64-bit floats or integers."
            )
    return tensors


def _tensors(package: dict) -> dict[str, torch.Tensor]:
    """All weights by name, in memory of their own, as safetensors requires."""
    weights = dict(package["state_dict"])
    inner = package.get(TRANSCRIPTOR, {}).get("state_dict", {})
    weights |= {f"{TRANSCRIPTOR}.{key}": value for key, value in inner.items()}
    return {key: value.detach().cpu().contiguous().clone() for key, value in weights.items()}


def _without_weights(package: dict) -> dict[str, Any]:
    return {
        key: _without_weights(value) if key == TRANSCRIPTOR else value
        for key, value in package.items()
        if key != "state_dict"
    }


def _plain(value: Any, what: str) -> Any:
    """The value in JSON's types; NaN and infinity, which JSON does not have, become null."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(part, what) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, what) for part in value]
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    raise ValueError(f"{what} contains a {type(value).__name__}, expected plain values.")
