"""Preparation: from Slakh folders, own songs or synthesized songs to the same prepared form.

Every track is read, checked against its audio and written by one of several processes, into a
temporary folder that is renamed when it is complete: the next run resumes an interrupted one.
What had to be dropped is listed at the end and in ``report.json``; a split that is drawn at random
and would be empty is filled again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..alignment import Alignment
from ..checks.label_check import check_song, unpitched_classes
from ..dsp.level import gated_rms
from ..utils.files import explained, write_audio, write_json
from ..utils.hashing import samples_hash
from ..utils.locks import folder_lock
from ..utils.names import why_not_plain
from ..utils.parallel import run_parallel
from ..utils.partial_files import replace_folder, unfinished
from .classes import DEFAULT_CLASSES, ClassMap
from .discovery import SongSource, find_songs
from .drops import drop_of_error, drop_record
from .labels import count_notes, settle_labels
from .manifest import SHARDS_FILE, Manifest, folder_to_write
from .note_table import write_notes
from .pair_alignment import (
    align_pair,
    alignment_if_possible,
    confirms,
    facts_of,
    is_off,
    uncertain_stretches,
)
from .pairs import Pair
from .reader import read_song
from .replacements import replace_dropped, with_earlier_replacements
from .report import make_report, summary
from .settings import Settings
from .song import Song
from .splits import Splits
from .stretches import certain_notes
from .track import PreparedTrack
from .track_file import TRACK_FILE, finished_tracks, write_track_file

__all__ = ["prepare", "summary"]


def prepare(
    input_dir: str | Path,
    out_dir: str | Path,
    classes: ClassMap | str = DEFAULT_CLASSES,
    *,
    sample_rate: int = 16000,
    mixture: str = "submix",
    splits: Splits | Mapping[str, Any] | str | Path | None = None,
    label_shift: str = "auto",
    align: str = "auto",
    check: bool = True,
    correct: bool | None = None,
    include_omitted: bool = False,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    seed: int = 0,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    mirdata: str | None = None,
    mirdata_version: str | None = None,
) -> dict[str, Any]:
    r"""Prepares a folder of songs.

    Args:
        input_dir (str or Path): Slakh2100 (any of its layouts), a folder of the same form, or a
            folder of own songs (pairs of audio and MIDI of one name). The layout is detected.
        out_dir (str or Path): The prepared folder. Tracks finished by an earlier run with the same
            settings are kept.
        classes (ClassMap or str): The classes.
        sample_rate (int): Working rate, in Hz.
        mixture (str): ``"submix"``: the sum of the classes, as in the paper; ``"song"``: the whole
            song, with a stem ``residual`` for what belongs to no class. Own songs have no stems
            and are always whole.
        splits (dict or path, optional): A file of splits, for example one of slakh-utils.
        label_shift (str): ``"auto"``: the labels of basses of real Slakh are transposed down an
            octave; ``"none"``; or semitones per class, ``"bass=-12,guitar=0"``.
        align (str): Whether the scores of own songs are aligned with their recordings: ``"auto"``,
            those that the label check finds off; ``"always"``; or ``"never"``. Slakh's layouts are
            never aligned.
        check (bool): Whether labels are checked against the audio.
        correct (bool, optional): Whether constant errors that are certain are corrected.
            False reverts the corrections of earlier runs, None keeps them.
        include_omitted (bool): Whether Slakh's split ``omitted`` is used.
        validation_fraction (float): Fraction of the songs for validation, where neither folders nor
            a file of splits assign any. If all of them are dropped, others take their place.
        test_fraction (float): The same for test.
        seed (int): Seed of that choice.
        jobs (int, optional): Number of processes; default: all cores. 1 runs in this process.
        overwrite (bool): Whether tracks that were prepared with other settings are replaced.
        progress (bool): Whether a progress bar is shown.
        mirdata, mirdata_version (str, optional): Name and version of a data set in `input_dir` that
            is read by mirdata's index.

    Returns:
        dict: The report, as in ``report.json``; :func:`summary` formats it as text.

    Raises:
        FileNotFoundError: if the input does not exist.
        ValueError: if the input contains no songs, none of them can be used, a setting is invalid,
            or `out_dir` contains tracks prepared with other settings.
    """
    classes = classes if isinstance(classes, ClassMap) else ClassMap.parse(classes)
    input_dir, out_dir = Path(input_dir), Path(out_dir)
    fractions = dict(validation_fraction=validation_fraction, test_fraction=test_fraction)
    draw: dict[str, Any] = {**fractions, "seed": seed}
    named = None if mirdata is None else (mirdata, mirdata_version)
    layout, sources, drops = find_songs(input_dir, splits, include_omitted, **draw, mirdata=named)
    if out_dir.resolve() == input_dir.resolve() or (
        layout == "pairs" and input_dir.resolve() in out_dir.resolve().parents
    ):
        raise ValueError(
            f"{out_dir} is inside the input {input_dir}: choose a folder outside of it."
        )
    if (out_dir / SHARDS_FILE).exists():
        raise ValueError(f"{out_dir} contains shards: choose another folder.")
    if layout == "pairs":
        mixture = "song"
    elif align == "always":
        raise ValueError(
            f"{input_dir} has Slakh's layout, whose labels are on the clock of the audio: align='"
            "always' is for own songs (pairs of audio and MIDI). Use 'auto' or 'never'."
        )
    elif align == "never":
        align = "auto"  # the same here, and as in folders of earlier versions
    settings = Settings(classes, int(sample_rate), mixture, label_shift, align)
    sources = with_earlier_replacements(_with_plain_names(sources, drops), out_dir, draw)
    for source in sources:
        folder_to_write(out_dir, source.split, source.id)
    with folder_lock(out_dir, "prepare"):
        finished = {} if overwrite else finished_tracks(out_dir, sources, settings, check)
        tracks = _prepare_tracks(sources, finished, out_dir, settings, check, drops, jobs, progress)
        tracks, lost = replace_dropped(tracks, sources, out_dir, draw)
        manifest = Manifest(out_dir, settings.sample_rate, classes, mixture, tracks)
        aggregate = settle_labels(manifest, correct) if check else None
        report = make_report(input_dir, layout, settings, manifest, drops, aggregate)
        report["kept_from_earlier_run"] = len(finished)
        report["warnings"] += [*lost, *_warnings(out_dir, tracks, splits)]
        write_json(out_dir / "report.json", report)
        if not tracks:
            reasons = Counter(drop["reason"] for drop in drops if drop["what"] == "track")
            reason, count = reasons.most_common(1)[0]
            raise ValueError(
                f"None of the songs in {input_dir} can be used; most often ({count} of "
                f"{len(sources)} tracks): {reason}. See {out_dir / 'report.json'}."
            )
        manifest.save()
    return report


def _with_plain_names(
    sources: Iterable[SongSource], drops: list[dict[str, Any]]
) -> list[SongSource]:
    """Drops songs whose names are not valid folder names on every system."""
    kept = []
    for source in sources:
        why = why_not_plain(source.id) or why_not_plain(source.split)
        if why:
            drops.append(drop_record("track", f"its name {why}", source.id))
        else:
            kept.append(source)
    return kept


def _prepare_tracks(
    sources: list[SongSource],
    finished: dict[tuple[str, str], PreparedTrack],
    out_dir: Path,
    settings: Settings,
    check: bool,
    drops: list[dict[str, Any]],
    jobs: int | None,
    progress: bool,
) -> list[PreparedTrack]:
    """Prepares the songs that are not finished; all tracks, sorted by split and name."""
    waiting = [source for source in sources if (source.split, source.id) not in finished]
    if any((out_dir / source.split / source.id).exists() for source in waiting):
        # The old list is wrong as soon as a track is replaced; it must not survive an interruption.
        (out_dir / "manifest.json").unlink(missing_ok=True)
    results = dict(finished)
    work = partial(_prepare_track, out_dir=out_dir, settings=settings, check=check)
    for source, (track, drop) in run_parallel(work, waiting, jobs, "prepare", progress):
        if drop is not None:
            drops.append(drop)
        if track is not None:
            results[source.split, source.id] = track

    return [results[key] for key in sorted(results)]


def _warnings(out_dir: Path, tracks: list[PreparedTrack], splits: object) -> list[str]:
    """Warnings about the prepared folder as a whole."""
    warnings = []
    listed = {(track.split, track.id) for track in tracks}
    stale = sorted(
        str(path.parent.relative_to(out_dir))
        for path in out_dir.glob(f"*/*/{TRACK_FILE}")
        if (path.parent.parent.name, path.parent.name) not in listed
    )
    if stale:
        warnings.append(
            f"{len(stale)} folders in {out_dir} belong to no track of this run and are not in the "
            f"manifest, for example {stale[0]}."
        )
    if splits is None and _has_twins(tracks):
        warnings.append(
            "This is Slakh2100 in its original split, where songs of test are duplicated in train: "
            "use slakh2100_flac_redux, or --splits with redux.json of slakh-utils."
        )
    return warnings


def _has_twins(tracks: Iterable[PreparedTrack]) -> bool:
    """Whether train contains duplicates that slakh-utils omits, judged by the first two."""
    train = {t.id for t in tracks if t.split == "train" and not t.facts.get("generated", True)}
    return {"Track00049", "Track00077"} <= train


def _prepare_track(
    source: SongSource, out_dir: Path, settings: Settings, check: bool
) -> tuple[PreparedTrack | None, dict[str, Any] | None]:
    """Prepares one track: (PreparedTrack, None), or (None, what was dropped and why)."""
    try:
        # Before reading: files that change in the meantime are then read again by the next run.
        fingerprint = source.fingerprint()
        song = _read_and_check(source, settings, check)
    except Exception as error:  # one bad track must not end the preparation of a thousand others
        return None, drop_of_error(source.id, error)
    # Not within `try`: a full disk must end the run, not drop every track.
    return _write_track(song, source, fingerprint, out_dir, settings), None


def _read_and_check(source: SongSource, settings: Settings, check: bool) -> Song:
    """Reads a song, aligns the score of a pair if necessary, and checks the result."""
    names, pair = settings.classes.names, source.files

    def read(alignment: Alignment | None = None) -> Song:
        song = read_song(source, settings, find_defects=check, alignment=alignment)
        if alignment is not None:
            seconds = len(song.mixture) / settings.sample_rate
            song.facts["alignment"] = facts_of(alignment, seconds)
            song.uncertain = uncertain_stretches(alignment, seconds)
        if check:
            song.facts["check"] = check_song(
                certain_notes(song.notes, song.uncertain),
                names,
                settings.sample_rate,
                song.mixture,
                song.stems,
                unpitched_classes(settings.classes),
            )
        return song

    if not isinstance(pair, Pair) or settings.align == "never":
        return read()
    if settings.align == "always":
        return read(align_pair(pair))
    song = read()
    if not check or not is_off(song.facts["check"], names):
        return song
    alignment = alignment_if_possible(pair)
    return song if alignment is None or confirms(alignment, song.notes) else read(alignment)


def _write_track(
    song: Song,
    source: SongSource,
    fingerprint: list[dict[str, Any]],
    out_dir: Path,
    settings: Settings,
) -> PreparedTrack:
    """Writes a track's folder, atomically."""
    names = settings.classes.names
    folder = out_dir / source.split / source.id
    temporary = unfinished(folder)
    try:
        with explained(folder):
            (temporary / "stems").mkdir(parents=True)
        write_audio(temporary / "mixture.wav", song.mixture, settings.sample_rate)
        for name, stem in song.stems.items():
            path = temporary / "stems" / f"{name}.wav"
            write_audio(path, stem, settings.sample_rate)
        if not song.stems:
            (temporary / "stems").rmdir()
        write_notes(temporary / "notes.csv", song.notes, names)
        track = PreparedTrack(
            id=source.id,
            split=source.split,
            n_samples=len(song.mixture),
            rms=gated_rms(song.mixture, settings.sample_rate),
            n_notes=count_notes(song.notes, names),
            stems=list(song.stems),
            facts=song.facts,
            audio=samples_hash(song.mixture, *song.stems.values()),
            uncertain=song.uncertain,
        )
        write_track_file(temporary, track, settings, fingerprint)
        with explained(folder):
            replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return track
