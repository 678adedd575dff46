"""``asteroid-scoresup``: one command with a subcommand for each task.

This module is outside the package because importing the package imports torch, and ``--help`` and
``--version`` should not wait for that.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# Read when torch loads OpenMP. By default threads that wait for another one keep their core busy,
# which costs a factor of 5 and more where another process computes beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

#: Subcommands and their descriptions. The module of the same name in ``asteroid_scoresup.scripts``
#: has the functions `add_arguments` and `run`.
VERBS = {
    "synthesize": "make a Slakh-format data set from composed songs or a folder of MIDI files",
    "prepare": "prepare Slakh folders, or pairs of audio and MIDI files, for training",
    "check": "compare the labels of a folder with its audio: pitch, tuning, offset, silent notes",
    "shard": "pack a prepared folder into tar files, for training with very many songs",
    "align": "align a score with a recording: where each note sounds, and aligned MIDI",
    "separate": "separate songs into stems, optionally with MIDI and a listening page",
    "transcribe": "transcribe songs to MIDI",
    "models": "list models, or show the card of a model: license, classes, numbers, provenance",
    "export": "write a model as ONNX, as a folder to share, or as a file",
    "infer": "run asteroid-infer, Asteroid's own command, with a model of this package",
    "completion": "print the completion script of a shell",
}
#: Environment variable with the effect of --traceback, unless it is 0.
TRACEBACK = "ASTEROID_SCORESUP_TRACEBACK"

#: True while arguments are parsed; the package then defers what imports torch.
reading_arguments = False


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM, for example from a scheduler or ``kill``."""


#: Exit status of an interrupted command: 128 plus the number of the signal, as in shells.
STATUS: dict[type[BaseException], int] = {Terminated: 128 + 15, KeyboardInterrupt: 128 + 2}


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM raise :class:`Terminated` in the block, so that it cleans up as after Ctrl-C.

    A second signal ends the process immediately.
    """

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        int: Exit status: 0; 1 after an error, which is reported in one line; 130 or 143 if the
        command was interrupted or terminated. Wrong arguments end the process with 2.
    """
    if argv is None:
        # Importing torch and its like makes a million objects that stay: with Python's defaults a
        # sixth of the start is spent on looking for garbage among them.
        gc.set_threshold(50_000, 20, 100)
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with terminable():  # before the imports, which take seconds
            return _run(argv)
    except KeyboardInterrupt as error:
        print("asteroid-scoresup: interrupted; run it again to resume.", file=sys.stderr)
        return STATUS[type(error)]


def _run(argv: list[str]) -> int:
    run, args = read_arguments(argv)
    try:
        if "asteroid_scoresup" in sys.modules:
            sys.modules["asteroid_scoresup"].register()
        return run(args)
    except (ValueError, OSError, ImportError) as error:
        _report(args, str(error).strip() or type(error).__name__)
    except Exception as error:  # a bug of this package
        what = " ".join(f"{type(error).__name__}: {error}".split())[:500].rstrip(".")
        _report(args, f"{what}. This looks like a bug: please report it with the output of")
        print(f"the same command with --traceback (or {TRACEBACK}=1).", file=sys.stderr)
    return 1


def read_arguments(
    argv: Sequence[str],
) -> tuple[Callable[[argparse.Namespace], int], argparse.Namespace]:
    """Parses arguments, without importing torch.

    Args:
        argv (sequence of str): The arguments; the first is the subcommand.

    Returns:
        tuple: The function that runs the subcommand, and the parsed arguments.

    Raises:
        SystemExit: after ``--help``, and with 2 after an error, which argparse has printed.
    """
    # Only the chosen subcommand is imported, so that it works even if another cannot be.
    chosen = next((a for a in argv if not a.startswith("-")), None)
    args = make_parser(chosen or "").parse_args(argv)
    return importlib.import_module(f"asteroid_scoresup.scripts.{args.verb}").run, args


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line, made without importing torch.

    Args:
        only (str, optional): The only subcommand that gets its arguments. Default: all.

    Returns:
        argparse.ArgumentParser: The parser.
    """
    global reading_arguments
    about = "Music source separation with scores as supervision."
    parser = argparse.ArgumentParser(prog="asteroid-scoresup", description=about)
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    _add_traceback(parser, default=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    before, reading_arguments = reading_arguments, True
    try:
        for verb, text in VERBS.items():
            sub = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
            _add_traceback(sub, default=argparse.SUPPRESS)
            if only in (None, verb):
                module = importlib.import_module(f"asteroid_scoresup.scripts.{verb}")
                module.add_arguments(sub)
    finally:
        reading_arguments = before
    return parser


def _add_traceback(parser: argparse.ArgumentParser, default: bool | str) -> None:
    parser.add_argument(
        "--traceback",
        "--debug",
        action="store_true",
        default=default,
        help=f"show the traceback of an error (also: {TRACEBACK}=1)",
    )


def _report(args: argparse.Namespace, sentence: str) -> None:
    """Prints an error message, and the traceback if requested."""
    if args.traceback or os.environ.get(TRACEBACK, "0") not in ("", "0"):
        traceback.print_exc()
    print(f"asteroid-scoresup {args.verb}: {sentence}", file=sys.stderr)


def _version() -> str:
    """The version of the package, without importing it."""
    for line in (Path(__file__).parent / "asteroid_scoresup" / "__init__.py").open("r"):
        if line.startswith("__version__"):
            return line.split('"')[1]
    return "unknown"


if __name__ == "__main__":
    # Not as `__main__`, since the package looks for this module by name.
    sys.exit(importlib.import_module("asteroid_scoresup_cli").main())
