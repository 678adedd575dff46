"""Hashes of models by their content: the same for every file that contains the same model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from .hub import read_package
from .source_model import SourceModel

#: Entries of a package that do not belong to the model: facts of its training, licenses, versions.
FACTS = ("infos", "dataset", "licenses", "task")


def model_hash(source: str | Path | dict) -> str:
    """Hash of a model file: its class, arguments and weights, and those of a packed transcriptor.

    The bytes of a file depend on more: when it was written, by which versions, how long the model
    was trained. None of that changes the outputs of the model.

    Args:
        source (str, Path or dict): A model file or folder, or the package in it.

    Returns:
        str: 16 hexadecimal digits.

    Raises:
        FileNotFoundError, ValueError: if it is not a model file.

    Examples
        >>> weights = {"weight": torch.ones(2)}
        >>> package = {"model_name": "Net", "model_args": {"n": 2}, "state_dict": weights}
        >>> model_hash(package) == model_hash({**package, "infos": {"epochs": 3}})
        True
        >>> model_hash(package) == model_hash({**package, "model_args": {"n": 3}})
        False
    """
    package = source if isinstance(source, dict) else read_package(source)
    digest = hashlib.sha256()
    _update(digest, {key: value for key, value in package.items() if key not in FACTS})
    return digest.hexdigest()[:16]


def loaded_model_hash(model: SourceModel) -> str:
    """SHA-256 of a model in memory: its class, arguments and weights.

    Folders of results record it, so it must not change. It is independent of the file that the
    model was loaded from, and differs from :func:`model_hash`.

    Args:
        model (SourceModel): The model.

    Returns:
        str: 64 hexadecimal digits.
    """
    facts = [type(model).__name__, model.get_model_args()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def _update(digest: hashlib._Hash, value: Any) -> None:
    """Adds a value to a hash; mappings in the order of their keys."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)} ".encode())
        for key in sorted(value, key=str):
            if key in FACTS:  # of the packed transcriptor
                continue
            digest.update(json.dumps(str(key)).encode())
            _update(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)} ".encode())
        for item in value:
            _update(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())
