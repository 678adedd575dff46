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
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import yaml

from ..data.slakh import GENERATOR
from ..midi.reader import read_midi
from ..score.notes import Notes
from ..utils.files import explained, write_audio
from ..utils.partial_files import scratch_folder, unfinished
from .composer import compose_song, palette_of, tidy
from .midi_writer import write_midi
from .mixing import PEAK, STEM_LOUDNESS, measure_loudness, mix_stems
from .mma import accompany
from .players import draw_soundfonts, play_parts
from .production import part_kind, produce
from .tinysoundfont_player import RendererDied
from .track_job import TrackJob

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
    rng = job.generator()
    soundfont = Path(job.soundfonts[int(rng.integers(len(job.soundfonts)))])
    seconds = job.seconds
    if job.midi is None:
        song = _write_song(job, rng)
        track = f"{job.split}/{Path(job.folder).name}"
        try:
            fonts = draw_soundfonts(song, soundfont, job)
        except ValueError as error:
            raise ValueError(f"{track} {error}: add a SoundFont that has it.") from None
        try:
            stems = play_parts(song, seconds, fonts, job)
        except RendererDied as error:
            raise ValueError(f"{track}: {error}") from None
    else:
        try:
            song, seconds = read_song(job.midi, job.max_seconds)
            fonts = draw_soundfonts(song, soundfont, job)
            stems = play_parts(song, seconds, fonts, job)
        except (ValueError, TimeoutError) as error:  # one bad file does not end a long run
            return str(error)
    if job.mixing == "produced":
        kinds = [part_kind(part) for part in song.instruments]
        mixture, overall_gain = produce(
            stems, kinds, job.sample_rate, job.level_spread, job.generator(4)
        )
    else:
        mixture, overall_gain = mix_stems(stems, job.sample_rate, job.level_spread, rng)
    target = Path(job.folder)
    partial = unfinished(target)
    try:
        _write_track(partial, target, job, song, stems, mixture, overall_gain, fonts)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None


def _write_song(job: TrackJob, rng: np.random.Generator) -> pretty_midi.PrettyMIDI:
    """A new song, by the composer or by MMA, without parts that have no notes."""
    writer = job.generator(5)
    if job.split == "train" and writer.random() < job.mma:
        with scratch_folder() as folder:
            accompany(folder / "song.mid", job.seconds, int(writer.integers(2**31)))
            song, _ = read_song(folder / "song.mid", job.seconds)
        if not job.drums:
            song.instruments = [part for part in song.instruments if not part.is_drum]
        return song
    palette = palette_of(job.split, job.programs)
    song = compose_song(rng, palette, job.seconds, drums=job.drums, others=job.others)
    song.instruments = [part for part in song.instruments if part.notes]
    return song


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
