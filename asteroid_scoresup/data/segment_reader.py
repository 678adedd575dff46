"""Reading segments of prepared audio files, which must be as preparation wrote them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
import torch

from ..utils.audio import sndfile_path

if TYPE_CHECKING:
    from .manifest import Manifest, PreparedTrack

_PREPARE_AGAIN = "Delete the folder of the track and prepare the data again."


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
    path: Path, start: int, n_samples: int, track_samples: int, stop: int | None = None
) -> torch.Tensor:
    r"""Reads a segment of an audio file; the cost does not depend on its position.

    Args:
        path (Path): The file, mono.
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
    try:
        with sf.SoundFile(sndfile_path(path)) as stream:
            _compare_length(path, stream.frames, track_samples)
            stream.seek(min(start, track_samples))
            audio = stream.read(n_samples, dtype="float32", fill_value=0.0)
    except (sf.LibsndfileError, OSError) as error:
        raise _unreadable(path, error) from None
    if not np.isfinite(audio).all():
        raise ValueError(f"{path} contains NaN or infinite samples. {_PREPARE_AGAIN}")
    if stop is not None:
        audio[max(stop - start, 0) :] = 0
    return torch.from_numpy(audio)


def _compare_length(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(
            f"{path} has {found} samples, manifest.json says {expected}: the file was cut short or "
            f"replaced. {_PREPARE_AGAIN}"
        )


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as audio: {error} {_PREPARE_AGAIN}")
