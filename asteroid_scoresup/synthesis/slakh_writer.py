"""One song, composed or read from MIDI, written as a track in Slakh's form.

::

    Track00001/metadata.yaml      Slakh's fields, and `generator: asteroid_scoresup`
               mix.flac           the sum of the stems
               all_src.mid        all instruments, at the pitch that sounds
               MIDI/S00.mid …     one instrument each
               stems/S00.flac …

Levels follow Slakh: every stem is normalized to -13 LUFS (ITU-R BS.1770), then the whole song gets
one gain that puts the peak at -1 dBFS. In between, each stem gets a random gain of its own, so that
balances vary from song to song; Slakh has no such gain, but its loudnesses differ as much.

A track depends on its job only, and appears under its name when it is complete.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import torch
import yaml
from torchaudio.functional import loudness

from ..data.slakh import GENERATOR
from ..midi.reader import read_midi
from ..utils.files import explained, write_audio
from ..utils.leftovers import unfinished
from .augment import render_varied
from .channel import random_channel
from .composer import TRAIN_PALETTE, UNSEEN_PALETTE, compose_song, tidy
from .midi_writer import write_midi
from .render import render_instrument, soundfont_presets
from .tinysoundfont_player import RendererDied

#: Loudness of a stem before its random gain, in LUFS, and peak of the song in dBFS: Slakh's.
STEM_LOUDNESS = -13.0
PEAK = -1.0

#: First track number of every split. Numbers are unique in a data set, as in Slakh, and a split
#: can grow without renaming the tracks of another.
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

#: A MIDI file may claim to last for days; nobody wants it rendered.
_LONGEST = 3600.0
_HELD = 8.0  # seconds that a pedal holds the last notes
_TAIL = 1.0  # seconds after the last note of a MIDI file, for its decay


@dataclass(frozen=True)
class TrackJob:
    """Everything that one track depends on; plain values, since it travels to a process."""

    folder: str
    split: str
    number: int
    seed: int
    seconds: float
    sample_rate: int
    soundfonts: tuple
    renderer: str
    level_spread: float
    color_db: float
    invented: float
    varispeed: float
    drums: bool
    others: int
    midi: str | None  # file to render; None: compose
    midi_name: str  # the same, relative to its folder
    max_seconds: float | None


def measure_loudness(audio, sample_rate):
    """Integrated loudness of a mono signal.

    Args:
        audio (numpy.ndarray): Shape `(samples,)`.
        sample_rate (int): In Hz.

    Returns:
        float: Loudness in LUFS. Of a signal shorter than the measure's block of 400 ms, or softer
        than its gate of -70 LUFS, the level in dB instead; ``-inf`` for silence.

    Examples
        >>> time = np.arange(44100) / 44100
        >>> round(measure_loudness(np.sin(2 * np.pi * 997 * time), 44100))
        -3
    """
    energy = float(np.mean(np.square(audio, dtype=np.float64))) if len(audio) else 0.0
    if energy == 0.0:
        return -math.inf
    if len(audio) >= 0.4 * sample_rate + 1:
        waveform = torch.from_numpy(np.asarray(audio, dtype=np.float32))[None]
        value = float(loudness(waveform, sample_rate))
        if math.isfinite(value):
            return value
    return 10 * math.log10(energy)


def mix_stems(stems, sample_rate, level_spread, rng):
    """Brings stems to the levels of a song, as Slakh does, and sums them.

    Args:
        stems (list of numpy.ndarray): Mono signals of one length, changed in place.
        sample_rate (int): In Hz.
        level_spread (float): Standard deviation of the random gain of a stem, in dB. Gains stay
            within two and a half of it.
        rng (numpy.random.Generator): Source of the gains.

    Returns:
        tuple: Mixture of shape `(samples,)`, and the gain that all stems share.
    """
    for stem in stems:
        gain = float(np.clip(rng.normal(), -2.5, 2.5)) * level_spread
        level = measure_loudness(stem, sample_rate)
        if math.isfinite(level):
            stem *= 10 ** ((STEM_LOUDNESS - level + gain) / 20)
    mixture = np.sum(stems, axis=0, dtype=np.float64)
    # Where instruments cancel each other a stem may peak above the mixture, and must not clip.
    peak = max(float(np.abs(signal).max()) for signal in (mixture, *stems))
    overall = 10 ** (PEAK / 20) / peak if peak > 0 else 1.0
    for stem in stems:
        stem *= overall
    return (mixture * overall).astype(np.float32), overall


def read_song(path, max_seconds=None):
    """Reads a MIDI file so that it can be rendered: cut to length, equal pitches not overlapping.

    Args:
        path (os.PathLike): A MIDI file.
        max_seconds (float, optional): Where to cut. What begins later is left out.

    Returns:
        tuple: The song (instruments without notes are left out) and its length in seconds, with a
        second for the last note's decay.

    Raises:
        ValueError: If the file cannot be read, has no notes, or claims to last over an hour.
    """
    try:
        reading = read_midi(path, drums=True)
    except ValueError as error:
        # Reports name the file themselves, relative to the folder of MIDI files.
        raise ValueError(str(error).removeprefix(f"{path} ")) from None
    if not reading.instruments:
        raise ValueError("has no notes")
    # A pedal may hold the last chord, but not for ever.
    ends = [np.minimum(i.notes.release, i.notes.offset + _HELD).max() for i in reading.instruments]
    seconds = float(max(ends)) + _TAIL
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


def make_track(job):
    """Makes one track from start to end.

    Args:
        job (TrackJob): What to make.

    Returns:
        str or None: Why its MIDI file could not be used, or None.
    """
    split_number = list(FIRST_NUMBER).index(job.split)
    rng = np.random.default_rng([job.seed, split_number, job.number])
    soundfont = Path(job.soundfonts[int(rng.integers(len(job.soundfonts)))])
    seconds = job.seconds
    if job.midi is None:
        palette = UNSEEN_PALETTE if job.split == "test_unseen" else TRAIN_PALETTE
        song = compose_song(rng, palette, seconds, drums=job.drums, others=job.others)
        # A generator of its own, so that the same songs come out with and without variety.
        own = np.random.default_rng([job.seed, split_number, job.number, 1])
        try:
            stems = _render(song, seconds, soundfont, job, own if job.split == "train" else None)
        except RendererDied as error:
            raise ValueError(f"{job.split}/{Path(job.folder).name}: {error}") from None
    else:
        try:
            song, seconds = read_song(job.midi, job.max_seconds)
            _check_programs(song, soundfont)
            stems = _render(song, seconds, soundfont, job)
        except (ValueError, TimeoutError) as error:  # one bad file must not end a long run
            return str(error)
    mixture, overall = mix_stems(stems, job.sample_rate, job.level_spread, rng)
    target = Path(job.folder)
    partial = unfinished(target)
    try:
        _write_track(partial, target, job, song, stems, mixture, overall, soundfont)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None


def _write_track(partial, target, job, song, stems, mixture, overall, soundfont):
    with explained(target):
        (partial / "MIDI").mkdir(parents=True)
        (partial / "stems").mkdir()
    entries = {}
    for index, (part, stem) in enumerate(zip(song.instruments, stems)):
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
        "overall_gain": round(overall, 6),
        "stems": entries,
        "target_peak": PEAK,
    }
    path = partial / "metadata.yaml"
    with explained(path), open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(metadata, file, allow_unicode=True)


def _render(song, seconds, soundfont, job, variety=None):
    """Plays the instruments of a song; `variety` is the source of chance of training stems."""
    song.instruments = [part for part in song.instruments if part.notes]
    how = (seconds, job.sample_rate, soundfont, job.renderer)
    if variety is None:
        return [render_instrument(part, *how) for part in song.instruments]
    stems = []
    for part in song.instruments:
        stem = render_varied(part, *how, variety, job.invented, job.varispeed)
        stems.append(random_channel(stem, job.sample_rate, job.color_db, variety))
    return stems


def _check_programs(song, soundfont):
    """Finds out before rendering that a SoundFont lacks an instrument."""
    presets = soundfont_presets(soundfont)
    for part in song.instruments:
        if part.is_drum and not any(bank == 128 for bank, _ in presets):
            raise ValueError(f"has drums, and {soundfont.name} has no drum kit")
        if not part.is_drum and (0, part.program) not in presets:
            raise ValueError(f"uses program {part.program}, which {soundfont.name} lacks")


def _describe(part, soundfont, level):
    """Slakh's facts of one stem."""
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
    }
    if math.isfinite(level):  # of the stem as it is written, with all gains
        entry["integrated_loudness"] = round(level, 4)
    return entry
