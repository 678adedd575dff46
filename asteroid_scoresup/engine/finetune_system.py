"""Step 3: separator and transcriptor are fine-tuned together, in alternation."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from asteroid.engine.system import System
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from ..data import ScoreDataset
from ..dsp import Spectrograms
from ..losses import (
    ScoreSupervisedLoss,
    TranscriptionLoss,
    audible_notes_loss,
    interference_transcriptor_loss,
    remix,
    remix_order,
    remix_separator_loss,
    remix_transcriptor_loss,
    transcription_loss,
)
from ..losses.compatibility import require_dataset
from ..models import ScoreTranscriptor, TCNSeparator
from .wrappers import SeparatorTrainingWrapper


class FineTuneSystem(System):
    r"""Fine-tuning of Hung et al. 2021, with or without its adversarial losses.

    Every batch updates the separator, then the transcriptor:

    - separator: the loss of step 2 with the current transcriptor as critic, plus
      :math:`\lambda_{AML} H(Y_{remix}, T(remix))`;
    - transcriptor: :math:`H(Y, T(X)) + \lambda_{AML} H(0, T(remix)) + \lambda_{ATL}
      \frac{1}{n} \sum_i H(Y - Y^{(i)}, T(\hat S_i))`, with the estimates from before the
      separator's update; and, our choice, the
      :func:`~asteroid_scoresup.losses.audible_notes_loss` of these estimates.

    Each update changes one network and leaves the state of the other untouched. Validation needs
    no stems: it is the loss of step 2 with the *initial* transcriptor as critic (with a critic that
    learns, epochs could not be compared) plus :math:`H(Y, T(X))`.

    Args:
        separator (TCNSeparator), transcriptor (ScoreTranscriptor): The networks.
        loss_func (ScoreSupervisedLoss): The loss of step 2, with the transcriptor as critic.
        optimizer (sequence): The optimizers of separator and transcriptor.
        train_loader, val_loader: As for Asteroid's ``System``.
        scheduler (sequence, optional): Schedulers, stepped after every batch.
        aml, atl, audible_notes (float): Weights of the terms; 0 turns a term off.
        gradient_clip (float): Largest gradient norm of each network; 0 for no limit.
        config (dict, optional): Saved with checkpoints.

    Raises:
        ValueError: if the critic of `loss_func` is another network, `audible_notes` has no
            templates, or the data have other classes or another rate than the networks.
    """

    def __init__(
        self,
        separator: TCNSeparator,
        transcriptor: ScoreTranscriptor,
        loss_func: ScoreSupervisedLoss,
        optimizer: Sequence[Optimizer],
        train_loader: DataLoader,
        val_loader: DataLoader | None = None,
        scheduler: Sequence[LRScheduler] | None = None,
        aml: float = 0.0,
        atl: float = 0.0,
        audible_notes: float = 0.0,
        gradient_clip: float = 5.0,
        config: dict[str, Any] | None = None,
    ):
        super().__init__(
            SeparatorTrainingWrapper(separator),
            list(optimizer),
            loss_func,
            train_loader,
            val_loader,
            list(scheduler or []),
            config,
        )
        if loss_func.critic is not None and loss_func.critic is not transcriptor:
            raise ValueError("The critic of loss_func must be the transcriptor that is fine-tuned.")
        if audible_notes and loss_func.templates is None:
            raise ValueError(
                "audible_notes reads the partials of the notes: give loss_func templates "
                "(HarmonicTemplates)."
            )
        for loader in (train_loader, val_loader):
            dataset = getattr(loader, "dataset", None)
            if isinstance(dataset, ScoreDataset):
                require_dataset(dataset, separator.stft, transcriptor, loss_func.weights)
        self.automatic_optimization = False
        self.transcriptor = transcriptor
        self.aml, self.atl, self.audible_notes = aml, atl, audible_notes
        self.gradient_clip = gradient_clip
        validation_critic = copy.deepcopy(transcriptor)
        self.validation_critic = ScoreSupervisedLoss(
            loss_func.weights,
            loss_func.stft,
            validation_critic,
            loss_func.templates,
            residual=loss_func.residual,
        )

    @property
    def separator(self) -> TCNSeparator:
        """The separator."""
        return self.model.separator

    def configure_optimizers(self):
        """Two optimizers, whose schedulers :meth:`training_step` steps."""
        return self.optimizer, self.scheduler

    def training_step(self, batch: tuple, batch_nb: int) -> dict[str, torch.Tensor]:
        """One update of each network."""
        wav, targets = batch
        optimizers = self.optimizers()
        stft = self.separator.stft
        spectrum = stft(wav)
        mixture = stft.magnitude(spectrum)

        self.transcriptor.requires_grad_(False).eval()
        masks = self.separator.masks(mixture)
        estimates = Spectrograms(mixture, masks * mixture.unsqueeze(1))
        loss = self.loss_func(estimates, targets)
        if self.aml:
            order = remix_order(len(wav), masks.shape[1])
            remixed, roll = remix(stft.masked(spectrum, masks), targets["roll"], order)
            remixed = stft.magnitude(remixed)
            logits = self.transcriptor.outputs(remixed)
            loss = loss + self.aml * remix_separator_loss(logits, roll)
        self._update(optimizers[0], self.separator, loss)

        self.transcriptor.requires_grad_(True).train()
        transcription = TranscriptionLoss()(self.transcriptor.heads(mixture), targets)
        terms = {"transcription": transcription}
        if self.aml:
            terms["aml"] = remix_transcriptor_loss(self.transcriptor.outputs(remixed.detach()))
        if self.atl or self.audible_notes:
            logits = self.transcriptor.outputs(estimates.sources.detach().flatten(0, 1))
        if self.atl:
            terms["atl"] = interference_transcriptor_loss(logits, targets["roll"])
        if self.audible_notes:
            terms["audible_notes"] = audible_notes_loss(
                logits, masks.detach(), mixture, targets["roll"], self.loss_func.templates
            )
        weights = {
            "transcription": 1.0,
            "aml": self.aml,
            "atl": self.atl,
            "audible_notes": self.audible_notes,
        }
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self._update(optimizers[1], self.transcriptor, total)

        for scheduler in self._schedulers():
            scheduler.step()
        self.log("loss", loss.detach(), logger=True)
        named = {f"transcriptor_{k}": v.detach() for k, v in terms.items()}
        self.log_dict(named)
        return {"loss": loss.detach(), **named}

    def _schedulers(self) -> list[Any]:
        schedulers = self.lr_schedulers() or []
        return schedulers if isinstance(schedulers, list) else [schedulers]

    def _update(self, optimizer: Any, network: nn.Module, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.gradient_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.gradient_clip)
        optimizer.step()

    def validation_step(self, batch: tuple, batch_nb: int) -> None:
        """Logs the criterion by which checkpoints are chosen, which needs no stems."""
        wav, targets = batch
        estimates = self.model(wav)
        separation = self.validation_critic(estimates, targets)
        logits = self.transcriptor.outputs(estimates.mixture)
        transcription = transcription_loss(logits, targets["roll"])
        self.log("val_separation", separation, on_epoch=True, sync_dist=True)
        self.log("val_mixture_transcription", transcription, on_epoch=True, sync_dist=True)
        # The loss of step 2 weights transcription far below 1; so does the criterion.
        weight = self.loss_func.weights.get("transcription", 1.0)
        total = separation + weight * transcription
        self.log("val_loss", total, on_epoch=True, prog_bar=True, sync_dist=True)
