"""Separators outside of this package: commands that write the stems of a song to a folder.

The mixture is written to a WAV file, mono and at its own rate; the command separates it, and the
files that it writes are matched with the classes by their names. Nothing passes through a shell.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..utils.audio import AUDIO_SUFFIXES
from ..utils.files import read_audio, write_audio

#: Seconds that a command may take for one song.
TIMEOUT_SECONDS = 3600.0
#: Stems may be longer or shorter than the mixture by this much, in seconds.
TOLERANCE_SECONDS = 0.1
#: Name of the mixture, which some separators put before the names of stems.
_MIXTURE = "mixture"


@dataclass(frozen=True)
class ExternalSeparator:
    """A command that separates a file into a folder.

    Args:
        name (str): Its name in tables.
        command (str): Command line, quoted as in a shell, with the placeholders ``{input}``, the
            file of the mixture, and ``{output}``, an empty folder.
        files (dict, optional): For classes whose files have other names: the names, without suffix,
            of the files that are summed. Default: the file of a class is named like the class, or
            ``mixture`` and the class, whatever its folder, suffix and capitals.
        timeout (float): Seconds that the command may take for one song.

    Raises:
        ValueError: if the command lacks a placeholder or a closing quote.

    Examples
        >>> separator = ExternalSeparator("Demucs", "demucs -n htdemucs_6s -o {output} {input}")
        >>> separator.words("song.wav", "stems")
        ['demucs', '-n', 'htdemucs_6s', '-o', 'stems', 'song.wav']
    """

    name: str
    command: str
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    timeout: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(
                f"The command of {self.name}, {self.command!r}, is not quoted as in a shell: "
                f"{error}."
            ) from None
        for place in ("{input}", "{output}"):
            if not any(place in word for word in words):
                raise ValueError(
                    f"The command of {self.name}, {self.command!r}, lacks {place}: expected for "
                    "example 'demucs -o {output} {input}'."
                )

    def words(self, mixture: str | Path, folder: str | Path) -> list[str]:
        """The command line for a song.

        Args:
            mixture (str or Path): File of the mixture.
            folder (str or Path): Folder for the stems.
        """
        words = shlex.split(self.command)
        return [w.replace("{input}", str(mixture)).replace("{output}", str(folder)) for w in words]

    def __call__(
        self, mixture: np.ndarray, sample_rate: int, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        r"""Separates a song.

        Args:
            mixture (array): The mixture, shape :math:`(time,)`.
            sample_rate (int): Its rate, in Hz.
            names (sequence of str): The classes.

        Returns:
            dict of str to array: float32, shape :math:`(time,)`, for those of the classes that the
            command wrote a file of.

        Raises:
            ValueError: if the command cannot be started, fails, or takes too long; or if it writes
                no file of any class, several of one, or one of another length.
        """
        with tempfile.TemporaryDirectory() as temporary:
            path, folder = Path(temporary) / f"{_MIXTURE}.wav", Path(temporary) / "stems"
            folder.mkdir()
            write_audio(path, np.asarray(mixture, np.float32), sample_rate)
            self._run(self.words(path, folder), Path(temporary) / "log.txt")
            found = self._files_of_classes(folder, names)
            return {
                name: np.sum([self._read(f, sample_rate, len(mixture)) for f in files], axis=0)
                for name, files in found.items()
            }

    def _run(self, words: list[str], log: Path) -> None:
        """Runs the command; its children end with it if it takes too long."""
        with open(log, "wb") as stream:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ValueError(
                    f"{self.name} cannot be started: {words[0]!r}, {os.strerror(error.errno or 0)}."
                    " Install it, or name its path in --external."
                ) from None
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                raise ValueError(
                    f"{self.name} took more than {self.timeout:g} s for one song: allow more with "
                    "--external_timeout."
                ) from None
            finally:
                if process.poll() is None:
                    _end(process)
        if status:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            said = f": {lines[-1].strip()[:300]}" if lines else ""
            raise ValueError(f"{self.name} ended with status {status}{said}")

    def _files_of_classes(self, folder: Path, names: Sequence[str]) -> dict[str, list[Path]]:
        """The files of each class that the command wrote any of."""
        written: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
                key = _plain(path.stem).removeprefix(f"{_MIXTURE}_")
                written.setdefault(key, []).append(path)
        found: dict[str, list[Path]] = {}
        for name in names:
            wanted = [_plain(file) for file in self.files.get(name, [name])]
            if name in self.files and (missing := [file for file in wanted if file not in written]):
                raise ValueError(
                    f"{self.name} wrote no file {missing[0]!r} for the class {name}; it wrote "
                    f"{_listed(written)}."
                )
            found[name] = [path for file in wanted for path in written.get(file, [])]
            if len(found[name]) > len(wanted):
                places = ", ".join(str(path.relative_to(folder)) for path in found[name])
                raise ValueError(f"{self.name} wrote several files for the class {name}: {places}.")
        found = {name: paths for name, paths in found.items() if paths}
        if not found:
            raise ValueError(
                f"{self.name} wrote no file named {', '.join(names)}; it wrote {_listed(written)}. "
                "Name them with --external_stems."
            )
        return found

    def _read(self, path: Path, sample_rate: int, length: int) -> np.ndarray:
        """A stem as mono, with the rate and length of the mixture."""
        stem = read_audio(path, sample_rate)[0]
        if abs(len(stem) - length) > TOLERANCE_SECONDS * sample_rate:
            raise ValueError(
                f"{self.name} wrote {path.name} with {len(stem) / sample_rate:.2f} s for a song of "
                f"{length / sample_rate:.2f} s: it has to keep the length."
            )
        return np.pad(stem, (0, max(length - len(stem), 0)))[:length]


def parse_external(
    commands: Sequence[str], files: Sequence[str] = (), timeout: float = TIMEOUT_SECONDS
) -> list[ExternalSeparator]:
    """Reads external separators from options of a command line.

    Args:
        commands (sequence of str): Each ``NAME=COMMAND``; empty ones are ignored.
        files (sequence of str): Each ``NAME:class=file,file;class=…``: the names of files that are
            not named like their classes.
        timeout (float): See :class:`ExternalSeparator`.

    Raises:
        ValueError: if a text has another form, or a name is repeated or unknown.

    Examples
        >>> found = parse_external(["X=x {input} {output}"], ["X:piano=keys,synth;bass=low"])
        >>> found[0].name, found[0].files
        ('X', {'piano': ['keys', 'synth'], 'bass': ['low']})
    """
    named: dict[str, str] = {}
    for text in filter(str.strip, commands):
        name, equals, command = (part.strip() for part in text.partition("="))
        if not (name and equals and command):
            raise ValueError(f"--external {text!r} is not of the form NAME=COMMAND.")
        if name in named:
            raise ValueError(f"--external names {name!r} twice.")
        named[name] = command
    aliases: dict[str, dict[str, list[str]]] = {}
    for text in filter(str.strip, files):
        name, _, rest = (part.strip() for part in text.partition(":"))
        pairs = [part.partition("=") for part in rest.split(";") if part.strip()]
        found = {k.strip(): [f.strip() for f in v.split(",") if f.strip()] for k, _, v in pairs}
        if name not in named or not found or not all(found.values()):
            raise ValueError(
                f"--external_stems {text!r} is not of the form NAME:class=file,file;class=file "
                f"with a name of --external ({', '.join(named) or 'none'})."
            )
        aliases[name] = found
    return [ExternalSeparator(n, c, aliases.get(n, {}), timeout) for n, c in named.items()]


def _plain(name: str) -> str:
    """A name in lower case, with single underscores for everything but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _listed(written: Mapping[str, Sequence[Path]]) -> str:
    """Names of the files that were written, for a message."""
    names = [path.name for paths in written.values() for path in paths]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") or "no audio file"


def _end(process: subprocess.Popen) -> None:
    """Ends a process and, where there are process groups, its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.wait()
