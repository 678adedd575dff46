"""One file for a separator and the transcriptor that reads its songs."""

from __future__ import annotations

import math
from typing import NamedTuple

from .loading import load_package
from .score_transcriptor import ScoreTranscriptor
from .source_model import SourceModel
from .tcn_separator import TCNSeparator
from .waveform_separator import WaveformSeparator

#: Key of the transcriptor's package within that of the separator.
TRANSCRIPTOR = "transcriptor"
#: Key of the settings by which note probabilities become notes.
DECODING = "decoding"
#: Key of the General MIDI programs that stand for the classes.
PROGRAMS = "programs"
#: Names of the settings of the decoding.
DECODING_KEYS = {"threshold", "min_seconds", "max_gap_seconds"}


class Unpacked(NamedTuple):
    """What a model file holds; None for what it does not.

    Args:
        separator (TCNSeparator or WaveformSeparator): The separator.
        transcriptor (ScoreTranscriptor): The transcriptor.
        decoding (dict), programs (dict): See :func:`pack`.
    """

    separator: TCNSeparator | WaveformSeparator
    transcriptor: ScoreTranscriptor | None
    decoding: dict | None
    programs: dict | None


def pack(separator, transcriptor=None, decoding=None, programs=None, half=False):
    """A model package with everything that a song needs.

    Asteroid's own ``from_pretrained`` reads the separator out of it.

    Args:
        separator (TCNSeparator): The separator.
        transcriptor (ScoreTranscriptor, optional): The transcriptor.
        decoding (dict, optional): Plain values, see
            :class:`~asteroid_scoresup.evaluation.decoding.Decoding`.
        programs (dict, optional): General MIDI program that stands for each class, by name.
        half (bool): Whether weights are stored in half precision: half the size; they are single
            again once loaded.

    Returns:
        dict: To be written by ``torch.save``; plain types and tensors only.

    Raises:
        ValueError: if the two models do not belong together.
    """
    package = separator.serialize()
    if transcriptor is not None:
        require_pair(separator, transcriptor)
        package[TRANSCRIPTOR] = transcriptor.serialize()
    if decoding is not None:
        package[DECODING] = decoding
    if programs is not None:
        package[PROGRAMS] = {name: int(program) for name, program in programs.items()}
    for part in (package, package.get(TRANSCRIPTOR, {})) if half else ():
        weights = part["state_dict"].items()
        part["state_dict"] = {k: v.half() if v.is_floating_point() else v for k, v in weights}
    return package


def unpack(path):
    """Reads a model file.

    Args:
        path (str or Path): What ``torch.save`` wrote of :func:`pack`, or of a separator alone.

    Returns:
        Unpacked

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no package of a separator.
    """
    package = load_package(path)
    separator = SourceModel.from_package(package, path)
    if not isinstance(separator, (TCNSeparator, WaveformSeparator)):
        kind = type(separator).__name__
        raise ValueError(
            f"{path} holds a {kind}, expected a TCNSeparator or another separator: a file of step "
            "2 or 3 (separator/best_model.pth)."
        )
    transcriptor = None
    if TRANSCRIPTOR in package:
        transcriptor = _transcriptor(package, path)
        try:
            require_pair(separator, transcriptor)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    programs = _require_programs(package.get(PROGRAMS), path)
    return Unpacked(separator, transcriptor, _require_decoding(package, path), programs)


def read_transcriptor(path):
    """Reads a transcriptor, from a file of its own or one in which it is packed with a separator.

    Args:
        path (str or Path): The file.

    Returns:
        tuple: the transcriptor, and the settings of its decoding or None.

    Raises:
        FileNotFoundError, ValueError: as :func:`unpack`.
    """
    package = load_package(path)
    if TRANSCRIPTOR in package:
        model = _transcriptor(package, path)
    else:
        model = ScoreTranscriptor.from_package(package, path)
    return model, _require_decoding(package, path)


def _transcriptor(package, path):
    """The transcriptor within a separator's package, which holds no further package."""
    inner = package[TRANSCRIPTOR]
    if isinstance(inner, dict) and TRANSCRIPTOR in inner:
        raise ValueError(f"{path}: its transcriptor has another transcriptor packed in it.")
    return ScoreTranscriptor.from_package(inner, f"{path} (its transcriptor)")


def _require_decoding(package, path):
    """The settings of the decoding: numbers per class, by name."""
    decoding = package.get(DECODING)
    plain = isinstance(decoding, dict) and all(
        isinstance(values, (list, tuple)) and all(map(_is_number, values))
        for values in decoding.values()
    )
    if decoding is not None and (not plain or not set(decoding) <= DECODING_KEYS):
        raise ValueError(
            f"{path}: its decoding is damaged: expected lists of numbers named "
            f"{', '.join(sorted(DECODING_KEYS))}."
        )
    return decoding


def _require_programs(programs, path):
    """General MIDI programs by the name of the class."""
    plain = isinstance(programs, dict) and all(
        isinstance(name, str) and isinstance(program, int) and 0 <= program <= 128
        for name, program in programs.items()
    )
    if programs is not None and not plain:
        raise ValueError(
            f"{path}: its programs are damaged: expected General MIDI programs (0 to 128) by class."
        )
    return programs


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def require_pair(separator, transcriptor):
    """Refuses a transcriptor that does not hear what the separator hears.

    Raises:
        ValueError: if their classes, sample rates or STFTs differ.
    """
    pairs = [
        ("the classes", separator.sources, transcriptor.sources),
        ("the sample rate", float(separator.sample_rate), float(transcriptor.sample_rate)),
    ]
    if not isinstance(separator, WaveformSeparator):  # which gives waveforms, for any STFT
        pairs += [
            ("n_fft", separator.stft.n_fft, transcriptor.stft.n_fft),
            ("hop_length", separator.stft.hop_length, transcriptor.stft.hop_length),
        ]
    for what, mine, other in pairs:
        if mine != other:
            raise ValueError(
                f"Separator and transcriptor do not belong together: {what} is {mine} in the one, "
                f"{other} in the other."
            )
