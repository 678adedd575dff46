"""The losses of step 2 in one module that Asteroid's ``System`` can call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..checks.label_check import unpitched_indices
from ..dsp import STFT, Spectrograms
from ..models.checkpoint import read_transcriptor
from ..score import HarmonicTemplates
from .compatibility import require_dataset, require_same_stft, require_shapes
from .terms import TERMS, LossBatch, terms_that_need, terms_that_read

if TYPE_CHECKING:
    from ..data import ScoreDataset

#: How to get what a batch lacks.
_ADVICE = {
    "soft_masks": "The informed term reads targets['soft_masks']: give the dataset "
    "soft_masks=ScoreInformedMasks(...).",
    "onsets": "The notes term reads targets['onsets']: make the dataset with onsets=True.",
    "sources": "The terms with stems read targets['sources']: make the dataset with "
    "targets='both'.",
}


class ScoreSupervisedLoss(nn.Module):
    r"""Weighted sum of the losses that train a separator from scores (Hung et al. 2021, step 2).

    .. math:: L = w_{tr} \sum_i H(Y^{(i)}, T(\hat S_i)) + \alpha L_{c\text{-}mix}
        + \beta L_{h\text{-}mix} + \dots

    It accepts the output of our separators, :class:`~asteroid_scoresup.dsp.Spectrograms`, with no
    further STFT, and waveforms :math:`(batch, n\_src, time)` of any Asteroid model. The critic does
    not learn from this loss and stays in evaluation mode, whatever ``train()`` says; gradients pass
    through it to the separator.

    With ``residual="source"`` the model has one source more than the score has classes, as the
    last: what no class explains (drums, voices). The mixture losses assign to it what is left, and
    the critic should find no notes in it.

    Args:
        weights (dict): Weight of each term, by the names in
            :data:`~asteroid_scoresup.losses.terms.TERMS`: ``transcription``, ``clip``, ``frame``,
            ``harmonic``, ``soft_harmonic``, ``informed``; ``notes`` for separators that predict
            notes too; with stems ``magnitude_approximation``
            and ``mask_approximation``, and for models with waveforms as output ``si_sdr`` and
            ``multi_domain`` (X-UMX). Terms with weight 0 are not computed.
        stft (STFT): The STFT of the critic and of the rolls in the targets.
        critic (SpectrogramModel, optional): Transcriptor or activity classifier, for
            ``transcription``.
        templates (HarmonicTemplates, optional): For the harmonic terms.
        critic_classes (int, optional): How many classes of each clip the critic receives in a
            training step, drawn at random; None or 0 for all. In evaluation mode it receives all.
            One of three costs a third and gives the same loss on average.
        residual (bool or str): Whether mixtures contain more than the classes (a manifest whose
            ``mixture`` is ``"song"``): the mixture losses then let a part of them go unexplained.
            ``"source"``: the model has a source for it.
        dataset (ScoreDataset, optional): The training data. Classes, rate and STFT are compared
            with those of the loss, since no shape would reveal a mismatch.

    After each call ``last_terms`` contains the unweighted terms, for logging.

    Raises:
        ValueError: on an unknown term, one whose critic or templates are missing, or parts that do
            not belong together.

    Examples
        >>> loss = ScoreSupervisedLoss({"clip": 1.0}, STFT(512, 128, 8000))
        >>> estimates = torch.randn(2, 3, 4000)
        >>> targets = {"mixture": torch.randn(2, 4000), "roll": torch.ones(2, 3, 88, 32)}
        >>> loss(estimates, {**targets, "sounding": targets["roll"]}).shape
        torch.Size([])
    """

    def __init__(
        self,
        weights: dict[str, float],
        stft: STFT,
        critic: nn.Module | None = None,
        templates: HarmonicTemplates | None = None,
        critic_classes: int | None = None,
        residual: bool | str = False,
        dataset: ScoreDataset | None = None,
    ):
        super().__init__()
        unknown = set(weights) - set(TERMS)
        if unknown:
            raise ValueError(f"Unknown loss terms {sorted(unknown)}; there are {list(TERMS)}.")
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        if not self.weights:
            raise ValueError("Every loss weight is 0: nothing would be learned.")
        if critic is None and self.needs("critic"):
            raise ValueError("The transcription term needs a critic (the trained transcriptor).")
        if templates is None and self.needs("templates"):
            raise ValueError("The harmonic terms need templates (HarmonicTemplates).")
        if residual not in (False, True, "source"):
            raise ValueError(f"residual is False, True or 'source', found {residual!r}.")
        require_same_stft(stft, critic, templates)
        if dataset is not None:
            require_dataset(dataset, stft, critic, self.weights)
        self.stft, self.critic, self.templates = stft, critic, templates
        self.critic_classes, self.residual = critic_classes, residual
        self.has_residual = residual == "source"
        if critic is not None:
            critic.requires_grad_(False).eval()
        self.last_terms: dict[str, torch.Tensor] = {}

    @classmethod
    def from_transcriptor(
        cls,
        path: str | Path,
        weights: dict[str, float],
        dataset: ScoreDataset | None = None,
        **kwargs: Any,
    ) -> ScoreSupervisedLoss:
        """The loss with a trained transcriptor as critic; STFT and templates follow from it.

        Where the mixtures of the dataset are whole songs, which contain more than the classes, the
        default of `residual` is True.

        Args:
            path (str or Path): Model file of step 1, or one that contains a transcriptor.
            weights (dict): Weight of each term.
            dataset (ScoreDataset, optional): The training data, checked against the transcriptor.
            **kwargs: Further arguments of the class.

        Raises:
            FileNotFoundError, ValueError: if the file cannot be read or contains no transcriptor.
            ValueError: if dataset and transcriptor do not belong together.
        """
        critic, _ = read_transcriptor(path)
        stft = critic.stft
        unpitched = () if dataset is None else unpitched_indices(dataset.manifest.classes)
        kwargs.setdefault(
            "templates", HarmonicTemplates(critic.sample_rate, stft.n_fft, unpitched=unpitched)
        )
        if dataset is not None and dataset.manifest.mixture == "song":
            kwargs.setdefault("residual", True)
        try:
            return cls(weights, stft, critic, dataset=dataset, **kwargs)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def needs(self, *needs: str) -> bool:
        """Whether any term with a weight needs one of `needs`."""
        return bool(terms_that_need(*needs) & set(self.weights))

    def reads(self, *keys: str) -> bool:
        """Whether any term with a weight reads one of `keys` of the targets."""
        return bool(terms_that_read(*keys) & set(self.weights))

    def train(self, mode: bool = True) -> ScoreSupervisedLoss:
        """Leaves the critic in evaluation mode."""
        super().train(mode)
        if self.critic is not None:
            self.critic.eval()
        return self

    def spectrograms(self, est_targets: torch.Tensor | Spectrograms, targets: dict) -> Spectrograms:
        """Magnitudes of mixture and estimates, from spectrograms or waveforms."""
        if isinstance(est_targets, tuple):
            return Spectrograms(*est_targets[:2])
        mixture = self.stft.magnitude(self.stft(targets["mixture"]))
        return Spectrograms(mixture, self.magnitudes(est_targets))

    def magnitudes(self, waveforms: torch.Tensor) -> torch.Tensor:
        r"""Magnitudes of waveforms :math:`(batch, n\_src, time)`."""
        magnitude = self.stft.magnitude(self.stft(waveforms.flatten(0, 1)))
        return magnitude.unflatten(0, waveforms.shape[:2])

    def choose_classes(self, estimates: torch.Tensor) -> torch.Tensor | None:
        """The classes of each clip that the critic receives, or None for all."""
        batch, n_src = estimates.shape[:2]
        if not self.training or not self.critic_classes or self.critic_classes >= n_src:
            return None
        order = torch.rand(batch, n_src, device=estimates.device).argsort(1)
        return order[:, : self.critic_classes]

    def terms(
        self, est_targets: torch.Tensor | Spectrograms, targets: dict
    ) -> dict[str, torch.Tensor]:
        """The unweighted terms, each a scalar."""
        batch = LossBatch(self, est_targets, targets)
        has_waveforms = isinstance(est_targets, torch.Tensor)
        has_notes = not has_waveforms and len(est_targets) == 3
        self._require_targets(targets, has_waveforms, has_notes)
        require_shapes(est_targets)
        only_waveforms = set(self.weights) <= terms_that_need("waveforms")
        if isinstance(est_targets, torch.Tensor) and only_waveforms:
            # No term needs a spectrum.
            shape = (*est_targets.shape[:2], self.stft.n_frames(est_targets.shape[-1]))
        else:
            estimates = batch.estimates
            shape = (*estimates.shape[:2], estimates.shape[-1])
        self._require_same_size(shape, targets)
        return {name: TERMS[name].function(batch) for name in self.weights}

    def _require_same_size(self, shape, targets):
        expected = (shape[0], shape[1] - self.has_residual, shape[2])
        for name in ("roll", "sounding"):
            batch, n_src, *_, frames = targets[name].shape if name in targets else expected
            if (batch, n_src, frames) != expected:
                raise ValueError(
                    f"targets[{name!r}] has (batch, n_src, frames) = {(batch, n_src, frames)}, the "
                    f"estimates have {expected}{' and a residual' * self.has_residual}: dataset, "
                    "model and loss must have the same classes and the same STFT."
                )

    def _require_targets(self, targets, has_waveforms, has_notes):
        """Names the entries that a batch lacks, before one is looked up."""
        if not isinstance(targets, dict):
            raise ValueError(
                "The loss reads a dict of targets (ScoreDataset with targets='score' or 'both'), "
                f"found a {type(targets).__name__}."
            )
        if self.needs("waveforms") and not has_waveforms:
            raise ValueError(
                f"The terms {sorted(terms_that_need('waveforms'))} need waveforms, and this model "
                "gives magnitudes: use magnitude_approximation or mask_approximation."
            )
        if self.needs("notes") and not has_notes:
            raise ValueError(
                "The notes term needs a separator that predicts notes too: "
                "PitchSeparator(..., predicts_notes=True)."
            )
        keys = set().union(*(TERMS[name].reads for name in self.weights))
        if has_waveforms and set(self.weights) - terms_that_need("waveforms"):
            keys.add("mixture")
        if self.has_residual and self.reads("sources"):
            keys.add("mixture")
        missing = sorted(keys - set(targets))
        if missing:
            names = ", ".join(f"targets[{name!r}]" for name in missing)
            advice = " ".join(_ADVICE[name] for name in missing if name in _ADVICE)
            raise ValueError(
                advice
                or f"The loss with the terms {sorted(self.weights)} reads {names}; the batch has "
                f"{sorted(targets)}. ScoreDataset gives them with targets='score'."
            )

    def forward(self, est_targets: torch.Tensor | Spectrograms, targets: dict) -> torch.Tensor:
        r"""Weighted sum of the terms.

        Args:
            est_targets (Spectrograms or :class:`torch.Tensor`): Output of the model.
            targets (dict): ``mixture``, ``roll``, ``sounding`` (``soft_masks`` for ``informed``,
                ``onsets`` for ``notes``, ``sources`` for the terms that need stems), as
                :class:`~asteroid_scoresup.data.ScoreDataset` gives them.

        Returns:
            :class:`torch.Tensor`: Scalar.
        """
        terms = self.terms(est_targets, targets)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
