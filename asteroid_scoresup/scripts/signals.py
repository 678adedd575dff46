"""How a command ends when it is told to: at once, with a sentence, and with the usual status."""

from __future__ import annotations

import contextlib
import signal
import threading


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
