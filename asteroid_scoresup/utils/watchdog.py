"""Ends this process when the one that started it has ended, however that ended.

Run by its path (:func:`runpy.run_path`) at the start of a worker, with ``PARENT`` set to the number
of the process that started it: importing it as a module would import the package first, and a
worker must not outlive its parent even for the seconds which that takes. Standard library only.

Not on Windows, where a process is not told that its parent has gone.
"""

import os
import threading
import time

_SECONDS = 0.25


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


if "PARENT" in globals() and os.name != "nt":
    threading.Thread(target=_watch, args=(globals()["PARENT"],), daemon=True).start()
