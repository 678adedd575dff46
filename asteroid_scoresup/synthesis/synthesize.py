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

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..utils.files import write_json
from ..utils.hashing import file_hash
from ..utils.locks import folder_lock
from ..utils.parallel import run_parallel
from ..utils.partial_files import scratch_folder, sweep_scratch
from .composer import Palette, palette_of
from .folder import RECORD, prepare_folder, refuse_foreign_tracks
from .midi_folder import files_digest, find_midi, split_files
from .mma import mma_version
from .options import check_mma, check_options, check_room, check_words
from .render import default_soundfont, resolve_renderer
from .slakh_writer import make_track
from .soundfont_catalog import find_soundfont
from .soundfont_decoder import decode_soundfont, is_compressed
from .soundfont_reader import soundfont_presets
from .track_job import FIRST_NUMBER, TrackJob

#: SoundFonts, as an option names them: one path, or several.
Fonts: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None

#: Changes whenever the same settings would give other tracks than before.
RECIPE = 3


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
    soundfonts: Fonts = None,
    validation_soundfonts: Fonts = None,
    unseen_soundfonts: Fonts = None,
    mix_soundfonts: bool = False,
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
    programs: str = "split",
    mixing: str = "plain",
    mma: float = 0.0,
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
            one: files, or names of :data:`~asteroid_scoresup.synthesis.soundfont_catalog.CATALOG`.
            Default: the small one inside ``pretty_midi``.
        validation_soundfonts (path or list of paths, optional): SoundFonts of `validation`, to
            choose between models by what they do on instruments that are new to them. Default:
            those of the training songs.
        unseen_soundfonts (path or list of paths, optional): SoundFonts of `test_unseen`. Default:
            those of the training songs.
        mix_soundfonts (bool): Whether each part of a song is played by a random SoundFont of its
            split, among those that have its program, instead of one for the whole song.
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
        programs (str): ``split``: composed songs of `test_unseen` have programs that no other split
            has. ``all``: all songs may have all programs of their classes, and only the SoundFonts
            can be unseen.
        mixing (str): ``plain``: the mixture is the sum of the stems at random levels.
            ``produced``: human timing, layered parts and the effects of a studio, see
            :mod:`~asteroid_scoresup.synthesis.production`; for songs of all splits.
        mma (float): Probability that Musical MIDI Accompaniment writes a training song instead of
            the composer, see :mod:`~asteroid_scoresup.synthesis.mma` (and there on its license).
        overwrite (bool): Whether to replace tracks that were made with other settings.
        quiet (bool): Whether to hide the progress bar.

    Returns:
        dict: ``tracks`` (number by split), ``made`` and ``kept`` (numbers), ``skipped`` (reason by
        MIDI file), ``soundfonts`` and ``renderer``.

    Raises:
        ValueError: if an option makes no sense, or the folder contains tracks of another origin or
            with other settings.
        FileNotFoundError: if a SoundFont, the renderer, MMA or the MIDI folder is missing.
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
    check_words(programs, mixing, sample_rate)
    check_mma(mma, programs, midi_dir is not None)
    fonts = _list_soundfonts(soundfonts)
    validation_fonts = _list_soundfonts(validation_soundfonts) if validation_soundfonts else fonts
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
    # Only recorded if given, so that the data sets of earlier versions can still be completed.
    if validation_soundfonts:
        settings["validation_soundfonts"] = [_name_and_hash(font) for font in validation_fonts]
    if mix_soundfonts:
        settings["mix_soundfonts"] = True
    if mma:
        settings["mma"] = [float(mma), mma_version()]
    if mixing != "plain":
        settings["mixing"] = mixing
    packed = {font for font in (*fonts, *validation_fonts, *unseen_fonts) if is_compressed(font)}
    if packed:  # earlier versions did not decode them first: their tracks differ in the last bit
        settings["decoded"] = sorted(font.name for font in packed)
    common: dict[str, Any] = {
        "seed": int(seed),
        "seconds": float(seconds),
        "sample_rate": int(sample_rate),
        "renderer": renderer,
        **augmentation,
        "drums": bool(drums),
        "others": int(others),
        "programs": programs,
        "mixing": mixing,
        "mma": float(mma),
        "mix_soundfonts": bool(mix_soundfonts),
        "max_seconds": None if max_seconds is None else float(max_seconds),
    }
    songs: list[tuple[str, int, Path | None, str]]
    if midi_dir is None:
        settings.update(source="composer", **{k: common[k] for k in ("seconds", "drums", "others")})
        settings["palette"] = _plain_palette(palette_of("train", programs), drums)
        settings["unseen_palette"] = _plain_palette(palette_of("test_unseen", programs), drums)
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
            check_room(split, index + 1)
    fonts_of = {"validation": validation_fonts, "test_unseen": unseen_fonts}
    track_jobs = []
    for split, index, path, name in songs:
        number = FIRST_NUMBER[split] + index
        track_jobs.append(
            TrackJob(
                folder=str(out_dir / split / f"Track{number:05d}"),
                split=split,
                number=number,
                soundfonts=tuple(map(str, fonts_of.get(split, fonts))),
                midi=None if path is None else str(path),
                midi_name=name,
                **common,
            )
        )
    if out_dir.is_dir():
        refuse_foreign_tracks(out_dir)
    sweep_scratch()
    with ExitStack() as stack:
        stack.enter_context(folder_lock(out_dir, "synthesize"))
        prepare_folder(out_dir, settings, [Path(job.folder) for job in track_jobs], overwrite)
        missing = [job for job in track_jobs if not Path(job.folder).is_dir()]
        if missing and packed:
            missing = _decoded(missing, packed, stack.enter_context(scratch_folder()))
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


def _list_soundfonts(
    soundfonts: Fonts,
) -> list[Path]:
    """Absolute paths of SoundFonts, all of them checked."""
    if not soundfonts:
        soundfonts = [default_soundfont()]
    elif isinstance(soundfonts, (str, os.PathLike)):
        soundfonts = [soundfonts]
    paths = [find_soundfont(path).absolute() for path in soundfonts]
    for path in paths:
        soundfont_presets(path)  # raises for a file that is not a SoundFont
    return paths


def _decoded(jobs: Sequence[TrackJob], packed: set[Path], folder: Path) -> list[TrackJob]:
    """The same tracks, with compressed SoundFonts replaced by decoded ones of the same name."""
    replaced: dict[str, str] = {}
    for number, font in enumerate(sorted(packed)):
        target = folder / f"{number}" / font.name
        target.parent.mkdir()
        decode_soundfont(font, target)
        replaced[str(font)] = str(target)
    return [
        replace(job, soundfonts=tuple(replaced.get(font, font) for font in job.soundfonts))
        for job in jobs
    ]


def _name_and_hash(path: Path) -> str:
    """Identifies a file by name and content, wherever it is."""
    return f"{path.name} {file_hash(path)[:16]}"


def _plain_palette(palette: Palette, drums: bool) -> dict[str, list[int]]:
    """The programs that songs may use."""
    unused = () if drums else ("kits",)
    plain = asdict(palette).items()
    return {name: list(programs) for name, programs in plain if name not in unused}
