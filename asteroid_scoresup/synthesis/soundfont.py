"""Writes SoundFonts (``.sf2``), which any SoundFont synthesizer can play.

Covers only a part of the format (SoundFont Technical Specification 2.01, E-mu 1996): presets of one
instrument each, one zone per sample, mono 16-bit samples without loops, a release time.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.files import atomic_path

# Generators used in zones (section 8.1.2 of the specification).
_RELEASE, _INSTRUMENT, _KEYS, _SAMPLE, _ROOT = 38, 41, 43, 53, 58
_GUARD = 46  # number of zeros required after every sample


@dataclass(frozen=True)
class Tone:
    """One sampled tone.

    Args:
        pitch (int): MIDI note number of the recording.
        samples (array): float in [-1, 1], shape :math:`(time,)`, from the onset.
        sample_rate (int): Sample rate, in Hz.
    """

    pitch: int
    samples: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class Preset:
    """One instrument of a SoundFont.

    Args:
        program (int): General MIDI program, 0 to 127.
        name (str): Name; the first 19 characters are kept, in ASCII.
        tones (sequence of Tone): Sampled tones; each plays the keys nearest to its pitch.
        release (float): Release time after the end of a note, in seconds (to -100 dB).
        bank (int): 0, or 128 for a drum kit.
    """

    program: int
    name: str
    tones: Sequence[Tone]
    release: float = 0.2
    bank: int = 0


def write_soundfont(path: str | os.PathLike[str], name: str, presets: Iterable[Preset]) -> None:
    """Writes a SoundFont, atomically.

    Args:
        path (str or Path): File to write.
        name (str): Name of the bank.
        presets (sequence of Preset): Instruments and drum kits.

    Raises:
        ValueError: if there is no preset, a preset has no tone, or two have the same bank and
            program.
        OSError: if the file cannot be written.

    Examples
        >>> import tempfile
        >>> from asteroid_scoresup.synthesis.soundfont_reader import soundfont_presets
        >>> tone = Tone(69, np.sin(2 * np.pi * 440 * np.arange(8000) / 8000), 8000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_soundfont(f"{folder}/a.sf2", "one tone", [Preset(24, "sine", (tone,))])
        ...     sorted(soundfont_presets(f"{folder}/a.sf2"))
        [(0, 24)]
    """
    presets = sorted(presets, key=lambda preset: (preset.bank, preset.program))
    programs = [(preset.bank, preset.program) for preset in presets]
    if not presets or any(not preset.tones for preset in presets):
        raise ValueError(f"{path}: a SoundFont needs a preset, and every preset a tone.")
    if len(set(programs)) < len(programs):
        listed = [program for _, program in programs]
        raise ValueError(f"{path}: two presets have the same program, in {listed}.")
    audio: list[np.ndarray] = []
    headers: list[bytes] = []
    instruments: list[bytes] = []
    zones: list[int] = []  # index of the first generator of each zone
    generators: list[bytes] = []
    for preset in presets:
        instruments.append(struct.pack("<20sH", _text(preset.name), len(zones)))
        tones = sorted(preset.tones, key=lambda tone: tone.pitch)
        # Each tone plays the keys up to the middle between it and the next.
        splits = [(a.pitch + b.pitch) // 2 for a, b in zip(tones, tones[1:])]
        for tone, low, high in zip(tones, [0, *(s + 1 for s in splits)], [*splits, 127]):
            zones.append(len(generators))
            generators += [
                struct.pack("<HBB", _KEYS, low, high),  # must be first
                struct.pack("<Hh", _RELEASE, round(1200 * np.log2(max(preset.release, 0.001)))),
                struct.pack("<HH", _ROOT, tone.pitch),
                struct.pack("<HH", _SAMPLE, len(headers)),  # must be last
            ]
            start = sum(map(len, audio))
            samples = np.clip(np.round(np.asarray(tone.samples) * 32767), -32768, 32767)
            audio.append(np.pad(samples.astype("<i2"), (0, _GUARD)))
            end, rate = start + len(samples), round(tone.sample_rate)
            places = (start, end, start, end, rate, tone.pitch, 0, 0, 1)  # 1: mono
            headers.append(struct.pack("<20sIIIIIBbHH", _text(f"{tone.pitch}"), *places))
    count = len(presets)
    bank = [
        struct.pack("<20sHHHIII", _text(preset.name), preset.program, preset.bank, i, 0, 0, 0)
        for i, preset in enumerate(presets)
    ]
    terminal = struct.pack("<20sHHHIII", b"EOP", 0, 0, count, 0, 0, 0)
    tables: dict[bytes, list[bytes]] = {
        b"phdr": [*bank, terminal],
        b"pbag": [struct.pack("<HH", i, 0) for i in range(count + 1)],
        b"pmod": [bytes(10)],
        b"pgen": [*(struct.pack("<HH", _INSTRUMENT, i) for i in range(count)), bytes(4)],
        b"inst": [*instruments, struct.pack("<20sH", b"EOI", len(zones))],
        b"ibag": [struct.pack("<HH", first, 0) for first in [*zones, len(generators)]],
        b"imod": [bytes(10)],
        b"igen": [*generators, bytes(4)],
        b"shdr": [*headers, struct.pack("<20s26x", b"EOS")],
    }
    info = _chunk(b"ifil", struct.pack("<HH", 2, 1)) + _chunk(b"isng", b"EMU8000\0")
    title = _text(name) + b"\0"
    info += _chunk(b"INAM", title + bytes(len(title) % 2))  # FluidSynth refuses an odd size
    lists = [
        (b"INFO", info),
        (b"sdta", _chunk(b"smpl", np.concatenate(audio).tobytes())),
        (b"pdta", b"".join(_chunk(kind, b"".join(records)) for kind, records in tables.items())),
    ]
    content = b"sfbk" + b"".join(_chunk(b"LIST", kind + data) for kind, data in lists)
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(_chunk(b"RIFF", content))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2)


def _text(name: str) -> bytes:
    return name.encode("ascii", "replace")[:19]
