"""What a model is, in sixteen characters: the same for every file that holds the same model."""

from __future__ import annotations

import hashlib
import json

import torch

from .source_model import load_package

#: What a package says besides the model: facts of its training, licenses, versions.
FACTS = ("infos", "dataset", "licenses", "task")


def model_hash(source):
    """Hash of a model: its class, its arguments, its weights, and what is packed with it.

    The bytes of a file say more than that: when it was written, by which versions, how long the
    model was trained. None of it changes what the model does.

    Args:
        source (str, Path or dict): A model file, or the package in it.

    Returns:
        str: Sixteen hexadecimal digits.

    Raises:
        FileNotFoundError, ValueError: if it is no model file.

    Examples
        >>> weights = {"weight": torch.ones(2)}
        >>> package = {"model_name": "Net", "model_args": {"n": 2}, "state_dict": weights}
        >>> model_hash(package) == model_hash({**package, "infos": {"epochs": 3}})
        True
        >>> model_hash(package) == model_hash({**package, "model_args": {"n": 3}})
        False
    """
    package = source if isinstance(source, dict) else load_package(source)
    digest = hashlib.sha256()
    _update(digest, {key: value for key, value in package.items() if key not in FACTS})
    return digest.hexdigest()[:16]


def _update(digest, value):
    """Adds a value to a hash; mappings in the order of their keys."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)} ".encode())
        for key in sorted(value, key=str):
            if key in FACTS:  # of a model that is packed in
                continue
            digest.update(json.dumps(str(key)).encode())
            _update(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)} ".encode())
        for item in value:
            _update(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())
