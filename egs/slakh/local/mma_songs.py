"""Songs of another writer: grooves of Musical MIDI Accompaniment over random chords.

Each song has a groove of a different file of MMA's library, as long as there are enough; see
asteroid_scoresup/synthesis/mma.py.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from asteroid_scoresup.synthesis.mma import LIBRARY, draw_chart, grooves, play, require_mma

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("out_dir", help="folder for the MIDI files")
parser.add_argument("--n_songs", type=int, default=16)
parser.add_argument("--seconds", type=float, default=30.0, help="shortest length of a song")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--library", default=LIBRARY, help="MMA's own grooves")


def main(args: argparse.Namespace) -> None:
    try:
        require_mma(args.library)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    library = grooves(args.library)
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
        if play(draw_chart(groove, args.seconds, rng), out_dir / f"{made:03d}_{style}.mid"):
            made += 1
    print(f"{out_dir}: {made} songs by MMA.")


if __name__ == "__main__":
    main(parser.parse_args())
