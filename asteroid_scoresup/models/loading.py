"""Model files from anywhere: read without running code, and checked before anything is built.

A model file says which class to build with which arguments, so it is input like any other: it may
be damaged, or made to do harm. Nothing of it is called or allocated before these checks: it holds
tensors and plain values only, it names one of the classes of models that are allowed, and its
arguments ask for no more weights than it brings.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import re
import threading
import zipfile

import torch
from torch.nn.modules import module as torch_module
from torch.torch_version import TorchVersion

#: A number of an argument (channels, blocks, samples of a window) is at most this.
LARGEST_ARGUMENT = 1 << 17
#: Sample rates of models, in Hz.
RATES = (100, 768_000)
#: Frames of an STFT that meet in one sample are at most this many.
MOST_OVERLAP = 64
#: Blocks of a TCN, whose last has a dilation of 2 to their number less one.
MOST_BLOCKS = 20
#: Values in the arguments and other plain parts of a package.
_MOST_VALUES = 10_000
_NEEDED = {"model_name": str, "model_args": dict, "state_dict": dict}
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def load_package(path):
    """Reads a file written by ``torch.save`` without running code from it.

    Args:
        path (str or Path): The file.

    Returns:
        dict: What it holds: tensors and plain values.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file.
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
        raise ValueError(f"{path} is no model package: it holds a {type(package).__name__}.")
    return package


def _known_types():
    """Lets Asteroid's packages through: they hold torch's version, a string with comparisons."""
    if hasattr(torch.serialization, "safe_globals"):
        return torch.serialization.safe_globals([TorchVersion])
    torch.serialization.add_safe_globals([TorchVersion])  # torch 2.4
    return contextlib.nullcontext()


def _require_honest_sizes(path):
    """Refuses archives that unpack to more than they are; ``torch.save`` never compresses."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
            raise ValueError("it is compressed, which torch.save never does.")


def _refused(error):
    """What is wrong with a pickle, without torch's advice to load it all the same."""
    names = re.findall(r"GLOBAL ([\w.]+)", str(error)) or re.findall(r"type ([\w.]+)", str(error))
    if "weights_only" in str(error) or "Unsupported" in str(error):
        what = f" ({names[0]})" if names else ""
        return (
            f"it holds Python objects{what} beside tensors and plain values, and loading those "
            "could run code from the file. Use a file that this package wrote."
        )
    return "it is damaged, or holds something else."


def first_line(error):
    """The first line of an error's message, without colors, or its kind."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    line = (text.splitlines() or [""])[0].strip()
    return f"{type(error).__name__}." if not line else line[:300]


def require_package(package, name):
    """Checks the form of a model package.

    Args:
        package (dict): What was read.
        name (str): The file, for messages.

    Raises:
        ValueError: if a part is missing or of a wrong type.
    """
    if not isinstance(package, dict):
        raise ValueError(f"{name} is no model package: it holds a {type(package).__name__}.")
    missing = [key for key in _NEEDED if key not in package]
    if missing:
        raise ValueError(f"{name} is no model package: it lacks {missing}.")
    for key, kind in _NEEDED.items():
        if not isinstance(package[key], kind):
            raise ValueError(
                f"{name} is no model package: its {key} is a {type(package[key]).__name__}, "
                f"expected a {kind.__name__}."
            )
    if not _CLASS.fullmatch(package["model_name"]):
        raise ValueError(f"{name}: its model_name {package['model_name'][:60]!r} is no class.")
    _require_plain(package["model_args"], f"{name}: its model_args")
    if not all(isinstance(key, str) for key in package["model_args"]):
        raise ValueError(f"{name}: its model_args have names that are no text.")
    _require_weights(package["state_dict"], name)


def _require_plain(value, what):
    """Numbers, text, lists and dicts, and not too many of them."""
    waiting, count = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if depth > 8 or count > _MOST_VALUES:
            raise ValueError(f"{what} are nested too deep or too many.")
        if isinstance(part, dict):
            waiting += [(child, depth + 1) for pair in part.items() for child in pair]
        elif isinstance(part, (list, tuple)):
            waiting += [(child, depth + 1) for child in part]
        elif isinstance(part, str):
            if len(part) > 1000:
                raise ValueError(f"{what} hold a text of {len(part)} characters.")
        elif isinstance(part, bool) or part is None:
            continue
        elif isinstance(part, (int, float)):
            if not math.isfinite(part):
                raise ValueError(f"{what} hold the number {part}.")
        else:
            raise ValueError(f"{what} hold a {type(part).__name__}, expected plain values.")


def _require_weights(state_dict, name):
    storages, n_bytes = {}, 0
    for key, value in state_dict.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{name}: its state_dict holds {str(key)[:60]!r}: a {type(value).__name__}, "
                "expected tensors by name."
            )
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise ValueError(f"{name}: its weight {key!r} is no dense tensor.")
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        n_bytes += value.numel() * value.element_size()
        # Strides of 0 make large tensors of a few bytes.
        if value.numel() * value.element_size() > storage.nbytes():
            raise ValueError(f"{name}: its weight {key!r} is larger than what the file holds.")
    if n_bytes > 2 * sum(storages.values()):
        raise ValueError(f"{name}: its weights are larger than what the file holds.")
    for key, value in state_dict.items():
        if not torch.isfinite(value).all():
            raise ValueError(
                f"{name}: its weight {key!r} holds NaN or infinite values: its training failed. "
                "Train it again, or use an earlier checkpoint."
            )


def require_sizes(arguments, name):
    """Bounds numbers of a package's arguments before anything is built with them.

    Args:
        arguments (dict): The arguments.
        name (str): The file, for messages.

    Raises:
        ValueError: if a number is negative, absurdly large, or no rate of audio.
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
            f"{name}: its hop_length is {hop} for an n_fft of {n_fft}, expected {n_fft} or less, "
            f"and at least a {MOST_OVERLAP}th of it."
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


def _numbers(value, key=""):
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, name)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _numbers(part, key)
    elif isinstance(value, (int, float)):
        yield key, value


class TooManyWeights(ValueError):
    """A model's arguments ask for more weights than its file has."""


@contextlib.contextmanager
def bounded_weights(state_dict):
    """Within it, modules can be built that have about the weights of `state_dict`, and no larger.

    Args:
        state_dict (dict): Tensors by name.

    Raises:
        TooManyWeights: as soon as there are too many.
    """
    most, most_values = 2 * len(state_dict) + 64, 2 * sum(v.numel() for v in state_dict.values())
    found, thread = [0, 0], threading.get_ident()

    def count(module, key, weight):
        if weight is None or threading.get_ident() != thread:
            return
        found[0] += 1
        found[1] += weight.numel()
        if found[0] > most or found[1] > most_values + 65536:
            raise TooManyWeights(
                f"its arguments ask for more weights than the {len(state_dict)} tensors that it "
                "holds."
            )

    handle = torch_module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
