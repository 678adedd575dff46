"""Decodes compressed SoundFonts (``.sf3``), whose samples are Ogg Vorbis files.

A synthesizer decodes such a file anew each time it loads it: FluidSynth needs 4.5 s of processor
time for MuseScore General Lite, and 0.4 s for the decoded file. Since every stem is rendered by a
synthesizer of its own, a file is decoded once before a data set is made.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from ..utils.files import atomic_path
from .soundfont_reader import read_chunks, sample_headers, soundfont_presets

_COMPRESSED = 0x10  # the bit of a sample's type that says that it is an Ogg Vorbis file
_GUARD = 46  # number of zeros required after every sample


def is_compressed(soundfont: str | os.PathLike[str]) -> bool:
    """Whether a SoundFont contains compressed samples.

    Args:
        soundfont (str or Path): An ``.sf2`` or ``.sf3`` file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a SoundFont, or is damaged.

    Examples
        >>> from asteroid_scoresup.synthesis.render import default_soundfont
        >>> is_compressed(default_soundfont())
        False
    """
    soundfont_presets(soundfont)  # raises for a file that is not a SoundFont
    return bool((sample_headers(soundfont)["kind"][:, 1] & _COMPRESSED).any())


def decode_soundfont(soundfont: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Writes a SoundFont with its samples decoded to 16 bits, as synthesizers decode them.

    Presets, instruments and loops stay as they are.

    Args:
        soundfont (str or Path): A SoundFont (``.sf3``) with compressed samples.
        target (str or Path): File to write, a SoundFont 2.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a SoundFont, or is damaged.
        OSError: if the file cannot be written.
    """
    path = Path(soundfont)
    soundfont_presets(path)
    content = path.read_bytes()
    parts = dict(_parts(path, content))
    start, end = parts["smpl"]
    headers = sample_headers(path).copy()
    audio: list[np.ndarray] = []
    position = 0
    done: dict[tuple[int, int], tuple[int, int]] = {}  # a part of the file: its decoded place
    for header in headers:
        first, last, loop_first, loop_last = (int(value) for value in header["place"])
        packed = bool(header["kind"][1] & _COMPRESSED)
        if (first, last) not in done:
            if packed:
                samples = _decode(path, content[start + first : start + last])
            else:
                samples = np.frombuffer(content[start + 2 * first : start + 2 * last], "<i2")
            audio += [samples, np.zeros(_GUARD, "<i2")]
            done[first, last] = position, position + len(samples)
            position += len(samples) + _GUARD
        new_first, new_last = done[first, last]
        # Loops of compressed samples count from the start of their sample, others from that of all.
        shift = new_first if packed else new_first - first
        header["place"] = new_first, new_last, loop_first + shift, loop_last + shift
        header["kind"][1] &= ~np.uint16(_COMPRESSED)
    sentinel = content[slice(*parts["shdr"])][-headers.itemsize :]
    tables = b""
    for name, (first, last) in parts.items():
        if name == "shdr":
            tables += _chunk(b"shdr", headers.tobytes() + sentinel)
        elif name != "smpl" and name != "INFO":
            tables += _chunk(name.encode("latin1"), content[first:last])
    lists: Sequence[bytes] = (
        # Version 2.01 instead of 3: nothing of version 3 is left.
        b"INFO" + _replaced_version(content[slice(*parts["INFO"])]),
        b"sdta" + _chunk(b"smpl", np.concatenate(audio).tobytes()),
        b"pdta" + tables,
    )
    body = b"sfbk" + b"".join(_chunk(b"LIST", part) for part in lists)
    with atomic_path(target) as temporary:
        Path(temporary).write_bytes(_chunk(b"RIFF", body))


def _parts(path: Path, content: bytes) -> list[tuple[str, tuple[int, int]]]:
    """Positions of the information list, the samples and the tables of a SoundFont."""
    found = []
    file = io.BytesIO(content)
    for kind, first, stop in read_chunks(file, 12, len(content)):
        if kind != "LIST":
            continue
        what = content[first : first + 4]
        if what == b"INFO":
            found.append(("INFO", (first + 4, stop)))
            continue
        for name, start, end in read_chunks(file, first + 4, stop):
            if what == b"pdta" or name == "smpl":
                found.append((name, (start, end)))
    return found


def _decode(path: Path, packed: bytes) -> np.ndarray:
    """Samples of an Ogg Vorbis file, 16 bits."""
    try:
        samples, _ = soundfile.read(io.BytesIO(packed), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"{path} is a damaged SoundFont: a sample cannot be decoded ({error})."
        ) from None
    return np.ascontiguousarray(samples[:, 0], dtype="<i2")


def _replaced_version(information: bytes) -> bytes:
    """The list of information with version 2.01."""
    place = information.find(b"ifil")
    version = struct.pack("<HH", 2, 1)
    return information[: place + 8] + version + information[place + 12 :]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2)
