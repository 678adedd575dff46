"""Fitting a System so that nothing is lost: checkpoints, resuming, the best model's file."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only

from ..models import checkpoint
from ..utils.files import write_json
from .callbacks import BatchSeed
from .checkpoints import AtomicCheckpointIO, MovableCheckpoint, resume_point
from .finite import StopOnNonFinite


def warmup_cosine(optimizer, n_steps, warmup=50, hold=0.3, clock=None):
    """Learning rate: linear warm-up, then full, then a cosine down to a hundredth.

    Args:
        optimizer (torch.optim.Optimizer): Whose rate.
        n_steps (int): Steps of the whole training.
        warmup (int): Steps of the warm-up.
        hold (float): Share of the training before the cosine begins.
        clock (Clock, optional): Measures the training by its minutes instead of its steps.

    Returns:
        torch.optim.lr_scheduler.LambdaLR: To be stepped after every batch.
    """

    def factor(step):
        done, start, end = step, max(warmup, int(hold * n_steps)), n_steps
        rise = (step + 1) / max(warmup, 1)
        if clock is not None:
            done, start, end = clock.progress, hold, 1.0
            # A slow model has made few steps when a tenth of its time is over.
            rise = max(rise, done / 0.1)
        if rise < 1 or done < start:
            return min(rise, 1.0)
        progress = min((done - start) / max(end - start, 1e-9), 1.0)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class ClipGradients(Callback):
    """Scales the gradients of an update down to a largest norm.

    As Lightning's ``gradient_clip_val``, which refuses fused optimizers in bfloat16.

    Args:
        largest (float): The norm, over all of an optimizer's parameters.
    """

    def __init__(self, largest):
        self.largest = largest

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        """Changes the gradients."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self.largest)


class Clock(Callback):
    """Minutes spent in training: loading and updates, without validation and checkpoints.

    They are saved with checkpoints; a run that goes on counts on.

    Args:
        minutes (float, optional): Training ends, with a validation, after so many.
    """

    def __init__(self, minutes=None):
        self.minutes, self.seconds, self.since = minutes, 0.0, None

    @property
    def progress(self):
        """float: Share of the minutes that are over."""
        return min(self.seconds / (60 * self.minutes), 1.0)

    def on_train_start(self, trainer, pl_module):
        """Ends at once what was at its end when it was stopped."""
        if self.minutes and self.progress >= 1:
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer, pl_module):
        """Starts to count."""
        self.since = time.monotonic()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Counts a batch."""
        now = time.monotonic()
        self.seconds, self.since = self.seconds + now - self.since, now
        if self.minutes and self.progress >= 1:
            trainer.should_stop = True

    def state_dict(self):
        """What a checkpoint keeps."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict):
        """Counts on from a checkpoint."""
        self.seconds = state_dict["seconds"]


def fit(
    system,
    exp_dir,
    epochs,
    callbacks=(),
    gradient_clip=None,
    precision="auto",
    quiet=False,
    devices=1,
    num_nodes=1,
    strategy="auto",
    clock=None,
):
    """Trains a System, or resumes a killed run; loads the best weights into it.

    A finished training is not trained on. A loss or weight that becomes NaN or infinite ends it,
    see :class:`~asteroid_scoresup.engine.finite.StopOnNonFinite`. The folder may be moved between
    two starts.

    Leaves behind ``checkpoints/``, ``logs/`` (one CSV per start) and ``best_k_models.json``.

    Args:
        system (System): Asteroid's, or one of ours; chosen by ``val_loss``.
        exp_dir (str or Path): The experiment folder.
        epochs (int): How many epochs in all.
        callbacks (sequence of Callback): Further callbacks.
        gradient_clip (float, optional): Largest gradient norm, for automatic optimization.
        precision (str): Lightning's, or ``"auto"``: bfloat16 on a GPU and on processors that
            compute it natively, float32 elsewhere.
        quiet (bool): No progress bar.
        devices (int): Devices of this node (processes, on a CPU) that train together.
        num_nodes (int): Nodes.
        strategy (str): Lightning's, for example ``ddp``. Every process validates on everything.
        clock (Clock, optional): One that ends the training after some minutes, on one device;
            `epochs` may be -1.

    Returns:
        dict: ``best_model_path``, ``best_val_loss``, ``epochs``, and minutes of training:
        ``minutes`` in all and ``best_minutes`` until the best checkpoint.

    Raises:
        FloatingPointError: if a loss or a weight becomes NaN or infinite.
        ValueError: if a folder holds checkpoints of a System with another critic, or a finished
            training whose best checkpoints are gone.
    """
    exp_dir = Path(exp_dir)
    if clock is not None and clock.minutes and devices * num_nodes > 1:
        raise ValueError("A training by the clock of one process cannot have several devices.")
    if precision == "auto":
        precision = "bf16-mixed" if _computes_bfloat16() else "32-true"
    best = MovableCheckpoint(
        exp_dir / "checkpoints",
        "{epoch:03d}-{val_loss:.4f}",
        monitor="val_loss",
        save_top_k=3,
    )
    # Lightning's `save_last` passes over the epochs that are not among the best. This one comes
    # second, so that its file knows what the first has just chosen.
    newest = MovableCheckpoint(exp_dir / "checkpoints", "last", enable_version_counter=False)
    clock = clock or Clock()
    bar = [] if quiet else [TQDMProgressBar(refresh_rate=10)]
    clip = [ClipGradients(gradient_clip)] if gradient_clip else []
    system.train()  # Lightning leaves modes as they are, and loaded models come in evaluation mode
    files = AtomicCheckpointIO(system)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[clock, best, newest, BatchSeed(), *bar, *callbacks, StopOnNonFinite(), *clip],
        plugins=[files],
        logger=CSVLogger(exp_dir, name="logs"),
        default_root_dir=exp_dir,
        precision=precision,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        use_distributed_sampler=False,  # every process validates on everything
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_progress_bar=not quiet,
        enable_model_summary=False,
    )
    trainer.fit(system, ckpt_path=resume_point(exp_dir / "checkpoints"), weights_only=True)
    if not best.best_k_models:
        raise ValueError(
            f"{exp_dir / 'checkpoints'} has lost the best checkpoints of a finished training. "
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
        "best_val_loss": float(best.best_model_score),
        "epochs": trainer.current_epoch,
        "minutes": clock.seconds / 60,
        "best_minutes": state["callbacks"].get(clock.state_key, {}).get("seconds", 0.0) / 60,
    }


def _computes_bfloat16():
    """Whether GPU or processor have instructions for bfloat16 products."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


#: :func:`asteroid_scoresup.models.save_model`; of several processes only the first writes the file.
save_model = rank_zero_only(checkpoint.save_model)
