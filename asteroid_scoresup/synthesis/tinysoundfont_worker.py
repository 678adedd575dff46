"""A process that plays SoundFonts with tinysoundfont, and that a damaged one may crash.

The library does not check its input: a damaged SoundFont can cause a segmentation fault or an
endless loop. :mod:`.tinysoundfont_player` runs this file as a script, writes one request after
another to its standard input (a line of JSON each), and reads from its standard output a line of
JSON (null, or an error message) and then the samples, stereo float32.

This package is not imported here, since that would take seconds.
"""

from __future__ import annotations

import json
import os
import runpy
import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file would shadow other modules

from collections.abc import Mapping  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, BinaryIO  # noqa: E402

import numpy as np  # noqa: E402

_WATCHDOG = Path(__file__).resolve().parents[1] / "utils" / "watchdog.py"


def play(request: Mapping[str, Any], out: BinaryIO) -> None:
    """Renders one part.

    Args:
        request (dict): ``soundfont`` (path), ``gain`` (dB), ``rate`` (Hz), ``channel``,
            ``program``, ``drums`` (bool), ``samples`` (length) and ``events``: lists of a time in
            samples, a method of :class:`tinysoundfont.Synth`, and its arguments after the channel.
        out (file): File to which the answer is written.
    """
    import tinysoundfont

    # A new synthesizer for every part, so that no notes of the previous one ring on.
    synth = tinysoundfont.Synth(gain=request["gain"], samplerate=request["rate"])
    channel = request["channel"]
    try:
        number = synth.sfload(request["soundfont"])
        synth.program_select(channel, number, 0, request["program"], is_drums=request["drums"])
    except Exception as error:
        out.write(json.dumps(str(error) or type(error).__name__).encode() + b"\n")
        return
    out.write(b"null\n")
    now = 0
    for sample, method, *values in [*request["events"], [request["samples"], None]]:
        if sample > now:
            stereo = np.zeros((sample - now, 2), dtype=np.float32)
            synth.generate_simple(sample - now, stereo.data.cast("B"))
            out.write(stereo.data.cast("B"))
            now = sample
        if method is not None:
            getattr(synth, method)(channel, *values)


def serve() -> None:
    """Answers requests until the standard input ends."""
    runpy.run_path(str(_WATCHDOG), {"PARENT": os.getppid()})
    # Prints of the library go to standard error, so that they do not mix with the samples.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            play(json.loads(line), out)
            out.flush()


if __name__ == "__main__":
    serve()
