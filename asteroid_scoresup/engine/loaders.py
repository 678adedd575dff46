"""Training and validation loaders for each kind of supervision."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..data import Manifest, ScoreDataset, WithParts, make_loader

logger = logging.getLogger(__name__)

#: Supervision of a separator: scores, activities, stems, or stems for some songs.
SUPERVISION = ("score", "activity", "stems", "semi")


def training_loaders(
    manifest: Manifest,
    n_segments: int,
    batch_size: int,
    supervision: str = "score",
    stem_fraction: float = 1.0,
    stem_draw: float = 0.25,
    augment: dict[str, float] | None = None,
    num_workers: int = 0,
    parts: Manifest | None = None,
    parts_fraction: float = 0.5,
    deferred: bool | None = None,
    **shared: Any,
) -> tuple[DataLoader, DataLoader]:
    """Makes a loader of random training segments and one of fixed validation segments.

    With stems for some songs only, supervised training draws from those alone. Validation of
    semi-supervised training reads scores only. If there is no validation split, the training songs
    are used instead, with a warning.

    Args:
        manifest (Manifest): The prepared data.
        n_segments (int): Training segments per epoch, over all processes.
        batch_size (int): Segments per batch, of one device.
        supervision (str): One of :data:`SUPERVISION`.
        stem_fraction (float): Fraction of the training songs whose stems are used.
        stem_draw (float): Smallest fraction of the segments drawn from songs with stems
            (``"semi"``).
        augment (dict, optional): ``gain_db``, ``eq_db``, ``varispeed``, ``saliency``, ``remix`` of
            :class:`~asteroid_scoresup.data.ScoreDataset`, for training segments.
        num_workers (int): Loader processes.
        parts (Manifest, optional): Other songs with stems, whose training songs give parts, see
            :class:`~asteroid_scoresup.data.WithParts`; with scores only.
        parts_fraction (float): Fraction of the training segments that are such parts.
        deferred (bool, optional): Whether batches are finished on the device where they are used,
            see :mod:`~asteroid_scoresup.data.batches`. Default: where there is a GPU, unless parts
            are mixed in.
        **shared: Arguments of :class:`~asteroid_scoresup.data.ScoreDataset` for both.

    Returns:
        tuple: Training and validation loader.

    Raises:
        ValueError: on an unknown kind of supervision.
    """
    if supervision not in SUPERVISION:
        raise ValueError(f"supervision is one of {', '.join(SUPERVISION)}, found {supervision!r}.")
    if deferred is None:
        deferred = torch.cuda.is_available() and parts is None
    shared["deferred"] = deferred
    options: dict[str, Any] = {"targets": "score", **(augment or {})}
    if supervision in ("stems", "semi"):
        draw = 1.0 if supervision == "stems" else stem_draw
        options.update(targets="both", stem_fraction=stem_fraction, stem_draw=draw)
    songs = ScoreDataset(manifest, "train", n_segments=n_segments, **options, **shared)
    train: ScoreDataset | WithParts = songs
    if parts is not None and supervision == "score":
        both = {**options, **shared, "targets": "both", "remix": 0.0}
        other = ScoreDataset(parts, "train", n_segments=n_segments, **both)
        train = WithParts(songs, other, parts_fraction)
    split = "validation"
    if split not in manifest.splits():
        split = "train"
        logger.warning(
            "Warning: there is no validation split; checkpoints are chosen on the training songs."
        )
    if train.n_left_out:
        logger.warning(
            f"Warning: {train.n_left_out} training songs are left out, since the alignment of "
            "their scores is uncertain throughout."
        )
    targets = "both" if supervision == "stems" else "score"
    validation = ScoreDataset(manifest, split, targets=targets, **shared)
    return (
        make_loader(train, batch_size, num_workers),
        make_loader(validation, batch_size, num_workers),
    )
