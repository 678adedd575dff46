"""The terms of a score-supervised loss, by the names that users give them.

A :class:`Term` says what it needs and how it is computed from one batch. The same names are used by
:class:`~asteroid_scoresup.losses.ScoreSupervisedLoss`, by the section ``loss`` of the recipe's
``conf.yml`` and in the logs. :func:`register_term` adds a term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad

from ..dsp import Spectrograms
from .masks import (
    informed_loss,
    magnitude_approximation_loss,
    mask_approximation_loss,
    mask_kl_loss,
)
from .mixture import clip_mixture_loss, frame_mixture_loss, harmonic_mixture_loss
from .transcription import note_loss, separated_transcription_loss
from .waveform import multi_domain_loss, si_sdr_loss

if TYPE_CHECKING:
    from .score_wrapper import ScoreSupervisedLoss

#: What a term may need of the loss and the model.
NEEDS = ("critic", "templates", "waveforms", "notes")
#: What a term may read of the targets of the dataset.
READS = ("mixture", "roll", "onsets", "sounding", "soft_masks", "sources")


class LossBatch:
    """One batch with the quantities that terms read, each computed on first use.

    Where the model has a source for the residual (``loss.residual == "source"``), the
    scores have one more class, which may always sound.

    Args:
        loss (ScoreSupervisedLoss): Holds STFT, critic and templates.
        est_targets (Spectrograms or :class:`torch.Tensor`): Output of the model.
        targets (dict): Targets of the dataset.
    """

    def __init__(
        self, loss: ScoreSupervisedLoss, est_targets: torch.Tensor | Spectrograms, targets: dict
    ):
        self.loss, self.est_targets, self.targets = loss, est_targets, targets
        self.residual = False if loss.has_residual else bool(loss.residual)

    @property
    def waveforms(self) -> torch.Tensor:
        r"""Estimated waveforms, :math:`(batch, n\_src, time)`."""
        assert isinstance(self.est_targets, torch.Tensor)  # checked by the loss
        return self.est_targets

    @cached_property
    def spectrograms(self) -> Spectrograms:
        """Magnitudes of mixture and estimates, from spectrograms or waveforms."""
        return self.loss.spectrograms(self.est_targets, self.targets)

    @property
    def estimates(self) -> torch.Tensor:
        r"""Estimated magnitudes, :math:`(batch, n\_src, freq, frames)`."""
        return self.spectrograms.sources

    @property
    def mixture(self) -> torch.Tensor:
        r"""Mixture magnitudes, :math:`(batch, freq, frames)`."""
        return self.spectrograms.mixture

    @cached_property
    def sounding(self) -> torch.Tensor:
        r"""The sounding roll, :math:`(batch, n\_src, 88, frames)`."""
        return self._with_residual(self.targets["sounding"])

    def _with_residual(self, roll):
        return pad(roll, (0, 0, 0, 0, 0, 1), value=1.0) if self.loss.has_residual else roll

    @cached_property
    def soft_masks(self) -> torch.Tensor:
        r"""Score-informed masks, :math:`(batch, n\_src, freq, frames)`."""
        return self.complete(self.targets["soft_masks"])

    def complete(self, masks: torch.Tensor) -> torch.Tensor:
        """Adds the mask of the residual, where there is a source for it."""
        if not self.loss.has_residual:
            return masks
        return torch.cat([masks, (1 - masks.sum(1, keepdim=True)).clamp(min=0)], 1)

    @cached_property
    def stem_waveforms(self) -> torch.Tensor:
        r"""Waveforms of the stems, :math:`(batch, n\_src, time)`."""
        stems = self.targets["sources"]
        if self.loss.has_residual:
            rest = self.targets["mixture"] - stems.sum(1)
            stems = torch.cat([stems, rest.unsqueeze(1)], 1)
        return stems

    @cached_property
    def stems(self) -> torch.Tensor:
        r"""Magnitudes of the stems, :math:`(batch, n\_src, freq, frames)`."""
        return self.loss.magnitudes(self.stem_waveforms)


#: Computes a term of one batch, a scalar.
TermFunction = Callable[[LossBatch], torch.Tensor]


@dataclass(frozen=True)
class Term:
    """One term of the loss.

    Args:
        name (str): Its name in settings, logs and `weights`.
        reads (frozenset of str): What it reads of the targets, of :data:`READS`.
        needs (frozenset of str): What it needs besides them, of :data:`NEEDS`.
        function (callable): :class:`LossBatch` → scalar.
    """

    name: str
    reads: frozenset
    needs: frozenset
    function: TermFunction


#: All terms by name.
TERMS: dict[str, Term] = {}


def register_term(
    name: str, reads: Iterable[str] = (), needs: Iterable[str] = ()
) -> Callable[[TermFunction], TermFunction]:
    """Decorator that makes a function of a :class:`LossBatch` a term.

    Args:
        name (str): Name of the term.
        reads (sequence of str): What it reads of the targets, of :data:`READS`.
        needs (sequence of str): What it needs of loss and model, of :data:`NEEDS`.

    Raises:
        ValueError: if the name is taken, or something is read or needed that does not exist.

    Examples
        >>> @register_term("quiet")
        ... def quiet(batch):
        ...     return batch.estimates.mean()
        >>> TERMS.pop("quiet").needs
        frozenset()
    """
    reads, needs = frozenset(reads), frozenset(needs)
    if name in TERMS:
        raise ValueError(f"There is a loss term {name!r} already.")
    for found, known in ((reads, READS), (needs, NEEDS)):
        if found - set(known):
            raise ValueError(f"Unknown {sorted(found - set(known))}; expected some of {known}.")

    def register(function: TermFunction) -> TermFunction:
        TERMS[name] = Term(name, reads, needs, function)
        return function

    return register


def terms_that_need(*needs: str) -> set[str]:
    """Names of the terms that need any of `needs`.

    Examples
        >>> sorted(terms_that_need("waveforms"))
        ['multi_domain', 'si_sdr']
    """
    return {name for name, term in TERMS.items() if term.needs & set(needs)}


def terms_that_read(*keys: str) -> set[str]:
    """Names of the terms that read any of `keys` of the targets.

    Examples
        >>> sorted(terms_that_read("soft_masks"))
        ['informed']
    """
    return {name for name, term in TERMS.items() if term.reads & set(keys)}


@register_term("transcription", reads=["roll"], needs=["critic"])
def _transcription(batch):
    classes = batch.loss.choose_classes(batch.estimates)
    critic = batch.loss.critic.outputs
    return separated_transcription_loss(critic, batch.estimates, batch.targets["roll"], classes)


@register_term("notes", reads=["roll", "onsets"], needs=["notes"])
def _notes(batch):
    return note_loss(batch.est_targets[2], batch.targets)


@register_term("clip", reads=["sounding"])
def _clip(batch):
    return clip_mixture_loss(batch.estimates, batch.mixture, batch.sounding, batch.residual)


@register_term("frame", reads=["sounding"])
def _frame(batch):
    return frame_mixture_loss(batch.estimates, batch.mixture, batch.sounding, batch.residual)


@register_term("harmonic", reads=["sounding"], needs=["templates"])
def _harmonic(batch):
    return harmonic_mixture_loss(
        batch.estimates,
        batch.mixture,
        batch.sounding,
        batch.loss.templates,
        residual=batch.residual,
    )


@register_term("soft_harmonic", reads=["sounding"], needs=["templates"])
def _soft_harmonic(batch):
    masks = batch.complete(batch.loss.templates.soft_mask(batch.targets["sounding"]))
    return mask_kl_loss(
        batch.estimates, batch.mixture, masks, batch.sounding, residual=batch.residual
    )


@register_term("informed", reads=["sounding", "soft_masks"])
def _informed(batch):
    return informed_loss(
        batch.estimates, batch.mixture, batch.soft_masks, batch.sounding, batch.residual
    )


@register_term("magnitude_approximation", reads=["sources"])
def _magnitude_approximation(batch):
    return magnitude_approximation_loss(batch.estimates, batch.stems, batch.mixture)


@register_term("mask_approximation", reads=["sources", "sounding"])
def _mask_approximation(batch):
    return mask_approximation_loss(
        batch.estimates, batch.stems, batch.mixture, batch.sounding, batch.residual
    )


@register_term("si_sdr", reads=["sources"], needs=["waveforms"])
def _si_sdr(batch):
    return si_sdr_loss(batch.waveforms, batch.stem_waveforms)


@register_term("multi_domain", reads=["sources", "mixture"], needs=["waveforms"])
def _multi_domain(batch):
    return multi_domain_loss(
        batch.waveforms,
        batch.stem_waveforms,
        batch.targets["mixture"],
        lambda wav: batch.loss.stft(wav).abs(),
    )
