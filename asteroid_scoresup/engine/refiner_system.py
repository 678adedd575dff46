"""Training of networks that correct the masks of a factorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from asteroid.engine.system import System

from ..losses.refinement import SILENT, RefinementItem, refinement_loss
from ..models import MaskRefiner, ScoreGuidedSeparator
from ..models.mask_refiner import corrected_masks, mask_logits


class RefinerSystem(System):
    """Trains a network that corrects the masks of a factorization, on lists of segments.

    Logs ``val_sdr``, in dB, and ``val_gain``: how much of it the network adds to the masks of the
    factorization; of a :class:`~asteroid_scoresup.models.ScoreGuidedSeparator` also
    ``val_without``, the same without a score, of estimates as they are. Silent groups are left out
    of these.

    Args:
        model (MaskRefiner or ScoreGuidedSeparator): The network.
        optimizer, train_loader, val_loader, scheduler, config: As for Asteroid's ``System``; the
            loaders give lists of :class:`~asteroid_scoresup.losses.refinement.RefinementItem`.
        score_dropout (float): Probability that a score-guided separator gets no score. The sum of
            its masks is then not given by a softmax, and the loss is not invariant to the scale.
    """

    def __init__(
        self,
        model: MaskRefiner | ScoreGuidedSeparator,
        optimizer: torch.optim.Optimizer,
        train_loader: Any,
        val_loader: Any = None,
        scheduler: Any = None,
        config: dict[str, Any] | None = None,
        score_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            model, optimizer, refinement_loss, train_loader, val_loader, scheduler, config
        )
        self.score_dropout = score_dropout

    def common_step(
        self, batch: Sequence[RefinementItem], batch_nb: int, train: bool = True
    ) -> torch.Tensor:
        """Mean loss of the items, in dB."""
        losses = []
        for item in batch:
            drop = train and item.is_complete and bool(torch.rand(()) < self.score_dropout)
            loss = self._without_score(item) if drop else self._with_score(item)
            if not train:
                self._log_gain(item, loss)
            losses.append(loss.mean())
        return torch.stack(losses).mean()

    def _with_score(self, item: RefinementItem) -> torch.Tensor:
        corrections = self.model.all_corrections(item.magnitude, item.estimates)
        masks = corrected_masks(item.magnitude, item.estimates, corrections, self.model.power)
        return self.loss_func(masks, item)

    def _without_score(self, item: RefinementItem) -> torch.Tensor:
        masks = self.model.masks(item.magnitude.unsqueeze(0))[0]
        return self.loss_func(masks, item, scale_invariant=False)

    def _log_gain(self, item: RefinementItem, loss: torch.Tensor) -> None:
        logits = mask_logits(item.magnitude, item.estimates, self.model.power)
        before = self.loss_func(logits.softmax(0)[:-1], item)
        sounds = item.energy > SILENT * item.magnitude.square().sum()
        if bool(sounds.any()):
            sdr = -loss[sounds].mean()
            gain = (before - loss)[sounds].mean()
            named = {"val_sdr": sdr, "val_gain": gain}
            if isinstance(self.model, ScoreGuidedSeparator) and item.is_complete:
                named["val_without"] = -self._without_score(item)[sounds].mean()
            self.log_dict(named, on_step=False, on_epoch=True, logger=True, batch_size=1)
