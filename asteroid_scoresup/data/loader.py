"""Loaders for training and validation, on one device or several."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


class SegmentSampler(DistributedSampler):
    """Numbers the random segments of a dataset on from epoch to epoch.

    Lightning calls :meth:`set_epoch` by itself, also after resuming, so epoch `n` draws the same
    segments whether or not the run was interrupted. Processes that train together (DDP) share them
    out in turn: two of them with batches of four see what one sees with batches of eight. It is a
    :class:`torch.utils.data.distributed.DistributedSampler`, so a Lightning ``Trainer`` knows that
    and does not share them out again.

    Args:
        n_segments (int): Items per epoch, over all processes. What is left over when the number of
            processes does not divide it is not drawn, so that all processes make as many steps.
        num_replicas (int, optional): Processes that train together. Default: those of
            ``torch.distributed``, looked up whenever an epoch begins, since loaders are usually
            made before the processes know of each other.
        rank (int, optional): Number of this process, given together with `num_replicas`.

    Raises:
        ValueError: if only one of `num_replicas` and `rank` is given, or they do not fit.

    Examples
        >>> sampler = SegmentSampler(3)
        >>> sampler.set_epoch(2)
        >>> list(sampler)
        [6, 7, 8]
        >>> list(SegmentSampler(4, num_replicas=2, rank=1))
        [1, 3]
    """

    def __init__(self, n_segments, num_replicas=None, rank=None):
        if (num_replicas is None) != (rank is None):
            raise ValueError("Give num_replicas and rank together, or neither.")
        self.n_segments, self._given = n_segments, (rank, num_replicas)
        rank, world = self._processes()
        super().__init__(range(n_segments), world, rank, shuffle=False, drop_last=True)

    def _processes(self):
        """Number of this process, and how many train together."""
        if self._given[0] is not None:
            return self._given
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _share_out(self):
        """Looks up the processes; the attributes of torch's class follow."""
        self.rank, self.num_replicas = self._processes()
        self.num_samples = self.n_segments // self.num_replicas
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self):
        self._share_out()
        first = self.epoch * self.n_segments
        return iter(range(first + self.rank, first + self.total_size, self.num_replicas))

    def __len__(self):
        self._share_out()
        return self.num_samples


def make_loader(dataset, batch_size, num_workers=0):
    """A loader for training or validation.

    Args:
        dataset (ScoreDataset): Random segments get a :class:`SegmentSampler`; all else comes in
            order, whole tracks one by one.
        batch_size (int): Items per batch, of one device.
        num_workers (int): Loader processes; the batches do not depend on it.

    Returns:
        :class:`torch.utils.data.DataLoader`
    """
    random = dataset.n_segments is not None
    return DataLoader(
        dataset,
        batch_size=batch_size if dataset.n_samples is not None else 1,
        sampler=SegmentSampler(dataset.n_segments) if random else None,
        num_workers=num_workers,
        drop_last=random,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
