"""Reading segments of prepared audio files, which must be as preparation wrote them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import soundfile as sf
import torch

from ..utils.audio import sndfile_path

if TYPE_CHECKING:
    from .manifest import Manifest
    from .track import PreparedTrack


class Member(Protocol):
    """A file inside of another file; its text is its name for messages."""

    @property
    def advice(self) -> str:
        """What to do if the file is damaged."""

    def open(self) -> BinaryIO:
        """Opens it for reading."""


#: An audio file of its own, or inside of another file.
AudioSource = Path | Member

_PREPARE_AGAIN = "Delete the folder of the track and prepare the data again."


@contextlib.contextmanager
def opened(source: AudioSource) -> Iterator[sf.SoundFile]:
    """Opens prepared audio.

    Args:
        source (Path or Member): The file.

    Yields:
        soundfile.SoundFile: The stream.

    Raises:
        ValueError: if it cannot be opened or read in the block.
    """
    try:
        if isinstance(source, Path):
            with sf.SoundFile(sndfile_path(source)) as stream:
                yield stream
        else:
            with source.open() as file, sf.SoundFile(file) as stream:
                yield stream
    except (sf.LibsndfileError, OSError) as error:
        raise _unreadable(source, error) from None


def require_length(path: Path, n_samples: int) -> None:
    """Checks the length of an audio file by its header.

    Args:
        path (Path): The file.
        n_samples (int): Length of its track, in samples.

    Raises:
        ValueError: if the file has another length or cannot be read.
    """
    try:
        found = sf.info(sndfile_path(path)).frames
    except (sf.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from None
    _compare_length(path, found, n_samples)


def require_stems(manifest: Manifest, tracks: Iterable[PreparedTrack], targets: str) -> None:
    """Checks that tracks have all stems, of the right length.

    Args:
        manifest (Manifest): The prepared data.
        tracks (iterable of PreparedTrack): The tracks.
        targets (str): What asks for stems, for the message.

    Raises:
        ValueError: if a stem is missing, has another length or cannot be read.
    """
    for track in tracks:
        for name in manifest.names:
            path = manifest.stem_path(track, name)
            if not path.is_file():
                raise ValueError(
                    f"{path} does not exist, but targets={targets!r} asks for stems. "
                    "Own songs have none: train on them with targets='score'."
                )
            require_length(path, track.n_samples)


def read_segment(
    source: AudioSource, start: int, n_samples: int, track_samples: int, stop: int | None = None
) -> torch.Tensor:
    r"""Reads a segment of an audio file; the cost does not depend on its position.

    Args:
        source (Path or Member): The file, mono.
        start (int): First sample.
        n_samples (int): Number of samples; beyond the end of the track they are zeros.
        track_samples (int): Length of the track, in samples.
        stop (int, optional): Sample from which on the segment is silent.

    Returns:
        :class:`torch.Tensor`: float32, shape :math:`(n\_samples,)`.

    Raises:
        ValueError: if the file cannot be read, has another length than its track, or contains NaN
            or infinite samples.
    """
    with opened(source) as stream:
        _compare_length(source, stream.frames, track_samples)
        stream.seek(min(start, track_samples))
        left = min(n_samples, max(track_samples - start, 0))
        read = stream.read(left, dtype="float32")
        if len(read) < left:
            raise _unreadable(source, "it is cut short.")
        audio = np.zeros(n_samples, dtype=np.float32)
        audio[:left] = read
    if not np.isfinite(audio).all():
        raise ValueError(f"{source} contains NaN or infinite samples. {_advice(source)}")
    if stop is not None:
        audio[max(stop - start, 0) :] = 0
    return torch.from_numpy(audio)


def _compare_length(path: AudioSource, found: int, expected: int) -> None:
    if found != expected:
        listed = "manifest.json" if isinstance(path, Path) else "the index"
        raise ValueError(
            f"{path} has {found} samples, {listed} says {expected}: the file was cut short or "
            f"replaced. {_advice(path)}"
        )


def _unreadable(source: AudioSource, error: object) -> ValueError:
    return ValueError(f"{source} cannot be read as audio: {error} {_advice(source)}")


def _advice(source: AudioSource) -> str:
    return _PREPARE_AGAIN if isinstance(source, Path) else source.advice
