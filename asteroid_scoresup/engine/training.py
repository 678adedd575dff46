"""Training a System: checkpoints, resuming, and the file of the best model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from asteroid.engine.system import System
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_only

from ..models import checkpoint
from ..utils.files import write_json
from .callbacks import BatchSeed
from .checkpoints import AtomicCheckpointIO, MovableCheckpoint, resume_point
from .finite import StopOnNonFinite
from .optim import ClipGradients
from .trackers import make_loggers, make_profiler


class Clock(Callback):
    """Minutes spent in training: loading and updates, without validation and checkpoints.

    They are saved with checkpoints, so that a resumed run continues to count.

    Args:
        minutes (float, optional): After this many minutes training ends, with a validation.
    """

    def __init__(self, minutes: float | None = None):
        self.minutes, self.seconds, self.since = minutes, 0.0, 0.0

    @property
    def progress(self) -> float:
        """Fraction of the minutes that have passed; 0 without a limit."""
        return min(self.seconds / (60 * self.minutes), 1.0) if self.minutes else 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a resumed training whose time is already over."""
        if self.minutes and self.progress >= 1:
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting."""
        self.since = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Counts a batch."""
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now
        if self.minutes and self.progress >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, float]:
        """What is saved with a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Continues to count from a checkpoint."""
        self.seconds = state_dict["seconds"]


def fit(
    system: System,
    exp_dir: str | Path,
    epochs: int,
    callbacks: Sequence[Callback] = (),
    gradient_clip: float | None = None,
    precision: Any = "auto",
    quiet: bool = False,
    devices: int = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
    clock: Clock | None = None,
    logger: str = "csv",
    profile: bool = False,
    ema_decay: float = 0.0,
) -> dict[str, Any]:
    """Trains a System, or resumes an interrupted run, and loads the best weights into it.

    A finished training is left as it is. A loss or weight that becomes NaN or infinite ends
    training, see :class:`~asteroid_scoresup.engine.finite.StopOnNonFinite`. The folder may be moved
    before a run is resumed.

    Writes ``checkpoints/``, ``logs/`` (one CSV per start) and ``best_k_models.json``.

    Args:
        system (System): Asteroid's, or one of ours; chosen by ``val_loss``.
        exp_dir (str or Path): The experiment folder.
        epochs (int): Total number of epochs.
        callbacks (sequence of Callback): Further callbacks.
        gradient_clip (float, optional): Largest gradient norm, for automatic optimization.
        precision (str): Lightning's, or ``"auto"``: bfloat16 on GPUs and CPUs that
            support it natively, float32 elsewhere.
        quiet (bool): Whether to hide the progress bar.
        devices (int): Devices per node (processes, on a CPU).
        num_nodes (int): Number of nodes.
        strategy (str): Lightning's, for example ``ddp``. Every process validates on all segments.
        clock (Clock, optional): Ends training after its minutes, on one device; `epochs` may then
            be -1.
        logger (str): See :func:`~asteroid_scoresup.engine.trackers.make_loggers`.
        profile (bool): Whether to write the time of each step of the training to the folder.
        ema_decay (float): If above 0, validation and checkpoints use the exponential moving average
            of the weights with this decay per update.

    Returns:
        dict: ``best_model_path``, ``best_val_loss``, ``epochs``, and minutes of training:
        ``minutes`` in total and ``best_minutes`` up to the best checkpoint.

    Raises:
        FloatingPointError: if a loss or a weight becomes NaN or infinite.
        ValueError: if the folder contains checkpoints of a System with another critic, or a
            finished training whose best checkpoints are missing.
    """
    exp_dir = Path(exp_dir)
    if clock is not None and clock.minutes and devices * num_nodes > 1:
        raise ValueError("A Clock needs a single device: every process would have one of its own.")
    if precision == "auto":
        precision = "bf16-mixed" if computes_bfloat16() else "32-true"
    best = MovableCheckpoint(
        exp_dir / "checkpoints",
        "{epoch:03d}-{val_loss:.4f}",
        monitor="val_loss",
        save_top_k=3,
    )
    # Lightning's `save_last` skips epochs that are not among the best. This callback comes
    # second, so that its file contains what the first has just chosen.
    newest = MovableCheckpoint(exp_dir / "checkpoints", "last", enable_version_counter=False)
    clock = clock or Clock()
    bar = [] if quiet else [TQDMProgressBar(refresh_rate=10)]
    clip = [ClipGradients(gradient_clip)] if gradient_clip else []
    # After the other callbacks: it puts the trained weights back at the end of a validation.
    average = [EMAWeightAveraging(decay=ema_decay)] if ema_decay else []
    system.train()  # Lightning keeps modes as they are, and loaded models are in evaluation mode
    files = AtomicCheckpointIO(system)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[
            clock,
            best,
            newest,
            BatchSeed(),
            *bar,
            *callbacks,
            StopOnNonFinite(),
            *clip,
            *average,
        ],
        plugins=[files],
        logger=make_loggers(logger, exp_dir),
        profiler=make_profiler(exp_dir) if profile else None,
        default_root_dir=exp_dir,
        precision=precision,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        use_distributed_sampler=False,  # every process validates on all segments
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_progress_bar=not quiet,
        enable_model_summary=False,
    )
    trainer.fit(system, ckpt_path=resume_point(exp_dir / "checkpoints"), weights_only=True)
    if not best.best_k_models:
        raise ValueError(
            f"{exp_dir / 'checkpoints'} lacks the best checkpoints of a finished training. "
            "Restore them, or delete the folder to train again."
        )
    scores = {Path(path).name: float(score) for path, score in best.best_k_models.items()}
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        write_json(exp_dir / "best_k_models.json", scores)
    state = files.load_checkpoint(best.best_model_path)
    system.load_state_dict(state["state_dict"])
    system.cpu().eval()
    return {
        "best_model_path": best.best_model_path,
        "best_val_loss": scores[Path(best.best_model_path).name],
        "epochs": trainer.current_epoch,
        "minutes": clock.seconds / 60,
        "best_minutes": state["callbacks"].get(clock.state_key, {}).get("seconds", 0.0) / 60,
    }


def computes_bfloat16() -> bool:
    """Whether the GPU or CPU has instructions for bfloat16 products."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


#: :func:`asteroid_scoresup.models.save_model`; of several processes only the first writes the file.
save_model = rank_zero_only(checkpoint.save_model)
