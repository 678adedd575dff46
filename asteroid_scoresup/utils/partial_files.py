"""Temporary names of files and folders while they are written, and removal of stale ones.

A file or folder that is being written or deleted is called ``.name.PID.part``, followed by the
suffix of the file. Killed runs leave such files behind; later runs delete them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = re.compile(r"\..+\.(?P<pid>\d+)\.part(\.[^.]*)?")
#: Temporary names of tracks in earlier versions.
_EARLIER = re.compile(r"\.Track\d+\.partial")
#: Prefix of the files that training writes to prepared folders, which it does not lock.
_UNLOCKED = ".informed-"
#: Since the writer may run on another machine, it is only considered dead if the file has also not
#: been written to for this many seconds.
_QUIET_SECONDS = 10.0
_SCRATCH = "asteroid_scoresup_"


def unfinished(path: str | os.PathLike[str]) -> Path:
    """Temporary name of a folder while this process writes or deletes it.

    Args:
        path (str or Path): Final path of the folder.

    Returns:
        Path: Temporary path, in the same parent folder.

    Examples
        >>> unfinished(Path("train/Track00001")).name == f".Track00001.{os.getpid()}.part"
        True
    """
    path = Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_folder(folder: str | os.PathLike[str]) -> None:
    """Deletes a folder, renaming it first so that it is never found half deleted.

    Args:
        folder (str or Path): The folder.
    """
    folder = Path(folder)
    aside = unfinished(folder.with_name(f"{folder.name}.old"))
    os.replace(folder, aside)
    shutil.rmtree(aside)


def replace_folder(new: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    """Moves a finished folder to its place, deleting an older one there.

    Args:
        new (str or Path): The finished folder.
        folder (str or Path): Its final path.
    """
    if Path(folder).exists():
        remove_folder(folder)
    os.replace(new, folder)


def sweep(folder: str | os.PathLike[str], locked: bool = True) -> None:
    """Deletes partial files of killed runs, at any depth; symbolic links are not followed.

    Args:
        folder (str or Path): Where to look.
        locked (bool): Whether this process holds the lock of the folder. If so, no other process
            writes files that need the lock, and all of them are deleted. If not, only files of
            processes that have ended are.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            found = _PARTIAL.fullmatch(name)
            if not found and not _EARLIER.fullmatch(name):
                continue
            path = Path(place, name)
            stale = locked and not name.startswith(_UNLOCKED)
            if stale or (found and is_dead(path, found["pid"])):
                _remove(path)
        folders[:] = [name for name in folders if not name.startswith(".")]


def sweep_beside(path: str | os.PathLike[str]) -> None:
    """Deletes partial versions of one file that killed processes left next to it.

    Args:
        path (str or Path): The file.
    """
    path = Path(path)
    form = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.part{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            found = form.fullmatch(name)
            if found and is_dead(path.parent / name, found[1]):
                _remove(path.parent / name)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Creates a temporary folder, which is deleted at the end of the block.

    :func:`sweep_scratch` deletes those of processes that were killed.

    Yields:
        Path: The folder.

    Raises:
        OSError: if it cannot be created.
    """
    with tempfile.TemporaryDirectory(
        prefix=f"{_SCRATCH}{os.getpid()}_", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def sweep_scratch() -> None:
    """Deletes temporary folders (:func:`scratch_folder`) of killed processes of this user."""
    form = re.compile(rf"{_SCRATCH}(\d+)_\w+")
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).iterdir():
            found = form.fullmatch(path.name)
            if found and is_dead(path, found[1]):
                _remove(path)


def is_dead(path: Path, pid: str | int) -> bool:
    """Whether the writer of a partial file has ended, and the file is older than some seconds.

    Args:
        path (Path): The file or folder.
        pid (str or int): Process ID of its writer.

    Returns:
        bool: Whether it is safe to delete.
    """
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _QUIET_SECONDS and not _is_running(int(pid))
    return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_running(pid: int) -> bool:
    if pid == os.getpid() or os.name == "nt":  # on Windows os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
