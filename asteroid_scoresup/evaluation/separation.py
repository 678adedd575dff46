r"""Separation on whole tracks: SI-SDR, its improvement, and the leakage into silent classes.

Conventions, and what they do to the numbers:

- **SI-SDR** is Asteroid's (:class:`asteroid.losses.SingleSrcNegSDR`, the formula of
  ``asteroid.metrics.get_metrics``), on whole tracks, in float64. Both first subtract the means
  of estimate and reference, which Le Roux et al. (2019) and torchmetrics' default do not: an
  offset of 1 % of a signal's RMS is noise at -40 dB, so it changes a 10 dB score by less than
  0.005 dB. Both signals are then scaled to unit RMS: Asteroid adds 1e-8 to every energy, which
  would make the score of a very quiet track depend on its level. Tracks of ordinary level change
  by less than 1e-4 dB.
- **SI-SDR is clipped to ±30 dB** (:data:`LIMIT_DB`). Asteroid gives about +140 dB where only one
  class plays and the mixture *is* the reference, and -80 dB for an estimate without any of the
  target: one such track dominates a mean over a hundred. Beyond a power ratio of 1000 the score
  measures rounding, not separation. The paper's scores are far below (best: 11.1 dB).
- **Silence is measured without the mean**, too: a constant offset is inaudible, and a stem that
  consists of nothing else is silent. Leakage is measured the same way.
- **A silent stem has no score.** A stem is silent if it is more than 60 dB below the mixture
  (:data:`SILENCE_DB`; for :func:`si_sdr` alone, which has no mixture, if its RMS is below
  :data:`SILENCE_RMS`). Its SI-SDR is NaN, it is left out of every mean and counted, and its
  *leakage* is measured instead: the level of the estimate relative to the mixture, in dB, not
  below -80 dB (:data:`LEAKAGE_FLOOR_DB`).
- **A silent estimate of a stem that sounds** (all zeros) has an undefined SI-SDR; it gets the
  lower limit, -30 dB, and is flagged (``silent_estimate``), so that a model cannot gain by muting a
  class. Only zeros, or a constant, count as silence here: a quiet estimate is as good as a loud
  one.
- **SDR** (BSS-eval version 3, ``mir_eval.separation``, which allows for any 512-tap filter) is
  optional: mir_eval removes it in 0.9.

All thresholds are our choice: the paper does not state any.

References
    Le Roux, Wisdom, Erdogan and Hershey, "SDR - half-baked or well done?", ICASSP 2019.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from asteroid.losses.sdr import SingleSrcNegSDR

#: SI-SDR is clipped to plus or minus this many dB.
LIMIT_DB = 30.0
#: Level relative to the mixture, in dB, below which a stem is silent.
SILENCE_DB = -60.0
#: RMS below which a reference is silent if the mixture is unknown: -60 dB for a mixture of RMS 0.1.
SILENCE_RMS = 1e-4
#: Lowest leakage that is reported, in dB, also for an estimate of zeros.
LEAKAGE_FLOOR_DB = -80.0

_SILENT_ESTIMATE_RMS = 1e-10
ArrayLike: TypeAlias = np.ndarray | torch.Tensor
_NEG_SI_SDR = SingleSrcNegSDR("sisdr", zero_mean=True, reduction="none")


def si_sdr(
    estimate: ArrayLike,
    reference: ArrayLike,
    silence_rms: float = SILENCE_RMS,
    limit_db: float = LIMIT_DB,
) -> np.ndarray:
    r"""Scale-invariant signal-to-distortion ratio, defined for silent signals too.

    Args:
        estimate (array or :class:`torch.Tensor`): Estimated signals.
        reference (array or :class:`torch.Tensor`): True signals; broadcast against `estimate`.
        silence_rms (float): RMS (full scale is 1) below which a reference is silent.
        limit_db (float): The result is clipped to plus or minus this many dB.

    Shape:
        - estimate, reference: :math:`(..., time)`
        - output: :math:`(...)`

    Returns:
        :class:`numpy.ndarray`: float64, in dB; NaN where the reference is silent, `-limit_db` where
        only the estimate is silent.

    Raises:
        ValueError: if the signals differ in length, are empty, or contain NaN or infinite samples.

    Examples
        >>> reference = np.sin(np.arange(16000) / 10)
        >>> noise = np.cos(np.arange(16000) / 10)
        >>> si_sdr(reference + 0.1 * noise, reference).round(2)
        np.float64(20.0)
        >>> si_sdr(reference, np.zeros(16000)), si_sdr(np.zeros(16000), reference)
        (np.float64(nan), np.float64(-30.0))
    """
    estimate, reference = _signal(estimate, "The estimate"), _signal(reference, "The reference")
    if estimate.shape[-1] != reference.shape[-1]:
        raise ValueError(
            f"The estimate has {estimate.shape[-1]} samples, the reference "
            f"{reference.shape[-1]}: cut or pad one of them first."
        )
    shape = torch.broadcast_shapes(estimate.shape, reference.shape)
    estimate, reference = _centered(estimate), _centered(reference)
    silent_reference = (_rms(reference) < silence_rms).expand(shape[:-1])
    silent_estimate = (_rms(estimate) < _SILENT_ESTIMATE_RMS).expand(shape[:-1])

    estimate, reference = (
        (x / _rms(x).clamp(min=_SILENT_ESTIMATE_RMS)[..., None]).expand(shape)
        for x in (estimate, reference)
    )
    flat = (x.reshape(-1, shape[-1]) for x in (estimate, reference))
    value = -_NEG_SI_SDR(*flat).view(shape[:-1])
    value = value.clamp(-limit_db, limit_db)
    value = value.masked_fill(silent_estimate, -limit_db)
    return value.masked_fill(silent_reference, float("nan")).numpy()[()]


def separation_scores(
    stems: Mapping[str, ArrayLike],
    estimates: Mapping[str, ArrayLike],
    mixture: ArrayLike,
    silence_db: float = SILENCE_DB,
    limit_db: float = LIMIT_DB,
    sdr: bool = False,
) -> list[dict]:
    r"""Scores of one track, one row per class.

    Args:
        stems (dict of str to array): The true stems by class, each of shape :math:`(time,)`.
        estimates (dict of str to array): The estimates, with the same keys and shapes.
        mixture (array): The mixture, shape :math:`(time,)`.
        silence_db (float): Level relative to the mixture, in dB, below which a stem is silent.
        limit_db (float): SI-SDR and SDR are clipped to plus or minus this many dB.
        sdr (bool): Whether to compute BSS-eval's SDR too (needs ``mir_eval<0.9``).

    Returns:
        list of dict: per class, in the order of `stems`: ``instrument``; ``si_sdr``,
        ``input_si_sdr`` (the mixture taken as the estimate) and ``si_sdr_imp`` (their
        difference), in dB, NaN for a silent class; ``leakage_db``, NaN for a class that sounds;
        ``silent``, ``silent_estimate`` (bool). With `sdr` also ``sdr``, ``input_sdr``, ``sdr_imp``.

    Raises:
        ValueError: if the classes or lengths do not match, or samples are NaN or infinite.

    Examples
        >>> t = np.arange(16000) / 16000
        >>> bass, piano = np.sin(2 * np.pi * 80 * t), np.sin(2 * np.pi * 440 * t)
        >>> rows = separation_scores({"bass": bass, "piano": piano, "guitar": 0 * t},
        ...                          {"bass": bass + 0.1 * piano, "piano": piano + 0.1 * bass,
        ...                           "guitar": 0.1 * bass}, bass + piano)
        >>> [round(float(row["si_sdr_imp"]), 1) for row in rows]
        [20.0, 20.0, nan]
        >>> round(rows[2]["leakage_db"], 1)
        -23.0
    """
    if not stems:
        raise ValueError("There are no stems to score against.")
    if set(stems) != set(estimates):
        raise ValueError(
            f"The stems are {sorted(stems)}, but the estimates are "
            f"{sorted(estimates)}: the classes must be the same."
        )
    names = list(stems)
    mixture = _signal(mixture, "The mixture")
    reference = {name: _signal(stems[name], f"The stem of {name!r}") for name in names}
    estimate = {name: _signal(estimates[name], f"The estimate of {name!r}") for name in names}
    for kind, signals in (("stem", reference), ("estimate", estimate)):
        for name, signal in signals.items():
            if signal.ndim != 1 or signal.shape != mixture.shape:
                raise ValueError(
                    f"The {kind} of {name!r} has shape {tuple(signal.shape)}, the mixture "
                    f"{tuple(mixture.shape)}: all must be mono and of equal length."
                )

    # Only BSS-eval receives the original signals.
    raw = reference, estimate, mixture
    mixture = _centered(mixture)
    reference = {name: _centered(signal) for name, signal in reference.items()}
    estimate = {name: _centered(signal) for name, signal in estimate.items()}
    level = float(_rms(mixture))
    threshold = max(level * 10 ** (silence_db / 20), _SILENT_ESTIMATE_RMS)
    rows = []
    for name in names:
        pair = torch.stack([estimate[name], mixture])
        output, before = si_sdr(pair, reference[name], silence_rms=threshold, limit_db=limit_db)
        silent = bool(_rms(reference[name]) < threshold)
        row = {
            "instrument": name,
            "si_sdr": float(output),
            "input_si_sdr": float(before),
            "si_sdr_imp": float(output - before),
            "leakage_db": _leakage(float(_rms(estimate[name])), level) if silent else float("nan"),
            "silent": silent,
            "silent_estimate": bool(_rms(estimate[name]) < _SILENT_ESTIMATE_RMS),
        }
        rows.append(row)
    if sdr:
        _add_sdr(rows, *raw, limit_db)
    return rows


def _signal(value: ArrayLike, label: str) -> torch.Tensor:
    """A finite, non-empty signal as a float64 tensor on the CPU."""
    signal = torch.as_tensor(value).detach().to("cpu", torch.float64)
    if signal.ndim == 0 or signal.shape[-1] == 0:
        raise ValueError(f"{label} contains no samples (shape {tuple(signal.shape)}).")
    if not torch.isfinite(signal).all():
        raise ValueError(f"{label} contains NaN or infinite samples.")
    return signal


def _centered(signal: torch.Tensor) -> torch.Tensor:
    """Without its mean, to the rounding of which a constant is exactly zero."""
    centered = signal - signal.mean(-1, keepdim=True)
    largest = signal.abs().amax(-1, keepdim=True)
    return centered.where(centered.abs().amax(-1, keepdim=True) > 1e-12 * largest, 0.0)


def _rms(signal: torch.Tensor) -> torch.Tensor:
    return signal.square().mean(-1).sqrt()


def _leakage(level: float, mixture_level: float) -> float:
    """Level of an estimate relative to the mixture, in dB; NaN if the mixture is silent."""
    if mixture_level < _SILENT_ESTIMATE_RMS:
        return float("nan")
    ratio = max(level / mixture_level, 10 ** (LEAKAGE_FLOOR_DB / 20))
    return float(20 * np.log10(ratio))


def _add_sdr(
    rows: list[dict],
    reference: Mapping[str, torch.Tensor],
    estimate: Mapping[str, torch.Tensor],
    mixture: torch.Tensor,
    limit_db: float,
) -> None:
    """Adds BSS-eval's SDR to the rows of the classes that sound; mir_eval rejects silence."""
    try:
        from mir_eval.separation import bss_eval_sources
    except ImportError:
        raise ImportError(
            "sdr=True needs mir_eval older than 0.9: pip install 'mir_eval<0.9'."
        ) from None

    for row in rows:
        row.update(sdr=float("nan"), input_sdr=float("nan"), sdr_imp=float("nan"))
    # The SDR of a class does not depend on the other stems (SIR and SAR do). Scoring each class on
    # its own is several times faster.
    for row in rows:
        if row["silent"]:
            continue
        true = reference[row["instrument"]].numpy()[None]

        def score(signal: torch.Tensor, true: np.ndarray = true) -> float:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # mir_eval's own deprecation
                value = bss_eval_sources(true, signal.numpy()[None], compute_permutation=False)[0]
            return float(np.clip(value[0], -limit_db, limit_db))

        silent = row["silent_estimate"]
        row["sdr"] = -limit_db if silent else score(estimate[row["instrument"]])
        row["input_sdr"] = score(mixture)
        row["sdr_imp"] = row["sdr"] - row["input_sdr"]
