"""Simulated separation: step 1 trains on mixtures masked as a separator would mask them."""

from __future__ import annotations

from typing import Any

import torch
from asteroid.engine.system import System

from ..score import HarmonicTemplates

#: Levels of a class that is kept and of one that is removed, in dB.
KEPT_DB, REMOVED_DB = (-12.0, 0.0), (-40.0, -25.0)


def simulate_separation(
    mixture: torch.Tensor,
    roll: torch.Tensor,
    sounding: torch.Tensor,
    templates: HarmonicTemplates,
    fraction: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Simulates imperfectly separated mixtures without a separator and without stems (our choice).

    In a fraction of the segments, some classes are attenuated by soft harmonic masks drawn from the
    score, as by an imperfect separator, and removed from the labels; the others stay at random
    levels. Half of these segments then pass through a fixed random filter whose gains differ from
    bin to bin, so that the critic cannot learn to recognize a class by its coloration, which a
    separator can give to any signal.

    Without this, even a critic that transcribes stems well can be satisfied by masks that separate
    nothing (docs/experiments.md).

    Args:
        mixture (:class:`torch.Tensor`): Magnitudes.
        roll (:class:`torch.Tensor`): The score.
        sounding (:class:`torch.Tensor`): The sounding roll, for the masks.
        templates (HarmonicTemplates): Draws the masks.
        fraction (float): Fraction of the segments that are changed.

    Shape:
        - mixture: :math:`(batch, freq, frames)`
        - roll, sounding: :math:`(batch, n\_src, 88, frames)`

    Returns:
        tuple: The changed magnitudes and rolls.

    Examples
        >>> from asteroid_scoresup.score import HarmonicTemplates
        >>> roll = torch.zeros(2, 3, 88, 20)
        >>> roll[:, :, 40] = 1
        >>> magnitude, kept = simulate_separation(
        ...     torch.ones(2, 129, 20), roll, roll, HarmonicTemplates(4000, 256))
        >>> magnitude.shape, bool((magnitude <= 1).all()), bool((kept <= roll).all())
        (torch.Size([2, 129, 20]), True, True)
    """
    batch, n_src = roll.shape[:2]

    def uniform(*size: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return low + (high - low) * torch.rand(*size, device=mixture.device)

    changed = uniform(batch) < fraction
    kept = uniform(batch, n_src) < 0.5
    level = torch.where(
        kept,
        uniform(batch, n_src, low=KEPT_DB[0], high=KEPT_DB[1]),
        uniform(batch, n_src, low=REMOVED_DB[0], high=REMOVED_DB[1]),
    )
    gain = (10 ** (level / 20))[:, :, None, None]
    masks = templates.soft_mask(sounding)
    # What no note explains has the gain of the loudest class.
    mask = (masks * gain).sum(1) + (1 - masks.sum(1)).clamp(min=0) * gain.amax(1)
    filtered = uniform(batch, 1) < 0.5
    slope, offset = uniform(batch, 1, high=5.0), uniform(batch, 1, low=-1.0, high=2.0)
    response = torch.randn(batch, mixture.shape[1], device=mixture.device)
    response = torch.sigmoid(offset + slope * response)
    mask = mask * response.where(filtered, torch.ones_like(response)).unsqueeze(-1)
    mask = mask.where(changed[:, None, None], torch.ones_like(mask))
    kept = kept | ~changed.unsqueeze(1)
    return mixture * mask, roll * kept[:, :, None, None]


class TranscriptorSystem(System):
    r"""Step 1: Asteroid's ``System`` with simulated separation in training.

    Args:
        args, kwargs: See Asteroid's ``System``; the model is a
            :class:`~asteroid_scoresup.engine.TranscriptorTrainingWrapper`.
        templates (HarmonicTemplates): Draws the masks.
        simulate (float): Fraction of the training segments that :func:`simulate_separation`
            changes; 0 for the step 1 of the paper. Validation is on mixtures only.
    """

    def __init__(
        self,
        *args: Any,
        templates: HarmonicTemplates | None = None,
        simulate: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        if simulate and templates is None:
            raise ValueError("simulate draws masks from the score: give templates.")
        self.templates, self.simulate = templates, simulate

    def common_step(self, batch: tuple, batch_nb: int, train: bool = True) -> torch.Tensor:
        """See Asteroid's ``System``."""
        wav, targets = batch
        magnitude = self.model.magnitude(wav)
        if train and self.simulate and self.templates is not None:
            magnitude, roll = simulate_separation(
                magnitude, targets["roll"], targets["sounding"], self.templates, self.simulate
            )
            targets = {**targets, "roll": roll}
            if "onsets" in targets:
                kept = (roll.amax((-2, -1), keepdim=True) > 0).to(roll.dtype)
                targets["onsets"] = targets["onsets"] * kept
        return self.loss_func(self.model.logits(magnitude), targets)
