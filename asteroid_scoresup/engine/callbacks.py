"""Lightning callbacks: logging, and the random numbers of each batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from asteroid.losses import singlesrc_neg_sisdr
from pytorch_lightning import Callback, LightningModule, Trainer

from ..data import Manifest
from ..losses.waveform import SILENT_POWER
from ..models import SourceModel


class BatchSeed(Callback):
    """Seeds torch by the number of each batch, so that a resumed run draws the same numbers.

    Processes that train together (DDP) draw different numbers; those of the first process are the
    ones that it would draw alone.
    """

    def __init__(self) -> None:
        self.seed = torch.initial_seed()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds torch: remixes, simulated separation, the classes that the critic receives."""
        number = trainer.current_epoch * trainer.num_training_batches + batch_idx
        number = number * trainer.world_size + trainer.global_rank
        # Seeds of the CPU generator have at most 32 bits.
        torch.manual_seed((self.seed + number) % 2**32)


class LogLossTerms(Callback):
    """Logs each term of a :class:`~asteroid_scoresup.losses.ScoreSupervisedLoss` by name."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Training terms, as epoch means."""
        self._log(pl_module, "train")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validation terms, as epoch means; in step 3 those of the validation critic."""
        self._log(pl_module, "val", getattr(pl_module, "validation_critic", None))

    @staticmethod
    def _log(pl_module: LightningModule, stage: str, loss: Any = None) -> None:
        terms = getattr(loss or pl_module.loss_func, "last_terms", {})
        named = {f"{stage}_{name}": value for name, value in terms.items()}
        pl_module.log_dict(named, on_step=False, on_epoch=True, logger=True)


class LogValidationSISDR(Callback):
    """Logs the SI-SDR of a few validation tracks that have stems.

    It is for information only: checkpoints are never chosen by it.

    Args:
        separator (SourceModel): The network in training.
        manifest (Manifest): The prepared data. Tracks without stems are skipped; if no track has
            stems, nothing is logged.
        split (str): The split.
        seconds (float): Length of the segment from the middle of each track, in s.
        max_tracks (int): Largest number of tracks.
    """

    def __init__(
        self,
        separator: SourceModel,
        manifest: Manifest,
        split: str = "validation",
        seconds: float = 15.0,
        max_tracks: int = 8,
    ):
        self.separator, self.manifest = separator, manifest
        self.segments: list[tuple[torch.Tensor, torch.Tensor, float]] = []
        length = int(seconds * manifest.sample_rate)
        for track in manifest.in_split(split):
            if len(self.segments) == max_tracks:
                break
            if manifest.has_stems(track):
                start = max(track.n_samples - length, 0) // 2
                part = slice(start, start + length)
                mixture = torch.from_numpy(manifest.read_mixture(track)[part])
                stems = np.stack([manifest.read_stem(track, name)[part] for name in manifest.names])
                self.segments.append((mixture, torch.from_numpy(stems), track.rms))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs ``val_si_sdr`` and one value per class, in dB."""
        if trainer.sanity_checking or not self.segments:
            return
        was_training = self.separator.training
        self.separator.eval()
        scores = []
        for mixture, stems, rms in self.segments:
            estimates = self.separator(mixture.to(pl_module.device), level=rms).cpu()
            score = -singlesrc_neg_sisdr(estimates, stems)
            # A silent stem has no SI-SDR.
            scores.append(score.where(stems.pow(2).mean(-1) > SILENT_POWER, torch.nan))
        self.separator.train(was_training)
        per_class = torch.stack(scores).nanmean(0)
        values = {
            f"val_si_sdr_{name}": float(value)
            for name, value in zip(self.manifest.names, per_class)
        }
        pl_module.log_dict({**values, "val_si_sdr": float(per_class.nanmean())})
