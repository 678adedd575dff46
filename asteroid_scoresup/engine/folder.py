"""Experiment folders: which configuration one belongs to, and whether its training is finished."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.utilities import rank_zero_warn

from ..models import load_package, model_hash
from ..utils.files import atomic_path
from ..utils.partial_files import sweep

#: Prefix of hashes of model contents; earlier versions hashed the bytes of the files.
MODEL_HASH = "model:"


def lock_experiment(
    exp_dir: str | Path, config: dict[str, dict[str, Any]], ignore: Collection[str] = ()
) -> None:
    """Locks an experiment folder to a configuration; refuses one that belongs to another.

    A folder without checkpoints and models is not locked yet, so that a start with wrong settings
    does not block one with the right settings.

    Args:
        exp_dir (str or Path): The folder; ``conf.yml`` is written into it.
        config (dict): Two-level configuration of the run, plain types.
        ignore (collection of str): Keys that may differ when a run is resumed.

    Raises:
        ValueError: if the folder contains a run with another configuration, or one whose
            ``conf.yml`` is missing or cannot be read.
    """
    path = Path(exp_dir) / "conf.yml"
    sweep(exp_dir, locked=False)
    if has_results(exp_dir):
        old, flat = _flatten(_read_config(path)), _flatten(config)
        # A setting of a later version that is off changes nothing.
        new = {key for key, value in flat.items() if key not in old and not value}
        changed = [
            f"{key} ({old.get(key)!r} → {flat.get(key)!r})"
            for key in sorted((set(old) | set(flat)) - new)
            if old.get(key) != flat.get(key) and key.split(".")[1] not in ignore
        ]
        if changed:
            raise ValueError(
                f"{exp_dir} contains a run with another configuration: {', '.join(changed)}. "
                "Choose another --tag, or delete the folder."
            )
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def has_results(exp_dir: str | Path) -> bool:
    """Whether training has written checkpoints or models to a folder."""
    found = [*Path(exp_dir).glob("checkpoints/*.ckpt"), *Path(exp_dir).glob("*.pth")]
    return any(not path.name.startswith(".") for path in found)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not all(
            isinstance(values, dict | None) for values in config.values()
        ):
            raise ValueError("expected a mapping of sections")
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read ({reason}), so the settings of the checkpoints next to it "
            "are unknown. Restore it, choose another --tag, or delete the folder."
        ) from None
    return config


def _flatten(config: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, values in config.items()
        for key, value in (values or {}).items()
    }


def hash_inputs(exp_dir: str | Path, paths: Iterable[str | Path]) -> str:
    """Hashes the models that a step starts from, for the configuration of its folder.

    Args:
        exp_dir (str or Path): The folder of the step. If an earlier version wrote its
            configuration, with hashes of the bytes of the files, for as many models, these hashes
            are returned, with a warning if the bytes have changed: writing the same model again
            changes them.
        paths (iterable of str or Path): Model files, see
            :func:`~asteroid_scoresup.models.model_hash`.

    Returns:
        str: Hashes, joined by commas.
    """
    paths = list(paths)
    hashes = ",".join(MODEL_HASH + model_hash(path) for path in paths)
    conf = Path(exp_dir) / "conf.yml"
    if not conf.is_file() or not has_results(exp_dir):
        return hashes
    old = (_read_config(conf).get("main_args") or {}).get("inputs")
    if not old or str(old).startswith(MODEL_HASH) or old.count(",") != hashes.count(","):
        return hashes
    if old != ",".join(hashlib.sha256(Path(f).read_bytes()).hexdigest()[:16] for f in paths):
        rank_zero_warn(
            f"{exp_dir} was started by an earlier version, whose configuration does not tell "
            f"whether its input models are {', '.join(map(str, paths))}: they are assumed to be."
        )
    return old


def is_finished(paths: Iterable[str | Path], epochs: int, minutes: float = 0.0) -> bool:
    """Whether a training of at least this length has already written its models.

    Args:
        paths (iterable of str or Path): The model files that it writes at the end.
        epochs (int): Requested epochs.
        minutes (float): Requested minutes instead, if not 0.

    Returns:
        bool
    """
    for path in paths:
        try:
            done = load_package(path)["infos"]["training"]
            enough = done["minutes"] >= minutes if minutes else done["epochs"] >= epochs
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if not enough:
            return False
    return True
