"""Checkpoints that survive a kill while they are written, a move, and the next version."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from asteroid.engine.system import System
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from ..models import model_hash
from ..models.checkpoint import all_finite
from ..utils.files import atomic_path

logger = logging.getLogger(__name__)

#: Key of the hash of the weights that a checkpoint omits.
FROZEN = "frozen_weights"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints under a temporary name in the same folder, and renames them.

    Lightning writes to the system's temporary folder and moves the file from there; on another file
    system that is a copy, which a kill can truncate.

    Weights that training never changes are omitted: those of a critic are several times as large as
    the rest. They exist already when a run is resumed, and are checked to be the same.

    Args:
        system (System, optional): The System, in the modes of training.
    """

    def __init__(self, system: System | None = None):
        self.system = system
        self.frozen = frozen_weights(system) if system is not None else []
        self.hash = model_hash(self._frozen_state()) if self.frozen else None

    def _frozen_state(self) -> dict[str, torch.Tensor]:
        assert self.system is not None
        state = self.system.state_dict()
        return {name: state[name] for name in self.frozen}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Writes a checkpoint; see Lightning's ``CheckpointIO``."""
        if storage_options is not None:
            raise TypeError("Checkpoints are plain files: storage_options are not supported.")
        if self.frozen:
            weights = checkpoint["state_dict"]
            trained = {name: weights[name] for name in weights if name not in self.frozen}
            checkpoint = {**checkpoint, "state_dict": trained, FROZEN: self.hash}
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            torch.save(checkpoint, stream)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads a checkpoint and adds the omitted weights.

        Raises:
            ValueError: if the omitted weights were not those that the System has now.
        """
        state = torch.load(path, map_location=map_location, weights_only=weights_only)
        if FROZEN in state:
            if state[FROZEN] != self.hash:
                raise ValueError(
                    f"{path} was trained with another critic than the one given now. Use the "
                    "critic that it was started with, or train in another folder."
                )
            state["state_dict"] = {**self._frozen_state(), **state["state_dict"]}
        return state


class MovableCheckpoint(ModelCheckpoint):
    """Lightning's ``ModelCheckpoint`` for folders that may be moved before a run is resumed.

    Lightning stores absolute paths and forgets which checkpoint was the best when the folder has
    moved. This class stores file names, and reads the states of Lightning's own class too. Missing
    files are no longer counted among the best.
    """

    @property
    def state_key(self) -> str:
        """The key of Lightning's own class, so that each reads the checkpoints of the other."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def state_dict(self) -> dict[str, Any]:
        """The state to save, with file names instead of paths."""
        state = super().state_dict()
        best = {Path(path).name: score for path, score in state["best_k_models"].items()}
        names = {
            key: Path(state[key]).name if state[key] else ""
            for key in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        return {**state, **names, "best_k_models": best, "dirpath": "."}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Deletes checkpoints no longer among the best, which a killed run could not delete."""
        super().on_train_start(trainer, pl_module)
        if self.best_k_models and trainer.is_global_zero:
            names = {Path(path).name for path in self.best_k_models}
            for path in Path(str(self.dirpath)).glob("epoch=*.ckpt"):
                if path.name not in names:
                    path.unlink(missing_ok=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state of a checkpoint, with the paths of the files in this folder."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else ""

        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        best = {path: score for path, score in best.items() if Path(path).is_file()}
        state = {**state_dict, "best_k_models": best, "dirpath": self.dirpath}
        state["last_model_path"] = here(state_dict["last_model_path"])
        super().load_state_dict(state)
        worst, chosen = (max, min) if self.mode == "min" else (min, max)
        self.kth_best_model_path = worst(best, key=best.__getitem__) if best else ""
        self.best_model_path = chosen(best, key=best.__getitem__) if best else ""
        self.best_model_score = best.get(self.best_model_path)
        if len(best) == self.save_top_k:
            self.kth_value = best[self.kth_best_model_path]


def resume_point(folder: str | Path) -> Path | None:
    """Finds the newest readable checkpoint with finite weights.

    Epoch and step in the checkpoints decide: file times do not survive every copy.

    Args:
        folder (str or Path): ``checkpoints/`` of an experiment.

    Returns:
        Path or None: The checkpoint, if there is one.
    """
    found = []
    for path in sorted(Path(folder).glob("*.ckpt")):
        if path.name.startswith("."):
            continue
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            # last.ckpt lists the best checkpoints; the one of the same epoch does not.
            place = state["epoch"], state["global_step"], path.name == "last.ckpt"
            weights = state["state_dict"]
        except Exception as error:  # torch raises many types for damaged files
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("%s cannot be read and is skipped: %s", path, reason)
            continue
        if not all_finite(weights.values()):
            logger.warning("%s contains NaN or infinite weights and is skipped.", path)
            continue
        found.append((place, path))
    return max(found)[1] if found else None


def resume_epoch(folder: str | Path) -> int:
    """The epoch at which a run in this folder would be resumed; 0 if it would start over.

    Args:
        folder (str or Path): ``checkpoints/`` of an experiment.

    Returns:
        int
    """
    path = resume_point(folder)
    if path is None:
        return 0
    return torch.load(path, map_location="cpu", weights_only=True)["epoch"] + 1


def frozen_weights(system: System) -> list[str]:
    """Names of the weights in the state of a System that training never changes.

    They belong to modules, such as a critic, in evaluation mode and without an optimizer.

    Args:
        system (System): Asteroid's, or a subclass, in the modes of training.

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
