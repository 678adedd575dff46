"""Plays SoundFonts with tinysoundfont in a worker process, since a damaged one can crash it.

Every process that renders has one worker, ``tinysoundfont_worker.py``, which starts when it is
first needed and ends with its parent.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

_WORKER = Path(__file__).with_name("tinysoundfont_worker.py")


class RendererDied(ValueError):
    """A renderer crashed while it played: the SoundFont is damaged."""


class Player:
    """The worker of this process; use :func:`play`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner: int | None = None  # process that started the worker

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the worker unless it is running; after a fork the child gets its own worker.

        Returns:
            subprocess.Popen: The worker.
        """
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

    def stop(self) -> None:
        """Ends the worker."""
        if self.process is not None and self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
            for pipe in _pipes(self.process):
                pipe.close()
        self.process = None

    def ask(self, request: Mapping[str, Any], timeout: float) -> np.ndarray:
        r"""Sends a request and reads the answer.

        Args:
            request (dict): See ``tinysoundfont_worker.py``.
            timeout (float): Time limit, in seconds.

        Returns:
            :class:`numpy.ndarray`: float32, shape :math:`(time, 2)`.

        Raises:
            RendererDied: if the worker ended.
            TimeoutError: if it took longer than `timeout`.
            ValueError: if the SoundFont cannot be loaded.
        """
        process, late = self.start(), threading.Event()
        stdin, stdout = _pipes(process)

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout, give_up)
        timer.start()
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            head = stdout.readline()
            if head.endswith(b"\n"):
                fault = json.loads(head)
                if fault is not None:
                    raise ValueError(fault)
                stereo = np.zeros((request["samples"], 2), dtype=np.float32)
                view = stereo.data.cast("B")
                if stdout.readinto(view) == len(view):
                    return stereo
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended; reported below
        except BaseException as error:
            if not isinstance(error, ValueError):
                self.stop()  # a part of the answer may still be in the pipe
            raise
        finally:
            timer.cancel()
        code = process.wait()
        self.stop()
        if late.is_set():
            raise TimeoutError(f"did not end within {timeout:.0f} s")
        raise RendererDied(f"ended with exit status {code}" if code >= 0 else f"signal {-code}")


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], BufferedReader]:
    """Standard input and output of the worker."""
    return cast(IO[bytes], process.stdin), cast(BufferedReader, process.stdout)


_player = Player()
atexit.register(_player.stop)


def play(request: Mapping[str, Any], timeout: float) -> np.ndarray:
    r"""Renders one part.

    Args:
        request (dict): SoundFont and notes, see ``tinysoundfont_worker.py``.
        timeout (float): Time limit, in seconds.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time, 2)`.

    Raises:
        ValueError: if the SoundFont cannot be loaded, or crashes the worker.
        TimeoutError: if rendering takes longer than `timeout`.
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
