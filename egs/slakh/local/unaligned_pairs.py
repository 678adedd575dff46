"""Folders of own songs whose scores are on the clock of the recording (true) or not (warped).

Reads songs in Slakh's format, and writes ``true/`` and ``warped/`` with an audio file and a MIDI
file for each training and validation song, and ``test_scores/`` with the warped scores of the test
songs. Validation songs have their true scores in both folders. A warped score has a random smooth
tempo curve and a random lead-in.
"""

from __future__ import annotations

import argparse
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pretty_midi
from scipy.interpolate import PchipInterpolator

from asteroid_scoresup.utils.files import atomic_path

#: Seconds between the knots of a tempo curve, and the longest lead-in.
KNOTS, LEAD_IN = 8.0, 3.0
#: Ticks per quarter note of the warped scores, at 120 quarter notes per minute: 0.5 ms.
RESOLUTION = 960

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("slakh_dir", help="folder in Slakh's format, for example of `synthesize`")
parser.add_argument("out_dir", help="folder to write; songs that exist already are kept")
parser.add_argument(
    "--tempo", type=float, default=0.3, help="largest change of the tempo (0.3: by ±30 %%)"
)
parser.add_argument("--seed", type=int, default=0, help="seed of the warps")


def random_warp(
    seconds: float, tempo: float, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """A random clock for a score.

    Args:
        seconds (float): Length of the recording.
        tempo (float): Largest change of the tempo: between its knots, every 8 s, the score is
            slower or faster than the recording by a factor of up to ``1 + tempo``.
        rng (np.random.Generator): The random generator.

    Returns:
        callable: Times in the recording → times in the score, both in seconds; it increases, and
        begins with a lead-in of up to 3 s.
    """
    knots = np.arange(0.0, seconds + 2 * KNOTS, KNOTS)
    # Monotone cubic interpolation does not overshoot, so the factor stays within its bounds.
    exponent = PchipInterpolator(knots, rng.uniform(-1.0, 1.0, len(knots)))
    times = np.arange(0.0, knots[-1], 0.01)
    passed = np.cumsum(0.01 * (1.0 + tempo) ** exponent(times))
    clock = rng.uniform(0.0, LEAD_IN) + np.concatenate([[0.0], passed[:-1]])

    def warp(seconds: np.ndarray) -> np.ndarray:
        late = np.maximum(np.asarray(seconds) - times[-1], 0.0)
        return np.interp(seconds, times, clock) + late

    return warp


def warped_score(score: Path, warp: Callable[[np.ndarray], np.ndarray]) -> pretty_midi.PrettyMIDI:
    """A MIDI file with all of its events at other times, at a constant nominal tempo.

    Args:
        score (Path): The MIDI file.
        warp (callable): Old times → new times, in seconds.
    """
    midi = pretty_midi.PrettyMIDI(str(score))
    moved = pretty_midi.PrettyMIDI(resolution=RESOLUTION, initial_tempo=120.0)
    for instrument in midi.instruments:
        for note in instrument.notes:
            note.start, note.end = (float(time) for time in warp(np.array([note.start, note.end])))
        for event in (*instrument.pitch_bends, *instrument.control_changes):
            event.time = float(warp(np.array(event.time)))
        moved.instruments.append(instrument)
    return moved


def warp_of(track: Path, args: argparse.Namespace) -> Callable[[np.ndarray], np.ndarray]:
    """The warp of a song, which depends on its split, its name and the seed alone."""
    name = zlib.crc32(f"{track.parent.name}/{track.name}".encode())
    seconds = pretty_midi.PrettyMIDI(str(track / "all_src.mid")).get_end_time()
    return random_warp(seconds, args.tempo, np.random.default_rng([args.seed, name]))


def write_warped(track: Path, target: Path, args: argparse.Namespace) -> None:
    """Writes the warped score of a song."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        warped_score(track / "all_src.mid", warp_of(track, args)).write(str(temporary))


def copy(source: Path, target: Path) -> None:
    """Copies a file, unless that was done before."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def main(args: argparse.Namespace) -> None:
    """Writes all folders.

    Args:
        args (argparse.Namespace): The parsed arguments.
    """
    root, out_dir = Path(args.slakh_dir), Path(args.out_dir)
    if not 0 <= args.tempo <= 1:
        raise SystemExit(f"--tempo is a number from 0 to 1, found {args.tempo}.")
    tracks = sorted(path.parent for path in root.glob("*/*/all_src.mid"))
    if not tracks:
        raise SystemExit(
            f"{root} holds no songs, expected */*/all_src.mid: name a folder of `asteroid-scoresup "
            "synthesize`."
        )
    for track in tracks:
        split = track.parent.name
        place = Path(split) / f"{track.name}.mid"
        if split.startswith("test"):
            write_warped(track, out_dir / "test_scores" / place, args)
            continue
        for kind in ("true", "warped"):
            copy(track / "mix.flac", (out_dir / kind / place).with_suffix(".flac"))
        copy(track / "all_src.mid", out_dir / "true" / place)
        if split == "train":
            write_warped(track, out_dir / "warped" / place, args)
        else:
            copy(track / "all_src.mid", out_dir / "warped" / place)
    print(f"{out_dir}: scores of {len(tracks)} songs, true and warped.")


if __name__ == "__main__":
    main(parser.parse_args())
