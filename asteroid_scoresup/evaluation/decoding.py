"""From note probabilities to notes: thresholds, gaps, velocities, MIDI."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pretty_midi
import torch

from ..midi import DRUMS
from ..score import LOWEST_PITCH, N_PITCHES, Notes
from ..score.harmonic import partial_frequencies
from .transcription import NOTE_THRESHOLD, note_scores, roll_to_notes

#: Velocity of the median note of a class.
MEDIAN_VELOCITY = 80
#: The level of a note is that of its loudest frame in this time after the onset, in seconds.
_ATTACK_SECONDS = 0.15
_N_PARTIALS = 6
#: The values that :func:`choose_decoding` tries.
THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
SHORTEST = (0.03, 0.06, 0.1, 0.15)
GAPS = (0.0, 0.04, 0.07)


@dataclass(frozen=True)
class Decoding:
    """How note probabilities become notes; one value per class, in the order of the model.

    Args:
        threshold (tuple of float): A pitch sounds where its probability is at least this value.
        min_seconds (tuple of float): Shorter notes are dropped.
        max_gap_seconds (tuple of float): Gaps within a pitch up to this length are closed.

    Raises:
        ValueError: if the lengths differ.
    """

    threshold: tuple[float, ...]
    min_seconds: tuple[float, ...]
    max_gap_seconds: tuple[float, ...]

    def __post_init__(self) -> None:
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
        """The values as lists, for model files and JSON."""
        return {name: [float(v) for v in values] for name, values in asdict(self).items()}

    def notes(self, probabilities: np.ndarray, hop_length: int, sample_rate: float) -> Notes:
        r"""Notes of all classes, see :func:`~asteroid_scoresup.evaluation.roll_to_notes`.

        Args:
            probabilities (array): Shape :math:`(n\_src, 88, frames)`.
            hop_length (int): Hop of the frames, in samples.
            sample_rate (float): Sample rate, in Hz.

        Returns:
            Notes: sorted by onset.
        """
        return Notes.concatenate(
            self.class_notes(part, index, hop_length, sample_rate)
            for index, part in enumerate(probabilities)
        )

    def class_notes(
        self, probabilities: np.ndarray, class_index: int, hop_length: int, sample_rate: float
    ) -> Notes:
        r"""Notes of one class.

        Args:
            probabilities (array): Shape :math:`(88, frames)`.
            class_index (int): The class.
            hop_length, sample_rate: See :meth:`notes`.
        """
        return roll_to_notes(
            probabilities,
            hop_length,
            sample_rate,
            self.threshold[class_index],
            self.min_seconds[class_index],
            self.max_gap_seconds[class_index],
            class_index,
        )


def choose_decoding(
    songs: Sequence[tuple[Notes, np.ndarray, int, float]], names: Sequence[str]
) -> Decoding:
    """Chooses for each class the values with the best note-onset F1, averaged over songs.

    First the threshold, then the other two at that threshold. It needs scores, but no stems. Use
    validation songs, not test songs.

    Args:
        songs (sequence of tuple): Per song ``(notes, probabilities, hop_length, sample_rate)``:
            the true score, and the arguments of :meth:`Decoding.notes`.
        names (sequence of str): Names of the classes.

    Returns:
        Decoding: The default for a class that never plays, or where no value is better.
    """
    best = []
    default = Decoding.default(1)
    for index in range(len(names)):
        chosen = (default.threshold[0], default.min_seconds[0], default.max_gap_seconds[0])
        for step in range(2):
            tried = [chosen]
            if step == 0:
                tried += [(threshold, *chosen[1:]) for threshold in THRESHOLDS]
            else:
                tried += [(chosen[0], *rest) for rest in itertools.product(SHORTEST, GAPS)]
            # max() takes the first of equals.
            chosen = max(tried, key=lambda values: _mean_f1(songs, index, values))
        best.append(chosen)
    return Decoding(*(tuple(column) for column in zip(*best)))


def _mean_f1(
    songs: Sequence[tuple[Notes, np.ndarray, int, float]],
    class_index: int,
    values: tuple[float, float, float],
) -> float:
    """Note-onset F1 of one class with (threshold, min_seconds, max_gap_seconds)."""
    scores = []
    for notes, probabilities, hop_length, sample_rate in songs:
        true = notes.select(notes.class_index == class_index)
        true = true.replace(class_index=np.zeros(len(true)))
        if len(true):
            predicted = roll_to_notes(probabilities[class_index], hop_length, sample_rate, *values)
            scores.append(note_scores(true, predicted, ["class"], offsets=False)[0]["note_f1"])
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
