"""Separation of a recording while it arrives: blocks in, stems out, with a known latency.

The result is that of :meth:`Separator.separate
<asteroid_scoresup.inference.separator.Separator.separate>` for the whole recording, if both use the
same level and the look-ahead is complete. Two things are different by nature:

- **Level.** The networks receive recordings at a nominal level. For a file it is measured over the
  whole file; a stream does not have its end yet. Either name the level (RMS without silent parts),
  or it is estimated from everything that has arrived. Masks depend on the level a little; the stems
  themselves are never scaled by it.
- **Look-ahead.** The mask of a frame depends on later frames, as far as the receptive field of the
  network reaches. A shorter look-ahead has less latency, and the network then treats the newest
  sample as the end of the recording: the stems become worse (:doc:`/streams` says by how much).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from ..dsp.level import LevelMeter
from ..utils.audio import HIGHEST_RATE, LOWEST_RATE
from ..utils.files import RESAMPLER
from ..utils.stream import Chunk, ChunkSplitter, as_floats
from .chunk import not_finite
from .resampler import StemResampler

if TYPE_CHECKING:
    from .separator import Separator

#: Largest delay of resampling to the rate of the model and back, in samples of the lower rate.
RESAMPLING_SAMPLES = 2600


class SeparationStream:
    r"""Separates a recording of one or more channels while it arrives.

    Args:
        separator (Separator): The model. Its network must have a bounded receptive field.
        sample_rate (int): Sample rate of the recording, in Hz.
        n_channels (int): Number of channels.
        level (float, optional): RMS of the recording, where 1 is full scale, without silent parts
            (:func:`~asteroid_scoresup.dsp.level.gated_rms`). Default: a running estimate.
        block_seconds (float): Stems come in blocks of this length. Shorter blocks have less latency
            and cost more: the network also receives the context of each block.
        lookahead_seconds (float, optional): Seconds after a block that the network receives.
            Default: as many as can change the block, so that nothing is lost.

    Attributes:
        latency_seconds (float): Stems are at most this much shorter than what was pushed.

    Raises:
        ValueError: if a value is not possible, or the network needs the whole recording.

    Examples
        >>> from asteroid_scoresup.inference import Separator
        >>> from asteroid_scoresup.models import TCNSeparator
        >>> model = TCNSeparator(["bass", "piano"], n_blocks=2, bn_chan=8)
        >>> stream = Separator(model).stream(16000, n_channels=1, block_seconds=0.5)
        >>> parts = [stream.push(np.zeros((1, 8000), dtype="float32")) for _ in range(4)]
        >>> [part["bass"].shape for part in (*parts, stream.finish())]
        [(1, 0), (1, 8192), (1, 8192), (1, 8192), (1, 7424)]
    """

    def __init__(
        self,
        separator: Separator,
        sample_rate: int,
        n_channels: int = 2,
        level: float | None = None,
        block_seconds: float = 1.0,
        lookahead_seconds: float | None = None,
    ) -> None:
        model = separator.model
        rate, hop = model.sample_rate, model.stft.hop_length
        if not model.is_local:
            raise ValueError(
                "The network normalizes over the whole recording, which a stream does not have: "
                "expected a model with norm_type cLN."
            )
        if separator.factorization is not None:
            raise ValueError(
                "factorize needs windows of half a minute, which a stream does not have: make the "
                "Separator without it."
            )
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE or n_channels < 1:
            raise ValueError(
                f"A stream has {n_channels} channels at {sample_rate} Hz, expected 1 or more at "
                f"{LOWEST_RATE} to {HIGHEST_RATE} Hz."
            )
        if level is not None and not 0 < level < math.inf:
            raise ValueError(f"level is {level}, expected an RMS above 0, where 1 is full scale.")
        if not 0 < block_seconds <= 3600:
            raise ValueError(f"block_seconds is {block_seconds}, expected more than 0.")
        self.separator, self.sample_rate, self.n_channels = separator, sample_rate, n_channels
        self.level = level
        # Samples need the frames around them, and these their windows.
        least = 2 * math.ceil(model.stft.n_fft / 2 / hop) * hop
        context = least + model.receptive_field * hop
        after = context
        if lookahead_seconds is not None:
            after = math.ceil(lookahead_seconds * rate / hop - 1e-9) * hop
            if after < least:
                raise ValueError(
                    f"lookahead_seconds is {lookahead_seconds}, expected {least / rate:.3f} or "
                    "more, the length of the STFT's windows."
                )
        core = max(math.ceil(block_seconds * rate / hop - 1e-9), 1) * hop
        self._splitter = ChunkSplitter(core, context, min(after, context))
        self._meter = LevelMeter(rate)
        self._resampler: soxr.ResampleStream | None = None
        self.latency_seconds = (core + min(after, context) + 1) / rate
        if rate != sample_rate:
            self.latency_seconds += RESAMPLING_SAMPLES / min(rate, sample_rate)
            self._resampler = soxr.ResampleStream(
                sample_rate, rate, n_channels, "float32", RESAMPLER
            )
        self._stems = StemResampler(rate, sample_rate)
        self._n_pushed = self._n_at_rate = self._n_returned = self._n_separated = 0
        self._finished = False

    def push(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        r"""Adds the next samples, of any number.

        Args:
            samples (array): Shape :math:`(channels, time)`, or :math:`(time)` for one channel:
                floats with a full scale of ±1, or integers with that of their type.

        Returns:
            dict of str to array: the stems that are complete, float32, of shape
            :math:`(channels, time')`, which may be empty.

        Raises:
            ValueError: if the shape is another one, samples are NaN or infinite, or the stream has
                ended.
        """
        if self._finished:
            raise ValueError("The stream has ended: make a new one.")
        block = np.atleast_2d(as_floats(np.asarray(samples)))
        if block.ndim != 2 or len(block) != self.n_channels:
            raise ValueError(
                f"Expected {self.n_channels} channels as (channels, time), found "
                f"{np.shape(samples)}."
            )
        if not np.isfinite(block).all():
            first = self._n_pushed + int(np.argmin(np.isfinite(block).all(0)))
            raise ValueError(
                "The stream contains NaN or infinite samples (the first at "
                f"{first / self.sample_rate:.3f} s)."
            )
        self._n_pushed += block.shape[1]
        return self._separated(self._splitter.push(self._at_model_rate(block.T)))

    def finish(self) -> dict[str, np.ndarray]:
        r"""Ends the stream.

        Returns:
            dict of str to array: the rest of the stems. Together they have as many samples as were
            pushed.

        Raises:
            ValueError: if the stream has ended before.
        """
        if self._finished:
            raise ValueError("The stream has ended: make a new one.")
        self._finished = True
        rest = self._at_model_rate(np.zeros((0, self.n_channels), np.float32), last=True)
        if self._n_pushed and not self._n_at_rate:  # shorter than one sample at this rate
            rest = np.zeros((1, self.n_channels), np.float32)
        self._stems.n_left = self._n_pushed - self._n_returned
        chunks = [*self._splitter.push(rest), *self._splitter.finish()]
        return self._separated(chunks)

    def _at_model_rate(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        if self._resampler is not None:
            block = self._resampler.resample_chunk(np.ascontiguousarray(block), last=last)
        self._n_at_rate += len(block)
        if self.level is None:
            self._meter.add(block)
        return block

    @torch.no_grad()
    def _separated(self, chunks: Iterable[Chunk]) -> dict[str, np.ndarray]:
        """The stems of chunks, at the rate of the recording."""
        names, parts = self.separator.names, []
        for chunk in chunks:
            level = self._meter.level if self.level is None else self.level
            separated = self.separator.separate_chunk(chunk, level)
            if not separated.is_finite:
                seconds = self._n_separated / self.separator.model.sample_rate
                raise ValueError(not_finite("The stream", seconds, level))
            self._n_separated += chunk.length
            assert separated.stems is not None
            parts.append(self._stems(separated.stems, chunk.last))
        stems = np.concatenate([np.zeros((0, len(names), self.n_channels), np.float32), *parts])
        self._n_returned += len(stems)
        return {name: np.ascontiguousarray(stems[:, i].T) for i, name in enumerate(names)}
