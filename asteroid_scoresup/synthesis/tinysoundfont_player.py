"""Plays SoundFonts with tinysoundfont, in a process that may die; see the worker beside it.

One worker for each process that renders, started when it is first needed; it ends with that one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

_WORKER = Path(__file__).with_name("tinysoundfont_worker.py")


class RendererDied(ValueError):
    """A renderer ended while it played: the SoundFont is damaged."""


class Player:
    """The worker process of this one; use :func:`play`."""

    def __init__(self):
        self.lock, self.process, self.owner = threading.Lock(), None, None

    def start(self):
        """Starts the worker, unless it is there; a fork of this process gets one of its own."""
        if self.process is not None and self.owner == os.getpid() and self.process.poll() is None:
            return self.process
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pipesize=1 << 20,
        )
        self.owner = os.getpid()
        return self.process

    def stop(self):
        """Ends the worker."""
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
        self.process = None

    def ask(self, request, timeout):
        """Sends a request and reads the answer.

        Returns:
            array: float32, shape :math:`(samples, 2)`.

        Raises:
            RendererDied: if the process ended.
            TimeoutError: if it took longer than `timeout` seconds.
            ValueError: if the SoundFont cannot be loaded.
        """
        process, late = self.start(), threading.Event()

        def give_up():
            late.set()
            process.kill()

        timer = threading.Timer(timeout, give_up)
        timer.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
            if head.endswith(b"\n"):
                complaint = json.loads(head)
                if complaint is not None:
                    raise ValueError(complaint)
                stereo = np.zeros((request["samples"], 2), dtype=np.float32)
                view = memoryview(stereo).cast("B")
                if process.stdout.readinto(view) == len(view):
                    return stereo
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended; told below
        except BaseException as error:
            if not isinstance(error, ValueError):
                self.stop()  # half of an answer may be on its way
            raise
        finally:
            timer.cancel()
        code = process.wait()
        self.stop()
        if late.is_set():
            raise TimeoutError(f"did not end within {timeout:.0f} s")
        raise RendererDied(f"ended with exit status {code}" if code >= 0 else f"signal {-code}")


_player = Player()
atexit.register(_player.stop)


def play(request, timeout):
    """Plays one part; see ``tinysoundfont_worker.py`` for the request.

    Args:
        request (dict): What to play.
        timeout (float): Seconds after which the worker is given up.

    Returns:
        array: float32, shape :math:`(samples, 2)`.

    Raises:
        ValueError: if the SoundFont cannot be loaded, or ends the worker.
        TimeoutError: if the worker does not end.
    """
    font = request["soundfont"]
    with _player.lock:
        try:
            return _player.ask(request, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"tinysoundfont with {font} {error}.") from None
        except RendererDied as error:
            raise RendererDied(
                f"the SoundFont {font} made tinysoundfont crash ({error}) at program "
                f"{request['program']}: it is damaged. Use another SoundFont, or the renderer "
                "fluidsynth."
            ) from None
        except ValueError as error:
            raise ValueError(f"tinysoundfont cannot play {font}: {error}.") from None
