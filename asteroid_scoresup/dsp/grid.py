"""The time-frequency grid of an STFT: the positions of its frames and bins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameGrid:
    """Sizes that determine the frames and bins of a centered STFT.

    Args:
        n_fft (int): Length of window and transform, in samples.
        hop_length (int): Hop, in samples.
        sample_rate (float): Sample rate, in Hz.

    Examples
        >>> grid = FrameGrid(n_fft=2048, hop_length=512, sample_rate=16000)
        >>> grid.n_freqs, grid.n_frames(16000), grid.frames_per_second
        (1025, 32, 31.25)
    """

    n_fft: int
    hop_length: int
    sample_rate: float

    @property
    def n_freqs(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def frames_per_second(self) -> float:
        """Frame rate, in Hz."""
        return self.sample_rate / self.hop_length

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a signal of `n_samples` samples."""
        return max(n_samples, self.n_fft) // self.hop_length + 1
