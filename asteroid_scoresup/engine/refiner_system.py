"""Training of a mask refiner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from asteroid.engine.system import System

from ..losses.refinement import SILENT, RefinementItem, refinement_loss
from ..models import MaskRefiner


class RefinerSystem(System):
    """Trains a :class:`~asteroid_scoresup.models.MaskRefiner` on lists of segments.

    Logs ``val_sdr``, in dB, and ``val_gain``: how much of it the network adds to the masks of the
    factorization. Silent groups are left out of both.

    Args:
        model (MaskRefiner): The network.
        optimizer, train_loader, val_loader, scheduler, config: As for Asteroid's ``System``; the
            loaders give lists of :class:`~asteroid_scoresup.losses.refinement.RefinementItem`.
    """

    def __init__(
        self,
        model: MaskRefiner,
        optimizer: torch.optim.Optimizer,
        train_loader: Any,
        val_loader: Any = None,
        scheduler: Any = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            model, optimizer, refinement_loss, train_loader, val_loader, scheduler, config
        )

    def common_step(
        self, batch: Sequence[RefinementItem], batch_nb: int, train: bool = True
    ) -> torch.Tensor:
        """Mean loss of the items, in dB."""
        losses = []
        for item in batch:
            loss = self.loss_func(self.model.masks(item.magnitude, item.estimates), item)
            if not train:
                self._log_gain(item, loss)
            losses.append(loss.mean())
        return torch.stack(losses).mean()

    def _log_gain(self, item: RefinementItem, loss: torch.Tensor) -> None:
        logits = self.model.logits(item.magnitude, item.estimates)
        before = self.loss_func(logits.softmax(0)[:-1], item)
        sounds = item.energy > SILENT * item.magnitude.square().sum()
        if bool(sounds.any()):
            sdr = -loss[sounds].mean()
            gain = (before - loss)[sounds].mean()
            named = {"val_sdr": sdr, "val_gain": gain}
            self.log_dict(named, on_step=False, on_epoch=True, logger=True, batch_size=1)
