"""Separators and losses from plain settings, and the checks of what belongs together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ..data import Manifest
from ..losses import ScoreSupervisedLoss, SemiSupervisedLoss, terms_that_read
from ..models import (
    PitchSeparator,
    SourceModel,
    SpectrogramModel,
    TCNSeparator,
    WaveformSeparator,
)
from ..score import HarmonicTemplates


def build_separator(
    kind: str,
    network: dict[str, Any],
    mask_act: str = "sigmoid",
    trunk: SpectrogramModel | None = None,
) -> TCNSeparator | WaveformSeparator:
    """Makes an untrained separator.

    Args:
        kind (str): ``"tcn"``, ``"pitch"``, or a model of
            :class:`~asteroid_scoresup.models.WaveformSeparator` in its published size.
        network (dict): Arguments of :class:`~asteroid_scoresup.models.TCNSeparator` or
            :class:`~asteroid_scoresup.models.PitchSeparator`; of these
            ``sources``, ``sample_rate`` and, for ``"OpenUnmix"``, the STFT apply to all kinds.
        mask_act (str): ``"sigmoid"`` or ``"softmax"`` masks of ``"tcn"`` and ``"pitch"``.
        trunk (SpectrogramModel, optional): Whose layers these start from.

    Returns:
        TCNSeparator or WaveformSeparator
    """
    if kind in ("tcn", "pitch"):
        cls = TCNSeparator if kind == "tcn" else PitchSeparator
        separator = cls(mask_act=mask_act, **network)
        if trunk is not None:
            separator.load_trunk(trunk)
        return separator
    keys = ("n_fft", "hop_length") if kind == "OpenUnmix" else ()
    sizes = {key: network[key] for key in keys}
    return WaveformSeparator(network["sources"], kind, sizes, network["sample_rate"])


def read_separator(path: str | Path) -> TCNSeparator | WaveformSeparator:
    """Reads a separator of any kind from its model file.

    Raises:
        ValueError: if the file cannot be read, or contains something else.
    """
    model = SourceModel.from_pretrained(path)
    if not isinstance(model, (TCNSeparator, WaveformSeparator)):
        raise ValueError(f"{path} contains a {type(model).__name__}, which is not a separator.")
    return model


def require_match(model: SourceModel, manifest: Manifest, n_fft: int, hop_length: int) -> None:
    """Refuses a model for other classes, another sample rate or another STFT than the data.

    Args:
        model (SourceModel): The model.
        manifest (Manifest): The prepared data.
        n_fft, hop_length (int): The STFT, which models of waveforms need not share.

    Raises:
        ValueError: if they differ.
    """
    found: list[Any] = [list(model.sources), model.sample_rate]
    expected: list[Any] = [list(manifest.names), manifest.sample_rate]
    what = "classes, Hz"
    if not isinstance(model, WaveformSeparator):
        found += [model.stft.n_fft, model.stft.hop_length]
        expected += [n_fft, hop_length]
        what += ", n_fft, hop"
    if found != expected:
        raise ValueError(
            f"The {type(model).__name__} is for ({what}) = {tuple(found)}, data and settings have "
            f"{tuple(expected)}."
        )


def build_loss(
    weights: dict[str, float],
    critic: SpectrogramModel,
    templates: HarmonicTemplates,
    critic_classes: int = 0,
    residual: bool = False,
    semi: bool = False,
) -> nn.Module:
    """Makes the loss of step 2 from the weights of its terms.

    Args:
        weights (dict): Weight of each term, see
            :class:`~asteroid_scoresup.losses.ScoreSupervisedLoss`; zeros are allowed.
        critic (SpectrogramModel): Gives the STFT, and is the critic of ``transcription``; without
            this term it can be the separator itself.
        templates (HarmonicTemplates): For the harmonic terms.
        critic_classes (int): Classes of each segment that the critic receives; 0 for all.
        residual (bool): Whether mixtures contain more than the classes.
        semi (bool): Whether only some segments have stems: terms that read stems apply to
            those, the other terms to the rest, see
            :class:`~asteroid_scoresup.losses.SemiSupervisedLoss`.

    Returns:
        ScoreSupervisedLoss or SemiSupervisedLoss
    """

    def loss_of(chosen: dict[str, float]) -> ScoreSupervisedLoss:
        receiver = critic if chosen.get("transcription") else None
        return ScoreSupervisedLoss(
            chosen, critic.stft, receiver, templates, critic_classes, residual=residual
        )

    if not semi:
        return loss_of(weights)
    stems = terms_that_read("sources")
    return SemiSupervisedLoss(
        loss_of({name: weight for name, weight in weights.items() if name not in stems}),
        loss_of({name: weight for name, weight in weights.items() if name in stems}),
    )
