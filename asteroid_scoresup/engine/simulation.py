"""Step 1 hears what step 2 will make it hear: mixtures masked as a separator would."""

from __future__ import annotations

import torch
from asteroid.engine.system import System

#: Level of a class that is meant to be heard, and of one that is meant to be gone, in dB.
KEPT_DB, REMOVED_DB = (-12.0, 0.0), (-40.0, -25.0)


def simulate_separation(mixture, roll, sounding, templates, fraction=1.0):
    r"""Makes separated mixtures without a separator and without stems (our choice).

    Of a share of the clips, some classes are turned down by soft harmonic masks drawn from the
    score, as an imperfect separator would, and are struck from the labels; the others stay at
    random levels. Half of those clips then go through a fixed random filter, with gains that differ
    from bin to bin: a class must not be told by the color that a separator can give to anything.

    Without this a critic that reads stems well can be satisfied by masks that separate nothing
    (docs/experiments.md).

    Args:
        mixture (:class:`torch.Tensor`): Magnitudes.
        roll (:class:`torch.Tensor`): The score.
        sounding (:class:`torch.Tensor`): The score with sound tails, for the masks.
        templates (HarmonicTemplates): Draws the masks.
        fraction (float): Share of the clips that are changed.

    Shape:
        - mixture: :math:`(batch, freq, frames)`
        - roll, sounding: :math:`(batch, n\_src, 88, frames)`

    Returns:
        tuple: changed magnitudes and rolls.

    Examples
        >>> from asteroid_scoresup.score import HarmonicTemplates
        >>> roll = torch.zeros(2, 3, 88, 20)
        >>> roll[:, :, 40] = 1
        >>> heard, left = simulate_separation(
        ...     torch.ones(2, 129, 20), roll, roll, HarmonicTemplates(4000, 256))
        >>> heard.shape, bool((heard <= 1).all()), bool((left <= roll).all())
        (torch.Size([2, 129, 20]), True, True)
    """
    batch, n_src = roll.shape[:2]

    def uniform(*size, low=0.0, high=1.0):
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
    # What no note explains goes with the loudest class.
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
    r"""Step 1: Asteroid's ``System``, which imitates separation in training.

    Args:
        args, kwargs: See Asteroid's ``System``; the model is a
            :class:`~asteroid_scoresup.engine.TranscriptorTrainingWrapper`.
        templates (HarmonicTemplates): Draws the masks.
        simulate (float): Share of the training clips that :func:`simulate_separation` changes; 0
            for the paper's step 1. Validation hears mixtures only.
    """

    def __init__(self, *args, templates=None, simulate=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.templates, self.simulate = templates, simulate

    def common_step(self, batch, batch_nb, train=True):
        """See Asteroid's ``System``."""
        wav, targets = batch
        magnitude = self.model.magnitude(wav)
        if train and self.simulate:
            magnitude, roll = simulate_separation(
                magnitude, targets["roll"], targets["sounding"], self.templates, self.simulate
            )
            targets = {**targets, "roll": roll}
        return self.loss_func(self.model.transcriptor.outputs(magnitude), targets)
