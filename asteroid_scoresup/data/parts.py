"""Training material for a transcriptor beside the target songs: parts of songs that have stems."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..dsp import NOMINAL_RMS
from .dataset import ScoreDataset

#: Standard deviation of the random gain of a part, in dB.
_SPREAD_DB = 5.0


class WithParts(Dataset):
    r"""Random segments of songs, some of them replaced by random parts of other songs (our choice).

    A transcriptor that only ever receives mixtures knows an instrument by its company. Songs with
    stems that are not the target songs, such as composed ones, give it single parts and mixtures of
    some of the parts, each at a level of its own. No stem of the songs is opened.

    Args:
        songs (ScoreDataset): Random segments with ``targets="score"``.
        parts (ScoreDataset): Random segments of other songs, with ``targets="both"`` and as many
            samples each.
        fraction (float): Probability that an item comes from `parts`.

    Raises:
        ValueError: if the datasets differ in classes, sample rate or length of the segments, or
            either is not made for this.

    The items are those of `songs`.
    """

    def __init__(self, songs: ScoreDataset, parts: ScoreDataset, fraction: float = 0.5):
        facts = [(d.names, d.sample_rate, d.n_samples, d.hop_length) for d in (songs, parts)]
        if facts[0] != facts[1]:
            raise ValueError(
                f"The songs in {songs.manifest.root} have (classes, Hz, samples, hop) = {facts[0]},"
                f" the parts in {parts.manifest.root} have {facts[1]}: prepare both alike."
            )
        if (
            songs.targets != "score"
            or parts.targets != "both"
            or None
            in (
                songs.n_segments,
                parts.n_segments,
            )
        ):
            raise ValueError(
                "Expected random segments, of the songs with targets='score' and of the parts with "
                "targets='both'."
            )
        self.songs, self.parts, self.fraction = songs, parts, fraction
        self.n_segments, self.n_samples = songs.n_segments, songs.n_samples
        self.n_left_out = songs.n_left_out

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Any:
        rng = np.random.default_rng([self.songs.seed, index, 1])
        if rng.random() >= self.fraction:
            return self.songs[index]
        _, targets = self.parts[index]
        assert isinstance(targets, dict)  # with targets="both"
        stems = targets.pop("sources")
        playing = torch.nonzero(targets["roll"].amax((-2, -1)) > 0).flatten().numpy()
        kept = np.zeros(len(stems), dtype=bool)
        if len(playing):
            kept[rng.permutation(playing)[: rng.integers(1, len(playing) + 1)]] = True
        gains = 10 ** (rng.normal(0, _SPREAD_DB, len(stems)) / 20) * kept
        mixture = torch.einsum("s,st->t", torch.from_numpy(gains).to(stems.dtype), stems)
        if rng.random() < 0.5:  # as a recording of these parts alone
            mixture = mixture * (NOMINAL_RMS / mixture.square().mean().sqrt().clamp(min=1e-4))
        rolls = [name for name in targets if name not in ("mixture", "has_stems")]
        keep = torch.from_numpy(kept).to(mixture.dtype)[:, None, None]
        return mixture, {"mixture": mixture, **{name: targets[name] * keep for name in rolls}}

    def place(self, index: int) -> str:
        """Track and time of an item, for messages; see the same method of the songs."""
        rng = np.random.default_rng([self.songs.seed, index, 1])
        return (self.songs if rng.random() >= self.fraction else self.parts).place(index)
