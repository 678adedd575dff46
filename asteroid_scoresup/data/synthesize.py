"""Slakh without Slakh: folders of the same form, from composed songs or from any MIDI files.

::

    OUT/synthesis.json                      the settings, and the files that were skipped
        train/Track00001/                   one song, as :mod:`.slakh_writer` describes
              Track00002/ …
        validation/  test/  test_unseen/

Every track depends on the seed and its own number only, so that neither the number of processes
nor an interruption changes anything, and a data set can grow. A track appears under its name when
it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .composer import TRAIN_PALETTE, UNSEEN_PALETTE
from .files import read_json, write_json
from .pool import in_processes
from .render import default_soundfont, resolve_renderer, soundfont_presets
from .slakh import GENERATOR, MIDI_SUFFIXES
from .slakh_writer import FIRST_NUMBER, LAST_NUMBER, TrackJob, make_track

#: Changes whenever the same seed would give other tracks than before.
RECIPE = 3


def synthesize(
    out_dir,
    *,
    n_train=100,
    n_validation=10,
    n_test=10,
    n_test_unseen=10,
    seconds=30.0,
    seed=0,
    sample_rate=44100,
    soundfonts=None,
    unseen_soundfonts=None,
    renderer="auto",
    jobs=None,
    midi_dir=None,
    fractions=(0.8, 0.1, 0.1),
    max_seconds=None,
    level_spread=2.5,
    colour_db=5.0,
    invented=0.5,
    varispeed=4.0,
    drums=False,
    others=0,
    overwrite=False,
    quiet=False,
):
    """Writes a data set in Slakh's form; what is there already is kept.

    Args:
        out_dir (os.PathLike): Folder to write, see the head of this module.
        n_train (int): Number of composed songs for training.
        n_validation (int): The same for validation.
        n_test (int): The same for a test of new songs with known programs.
        n_test_unseen (int): The same with programs that no other split uses.
        seconds (float): Length of the composed songs.
        seed (int): Every seed gives another data set, the same seed the same.
        sample_rate (int): Rate of the audio files in Hz. Rendering always runs at 44.1 kHz.
        soundfonts (path or list of them, optional): Every song draws one. By default the small one
            that comes inside ``pretty_midi``.
        unseen_soundfonts (path or list of them, optional): Those of `test_unseen`; by default the
            same.
        renderer (str): ``fluidsynth``, ``tinysoundfont``, or ``auto`` for the first installed.
        jobs (int, optional): Number of processes; by default one a core.
        midi_dir (os.PathLike, optional): Renders the MIDI files below this folder instead of
            composing. Counts and `seconds` are not used then. Drums become stems too. Files that
            cannot be read, or have no notes, are skipped and reported.
        fractions (sequence of float): Shares of train, validation and test among the MIDI files.
        max_seconds (float, optional): Longer MIDI files are cut there.
        level_spread (float): Standard deviation of a stem's random gain, in dB.
        colour_db (float): How much composed training stems are coloured, see
            :func:`~asteroid_scoresup.data.colour.random_channel`; 0 for not at all.
        invented (float): Share of the composed training stems that invented instruments play, see
            :mod:`~asteroid_scoresup.data.timbre`.
        varispeed (float): How far the tape of the other training stems may be off its speed, in
            semitones, see :func:`~asteroid_scoresup.data.variety.render_at_speed`.
        drums (bool): Whether composed songs have a drummer. (A mixture of bass, guitar and piano
            leaves him out; he is for mixtures of everything.)
        others (int): At most so many players of a composed song belong to none of the classes.
        overwrite (bool): Replaces the tracks that an earlier call with other settings wrote.
        quiet (bool): No progress bar.

    Returns:
        dict: ``tracks`` (number by split), ``made``, ``kept`` (numbers), ``skipped`` (reason by
        MIDI file), ``soundfonts``, ``renderer``.

    Raises:
        ValueError: If an option makes no sense, or the folder holds tracks of another origin or
            of other settings.
        FileNotFoundError: If a SoundFont, the renderer or the MIDI folder is missing.
        OSError: If rendering fails, or a process dies.
    """
    out_dir = Path(out_dir)
    counts = {
        "train": n_train,
        "validation": n_validation,
        "test": n_test,
        "test_unseen": n_test_unseen,
    }
    variety = {
        "level_spread": float(level_spread),
        "colour_db": float(colour_db),
        "invented": float(invented),
        "varispeed": float(varispeed),
    }
    _check_options(
        counts, seconds, seed, sample_rate, jobs, fractions, max_seconds, variety, others
    )
    fonts = _list_soundfonts(soundfonts)
    unseen_fonts = _list_soundfonts(unseen_soundfonts) if unseen_soundfonts else fonts
    renderer = resolve_renderer(renderer)
    settings = {
        "recipe": RECIPE,
        "seed": int(seed),
        "sample_rate": int(sample_rate),
        "soundfonts": [_fingerprint(font) for font in fonts],
        "unseen_soundfonts": [_fingerprint(font) for font in unseen_fonts],
        "renderer": renderer,
        **variety,
    }
    common = {
        "seed": int(seed),
        "seconds": float(seconds),
        "sample_rate": int(sample_rate),
        "renderer": renderer,
        **variety,
        "drums": bool(drums),
        "others": int(others),
        "max_seconds": None if max_seconds is None else float(max_seconds),
    }
    if midi_dir is None:
        settings.update(source="composer", **{k: common[k] for k in ("seconds", "drums", "others")})
        palettes = {"palette": TRAIN_PALETTE, "unseen_palette": UNSEEN_PALETTE}
        settings.update({name: _plain(asdict(palette)) for name, palette in palettes.items()})
        songs = [(split, k, None, "") for split, count in counts.items() for k in range(count)]
    else:
        files = find_midi(midi_dir)
        listing = "\n".join(f"{name} {path.stat().st_size}" for name, path in files)
        settings.update(
            source="midi",
            files=len(files),
            files_digest=hashlib.sha256(listing.encode()).hexdigest()[:16],
            fractions=[float(share) for share in fractions],
            max_seconds=common["max_seconds"],
        )
        songs = _split_files(files, fractions, seed)
    todo = []
    for split, index, path, name in songs:
        number = FIRST_NUMBER[split] + index
        if number > LAST_NUMBER[split]:
            raise ValueError(f"too many tracks for {split}: there are numbers for {index} only.")
        own = unseen_fonts if split == "test_unseen" else fonts
        todo.append(
            TrackJob(
                folder=str(out_dir / split / f"Track{number:05d}"),
                split=split,
                number=number,
                soundfonts=tuple(map(str, own)),
                midi=None if path is None else str(path),
                midi_name=name,
                **common,
            )
        )
    _prepare_folder(out_dir, settings, [Path(job.folder) for job in todo], overwrite)
    missing = [job for job in todo if not Path(job.folder).is_dir()]
    skipped = {}
    for job, reason in in_processes(make_track, missing, jobs, "synthesize", not quiet):
        if reason:
            skipped[job.midi_name] = reason
    tracks = {split: 0 for split in FIRST_NUMBER}
    for job in todo:
        tracks[job.split] += Path(job.folder).is_dir()
    tracks = {split: count for split, count in tracks.items() if count}
    record = {"settings": settings, "tracks": tracks, "skipped": dict(sorted(skipped.items()))}
    write_json(out_dir / "synthesis.json", record)
    if not tracks:
        name, reason = next(iter(skipped.items()))
        raise ValueError(
            f"none of the {len(skipped)} MIDI files of {midi_dir} could be used; {name} {reason}."
        )
    return {
        "tracks": tracks,
        "made": len(missing) - len(skipped),
        "kept": len(todo) - len(missing),
        "skipped": record["skipped"],
        "soundfonts": [str(font) for font in fonts],
        "renderer": renderer,
    }


def find_midi(folder):
    """MIDI files below a folder, at any depth.

    Args:
        folder (os.PathLike): Where to look.

    Returns:
        list: (name relative to the folder with ``/``, path), sorted.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no MIDI file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"MIDI folder not found: {folder}.")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in MIDI_SUFFIXES and p.is_file()]
    if not found:
        raise ValueError(f"no .mid or .midi file below {folder}.")
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def _split_files(files, fractions, seed):
    """(split, index in the split, path, name) of every file, after a shuffle by the seed."""
    order = np.random.default_rng([int(seed), 99]).permutation(len(files))
    shares = np.asarray(fractions, dtype=float) / sum(fractions)
    n_validation, n_test = (int(round(share * len(files))) for share in shares[1:])
    sizes = {"train": len(files) - n_validation - n_test, "validation": n_validation}
    songs, start = [], 0
    for split in ("train", "validation", "test"):
        size = sizes.get(split, len(files) - start)
        for index, place in enumerate(order[start : start + size]):
            name, path = files[place]
            songs.append((split, index, path, name))
        start += size
    return songs


def _plain(value):
    return {key: list(item) for key, item in value.items()}


def _check_options(
    counts, seconds, seed, sample_rate, jobs, fractions, max_seconds, variety, others
):
    for split, count in counts.items():
        if count != int(count) or count < 0:
            raise ValueError(f"n_{split} is {count}, expected a whole number from 0.")
    if not any(counts.values()):
        raise ValueError("no songs asked for: all of n_train, n_validation, ... are 0.")
    checks = {
        "seconds": (seconds, seconds >= 1, "at least 1"),
        "seed": (seed, seed >= 0, "a whole number from 0"),
        "others": (others, others >= 0, "a whole number from 0"),
        "sample_rate": (sample_rate, 4000 <= sample_rate <= 192000, "4000 to 192000 Hz"),
        "jobs": (jobs, jobs is None or jobs >= 1, "at least 1"),
        "max_seconds": (max_seconds, max_seconds is None or max_seconds >= 1, "at least 1"),
    }
    for name in ("level_spread", "colour_db"):
        checks[name] = (variety[name], 0 <= variety[name] <= 20, "0 to 20 dB")
    checks["invented"] = (variety["invented"], 0 <= variety["invented"] <= 1, "a share, 0 to 1")
    checks["varispeed"] = (
        variety["varispeed"],
        0 <= variety["varispeed"] <= 12,
        "0 to 12 semitones",
    )
    for name, (value, good, expected) in checks.items():
        if not good:
            raise ValueError(f"{name} is {value}, expected {expected}.")
    if len(fractions) != 3 or min(fractions) < 0 or not sum(fractions) > 0:
        raise ValueError(
            f"fractions are {list(fractions)}, expected three shares: train, validation, test."
        )


def _list_soundfonts(soundfonts):
    """Existing SoundFonts as a list of absolute paths."""
    if not soundfonts:
        soundfonts = [default_soundfont()]
    elif isinstance(soundfonts, (str, os.PathLike)):
        soundfonts = [soundfonts]
    paths = [Path(path).absolute() for path in soundfonts]
    for path in paths:
        soundfont_presets(path)  # raises for whatever is no SoundFont
    return paths


def _fingerprint(path):
    """Name and content of a file in a few letters; where it lies does not matter."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return f"{path.name} {digest.hexdigest()[:16]}"


def _prepare_folder(out_dir, settings, wanted, overwrite):
    """Makes the folder ready: removes unfinished tracks, refuses those of other settings."""
    wanted = set(wanted)
    found = [p for split in FIRST_NUMBER for p in sorted((out_dir / split).glob("Track*"))]
    foreign = next((path for path in found if not _is_ours(path)), None)
    if foreign is not None:
        raise ValueError(f"{foreign} was not made by this command: choose another folder.")
    record = out_dir / "synthesis.json"
    old = read_json(record).get("settings", {}) if record.is_file() else None
    if old is None and found:
        old = {}
    if old is not None and old != settings:
        if not overwrite:
            differ = sorted(k for k in {*old, *settings} if old.get(k) != settings.get(k))
            raise ValueError(
                f"{out_dir} holds tracks that were made with other settings ({', '.join(differ)}): "
                "use --overwrite or another folder."
            )
        for path in found:
            shutil.rmtree(path)
        found = []
    surplus = [path for path in found if path not in wanted]
    if surplus and not overwrite:
        raise ValueError(
            f"{out_dir} holds {len(surplus)} tracks more than asked for (such as "
            f"{surplus[0].name}): use --overwrite or another folder."
        )
    for path in surplus:
        shutil.rmtree(path)
    for split in FIRST_NUMBER:
        for leftover in (out_dir / split).glob(".Track*.partial"):
            shutil.rmtree(leftover)  # of a call that was killed
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(record, {"settings": settings})


def _is_ours(folder):
    try:
        with open(folder / "metadata.yaml", encoding="utf-8") as file:
            return any(line.strip() == f"generator: {GENERATOR}" for line in file)
    except OSError:
        return False
