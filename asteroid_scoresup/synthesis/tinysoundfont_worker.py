"""A process that plays SoundFonts with tinysoundfont and may die of a damaged one.

The library trusts its input: a damaged SoundFont can end the process with a segmentation fault, or
keep it busy for ever. :mod:`.tinysoundfont_player` starts this file by its path, asks for one part
after another through the standard input (a line of JSON each) and reads, from the standard output,
a line of JSON (null, or what is wrong) and then the stereo float32 samples.

No import of this package: one would take seconds.
"""

import json
import os
import runpy
import sys

if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file must not shadow other modules

import numpy as np  # noqa: E402


def play(request, out):
    """Plays one part.

    Args:
        request (dict): ``soundfont`` (path), ``gain`` (dB), ``rate`` (Hz), ``channel``,
            ``program``, ``drums`` (bool), ``samples`` (length) and ``events``: lists of a sample,
            a method of :class:`tinysoundfont.Synth`, and its arguments after the channel.
        out (file): Where the answer goes.
    """
    import tinysoundfont

    # A synthesizer of its own for every part: nothing sounds on from the one before.
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
            synth.generate_simple(sample - now, memoryview(stereo).cast("B"))
            out.write(memoryview(stereo).cast("B"))
            now = sample
        if method is not None:
            getattr(synth, method)(channel, *values)


def serve():
    """Answers requests until the standard input ends."""
    runpy.run_path(os.path.join(os.path.dirname(__file__), "watchdog.py"), {"PARENT": os.getppid()})
    # What a library prints must not get between the samples.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            play(json.loads(line), out)
            out.flush()


if __name__ == "__main__":
    serve()
