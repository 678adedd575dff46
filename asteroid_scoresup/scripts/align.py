"""``asteroid-scoresup align``: finds where a recording plays its score, and writes aligned MIDI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..alignment.align import Alignment

#: Stretches of a kind that are printed; the JSON file has all of them.
MAX_STRETCHES = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument("audio", metavar="AUDIO", help="the recording")
    parser.add_argument("score", metavar="SCORE", help="its score: a MIDI or MusicXML file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="MIDI",
        help="aligned MIDI file to write (default: the name of the recording with .aligned.mid, "
        "next to it); NAME.warp.csv and NAME.align.json are written next to it",
    )
    parser.add_argument("--plot", metavar="FILE", help="plot of the warp (PNG, PDF or SVG)")
    parser.add_argument(
        "--max_transposition",
        type=int,
        default=7,
        metavar="SEMITONES",
        help="largest transposition that is tried (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="write files even if the song seems to be another one"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: if a file cannot be read, or the score does not belong to the recording.
    """
    from .. import __version__
    from ..alignment import align
    from ..alignment.mismatch import explain_mismatch
    from ..alignment.outputs import write_alignment
    from ..notation.reader import MIDI_SUFFIXES
    from ..report.alignment_plot import plot_alignment
    from ..utils.files import atomic_path
    from ..utils.stream import Recording

    output = Path(args.output or f"{Path(args.audio).with_suffix('')}.aligned.mid")
    if output.suffix.lower() not in MIDI_SUFFIXES:
        raise ValueError(
            f"{output} has no suffix of a MIDI file: expected -o with a name in "
            f"{' or '.join(MIDI_SUFFIXES)}."
        )
    for source in (args.audio, args.score):
        if output.resolve() == Path(source).resolve():
            raise ValueError(f"{output} is an input: choose another name with -o.")
    image = _image_format(args.plot) if args.plot else ""
    recording = Recording(args.audio)
    options = {"max_transposition": args.max_transposition}
    alignment = align(recording, args.score, require_match=not args.force, **options)
    facts = {"audio": args.audio, "score": args.score, "settings": options, "version": __version__}
    written = list(write_alignment(alignment, args.score, output, facts))
    if args.plot:
        title = f"{Path(args.score).name} in {Path(args.audio).name}"
        figure = plot_alignment(alignment, recording.seconds, title)
        with atomic_path(args.plot) as temporary:
            figure.savefig(temporary, format=image)
        written.append(Path(args.plot))
    if not alignment.is_match:
        why = explain_mismatch(recording, args.score, alignment.confidence).what
        print(f"Warning: {why}; files were written because of --force.", file=sys.stderr)
    if not args.quiet:
        print(describe(alignment, recording.seconds))
        print("Written: " + ", ".join(map(str, written)))
    return 0


def _image_format(path: str) -> str:
    """The format of an image, by its suffix."""
    from matplotlib.figure import Figure

    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in Figure().canvas.get_supported_filetypes():
        raise ValueError(f"{path} has no suffix of an image: expected .png, .pdf or .svg.")
    return suffix


def describe(alignment: Alignment, seconds: float) -> str:
    """How sure an alignment is, and what it found, as text.

    Args:
        alignment (Alignment): The alignment.
        seconds (float): Length of the recording.
    """
    spans = alignment.warp.spans
    played = sum(float(span.audio[-1] - span.audio[0]) for span in spans)
    lines = [
        f"Confidence {alignment.confidence:.2f} (0 to 1): "
        + f"the score {'belongs' if alignment.is_match else 'may not belong'} to the recording.",
        f"{_clock(played)} of {_clock(seconds)} have a score, in {len(spans)} "
        f"section{'' if len(spans) == 1 else 's'}.",
    ]
    if alignment.transposition:
        where = "above" if alignment.transposition > 0 else "below"
        lines.append(
            f"The recording is {abs(alignment.transposition)} semitones {where} the score."
        )
    concert = 440 * 2 ** (alignment.tuning_cents / 1200)
    lines.append(f"Tuning: A = {concert:.1f} Hz ({alignment.tuning_cents:+.0f} cents).")
    gaps = alignment.warp.gaps(seconds)
    if gaps:
        lines.append(f"Without a score: {_stretches(gaps)}.")
    if alignment.uncertain:
        lines.append(f"Uncertain: {_stretches(alignment.uncertain)}.")
    else:
        lines.append(f"No {'other ' if gaps else ''}stretch is uncertain.")
    return "\n".join(lines)


def _stretches(stretches: Sequence[tuple[float, float]]) -> str:
    shown = [f"{_clock(start)} to {_clock(stop)}" for start, stop in stretches[:MAX_STRETCHES]]
    more = len(stretches) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
