"""Data sets in Slakh's format without Slakh, from composed songs or from any MIDI files.

::

    OUT/synthesis.json                      settings, and the MIDI files that were skipped
        train/Track00001/                   one song, see :mod:`.slakh_writer`
              Track00002/ …
        validation/  test/  test_unseen/

A track depends only on the settings, the seed and its own number. The number of processes does not
change it, an interrupted call can be resumed, and a data set can grow. A track gets its name when
it is complete.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..utils.files import write_json
from ..utils.hashing import file_hash
from ..utils.locks import folder_lock
from ..utils.parallel import run_parallel
from ..utils.partial_files import sweep_scratch
from .composer import TRAIN_PALETTE, UNSEEN_PALETTE, Palette
from .folder import RECORD, prepare_folder, refuse_foreign_tracks
from .midi_folder import files_digest, find_midi, split_files
from .render import default_soundfont, resolve_renderer, soundfont_presets
from .slakh_writer import FIRST_NUMBER, LAST_NUMBER, TrackJob, make_track

#: Changes whenever the same settings would give other tracks than before.
RECIPE = 3
#: Longest song, in seconds; a track is kept in memory while it is made.
LONGEST = 3600.0


def synthesize(
    out_dir: str | os.PathLike[str],
    *,
    n_train: int = 100,
    n_validation: int = 10,
    n_test: int = 10,
    n_test_unseen: int = 10,
    seconds: float = 30.0,
    seed: int = 0,
    sample_rate: int = 44100,
    soundfonts: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    unseen_soundfonts: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    renderer: str = "auto",
    jobs: int | None = None,
    midi_dir: str | os.PathLike[str] | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    max_seconds: float | None = None,
    level_spread: float = 2.5,
    color_db: float = 5.0,
    synthetic: float = 0.5,
    varispeed: float = 4.0,
    drums: bool = False,
    others: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Writes a data set in Slakh's format; tracks that exist already are kept.

    Args:
        out_dir (str or Path): Folder to write, see the module docstring.
        n_train (int): Number of composed songs for training.
        n_validation (int): Number of composed songs for validation.
        n_test (int): Number of composed songs for a test with the programs of the training songs.
        n_test_unseen (int): Number of composed songs for a test with programs that no other split
            uses.
        seconds (float): Length of the composed songs.
        seed (int): The same seed gives the same data set.
        sample_rate (int): Sample rate of the audio files, in Hz. Rendering always runs at 44.1 kHz.
        soundfonts (path or list of paths, optional): SoundFonts, of which each song uses a random
            one. Default: the small one inside ``pretty_midi``.
        unseen_soundfonts (path or list of paths, optional): SoundFonts of `test_unseen`. Default:
            those of the other splits.
        renderer (str): ``fluidsynth``, ``tinysoundfont``, or ``auto`` for the first installed.
        jobs (int, optional): Number of processes. Default: one per core.
        midi_dir (str or Path, optional): Folder of MIDI files to render instead of composing
            songs. The numbers of songs and `seconds` are ignored then. Drums become stems, too.
            Files that cannot be read, or have no notes, are skipped and reported.
        fractions (sequence of float): Fractions of the MIDI files for training, validation and
            test.
        max_seconds (float, optional): Length to which longer MIDI files are cut.
        level_spread (float): Standard deviation of the random gain of each stem, in dB.
        color_db (float): Strength of the random channel of composed training stems, see
            :func:`~asteroid_scoresup.synthesis.channel.random_channel`; 0 for none.
        synthetic (float): Probability that a composed training stem is played by a synthetic
            instrument, see :mod:`~asteroid_scoresup.synthesis.timbre`.
        varispeed (float): Largest speed change of the other composed training stems, in semitones,
            see :func:`~asteroid_scoresup.synthesis.augment.render_at_speed`.
        drums (bool): Whether composed songs have drums. A mixture of bass, guitar and piano leaves
            them out; they are for mixtures of the whole song.
        others (int): Largest number of instruments outside the classes in a composed song.
        overwrite (bool): Whether to replace tracks that were made with other settings.
        quiet (bool): Whether to hide the progress bar.

    Returns:
        dict: ``tracks`` (number by split), ``made`` and ``kept`` (numbers), ``skipped`` (reason by
        MIDI file), ``soundfonts`` and ``renderer``.

    Raises:
        ValueError: if an option makes no sense, or the folder contains tracks of another origin or
            with other settings.
        FileNotFoundError: if a SoundFont, the renderer or the MIDI folder is missing.
        OSError: if rendering fails, or a process is killed.
    """
    out_dir = Path(out_dir)
    counts = {
        "train": n_train,
        "validation": n_validation,
        "test": n_test,
        "test_unseen": n_test_unseen,
    }
    augmentation = {
        "level_spread": float(level_spread),
        "color_db": float(color_db),
        "synthetic": float(synthetic),
        "varispeed": float(varispeed),
    }
    check_options(
        counts, seconds, seed, sample_rate, jobs, max_seconds, others, augmentation, fractions
    )
    fonts = _list_soundfonts(soundfonts)
    unseen_fonts = _list_soundfonts(unseen_soundfonts) if unseen_soundfonts else fonts
    renderer = resolve_renderer(renderer)
    settings: dict[str, Any] = {
        "recipe": RECIPE,
        "seed": int(seed),
        "sample_rate": int(sample_rate),
        "soundfonts": [_name_and_hash(font) for font in fonts],
        "unseen_soundfonts": [_name_and_hash(font) for font in unseen_fonts],
        "renderer": renderer,
        **augmentation,
    }
    common: dict[str, Any] = {
        "seed": int(seed),
        "seconds": float(seconds),
        "sample_rate": int(sample_rate),
        "renderer": renderer,
        **augmentation,
        "drums": bool(drums),
        "others": int(others),
        "max_seconds": None if max_seconds is None else float(max_seconds),
    }
    songs: list[tuple[str, int, Path | None, str]]
    if midi_dir is None:
        settings.update(source="composer", **{k: common[k] for k in ("seconds", "drums", "others")})
        settings["palette"] = _plain_palette(TRAIN_PALETTE, drums)
        settings["unseen_palette"] = _plain_palette(UNSEEN_PALETTE, drums)
        songs = [(split, k, None, "") for split, count in counts.items() for k in range(count)]
    else:
        files = find_midi(midi_dir)
        settings.update(
            source="midi",
            files=len(files),
            files_digest=files_digest(files, out_dir / RECORD),
            fractions=[float(fraction) for fraction in fractions],
            max_seconds=common["max_seconds"],
        )
        songs = [*split_files(files, fractions, seed)]
        for split, index, _, _ in songs:
            _check_room(split, index + 1)
    track_jobs = []
    for split, index, path, name in songs:
        number = FIRST_NUMBER[split] + index
        track_jobs.append(
            TrackJob(
                folder=str(out_dir / split / f"Track{number:05d}"),
                split=split,
                number=number,
                soundfonts=tuple(map(str, unseen_fonts if split == "test_unseen" else fonts)),
                midi=None if path is None else str(path),
                midi_name=name,
                **common,
            )
        )
    if out_dir.is_dir():
        refuse_foreign_tracks(out_dir)
    sweep_scratch()
    with folder_lock(out_dir, "synthesize"):
        prepare_folder(out_dir, settings, [Path(job.folder) for job in track_jobs], overwrite)
        missing = [job for job in track_jobs if not Path(job.folder).is_dir()]
        skipped: dict[str, str] = {}
        for job, reason in run_parallel(make_track, missing, jobs, "synthesize", not quiet):
            if reason:
                skipped[job.midi_name] = reason
        tracks = {split: 0 for split in FIRST_NUMBER}
        for job in track_jobs:
            tracks[job.split] += Path(job.folder).is_dir()
        tracks = {split: count for split, count in tracks.items() if count}
        skipped = dict(sorted(skipped.items()))
        write_json(out_dir / RECORD, {"settings": settings, "tracks": tracks, "skipped": skipped})
    if not tracks:
        name, reason = next(iter(skipped.items()))
        raise ValueError(
            f"none of the {len(skipped)} MIDI files of {midi_dir} could be used; {name} {reason}."
        )
    return {
        "tracks": tracks,
        "made": len(missing) - len(skipped),
        "kept": len(track_jobs) - len(missing),
        "skipped": skipped,
        "soundfonts": [str(font) for font in fonts],
        "renderer": renderer,
    }


def _check_room(split: str, count: float) -> None:
    room = LAST_NUMBER[split] - FIRST_NUMBER[split] + 1
    if count > room:
        raise ValueError(f"too many tracks for {split}: there are numbers for {room} only.")


def _check_counts(counts: Mapping[str, float]) -> None:
    for split, count in counts.items():
        if not _is_whole(count):
            raise ValueError(f"n_{split} is {count}, expected a whole number from 0.")
    if not any(counts.values()):
        raise ValueError("no songs requested: all of n_train, n_validation, ... are 0.")


def check_options(
    counts: Mapping[str, float],
    seconds: float,
    seed: float,
    sample_rate: float,
    jobs: float | None,
    max_seconds: float | None,
    others: float,
    augmentation: Mapping[str, float],
    fractions: Sequence[float],
) -> None:
    """Checks the numbers among the options of :func:`synthesize`, without rendering anything.

    Args:
        counts (dict): Number of composed songs by split.
        augmentation (dict): ``level_spread``, ``color_db``, ``synthetic`` and ``varispeed``.
        seconds, seed, sample_rate, jobs, max_seconds, others, fractions: See :func:`synthesize`.

    Raises:
        ValueError: if one makes no sense; the message names it.
    """
    _check_counts(counts)
    _check_fractions(fractions)
    for split, count in counts.items():
        _check_room(split, count)
    lengths = f"at least 1, at most {LONGEST:g}"
    whole_rate = _is_whole(sample_rate) and 4000 <= sample_rate <= 192000
    checks: dict[str, tuple[float | None, bool, str]] = {
        "seconds": (seconds, 1 <= seconds <= LONGEST, lengths),
        "seed": (seed, _is_whole(seed), "a whole number from 0"),
        "others": (others, _is_whole(others) and others <= 16, "a whole number from 0 to 16"),
        "sample_rate": (sample_rate, whole_rate, "4000 to 192000 Hz"),
        "jobs": (jobs, jobs is None or _is_whole(jobs) and jobs >= 1, "at least 1"),
        "max_seconds": (max_seconds, max_seconds is None or 1 <= max_seconds <= LONGEST, lengths),
    }
    bounds = {
        "level_spread": (20, "0 to 20 dB"),
        "color_db": (20, "0 to 20 dB"),
        "synthetic": (1, "a probability, 0 to 1"),
        "varispeed": (12, "0 to 12 semitones"),
    }
    for name, (largest, expected) in bounds.items():
        value = augmentation[name]
        checks[name] = (value, 0 <= value <= largest, expected)
    for name, (option, good, expected) in checks.items():
        if not good:
            raise ValueError(f"{name} is {option}, expected {expected}.")


def _check_fractions(fractions: Sequence[float]) -> None:
    usable = len(fractions) == 3 and all(0 <= fraction < math.inf for fraction in fractions)
    if not usable or not 0 < sum(fractions) < math.inf:
        raise ValueError(
            f"fractions are {list(fractions)}, expected three numbers from 0, not all 0: those of "
            "train, validation and test."
        )


def _is_whole(value: float) -> bool:
    """Whether a value is a whole number from 0."""
    return math.isfinite(value) and value == int(value) and value >= 0


def _list_soundfonts(
    soundfonts: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
) -> list[Path]:
    """Absolute paths of SoundFonts, all of them checked."""
    if not soundfonts:
        soundfonts = [default_soundfont()]
    elif isinstance(soundfonts, (str, os.PathLike)):
        soundfonts = [soundfonts]
    paths = [Path(path).absolute() for path in soundfonts]
    for path in paths:
        soundfont_presets(path)  # raises for a file that is not a SoundFont
    return paths


def _name_and_hash(path: Path) -> str:
    """Identifies a file by name and content, wherever it is."""
    return f"{path.name} {file_hash(path)[:16]}"


def _plain_palette(palette: Palette, drums: bool) -> dict[str, list[int]]:
    """The programs that songs may use."""
    unused = () if drums else ("kits",)
    plain = asdict(palette).items()
    return {name: list(programs) for name, programs in plain if name not in unused}
