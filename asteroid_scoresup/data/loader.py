"""Loaders for training and validation, on one device or several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from .batches import collate
from .dataset import ScoreDataset
from .parts import WithParts


class SegmentSampler(DistributedSampler):
    """Numbers the random segments of a dataset consecutively across epochs.

    Lightning calls ``set_epoch`` itself, also after resuming, so epoch `n` draws the same
    segments whether or not the run was interrupted. Processes that train together (DDP) take
    segments in turn: two of them with batches of four process the same segments as one with batches
    of eight. A Lightning ``Trainer`` recognizes the
    :class:`torch.utils.data.distributed.DistributedSampler` and does not wrap it in another.

    Args:
        n_segments (int): Items per epoch, over all processes. A remainder of the division by the
            number of processes is not drawn, so that all processes take the same number of steps.
        num_replicas (int, optional): Number of processes that train together. Default: that of
            ``torch.distributed``, looked up whenever an epoch begins, because loaders are usually
            created before the process group.
        rank (int, optional): Number of this process, given together with `num_replicas`.

    Raises:
        ValueError: if only one of `num_replicas` and `rank` is given, or `rank` is out of range.

    Examples
        >>> sampler = SegmentSampler(3)
        >>> sampler.set_epoch(2)
        >>> list(sampler)
        [6, 7, 8]
        >>> list(SegmentSampler(4, num_replicas=2, rank=1))
        [1, 3]
    """

    def __init__(
        self, n_segments: int, num_replicas: int | None = None, rank: int | None = None
    ) -> None:
        if (num_replicas is None) != (rank is None):
            raise ValueError("Give num_replicas and rank together, or neither.")
        self.n_segments = n_segments
        self._given = None if rank is None or num_replicas is None else (rank, num_replicas)
        rank, world = self._processes()
        items: Any = range(n_segments)  # only its length is read
        super().__init__(items, world, rank, shuffle=False, drop_last=True)

    def _processes(self) -> tuple[int, int]:
        """Number of this process, and how many train together."""
        if self._given is not None:
            return self._given
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _update(self) -> None:
        """Looks up the processes and sets the attributes of torch's class."""
        self.rank, self.num_replicas = self._processes()
        self.num_samples = self.n_segments // self.num_replicas
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        self._update()
        first = self.epoch * self.n_segments
        return iter(range(first + self.rank, first + self.total_size, self.num_replicas))

    def __len__(self) -> int:
        self._update()
        return self.num_samples


def make_loader(
    dataset: ScoreDataset | WithParts, batch_size: int, num_workers: int = 0
) -> DataLoader:
    """A loader for training or validation.

    Args:
        dataset (ScoreDataset): Random segments get a :class:`SegmentSampler`; fixed segments and
            whole tracks come in order, whole tracks in batches of one.
        batch_size (int): Items per batch, of one device.
        num_workers (int): Number of loader processes; the batches do not depend on it.
    """
    sampler = None if dataset.n_segments is None else SegmentSampler(dataset.n_segments)
    return DataLoader(
        dataset,
        batch_size=batch_size if dataset.n_samples is not None else 1,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        drop_last=sampler is not None,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
