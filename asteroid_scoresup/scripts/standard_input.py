"""``asteroid-scoresup separate -``: separates raw samples from standard input as they arrive."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

#: The name of standard input and standard output.
STANDARD = "-"
# A copy of the names of inference.pcm.PCM_TYPES: importing takes seconds.
PCM_TYPES = ("s16", "f32")
# Options for standard input, and options for songs that it does not have; with their defaults.
_OWN = {"rate": None, "channels": 2, "pcm": "s16", "level": None, "block": 1.0, "lookahead": None}
_FOR_SONGS = {
    "midi": False,
    "csv": False,
    "report": False,
    "residual": False,
    "factorize": False,
    "without": None,
    "two_stems": None,
    "score": None,
    "jobs": 1,
}


def add_stream_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments for standard input.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    group = parser.add_argument_group(
        "standard input",
        "The song - is raw samples from standard input (little endian, channels interleaved), "
        "separated as they arrive. They are written to OUT_DIR/stdin/, or with -o - as raw samples "
        "to standard output: the stem of --only, or the channels of all stems after each other.",
    )
    add = group.add_argument
    add("--rate", type=int, metavar="HZ", help="sample rate of the input")
    add("--channels", type=int, default=2, metavar="N", help="its channels (default: 2)")
    add("--pcm", choices=PCM_TYPES, default="s16", help="type of its samples (default: s16)")
    add(
        "--level",
        type=float,
        metavar="DB",
        help="RMS level of the song re full scale, e.g. -20 (default: a running estimate)",
    )
    add(
        "--block",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="stems come in blocks of this length (default: 1)",
    )
    add(
        "--lookahead",
        type=float,
        metavar="SECONDS",
        help="look-ahead; less than the network's reach is faster and worse (default: all of it)",
    )


def is_standard_input(args: argparse.Namespace) -> bool:
    """Whether the song is standard input.

    Args:
        args (argparse.Namespace): The arguments of ``separate``.

    Raises:
        ValueError: if options for standard input and for songs are mixed.
    """
    if STANDARD not in args.songs:
        for name, default in _OWN.items():
            if getattr(args, name) != default:
                raise ValueError(f"--{name} is for standard input: name - as the song.")
        return False
    if len(args.songs) > 1:
        raise ValueError("Standard input (-) is separated alone: name no other songs with it.")
    for name, default in _FOR_SONGS.items():
        if getattr(args, name) != default:
            raise ValueError(f"--{name.replace('_', '-')} is for songs, not for standard input.")
    if args.clip_mode == "rescale":
        raise ValueError("--clip-mode rescale needs the end of the song: use clamp or none.")
    if args.rate is None:
        raise ValueError("Standard input is raw samples: name their sample rate with --rate.")
    return True


def separate_standard_input(args: argparse.Namespace) -> int:
    """Separates standard input.

    Args:
        args (argparse.Namespace): The arguments of ``separate``.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: if the input is not such samples, or a file exists.
        OSError: if a file cannot be written.
    """
    from ..inference.encoding import Encoding
    from ..inference.naming import require_template, stem_path
    from ..inference.outputs import require_classes
    from ..inference.pcm import PcmFormat, separate_pcm, write_stems
    from ..inference.separator import Separator

    separator = Separator.from_pretrained(
        args.model, args.transcriptor, args.device, precision=args.precision
    )
    require_classes(separator.names, only=args.only)
    names = [args.only] if args.only else separator.names
    pcm = PcmFormat(args.pcm, args.rate, args.channels)
    stream = separator.stream(
        pcm.sample_rate,
        pcm.n_channels,
        level=None if args.level is None else 10 ** (args.level / 20),
        block_seconds=args.block,
        lookahead_seconds=args.lookahead,
    )
    _tell(args, f"latency: {stream.latency_seconds:.2f} s", file=sys.stderr)
    source = sys.stdin.buffer
    if args.out_dir == STANDARD:
        output = sys.stdout.buffer

        def write(stems: dict[str, Any]) -> None:
            output.write(pcm.encoded([stems[name] for name in names]))
            output.flush()

        try:
            separate_pcm(stream, pcm, source, write)
        except BrokenPipeError:  # what reads the stems has ended, and wants no more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    require_template(args.filename)
    encoding = Encoding(args.format, args.mp3_bitrate or 320, args.clip_mode)
    folder = Path(args.out_dir) / "stdin"
    targets = {name: stem_path(folder, args.filename, name, encoding.suffix) for name in names}
    existing = [str(path) for path in targets.values() if path.exists()]
    if existing and not args.overwrite:
        raise ValueError(f"{existing[0]} exists: use --overwrite or another --out_dir.")
    for warning in write_stems(stream, pcm, source, targets, encoding):
        print(f"asteroid-scoresup separate: warning: {warning}.", file=sys.stderr)
    _tell(args, f"{folder}: {len(targets)} written")
    return 0


def _tell(args: argparse.Namespace, text: str, file: Any = None) -> None:
    if not args.quiet:
        print(text, file=file)
