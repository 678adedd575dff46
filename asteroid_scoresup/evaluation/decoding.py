"""From what the networks say of a song to notes: thresholds, gaps, velocities."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass

import numpy as np
import pretty_midi
import torch

from ..score import LOWEST_PITCH, N_PITCHES, Notes
from .transcription import NOTE_THRESHOLD, note_scores, roll_to_notes

#: Velocity of a note as loud as the median note of its class.
MEDIAN_VELOCITY = 80
#: How long after a note's onset its loudest frame is looked for, in seconds.
_STRIKE_SECONDS = 0.15
_N_HARMONICS = 6
#: What :func:`choose_decoding` tries.
THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
SHORTEST = (0.03, 0.06, 0.1, 0.15)
GAPS = (0.0, 0.04, 0.07)


@dataclass(frozen=True)
class Decoding:
    """How note probabilities become notes; one value a class, in the model's order.

    Args:
        threshold (sequence of float): A pitch sounds where its probability reaches this value.
        min_seconds (sequence of float): Shorter notes are dropped.
        max_gap_seconds (sequence of float): Gaps within a pitch up to this length are closed.

    Raises:
        ValueError: if the three have not the same length.
    """

    threshold: tuple
    min_seconds: tuple
    max_gap_seconds: tuple

    def __post_init__(self):
        lengths = {name: len(values) for name, values in asdict(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"A decoding has one value per class, found {lengths}.")

    @classmethod
    def default(cls, n_src):
        """One threshold for all classes, and nothing closed."""
        return cls((NOTE_THRESHOLD,) * n_src, (0.06,) * n_src, (0.0,) * n_src)

    @classmethod
    def from_plain(cls, values, n_src):
        """The inverse of :meth:`plain`; the default for None.

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

    def plain(self):
        """The values as lists, for model files and JSON."""
        return {name: [float(v) for v in values] for name, values in asdict(self).items()}

    def notes(self, probabilities, hop_length, sample_rate):
        r"""Notes of all classes, see :func:`~asteroid_scoresup.evaluation.roll_to_notes`.

        Args:
            probabilities (array): Shape :math:`(n\_src, 88, frames)`.
            hop_length (int): Hop of the frames, in samples.
            sample_rate (float): In Hz.

        Returns:
            Notes: sorted by onset.
        """
        return Notes.concatenate(
            self.class_notes(part, source, hop_length, sample_rate)
            for source, part in enumerate(probabilities)
        )

    def class_notes(self, probabilities, source, hop_length, sample_rate):
        r"""Notes of one class.

        Args:
            probabilities (array): Shape :math:`(88, frames)`.
            source (int): Index of the class.
            hop_length, sample_rate: See :meth:`notes`.
        """
        setting = (
            column[source] for column in (self.threshold, self.min_seconds, self.max_gap_seconds)
        )
        return roll_to_notes(probabilities, hop_length, sample_rate, *setting, source=source)


def choose_decoding(scores, names):
    """Chooses per class the values with the best note-onset F1, mean over songs.

    First the threshold, then the other two at that threshold. It needs scores and no stems. Take
    validation songs, not those of a test.

    Args:
        scores (sequence of tuple): Per song ``(notes, probabilities, hop_length, sample_rate)``:
            the true score, and what :meth:`Decoding.notes` takes.
        names (sequence of str): Names of the classes.

    Returns:
        Decoding: With the default where a class never plays, or nothing is better.
    """
    best = []
    for source in range(len(names)):
        plain = Decoding.default(1)
        chosen = (plain.threshold[0], plain.min_seconds[0], plain.max_gap_seconds[0])
        for step in range(2):
            tried = [chosen]
            if step == 0:
                tried += [(threshold, *chosen[1:]) for threshold in THRESHOLDS]
            else:
                tried += [(chosen[0], *rest) for rest in itertools.product(SHORTEST, GAPS)]
            # max() takes the first of equals.
            chosen = max(tried, key=lambda setting: _mean_f1(scores, source, setting))
        best.append(chosen)
    return Decoding(*(tuple(column) for column in zip(*best)))


def _mean_f1(scores, source, setting):
    """Note-onset F1 of one class with (threshold, min_seconds, max_gap_seconds)."""
    values = []
    for notes, probabilities, hop_length, sample_rate in scores:
        true = notes.select(notes.class_index == source)
        true = true.replace(class_index=np.zeros(len(true)))
        if len(true):
            found = roll_to_notes(probabilities[source], hop_length, sample_rate, *setting)
            values.append(note_scores(true, found, ["class"], offsets=False)[0]["note_f1"])
    return float(np.mean(values)) if values else 0.0


def pitch_levels(magnitude, n_fft, sample_rate):
    r"""How strong each pitch's lowest partials are.

    Args:
        magnitude (:class:`torch.Tensor`): Magnitudes of an STFT that read as amplitudes.
        n_fft (int): Its length.
        sample_rate (float): In Hz.

    Shape:
        - magnitude: :math:`(..., freq, frames)`
        - output: :math:`(..., 88, frames)`
    """
    pitch = torch.arange(N_PITCHES, device=magnitude.device) + LOWEST_PITCH
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    harmonic = torch.arange(1, _N_HARMONICS + 1, device=magnitude.device)
    place = (f0[:, None] * harmonic * n_fft / sample_rate).round().long()
    inside = place < magnitude.shape[-2]
    picked = magnitude[..., place.clamp(max=magnitude.shape[-2] - 1), :]
    return (picked * inside.unsqueeze(-1)).sum(-2)


def with_velocities(notes, levels, hop_length, sample_rate):
    r"""Gives the notes of one class the velocities that their sound suggests (our choice).

    A SoundFont plays velocity `v` with an amplitude near :math:`v^2`; so a note `d` dB above the
    median note of its class gets :math:`80 \cdot 10^{d / 40}`.

    Args:
        notes (Notes): The notes.
        levels (array): See :func:`pitch_levels`, of the class's separated sound,
            :math:`(88, frames)`.
        hop_length (int): Hop of the frames, in samples.
        sample_rate (float): In Hz.

    Returns:
        Notes: The same with velocities from 1 to 127.
    """
    if not len(notes):
        return notes
    frame, n_frames = sample_rate / hop_length, levels.shape[-1]
    first = np.clip(np.floor(notes.onset * frame).astype(int), 0, n_frames - 1)
    width = max(int(_STRIKE_SECONDS * frame), 1)
    frames = np.clip(first[:, None] + np.arange(width + 1), 0, n_frames - 1)
    loudness = levels[(notes.pitch - LOWEST_PITCH)[:, None], frames].astype(np.float32).max(1)
    loudness = 20 * np.log10(np.maximum(loudness, 1e-7))
    velocity = MEDIAN_VELOCITY * 10 ** ((loudness - np.median(loudness)) / 40)
    return notes.replace(velocity=np.clip(np.round(velocity), 1, 127))


def to_midi(notes, names, programs=None):
    """A score as MIDI: one General MIDI track per class.

    Args:
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
        programs (dict, optional): General MIDI program by name; default: :func:`default_program`.

    Returns:
        pretty_midi.PrettyMIDI: One instrument per class, in order, also where it has no note.

    Examples
        >>> midi = to_midi(Notes([0.0], [1.0], [40], [0], [90]), ["bass", "piano"])
        >>> [(part.name, part.program, len(part.notes)) for part in midi.instruments]
        [('bass', 33, 1), ('piano', 0, 0)]
    """
    # As fine as MIDI's clock allows: pretty_midi refuses files of more than 10 million ticks, of
    # which there are twice the resolution in a second.
    end = float(notes.offset.max()) if len(notes) else 0.0
    midi = pretty_midi.PrettyMIDI(resolution=int(np.clip(4e6 / max(end, 1), 48, 960)))
    for source, name in enumerate(names):
        program = (programs or {}).get(name, default_program(name))
        part = pretty_midi.Instrument(program, name=name)
        own = notes.select(notes.class_index == source)
        columns = zip(own.velocity, own.pitch, own.onset, own.offset)
        part.notes = [
            pretty_midi.Note(int(v), int(p), float(a), float(b)) for v, p, a, b in columns
        ]
        midi.instruments.append(part)
    return midi


def default_program(name):
    """The General MIDI program that stands for a class, by its name; a piano for unknown names.

    Examples
        >>> default_program("guitar"), default_program("strings"), default_program("keys")
        (25, 48, 0)
    """
    wanted = name.strip().lower()
    for known, program in _PROGRAMS.items():
        if known in wanted:
            return program
    return 0


_PROGRAMS = {
    "bass": 33, "guitar": 25, "piano": 0, "organ": 16, "string": 48, "brass": 61, "reed": 65,
    "sax": 65, "pipe": 73, "flute": 73, "lead": 80, "pad": 88, "synth": 80, "voc": 52, "choir": 52,
    "mallet": 11, "chromatic": 11, "ethnic": 104,
}  # fmt: skip
