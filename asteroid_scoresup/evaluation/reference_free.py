r"""Separation without true stems: what the score says about the estimates of a song.

Songs that were never recorded as stems have no SI-SDR. Where there is a score, three questions
remain that need no stem, one per kind of mistake:

- **Are the notes of the class in its stem, and no others?** A transcriptor that took no part in the
  separation (the *reader*) transcribes each stem; its notes are compared with those of the class:
  precision, recall and F1 of onsets (``mir_eval``, 50 ms and 50 cents). ``note_leakage`` is the
  recall of the *other* classes' notes in the stem: how much of them a listener would still find.
- **Is the stem silent where its class rests?** ``rest_db`` is the energy of the stem relative to
  that of the mixture, over the stretches where the class rests.
- **Do the stems add up to the mixture?** ``sum_db`` is the energy of what is missing or too much,
  relative to the mixture. Mixtures that contain more than the classes never reach a low value.

None of them replaces SI-SDR, and each can be fooled; docs/real_recordings.md measures by how much.
The margins, and the least duration of rests, are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..data.stretches import certain_notes
from ..dsp.level import gated_rms
from ..models import ScoreTranscriptor
from ..score import Notes
from ..utils.files import resample_audio
from .decoding import Decoding
from .separation import LEAKAGE_FLOOR_DB
from .transcription import onset_scores

#: Seconds around a note that do not count as a rest: its attack, its decay and reverberation.
BEFORE_SECONDS, AFTER_SECONDS = 0.05, 0.5
#: Rests of a class that are shorter in all are not measured, in seconds.
LEAST_SECONDS = 1.0
#: Another class's note at the same pitch, this close, is the same to a reader, in seconds.
SAME_SECONDS = 0.1
#: Transcribes a signal: samples of shape (time,), their rate in Hz, and the RMS of the mixture that
#: they come from; returns notes, whose classes are ignored.
Reader = Callable[[np.ndarray, float, float], Notes]
#: How the bundled transcriptor's probabilities become notes of any class: the best note F1 on the
#: mixtures and single stems of four composed validation songs.
ANY_CLASS = Decoding((0.35,), (0.06,), (0.04,), (0.2,))


class TranscriptorReader:
    """Reads the notes of a signal with a transcriptor, whatever class it takes them for.

    Args:
        transcriptor (ScoreTranscriptor): The network; of no use for the stems of a separator that
            was trained with it as critic, which has learned to please it.
        decoding (Decoding): How its probabilities become notes; one value each.
    """

    def __init__(self, transcriptor: ScoreTranscriptor, decoding: Decoding = ANY_CLASS) -> None:
        self.transcriptor, self.decoding = transcriptor.eval(), decoding

    @torch.no_grad()
    def __call__(self, signal: np.ndarray, sample_rate: float, level: float) -> Notes:
        """The notes of a signal; see :data:`Reader`."""
        network = self.transcriptor
        wav = resample_audio(np.asarray(signal, np.float32), sample_rate, network.sample_rate)
        device = next(network.parameters()).device
        probabilities = network.note_probs(torch.from_numpy(wav).to(device), level=level)
        anyone = probabilities.amax(-3, keepdim=True).cpu().numpy()
        return self.decoding.notes(anyone, network.stft.hop_length, network.sample_rate)


def reference_free_scores(
    estimates: Mapping[str, np.ndarray],
    mixture: np.ndarray,
    notes: Notes,
    names: Sequence[str],
    sample_rate: float,
    reader: Reader | None = None,
    uncertain: Sequence[Sequence[float]] = (),
) -> list[dict[str, Any]]:
    r"""Scores of the stems of a song that need its score, but no true stem.

    Args:
        estimates (dict of str to array): Stems by class, each of shape :math:`(time,)`; of all
            classes or of some.
        mixture (array): The mixture, shape :math:`(time,)`.
        notes (Notes): The score, on the clock of the mixture.
        names (sequence of str): Names of all classes, in the order of the score.
        sample_rate (float): Sample rate, in Hz.
        reader (callable, optional): Transcribes the stems, see :data:`Reader`. Default: the scores
            of notes are left out.
        uncertain (sequence): Stretches (start, stop) in seconds that do not count, where the score
            may be wrong.

    Returns:
        list of dict: per class, in the order of `estimates`: ``instrument``; ``rest_db``, not below
        -80, NaN for a class that never rests; with a reader ``note_precision``, ``note_recall``,
        ``note_f1`` and ``note_leakage``, each in [0, 1], NaN where there is no note to find; and
        ``sum_db``, the same for every class, NaN unless there are estimates of all classes.

    Raises:
        ValueError: if a class is unknown, or the shapes differ.

    Examples
        >>> time = np.arange(32000) / 8000
        >>> bass = np.where(time < 2, np.sin(400 * time), 0)
        >>> piano = np.where(time >= 2, np.sin(3000 * time), 0)
        >>> score = Notes([0, 2], [2, 4], [38, 74], [0, 1], [90, 90])
        >>> rows = reference_free_scores(
        ...     {"bass": bass + 0.1 * piano, "piano": piano}, bass + piano, score,
        ...     ["bass", "piano"], 8000)
        >>> [(round(row["rest_db"], 1), round(row["sum_db"], 1)) for row in rows]
        [(-20.0, -23.0), (-80.0, -23.0)]
    """
    mixture = np.asarray(mixture, dtype=np.float64)
    signals = {name: np.asarray(signal, dtype=np.float64) for name, signal in estimates.items()}
    for name, signal in signals.items():
        if name not in names:
            raise ValueError(f"There is an estimate of {name!r}, but the classes are {[*names]}.")
        if signal.shape != mixture.shape or mixture.ndim != 1:
            raise ValueError(
                f"The estimate of {name!r} has shape {signal.shape}, the mixture {mixture.shape}: "
                "all must be mono and of equal length."
            )
    notes = certain_notes(notes, uncertain)
    counts = np.ones(len(mixture), dtype=bool)
    for start, stop in uncertain:
        counts[round(start * sample_rate) : round(stop * sample_rate)] = False
    missing = mixture - sum(signals.values())
    sum_db = _level_db(missing, mixture) if set(signals) == set(names) else float("nan")
    level = gated_rms(mixture, sample_rate)
    rows = []
    for name, signal in signals.items():
        is_own = notes.class_index == list(names).index(name)
        own, others = notes.select(is_own), notes.select(~is_own)
        rests = resting(own, len(mixture), sample_rate) & counts
        long_enough = rests.sum() >= LEAST_SECONDS * sample_rate
        rest_db = _level_db(signal[rests], mixture[rests]) if long_enough else float("nan")
        row: dict[str, Any] = {"instrument": name, "rest_db": rest_db, "sum_db": sum_db}
        if reader is not None:
            found = certain_notes(reader(signal, sample_rate, level), uncertain)
            precision, recall, f1 = onset_scores(own, found)
            _, leakage, _ = onset_scores(_apart(others, own), found)
            row.update(
                note_precision=precision, note_recall=recall, note_f1=f1, note_leakage=leakage
            )
        rows.append(row)
    return rows


def resting(notes: Notes, n_samples: int, sample_rate: float) -> np.ndarray:
    """Where none of the notes sounds, with the margins of this module.

    Args:
        notes (Notes): The notes of a class.
        n_samples (int): Length of the signal, in samples.
        sample_rate (float): Its sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: bool, shape (n_samples,).
    """
    edges = np.zeros(n_samples + 1, dtype=np.int64)
    first = np.round((notes.onset - BEFORE_SECONDS) * sample_rate).clip(0, n_samples)
    last = np.round((notes.release + AFTER_SECONDS) * sample_rate).clip(0, n_samples)
    np.add.at(edges, first.astype(np.int64), 1)
    np.add.at(edges, last.astype(np.int64), -1)
    return np.asarray(np.cumsum(edges)[:-1] == 0)


def _apart(notes: Notes, own: Notes) -> Notes:
    """The notes of other classes that cannot be mistaken for one of the class."""
    close = np.abs(notes.onset[:, None] - own.onset) <= SAME_SECONDS
    same = close & (notes.pitch[:, None] == own.pitch)
    return notes.select(~same.any(1))


def _level_db(signal: np.ndarray, mixture: np.ndarray) -> float:
    """Energy relative to that of the mixture, in dB; NaN if the mixture is silent."""
    total, part = np.square(mixture).sum(), np.square(signal).sum()
    if not total:
        return float("nan")
    return float(10 * np.log10(max(part / total, 10 ** (LEAKAGE_FLOOR_DB / 10))))
