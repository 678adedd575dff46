"""Checkpoints that survive: a kill while they are written, a move, and the next version."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from ..models import model_hash
from ..models.checkpoint import all_finite
from ..utils.files import atomic_path

logger = logging.getLogger(__name__)

#: Key of the hash of what a checkpoint leaves out.
FROZEN = "frozen_weights"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints under a temporary name in the same folder, and renames them.

    Lightning writes to the system's temporary folder and moves the file from there, which on
    another file system is a copy that a kill cuts short.

    Weights that training never changes are left out: a critic's, several times as large as the
    rest. They are there already when a run is resumed; that they are the same is checked.

    Args:
        system (System, optional): Whose checkpoints they are, in the modes of training.
    """

    def __init__(self, system=None):
        self.system = system
        self.frozen = frozen_weights(system) if system is not None else []
        self.hash = model_hash(self._frozen_state()) if self.frozen else None

    def _frozen_state(self):
        state = self.system.state_dict()
        return {name: state[name] for name in self.frozen}

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Writes a checkpoint; see Lightning's ``CheckpointIO``."""
        if storage_options is not None:
            raise TypeError("Checkpoints are plain files: there are no storage_options.")
        if self.frozen:
            weights = checkpoint["state_dict"]
            trained = {name: weights[name] for name in weights if name not in self.frozen}
            checkpoint = {**checkpoint, "state_dict": trained, FROZEN: self.hash}
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(self, path, map_location="cpu", weights_only=True):
        """Reads a checkpoint, with what was left out.

        Raises:
            ValueError: if what was left out was not what the System has now.
        """
        state = torch.load(path, map_location=map_location, weights_only=weights_only)
        if FROZEN in state:
            if state[FROZEN] != self.hash:
                raise ValueError(
                    f"{path} was trained with another critic than the one given now. Give the one "
                    "that it was begun with, or train in another folder."
                )
            state["state_dict"] = {**self._frozen_state(), **state["state_dict"]}
        return state


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint``, whose folder may be moved between two starts.

    Lightning keeps absolute paths in its checkpoints, and forgets which was the best when the
    folder is elsewhere. The state of this one has file names; states of Lightning's own are read
    too. A file that is gone is not among the best any more.
    """

    @property
    def state_key(self):
        """The key of Lightning's own class, so that each reads the checkpoints of the other."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self):
        """What a checkpoint keeps, with file names for paths."""
        state = super().state_dict()
        best = {Path(path).name: score for path, score in state["best_k_models"].items()}
        names = {
            key: Path(state[key]).name if state[key] else ""
            for key in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        return {**state, **names, "best_k_models": best, "dirpath": "."}

    def on_train_start(self, trainer, pl_module):
        """Deletes what a killed run had no time to delete: checkpoints no longer among the best."""
        super().on_train_start(trainer, pl_module)
        if self.best_k_models and trainer.is_global_zero:
            names = {Path(path).name for path in self.best_k_models}
            for path in Path(self.dirpath).glob("epoch=*.ckpt"):
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def load_state_dict(self, state_dict):
        """Takes the state of a checkpoint, with the files where this folder has them."""

        def here(path):
            return str(Path(self.dirpath) / Path(path).name) if path else ""

        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        best = {path: score for path, score in best.items() if Path(path).is_file()}
        state = {**state_dict, "best_k_models": best, "dirpath": self.dirpath}
        state["last_model_path"] = here(state_dict["last_model_path"])
        super().load_state_dict(state)
        worst, chosen = (max, min) if self.mode == "min" else (min, max)
        self.kth_best_model_path = worst(best, key=best.get) if best else ""
        self.best_model_path = chosen(best, key=best.get) if best else ""
        self.best_model_score = best.get(self.best_model_path)
        if len(best) == self.save_top_k:
            self.kth_value = best[self.kth_best_model_path]


def resume_point(folder):
    """The newest checkpoint of a folder that can be read and holds finite weights, or None.

    Which is newest stands in the checkpoints: times of files do not survive every copy.

    Args:
        folder (str or Path): ``checkpoints/`` of an experiment.

    Returns:
        Path or None
    """
    found = []
    for path in sorted(Path(folder).glob("*.ckpt")):
        if path.name.startswith("."):
            continue
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            # last.ckpt knows which checkpoints are best; that of the same epoch does not yet.
            place = state["epoch"], state["global_step"], path.name == "last.ckpt"
            weights = state["state_dict"]
        except Exception as error:  # torch raises many kinds for many kinds of damage
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("%s cannot be read and is passed over: %s", path, reason)
            continue
        if not all_finite(weights.values()):
            logger.warning("%s holds NaN or infinite weights and is passed over.", path)
            continue
        found.append((place, path))
    return max(found)[1] if found else None


def resume_epoch(folder):
    """The epoch with which a run in this folder would be resumed; 0 if it would start again.

    Args:
        folder (str or Path): ``checkpoints/`` of an experiment.

    Returns:
        int
    """
    path = resume_point(folder)
    if path is None:
        return 0
    return torch.load(path, map_location="cpu", weights_only=True)["epoch"] + 1


def frozen_weights(system):
    """Names of the weights in a System's state that training never changes.

    Those of modules, such as a critic, that are in evaluation mode and no optimizer has.

    Args:
        system (System): Asteroid's, or one of ours, in the modes of training.

    Returns:
        list of str
    """
    optimizers = system.optimizer
    optimizers = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
    trained = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    prefixes = tuple(
        f"{name}."
        for name, module in system.named_modules(remove_duplicate=False)
        if name
        and not any(part.training for part in module.modules())
        and any(True for _ in module.parameters())
        and not any(id(p) in trained for p in module.parameters())
    )
    return [name for name in system.state_dict() if name.startswith(prefixes)]
