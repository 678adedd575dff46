"""Step 3: separator and transcriptor learn together, each in its turn."""

from __future__ import annotations

import copy

import torch
from asteroid.engine.system import System

from ..dsp import Spectrograms
from ..losses import (
    ScoreSupervisedLoss,
    audible_notes_loss,
    interference_transcriptor_loss,
    remix,
    remix_order,
    remix_separator_loss,
    remix_transcriptor_loss,
    transcription_loss,
)
from ..losses.compatibility import require_dataset
from .wrappers import SeparatorTrainingWrapper


class FineTuneSystem(System):
    r"""Fine-tuning of Hung et al. 2021, with or without its adversarial losses.

    Every batch updates the separator, then the transcriptor:

    - separator: the loss of step 2 with the present transcriptor as critic, plus
      :math:`\lambda_{AML} H(Y_{remix}, T(remix))`;
    - transcriptor: :math:`H(Y, T(X)) + \lambda_{AML} H(0, T(remix)) + \lambda_{ATL}
      \frac{1}{n} \sum_i H(Y - Y^{(i)}, T(\hat S_i))`, on what the separator gave before its update;
      and, our choice, the :func:`~asteroid_scoresup.losses.audible_notes_loss` of these
      estimates.

    A turn moves the weights of one network only, and the other's state not at all. Validation
    needs no stem: the step-2 loss with the transcriptor of the *start* as critic (a critic that
    learns would make epochs incomparable) plus :math:`H(Y, T(X))`.

    Args:
        separator (TCNSeparator), transcriptor (ScoreTranscriptor): The networks.
        loss_func (ScoreSupervisedLoss): The loss of step 2, its critic the transcriptor.
        optimizer (sequence of two): Optimizers of separator and transcriptor.
        train_loader, val_loader: As for Asteroid's ``System``.
        scheduler (sequence, optional): Schedulers, stepped after every batch.
        aml (float), atl (float), truth (float): Weights :math:`\lambda`; 0 turns the term off.
        gradient_clip (float): Largest gradient norm of each network; 0 for any.
        config (dict, optional): Saved with checkpoints.

    Raises:
        ValueError: if the critic of `loss_func` is another network, `truth` has no templates, or
            the data have other classes or another rate than the networks.
    """

    def __init__(
        self,
        separator,
        transcriptor,
        loss_func,
        optimizer,
        train_loader,
        val_loader=None,
        scheduler=None,
        aml=0.0,
        atl=0.0,
        truth=0.0,
        gradient_clip=5.0,
        config=None,
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
        if truth and loss_func.templates is None:
            raise ValueError(
                "truth looks for the notes' partials: give loss_func templates (HarmonicTemplates)."
            )
        for loader in (train_loader, val_loader):
            if hasattr(getattr(loader, "dataset", None), "names"):
                require_dataset(loader.dataset, separator.stft, transcriptor, loss_func.weights)
        self.automatic_optimization = False
        self.transcriptor = transcriptor
        self.aml, self.atl, self.truth = aml, atl, truth
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
    def separator(self):
        """The separator."""
        return self.model.separator

    def configure_optimizers(self):
        """Two optimizers; the schedulers are stepped by hand."""
        return self.optimizer, self.scheduler

    def training_step(self, batch, batch_nb):
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
            heard = self.transcriptor.outputs(remixed)
            loss = loss + self.aml * remix_separator_loss(heard, roll)
        self._update(optimizers[0], self.separator, loss)

        self.transcriptor.requires_grad_(True).train()
        reading = transcription_loss(self.transcriptor.outputs(mixture), targets["roll"])
        terms = {"reading": reading}
        if self.aml:
            terms["aml"] = remix_transcriptor_loss(self.transcriptor.outputs(remixed.detach()))
        if self.atl or self.truth:
            logits = self.transcriptor.outputs(estimates.sources.detach().flatten(0, 1))
        if self.atl:
            terms["atl"] = interference_transcriptor_loss(logits, targets["roll"])
        if self.truth:
            terms["truth"] = audible_notes_loss(
                logits, masks.detach(), mixture, targets["roll"], self.loss_func.templates
            )
        weights = {"reading": 1.0, "aml": self.aml, "atl": self.atl, "truth": self.truth}
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self._update(optimizers[1], self.transcriptor, total)

        for scheduler in self._schedulers():
            scheduler.step()
        self.log("loss", loss.detach(), logger=True)
        named = {f"transcriptor_{k}": v.detach() for k, v in terms.items()}
        self.log_dict(named)
        return {"loss": loss.detach(), **named}

    def _schedulers(self):
        schedulers = self.lr_schedulers() or []
        return schedulers if isinstance(schedulers, list) else [schedulers]

    def _update(self, optimizer, network, loss):
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.gradient_clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.gradient_clip)
        optimizer.step()

    def validation_step(self, batch, batch_nb):
        """Logs the stem-free criterion by which checkpoints are chosen."""
        wav, targets = batch
        estimates = self.model(wav)
        separation = self.validation_critic(estimates, targets)
        reading = transcription_loss(self.transcriptor.outputs(estimates.mixture), targets["roll"])
        self.log("val_separation", separation, on_epoch=True, sync_dist=True)
        self.log("val_reading", reading, on_epoch=True, sync_dist=True)
        # The step-2 loss weighs transcription far below 1; so does the criterion.
        weight = self.loss_func.weights.get("transcription", 1.0)
        total = separation + weight * reading
        self.log("val_loss", total, on_epoch=True, prog_bar=True, sync_dist=True)
