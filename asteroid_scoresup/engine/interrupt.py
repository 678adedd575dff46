"""Ctrl-C and SIGTERM end a command with one sentence and the exit code of the signal."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager

from pytorch_lightning.utilities import rank_zero_only

#: Exit codes are those of a shell: 128 and the number of the signal.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ends_in_a_sentence(name, sentence):
    """Turns signals and errors that a user can mend into one sentence on stderr and an exit code.

    Lightning turns Ctrl-C into exit code 1 and SIGTERM into 0; and where it does not yet train,
    Python prints a traceback.

    Args:
        name (str): Of the command, in front of the sentence.
        sentence (callable): Gives what is said after a signal.

    Raises:
        SystemExit: with 130 after Ctrl-C, 143 after SIGTERM, and 1 after a ``ValueError``,
            ``OSError`` or ``FloatingPointError``.
    """
    received = []

    def receive(number, frame):
        received.append(number)
        # One is enough: what is being cleaned up is not to be interrupted again.
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield
    except BaseException as error:
        # Of processes that train together, all are interrupted, and all stop at a bad loss.
        first = rank_zero_only.rank == 0
        if received:
            if first:
                print(f"\n{name}: {sentence()}", file=sys.stderr)
            raise SystemExit(128 + received[0]) from None
        message = _sentence(error)
        if message is None:
            raise
        if first or not isinstance(error, FloatingPointError):
            print(f"{name}: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sentence(error):
    """What to say of an error, or None if it is a fault of the program."""
    text = str(error)
    if isinstance(error, RuntimeError):
        # torch hides what the file system said; a full disk is the usual reason.
        if "PytorchStreamWriter" in text or "unexpected pos" in text or "write file" in text:
            return f"a file could not be written ({text.splitlines()[0]}): is the disk full?"
        return None
    if not isinstance(error, (ValueError, OSError, FloatingPointError)):
        return None
    # Errors in a loader's process come with a traceback; what they say is its last line.
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    return text
