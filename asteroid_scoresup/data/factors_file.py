"""Files of the factors behind score-informed masks: arrays of NumPy in half precision."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from ..dsp import FrameGrid
from ..score import Factors
from ..utils.files import atomic_path
from .shard_files import ShardMember

_ARRAYS = ("templates", "activations", "class_index")


def write_factors(path: Path, factors: Factors) -> None:
    """Writes factors, atomically.

    Half precision has a small range. Templates are normalized; the activations of a track are
    scaled to at most 1.

    Args:
        path (Path): File to write.
        factors (Factors): The factors.
    """
    activations = factors.activations
    if activations.numel():
        activations = activations / activations.amax().clamp(min=1e-9)
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            templates=factors.templates.numpy().astype(np.float16),
            activations=activations.numpy().astype(np.float16),
            class_index=factors.class_index.numpy().astype(np.int16),
        )


def read_factors(
    source: Path | ShardMember, n_src: int, grid: FrameGrid, n_samples: int
) -> Factors | None:
    """The factors in a file; None if it is damaged.

    Arrays are stored without compression and must have the sizes of the track, so that a small
    file cannot fill the memory.

    Args:
        source (Path or ShardMember): The file.
        n_src (int): Number of classes.
        grid (FrameGrid): The grid of the STFT.
        n_samples (int): Length of the track, in samples.

    Returns:
        Factors: In single precision but for the activations, which stay in half precision.
    """
    try:
        size = source.stat().st_size if isinstance(source, Path) else source.size
        with source.open("rb") if isinstance(source, Path) else source.open() as file:
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > size:
                    return None
            file.seek(0)
            with np.load(file, allow_pickle=False) as content:
                templates, activations, class_index = (content[name] for name in _ARRAYS)
    except MemoryError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    n_components = len(class_index)
    whole = (
        templates.shape == (n_components, grid.n_freqs)
        and activations.shape == (n_components, grid.n_frames(n_samples))
        and (templates.dtype, activations.dtype) == (np.float16, np.float16)
        and class_index.dtype == np.int16
        and np.isfinite(templates).all()
        and np.isfinite(activations).all()
        and (not n_components or class_index.min() >= -1 and class_index.max() < n_src)
    )
    if not whole:
        return None
    arrays = (templates.astype(np.float32), activations, class_index)
    return Factors(*map(torch.from_numpy, arrays))
