"""Names of what is not finished, and an end to what killed runs left behind.

Whatever is being written, or deleted, has a name of one form, ``.name.PID.part`` (with the suffix
of the file, where it has one), until it is complete.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

_UNFINISHED = re.compile(r"\..+\.(?P<pid>\d+)\.part(\.[^.]*)?")
#: Names that earlier versions gave to unfinished tracks.
_EARLIER = re.compile(r"\.Track\d+\.partial")
#: Files that training writes into prepared folders, which it does not lock.
_UNLOCKED = ".informed-"
#: The process that writes such a file may run on another machine: it is taken for dead only if
#: nothing has been written for so many seconds, too.
_QUIET_SECONDS = 10.0
_SCRATCH = "asteroid_scoresup_"


def unfinished(path):
    """The name under which this process writes, or deletes, a folder.

    Examples
        >>> unfinished(Path("train/Track00001")).name == f".Track00001.{os.getpid()}.part"
        True
    """
    path = Path(path)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_folder(folder):
    """Deletes a folder so that nobody ever finds half of it: it is renamed first."""
    folder = Path(folder)
    aside = unfinished(folder.with_name(f"{folder.name}.old"))
    os.replace(folder, aside)
    shutil.rmtree(aside)


def replace_folder(new, folder):
    """Puts a finished folder where perhaps an older one is."""
    if Path(folder).exists():
        remove_folder(folder)
    os.replace(new, folder)


def sweep(folder, locked=True):
    """Removes what killed runs left unfinished, at any depth; links are not followed.

    Args:
        folder (str or Path): Where to look.
        locked (bool): Whether this process holds the folder's lock, so that what only lock holders
            write belongs to nobody. Else only files of processes that are gone are removed.
    """
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            found = _UNFINISHED.fullmatch(name)
            if not found and not _EARLIER.fullmatch(name):
                continue
            path = Path(place, name)
            ours = locked and not name.startswith(_UNLOCKED)
            if ours or (found and is_dead(path, found["pid"])):
                _remove(path)
        folders[:] = [name for name in folders if not name.startswith(".")]


def sweep_beside(path):
    """Removes unfinished versions of one file that dead processes left beside it."""
    path = Path(path)
    form = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.part{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            found = form.fullmatch(name)
            if found and is_dead(path.parent / name, found[1]):
                _remove(path.parent / name)


@contextlib.contextmanager
def scratch_folder():
    """A temporary folder, deleted at the end of the block; yields its path.

    Those of processes that were killed are deleted by :func:`sweep_scratch`.

    Raises:
        OSError: if there is no room for one.
    """
    with tempfile.TemporaryDirectory(
        prefix=f"{_SCRATCH}{os.getpid()}_", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def sweep_scratch():
    """Deletes the temporary folders of processes of this user that were killed."""
    form = re.compile(rf"{_SCRATCH}(\d+)_\w+")
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).iterdir():
            found = form.fullmatch(path.name)
            if found and is_dead(path, found[1]):
                _remove(path)


def is_dead(path, pid):
    """Whether the process of this number has ended and left a file or folder alone for a while."""
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _QUIET_SECONDS and not _is_running(int(pid))
    return False


def _remove(path):
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_running(pid):
    if pid == os.getpid() or os.name == "nt":  # there os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
