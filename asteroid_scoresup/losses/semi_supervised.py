"""Batches in which some examples have stems and the others have scores only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..dsp import Spectrograms
from .score_wrapper import ScoreSupervisedLoss


class SemiSupervisedLoss(nn.Module):
    r"""The examples with stems learn from stems, the others from scores (our choice).

    .. math:: L = \frac{1}{B} ( \sum_{b \notin \mathcal{S}} L_{score}(b)
        + w \sum_{b \in \mathcal{S}} L_{stems}(b) )

    :math:`\mathcal{S}` are the examples whose ``targets["has_stems"]`` is true, see
    ``ScoreDataset(targets="both", stem_fraction=...)``. A loss without examples is not computed.

    Args:
        score_loss (ScoreSupervisedLoss): For the examples without stems.
        stem_loss (callable): For those with stems: a :class:`ScoreSupervisedLoss` with a term of
            stems, or any loss of Asteroid that takes ``(estimates, sources)`` waveforms, such as
            ``asteroid.losses.multisrc_neg_sisdr``. A loss per example is averaged.
        stem_weight (float): Weight :math:`w`.

    After each call ``last_terms`` contains the terms of both, those of the stems as ``stems_…``,
    for logging.

    Examples
        >>> from asteroid.losses import multisrc_neg_sisdr
        >>> from asteroid_scoresup.dsp import STFT
        >>> from asteroid_scoresup.losses import ScoreSupervisedLoss
        >>> score = ScoreSupervisedLoss({"clip": 1.0}, STFT(512, 128, 8000))
        >>> loss = SemiSupervisedLoss(score, multisrc_neg_sisdr)
        >>> roll = torch.ones(2, 3, 88, 32)
        >>> targets = {"mixture": torch.randn(2, 4000), "roll": roll, "sounding": roll,
        ...            "sources": torch.randn(2, 3, 4000), "has_stems": torch.tensor([True, False])}
        >>> loss(torch.randn(2, 3, 4000), targets).shape, sorted(loss.last_terms)
        (torch.Size([]), ['clip', 'stems_loss'])
    """

    def __init__(
        self,
        score_loss: ScoreSupervisedLoss,
        stem_loss: Callable[..., torch.Tensor],
        stem_weight: float = 1.0,
    ):
        super().__init__()
        self.score_loss, self.stem_loss = score_loss, stem_loss
        self.stem_weight = float(stem_weight)
        self.last_terms: dict[str, torch.Tensor] = {}

    def forward(self, est_targets: torch.Tensor | Spectrograms, targets: dict) -> torch.Tensor:
        """Mean over the examples.

        Args:
            est_targets (Spectrograms or :class:`torch.Tensor`): Output of the model.
            targets (dict): See :class:`ScoreSupervisedLoss`, with ``has_stems``
                :math:`(batch,)` and ``sources`` :math:`(batch, n\\_src, time)`; sources of examples
                without stems are ignored.

        Returns:
            :class:`torch.Tensor`: Scalar.

        Raises:
            ValueError: in training, if `targets` has no ``has_stems``. In validation, the loss of
                the scores is then used for all examples.
        """
        if self.training and not {"has_stems", "sources"} <= set(targets):
            raise ValueError(
                "Semi-supervised batches need targets['has_stems'] and targets['sources']: make "
                "the dataset with targets='both' and a stem_fraction."
            )
        if "has_stems" not in targets and "roll" not in targets:
            raise ValueError(
                "The batch has neither targets['roll'] nor targets['has_stems']: make the dataset "
                "with targets='score' or targets='both'."
            )
        has_stems = targets.get("has_stems")
        if has_stems is None:
            has_stems = targets["roll"].new_zeros(len(targets["roll"]), dtype=torch.bool)
        self.last_terms = {}
        total = has_stems.new_zeros((), dtype=torch.float32)
        if not has_stems.all():
            part = self.score_loss(*_select(est_targets, targets, ~has_stems))
            self.last_terms.update(self.score_loss.last_terms)
            total = total + (~has_stems).float().mean() * part
        if has_stems.any():
            estimates, chosen = _select(est_targets, targets, has_stems)
            if isinstance(self.stem_loss, ScoreSupervisedLoss):
                part = self.stem_loss(estimates, chosen)
                terms = self.stem_loss.last_terms
            else:
                part = self.stem_loss(estimates, chosen["sources"]).mean()
                terms = {"loss": part.detach()}
            self.last_terms.update({f"stems_{name}": value for name, value in terms.items()})
            total = total + has_stems.float().mean() * self.stem_weight * part
        return total


def _select(est_targets, targets, chosen):
    """The examples of a batch for which `chosen` is true."""
    if isinstance(est_targets, tuple):
        est_targets = tuple(part[chosen] for part in est_targets)
    else:
        est_targets = est_targets[chosen]
    return est_targets, {name: value[chosen] for name, value in targets.items()}
