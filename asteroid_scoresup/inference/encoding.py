"""How stems are stored: file formats, and what happens to samples beyond full scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

#: Name of a format → suffix, and soundfile's names of container and sample type.
FORMATS = {
    "wav16": (".wav", "WAV", "PCM_16"),
    "wav24": (".wav", "WAV", "PCM_24"),
    "wav32f": (".wav", "WAV", "FLOAT"),
    "flac": (".flac", "FLAC", "PCM_24"),
    "mp3": (".mp3", "MP3", "MPEG_LAYER_III"),
}
#: What happens to samples beyond full scale: one gain for all stems of a song makes the loudest
#: fit; they are set to full scale; or nothing, so that float formats keep them and others clip.
CLIP_MODES = ("rescale", "clamp", "none")
#: Room above the loudest sample that ``rescale`` leaves, as a factor (as in demucs).
HEADROOM = 1.01
_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
#: A WAV header has 32 bits for the size.
_LARGEST_WAV = 4_000_000_000
# MP3: the lowest sample rate of each MPEG version, and its lowest and highest kbit/s.
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_MP3_BITRATES = {32000: (32, 320), 16000: (8, 160), 8000: (8, 64)}


@dataclass(frozen=True)
class Encoding:
    """How stems are stored.

    Args:
        file_format (str): One of :data:`FORMATS`.
        mp3_bitrate (int): Constant bit rate of MP3 files, in kbit/s; sample rates below 32 kHz
            have at most 160, below 16 kHz 64.
        clip_mode (str): One of :data:`CLIP_MODES`.

    Raises:
        ValueError: if a value is not possible.
    """

    file_format: str = "wav32f"
    mp3_bitrate: int = 320
    clip_mode: str = "none"

    def __post_init__(self) -> None:
        if self.file_format not in FORMATS:
            expected = list(FORMATS)
            raise ValueError(f"format is {self.file_format!r}, expected one of {expected}.")
        if self.clip_mode not in CLIP_MODES:
            raise ValueError(
                f"clip_mode is {self.clip_mode!r}, expected one of {list(CLIP_MODES)}."
            )
        if not 8 <= self.mp3_bitrate <= 320:
            raise ValueError(f"mp3_bitrate is {self.mp3_bitrate}, expected 8 to 320 kbit/s.")
        if self.file_format == "mp3" and "MP3" not in sf.available_formats():
            raise ValueError(
                "MP3 files need libsndfile 1.1 or newer, found "
                f"{sf.__libsndfile_version__}: choose another format, for example flac."
            )

    @property
    def suffix(self) -> str:
        """str: Suffix of the files."""
        return FORMATS[self.file_format][0]

    @property
    def is_float(self) -> bool:
        """bool: Whether samples beyond full scale can be stored."""
        return FORMATS[self.file_format][2] == "FLOAT"

    def identity(self) -> dict[str, Any]:
        """What changes the samples of a file, beyond the precision of its format."""
        facts: dict[str, Any] = {} if self.clip_mode == "none" else {"clip_mode": self.clip_mode}
        return facts | ({"mp3_bitrate": self.mp3_bitrate} if self.file_format == "mp3" else {})

    def misfit(self, n_channels: int, sample_rate: int) -> str | None:
        """Why the format cannot store such a recording, as a sentence, or None.

        Args:
            n_channels (int): Number of channels.
            sample_rate (int): Sample rate, in Hz.
        """
        if self.file_format == "mp3" and (n_channels > 2 or sample_rate not in _MP3_RATES):
            rates = ", ".join(map(str, _MP3_RATES))
            return f"MP3 has at most 2 channels, and {rates} Hz: choose another format."
        if self.file_format == "flac" and not fits_flac(n_channels, sample_rate):
            return FLAC_LIMITS + "choose a WAV format."
        return None

    def options(self, n_samples: int, n_channels: int, sample_rate: int) -> dict[str, Any]:
        """Options of :func:`~asteroid_scoresup.utils.files.audio_writers`.

        Args:
            n_samples (int): Number of samples of a stem.
            n_channels (int): Number of channels.
            sample_rate (int): Sample rate, in Hz.
        """
        _, container, subtype = FORMATS[self.file_format]
        if container == "MP3":
            low, high = next(v for rate, v in _MP3_BITRATES.items() if sample_rate >= rate)
            bitrate = min(max(self.mp3_bitrate, low), high)
            # libsndfile has a compression from 0 (the highest bit rate) to 1 (the lowest).
            level = (high - bitrate) / (high - low)
            mode = {"compression_level": level, "bitrate_mode": "CONSTANT"}
            return {"container": container, "subtype": subtype, **mode}
        if container == "WAV" and n_samples * n_channels * _BYTES[subtype] > _LARGEST_WAV:
            container = "RF64"  # WAV with 64-bit sizes; libsndfile silently truncates a larger WAV
        return {"container": container, "subtype": subtype}


#: What FLAC can store; advice follows.
FLAC_LIMITS = (
    "FLAC, which the page to listen to uses too, has at most 8 channels, and above 65535 Hz only "
    "multiples of 10 Hz: "
)


def fits_flac(n_channels: int, sample_rate: int) -> bool:
    """Whether FLAC can store such a recording.

    Args:
        n_channels (int): Number of channels.
        sample_rate (int): Sample rate, in Hz.

    Examples
        >>> fits_flac(2, 96000), fits_flac(9, 44100)
        (True, False)
    """
    # FLAC stores sample rates in Hz up to 16 bits, and in tens of Hz above.
    rate = sample_rate
    return n_channels <= 8 and (rate < 1 << 16 or (rate % 10 == 0 and rate < 10 << 16))


class ClippingCounter:
    """Counts the samples beyond full scale, and treats them as the encoding says.

    Args:
        encoding (Encoding): Its format and its mode of clipping.

    Attributes:
        peak (float): Largest magnitude so far, if the encoding needs it.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.counts: Counter[str] = Counter()
        self.peak = 0.0

    def limited(self, name: str, samples: np.ndarray) -> np.ndarray:
        """The next samples of a stem, as they are written.

        Args:
            name (str): Name of the stem.
            samples (array): Its samples.
        """
        mode = self.encoding.clip_mode
        if not len(samples) or (mode == "none" and self.encoding.is_float):
            return samples
        magnitude = np.abs(samples)
        if (peak := float(magnitude.max())) > 1:
            self.counts[name] += int((magnitude > 1).sum())
            self.peak = max(self.peak, peak)
            return np.clip(samples, -1, 1) if mode == "clamp" else samples
        return samples

    @property
    def gain(self) -> float:
        """float: The gain of all stems: 1, or what makes the loudest of them fit."""
        return 1 / (HEADROOM * self.peak) if self._rescales else 1.0

    @property
    def _rescales(self) -> bool:
        return self.encoding.clip_mode == "rescale" and self.peak > 1

    def warnings(self, targets: Mapping[str, Path]) -> list[str]:
        """One sentence, or none.

        Args:
            targets (dict): Name of each stem → its file.
        """
        if self._rescales:
            change = 20 * np.log10(self.gain)
            return [f"all stems are scaled by {change:+.1f} dB, so that the loudest fits"]
        if not self.counts:
            return []
        counts = ", ".join(f"{n} in {targets[name].name}" for name, n in self.counts.items())
        return [
            f"samples above full scale are clipped ({counts}; the peak is {self.peak:.3g}, "
            f"{20 * np.log10(self.peak):+.1f} dB): use --format wav32f, --clip-mode rescale, or a "
            "quieter song"
        ]
