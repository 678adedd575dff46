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
import math
import os
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..data.slakh import GENERATOR, MIDI_SUFFIXES
from ..utils.files import read_json, write_json
from ..utils.identity import file_hash
from ..utils.leftovers import remove_folder, sweep_scratch
from ..utils.locks import folder_lock
from ..utils.parallel import in_processes
from .composer import TRAIN_PALETTE, UNSEEN_PALETTE
from .render import default_soundfont, resolve_renderer, soundfont_presets
from .slakh_writer import FIRST_NUMBER, LAST_NUMBER, TrackJob, make_track

#: Changes whenever the same seed would give other tracks than before.
RECIPE = 3
RECORD = "synthesis.json"
METADATA = "metadata.yaml"
_OWN_FILES = re.compile(r"mix\.flac|all_src\.mid|MIDI/S\d+\.mid|stems/S\d+\.flac")
#: Longest song, in seconds; a track is held in memory while it is made.
LONGEST = 3600.0


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
    color_db=5.0,
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
        color_db (float): How much composed training stems are colored, see
            :func:`~asteroid_scoresup.synthesis.channel.random_channel`; 0 for not at all.
        invented (float): Share of the composed training stems that invented instruments play, see
            :mod:`~asteroid_scoresup.synthesis.timbre`.
        varispeed (float): How far the tape of the other training stems may be off its speed, in
            semitones, see :func:`~asteroid_scoresup.synthesis.augment.render_at_speed`.
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
        "color_db": float(color_db),
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
    for split, count in counts.items():
        _check_room(split, count)
    if midi_dir is None:
        settings.update(source="composer", **{k: common[k] for k in ("seconds", "drums", "others")})
        palettes = {"palette": TRAIN_PALETTE, "unseen_palette": UNSEEN_PALETTE}
        settings.update({name: _plain(asdict(palette)) for name, palette in palettes.items()})
        songs = [(split, k, None, "") for split, count in counts.items() for k in range(count)]
    else:
        files = find_midi(midi_dir)
        settings.update(
            source="midi",
            files=len(files),
            files_digest=_digest_midi(files, out_dir / "synthesis.json"),
            fractions=[float(share) for share in fractions],
            max_seconds=common["max_seconds"],
        )
        songs = _split_files(files, fractions, seed)
        for split, index, _, _ in songs:
            _check_room(split, index + 1)
    todo = []
    for split, index, path, name in songs:
        number = FIRST_NUMBER[split] + index
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
    if out_dir.is_dir():
        _refuse_foreign(out_dir)
    sweep_scratch()
    with folder_lock(out_dir, "synthesize"):
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
        write_json(out_dir / RECORD, record)
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


def _check_room(split, count):
    room = LAST_NUMBER[split] - FIRST_NUMBER[split] + 1
    if count > room:
        raise ValueError(f"too many tracks for {split}: there are numbers for {room} only.")


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
        if not _is_whole(count):
            raise ValueError(f"n_{split} is {count}, expected a whole number from 0.")
    if not any(counts.values()):
        raise ValueError("no songs asked for: all of n_train, n_validation, ... are 0.")
    checks = {
        "seconds": (seconds, 1 <= seconds <= LONGEST, f"at least 1, at most {LONGEST:g}"),
        "seed": (seed, _is_whole(seed), "a whole number from 0"),
        "others": (others, _is_whole(others) and others <= 16, "a whole number from 0 to 16"),
        "sample_rate": (
            sample_rate,
            _is_whole(sample_rate) and 4000 <= sample_rate <= 192000,
            "4000 to 192000 Hz",
        ),
        "jobs": (jobs, jobs is None or _is_whole(jobs) and jobs >= 1, "at least 1"),
        "max_seconds": (
            max_seconds,
            max_seconds is None or 1 <= max_seconds <= LONGEST,
            f"at least 1, at most {LONGEST:g}",
        ),
    }
    for name in ("level_spread", "color_db"):
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
    usable = len(fractions) == 3 and all(0 <= share < math.inf for share in fractions)
    if not usable or not 0 < sum(fractions) < math.inf:
        raise ValueError(
            f"fractions are {list(fractions)}, expected three shares: train, validation, test."
        )


def _is_whole(value):
    """Whether a value is a whole number from 0."""
    return math.isfinite(value) and value == int(value) and value >= 0


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
    return f"{path.name} {file_hash(path)[:16]}"


def _digest_midi(files, record):
    """Hash of the names and contents of MIDI files.

    Earlier versions recorded names and sizes only. A record of theirs that fits the files is taken
    for one of these, so that their folders can still be completed.

    Args:
        files (list): From :func:`find_midi`.
        record (Path): The data set's ``synthesis.json``, which may not exist yet.
    """

    def content_of(path):
        try:
            return file_hash(path)
        except OSError:
            return "unreadable"  # it will be skipped and reported

    listing = "\n".join(f"{name} {content_of(path)}" for name, path in files)
    digest = hashlib.sha256(listing.encode()).hexdigest()[:24]
    if record.is_file():
        content = read_json(record)
        settings = content.get("settings") if isinstance(content, dict) else None
        sizes = "\n".join(f"{name} {path.stat().st_size}" for name, path in files)
        legacy = hashlib.sha256(sizes.encode()).hexdigest()[:16]
        if isinstance(settings, dict) and settings.get("files_digest") == legacy:
            settings["files_digest"] = digest
            write_json(record, content)
    return digest


def _refuse_foreign(out_dir):
    foreign = next((path for path in _find_tracks(out_dir) if not _is_ours(path)), None)
    if foreign is not None:
        raise ValueError(f"{foreign} was not made by this command: choose another folder.")


def _prepare_folder(out_dir, settings, wanted, overwrite):
    """Makes the folder ready: removes unfinished tracks, refuses those of other settings."""
    wanted = set(wanted)
    record = out_dir / RECORD
    for path in _find_tracks(out_dir):
        if not (path / METADATA).is_file():  # earlier versions, killed while they deleted it
            remove_folder(path)
    found = _find_tracks(out_dir)
    old = _read_record(record, overwrite) if record.is_file() else None
    if old is None and found:
        old = {}
    if old is not None and old != settings:
        if not overwrite:
            differ = sorted(k for k in {*old, *settings} if old.get(k) != settings.get(k))
            raise ValueError(
                f"{out_dir} holds tracks that were made with other settings ({', '.join(differ)}): "
                "use --overwrite or another folder."
            )
        # The old record stays until the last of its tracks is gone: a call that is killed here
        # finds tracks of other settings again.
        for path in found:
            remove_folder(path)
        found = []
    surplus = [path for path in found if path not in wanted]
    if surplus and not overwrite:
        raise ValueError(
            f"{out_dir} holds {len(surplus)} tracks more than asked for (such as "
            f"{surplus[0].name}): use --overwrite or another folder."
        )
    for path in surplus:
        remove_folder(path)
    write_json(record, {"settings": settings})


def _find_tracks(out_dir):
    return [path for split in FIRST_NUMBER for path in sorted((out_dir / split).glob("Track*"))]


def _read_record(path, overwrite):
    """The settings of an earlier call; none if they cannot be read and all is to be replaced."""
    try:
        record = read_json(path)
        if isinstance(record, dict) and isinstance(record.get("settings"), dict):
            return record["settings"]
        raise ValueError(f"{path} is not a record of `synthesize`: it holds no settings.")
    except ValueError as error:
        if overwrite:
            return {}
        raise ValueError(
            f"{error} With which settings the tracks beside it were made is not known: replace "
            "them with --overwrite, or choose another folder."
        ) from None


def _is_ours(folder):
    """Whether a track carries our mark, or is the rest of one whose deletion was interrupted."""
    try:
        with open(folder / METADATA, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == f"generator: {GENERATOR}" for line in file)
    except FileNotFoundError:
        files = (path for path in folder.rglob("*") if not path.is_dir())
        of_a_track = all(_OWN_FILES.fullmatch(p.relative_to(folder).as_posix()) for p in files)
        return (folder.parent.parent / RECORD).is_file() and folder.is_dir() and of_a_track
    except OSError:
        return False
