"""One file for a separator and the transcriptor that reads its songs."""

from __future__ import annotations

from typing import NamedTuple

from .score_transcriptor import ScoreTranscriptor
from .source_model import load_package
from .tcn_separator import TCNSeparator

#: Key of the transcriptor's package within that of the separator.
TRANSCRIPTOR = "transcriptor"
#: Key of the settings by which note probabilities become notes.
DECODING = "decoding"
#: Key of the General MIDI programs that stand for the classes.
PROGRAMS = "programs"


class Unpacked(NamedTuple):
    """What a model file holds; None for what it does not.

    Args:
        separator (TCNSeparator), transcriptor (ScoreTranscriptor): The models.
        decoding (dict), programs (dict): See :func:`pack`.
    """

    separator: TCNSeparator
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
            :class:`~asteroid_scoresup.inference.decoding.Decoding`.
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
    separator = _restore(TCNSeparator, package, path)
    transcriptor = None
    if TRANSCRIPTOR in package:
        transcriptor = _restore(ScoreTranscriptor, package[TRANSCRIPTOR], path)
    return Unpacked(separator, transcriptor, package.get(DECODING), package.get(PROGRAMS))


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
    model = _restore(ScoreTranscriptor, package.get(TRANSCRIPTOR, package), path)
    return model, package.get(DECODING)


def _restore(kind, package, path):
    try:
        return kind.from_pretrained(package)
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: {reason}") from None


def require_pair(separator, transcriptor):
    """Refuses a transcriptor that does not hear what the separator hears.

    Raises:
        ValueError: if their classes, sample rates or STFTs differ.
    """
    for what, mine, other in (
        ("the classes", separator.sources, transcriptor.sources),
        ("the sample rate", float(separator.sample_rate), float(transcriptor.sample_rate)),
        ("n_fft", separator.stft.n_fft, transcriptor.stft.n_fft),
        ("hop_length", separator.stft.hop_length, transcriptor.stft.hop_length),
    ):
        if mine != other:
            raise ValueError(
                f"Separator and transcriptor do not belong together: {what} is {mine} in the one, "
                f"{other} in the other."
            )
