"""Mismatches that shapes do not reveal, between data, critic, templates and STFT of a loss.

Classes in another order, or a rate of 44,100 Hz instead of 16,000, give tensors of the same shapes
and losses that decrease, and a model that has learned nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..dsp import STFT, Spectrograms
from ..score import HarmonicTemplates

if TYPE_CHECKING:
    from ..data import ScoreDataset


def require_same_stft(
    stft: STFT, critic: nn.Module | None = None, templates: HarmonicTemplates | None = None
) -> None:
    """Refuses a critic or templates made for another STFT or sample rate.

    Args:
        stft (STFT): The STFT of the loss.
        critic (SpectrogramModel, optional): The critic.
        templates (HarmonicTemplates, optional): The templates.

    Raises:
        ValueError: if a rate, ``n_fft`` or hop differs.
    """
    for name, other, keys in (
        ("critic", getattr(critic, "stft", None), ("sample_rate", "n_fft", "hop_length")),
        ("templates", templates, ("sample_rate", "n_fft")),
    ):
        if other is not None:
            found = [(key, getattr(other, key), getattr(stft, key)) for key in keys]
            _require_equal(found, f"the {name}", "the STFT of the loss")


def require_dataset(
    dataset: ScoreDataset, stft: STFT, critic: nn.Module | None = None, terms: Iterable[str] = ()
) -> None:
    """Refuses a dataset that does not match the critic, the STFT or the terms of a loss.

    Args:
        dataset (ScoreDataset): The training data.
        stft (STFT): The STFT of the loss.
        critic (SpectrogramModel, optional): The critic; its classes must be those of the dataset,
            in the same order.
        terms (iterable of str): Names of the terms of the loss.

    Raises:
        ValueError: if classes, sample rate, ``n_fft`` or hop differ, or the dataset does not give
            what a term needs.
    """
    found = []
    classes: Any = getattr(critic, "sources", None)
    if classes is not None:
        found.append(("classes", list(dataset.names), list(classes)))
    for key in ("sample_rate", "n_fft", "hop_length"):
        found.append((key, getattr(dataset, key), getattr(stft, key)))
    _require_equal(found, "the dataset", "the loss" if critic is None else "the critic")
    if dataset.targets == "stems":
        raise ValueError(
            "The dataset gives stems alone (targets='stems'), and this loss reads scores: make it "
            "with targets='score' or targets='both'."
        )
    if "notes" in terms and not dataset.onsets:
        raise ValueError(
            "The notes term reads targets['onsets']: make the dataset with onsets=True."
        )
    if "informed" not in terms:
        return
    if dataset.soft_masks is None:
        raise ValueError(
            "The informed term reads targets['soft_masks']: give the dataset "
            "soft_masks=ScoreInformedMasks(...)."
        )
    drawn = asdict(dataset.soft_masks.sounding)
    pairs = [(key, value, drawn[key]) for key, value in asdict(dataset.sounding).items()]
    _require_equal(pairs, "the dataset", "its ScoreInformedMasks (sounding=…)")


def require_shapes(est_targets: torch.Tensor | Spectrograms) -> None:
    """Refuses estimates of a wrong number of dimensions, which broadcasting would hide.

    Args:
        est_targets (Spectrograms or :class:`torch.Tensor`): Output of a model.

    Raises:
        ValueError: if it is neither waveforms :math:`(batch, n_src, time)` nor Spectrograms of
            :math:`(batch, freq, frames)` and :math:`(batch, n_src, freq, frames)`.
    """
    if isinstance(est_targets, torch.Tensor):
        if est_targets.ndim != 3:
            raise ValueError(
                f"Expected waveforms of shape (batch, n_src, time), found "
                f"{tuple(est_targets.shape)}."
            )
        return
    if not isinstance(est_targets, tuple) or len(est_targets) not in (2, 3):
        raise ValueError(
            "Expected waveforms of shape (batch, n_src, time) or Spectrograms of a mixture and its "
            f"sources, found a {type(est_targets).__name__}."
        )
    mixture, sources = est_targets[:2]
    if mixture.ndim != 3 or sources.ndim != 4 or sources[:, 0].shape != mixture.shape:
        raise ValueError(
            "Expected Spectrograms of shapes (batch, freq, frames) and (batch, n_src, freq, "
            f"frames), found {tuple(mixture.shape)} and {tuple(sources.shape)}."
        )


def _require_equal(found, one, other):
    for what, mine, theirs in found:
        if mine != theirs:
            raise ValueError(
                f"{one.capitalize()} and {other} do not belong together: {what} is {mine} in the "
                f"one, {theirs} in the other."
            )
