"""Ends this process as soon as its parent has ended, even if the parent was killed.

A worker runs this file by path (:func:`runpy.run_path`) when it starts, with ``PARENT`` set to the
process ID of its parent. Importing it as a module would first import the package, which takes
seconds in which the parent could end. It uses the standard library only.

It does nothing on Windows, where the parent ID of a process does not change when the parent ends.
"""

import os
import threading
import time

_SECONDS = 0.25


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


if "PARENT" in globals() and os.name != "nt":
    threading.Thread(target=_watch, args=(globals()["PARENT"],), daemon=True).start()
