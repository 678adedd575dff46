"""Audio files, decoded to their end: one way in for preparation and separation.

libsndfile decodes most; where it does not know a format (AAC, WMA, WebM…), ffmpeg does, if it is
installed. How long a file is, is what decodes: headers are estimates, or lie. A file that breaks
off is refused, since half a song beside a whole score, or half a stem, is worse than none.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import soundfile as sf

from .audio_streams import BrokenOff, asf_size, flac_streams, mapped, mpeg_streams, ogg_streams

#: Suffixes of what libsndfile decodes: lossless formats first.
SNDFILE_SUFFIXES = (
    *(".flac", ".wav", ".w64", ".rf64", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd"),
    *(".ogg", ".oga", ".opus", ".mp3", ".mp2"),
)
#: Suffixes of what needs ffmpeg.
FFMPEG_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".aac", ".wma", ".asf", ".webm", ".mka", ".mkv"),
    *(".ac3", ".eac3", ".dts", ".ape", ".wv", ".tta", ".mpc", ".amr"),
)
AUDIO_SUFFIXES = (*SNDFILE_SUFFIXES, *FFMPEG_SUFFIXES)
#: Sample rates of files, in Hz. Beyond are mistakes, which would cost gigabytes.
LOWEST_RATE, HIGHEST_RATE = 4000, 384_000
#: Samples that are read at a time.
BLOCK = 1 << 18

# Containers that say how many bytes of samples they hold, so that nothing need be counted.
_PLAIN = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU")
_PCM = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# What programs write for "unknown" where they cannot go back: 0, or about 2 ** 31 or 2 ** 32.
_UNKNOWN = ((-1, 0), (0x7FFF_0000, 0x8000_0000), (0xFFFF_0000, 0xFFFF_FFFF))
_SIZES = re.compile(r"^ *(data|SSND|BODY|riff|Data Size) *: (-?\d+) \(should be (\d+)\)", re.M)
_DS64 = re.compile(r"Calculated frame count (\d+) does not match .*'ds64' chunk of (\d+)")
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_EARLY = re.compile(r"\[error\].*(prematurely|partial|truncated)")
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2;aac;asf;matroska,webm;mp3;ogg;flac;wav;w64;aiff;caf;au;"
    "ac3;eac3;dts;ape;wv;tta;mpc;mpc8;amr"
)


class _Forward(sf.SoundFile):
    """Reads to the end of what decodes, where soundfile stops at the promised length."""

    def seekable(self):
        return False


class AudioFile:
    """An audio file that can be decoded block by block, as often as wanted.

    Args:
        path (str or Path): Anything that libsndfile or an installed ffmpeg reads.

    Attributes:
        sample_rate (int): Rate, in Hz.
        n_channels (int): Number of channels.
        remarks (list of str): What is odd about the file and did not prevent its use.

    Raises:
        ValueError: if it cannot be read, breaks off, has streams that do not go together, or a
            rate outside 4000 to 384,000 Hz: one sentence that names it.
    """

    def __init__(self, path):
        self.path, self.remarks, self._frames = Path(path), [], None
        with _named(self.path):
            if not self.path.exists():
                raise ValueError(f"{self.path}: no such file.")
            if not self.path.is_file():
                raise ValueError(f"{self.path} is not a file.")
            if not self.path.stat().st_size:
                raise ValueError(f"{self.path} is empty: it holds no samples.")
            self._streams = self._find_streams()
            shapes = list(dict.fromkeys(shape for *_, shape in self._streams))
        if len(shapes) > 1:
            raise ValueError(
                f"{self.path} joins streams of different (Hz, channels): "
                f"{', '.join(map(str, shapes))}. Convert them to one rate, each to a file."
            )
        self.sample_rate, self.n_channels = shapes[0]
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise ValueError(
                f"{self.path} has a sample rate of {self.sample_rate} Hz, expected {LOWEST_RATE} "
                f"to {HIGHEST_RATE}: resample it, or correct its header."
            )

    def count(self):
        """Samples of each channel; decodes the file where no header can be trusted."""
        if self._frames is None:
            self._frames = sum(map(len, self.blocks()))
        return self._frames

    def blocks(self, size=BLOCK):
        r"""Decodes from the beginning.

        Yields:
            array: float32, shape :math:`(time, channels)`; `size` samples or, at the end of a
            stream, fewer.

        Raises:
            ValueError: if the file breaks off or is damaged.
        """
        with _named(self.path):
            for open_stream, promised, _ in self._streams:
                done = 0
                with contextlib.closing(open_stream()) as stream:
                    try:
                        while len(block := stream.read(size, dtype="float32", always_2d=True)):
                            done += len(block)
                            yield block
                    except sf.LibsndfileError as error:
                        # Tags after the last frame are no samples, and no damage.
                        if not promised or done != promised:
                            raise ValueError(
                                f"{self.path} is damaged: it decodes up to "
                                f"{done / self.sample_rate:.2f} s ({_reason(error)})."
                            ) from None
                if done < promised:
                    raise ValueError(
                        f"{self.path} is damaged: {done} samples can be read, its header says "
                        f"{promised}."
                    )

    def _find_streams(self):
        """(what opens it, samples that are promised or 0, (rate, channels)) of each stream."""
        try:
            with _Forward(self.path) as stream:
                kind, subtype, log = stream.format, stream.subtype, stream.extra_info
                n_samples, shape = stream.frames, (stream.samplerate, stream.channels)
        except (sf.LibsndfileError, TypeError) as error:
            return self._unknown_to_sndfile(error)
        with self._broken_off():
            if kind == "FLAC" and (streams := flac_streams(mapped(self.path))):
                return [_opened(lambda s=s: _Forward(_rewound(s)), n) for s, n in streams]
            if kind == "OGG" and len(streams := ogg_streams(mapped(self.path))) > 1:
                return [_opened(lambda s=s: _Forward(_rewound(s))) for s in streams]
            if kind in ("MP3", "MPEG") and (streams := self._mpeg()):
                return streams
            _check_sizes(log)
        if kind in _PLAIN and subtype in _PCM:
            self._frames = n_samples
            if not n_samples and self.path.stat().st_size > 4096:
                raise ValueError(
                    f"{self.path} is empty, says its header (it holds no samples), though the "
                    f"file has {self.path.stat().st_size} bytes: a recording that was not finished?"
                )
        return [(lambda: _Forward(self.path), 0 if n_samples >= 1 << 62 else n_samples, shape)]

    @contextlib.contextmanager
    def _broken_off(self):
        try:
            yield
        except BrokenOff as error:
            raise ValueError(
                f"{self.path} breaks off: {error}. Copy it again, or make a file of what is there "
                f"(ffmpeg -i {self.path.name} -c:a flac rest.flac)."
            ) from None

    def _mpeg(self):
        streams, cut = mpeg_streams(mapped(self.path))
        if cut:
            self.remarks.append("its last MPEG frame is cut: it may have been longer")
        return [
            _opened(lambda s=s: _Forward(_piped(s) if isinstance(s, bytes) else _rewound(s)))
            for s in streams
        ]

    def _unknown_to_sndfile(self, error):
        """Streams of a file that libsndfile refuses."""
        if self.path.suffix.lower() in (".mp3", ".mp2"):  # behind a tag that hides the frames?
            with contextlib.suppress(BrokenOff, sf.LibsndfileError):
                if streams := self._mpeg():
                    return streams
        command = ffmpeg()
        if command is None:
            if self.path.suffix.lower() not in FFMPEG_SUFFIXES:
                raise ValueError(
                    f"{self.path} cannot be read as audio: {_reason(error)}."
                ) from None
            raise ValueError(
                f"{self.path} cannot be read without ffmpeg, which is not installed: install it, "
                "or convert the file to FLAC or WAV."
            ) from None
        with self._broken_off(), open(self.path, "rb") as file:
            _check_asf(file.read(1 << 16), self.path.stat().st_size)
        stream = _Ffmpeg(command, self.path)
        stream.close()
        return [(lambda: _Ffmpeg(command, self.path), 0, stream.shape)]


def ffmpeg():
    """Path of the ffmpeg command, or None where it is not installed."""
    return shutil.which("ffmpeg")


@contextlib.contextmanager
def _named(path):
    """Errors of decoders as one sentence that names the file."""
    try:
        yield
    except (sf.LibsndfileError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as audio: {_reason(error)}.") from None


def _reason(error):
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split()).rstrip(".")


def _opened(opener, promised=0):
    with opener() as stream:
        return opener, promised, (stream.samplerate, stream.channels)


def _rewound(stream):
    stream.seek(0)
    return stream


def _check_sizes(log):
    """Compares the sizes in a header with the file's, as libsndfile noted them while reading."""
    for _, said, there in _SIZES.findall(log):
        said, there = int(said), int(there)
        known = not any(low <= said <= high for low, high in _UNKNOWN)
        # One byte is padding that some programs leave out.
        if known and said > there + 1:
            raise BrokenOff(f"its header announces {said} bytes of samples, it holds {there}")
    for there, said in _DS64.findall(log):
        if int(said) > int(there):
            raise BrokenOff(f"its header announces {said} samples, it holds {there}")


def _check_asf(head, size):
    if (said := asf_size(head)) > size:
        raise BrokenOff(f"its header says that it has {said} bytes, it has {size}")


def _piped(data):
    """File descriptor from which the data can be read; libsndfile then reads to the end."""
    reading, writing = os.pipe()

    def feed():
        with contextlib.suppress(OSError), os.fdopen(writing, "wb", buffering=0) as pipe:
            view = memoryview(data)
            while len(view):
                view = view[pipe.write(view[:65536]) :]

    threading.Thread(target=feed, daemon=True).start()
    return reading


class _Ffmpeg:
    """The first audio track of a file, as ffmpeg decodes it; has what is used of SoundFile.

    Sun AU carries rate and channels through a pipe in 24 bytes.
    """

    def __init__(self, command, path):
        # Only local files, only containers of audio: a playlist could name anything. "file:" keeps
        # a name such as "concat:x" or "-i" from meaning more than itself.
        self._path, self._said = path, tempfile.TemporaryFile()  # noqa: SIM115
        self._done, self._why = 0, None
        self.process = subprocess.Popen(
            [
                *(
                    command,
                    "-nostdin",
                    "-nostats",
                    "-v",
                    "level+info",
                    "-xerror",
                    "-protocol_whitelist",
                    "file",
                ),
                *("-format_whitelist", _DEMUXERS.replace(";", ","), "-i", f"file:{path}"),
                *("-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        head = self.process.stdout.read(24)
        if len(head) < 24 or head[:4] != b".snd":
            self._fail()
        offset, _, _, rate, channels = struct.unpack(">5I", head[4:])
        self.process.stdout.read(offset - 24)
        self.shape = (rate, channels)

    def read(self, size, **_):
        width = 4 * self.shape[1]
        data = self.process.stdout.read(size * width)
        self._done += len(data) // width
        if len(data) < size * width and (self.process.wait() or self._ends_early()):
            self._fail()
        whole = len(data) // width * width
        samples = np.frombuffer(data[:whole], dtype=">f4").astype(np.float32)
        return samples.reshape(-1, self.shape[1])

    def _ends_early(self):
        """Whether the file ends before its track does: ffmpeg only says so, and succeeds."""
        words = self._words()
        if _EARLY.search(words):
            return True
        length = _DURATION.search(words)
        # The length of a film is not that of its sound, and an estimate is none.
        if not length or "Estimating duration" in words or ": Video: " in words:
            return False
        hours, minutes, seconds = map(float, length.groups())
        missing = 3600 * hours + 60 * minutes + seconds - self._done / self.shape[0]
        self._why = f"{missing:.1f} s of its length are missing" if missing > 0.5 else None
        return missing > 0.5

    def _words(self):
        self._said.seek(0)
        return self._said.read(1 << 16).decode(errors="replace").strip()

    def _fail(self):
        self.process.stdout.close()
        self.process.wait()
        said = re.findall(r"\[(?:error|fatal)\] (.*)", self._words()) or [self._why]
        self.close()
        reason = (said[-1] or "it gives no samples").replace(f"file:{self._path}: ", "")
        raise ValueError(f"{self._path} cannot be read as audio: {reason.rstrip('.')} (ffmpeg).")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._said.close()
