"""Decodes audio files with the ffmpeg command, where it is installed."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import numpy as np

_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_EARLY = re.compile(r"\[error\].*(prematurely|partial|truncated)")
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,aac,asf,matroska,webm,mp3,ogg,flac,wav,w64,aiff,caf,au,"
    "ac3,eac3,dts,ape,wv,tta,mpc,mpc8,amr"
)


def ffmpeg() -> str | None:
    """Finds the ffmpeg command.

    Returns:
        str, optional: Its path, or None if it is not installed.
    """
    return shutil.which("ffmpeg")


class FfmpegStream:
    """The first audio track of a file, decoded by ffmpeg.

    ffmpeg writes Sun AU, whose header of 24 bytes contains the sample rate and number of channels.

    Args:
        command (str): The ffmpeg command.
        path (Path): The file.

    Attributes:
        shape (tuple of int): Sample rate, in Hz, and number of channels.

    Raises:
        ValueError: if the file has no audio that ffmpeg can decode.
    """

    def __init__(self, command: str, path: Path) -> None:
        # Only local files and formats of audio are allowed, since a playlist could name anything.
        # With "file:" names such as "concat:x" or "-i" have no special meaning.
        self._path, self._log = path, tempfile.TemporaryFile()  # noqa: SIM115
        self._done = 0
        self._why: str | None = None
        self.process = subprocess.Popen(
            [
                *(command, "-nostdin", "-nostats", "-v", "level+info", "-xerror"),
                *("-protocol_whitelist", "file"),
                *("-format_whitelist", _DEMUXERS, "-i", f"file:{path}"),
                *("-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._output = cast(IO[bytes], self.process.stdout)
        head = self._output.read(24)
        if len(head) < 24 or head[:4] != b".snd":
            self._fail()
        offset, _, _, rate, channels = struct.unpack(">5I", head[4:])
        self._output.read(offset - 24)
        self.shape = (rate, channels)

    def read(self, size: int, **_: Any) -> np.ndarray:
        r"""Decodes the next samples.

        Args:
            size (int): Number of samples; fewer at the end.
            **_: Options of ``soundfile.SoundFile.read``, ignored.

        Returns:
            :class:`numpy.ndarray`: float32, shape :math:`(time, channels)`.

        Raises:
            ValueError: if the file is damaged or truncated.
        """
        width = 4 * self.shape[1]
        data = self._output.read(size * width)
        self._done += len(data) // width
        if len(data) < size * width and (self.process.wait() or self._ends_early()):
            self._fail()
        whole = len(data) // width * width
        samples = np.frombuffer(data[:whole], dtype=">f4").astype(np.float32)
        return samples.reshape(-1, self.shape[1])

    def _ends_early(self) -> bool:
        """Whether the file is truncated, of which ffmpeg only warns."""
        messages = self._messages()
        if _EARLY.search(messages):
            return True
        length = _DURATION.search(messages)
        # The duration of a video may differ from that of its audio, and estimates are not used.
        if not length or "Estimating duration" in messages or ": Video: " in messages:
            return False
        hours, minutes, seconds = map(float, length.groups())
        missing = 3600 * hours + 60 * minutes + seconds - self._done / self.shape[0]
        self._why = f"{missing:.1f} s of its duration are missing" if missing > 0.5 else None
        return missing > 0.5

    def _messages(self) -> str:
        self._log.seek(0)
        return self._log.read(1 << 16).decode(errors="replace").strip()

    def _fail(self) -> NoReturn:
        self._output.close()
        self.process.wait()
        errors = re.findall(r"\[(?:error|fatal)\] (.*)", self._messages()) or [self._why]
        self.close()
        reason = (errors[-1] or "it has no samples").replace(f"file:{self._path}: ", "")
        raise ValueError(f"{self._path} cannot be read as audio: {reason.rstrip('.')} (ffmpeg).")

    def close(self) -> None:
        """Ends ffmpeg."""
        self.process.kill()
        self.process.wait()
        self._output.close()
        self._log.close()
