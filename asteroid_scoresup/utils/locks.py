"""One command at a time in a folder.

Two commands that write into one folder would each take the other's unfinished files for leftovers.
The lock is the operating system's (``flock``, or its counterpart on Windows): it ends with the
process that holds it, however that process ends, so a killed run leaves no lock behind that
somebody would have to remove. The empty file ``.lock`` stays in the folder.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from filelock import FileLock, Timeout

from .leftovers import sweep

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.holder"


@contextlib.contextmanager
def folder_lock(folder, what):
    """Keeps other commands out of a folder while the block runs, and removes what is unfinished.

    Args:
        folder (str or Path): The folder; it is made if it is missing.
        what (str): What the block does, for the others' message, for example ``"prepare"``.

    Raises:
        OSError: if another process holds the lock, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{folder} is a file: choose a folder to write.") from None
    lock, holder = FileLock(folder / LOCK_FILE), folder / HOLDER_FILE
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OSError(
            f"{folder} is in use by another process ({_read_holder(holder)}): wait until it has "
            "ended, or choose another folder."
        ) from None
    try:
        # Only for the message above: without it (a full disk) the lock holds all the same.
        with contextlib.suppress(OSError):
            holder.write_text(f"{what}, process {os.getpid()}\n", encoding="utf-8")
        sweep(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def locks_prepared_folder(function):
    """A decorator: locks the folder that is the first argument, if it is a prepared one."""

    @functools.wraps(function)
    def inner(folder, *args, **kwargs):
        if not (Path(folder) / "manifest.json").is_file():
            return function(folder, *args, **kwargs)
        with folder_lock(folder, function.__name__):
            return function(folder, *args, **kwargs)

    return inner


def _read_holder(path):
    try:
        return path.read_text(encoding="utf-8")[:200].strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"
