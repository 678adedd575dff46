"""Stems and residual, written chunk by chunk."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..utils.files import audio_writers
from ..utils.stream import Recording
from .encoding import FORMATS, ClippingCounter, Encoding

__all__ = ["FORMATS", "RESIDUAL", "WITHOUT", "StemWriter", "open_stem_writer"]

#: Name of the signal that is in no stem.
RESIDUAL = "residual"
#: Before the name of a stem: the song without it.
WITHOUT = "without_"
#: Names that no class can have: the results of a song use them.
RESERVED_NAMES = ("mixture", RESIDUAL, "score", "page")


def require_stem_names(names: Sequence[str]) -> None:
    """Refuses classes that cannot be names of files among the other results of a song.

    Raises:
        ValueError: for the first such name; the message continues a sentence such as "It has".
    """
    for name in names:
        taken = name in RESERVED_NAMES or name.removeprefix(WITHOUT) in set(names) - {name}
        if taken or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(
                f"a class {name!r}: expected letters, digits, _ and -, and none of "
                f"{', '.join(RESERVED_NAMES)} or {WITHOUT}CLASS."
            )


class StemWriter:
    """Writes the stems of successive chunks, and the residual, to open files.

    Args:
        recording (Recording): The mixture.
        names (sequence of str): Names of the stems, in the order of the chunks.
        writers (dict): Name of each signal to write (stems, :data:`RESIDUAL`, :data:`WITHOUT` and
            the name of a stem) → function that takes its next samples.
        kept (dict): Name of each stem that was written before → its file; the residual is computed
            with these files.
        clipping (ClippingCounter): Counts and treats samples beyond full scale.
    """

    def __init__(
        self,
        recording: Recording,
        names: Sequence[str],
        writers: Mapping[str, Callable[[np.ndarray], object]],
        kept: Mapping[str, Path],
        clipping: ClippingCounter,
    ) -> None:
        self.names, self.writers, self.clipping = names, writers, clipping
        self._mixture = _SequentialReader(recording)
        self._kept: dict[str, _SequentialReader] = {}
        if RESIDUAL in writers:
            for name in set(names) & set(kept):
                path = kept[name]
                stem = Recording(path)
                require_stem_of(path, stem, recording)
                self._kept[name] = _SequentialReader(stem)

    def write(self, stems: np.ndarray) -> None:
        r"""Writes the next samples, of shape :math:`(time, n\_src, channels)`."""
        signals = {name: stems[:, i] for i, name in enumerate(self.names)}
        if any(name not in signals for name in self.writers):
            mixture = self._mixture.read(len(stems))
            # The residual is that of the files, which may have been edited.
            in_files = {name: reader.read(len(stems)) for name, reader in self._kept.items()}
            total = sum(({**signals, **in_files}).values())
            without = {WITHOUT + name: mixture - stem for name, stem in signals.items()}
            signals |= {**without, RESIDUAL: mixture - total}
        for name, write in self.writers.items():
            write(self.clipping.limited(name, signals[name]))


@contextlib.contextmanager
def open_stem_writer(
    recording: Recording,
    names: Sequence[str],
    targets: Mapping[str, Path],
    kept: Mapping[str, Path],
    encoding: Encoding,
) -> Iterator[StemWriter]:
    """Opens temporary files for stems, which get their names when all of them are complete.

    Args:
        recording (Recording): The mixture, whose sample rate and channels the files have.
        names (sequence of str): Names of the stems, in the order of the chunks.
        targets (dict): Name of each stem to write → its file.
        kept (dict): Name of each stem that was written before → its file.
        encoding (Encoding): How they are stored.

    Yields:
        StemWriter

    Raises:
        OSError: if a file cannot be written.
        ValueError: if a stem that was written before does not fit the recording.
    """
    clipping, shape = ClippingCounter(encoding), (recording.sample_rate, recording.n_channels)
    stored = encoding.options(recording.n_samples, recording.n_channels, recording.sample_rate)
    if encoding.clip_mode != "rescale":
        with audio_writers(list(targets.values()), *shape, **stored) as writers:
            yield StemWriter(recording, names, dict(zip(targets, writers)), kept, clipping)
        return
    with _unscaled_files(targets.values()) as unscaled:
        wide = Encoding().options(recording.n_samples, recording.n_channels, recording.sample_rate)
        with audio_writers(unscaled, *shape, **wide) as writers:
            yield StemWriter(recording, names, dict(zip(targets, writers)), kept, clipping)
        gain = np.float32(clipping.gain)  # only known now
        with audio_writers(list(targets.values()), *shape, **stored) as writers:
            for path, write in zip(unscaled, writers):
                for block in Recording(path).blocks():
                    write(block * gain)


@contextlib.contextmanager
def _unscaled_files(targets: Iterable[Path]) -> Iterator[list[Path]]:
    """Paths of temporary files beside the final ones; what is there at the end is deleted."""
    paths = [path.with_name(f".{path.stem}.unscaled.{os.getpid()}.part.wav") for path in targets]
    try:
        yield paths
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def require_stem_of(path: Path, stem: Recording, song: Recording) -> None:
    """Refuses an existing stem that cannot be one of this song.

    Raises:
        ValueError: if length, channels or sample rate differ.
    """
    shapes = [(r.n_samples, r.n_channels, r.sample_rate) for r in (stem, song)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{path} exists and is not a stem of {song.name}: it has (samples, channels, Hz) = "
            f"{shapes[0]}, the song {shapes[1]}. Use --overwrite or another --out_dir."
        )


class _SequentialReader:
    """Reads a recording from its beginning, in blocks of any requested length."""

    def __init__(self, recording: Recording) -> None:
        self._blocks = recording.blocks()
        self._rest = np.zeros((0, recording.n_channels), dtype=np.float32)

    def read(self, n_samples: int) -> np.ndarray:
        parts, found = [self._rest], len(self._rest)
        while found < n_samples:
            parts.append(next(self._blocks))
            found += len(parts[-1])
        joined = np.concatenate(parts)
        self._rest = joined[n_samples:]
        return joined[:n_samples]
