"""Songs by Musical MIDI Accompaniment: grooves of its library over random chords.

MMA (https://www.mellowood.ca/mma; Debian's package ``mma``) plays accompaniments of many styles:
other notes than those of :mod:`.composer`. Every song has one groove with bass, guitar and piano, a
random chord chart, key and tempo, in 4/4. MMA and its library of grooves are under the GPL, and a
song repeats the patterns of its groove: the preset `band` therefore trains without them, and uses
them as songs of another writer.
"""

from __future__ import annotations

import functools
import random
import re
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from ..midi.reader import read_midi
from .composer.palette import PROGRAM_RANGES

#: MMA's own grooves.
LIBRARY = "/usr/share/mma/lib/stdlib"
#: Grooves that are tried for one song; one in four has bass, guitar and piano.
_TRIES = 200

# Scale degrees with their chords in major and minor, and progressions of them.
MAJOR = {1: "", 2: "m7", 3: "m", 4: "", 5: "7", 6: "m"}
MINOR = {1: "m", 3: "", 4: "m", 5: "7", 6: "", 7: ""}
ROUNDS = {
    "major": [(1, 6, 4, 5), (1, 5, 6, 4), (1, 4, 1, 5), (2, 5, 1, 6), (1, 3, 4, 5), (4, 1, 2, 5)],
    "minor": [(1, 6, 3, 7), (1, 4, 5, 1), (1, 7, 6, 5), (4, 1, 5, 1), (1, 6, 4, 5), (6, 7, 1, 1)],
}
STEPS = {
    "major": {1: 0, 2: 2, 3: 4, 4: 5, 5: 7, 6: 9},
    "minor": {1: 0, 3: 3, 4: 5, 5: 7, 6: 8, 7: 10},
}
KEYS = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]


def require_mma(library: str | Path | None = None) -> None:
    """Checks that MMA and its grooves are installed.

    Args:
        library (str or Path, optional): Folder of grooves. Default: :data:`LIBRARY`.

    Raises:
        FileNotFoundError: if they are not.
    """
    if shutil.which("mma") is None:
        raise FileNotFoundError("mma is not installed (Debian: apt install mma).")
    library = library or LIBRARY
    if not grooves(library):
        raise FileNotFoundError(f"{library} contains no MMA grooves.")


def draw_chart(groove: str, seconds: float, rng: random.Random) -> str:
    """Draws a chord chart in the language of MMA.

    Args:
        groove (str): Name of a groove, see :func:`grooves`.
        seconds (float): Shortest length of the song.
        rng (random.Random): Random generator.

    Returns:
        str: Text of a file for MMA.

    Examples
        >>> print(draw_chart("stdlib/rock:Rock", 1.0, random.Random(0)).splitlines()[2])
        Groove stdlib/rock:Rock
    """
    tempo, mode, key = rng.randint(80, 150), rng.choice(list(ROUNDS)), rng.randrange(12)
    kinds = MAJOR if mode == "major" else MINOR
    rounds = rng.sample(ROUNDS[mode], 2)
    lines = []
    for bar in range(int(seconds * tempo / 240) + 2):
        step = rounds[bar // 8 % 2][bar % 4]
        chords = KEYS[(key + STEPS[mode][step]) % 12] + kinds[step]
        if rng.random() < 0.25:
            other = rng.choice(list(kinds))
            chords += " / " + KEYS[(key + STEPS[mode][other]) % 12] + kinds[other]
        lines.append(f"{bar + 1} {chords}")
    # MMA varies volumes and onsets at random, and would otherwise draw its seed from the clock.
    seed = zlib.crc32("\n".join([groove, *lines]).encode())
    head = ["TimeSig 4 4", f"Tempo {tempo}", f"Groove {groove}", f"RndSeed {seed}"]
    return "\n".join([*head, *lines]) + "\n"


def mma_version() -> str:
    """Version of MMA, on which its songs depend."""
    done = subprocess.run(["mma", "-v"], capture_output=True, text=True, check=False)
    return " ".join((done.stdout or done.stderr).split())[:40]


@functools.lru_cache(maxsize=4)
def grooves(library: str | Path) -> dict[str, list[str]]:
    """Finds the grooves of a library.

    Args:
        library (str or Path): Folder of ``.mma`` files.

    Returns:
        dict: Names of the grooves in each file, as MMA takes them; without intros and endings.
    """
    found = {}
    for path in sorted(Path(library).glob("*.mma")):
        text = path.read_text(encoding="latin1")
        names = re.findall(r"^\s*DefGroove\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
        names = [name for name in names if not re.search("intro|end|fill", name, re.IGNORECASE)]
        if names:
            found[path.stem] = [f"{path.parent.name}/{path.stem}:{name}" for name in names]
    return found


def play(text: str, target: Path) -> bool:
    """Makes a MIDI file with MMA.

    Args:
        text (str): See :func:`draw_chart`.
        target (Path): File to write.

    Returns:
        bool: Whether bass, guitar and piano all play in it; if not, nothing is written.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "song.mma", Path(folder) / "song.mid"
        source.write_text(text)
        # MMA writes the name of the chart into the MIDI file.
        command = ["mma", "-f", made.name, source.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode or not made.is_file():
            return False
        programs = [i.program for i in read_midi(made).instruments if len(i.notes) >= 8]
        if not all(any(p in family for p in programs) for family in PROGRAM_RANGES.values()):
            return False
        shutil.copyfile(made, target)
    return True


def accompany(target: Path, seconds: float, seed: int) -> None:
    """Writes a song by MMA with bass, guitar and piano as a MIDI file.

    Args:
        target (Path): File to write.
        seconds (float): Shortest length of the song.
        seed (int): The same seed gives the same song with the same version of MMA.

    Raises:
        OSError: if MMA plays none of the grooves.
    """
    rng = random.Random(seed)
    library = grooves(LIBRARY)
    styles = sorted(library)
    for _ in range(_TRIES):
        groove = rng.choice(library[rng.choice(styles)])
        if play(draw_chart(groove, seconds, rng), target):
            return
    raise OSError(f"MMA played no groove of {LIBRARY} with bass, guitar and piano: does it work?")
