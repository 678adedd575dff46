"""A `python` for tests that starts with torch, Asteroid and Lightning imported.

Importing them takes seconds, and the recipe starts Python more than a hundred times in its tests.
:func:`preloaded_python` starts one process that imports them. A small client stands in for the
interpreter: it passes its arguments, environment, working directory and standard streams to that
process, which runs the script in a fork, in a process of its own, and returns its exit status. In
the fork `sys.executable` is the client, so that scripts start scripts in the same way.

What this does not show is that a script starts and stops as it does for users, so tests of signals
and the import of each script use `sys.executable`.
"""

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.spawn
import os
import runpy
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

#: Imported before the forks. Nothing here may start a thread or draw a random number.
MODULES = (
    "asteroid.engine.system",
    "asteroid_scoresup.data.prepare",
    "asteroid_scoresup.engine",
    "asteroid_scoresup.evaluation",
    "asteroid_scoresup.inference",
    "asteroid_scoresup.report",
    "asteroid_scoresup.synthesis",
    "lightning_fabric.strategies",
    "matplotlib.pyplot",
    "pandas",
    "pytorch_lightning",
    "yaml",
)
CLIENT = Path(__file__).with_name("preloaded_client.py")


@contextlib.contextmanager
def preloaded_python():
    """Yields the path of a program that is used like `sys.executable`.

    It runs scripts, ``-m`` and ``-c``; with other options, and for workers of joblib, the client
    becomes the interpreter itself. Only Linux forks reliably after these imports; elsewhere
    `sys.executable` is yielded. It can be used as soon as :func:`wait_until_ready` returns.
    """
    if not sys.platform.startswith("linux"):
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="preloaded") as folder:
        address, program = Path(folder, "socket"), Path(folder, "python")
        words = [sys.executable, "-IS", CLIENT, address]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        program.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, __file__, address, program], stdin=subprocess.PIPE,
            # A pipe, not a file, in which the forks would try to seek.
            stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            yield str(program)
        finally:
            server.stdin.close()  # ends it; it also ends if this process is killed
            server.wait()
            server.stdout.close()


def wait_until_ready(program, seconds=300):
    """Waits until the imports are done and returns the program."""
    address, deadline = Path(program).with_name("socket"), time.monotonic() + seconds
    while program != sys.executable and not address.exists():
        assert time.monotonic() < deadline, "the preloaded Python did not start"
        time.sleep(0.05)
    return program


def serve(address):
    """Waits for clients; returns, in a fork, the request of one of them."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)  # it exists as soon as it accepts
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return supervise(connection)
        connection.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def supervise(connection):
    """Forks the process of one request, in which it returns; forwards its signals and status."""
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    (size,) = struct.unpack("I", head)
    request = json.loads(connection.recv(size, socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        connection.close()
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        return request
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    while ended not in (ready := select.select([connection, ended], [], [])[0]):
        number = connection.recv(1) if connection in ready else b""
        if not number:  # the client was killed
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os._exit(0)
        os.kill(child, number[0])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(struct.pack("i", status))
    os._exit(0)


def run(request, program):
    """Runs a command line like a new interpreter, with its environment and working directory."""
    import torch

    first, *rest = request["arguments"]
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    multiprocessing.spawn.set_executable(sys.executable)  # needs options that the client lacks
    sys.executable = program
    if first == "-m":
        sys.argv, sys.path[0] = rest, os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = [first, *rest], os.path.dirname(os.path.abspath(first))
        runpy.run_path(first, run_name="__main__")


def end(action, *arguments):
    """Ends the process with what the interpreter does at its exit, but for freeing all memory."""
    status = 0
    try:
        action(*arguments)
    except SystemExit as stop:
        if not isinstance(stop.code, int | None):
            print(stop.code, file=sys.stderr)
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # collections in the forks would copy the memory that they share
    end(run, serve(sys.argv[1]), sys.argv[2])
