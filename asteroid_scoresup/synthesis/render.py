"""Renders notes with a SoundFont: dry, mono, not normalized.

There are two renderers: the command line program ``fluidsynth``, and the Python package
``tinysoundfont``, which needs no system library. Both follow the same conventions:

- Rendering runs at 44.1 kHz and the result is resampled: SoundFont players use simple
  interpolation, which aliases audibly at 16 kHz.
- No reverb, no chorus, no dither, and **no normalization**: a note has the same level whatever else
  is rendered, so that the relative levels of stems are meaningful. (The convenience method
  ``pretty_midi.PrettyMIDI.fluidsynth`` scales every call to a peak of 1.0.)
- Pitch bends and control changes (sustain pedal, volume, expression, bend range…) are applied. Bank
  selects and pan are not: programs are those of General MIDI, and stems are mono.
- The mono signal is the mean of the left and right channels.
- A note starts 0 to 8 ms after its onset in the score (FluidSynth works in blocks).
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import soundfile
import soxr
import torch
import torchaudio

from ..midi.pedals import Pedals
from ..utils.files import explained
from ..utils.partial_files import scratch_folder
from . import tinysoundfont_player
from .soundfont_reader import has_preset

#: Names of the renderers; ``auto`` is the first that is installed.
RENDERERS = ("auto", "fluidsynth", "tinysoundfont")
#: Sample rate of rendering, in Hz, before resampling.
RENDER_RATE = 44100

# With these gains both renderers have about the same level, and a six-note chord at velocity 127
# stays below 1.0. Louder music does not clip either, since both write floats.
_FLUIDSYNTH_GAIN = 0.2
_TINYSOUNDFONT_GAIN_DB = -10.0

# Bank selects (0, 32) would leave General MIDI; pan (10, 42) would change the level of the mono
# signal; 91 and 93 set the levels of reverb and chorus, which are off.
_IGNORED_CONTROLS = frozenset({0, 10, 32, 42, 91, 93})

_TICKS_PER_SECOND = 10000  # of the MIDI files for FluidSynth: ticks of 0.1 ms
_TEMPO = 500000  # microseconds per beat, MIDI's default
_NOT_LOADED = "Failed to load the SoundFont"  # a message of FluidSynth
_PATIENCE = 60.0  # timeout of a renderer in seconds, plus four times the length of the song
_LARGEST_RATIO = 2000  # numerator of a resampling ratio in lowest terms, for torchaudio


def default_soundfont() -> Path:
    """Path of ``TimGM6mb.sf2``, the small General MIDI SoundFont inside ``pretty_midi``.

    Returns:
        Path: The SoundFont.

    Raises:
        FileNotFoundError: if the installed ``pretty_midi`` does not include it.
    """
    path = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if not path.is_file():
        raise FileNotFoundError(
            f"the default SoundFont {path} is missing from the installed pretty_midi: reinstall "
            "pretty_midi, or name a SoundFont of your own (--soundfont)."
        )
    return path


def resolve_renderer(renderer: str = "auto") -> str:
    """Finds an installed renderer.

    Args:
        renderer (str): One of :data:`RENDERERS`.

    Returns:
        str: ``"fluidsynth"`` or ``"tinysoundfont"``.

    Raises:
        ValueError: if the name is unknown.
        FileNotFoundError: if the renderer is not installed.
    """
    if renderer not in RENDERERS:
        raise ValueError(f"unknown renderer {renderer!r}: expected one of {', '.join(RENDERERS)}.")
    has_fluidsynth = shutil.which("fluidsynth") is not None
    if renderer == "fluidsynth" and not has_fluidsynth:
        raise FileNotFoundError(
            "the program fluidsynth is not installed: install it (Debian: apt install fluidsynth) "
            "or choose the renderer tinysoundfont."
        )
    if renderer == "fluidsynth" or (renderer == "auto" and has_fluidsynth):
        return "fluidsynth"
    try:
        import tinysoundfont  # noqa: F401
    except ImportError as error:
        which = "no renderer is" if renderer == "auto" else "the package tinysoundfont is not"
        raise FileNotFoundError(
            f"{which} installed: use 'pip install --no-deps tinysoundfont' (its dependency pyaudio "
            "is only for live playback), or install the program fluidsynth (Debian: apt install "
            "fluidsynth)."
        ) from error
    return "tinysoundfont"


def render_instrument(
    instrument: pretty_midi.Instrument,
    seconds: float,
    sample_rate: int = RENDER_RATE,
    soundfont: str | os.PathLike[str] | None = None,
    renderer: str = "auto",
) -> np.ndarray:
    r"""Renders one instrument, from time 0.

    Args:
        instrument (pretty_midi.Instrument): Notes, pitch bends and control changes, with times in
            seconds. Those at or after `seconds` are left out.
        seconds (float): Length of the result. Notes are cut at the end.
        sample_rate (int): Sample rate of the result, in Hz.
        soundfont (str or Path, optional): An ``.sf2`` or ``.sf3`` file. Default: the one inside
            ``pretty_midi``.
        renderer (str): One of :data:`RENDERERS`.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`. Equal arguments give equal bits.

    Raises:
        FileNotFoundError: if the SoundFont or the renderer is missing.
        ValueError: if the SoundFont does not have the program, or `seconds` or `sample_rate` is not
            positive.
        OSError: if the renderer fails or times out.

    Examples
        >>> bass = pretty_midi.Instrument(33)
        >>> bass.notes = [pretty_midi.Note(velocity=100, pitch=40, start=0.1, end=0.4)]
        >>> render_instrument(bass, seconds=0.5, sample_rate=8000).shape
        (4000,)
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"cannot render {seconds} seconds: expected a positive number.")
    if not 1 <= sample_rate < math.inf:
        raise ValueError(f"cannot render at {sample_rate} Hz: expected a positive rate.")
    path = Path(soundfont) if soundfont is not None else default_soundfont()
    if not has_preset(path, instrument.program, instrument.is_drum):
        what = "drum kit" if instrument.is_drum else f"program {instrument.program}"
        raise ValueError(f"the SoundFont {path} has no {what}.")
    play = {"fluidsynth": _play_fluidsynth, "tinysoundfont": _play_tinysoundfont}
    stereo = play[resolve_renderer(renderer)](instrument, seconds, path)
    mono = torch.from_numpy(stereo.mean(axis=1, dtype=np.float32))
    mono = _resample(mono, sample_rate)
    samples = round(seconds * sample_rate)
    result = np.zeros(samples, dtype=np.float32)
    result[: min(samples, len(mono))] = mono.numpy()[:samples]
    return result


def _resample(mono: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Resamples from :data:`RENDER_RATE`; with torchaudio at usual rates, as early versions did."""
    if sample_rate == RENDER_RATE:
        return mono
    if sample_rate // math.gcd(sample_rate, RENDER_RATE) <= _LARGEST_RATIO:
        return torchaudio.functional.resample(mono, RENDER_RATE, sample_rate)
    # The size of torchaudio's filter is the product of both terms: gigabytes for 44,101 Hz.
    return torch.from_numpy(soxr.resample(mono.numpy(), RENDER_RATE, sample_rate, quality="VHQ"))


def render_notes(
    notes: Sequence[pretty_midi.Note],
    program: int,
    seconds: float,
    sample_rate: int = RENDER_RATE,
    soundfont: str | os.PathLike[str] | None = None,
    renderer: str = "auto",
) -> np.ndarray:
    r"""Renders notes with one General MIDI program; see :func:`render_instrument`.

    Args:
        notes (sequence of pretty_midi.Note): Notes, with times in seconds.
        program (int): General MIDI program, 0 to 127.
        seconds (float): Length of the result.
        sample_rate (int): Sample rate of the result, in Hz.
        soundfont (str or Path, optional): An ``.sf2`` or ``.sf3`` file. Default: the one inside
            ``pretty_midi``.
        renderer (str): One of :data:`RENDERERS`.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`.
    """
    instrument = pretty_midi.Instrument(program)
    instrument.notes = list(notes)
    return render_instrument(instrument, seconds, sample_rate, soundfont, renderer)


def messages(
    instrument: pretty_midi.Instrument, seconds: float = math.inf
) -> list[tuple[float, mido.Message]]:
    """Lists the MIDI messages of an instrument in playing order.

    Of simultaneous messages, the ends of notes come first, so that repeated notes are struck again,
    and note onsets last. Control changes keep their order: a bend range is set by a *sequence*.

    Args:
        instrument (pretty_midi.Instrument): The instrument.
        seconds (float): Messages at or after this time are left out.

    Returns:
        list of tuple: (time in seconds, message).
    """
    channel = 9 if instrument.is_drum else 0
    program = mido.Message("program_change", channel=channel, program=instrument.program)
    ordered = [(0.0, -1, program)]
    for change in instrument.control_changes:
        if change.number not in _IGNORED_CONTROLS:
            message = mido.Message(
                "control_change", channel=channel, control=change.number, value=change.value
            )
            ordered.append((max(0.0, change.time), 1, message))
    for bend in instrument.pitch_bends:
        message = mido.Message("pitchwheel", channel=channel, pitch=bend.pitch)
        ordered.append((max(0.0, bend.time), 2, message))
    for note in instrument.notes:
        if note.velocity > 0 and note.end > note.start:
            on = mido.Message("note_on", channel=channel, note=note.pitch, velocity=note.velocity)
            off = mido.Message("note_off", channel=channel, note=note.pitch)
            ordered.append((max(0.0, note.start), 3, on))
            ordered.append((note.end, 0, off))
    ordered.sort(key=lambda item: item[:2])  # stable: equal times and kinds keep their order
    return [(time, message) for time, _, message in ordered if time < seconds]


def _play_fluidsynth(
    instrument: pretty_midi.Instrument, seconds: float, soundfont: Path
) -> np.ndarray:
    """Stereo audio ``(samples, 2)`` at :data:`RENDER_RATE` from the FluidSynth program."""
    track = mido.MidiTrack()
    now = 0
    for time, message in messages(instrument, seconds):
        tick = round(time * _TICKS_PER_SECOND)
        track.append(message.copy(time=tick - now))
        now = tick
    # FluidSynth runs while a voice sounds: with a pedal held at the end it would never stop.
    channel = 9 if instrument.is_drum else 0
    for control in (64, 120, 123):
        tick = max(now, round(seconds * _TICKS_PER_SECOND))
        end = mido.Message("control_change", channel=channel, control=control, value=0)
        track.append(end.copy(time=tick - now))
        now = tick
    midi = mido.MidiFile(ticks_per_beat=_TICKS_PER_SECOND * _TEMPO // 1000000)
    midi.tracks.append(track)
    timeout = _PATIENCE + 4 * seconds
    with scratch_folder() as folder:
        score, audio = os.path.join(folder, "score.mid"), os.path.join(folder, "audio.wav")
        with explained(score):
            midi.save(score)
        command = ["fluidsynth", "-n", "-i", "-q", "-R", "0", "-C", "0"]
        command += ["-g", str(_FLUIDSYNTH_GAIN), "-r", str(RENDER_RATE), "-O", "float", "-T", "wav"]
        # Neither the user's configuration nor their SoundFont, which replaces one that is damaged.
        command += ["-f", os.devnull, "-o", "synth.default-soundfont="]
        command += ["-F", audio, str(soundfont), score]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"fluidsynth did not end within {timeout:.0f} s for {seconds:g} s of music with "
                f"{soundfont}."
            ) from error
        output = done.stdout.decode(errors="replace").strip().splitlines()
        if any(_NOT_LOADED in line for line in output):  # the exit status is 0 nevertheless
            raise OSError(
                f"{soundfont} is not a SoundFont that fluidsynth can read: "
                f"{output[0].removeprefix('fluidsynth: error: ')}."
            )
        if done.returncode != 0 or not os.path.isfile(audio):
            raise OSError(
                f"fluidsynth failed with {soundfont} (exit status {done.returncode}): "
                f"{output[-1] if output else 'no message'}."
            )
        try:
            stereo, _ = soundfile.read(audio, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise OSError(
                f"the output of fluidsynth, {audio}, cannot be read ({error}): is the disk of "
                "temporary files full?"
            ) from None
    return stereo


def _play_tinysoundfont(
    instrument: pretty_midi.Instrument, seconds: float, soundfont: Path
) -> np.ndarray:
    """Stereo audio ``(samples, 2)`` at :data:`RENDER_RATE` from the tinysoundfont package."""
    channel = 9 if instrument.is_drum else 0
    samples = round(seconds * RENDER_RATE)
    events: list[tuple[Any, ...]] = []
    pedals = Pedals()  # tinysoundfont does not support pedals
    for time, message in messages(instrument, seconds):
        sample = min(samples, round(time * RENDER_RATE))
        if message.type == "note_on":
            for pitch in pedals.strike(message.note, message.note):
                events.append((sample, "noteoff", pitch))
            events.append((sample, "noteon", message.note, message.velocity))
        elif message.type == "note_off":
            lifted = pedals.keys.pop(message.note, [])
            for pitch in pedals.lift(message.note, lifted):
                events.append((sample, "noteoff", pitch))
        elif message.type == "control_change":
            for pitch in pedals.control(message.control, message.value):
                events.append((sample, "noteoff", pitch))
            # "All notes off" (123 and above) would ignore the pedals; notes end anyway.
            if message.control not in (64, 66) and message.control < 123:
                events.append((sample, "control_change", message.control, message.value))
        elif message.type == "pitchwheel":
            events.append((sample, "pitchbend", message.pitch + 8192))
    request = {
        "soundfont": os.path.abspath(soundfont),
        "gain": _TINYSOUNDFONT_GAIN_DB,
        "rate": RENDER_RATE,
        "channel": channel,
        "program": int(instrument.program),
        "drums": bool(instrument.is_drum),
        "samples": samples,
        "events": events,
    }
    return tinysoundfont_player.play(request, _PATIENCE + 4 * seconds)
