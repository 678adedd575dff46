"""Ends a command after Ctrl-C or SIGTERM with a message and the exit code of the signal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pytorch_lightning.utilities import rank_zero_only

#: Exit codes are those of a shell: 128 plus the signal number.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def exit_with_message(name: str, interrupted: Callable[[], str]) -> Iterator[None]:
    """Turns signals and errors that a user can fix into a message on stderr and an exit code.

    Lightning exits with 1 after Ctrl-C and with 0 after SIGTERM; before training starts, Python
    prints a traceback.

    Args:
        name (str): Name of the command, printed before the message.
        interrupted (callable): Returns the message after a signal.

    Raises:
        SystemExit: with 130 after Ctrl-C, 143 after SIGTERM, and 1 after a ``ValueError``,
            ``OSError`` or ``FloatingPointError``.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # One signal is enough: cleaning up must not be interrupted.
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, receive) for number in SIGNALS}
    try:
        yield
    except BaseException as error:
        # Signals and bad losses stop all processes that train together.
        first = getattr(rank_zero_only, "rank", 0) == 0
        if received:
            if first:
                print(f"\n{name}: {interrupted()}", file=sys.stderr)
            raise SystemExit(128 + received[0]) from None
        message = _message(error)
        if message is None:
            raise
        if first or not isinstance(error, FloatingPointError):
            print(f"{name}: {message}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _message(error: BaseException) -> str | None:
    """Message for an error, or None if it is a bug."""
    text = str(error)
    if isinstance(error, RuntimeError):
        # torch hides the error of the file system; a full disk is the usual reason.
        if "PytorchStreamWriter" in text or "unexpected pos" in text or "write file" in text:
            return f"a file could not be written ({text.splitlines()[0]}): is the disk full?"
        return None
    if not isinstance(error, (ValueError, OSError, FloatingPointError)):
        return None
    # Errors in a loader process come with a traceback; the message is its last line.
    if "Original Traceback" in text:
        text = text.strip().splitlines()[-1].split(": ", 1)[-1]
    return text
