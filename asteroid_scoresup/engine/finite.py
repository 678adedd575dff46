"""Stops a training whose loss or weights become NaN or infinite; keeps the last good weights."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from .checkpoints import all_finite

ADVICE = (
    "The checkpoints of earlier epochs are kept. A lower learning rate, a smaller "
    "gradient_clip or --precision 32-true may help, in another folder."
)


class StopOnNonFinite(Callback):
    """Stops a training when a loss or a weight becomes NaN or infinite.

    Losses of training steps are collected on their device and checked every few steps, to avoid
    waiting for a GPU, and before every checkpoint; weights and the validation loss are checked
    before every checkpoint. So no checkpoint contains weights that are not finite. Gradients are
    not checked: the gradient scaler of float16 skips the steps of infinite ones.

    Args:
        every_n_steps (int): Steps between two checks on a GPU; on a CPU every step is checked.

    Raises:
        FloatingPointError: from the hooks, with epoch, step, the terms of the loss and the
            segments of the batch.
    """

    def __init__(self, every_n_steps: int = 10):
        self.every_n_steps = every_n_steps
        self.waiting: list[tuple[int, int, list[str], torch.Tensor]] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Collects the losses of a step, and checks the collected ones every few steps."""
        named = dict(getattr(pl_module.loss_func, "last_terms", {}))
        if isinstance(outputs, torch.Tensor):
            outputs = {"loss": outputs}
        named.update(outputs or {})
        named = {
            name: value.detach()
            for name, value in named.items()
            if isinstance(value, torch.Tensor) and value.numel() == 1
        }
        if named:
            flags = torch.stack([~value.isfinite().reshape(()) for value in named.values()])
            self.waiting.append((trainer.current_epoch, batch_idx, list(named), flags))
        distributed = trainer.world_size > 1
        every = 1 if pl_module.device.type == "cpu" and not distributed else self.every_n_steps
        if (batch_idx + 1) % every == 0:
            self._check(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the last losses of the epoch, and the weights."""
        if trainer.sanity_checking:
            return
        self._check(trainer)
        bad = not all_finite([*pl_module.parameters(), *pl_module.buffers()])
        if trainer.strategy.reduce_boolean_decision(bad, all=False):
            self._stop(trainer, "the weights of the model are NaN or infinite")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the validation loss."""
        loss = trainer.callback_metrics.get("val_loss")
        if trainer.sanity_checking or loss is None or bool(torch.isfinite(loss)):
            return
        terms = getattr(
            getattr(pl_module, "validation_critic", pl_module.loss_func), "last_terms", {}
        )
        named = {f"val_{name}" for name in (*terms, "separation", "mixture_transcription")}
        found = trainer.callback_metrics
        bad = sorted(n for n in named if n in found and not bool(torch.isfinite(found[n])))
        which = f" ({', '.join(bad)})" if bad else ""
        self._stop(trainer, f"the validation loss is {float(loss)}{which}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the last losses of an epoch without validation."""
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        """Stops the training if one of the collected losses is not finite, on any device."""
        waiting, self.waiting = self.waiting, []
        flags = torch.cat([flags for *_, flags in waiting]) if waiting else None
        bad = flags is not None and bool(flags.any())
        if not trainer.strategy.reduce_boolean_decision(bad, all=False):
            return
        record: Any = None
        if bad:
            epoch, step, names, flags = next(entry for entry in waiting if entry[-1].any())
            terms = [name for name, flag in zip(names, flags.tolist()) if flag]
            record = epoch, step, terms, _places(trainer, step)
        if trainer.world_size > 1:
            records: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(records, record)
            record = min(entry for entry in records if entry is not None)
        epoch, step, terms, places = record
        of = f", in a batch of {places}" if places else ""
        self._stop(trainer, f"{', '.join(terms)} became NaN or infinite in step {step}{of}", epoch)

    @staticmethod
    def _stop(trainer: Trainer, what: str, epoch: int | None = None) -> NoReturn:
        epoch = trainer.current_epoch if epoch is None else epoch
        raise FloatingPointError(f"Training stopped in epoch {epoch}: {what}. {ADVICE}")


def _places(trainer: Trainer, step: int) -> str:
    """The segments of a batch, as text, if the dataset can name them."""
    loader: Any = trainer.train_dataloader
    place, size = getattr(loader.dataset, "place", None), loader.batch_size
    if place is None or size is None:
        return ""
    numbers = list(loader.sampler)[step * size : (step + 1) * size]
    return ", ".join(place(number) for number in numbers)
