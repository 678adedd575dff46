"""Locks that admit one command at a time to a folder.

Two commands that write to one folder would delete each other's unfinished files. The lock is that
of the operating system (``flock``, or its counterpart on Windows): it ends with the process that
holds it, even if that is killed, so that no stale lock has to be removed. The empty file ``.lock``
stays in the folder, except in folders of results.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from .partial_files import sweep

Result = TypeVar("Result")
LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.holder"


class InUseError(OSError):
    """Another process writes to the folder; the message is a complete sentence."""


@contextlib.contextmanager
def folder_lock(folder: str | os.PathLike[str], what: str, keep: bool = True) -> Iterator[None]:
    """Locks a folder while the block runs, and deletes unfinished files in it.

    Args:
        folder (str or Path): The folder. It is created if it does not exist.
        what (str): Name of the command, for the error message of others, e.g. ``"prepare"``.
        keep (bool): Whether the file of the lock stays in the folder.

    Raises:
        InUseError: if another process holds the lock.
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{folder} is a file: choose a folder to write.") from None
    lock, holder = FileLock(folder / LOCK_FILE), folder / HOLDER_FILE
    try:
        lock.acquire(blocking=False)
        while not (folder / LOCK_FILE).exists():  # its last holder has just deleted it
            lock.release()
            lock.acquire(blocking=False)
    except Timeout:
        raise InUseError(
            f"{folder} is in use by another process ({_read_holder(holder)}): wait until it has "
            "ended, or choose another folder."
        ) from None
    try:
        # Only needed for the message above: on a full disk the lock works without it.
        with contextlib.suppress(OSError):
            holder.write_text(f"{what}, process {os.getpid()}\n", encoding="utf-8")
        sweep(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        if not keep:  # before the release: afterwards it could be the lock of another process
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink()
        lock.release()


def locks_prepared_folder(function: Callable[..., Result]) -> Callable[..., Result]:
    """Decorates a function so that it locks its first argument, if that is a prepared folder.

    Args:
        function (callable): Function whose first argument is a folder.

    Returns:
        callable: The decorated function.
    """

    @functools.wraps(function)
    def inner(folder: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Result:
        if not (Path(folder) / "manifest.json").is_file():
            return function(folder, *args, **kwargs)
        with folder_lock(folder, function.__name__):
            return function(folder, *args, **kwargs)

    return inner


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")[:200].strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"
