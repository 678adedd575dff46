"""The folder of an experiment: whose it is, and what killed runs left in it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import yaml
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn

from ..models import load_package, model_hash
from ..utils.files import atomic_path

#: What `atomic_path` calls a file until it is complete: the number of its process is in the name.
PARTIAL = re.compile(r"\..*\.(\d+)\.part(\..*)?$")
#: Mark of hashes of what models are; those of earlier versions were of the bytes of their files.
MODEL_HASH = "model:"


def lock_experiment(exp_dir, config, free=()):
    """Takes an experiment folder for a configuration, or refuses one that belongs to another.

    A folder in which no checkpoint and no model has been written belongs to nobody yet: a start
    with wrong settings does not stand in the way of the right ones.

    Args:
        exp_dir (str or Path): The folder; ``conf.yml`` is written into it.
        config (dict): Two-level configuration of the run, plain types.
        free (sequence of str): Keys that may differ when a run is resumed.

    Raises:
        ValueError: if the folder holds a run with another configuration, or one whose
            ``conf.yml`` is missing or cannot be read.
    """
    path = Path(exp_dir) / "conf.yml"
    sweep_partial_files(exp_dir)
    if has_results(exp_dir):
        old, flat = _flatten(_read_claim(path)), _flatten(config)
        changed = [
            f"{key} ({old.get(key)!r} → {flat.get(key)!r})"
            for key in sorted(set(old) | set(flat))
            if old.get(key) != flat.get(key) and key.split(".")[1] not in free
        ]
        if changed:
            raise ValueError(
                f"{exp_dir} holds a run with another configuration: {', '.join(changed)}. "
                "Choose another --tag, or delete the folder."
            )
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def has_results(exp_dir):
    """Whether a folder holds checkpoints or models that a training has written."""
    found = [*Path(exp_dir).glob("checkpoints/*.ckpt"), *Path(exp_dir).glob("*.pth")]
    return any(not path.name.startswith(".") for path in found)


def _read_claim(path):
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not all(
            isinstance(values, dict | None) for values in config.values()
        ):
            raise ValueError("it is no mapping of sections")
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read ({reason}), so nobody knows the settings of the checkpoints "
            "beside it. Restore it, choose another --tag, or delete the folder."
        ) from None
    return config


def _flatten(config):
    return {
        f"{section}.{key}": value
        for section, values in config.items()
        for key, value in (values or {}).items()
    }


def hash_inputs(exp_dir, paths):
    """What stands for the models that a step starts from in the configuration of its folder.

    Args:
        exp_dir (str or Path): The folder of the step. If its configuration was written by an
            earlier version, which hashed the bytes of the files, and there are as many models, it
            is taken at its word, with a warning where the bytes have changed: writing the same
            model again changes them.
        paths (sequence of str or Path): Model files, see
            :func:`~asteroid_scoresup.models.model_hash`.

    Returns:
        str: Hashes, joined by commas.
    """
    hashes = ",".join(MODEL_HASH + model_hash(path) for path in paths)
    conf = Path(exp_dir) / "conf.yml"
    if not conf.is_file() or not has_results(exp_dir):
        return hashes
    old = (_read_claim(conf).get("main_args") or {}).get("inputs")
    if not old or str(old).startswith(MODEL_HASH) or old.count(",") != hashes.count(","):
        return hashes
    if old != ",".join(hashlib.sha256(Path(f).read_bytes()).hexdigest()[:16] for f in paths):
        rank_zero_warn(
            f"{exp_dir} was begun by an earlier version, which does not tell whether its input "
            f"models are those of {', '.join(map(str, paths))}: it is resumed as if they were."
        )
    return old


def is_finished(paths, epochs, minutes=0.0):
    """Whether a training has already written its models, for as long as it is asked to last.

    Args:
        paths (sequence of str or Path): The model files that it ends with.
        epochs (int): Epochs that are asked for.
        minutes (float): Minutes that are asked for instead, if not 0.

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


@rank_zero_only
def sweep_partial_files(folder):
    """Deletes what killed processes left half-written in a folder and in the folders below it.

    Files are written under a name that holds the number of the process, and renamed. Those whose
    process no longer runs stay half-written for ever.

    Args:
        folder (str or Path): May be missing.
    """
    for path in Path(folder).rglob(".*.part*"):
        found = PARTIAL.fullmatch(path.name)
        if found and path.is_file() and not _runs(int(found[1])):
            path.unlink(missing_ok=True)


def _runs(pid):
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it runs, and belongs to somebody else
        return True
    return True
