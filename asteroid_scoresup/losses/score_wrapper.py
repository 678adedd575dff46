"""The losses of step 2 in one module that Asteroid's ``System`` can call."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad

from ..dsp import Spectrograms
from ..models.checkpoint import read_transcriptor
from ..score import HarmonicTemplates
from .clip_mixture import clip_mixture_loss
from .compatibility import require_dataset, require_same_stft
from .frame_mixture import frame_mixture_loss
from .harmonic_mixture import harmonic_mixture_loss
from .mixture import sharing_loss
from .multi_domain import multi_domain_loss, si_sdr_loss
from .stems import stem_loss, stem_share_loss
from .transcription import separated_transcription_loss

#: Names that `weights` may use.
TERMS = (
    "transcription",
    "clip",
    "frame",
    "harmonic",
    "soft_harmonic",
    "informed",
    "stems",
    "stem_shares",
    "si_sdr",
    "multi_domain",
)
#: Those that compare with stems, and those of them that need waveforms.
STEM_TERMS = {"stems", "stem_shares", "si_sdr", "multi_domain"}
WAVEFORM_TERMS = {"si_sdr", "multi_domain"}
#: What each term reads of the targets, beside the waveforms.
_READS = {
    "transcription": {"roll"},
    "clip": {"roll"},
    "frame": {"sounding"},
    "harmonic": {"sounding"},
    "soft_harmonic": {"sounding"},
    "informed": {"share", "sounding"},
    "stems": {"sources"},
    "stem_shares": {"sources", "sounding"},
    "si_sdr": {"sources"},
    "multi_domain": {"sources", "mixture"},
}
#: Where a missing entry of the targets comes from.
_ADVICE = {
    "share": "The informed term needs targets['share']: give the dataset shares=InformedShares.",
    "sources": "The terms of stems need targets['sources']: make the dataset with targets='both'.",
}


class ScoreSupervisedLoss(nn.Module):
    r"""Weighted sum of the losses that teach a separator from scores (Hung et al. 2021, step 2).

    .. math:: L = w_{tr} \sum_i H(Y^{(i)}, T(\hat S_i)) + \alpha L_{c\text{-}mix}
        + \beta L_{h\text{-}mix} + \dots

    It takes what the model gives: :class:`~asteroid_scoresup.dsp.Spectrograms` from our
    separator, with no STFT in between, or waveforms :math:`(batch, n\_src, time)` from any
    Asteroid model, which get the STFT here. The critic never learns from this loss and stays in
    evaluation mode, whatever ``train()`` says; gradients pass through it to the separator.

    With ``residual="source"`` the model gives one source more than the score has classes, as the
    last: what no class explains (drums, voices). The mixture losses let it carry what is left, and
    the critic is to hear nothing in it.

    Args:
        weights (dict): Weight per term; terms with weight 0 or left out are not computed. Terms:
            ``transcription``, ``clip``, ``frame``, ``harmonic``, ``soft_harmonic``, ``informed``
            and, where there are stems, ``stems``, ``stem_shares`` and, for models that give
            waveforms, ``si_sdr`` and ``multi_domain`` (X-UMX).
        stft (STFT): The STFT of the critic, and of the rolls in the targets.
        critic (SpectrogramModel, optional): Transcriptor or activity classifier; needed by
            ``transcription``.
        templates (HarmonicTemplates, optional): Needed by the harmonic terms.
        classes_heard (int, optional): How many classes of each clip the critic hears in a
            training step, drawn at random; None or 0 for all. It always hears all in evaluation
            mode. Hearing one of three costs a third and is the same loss on average.

        residual (bool or str): Whether mixtures have more in them than the classes (a manifest
            whose ``mixture`` is ``"song"``): then the mixture losses let a part of them go
            unexplained. ``"source"``: the model has a source for it.
        dataset (SlakhDataset, optional): What the loss is to be trained with: classes, rate and
            STFT are compared, which no shape would tell.

    After each call ``last_terms`` holds the unweighted terms, for logging.

    Raises:
        ValueError: on an unknown term, one whose critic or templates are missing, or parts that do
            not belong together.

    Examples
        >>> from asteroid_scoresup.models import STFT
        >>> loss = ScoreSupervisedLoss({"clip": 1.0}, STFT(512, 128, 8000))
        >>> estimates = torch.randn(2, 3, 4000)
        >>> targets = {"mixture": torch.randn(2, 4000), "roll": torch.ones(2, 3, 88, 32)}
        >>> loss(estimates, {**targets, "sounding": targets["roll"]}).shape
        torch.Size([])
    """

    def __init__(
        self,
        weights,
        stft,
        critic=None,
        templates=None,
        classes_heard=None,
        residual=False,
        dataset=None,
    ):
        super().__init__()
        unknown = set(weights) - set(TERMS)
        if unknown:
            raise ValueError(f"Unknown loss terms {sorted(unknown)}; there are {list(TERMS)}.")
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        if not self.weights:
            raise ValueError("Every loss weight is 0: nothing would be learned.")
        if "transcription" in self.weights and critic is None:
            raise ValueError("The transcription term needs a critic (the trained transcriptor).")
        if templates is None and {"harmonic", "soft_harmonic"} & set(self.weights):
            raise ValueError("The harmonic terms need templates (HarmonicTemplates).")
        require_same_stft(stft, critic, templates)
        if dataset is not None:
            require_dataset(dataset, stft, critic, self.weights)
        self.stft, self.critic, self.templates = stft, critic, templates
        if residual not in (False, True, "source"):
            raise ValueError(f"residual is False, True or 'source', found {residual!r}.")
        self.classes_heard, self.residual = classes_heard, residual
        self.has_residual = residual == "source"
        if critic is not None:
            critic.requires_grad_(False).eval()
        self.last_terms = {}

    @classmethod
    def from_transcriptor(cls, path, weights, dataset=None, **kwargs):
        """The loss of a trained transcriptor: STFT and harmonic templates follow from it.

        Where the dataset's mixtures are whole songs, with more in them than the classes, the
        mixture losses let that go unexplained (``residual=True``) if nothing else is asked for.

        Args:
            path (str or Path): Model file of step 1, or one that has a transcriptor packed in it.
            weights (dict): Weight per term.
            dataset (SlakhDataset, optional): The training data; checked against the transcriptor.
            **kwargs: Further arguments of the class.

        Returns:
            ScoreSupervisedLoss

        Raises:
            FileNotFoundError, ValueError: if the file cannot be read or holds no transcriptor.
            ValueError: if dataset and transcriptor do not belong together.
        """
        critic, _ = read_transcriptor(path)
        stft = critic.stft
        kwargs.setdefault("templates", HarmonicTemplates(critic.sample_rate, stft.n_fft))
        if dataset is not None and dataset.manifest.mixture == "song":
            kwargs.setdefault("residual", True)
        try:
            return cls(weights, stft, critic, dataset=dataset, **kwargs)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def train(self, mode=True):
        """Trains nothing of the critic: its mode stays evaluation."""
        super().train(mode)
        if self.critic is not None:
            self.critic.eval()
        return self

    def spectrograms(self, est_targets, targets):
        """Magnitudes of mixture and estimates, whatever the model gave."""
        if isinstance(est_targets, (Spectrograms, tuple)):
            return Spectrograms(*est_targets)
        return Spectrograms(
            self.stft.magnitude(self.stft(targets["mixture"])), self._magnitudes(est_targets)
        )

    def _magnitudes(self, waveforms):
        magnitude = self.stft.magnitude(self.stft(waveforms.flatten(0, 1)))
        return magnitude.unflatten(0, waveforms.shape[:2])

    def _heard(self, sources):
        """The sources that the critic hears of each clip, or None for all."""
        batch, n_src = sources.shape[:2]
        if not self.training or not self.classes_heard or self.classes_heard >= n_src:
            return None
        order = torch.rand(batch, n_src, device=sources.device).argsort(1)
        return order[:, : self.classes_heard]

    def terms(self, est_targets, targets):
        """The unweighted terms, as a dict of scalars."""
        has_waveforms = isinstance(est_targets, torch.Tensor)
        self._require_targets(targets, has_waveforms)
        _require_dims(est_targets)
        if has_waveforms and not set(self.weights) - WAVEFORM_TERMS:
            mixture = sources = None  # no term looks at spectra
            n_frames = self.stft.n_frames(est_targets.shape[-1])
            self._check((*est_targets.shape[:2], n_frames), targets, True)
        else:
            mixture, sources = self.spectrograms(est_targets, targets)
            self._check((*sources.shape[:2], sources.shape[-1]), targets, has_waveforms)
        roll, sounding = targets.get("roll"), targets.get("sounding")
        residual = self.residual
        if self.has_residual:
            # The residual may always sound, and anywhere.
            residual = False
            roll, sounding = (
                score if score is None else pad(score, (0, 0, 0, 0, 0, 1), value=1.0)
                for score in (roll, sounding)
            )

        def shared_out(share):
            if self.has_residual:
                share = torch.cat([share, (1 - share.sum(1, keepdim=True)).clamp(min=0)], 1)
            return sharing_loss(sources, mixture, share, sounding, residual=residual)

        def references():
            waveforms = targets["sources"]
            if self.has_residual:
                rest = targets["mixture"] - waveforms.sum(1)
                waveforms = torch.cat([waveforms, rest.unsqueeze(1)], 1)
            return waveforms

        def stems():
            return self._magnitudes(references())

        def plain_magnitude(wav):
            return self.stft(wav).abs()

        compute = {
            "transcription": lambda: separated_transcription_loss(
                self.critic.outputs, sources, targets["roll"], self._heard(sources)
            ),
            "clip": lambda: clip_mixture_loss(sources, mixture, sounding, residual),
            "frame": lambda: frame_mixture_loss(sources, mixture, sounding, residual),
            "harmonic": lambda: harmonic_mixture_loss(
                sources, mixture, sounding, self.templates, residual=residual
            ),
            "soft_harmonic": lambda: shared_out(self.templates.soft_mask(targets["sounding"])),
            "informed": lambda: shared_out(targets["share"]),
            "stems": lambda: stem_loss(sources, stems(), mixture),
            "stem_shares": lambda: stem_share_loss(sources, stems(), mixture, sounding, residual),
            "si_sdr": lambda: si_sdr_loss(est_targets, references()),
            "multi_domain": lambda: multi_domain_loss(
                est_targets, references(), targets["mixture"], plain_magnitude
            ),
        }
        return {name: compute[name]() for name in self.weights}

    def _check(self, found, targets, has_waveforms):
        wanted = (found[0], found[1] - self.has_residual, found[2])
        for name in ("roll", "sounding"):
            batch, n_src, *_, frames = targets[name].shape if name in targets else wanted
            if (batch, n_src, frames) != wanted:
                raise ValueError(
                    f"targets[{name!r}] has (batch, n_src, frames) = {(batch, n_src, frames)}, the "
                    f"estimates have {wanted}{' and a residual' * self.has_residual}: dataset, "
                    "model and loss must have the same classes and the same STFT."
                )
        if WAVEFORM_TERMS & set(self.weights) and not has_waveforms:
            raise ValueError(
                f"The terms {sorted(WAVEFORM_TERMS)} need waveforms, and this model gives "
                "magnitudes: use stems or stem_shares."
            )

    def _require_targets(self, targets, has_waveforms):
        """Says which entries a batch lacks, before one is looked up."""
        if not isinstance(targets, dict):
            raise ValueError(
                "The loss reads a dict of targets (SlakhDataset with targets='score' or 'both'), "
                f"found a {type(targets).__name__}."
            )
        needed = set().union(*(_READS[name] for name in self.weights))
        if has_waveforms and set(self.weights) - WAVEFORM_TERMS:
            needed.add("mixture")
        if self.has_residual and STEM_TERMS & set(self.weights):
            needed.add("mixture")
        missing = sorted(needed - set(targets))
        if missing:
            names = ", ".join(f"targets[{name!r}]" for name in missing)
            advice = " ".join(_ADVICE[name] for name in missing if name in _ADVICE)
            raise ValueError(
                advice
                or f"The loss with the terms {sorted(self.weights)} needs {names}; the batch has "
                f"{sorted(targets)}. SlakhDataset gives them with targets='score'."
            )

    def forward(self, est_targets, targets):
        r"""Weighted sum of the terms.

        Args:
            est_targets (Spectrograms or :class:`torch.Tensor`): What the model gave.
            targets (dict): ``mixture``, ``roll``, ``sounding`` (``share`` for ``informed``,
                ``sources`` for the terms of stems), as
                :class:`~asteroid_scoresup.data.SlakhDataset` gives them.

        Returns:
            :class:`torch.Tensor`: Scalar.
        """
        terms = self.terms(est_targets, targets)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


def _require_dims(est_targets):
    """Refuses estimates of a wrong number of dimensions, which broadcasting would hide."""
    if isinstance(est_targets, torch.Tensor):
        if est_targets.ndim != 3:
            raise ValueError(
                f"Expected waveforms of shape (batch, n_src, time), found "
                f"{tuple(est_targets.shape)}."
            )
        return
    if not isinstance(est_targets, tuple) or len(est_targets) != 2:
        raise ValueError(
            "Expected waveforms of shape (batch, n_src, time) or Spectrograms of a mixture and its "
            f"sources, found a {type(est_targets).__name__}."
        )
    mixture, sources = est_targets
    if mixture.ndim != 3 or sources.ndim != 4 or sources[:, 0].shape != mixture.shape:
        raise ValueError(
            "Expected Spectrograms of shapes (batch, freq, frames) and (batch, n_src, freq, "
            f"frames), found {tuple(mixture.shape)} and {tuple(sources.shape)}."
        )
