"""From note probabilities to notes: thresholds, gaps, velocities, MIDI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pretty_midi
import torch

from ..midi import DRUMS
from ..score import LOWEST_PITCH, N_PITCHES, Notes
from ..score.harmonic import partial_frequencies
from .onset_decoding import notes_from_onsets
from .transcription import NOTE_THRESHOLD, note_scores, roll_to_notes

#: Velocity of the median note of a class.
MEDIAN_VELOCITY = 80
#: The level of a note is that of its loudest frame in this time after the onset, in seconds.
_ATTACK_SECONDS = 0.15
_N_PARTIALS = 6
#: Lowest onset probability at which a note begins, unless chosen.
ONSET_THRESHOLD = 0.35
#: The values that :func:`choose_decoding` tries.
THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
ONSET_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
SHORTEST = (0.03, 0.06, 0.1, 0.15)
GAPS = (0.0, 0.04, 0.07)


@dataclass(frozen=True)
class Decoding:
    """How note probabilities become notes; one value per class, in the order of the model.

    Args:
        threshold (tuple of float): A pitch sounds where its probability is at least this value.
        min_seconds (tuple of float): Shorter notes are dropped.
        max_gap_seconds (tuple of float): Gaps within a pitch up to this length are closed.
        onset_threshold (tuple of float): A note begins where the onset probability has a maximum of
            at least this value, if the transcriptor predicts onsets.

    Raises:
        ValueError: if the lengths differ.
    """

    threshold: tuple[float, ...]
    min_seconds: tuple[float, ...]
    max_gap_seconds: tuple[float, ...]
    onset_threshold: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.onset_threshold:
            object.__setattr__(self, "onset_threshold", (ONSET_THRESHOLD,) * len(self.threshold))
        lengths = {name: len(values) for name, values in asdict(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"A decoding has one value per class, found {lengths}.")

    @classmethod
    def default(cls, n_src: int) -> Decoding:
        """One threshold for all classes, and no gap closed."""
        return cls((NOTE_THRESHOLD,) * n_src, (0.06,) * n_src, (0.0,) * n_src)

    @classmethod
    def from_plain(cls, values: Mapping[str, Sequence[float]] | None, n_src: int) -> Decoding:
        """The inverse of :meth:`plain`; :meth:`default` for None.

        Args:
            values (dict or None): Output of :meth:`plain`.
            n_src (int): Number of classes of the model.

        Raises:
            ValueError: if there is not one value per class.
        """
        if values is None:
            return cls.default(n_src)
        decoding = cls(**{name: tuple(column) for name, column in values.items()})
        if len(decoding.threshold) != n_src:
            raise ValueError(
                f"The decoding has values for {len(decoding.threshold)} classes, the model has "
                f"{n_src}."
            )
        return decoding

    def plain(self) -> dict[str, list[float]]:
        """The values as lists, for model files and JSON; default onset thresholds are left out."""
        values = {name: [float(v) for v in column] for name, column in asdict(self).items()}
        if set(self.onset_threshold) == {ONSET_THRESHOLD}:
            del values["onset_threshold"]
        return values

    def notes(self, probabilities: np.ndarray, hop_length: int, sample_rate: float) -> Notes:
        r"""Notes of all classes.

        Args:
            probabilities (array): Shape :math:`(n\_src, 88, frames)`, decoded by
                :func:`~asteroid_scoresup.evaluation.roll_to_notes`, or with a first dimension for
                frames and onsets, decoded by
                :func:`~asteroid_scoresup.evaluation.onset_decoding.notes_from_onsets`.
            hop_length (int): Hop of the frames, in samples.
            sample_rate (float): Sample rate, in Hz.

        Returns:
            Notes: sorted by onset.
        """
        return Notes.concatenate(
            self.class_notes(part, index, hop_length, sample_rate)
            for index, part in enumerate(np.moveaxis(probabilities, -3, 0))
        )

    def class_notes(
        self, probabilities: np.ndarray, class_index: int, hop_length: int, sample_rate: float
    ) -> Notes:
        r"""Notes of one class.

        Args:
            probabilities (array): Shape :math:`(88, frames)`, or with a first dimension for frames
                and, if there are two, onsets.
            class_index (int): The class.
            hop_length, sample_rate: See :meth:`notes`.
        """
        options: dict[str, Any] = dict(
            hop_length=hop_length,
            sample_rate=sample_rate,
            threshold=self.threshold[class_index],
            min_seconds=self.min_seconds[class_index],
            max_gap_seconds=self.max_gap_seconds[class_index],
            class_index=class_index,
        )
        if probabilities.ndim == 3 and len(probabilities) > 1:
            frames, onsets = probabilities
            options["onset_threshold"] = self.onset_threshold[class_index]
            return notes_from_onsets(frames, onsets, **options)
        return roll_to_notes(
            probabilities[0] if probabilities.ndim == 3 else probabilities, **options
        )


def choose_decoding(
    songs: Sequence[tuple[Notes, np.ndarray, int, float]], names: Sequence[str]
) -> Decoding:
    """Chooses for each class the values with the best note F1, averaged over songs.

    First the thresholds, then the lengths. If onsets are predicted, the threshold of the frames
    only ends the notes, and is chosen by the F1 with offsets. It needs scores, but no stems. Use
    validation songs, not test songs.

    Args:
        songs (sequence of tuple): Per song ``(notes, probabilities, hop_length, sample_rate)``:
            the true score, and the arguments of :meth:`Decoding.notes`.
        names (sequence of str): Names of the classes.

    Returns:
        Decoding: The default for a class that never plays, or where no value is better.
    """
    best = []
    for index in range(len(names)):
        chosen = Decoding.default(1)
        parts = [_of_class(index, *song) for song in songs]
        parts = [part for part in parts if len(part[0])]
        has_onsets = any(probs.ndim == 3 and len(probs) > 1 for _, probs, _, _ in parts)
        lengths = [{"min_seconds": (m,), "max_gap_seconds": (g,)} for m in SHORTEST for g in GAPS]
        steps: list[tuple[list[dict], bool]] = [
            ([{"threshold": (value,)} for value in THRESHOLDS], has_onsets),
            (lengths, has_onsets),
        ]
        if has_onsets:
            together = [{"onset_threshold": (v,), "threshold": (v,)} for v in ONSET_THRESHOLDS]
            steps.insert(0, (together, False))
        for changes, offsets in steps:
            tried = [chosen, *(replace(chosen, **change) for change in changes)]
            # max() takes the first of equals.
            chosen = max(tried, key=lambda decoding: _mean_f1(parts, decoding, offsets))
        best.append(asdict(chosen))
    return Decoding(*(sum((one[name] for one in best), ()) for name in best[0]))


def _of_class(
    index: int, notes: Notes, probabilities: np.ndarray, hop_length: int, sample_rate: float
) -> tuple[Notes, np.ndarray, int, float]:
    """The notes and probabilities of one class, as if there was no other."""
    own = notes.select(notes.class_index == index)
    own = own.replace(class_index=np.zeros(len(own)))
    return own, np.moveaxis(probabilities, -3, 0)[index], hop_length, sample_rate


def _mean_f1(
    parts: Sequence[tuple[Notes, np.ndarray, int, float]], decoding: Decoding, offsets: bool
) -> float:
    """Note F1 of one class, by onsets or by onsets and offsets."""
    scores = []
    for true, probabilities, hop_length, sample_rate in parts:
        predicted = decoding.class_notes(probabilities, 0, hop_length, sample_rate)
        row = note_scores(true, predicted, ["class"], offsets=offsets)[0]
        scores.append(row["note_f1_offset" if offsets else "note_f1"])
    return float(np.mean(scores)) if scores else 0.0


def pitch_levels(magnitude: torch.Tensor, n_fft: int, sample_rate: float) -> torch.Tensor:
    r"""Level of each pitch: the sum of the magnitudes at its six lowest partials.

    Args:
        magnitude (:class:`torch.Tensor`): STFT magnitudes, scaled to amplitudes.
        n_fft (int): Length of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.

    Shape:
        - magnitude: :math:`(..., freq, frames)`
        - output: :math:`(..., 88, frames)`
    """
    n_bins = magnitude.shape[-2]
    partials = partial_frequencies(torch.arange(N_PITCHES) + LOWEST_PITCH, _N_PARTIALS)
    bins = (partials * n_fft / sample_rate).round().long().to(magnitude.device)
    levels = magnitude[..., bins.clamp(max=n_bins - 1), :]
    return (levels * (bins < n_bins).unsqueeze(-1)).sum(-2)


def with_velocities(notes: Notes, levels: np.ndarray, hop_length: int, sample_rate: float) -> Notes:
    r"""Estimates the velocities of the notes of one class from their levels (our choice).

    A SoundFont plays velocity `v` with an amplitude proportional to about :math:`v^2`, so a note
    `d` dB above the median note of its class has velocity :math:`80 \cdot 10^{d / 40}`.

    Args:
        notes (Notes): The notes.
        levels (array): Output of :func:`pitch_levels` for the separated stem of the class, shape
            :math:`(88, frames)`.
        hop_length (int): Hop of the frames, in samples.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        Notes: The same notes with velocities from 1 to 127.
    """
    if not len(notes):
        return notes
    frame_rate, n_frames = sample_rate / hop_length, levels.shape[-1]
    first = np.clip(np.floor(notes.onset * frame_rate).astype(int), 0, n_frames - 1)
    width = max(int(_ATTACK_SECONDS * frame_rate), 1)
    frames = np.clip(first[:, None] + np.arange(width + 1), 0, n_frames - 1)
    loudness = levels[(notes.pitch - LOWEST_PITCH)[:, None], frames].astype(np.float32).max(1)
    loudness = 20 * np.log10(np.maximum(loudness, 1e-7))
    velocity = MEDIAN_VELOCITY * 10 ** ((loudness - np.median(loudness)) / 40)
    return notes.replace(velocity=np.clip(np.round(velocity), 1, 127))


def to_midi(
    notes: Notes, names: Sequence[str], programs: Mapping[str, int] | None = None
) -> pretty_midi.PrettyMIDI:
    """Converts notes to MIDI: one General MIDI track per class.

    Args:
        notes (Notes): The notes.
        names (sequence of str): Names of the classes.
        programs (dict, optional): General MIDI program by name, 128 for drums. Default:
            :func:`default_program`.

    Returns:
        pretty_midi.PrettyMIDI: One instrument per class, in order, even if it has no notes.

    Examples
        >>> midi = to_midi(Notes([0.0], [1.0], [40], [0], [90]), ["bass", "piano"])
        >>> [(part.name, part.program, len(part.notes)) for part in midi.instruments]
        [('bass', 33, 1), ('piano', 0, 0)]
    """
    # The finest resolution that can be read again: pretty_midi refuses files of more than 10
    # million ticks, and a second has twice the resolution in ticks.
    end = float(notes.offset.max()) if len(notes) else 0.0
    midi = pretty_midi.PrettyMIDI(resolution=int(np.clip(4e6 / max(end, 1), 48, 960)))
    for index, name in enumerate(names):
        program = (programs or {}).get(name, default_program(name))
        is_drum = program == DRUMS
        part = pretty_midi.Instrument(0 if is_drum else program, is_drum, name)
        own = notes.select(notes.class_index == index)
        columns = zip(own.velocity, own.pitch, own.onset, own.offset)
        part.notes = [
            pretty_midi.Note(int(v), int(p), float(a), float(b)) for v, p, a, b in columns
        ]
        midi.instruments.append(part)
    return midi


def default_program(name: str) -> int:
    """The General MIDI program of a class, guessed from its name; a piano for unknown names.

    128 means drums.

    Examples
        >>> default_program("guitar"), default_program("strings"), default_program("keys")
        (25, 48, 0)
        >>> default_program("drums")
        128
    """
    wanted = name.strip().lower()
    for known, program in _PROGRAMS.items():
        if known in wanted:
            return program
    return 0


_PROGRAMS = {
    "drum": DRUMS, "bass": 33, "guitar": 25, "piano": 0, "organ": 16, "string": 48, "ensemble": 48,
    "violin": 40, "viola": 41, "cello": 42, "brass": 61, "trumpet": 56, "trombone": 57, "tuba": 58,
    "horn": 60, "reed": 65, "sax": 65, "clarinet": 71, "pipe": 73, "flute": 73, "lead": 80,
    "pad": 88, "synth_effects": 96, "synth": 80, "voc": 52, "choir": 52, "mallet": 11,
    "chromatic": 11, "ethnic": 104, "percussive": 115, "sound_effects": 122,
}  # fmt: skip
