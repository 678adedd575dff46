"""Lightning callbacks: what to log in training, and the random numbers of each batch."""

from __future__ import annotations

import torch
from asteroid.losses import singlesrc_neg_sisdr
from pytorch_lightning import Callback

from ..losses.waveform import SILENT_POWER
from ..utils.files import read_audio


class BatchSeed(Callback):
    """Seeds each batch by its number: a resumed run draws what it would have drawn.

    Processes that train together (DDP) have batches of their own and draw numbers of their own for
    them; the numbers of the first are those of a process alone.
    """

    def __init__(self):
        self.seed = torch.initial_seed()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Seeds torch: remixes, imitated separation, the classes that the critic receives."""
        number = trainer.current_epoch * trainer.num_training_batches + batch_idx
        number = number * trainer.world_size + trainer.global_rank
        # A processor's generator takes no more than 32 bits.
        torch.manual_seed((self.seed + number) % 2**32)


class LogLossTerms(Callback):
    """Logs each term of a :class:`~asteroid_scoresup.losses.ScoreSupervisedLoss` by name."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Training terms, as epoch means."""
        self._log(pl_module, "train")

    def on_validation_batch_end(
        self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0
    ):
        """Validation terms, as epoch means; in step 3 those of its validation_critic."""
        self._log(pl_module, "val", getattr(pl_module, "validation_critic", None))

    @staticmethod
    def _log(pl_module, stage, loss=None):
        terms = getattr(loss or pl_module.loss_func, "last_terms", {})
        named = {f"{stage}_{name}": value for name, value in terms.items()}
        pl_module.log_dict(named, on_step=False, on_epoch=True, logger=True)


class LogValidationSISDR(Callback):
    """Logs the SI-SDR of a few validation tracks, where stems exist: for looking, never choosing.

    Args:
        separator (TCNSeparator): The network in training.
        manifest (Manifest): The prepared data; tracks without stems are passed over, and
            where there are none nothing is logged.
        split (str): Split to look at.
        seconds (float): How much of each track, from its middle.
        max_tracks (int): How many tracks.
    """

    def __init__(self, separator, manifest, split="validation", seconds=15.0, max_tracks=8):
        self.separator, self.manifest, self.clips = separator, manifest, []
        length = int(seconds * manifest.sample_rate)
        for track in (track for track in manifest.tracks if track.split == split):
            paths = [manifest.stem_path(track, name) for name in manifest.names]
            if len(self.clips) < max_tracks and all(path.is_file() for path in paths):
                start = max(track.n_samples - length, 0) // 2
                piece = slice(start, start + length)
                mixture = torch.from_numpy(manifest.read_mixture(track)[piece])
                stems = torch.stack(
                    [torch.from_numpy(read_audio(path)[0][piece]) for path in paths]
                )
                self.clips.append((mixture, stems, track.rms))

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer, pl_module):
        """Logs ``val_si_sdr`` and one value per class, in dB."""
        if trainer.sanity_checking or not self.clips:
            return
        was_training = self.separator.training
        self.separator.eval()
        scores = []
        for mixture, stems, rms in self.clips:
            estimates = self.separator(mixture.to(pl_module.device), level=rms).cpu()
            score = -singlesrc_neg_sisdr(estimates, stems)
            # A silent reference has no SI-SDR.
            scores.append(score.where(stems.pow(2).mean(-1) > SILENT_POWER, torch.nan))
        self.separator.train(was_training)
        per_class = torch.stack(scores).nanmean(0)
        values = {
            f"val_si_sdr_{name}": float(value)
            for name, value in zip(self.manifest.names, per_class)
        }
        pl_module.log_dict({**values, "val_si_sdr": float(per_class.nanmean())})
