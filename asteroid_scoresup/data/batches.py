r"""From segments to items and batches: equalizer, sums of segments, score-informed masks.

Usually all of it happens item by item, in the loader processes (:func:`finished`), which could not
keep up with a GPU. With ``ScoreDataset(deferred=True)`` items contain what the rest is computed
from, and a :class:`DeferredBatch` computes it for the whole batch, on the device to which it is
moved. Both ways give the same batches, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import default_collate

from ..dsp.equalizer import equalize_bands, equalize_batch
from ..score import Factors, soft_masks, soft_masks_of_batch


class Layer(NamedTuple):
    """A segment; an item is one of them, or the sum of two.

    Args:
        signals (:class:`torch.Tensor`): Mixture, and stems if requested, at their level, shape
            :math:`(1 + n\\_src, time)`.
        bands_db (array, optional): Gains of the equalizer's bands, in dB; None for no equalizer.
        targets (dict): Rolls and flags.
        factors (Factors, optional): Factors of the score-informed masks.
    """

    signals: torch.Tensor
    bands_db: np.ndarray | None
    targets: dict[str, torch.Tensor]
    factors: Factors | None


class Shared(NamedTuple):
    """What all items of a dataset have in common.

    Args:
        sample_rate (float): Sample rate, in Hz.
        n_src (int): Number of classes.
        targets (str): ``"score"``, ``"stems"`` or ``"both"``.
        power (float): See :func:`~asteroid_scoresup.score.informed.soft_masks`.
    """

    sample_rate: float
    n_src: int
    targets: str
    power: float


class DeferredItem(NamedTuple):
    """An item that is finished together with its batch.

    Args:
        layers (tuple of Layer): One segment, or two to be summed.
        most (int): Largest number of layers of an item.
        shared (Shared): What all items have in common.
    """

    layers: tuple[Layer, ...]
    most: int
    shared: Shared


def finished(layers: Sequence[Layer], shared: Shared) -> tuple[torch.Tensor, Any]:
    """The item that one or two segments make.

    Args:
        layers (sequence of Layer): The segments; of two, neither has stems or factors.
        shared (Shared): What all items have in common.

    Returns:
        tuple: mixture and targets, which are stems or a dict.
    """
    signals = [
        layer.signals
        if layer.bands_db is None
        else equalize_bands(layer.signals, shared.sample_rate, layer.bands_db)
        for layer in layers
    ]
    mixture, sources = signals[0][0], signals[0][1:]
    if shared.targets == "stems":
        return mixture, sources
    if len(layers) > 1:
        # Sums of two songs must not be recognizable by their level.
        mixture = (mixture + signals[1][0]) / 2**0.5
    targets = {"mixture": mixture, **_summed_targets(layers)}
    if layers[0].factors is not None:
        targets["soft_masks"] = soft_masks(layers[0].factors, shared.n_src, shared.power)
    if shared.targets == "both":
        targets["sources"] = sources
    return mixture, targets


def _summed_targets(layers: Sequence[Layer]) -> dict[str, torch.Tensor]:
    """Rolls and flags; the score of a sum is the union of the scores."""
    targets = dict(layers[0].targets)
    for layer in layers[1:]:
        for key in ("roll", "sounding"):
            targets[key] = torch.maximum(targets[key], layer.targets[key])
    return targets


class DeferredBatch:
    """A batch whose mixtures and masks are computed when it is moved to a device.

    Lightning does so by itself; elsewhere use ``mixture, targets = batch.to(device)``. Unpacked
    without that, it is finished on the CPU.

    Args:
        tensors (dict): ``signals`` :math:`(batch, layers, 1 + n\\_src, time)`; optionally
            ``bands_db`` :math:`(batch, layers, bands)`, and the factors (``templates``,
            ``activations``, ``class_index``) as
            :func:`~asteroid_scoresup.score.informed.soft_masks_of_batch` reads them.
        targets (dict): Rolls and flags.
        shared (Shared): What all items have in common.
    """

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        targets: dict[str, torch.Tensor],
        shared: Shared,
    ) -> None:
        self.tensors, self.targets, self.shared = tensors, targets, shared

    def __len__(self) -> int:
        return len(self.tensors["signals"])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to("cpu"))

    def pin_memory(self) -> DeferredBatch:
        """The batch in page-locked memory, from which copies to a GPU need not be waited for."""
        tensors, targets = (
            {name: tensor.pin_memory() for name, tensor in part.items()}
            for part in (self.tensors, self.targets)
        )
        return DeferredBatch(tensors, targets, self.shared)

    @torch.no_grad()
    def to(
        self, device: torch.device | str, non_blocking: bool = True
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Moves the batch to a device and finishes it there.

        Args:
            device (torch.device or str): The device.
            non_blocking (bool): Whether copies to a GPU need not be waited for.

        Returns:
            tuple: mixtures :math:`(batch, time)`, and targets as
            :class:`~asteroid_scoresup.data.ScoreDataset` describes them.
        """
        tensors, targets = (
            {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in part.items()}
            for part in (self.tensors, self.targets)
        )
        signals, bands_db = tensors["signals"], tensors.get("bands_db")
        if bands_db is not None:
            rate = self.shared.sample_rate
            both = equalize_batch(signals.flatten(0, 1), rate, bands_db.flatten(0, 1))
            signals = both.unflatten(0, signals.shape[:2])
        signals = signals.sum(1)
        mixture = targets["mixture"] = signals[:, 0]
        if self.shared.targets == "both":
            targets["sources"] = signals[:, 1:]
        if "templates" in tensors:
            factors = Factors(*(tensors[name] for name in _FACTORS))
            masks = soft_masks_of_batch(factors, self.shared.n_src, self.shared.power)
            targets["soft_masks"] = masks
        return mixture, targets


#: Fields of :class:`~asteroid_scoresup.score.Factors` in a :class:`DeferredBatch`.
_FACTORS = ("templates", "activations", "class_index")


def collate(items: Sequence[Any]) -> Any:
    """Makes a batch of items, which may be deferred; ``collate_fn`` of the loaders.

    Args:
        items (sequence): Items of a dataset.

    Returns:
        DeferredBatch, or what torch's ``default_collate`` gives.
    """
    if not isinstance(items[0], DeferredItem):
        return default_collate(list(items))
    first = items[0]
    tensors = {"signals": torch.stack([_stacked(item) for item in items])}
    if first.layers[0].bands_db is not None:
        tensors["bands_db"] = torch.stack([_bands(item) for item in items])
    if first.layers[0].factors is not None:
        factors = [item.layers[0].factors for item in items]
        most = max(len(f.class_index) for f in factors)
        padded = [
            (
                pad(f.templates, (0, 0, 0, most - len(f.class_index))),
                pad(f.activations, (0, 0, 0, most - len(f.class_index))),
                pad(f.class_index, (0, most - len(f.class_index))),
            )
            for f in factors
        ]
        tensors.update(zip(_FACTORS, map(torch.stack, zip(*padded))))
    targets = default_collate([_summed_targets(item.layers) for item in items])
    return DeferredBatch(tensors, targets, first.shared)


def _stacked(item: DeferredItem) -> torch.Tensor:
    """The signals of an item, (layers, signals, time), which sum to those of the batch."""
    signals = torch.stack([layer.signals for layer in item.layers])
    if len(item.layers) > 1:
        signals = signals / 2**0.5
    return pad(signals, (0, 0, 0, 0, 0, item.most - len(item.layers)))


def _bands(item: DeferredItem) -> torch.Tensor:
    bands = torch.from_numpy(
        np.stack([np.asarray(layer.bands_db) for layer in item.layers])
    ).float()
    return pad(bands, (0, 0, 0, item.most - len(item.layers)))
