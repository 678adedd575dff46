r"""Separates songs with an exported model, without torch.

    asteroid-scoresup export model.pth model.onnx        # once, with the whole package
    python -m asteroid_scoresup_onnx model.onnx song.wav # needs numpy, soundfile, soxr, onnxruntime

This module is outside the package, whose import loads torch, and uses nothing of it: the file
can be copied into another program. The ONNX graph maps magnitudes to masks; everything around it
(level, STFT, chunks with context, resampling) is done here as
:class:`asteroid_scoresup.inference.Separator` does it, and gives the same stems within 1e-4.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile as sf
import soxr

#: Key of the settings in the metadata of the ONNX file, and their version.
METADATA, FORMAT_VERSION = "asteroid_scoresup", 1
_BLOCK = 1 << 18  # samples that are read at a time
_Blocks = Callable[[], Iterator[np.ndarray]]


class OnnxSeparator:
    """Separates recordings of any length, sample rate and number of channels.

    Args:
        path (str or Path): An ONNX file from ``asteroid-scoresup export``.
        threads (int, optional): Threads of onnxruntime. Default: its own choice.

    Attributes:
        names (list of str): Names of the stems, in order.
        sample_rate (float): Sample rate of the model, in Hz.

    Raises:
        ValueError: if the file is missing or is not such a model.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        if not os.path.isfile(path):
            raise ValueError(f"There is no model file {path}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many types for damaged files
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ValueError(f"{path} is not an ONNX model: {reason}") from None
        facts = _read_facts(self._session.get_modelmeta().custom_metadata_map, path)
        self.names: list[str] = facts["classes"]
        self.sample_rate, self._nominal = facts["sample_rate"], facts["nominal_rms"]
        self._n_fft, self._hop = facts["n_fft"], facts["hop_length"]
        phase = 2 * np.pi * np.arange(self._n_fft) / self._n_fft
        self._window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        # An STFT frame covers half a window on each side, and so does its inverse.
        self._margin = math.ceil(self._n_fft / 2 / self._hop)
        self._context = (facts["receptive_field"] + 2 * self._margin) * self._hop
        seconds = max(30.0, 16 * self._context / self.sample_rate)
        if not facts["is_local"]:
            seconds = 1e6  # its norm depends on the whole recording: one chunk
        self._core = max(int(seconds * self.sample_rate) // self._hop, 1) * self._hop

    def separate(self, audio: np.ndarray, sample_rate: int) -> dict[str, np.ndarray]:
        r"""Separates a recording in memory.

        Args:
            audio (array): Floats, shape :math:`(time)` or :math:`(channels, time)`.
            sample_rate (int): Its sample rate, in Hz.

        Returns:
            dict of str to array: stems by name, float32, with the shape of `audio`.

        Raises:
            ValueError: if it is empty, or samples are NaN or infinite.
        """
        samples = np.asarray(audio, np.float32)
        if samples.ndim not in (1, 2) or not samples.size:
            raise ValueError(f"Expected shape (time) or (channels, time), found {samples.shape}.")
        rows = np.atleast_2d(samples)
        starts = range(0, rows.shape[1], _BLOCK)

        def blocks() -> Iterator[np.ndarray]:
            return (rows[:, i : i + _BLOCK].T for i in starts)

        try:
            parts = list(self._stems(blocks, sample_rate, len(rows)))
        except ValueError as error:
            raise ValueError(f"The recording: {error}") from None
        stems = np.concatenate(parts).transpose(1, 2, 0)  # (n_src, channels, time)
        return {
            name: np.ascontiguousarray(stem.reshape(samples.shape))
            for name, stem in zip(self.names, stems)
        }

    def separate_file(self, path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
        """Separates a file, in constant memory, into ``<folder>/<name>.wav`` (32-bit float).

        Args:
            path (str or Path): A file that libsndfile reads.
            folder (str or Path): The folder to write to.

        Raises:
            ValueError: if the file cannot be read, is empty, or has NaN or infinite samples.
        """
        try:
            info = sf.info(os.fspath(path))
        except (sf.LibsndfileError, TypeError) as error:
            raise ValueError(f"{path} cannot be read as audio: {error}") from None
        read = partial(sf.blocks, os.fspath(path), _BLOCK, dtype="float32", always_2d=True)
        Path(folder).mkdir(parents=True, exist_ok=True)
        final = [Path(folder) / f"{name}.wav" for name in self.names]
        unfinished = [file.with_name(f".{file.stem}.{os.getpid()}.part.wav") for file in final]
        try:
            with ExitStack() as stack:
                files = [
                    stack.enter_context(
                        sf.SoundFile(file, "w", info.samplerate, info.channels, "FLOAT")
                    )
                    for file in unfinished
                ]
                for stems in self._stems(read, info.samplerate, info.channels):
                    for file, stem in zip(files, stems.transpose(1, 0, 2)):
                        file.write(stem)
            for file, name in zip(unfinished, final):
                os.replace(file, name)
        except (sf.LibsndfileError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
        finally:
            for file in unfinished:
                file.unlink(missing_ok=True)

    def _stems(self, blocks: _Blocks, rate: int, n_channels: int) -> Iterator[np.ndarray]:
        """Stems of successive chunks, (time, n_src, channels), at the rate of the recording."""
        level, n_left = _level_and_length(blocks, rate, self.sample_rate, n_channels)
        gain, back = self._nominal / max(level, 1e-6), None
        at_rate = _resampled(blocks(), rate, self.sample_rate, n_channels)
        for samples, start, length, last in _chunks(at_rate, self._core, self._context):
            stems = self._separate_chunk(samples.T, start, length, last, gain)
            flat = np.ascontiguousarray(stems.transpose(2, 0, 1)).reshape(length, -1)
            if rate != self.sample_rate:
                if back is None:
                    back = soxr.ResampleStream(
                        self.sample_rate, rate, flat.shape[1], "float32", "VHQ"
                    )
                flat = back.resample_chunk(flat, last=last)
            flat = flat[:n_left]
            n_left -= len(flat)
            if last and n_left:  # rounding at two rates: a sample or two
                flat = np.pad(flat, ((0, n_left), (0, 0)))
            if not np.isfinite(flat).all():
                raise ValueError("the model gives NaN or infinite values.")
            yield flat.reshape(len(flat), len(self.names), n_channels)

    def _separate_chunk(
        self, wav: np.ndarray, start: int, length: int, last: bool, gain: float
    ) -> np.ndarray:
        """Stems of a chunk without its context: (channels, time) → (n_src, channels, time)."""
        n_fft, hop, window = self._n_fft, self._hop, self._window
        wav = np.pad(wav, ((0, 0), (0, max(n_fft - wav.shape[1], 0))))
        padded = np.pad(wav, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=1)[:, ::hop]
        spectrum = np.fft.rfft(frames * window).astype(np.complex64)  # (channels, frames, freq)
        # Root mean square over the channels, so that opposite phases do not cancel.
        power = (spectrum.real**2 + spectrum.imag**2).mean(0)
        magnitude = (np.sqrt(power) * (2 / max(n_fft / 2, 1) * gain)).T[None].astype(np.float32)
        # A sample is the sum of all frames whose window covers it.
        stop = magnitude.shape[-1] if last else (start + length) // hop + self._margin
        first = max(start // hop - self._margin, 0)
        masks = self._session.run(None, {"magnitude": magnitude})[0][0, :, :, first:stop]
        separated = spectrum[None, :, first:stop] * masks.transpose(0, 2, 1)[:, None]
        frames = np.fft.irfft(separated, n_fft).astype(np.float32) * window
        total = (frames.shape[2] - 1) * hop + n_fft
        sums, weight = np.zeros((*frames.shape[:2], total), np.float32), np.zeros(total, np.float32)
        for t in range(frames.shape[2]):
            sums[:, :, t * hop : t * hop + n_fft] += frames[:, :, t]
            weight[t * hop : t * hop + n_fft] += window**2
        sums /= np.maximum(weight, 1e-11)
        begin = n_fft // 2 + start - first * hop
        stems = sums[:, :, begin : begin + length]
        return np.pad(stems, ((0, 0), (0, 0), (0, length - stems.shape[2])))


def _read_facts(metadata: dict[str, str], path: str | os.PathLike[str]) -> dict:
    """The settings in the metadata of an ONNX file."""
    try:
        facts = json.loads(metadata[METADATA])
        version = facts["format_version"]
        sizes = [facts[key] for key in ("sample_rate", "n_fft", "hop_length", "nominal_rms")]
        valid = all(isinstance(size, (int, float)) and 0 < size < 1e6 for size in sizes)
        valid &= all(isinstance(facts[key], int) for key in ("n_fft", "hop_length", "is_local"))
        valid &= facts["n_fft"] / 64 <= facts["hop_length"] <= facts["n_fft"] <= 1 << 17
        valid &= 0 <= int(facts["receptive_field"]) <= 1 << 24
        # They become names of files.
        valid &= all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) for name in facts["classes"])
    except (KeyError, TypeError, ValueError, OverflowError):
        valid, version = False, FORMAT_VERSION
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} was exported by another version: export it again.")
    if not valid:
        raise ValueError(
            f"{path} has no valid settings of asteroid-scoresup in its metadata: export it with "
            "`asteroid-scoresup export`."
        )
    return facts


def _level_and_length(
    blocks: _Blocks, rate: int, model_rate: float, n_channels: int
) -> tuple[float, int]:
    """RMS without silent parts (blocks of 0.4 s more than 45 dB below the loudest), and length.

    The level is measured at the model's rate, the length is that of the recording.
    """
    n_samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal n_samples
        for block in blocks():
            if not np.isfinite(block).all():
                raise ValueError("it contains NaN or infinite samples.")
            n_samples += len(block)
            yield block

    size, energies, rest = max(round(0.4 * model_rate), 1), [], np.zeros(0)
    for block in _resampled(counted(), rate, model_rate, n_channels):
        power = np.concatenate([rest, np.square(block, dtype=np.float64).mean(1)])
        whole = len(power) // size * size
        energies.extend(power[:whole].reshape(-1, size).sum(1))
        rest = power[whole:]
    if not n_samples:
        raise ValueError("it contains no samples.")
    sums = np.array([*energies, *([rest.sum()] if len(rest) else [])])
    counts = np.array([*[size] * len(energies), *([len(rest)] if len(rest) else [])])
    if not sums.any():
        return 0.0, n_samples
    full = sums[counts == size]  # a short rest must not set the gate
    gate = (full / size if full.any() else sums / counts).max() * 10 ** (-45 / 10)
    kept = sums / counts >= gate
    return math.sqrt(sums[kept].sum() / counts[kept].sum()), n_samples


def _resampled(
    blocks: Iterator[np.ndarray], rate: float, new_rate: float, n_channels: int
) -> Iterator[np.ndarray]:
    """Blocks (time, channels) at another rate, at least one sample."""
    count, stream = 0, None
    if rate != new_rate:
        stream = soxr.ResampleStream(rate, new_rate, n_channels, "float32", "VHQ")
    for block in blocks:
        block = block if stream is None else stream.resample_chunk(np.ascontiguousarray(block))
        count += len(block)
        yield block
    if stream is not None:
        block = stream.resample_chunk(np.zeros((0, n_channels), np.float32), last=True)
        count += len(block)
        yield block
    if not count:
        yield np.zeros((1, n_channels), np.float32)


def _chunks(
    blocks: Iterator[np.ndarray], length: int, context: int
) -> Iterator[tuple[np.ndarray, int, int, bool]]:
    """Samples with context, its length before the chunk, the chunk's length, whether it is last."""
    waiting: list[np.ndarray] = []
    n_waiting = before = 0
    for block in itertools.chain(blocks, [None]):
        if block is not None:
            waiting.append(block)
            n_waiting += len(block)
        # Before the end is known, a chunk needs a sample more than its context.
        more = length + context if block is not None else 0
        if n_waiting <= before + more:
            continue
        buffer = np.concatenate(waiting)
        while len(buffer) > before + more:
            n = min(length, len(buffer) - before)
            yield buffer[: before + n + context], before, n, before + n == len(buffer)
            dropped = max(before + n - context, 0)
            buffer, before = buffer[dropped:], before + n - dropped
        waiting, n_waiting = [buffer], len(buffer)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m asteroid_scoresup_onnx``.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        int: Exit status: 0, or 1 if a song failed, which is reported in one line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m asteroid_scoresup_onnx", description="Separate songs without torch."
    )
    parser.add_argument("model", help="ONNX file from `asteroid-scoresup export`")
    parser.add_argument("songs", nargs="+", help="audio files that libsndfile reads")
    parser.add_argument("--out_dir", default="separated", help="write to OUT_DIR/<song>/")
    parser.add_argument("--threads", type=int, help="threads of onnxruntime (default: its choice)")
    args, failed = parser.parse_args(argv), 0
    try:
        separator = OnnxSeparator(args.model, args.threads)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for song in args.songs:
        folder = Path(args.out_dir) / Path(song).stem
        try:
            separator.separate_file(song, folder)
            print(f"{folder}: {len(separator.names)} written")
        except (ValueError, OSError) as error:
            failed = 1
            print(error, file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
