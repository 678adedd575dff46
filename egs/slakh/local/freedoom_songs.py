"""Songs written by people: the music of Freedoom (https://freedoom.github.io, BSD license).

The WAD files of the game (Debian's package ``freedoom``) contain it as MIDI. Songs in which at
least two of bass, guitar and piano play are written, without duplicates.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from asteroid_scoresup.midi.reader import read_midi

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("out_dir", help="folder for the MIDI files")
parser.add_argument(
    "--wad",
    action="append",
    help="WAD file, may be repeated (default: Debian's freedoom1.wad and freedoom2.wad)",
)
parser.add_argument(
    "--seconds", type=float, default=40.0, help="length of each song in the test set, in s"
)
DEBIAN = ["/usr/share/games/doom/freedoom1.wad", "/usr/share/games/doom/freedoom2.wad"]
FAMILIES = {"bass": range(32, 40), "guitar": range(24, 32), "piano": range(8)}


def lumps(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of every MIDI file in a WAD file."""
    content = Path(path).read_bytes()
    if content[:4] not in (b"IWAD", b"PWAD"):
        raise SystemExit(f"{path} is not a WAD file: it begins with {content[:4]!r}.")
    count, directory = struct.unpack_from("<ii", content, 4)
    for number in range(count):
        start, size, name = struct.unpack_from("<ii8s", content, directory + 16 * number)
        if content[start : start + 4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii"), content[start : start + size]


def classes(path: Path, seconds: float) -> int:
    """Number of classes that play in the first seconds of a song."""
    programs = [
        part.program
        for part in read_midi(path).instruments
        if (part.notes.onset < seconds).sum() >= 8
    ]
    return sum(any(p in family for p in programs) for family in FAMILIES.values())


def main(args: argparse.Namespace) -> None:
    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    seen, kept = set(), 0
    for wad in args.wad or DEBIAN:
        if not Path(wad).is_file():
            raise SystemExit(f"{wad} does not exist (Debian: apt install freedoom), see --wad.")
        for name, content in lumps(wad):
            digest = hashlib.sha256(content).hexdigest()
            target = out_dir / f"{Path(wad).stem}_{name.lower()}.mid"
            if digest in seen:
                continue
            seen.add(digest)
            target.write_bytes(content)
            if classes(target, args.seconds) < 2:
                target.unlink()
            else:
                kept += 1
    print(f"{out_dir}: {kept} songs of Freedoom.")


if __name__ == "__main__":
    main(parser.parse_args())
