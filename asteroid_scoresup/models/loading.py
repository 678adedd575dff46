"""Model files from any source: read without running code, and checked before a model is built.

A model file names the class to build and its arguments, so it is untrusted input: it may be damaged
or malicious. Before anything in it is called or allocated, these checks make sure that it contains
only tensors and plain values, that its class is one of the allowed models, and that its arguments
do not ask for more weights than it contains.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules import module as torch_module
from torch.torch_version import TorchVersion

#: Largest number in an argument (channels, blocks, samples of a window).
LARGEST_ARGUMENT = 1 << 17
#: Lowest and highest sample rate of a model, in Hz.
RATES = (100, 768_000)
#: Largest number of STFT frames that overlap in one sample.
MOST_OVERLAP = 64
#: Largest number of blocks of a TCN; the dilation doubles with each.
MOST_BLOCKS = 20
#: Largest number of values in the arguments of a package.
_MOST_VALUES = 10_000
_NEEDED = {"model_name": str, "model_args": dict, "state_dict": dict}
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def load_package(path: str | Path) -> dict:
    """Reads a file written by ``torch.save`` without running code from it.

    Args:
        path (str or Path): The file.

    Returns:
        dict: Its content: tensors and plain values.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a model file.
    """
    try:
        with _known_types():
            _require_honest_sizes(path)
            package = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no model file {path}.") from None
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} is not a model file: {_refused(error)}") from None
    except Exception as error:  # torch raises many kinds for many kinds of damage
        raise ValueError(f"{path} is not a model file: {first_line(error)}") from None
    if not isinstance(package, dict):
        raise ValueError(f"{path} is not a model package: it contains a {type(package).__name__}.")
    return package


def _known_types() -> AbstractContextManager:
    """Allows the type of torch's version, which Asteroid's packages contain."""
    if hasattr(torch.serialization, "safe_globals"):
        return torch.serialization.safe_globals([TorchVersion])
    torch.serialization.add_safe_globals([TorchVersion])  # torch 2.4
    return contextlib.nullcontext()


def _require_honest_sizes(path: str | Path) -> None:
    """Refuses compressed archives, which could unpack to any size; ``torch.save`` writes none."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
            raise ValueError("it is compressed, which torch.save never does.")


def _refused(error: Exception) -> str:
    """Explains what is wrong with a pickle, without torch's advice to load it anyway."""
    names = re.findall(r"GLOBAL ([\w.]+)", str(error)) or re.findall(r"type ([\w.]+)", str(error))
    if "weights_only" in str(error) or "Unsupported" in str(error):
        what = f" ({names[0]})" if names else ""
        return (
            f"it contains Python objects{what} besides tensors and plain values, and loading those "
            "could run code from the file. Use a file that this package wrote."
        )
    return "it is damaged, or contains something else."


def first_line(error: Exception) -> str:
    """The first line of an error's message, without color codes; its type if there is none."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    line = (text.splitlines() or [""])[0].strip()
    return f"{type(error).__name__}." if not line else line[:300]


def require_package(package: Any, name: str | Path) -> None:
    """Checks the form of a model package.

    Args:
        package (dict): The package.
        name (str or Path): The file, for messages.

    Raises:
        ValueError: if an entry is missing or of a wrong type, or weights are not finite.
    """
    if not isinstance(package, dict):
        raise ValueError(f"{name} is not a model package: it contains a {type(package).__name__}.")
    missing = [key for key in _NEEDED if key not in package]
    if missing:
        raise ValueError(f"{name} is not a model package: it lacks {missing}.")
    for key, kind in _NEEDED.items():
        if not isinstance(package[key], kind):
            raise ValueError(
                f"{name} is not a model package: its {key} is a {type(package[key]).__name__}, "
                f"expected a {kind.__name__}."
            )
    if not _CLASS.fullmatch(package["model_name"]):
        raise ValueError(
            f"{name}: its model_name {package['model_name'][:60]!r} is not the name of a class."
        )
    _require_plain(package["model_args"], f"{name}: its model_args")
    if not all(isinstance(key, str) for key in package["model_args"]):
        raise ValueError(f"{name}: the names of its model_args are not text.")
    _require_weights(package["state_dict"], name)


def _require_plain(value: Any, what: str) -> None:
    """Allows numbers, text, lists and dicts, and not too many of them."""
    waiting, count = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if depth > 8 or count > _MOST_VALUES:
            raise ValueError(f"{what} are nested too deeply, or too many.")
        if isinstance(part, dict):
            waiting += [(child, depth + 1) for pair in part.items() for child in pair]
        elif isinstance(part, (list, tuple)):
            waiting += [(child, depth + 1) for child in part]
        elif isinstance(part, str):
            if len(part) > 1000:
                raise ValueError(f"{what} contain a text of {len(part)} characters.")
        elif isinstance(part, bool) or part is None:
            continue
        elif isinstance(part, (int, float)):
            if not math.isfinite(part):
                raise ValueError(f"{what} contain the number {part}.")
        else:
            raise ValueError(f"{what} contain a {type(part).__name__}, expected plain values.")


def _require_weights(state_dict: dict, name: str | Path) -> None:
    storages: dict[int, int] = {}
    n_bytes = 0
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{name}: in its state_dict {str(key)[:60]!r} is a {type(value).__name__}, "
                "expected tensors by name."
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise ValueError(f"{name}: its weight {key!r} is not a dense tensor.")
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        n_bytes += value.numel() * value.element_size()
        # With strides of 0, a few bytes make a large tensor.
        if value.numel() * value.element_size() > storage.nbytes():
            raise ValueError(f"{name}: its weight {key!r} is larger than its data in the file.")
    if n_bytes > 2 * sum(storages.values()):
        raise ValueError(f"{name}: its weights are larger than their data in the file.")
    for key, value in state_dict.items():
        if not torch.isfinite(value).all():
            raise ValueError(
                f"{name}: its weight {key!r} has NaN or infinite values: its training failed. "
                "Train it again, or use an earlier checkpoint."
            )


def require_sizes(arguments: dict, name: str | Path) -> None:
    """Checks the numbers among a model's arguments before anything is built with them.

    Args:
        arguments (dict): The arguments.
        name (str or Path): The file, for messages.

    Raises:
        ValueError: if a number is out of range.
    """
    rate = arguments.get("sample_rate", 16000)
    if not isinstance(rate, (int, float)) or not RATES[0] <= rate <= RATES[1]:
        raise ValueError(
            f"{name}: its sample_rate is {rate!r}, expected {RATES[0]} to {RATES[1]} Hz."
        )
    n_fft, hop = arguments.get("n_fft", 2048), arguments.get("hop_length", 512)
    for key, value in (("n_fft", n_fft), ("hop_length", hop)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: its {key} is {value!r}, expected a number of samples.")
    if not n_fft / MOST_OVERLAP <= hop <= n_fft:
        raise ValueError(
            f"{name}: its hop_length is {hop} for an n_fft of {n_fft}, expected at most "
            f"n_fft and at least n_fft / {MOST_OVERLAP}."
        )
    blocks = arguments.get("n_blocks", 1)
    if not isinstance(blocks, int) or not 1 <= blocks <= MOST_BLOCKS:
        raise ValueError(
            f"{name}: its n_blocks is {blocks!r}, expected 1 to {MOST_BLOCKS}: the dilation "
            "doubles with each."
        )
    for key, value in _numbers(arguments):
        if abs(value) > LARGEST_ARGUMENT and key != "sample_rate":
            raise ValueError(
                f"{name}: its argument {key} is {value}, expected at most {LARGEST_ARGUMENT}."
            )


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of nested arguments, each with the innermost name above it."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, name)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _numbers(part, key)
    elif isinstance(value, (int, float)):
        yield key, value


class TooManyWeights(ValueError):
    """The arguments of a model ask for more weights than its file contains."""


@contextlib.contextmanager
def bounded_weights(state_dict: dict[str, torch.Tensor]) -> Iterator[None]:
    """Context in which modules with many more weights than `state_dict` cannot be built.

    Args:
        state_dict (dict): Tensors by name.

    Raises:
        TooManyWeights: as soon as a module registers too many.
    """
    most, most_values = 2 * len(state_dict) + 64, 2 * sum(v.numel() for v in state_dict.values())
    found, thread = [0, 0], threading.get_ident()

    def count(module: torch.nn.Module, key: str, weight: torch.Tensor | None) -> None:
        if weight is None or threading.get_ident() != thread:
            return
        found[0] += 1
        found[1] += weight.numel()
        if found[0] > most or found[1] > most_values + 65536:
            raise TooManyWeights(
                f"its arguments ask for more weights than the {len(state_dict)} tensors that it "
                "contains."
            )

    handle = torch_module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
