"""Experiment trackers: where a training logs its numbers, and the examples that it shows there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.profilers import Profiler, SimpleProfiler

from ..data import Manifest
from ..models import ScoreTranscriptor, SourceModel, TCNSeparator
from ..score import piano_roll
from ..utils.files import atomic_path

#: Names of the trackers. CSV files are always written, since tables and plots are made from them.
TRACKERS = ("csv", "tensorboard", "wandb")
_EXTRA = "pip install 'asteroid-scoresup[{name}]'"
_ID_FILE = "wandb_id.txt"


def make_loggers(tracker: str, exp_dir: str | Path) -> list[Logger]:
    """Lightning's loggers for an experiment folder.

    ``logs/`` gets a CSV file per start. TensorBoard's files are written to ``tensorboard/``. W&B
    has a run per folder, with an ID in ``wandb_id.txt``, so that a resumed training goes on in it;
    its environment variables (``WANDB_MODE=offline``, ``WANDB_PROJECT``…) apply.

    Args:
        tracker (str): One of :data:`TRACKERS`.
        exp_dir (str or Path): The experiment folder.

    Returns:
        list of Logger: The CSV logger, and the tracker's.

    Raises:
        ImportError: if the tracker is not installed.
        ValueError: if it is unknown.
    """
    exp_dir = Path(exp_dir)
    loggers: list[Logger] = [CSVLogger(exp_dir, name="logs")]
    if tracker not in TRACKERS:
        raise ValueError(f"The logger is {tracker!r}, expected one of {', '.join(TRACKERS)}.")
    try:
        if tracker == "tensorboard":
            # Asteroid's System logs hp_metric to the first logger only.
            board = TensorBoardLogger(exp_dir, name="tensorboard", default_hp_metric=False)
            loggers.append(board)
        elif tracker == "wandb":
            name = "-".join(exp_dir.resolve().parts[-2:])
            run = _run_id(exp_dir)
            loggers.append(WandbLogger(name, exp_dir, id=run, resume="allow"))
    except ImportError:  # Lightning's message names other packages
        raise ImportError(
            f"The logger {tracker} is not installed: {_EXTRA.format(name=tracker)}."
        ) from None
    return loggers


def _run_id(exp_dir: Path) -> str:
    """The ID of the folder's run, made at its first start."""
    path = exp_dir / _ID_FILE
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def make_profiler(exp_dir: str | Path) -> Profiler:
    """Lightning's profiler, which writes the time of each step of a training to ``profile-*.txt``.

    Args:
        exp_dir (str or Path): The experiment folder.

    Returns:
        Profiler: The profiler.
    """
    return SimpleProfiler(dirpath=exp_dir, filename="profile")


class LogExamples(Callback):
    """Shows two validation songs in TensorBoard or W&B after each validation.

    For each song: the mixture and the estimates as audio, the masks of all classes, and their piano
    rolls: green is the score, red what the transcriptor finds, yellow both. With a separator the
    transcriptor receives the estimates, else the mixture. Other loggers get nothing.

    Args:
        manifest (Manifest): The prepared data.
        separator (SourceModel, optional): The separator in training.
        transcriptor (ScoreTranscriptor, optional): The transcriptor, in training or not.
        split (str): The split.
        n_songs (int): Number of songs.
        seconds (float): Length of the segment from the middle of each song, in s.
    """

    def __init__(
        self,
        manifest: Manifest,
        separator: SourceModel | None = None,
        transcriptor: Any = None,
        split: str = "validation",
        n_songs: int = 2,
        seconds: float = 8.0,
    ):
        self.manifest, self.separator = manifest, separator
        # An activity classifier has no rolls.
        self.transcriptor = transcriptor if isinstance(transcriptor, ScoreTranscriptor) else None
        self.songs = manifest.in_split(split)[:n_songs]
        self.seconds = seconds

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sends the examples to the trackers."""
        trackers = [_Tracker(x) for x in trainer.loggers if _Tracker.supports(x)]
        if trainer.sanity_checking or not trackers or not trainer.is_global_zero:
            return
        networks = [net for net in (self.separator, self.transcriptor) if net is not None]
        modes = [net.training for net in networks]
        for net in networks:
            net.eval()
        audio: dict[str, np.ndarray] = {}
        images: dict[str, np.ndarray] = {}
        for track in self.songs:
            signals, pictures = self._examples(track, pl_module.device)
            audio |= {f"{track.id}/{name}": samples for name, samples in signals.items()}
            images |= {f"{track.id}/{name}": image for name, image in pictures.items()}
        for tracker in trackers:
            tracker.add(audio, images, int(self.manifest.sample_rate), trainer.global_step)
        for net, mode in zip(networks, modes):
            net.train(mode)

    @torch.no_grad()
    def _examples(
        self, track: Any, device: torch.device
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Audio (time,) and images (height, width, 3) of a song, by name."""
        whole = torch.from_numpy(self.manifest.read_mixture(track))
        length = int(self.seconds * self.manifest.sample_rate)
        start = max(len(whole) - length, 0) // 2
        mixture = whole[start : start + length].to(device)
        audio, images, estimates = {"mixture": mixture.cpu().numpy()}, {}, None
        if self.separator is not None:
            estimates = self.separator(mixture, level=track.rms)
            audio |= dict(zip(self.manifest.names, estimates.cpu().float().numpy()))
        if isinstance(self.separator, TCNSeparator):
            stft = self.separator.stft
            scaled, _ = self.separator.normalize(mixture[None], track.rms)
            masks = self.separator.masks(stft.magnitude(stft(scaled)))[0]
            images["masks"] = stacked(masks.cpu().float().numpy())
        if self.transcriptor is not None:
            stft = self.transcriptor.stft
            signals = mixture[None] if estimates is None else estimates
            logits = self.transcriptor(signals, level=torch.full((len(signals),), track.rms))
            # Class i as it is found in estimate i, or in the mixture.
            probs = torch.stack(
                [logits[min(i, len(logits) - 1), i] for i in range(logits.shape[1])]
            )
            first = round(start / stft.hop_length)
            n_frames = first + probs.shape[-1]
            notes = self.manifest.notes(track)
            roll = piano_roll(notes, len(probs), n_frames, stft.grid)[..., first:]
            images["rolls"] = stacked(
                probs.sigmoid().cpu().float().numpy(), roll.float().numpy(), np.zeros(roll.shape)
            )
        return audio, images


def stacked(*channels: np.ndarray) -> np.ndarray:
    r"""An image of the classes, the first on top, with a white line between them.

    Args:
        *channels (array): One channel, for gray, or red, green and blue, each of shape
            :math:`(n\_src, rows, frames)` with values in [0, 1]. The first row is at the bottom.

    Returns:
        :class:`numpy.ndarray`: Shape (height, width, 3), uint8.

    Examples
        >>> stacked(np.zeros((2, 3, 5))).shape
        (7, 5, 3)
    """
    planes = []
    for channel in channels if len(channels) == 3 else channels * 3:
        rows: list[np.ndarray] = []
        for part in channel:
            rows += [np.ones((1, part.shape[1]))] if rows else []
            rows.append(part[::-1])
        planes.append(np.concatenate(rows))
    return np.round(255 * np.clip(np.stack(planes, -1), 0, 1)).astype(np.uint8)


class _Tracker:
    """One way to send audio and images, for TensorBoard and W&B."""

    def __init__(self, logger: Logger) -> None:
        self.logger: Any = logger

    @staticmethod
    def supports(logger: Logger) -> bool:
        return isinstance(logger, (TensorBoardLogger, WandbLogger))

    def add(
        self,
        audio: dict[str, np.ndarray],
        images: dict[str, np.ndarray],
        sample_rate: int,
        step: int,
    ) -> None:
        if isinstance(self.logger, TensorBoardLogger):
            for name, samples in audio.items():
                clipped = torch.from_numpy(samples).clamp(-1, 1)[None]
                self.logger.experiment.add_audio(name, clipped, step, sample_rate)
            for name, image in images.items():
                self.logger.experiment.add_image(name, image, step, dataformats="HWC")
            return
        import wandb

        media: dict[str, Any] = {
            name: wandb.Audio(samples, sample_rate=sample_rate) for name, samples in audio.items()
        }
        media |= {name: wandb.Image(image) for name, image in images.items()}
        # Together: each call would be a step of its own, and the slider of a panel shows one step.
        self.logger.log_metrics(media, step)


def tracker_callbacks(
    tracker: str,
    manifest: Manifest,
    separator: SourceModel | None = None,
    transcriptor: SourceModel | None = None,
) -> Sequence[Callback]:
    """The callbacks of a tracker: :class:`LogExamples`, or none for CSV files.

    Args:
        tracker (str): One of :data:`TRACKERS`.
        manifest, separator, transcriptor: See :class:`LogExamples`.
    """
    return [] if tracker == "csv" else [LogExamples(manifest, separator, transcriptor)]
