"""Songs of another generator: grooves of Musical MIDI Accompaniment over random chords.

MMA (https://www.mellowood.ca/mma, GPL; Debian's package ``mma``) plays accompaniments of many
styles. Every song has one groove with bass, guitar and piano, each from a different file of its
library, and a random chord chart, key and tempo, in 4/4.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from asteroid_scoresup.midi.reader import read_midi

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("out_dir", help="folder for the MIDI files")
parser.add_argument("--n_songs", type=int, default=16)
parser.add_argument("--seconds", type=float, default=30.0, help="shortest length of a song")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--library", default="/usr/share/mma/lib/stdlib", help="MMA's own grooves")

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
FAMILIES = {"bass": range(32, 40), "guitar": range(24, 32), "piano": range(8)}


def chart(groove: str, seconds: float, rng: random.Random) -> str:
    """A chord chart in the language of MMA that lasts at least `seconds`."""
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


def grooves(library: str | Path) -> dict[str, list[str]]:
    """Names of the grooves in each file, as MMA takes them."""
    found = {}
    for path in sorted(Path(library).glob("*.mma")):
        text = path.read_text(encoding="latin1")
        names = re.findall(r"^\s*DefGroove\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)
        names = [name for name in names if not re.search("intro|end|fill", name, re.IGNORECASE)]
        if names:
            found[path.stem] = [f"{path.parent.name}/{path.stem}:{name}" for name in names]
    return found


def play(text: str, target: Path) -> bool:
    """Makes a MIDI file with MMA; returns whether all three classes play in it."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "song.mma", Path(folder) / "song.mid"
        source.write_text(text)
        # MMA writes the name of the chart into the MIDI file.
        command = ["mma", "-f", made.name, source.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode or not made.is_file():
            return False
        programs = [i.program for i in read_midi(made).instruments if len(i.notes) >= 8]
        if not all(any(p in family for p in programs) for family in FAMILIES.values()):
            return False
        shutil.copyfile(made, target)
    return True


def main(args: argparse.Namespace) -> None:
    if shutil.which("mma") is None:
        raise SystemExit("mma is not installed (Debian: apt install mma).")
    library = grooves(args.library)
    if not library:
        raise SystemExit(f"{args.library} contains no MMA grooves, see --library.")
    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    waiting: list[str] = []
    made, tried = 0, 0
    while made < args.n_songs:
        if tried > 20 * args.n_songs + len(library) and not made:
            raise SystemExit(f"No groove of {args.library} has bass, guitar and piano.")
        tried += 1
        if not waiting:  # every file once, then every file again with another groove
            waiting = rng.sample(sorted(library), len(library))
        style = waiting.pop()
        groove = rng.choice(library[style])
        if play(chart(groove, args.seconds, rng), out_dir / f"{made:03d}_{style}.mid"):
            made += 1
    print(f"{out_dir}: {made} songs by MMA.")


if __name__ == "__main__":
    main(parser.parse_args())
