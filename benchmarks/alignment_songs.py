"""Songs with known truth for benchmarks/alignment.py: composed, by MMA, and of Freedoom.

Each song is rendered once, on the clock of its own notes, in two layers: pitched instruments and
drums. The cases of the benchmark damage the score or cut the audio, so that the truth is known.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asteroid_scoresup.score import Notes
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, compose_song
from asteroid_scoresup.synthesis.midi_writer import write_midi
from asteroid_scoresup.synthesis.mixing import mix_stems
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.slakh_writer import read_song
from asteroid_scoresup.utils.files import atomic_path

RATE = 16000
ROOT = Path(__file__).resolve().parents[1]
#: The sets differ in songs and SoundFonts; thresholds were chosen on ``dev`` only.
FONTS = {
    "dev": ["/usr/share/sounds/sf2/TimGM6mb.sf2", "/usr/share/sounds/sf2/FluidR3_GM.sf2"],
    "test": ["/usr/share/sounds/sf3/MuseScore_General_Lite.sf3"],
}
SEEDS = {"dev": 100, "test": 200}


@dataclass
class Song:
    """A rendered song: notes in seconds, `class_index` the instrument; two layers of audio."""

    name: str
    notes: Notes
    pitched: np.ndarray
    drums: np.ndarray

    def mixture(self, drums: bool) -> np.ndarray:
        """Mono mixture with or without drums."""
        return self.pitched + self.drums if drums else self.pitched

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.pitched) / RATE


def midi_files(folder: Path, part: str, count: int, seconds: float) -> list[Path]:
    """Makes the MIDI files of a set: `count` of each of three sources."""
    seed = SEEDS[part]
    for number in range(count):
        path = folder / "composed" / f"composed_{part}_{number}.mid"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([seed, number])
            song = compose_song(rng, TRAIN_PALETTE, seconds, drums=True, others=2 * (number % 2))
            write_midi(path, song, song.instruments)
    local = ROOT / "egs" / "slakh" / "local"
    found = sorted((folder / "composed").glob("*.mid"))[:count]
    commands = {
        "mma": ["--n_songs", str(count), "--seconds", str(seconds), "--seed", str(seed)],
        "freedoom": ["--seconds", str(seconds)],
    }
    for source, options in commands.items():
        target = folder / source
        if not target.is_dir():
            command = [sys.executable, str(local / f"{source}_songs.py"), str(target), *options]
            if subprocess.run(command, check=False).returncode:
                print(f"Without the songs of {source}.", file=sys.stderr)
                continue
        songs = sorted(target.glob("*.mid"))
        if source == "freedoom":  # even ones for one set, odd ones for the other
            songs = songs[list(FONTS).index(part) :: len(FONTS)]
        found += songs[:count]
    return found


def songs(
    folder: str | Path, part: str, count: int, seconds: float, every: int = 1, only: str = ""
) -> Iterator[Song]:
    """Yields the songs of a set, rendered where the folder does not have them yet.

    Args:
        folder (str or Path): Folder for the songs.
        part (str): ``"dev"`` or ``"test"``.
        count (int): Number of songs of each source.
        seconds (float): Largest length.
        every (int): Only every n-th song is rendered and used.
        only (str): Regular expression of the names of the songs to use.
    """
    folder = Path(folder) / f"{part}_{seconds:g}"
    for number, path in enumerate(midi_files(folder, part, count, seconds)):
        if number % every or not re.search(only, path.stem):
            continue
        stored = folder / f"{path.stem}.npz"
        if not stored.exists():
            _render(path, stored, FONTS[part][number % len(FONTS[part])], seconds, number)
        with np.load(stored) as arrays:
            notes = Notes(*arrays["notes"].T[:6])
            yield Song(path.stem, notes, arrays["pitched"], arrays["drums"])


def _render(path: Path, stored: Path, font: str, seconds: float, seed: int) -> None:
    song, length = read_song(path, seconds)
    tables, stems, is_drums = [], [], []
    for number, part in enumerate(song.instruments):
        stems.append(render_instrument(part, length, RATE, font))
        is_drums.append(part.is_drum)
        if not part.is_drum:
            rows = [(n.start, n.end, n.pitch, number, n.velocity, n.end) for n in part.notes]
            tables.append(np.array(rows))
    mix_stems(stems, RATE, 3.0, np.random.default_rng(seed))
    layers = [sum(s for s, d in zip(stems, is_drums) if d == kind) for kind in (False, True)]
    pitched, drums = (layer + np.zeros(round(length * RATE), np.float32) for layer in layers)
    table = np.concatenate(tables)
    with atomic_path(stored) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, notes=table[np.argsort(table[:, 0])], pitched=pitched, drums=drums)
