"""``asteroid-scoresup``: one command, one verb a job.

It is a module of its own, beside the package, since importing the package imports torch, and
``--help`` and ``--version`` should not wait for that.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

#: Verb → one line of help; the module of the same name in ``asteroid_scoresup.scripts`` has
#: `add_arguments` and `run`.
VERBS = {
    "synthesize": "make a Slakh-format data set from composed songs or a folder of MIDI files",
    "prepare": "prepare Slakh folders, or own pairs of audio and MIDI, for training",
    "check": "compare the labels of a folder with its audio: pitch, tuning, offset, silent notes",
    "separate": "separate songs into stems, with their score and a page to listen to if wanted",
    "transcribe": "write the score of songs as MIDI",
    "infer": "run asteroid-infer, Asteroid's own command, on a model of ours",
}
#: With this variable set to anything but 0, errors show where they come from, as --traceback does.
TRACEBACK = "ASTEROID_SCORESUP_TRACEBACK"

#: True while arguments are read: the package then waits with what imports torch.
reading_arguments = False


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM), by a scheduler or by ``kill``."""


#: Exit status by what ended the command: 128 and the number of the signal, as shells count.
STATUS = {Terminated: 128 + 15, KeyboardInterrupt: 128 + 2}


@contextlib.contextmanager
def terminable():
    """Lets SIGTERM raise :class:`Terminated` in the block, so that it cleans up as Ctrl-C does.

    A second signal ends the process at once.
    """

    def end(number, frame):
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


def main(argv=None):
    """Entry point of the console script.

    Args:
        argv (list of str, optional): Arguments; default: those of the process.

    Returns:
        int: Exit status: 0, or 1 after one sentence on what was wrong; 130 or 143 if it was
        interrupted or terminated.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        with terminable():  # from here on: imports take seconds
            return _run(argv)
    except KeyboardInterrupt as error:
        print("asteroid-scoresup: interrupted; run it again to resume.", file=sys.stderr)
        return STATUS[type(error)]


def _run(argv):
    run, args = _read(argv)
    try:
        if "asteroid_scoresup" in sys.modules:
            sys.modules["asteroid_scoresup"].register()
        return run(args)
    except (ValueError, OSError, ImportError) as error:
        _tell(args, str(error).strip() or type(error).__name__)
    except Exception as error:  # a fault of the program: a sentence, and how to report it
        what = " ".join(f"{type(error).__name__}: {error}".split())[:500].rstrip(".")
        _tell(args, f"{what}. If this is no fault of the input, please report it with what the")
        print(f"same command shows with --traceback (or {TRACEBACK}=1).", file=sys.stderr)
    return 1


def _read(argv):
    """The function to run, and its arguments."""
    global reading_arguments
    about = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="asteroid-scoresup", description=about)
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    _add_traceback(parser, default=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    # Only the chosen verb is imported: the others need not even be installable.
    chosen = next((a for a in argv if not a.startswith("-")), None)
    module = None
    reading_arguments = True
    try:
        for verb, text in VERBS.items():
            sub = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
            _add_traceback(sub, default=argparse.SUPPRESS)
            if verb == chosen:
                module = importlib.import_module(f"asteroid_scoresup.scripts.{verb}")
                module.add_arguments(sub)
        args = parser.parse_args(argv)
    finally:
        reading_arguments = False
    return module.run, args


def _add_traceback(parser, default):
    parser.add_argument(
        "--traceback",
        "--debug",
        action="store_true",
        default=default,
        help=f"show where an error comes from (also: {TRACEBACK}=1)",
    )


def _tell(args, sentence):
    """Prints an error as a sentence, after its traceback if that is wanted."""
    if args.traceback or os.environ.get(TRACEBACK, "0") not in ("", "0"):
        traceback.print_exc()
    print(f"asteroid-scoresup {args.verb}: {sentence}", file=sys.stderr)


def _version():
    """The package's version, without importing it."""
    for line in (Path(__file__).parent / "asteroid_scoresup" / "__init__.py").open("r"):
        if line.startswith("__version__"):
            return line.split('"')[1]
    return "unknown"


if __name__ == "__main__":
    # Under its own name, by which the package asks it.
    sys.exit(importlib.import_module("asteroid_scoresup_cli").main())
