"""Writes one song, composed or read from a MIDI file, as a track in Slakh's format.

::

    Track00001/metadata.yaml      Slakh's fields, and `generator: asteroid_scoresup`
               mix.flac           the sum of the stems
               all_src.mid        all instruments, at their sounding pitch
               MIDI/S00.mid …     one instrument each
               stems/S00.flac …

Levels follow Slakh, see :mod:`.mixing`. A track depends only on its job, and gets its name when it
is complete.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import yaml

from ..data.slakh import GENERATOR
from ..midi.reader import read_midi
from ..score.notes import Notes
from ..utils.files import explained, write_audio
from ..utils.partial_files import unfinished
from .augment import render_varied
from .channel import random_channel
from .composer import compose_song, palette_of, tidy
from .midi_writer import write_midi
from .mixing import PEAK, STEM_LOUDNESS, measure_loudness, mix_stems
from .render import render_instrument
from .soundfont_reader import has_preset
from .tinysoundfont_player import RendererDied

#: First and last track number of every split. Numbers are unique in a data set, as in Slakh, and a
#: split can grow without renaming the tracks of another.
FIRST_NUMBER = {"train": 1, "validation": 70001, "test": 80001, "test_unseen": 90001}
LAST_NUMBER = {"train": 70000, "validation": 80000, "test": 90000, "test_unseen": 99999}

#: Slakh's name of each family of eight General MIDI programs.
INST_CLASSES = (
    "Piano",
    "Chromatic Percussion",
    "Organ",
    "Guitar",
    "Bass",
    "Strings",
    "Strings (continued)",
    "Brass",
    "Reed",
    "Pipe",
    "Synth Lead",
    "Synth Pad",
    "Sound Effects",
    "Ethnic",
    "Percussive",
    "Sound effects",
)

_LONGEST = 3600.0  # seconds; a damaged MIDI file can seem to last for days
_HELD = 8.0  # longest time that a pedal sustains the last notes, in seconds
_TAIL = 1.0  # seconds after the last note of a MIDI file, for its decay


@dataclass(frozen=True)
class TrackJob:
    """All that a track depends on, as plain values that can be sent to another process.

    Args:
        folder (str): Folder of the track.
        split (str): A key of :data:`FIRST_NUMBER`.
        number (int): Track number.
        seed (int): Random seed of the data set.
        seconds (float): Length of a composed song.
        sample_rate (int): Sample rate of the audio files, in Hz.
        soundfonts (tuple of str): SoundFonts, of which the song uses a random one.
        mix_soundfonts (bool): Whether instead each part uses a random one.
        renderer (str): ``fluidsynth`` or ``tinysoundfont``.
        level_spread (float): Standard deviation of the random gain of a stem, in dB.
        color_db (float): See :func:`~asteroid_scoresup.synthesis.channel.random_channel`.
        synthetic (float): Probability of a synthetic instrument.
        varispeed (float): Largest speed change, in semitones.
        drums (bool): Whether a composed song has drums.
        others (int): Largest number of instruments outside the classes.
        programs (str): See :func:`~asteroid_scoresup.synthesis.composer.palette_of`.
        midi (str, optional): MIDI file to render. If None, a song is composed.
        midi_name (str): Its name relative to the folder of MIDI files.
        max_seconds (float, optional): Length to which a MIDI file is cut.
    """

    folder: str
    split: str
    number: int
    seed: int
    seconds: float
    sample_rate: int
    soundfonts: tuple[str, ...]
    mix_soundfonts: bool
    renderer: str
    level_spread: float
    color_db: float
    synthetic: float
    varispeed: float
    drums: bool
    others: int
    programs: str
    midi: str | None
    midi_name: str
    max_seconds: float | None


def read_song(
    path: str | os.PathLike[str], max_seconds: float | None = None
) -> tuple[pretty_midi.PrettyMIDI, float]:
    """Reads a MIDI file for rendering: cuts it, and ends notes before the next of their pitch.

    Args:
        path (str or Path): A MIDI file.
        max_seconds (float, optional): Largest length. Later notes are left out.

    Returns:
        tuple: The song, without instruments that have no notes, and its length in seconds,
        including a second for the decay of the last note.

    Raises:
        ValueError: if the file cannot be read, has no notes, or seems to last over an hour.
    """
    path = Path(path)
    try:
        reading = read_midi(path, drums=True)
    except ValueError as error:
        # Reports add the name of the file, relative to the folder of MIDI files.
        raise ValueError(str(error).removeprefix(f"{path} ")) from None
    if not reading.instruments:
        raise ValueError("has no notes")
    # A pedal may sustain the last chord, but not forever.
    seconds = max(_last_end(instrument.notes) for instrument in reading.instruments) + _TAIL
    if max_seconds is not None:
        seconds = min(seconds, max_seconds)
    if seconds > _LONGEST:
        raise ValueError(f"lasts {seconds:.0f} s: set max_seconds to render the beginning")
    song = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=reading.tempo)
    for instrument in reading.instruments:
        part = instrument.to_pretty_midi()
        notes = [note for note in part.notes if note.start < seconds]
        if not notes:
            continue
        part.notes = tidy(notes, seconds, closest=0.01)
        part.pitch_bends = [bend for bend in part.pitch_bends if bend.time < seconds]
        part.control_changes = [c for c in part.control_changes if c.time < seconds]
        song.instruments.append(part)
    if not song.instruments:
        raise ValueError(f"has no notes in its first {seconds:g} s")
    return song, seconds


def _last_end(notes: Notes) -> float:
    """Time at which the last note ends, with at most some seconds of pedal."""
    if notes.release is None:
        return float(notes.offset.max())
    return float(np.minimum(notes.release, notes.offset + _HELD).max())


def make_track(job: TrackJob) -> str | None:
    """Makes one track: notes, stems, mixture and files.

    Args:
        job (TrackJob): The track to make.

    Returns:
        str, optional: The reason if its MIDI file could not be used.

    Raises:
        ValueError: if a SoundFont crashes the renderer.
        OSError: if rendering fails, or a file cannot be written.
    """
    split_number = list(FIRST_NUMBER).index(job.split)
    rng = np.random.default_rng([job.seed, split_number, job.number])
    soundfont = Path(job.soundfonts[int(rng.integers(len(job.soundfonts)))])
    seconds = job.seconds
    if job.midi is None:
        palette = palette_of(job.split, job.programs)
        song = compose_song(rng, palette, seconds, drums=job.drums, others=job.others)
        song.instruments = [part for part in song.instruments if part.notes]
        # A separate generator: the notes do not depend on the augmentation.
        augment_rng = None
        if job.split == "train":
            augment_rng = np.random.default_rng([job.seed, split_number, job.number, 1])
        track = f"{job.split}/{Path(job.folder).name}"
        try:
            fonts = draw_soundfonts(song, soundfont, job)
        except ValueError as error:
            raise ValueError(f"{track} {error}: add a SoundFont that has it.") from None
        try:
            stems = _render(song, seconds, fonts, job, augment_rng)
        except RendererDied as error:
            raise ValueError(f"{track}: {error}") from None
    else:
        try:
            song, seconds = read_song(job.midi, job.max_seconds)
            fonts = draw_soundfonts(song, soundfont, job)
            stems = _render(song, seconds, fonts, job)
        except (ValueError, TimeoutError) as error:  # one bad file does not end a long run
            return str(error)
    mixture, overall_gain = mix_stems(stems, job.sample_rate, job.level_spread, rng)
    target = Path(job.folder)
    partial = unfinished(target)
    try:
        _write_track(partial, target, job, song, stems, mixture, overall_gain, fonts)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None


def _write_track(
    partial: Path,
    target: Path,
    job: TrackJob,
    song: pretty_midi.PrettyMIDI,
    stems: list[np.ndarray],
    mixture: np.ndarray,
    overall_gain: float,
    fonts: list[Path],
) -> None:
    """Writes the files of a track into the folder `partial`, which will be renamed to `target`."""
    with explained(target):
        (partial / "MIDI").mkdir(parents=True)
        (partial / "stems").mkdir()
    entries = {}
    for index, (part, stem, soundfont) in enumerate(zip(song.instruments, stems, fonts)):
        name = f"S{index:02d}"
        write_audio(partial / "stems" / f"{name}.flac", stem, job.sample_rate, "PCM_16")
        write_midi(partial / "MIDI" / f"{name}.mid", song, [part])
        entries[name] = _describe(part, soundfont, measure_loudness(stem, job.sample_rate))
    write_audio(partial / "mix.flac", mixture, job.sample_rate, "PCM_16")
    write_midi(partial / "all_src.mid", song, song.instruments)
    identity = hashlib.md5(f"{job.seed} {job.split} {job.number}".encode()).hexdigest()
    metadata = {
        "UUID": identity,
        "audio_dir": f"{target.name}/stems",
        "generator": GENERATOR,
        "lmd_midi_dir": job.midi_name,
        "midi_dir": f"{target.name}/MIDI",
        "normalization_factor": STEM_LOUDNESS,
        "normalized": True,
        "overall_gain": round(overall_gain, 6),
        "stems": entries,
        "target_peak": PEAK,
    }
    path = partial / "metadata.yaml"
    with explained(path), open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(metadata, file, allow_unicode=True)


def _render(
    song: pretty_midi.PrettyMIDI,
    seconds: float,
    fonts: list[Path],
    job: TrackJob,
    augment_rng: np.random.Generator | None = None,
) -> list[np.ndarray]:
    """Renders the instruments of a song, augmented if a random generator is given."""
    stems = []
    for part, font in zip(song.instruments, fonts):
        how = (seconds, job.sample_rate, font, job.renderer)
        if augment_rng is None:
            stems.append(render_instrument(part, *how))
            continue
        stem = render_varied(part, *how, augment_rng, job.synthetic, job.varispeed)
        stems.append(random_channel(stem, job.sample_rate, job.color_db, augment_rng))
    return stems


def draw_soundfonts(song: pretty_midi.PrettyMIDI, soundfont: Path, job: TrackJob) -> list[Path]:
    """Which SoundFont plays each part of a song.

    Args:
        song (pretty_midi.PrettyMIDI): The song.
        soundfont (Path): The SoundFont of the song, unless its parts have their own.
        job (TrackJob): The track.

    Returns:
        list of Path: One per part.

    Raises:
        ValueError: if no SoundFont has an instrument of the song.
    """
    split_number = list(FIRST_NUMBER).index(job.split)
    rng = np.random.default_rng([job.seed, split_number, job.number, 2])
    fonts = [Path(font) for font in job.soundfonts] if job.mix_soundfonts else [soundfont]
    chosen = []
    for part in song.instruments:
        fitting = [font for font in fonts if has_preset(font, part.program, part.is_drum)]
        if not fitting:
            names = " and ".join(font.name for font in fonts)
            has, lacks = ("has", "lacks") if len(fonts) == 1 else ("have", "lack")
            if part.is_drum:
                raise ValueError(f"has drums, and {names} {has} no drum kit")
            raise ValueError(f"uses program {part.program}, which {names} {lacks}")
        chosen.append(fitting[int(rng.integers(len(fitting)))])
    return chosen


def _describe(part: pretty_midi.Instrument, soundfont: Path, level: float) -> dict[str, Any]:
    """Slakh's metadata of one stem."""
    if part.is_drum:
        family, name, program = "Drums", "Drums", 128
    else:
        family = INST_CLASSES[part.program // 8]
        name, program = pretty_midi.program_to_instrument_name(part.program), int(part.program)
    entry = {
        "audio_rendered": True,
        "inst_class": family,
        "is_drum": bool(part.is_drum),
        "midi_program_name": name,
        "midi_saved": True,
        "plugin_name": soundfont.name,
        "program_num": program,
        "track_name": part.name,
    }
    if math.isfinite(level):  # of the stem as it is written, with all gains
        entry["integrated_loudness"] = round(level, 4)
    return entry
