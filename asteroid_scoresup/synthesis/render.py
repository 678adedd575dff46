"""Notes to audio with a SoundFont, dry, mono and at honest levels.

Two renderers play the same notes: the ``fluidsynth`` command line program, and the Python package
``tinysoundfont``, which needs nothing from the system. Both follow the same conventions:

- Rendering runs at 44.1 kHz and the result is resampled: SoundFont players interpolate their
  samples so simply that they alias audibly when run at 16 kHz.
- No reverb, no chorus, no dither, and **no normalization**: the same note has the same level
  whatever else is rendered, so that the levels between stems mean something. (The convenience
  method ``pretty_midi.PrettyMIDI.fluidsynth`` scales every call to a peak of 1.0.)
- Pitch bends and control changes (sustain pedal, volume, expression, bend range...) are played.
  Bank selects and pan are not: programs are those of General MIDI, and stems are mono.
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

import mido
import numpy as np
import pretty_midi
import soundfile
import soxr
import torch
import torchaudio

from ..midi.pedals import Pedals
from ..utils.files import explained
from ..utils.leftovers import scratch_folder
from . import tinysoundfont_player
from .soundfont_reader import soundfont_presets

RENDERERS = ("auto", "fluidsynth", "tinysoundfont")
RENDER_RATE = 44100
"""Rate at which SoundFonts are played, in Hz, before resampling."""

# Both give about the same level, at which a full six-note chord at velocity 127 stays below 1.0.
# Nothing clips in any case: both renderers write floats.
_FLUIDSYNTH_GAIN = 0.2
_TINYSOUNDFONT_GAIN_DB = -10.0

# Bank selects (0, 32) would leave General MIDI; pan (10, 42) would change the level of a mono
# mix; 91 and 93 ask for the reverb and chorus that are off.
_IGNORED_CONTROLS = frozenset({0, 10, 32, 42, 91, 93})

_TICKS_PER_SECOND = 10000  # of the MIDI files handed to FluidSynth: 0.1 ms
_TEMPO = 500000  # microseconds per beat, MIDI's default
_PATIENCE = 60.0  # seconds before a renderer is given up, besides four times the song's length
_LARGEST_RATIO = 2000  # upper term of a resampling ratio in lowest terms, for torchaudio


def default_soundfont() -> Path:
    """Path of ``TimGM6mb.sf2``, the small General MIDI SoundFont inside ``pretty_midi``.

    Raises:
        FileNotFoundError: If the installed ``pretty_midi`` comes without it.
    """
    path = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
    if not path.is_file():
        raise FileNotFoundError(
            f"the default SoundFont {path} is missing from the installed pretty_midi: reinstall "
            "pretty_midi, or name a SoundFont of your own (--soundfont)."
        )
    return path


def resolve_renderer(renderer: str = "auto") -> str:
    """Name of the renderer that will play: ``"fluidsynth"`` or ``"tinysoundfont"``.

    Args:
        renderer: ``"fluidsynth"``, ``"tinysoundfont"``, or ``"auto"`` for the first installed.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If the renderer is not installed.
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
            "is only for live sound), or install the program fluidsynth (Debian: apt install "
            "fluidsynth)."
        ) from error
    return "tinysoundfont"


def render_instrument(
    instrument: pretty_midi.Instrument,
    seconds: float,
    sample_rate: int = RENDER_RATE,
    soundfont: os.PathLike | None = None,
    renderer: str = "auto",
) -> np.ndarray:
    """Play one instrument, alone, from time 0.

    Args:
        instrument: Notes, pitch bends and control changes with times in seconds, a General MIDI
            ``program`` and ``is_drum``. What starts at or after ``seconds`` is left out.
        seconds: Length of the result. Shorter than the notes: cut; longer: their decay, silence.
        sample_rate: Rate of the result in Hz.
        soundfont: An ``.sf2`` or ``.sf3`` file; by default the one inside ``pretty_midi``.
        renderer: One of :data:`RENDERERS`.

    Returns:
        Mono float32 array of shape ``(round(seconds * sample_rate),)``, the same bits every time.

    Raises:
        FileNotFoundError: If the SoundFont or the renderer is missing.
        ValueError: If the SoundFont has no such program, or a value makes no sense.
        OSError: If the renderer fails or does not end.

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
    bank = 128 if instrument.is_drum else 0
    presets = soundfont_presets(path)
    # A SoundFont with any drum kit plays it for every drum program, as synthesizers do.
    known = any(b == 128 for b, _ in presets) if bank else (0, instrument.program) in presets
    if not known:
        what = "drum kit" if bank else f"program {instrument.program}"
        raise ValueError(f"the SoundFont {path} has no {what}.")
    play = {"fluidsynth": _play_fluidsynth, "tinysoundfont": _play_tinysoundfont}
    stereo = play[resolve_renderer(renderer)](instrument, seconds, path)
    mono = torch.from_numpy(stereo.mean(axis=1, dtype=np.float32))
    mono = _resample(mono, sample_rate)
    samples = round(seconds * sample_rate)
    result = np.zeros(samples, dtype=np.float32)
    result[: min(samples, len(mono))] = mono.numpy()[:samples]
    return result


def _resample(mono, sample_rate):
    """From :data:`RENDER_RATE` to another; the same bits as ever at the usual rates."""
    if sample_rate == RENDER_RATE:
        return mono
    if sample_rate // math.gcd(sample_rate, RENDER_RATE) <= _LARGEST_RATIO:
        return torchaudio.functional.resample(mono, RENDER_RATE, sample_rate)
    # torchaudio's filter grows with the product of both terms of the ratio: gigabytes at 44,101 Hz.
    return torch.from_numpy(soxr.resample(mono.numpy(), RENDER_RATE, sample_rate, quality="VHQ"))


def render_notes(
    notes: Sequence[pretty_midi.Note],
    program: int,
    seconds: float,
    sample_rate: int = RENDER_RATE,
    soundfont: os.PathLike | None = None,
    renderer: str = "auto",
) -> np.ndarray:
    """Play notes with one General MIDI program; see :func:`render_instrument`.

    Args:
        notes: Notes with times in seconds.
        program: General MIDI program, 0 to 127.
        seconds: Length of the result.
        sample_rate: Rate of the result in Hz.
        soundfont: An ``.sf2`` or ``.sf3`` file; by default the one inside ``pretty_midi``.
        renderer: One of :data:`RENDERERS`.

    Returns:
        Mono float32 array of shape ``(round(seconds * sample_rate),)``.
    """
    instrument = pretty_midi.Instrument(program)
    instrument.notes = list(notes)
    return render_instrument(instrument, seconds, sample_rate, soundfont, renderer)


def messages(
    instrument: pretty_midi.Instrument, seconds: float = math.inf
) -> list[tuple[float, mido.Message]]:
    """MIDI messages in the order in which they must be played, with times in seconds.

    At equal times notes end first, so that a repeated note is struck again, and controls come
    before the notes they shape. Controls keep their order in the file: a bend range is a
    *sequence* of controls. Those at or after `seconds` are left out.
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
    # FluidSynth goes on while a voice sounds: a pedal held at the end would never let it stop.
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
        # An empty configuration instead of the user's own keeps the result the same everywhere.
        command += ["-f", os.devnull, "-F", audio, str(soundfont), score]
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
        if done.returncode != 0 or not os.path.isfile(audio):
            said = done.stdout.decode(errors="replace").strip().splitlines()
            raise OSError(
                f"fluidsynth failed with {soundfont} (exit status {done.returncode}): "
                f"{said[-1] if said else 'no message'}."
            )
        try:
            stereo, _ = soundfile.read(audio, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise OSError(
                f"what fluidsynth wrote to {audio} cannot be read ({error}): is there no room for "
                "temporary files?"
            ) from None
    return stereo


def _play_tinysoundfont(
    instrument: pretty_midi.Instrument, seconds: float, soundfont: Path
) -> np.ndarray:
    """Stereo audio ``(samples, 2)`` at :data:`RENDER_RATE` from the tinysoundfont package."""
    channel = 9 if instrument.is_drum else 0
    samples = round(seconds * RENDER_RATE)
    events = []
    pedals = Pedals()  # tinysoundfont knows none
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
            # All notes off (123 and above) would not wait for the pedals; notes end on their own.
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
