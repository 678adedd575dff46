"""The label check of a whole folder, and the correction of errors that are certain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..checks.bends import describe_bends
from ..checks.corrections import correct_notes, correction_of, findings_after, summarize_checks
from ..checks.label_check import check_song, unpitched_classes
from ..score import Notes
from ..utils.files import read_audio, read_json, write_json
from ..utils.locks import locks_prepared_folder
from ..utils.parallel import run_parallel
from .classes import DEFAULT_CLASSES, ClassMap
from .discovery import SongSource, find_songs
from .drops import drop_of_error, group_drops, group_remarks, located_drops
from .manifest import SHARDS_FILE, Manifest
from .note_table import read_notes, write_notes
from .reader import read_song
from .settings import Settings
from .song import fit_notes
from .splits import Splits
from .stretches import certain_notes
from .track import PreparedTrack
from .track_file import update_track_file

#: Note table as it was before a correction.
RAW_NOTES = "notes_as_read.csv"


def count_notes(notes: Notes, names: Sequence[str]) -> dict[str, int]:
    """Number of notes of each class, by name."""
    return {name: int((notes.class_index == index).sum()) for index, name in enumerate(names)}


def settle_labels(manifest: Manifest, correct: bool | None = None) -> dict[str, Any]:
    """Summarizes the findings of all tracks and corrects the note tables if requested.

    Corrections always start from the notes as they were read, which are kept next to the corrected
    ones: correcting twice or after an interruption gives the same result.

    Args:
        manifest (Manifest): The tracks, each with ``facts["check"]``; their facts and numbers of
            notes are updated here and in their own files.
        correct (bool, optional): Whether to correct. False reverts earlier corrections, None keeps
            them and corrects nothing more.

    Returns:
        dict: The findings over all tracks with their notes as they are now: corrections are counted
        in ``corrected_tracks`` and listed in ``lines``, and no longer cause warnings.
    """
    names = manifest.names
    findings = {f"{t.split}/{t.id}": t.facts["check"] for t in manifest.tracks}
    aggregate = summarize_checks(findings, names)
    for track in manifest.tracks:
        folder = manifest.folder_to_write(track)
        done = track.facts.get("corrected")
        wanted = done if correct is None else None
        if correct:
            wanted = correction_of(track.facts["check"], aggregate)
        # Raw notes next to a track that is not corrected: a run was interrupted while correcting.
        if wanted == done and (done is not None or not (folder / RAW_NOTES).is_file()):
            continue
        if track.facts.pop("corrected", None) is not None:
            update_track_file(folder, track)
        notes = _notes_as_read(folder, names)
        write_notes(folder / RAW_NOTES, notes, names)
        if wanted is not None:
            notes = correct_notes(notes, wanted, names)
            notes = fit_notes(notes, track.n_samples / manifest.sample_rate)
            track.facts["corrected"] = wanted
        track.n_notes = count_notes(notes, names)
        write_notes(folder / "notes.csv", notes, names)
        update_track_file(folder, track)
        if wanted is None:
            (folder / RAW_NOTES).unlink()
    after = {
        f"{t.split}/{t.id}": findings_after(t.facts["check"], t.facts.get("corrected"), names)
        for t in manifest.tracks
    }
    return _with_corrections(summarize_checks(after, names), manifest.tracks)


def _with_corrections(aggregate: dict[str, Any], tracks: Sequence[PreparedTrack]) -> dict[str, Any]:
    """Adds the corrections to a summary of the notes as they are now."""
    done = [track.facts["corrected"] for track in tracks if "corrected" in track.facts]
    aggregate["corrected_tracks"] = len(done)
    late = sum(correction["offset_seconds"] != 0 for correction in done)
    moved = Counter(pair for correction in done for pair in correction["transpose"].items())
    what = [f"time in {late}"] if late else []
    what += [f"{name} {shift:+d} in {count}" for (name, shift), count in sorted(moved.items())]
    if done:
        aggregate["lines"].append(f"corrected: {', '.join(what)} of {len(tracks)} tracks")
    return aggregate


def _notes_as_read(folder: Path, names: Sequence[str]) -> Notes:
    raw = folder / RAW_NOTES
    return read_notes(raw if raw.is_file() else folder / "notes.csv", names)


@locks_prepared_folder
def check_folder(
    folder: str | Path,
    classes: ClassMap | str = DEFAULT_CLASSES,
    *,
    correct: bool = False,
    sample_rate: int = 16000,
    mixture: str = "submix",
    label_shift: str = "auto",
    splits: Splits | Mapping[str, Any] | str | Path | None = None,
    include_omitted: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Checks the labels of a prepared folder, or of songs that are not prepared yet.

    Args:
        folder (str or Path): A prepared folder, or whatever
            :func:`~asteroid_scoresup.data.prepare.prepare` accepts.
        classes, sample_rate, mixture, label_shift, splits, include_omitted: As in ``prepare``;
            ignored for a prepared folder, which has its own.
        correct (bool): Whether a prepared folder's notes are corrected. If so, the notes are
            checked as they were read, otherwise as they are now.
        jobs (int, optional): Number of processes; default: all cores.
        progress (bool): Whether a progress bar is shown.

    Returns:
        dict: ``input``, ``tracks`` (findings by name of the track), ``check`` (over all tracks),
        ``bends`` (which parts follow their pitch bends), ``dropped``, ``remarks``.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it contains no songs, or `correct` is set and it is not a prepared folder.
    """
    folder = Path(folder)
    dropped: list[dict[str, Any]] = []
    if (folder / "manifest.json").is_file():
        aggregate, findings, bends = _check_prepared_folder(folder, correct, jobs, progress)
    elif (folder / SHARDS_FILE).is_file():
        raise ValueError(f"{folder} contains shards: check the prepared folder they were made of.")
    elif correct:
        raise ValueError(f"{folder} is not a prepared folder: `prepare --correct` corrects it.")
    else:
        classes = classes if isinstance(classes, ClassMap) else ClassMap.parse(classes)
        layout, sources, dropped = find_songs(folder, splits, include_omitted)
        mixture = "song" if layout == "pairs" else mixture
        settings = Settings(classes, int(sample_rate), mixture, label_shift)
        findings, bends = _check_sources(sources, settings, dropped, jobs, progress)
        if not findings:
            raise ValueError(f"{folder}: no song can be checked: {dropped[-1]['reason']}.")
        aggregate = summarize_checks(findings, classes.names)
    aggregate.setdefault("corrected_tracks", 0)
    tracks = {key: findings[key] for key in sorted(findings)}
    return {
        "input": str(folder),
        "check": aggregate,
        "tracks": tracks,
        "bends": describe_bends(bends[key] for key in tracks),
        "dropped": group_drops(dropped),
        "remarks": group_remarks(dropped),
    }


def _check_prepared_folder(
    folder: Path, correct: bool, jobs: int | None, progress: bool
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Summary, and findings and verdicts on bends by track."""
    findings, bends = {}, {}
    manifest = Manifest.load(folder)
    # Without the list of tracks, which would be sent to the workers with every track.
    empty = Manifest(folder, manifest.sample_rate, manifest.classes)
    work = partial(_check_prepared, manifest=empty, as_read=correct)
    for track, found in run_parallel(work, manifest.tracks, jobs, "check", progress):
        findings[f"{track.split}/{track.id}"] = found
        bends[f"{track.split}/{track.id}"] = track.facts.get("bends", {})
        if correct or "corrected" not in track.facts:
            track.facts["check"] = found
            update_track_file(manifest.folder_to_write(track), track)
    if correct:
        aggregate = settle_labels(manifest, correct=True)
    else:
        aggregate = summarize_checks(findings, manifest.names)
        aggregate = _with_corrections(aggregate, manifest.tracks)
    manifest.save()
    _update_report(folder, aggregate)
    return aggregate, findings, bends


def _check_sources(
    sources: Sequence[SongSource],
    settings: Settings,
    dropped: list[dict[str, Any]],
    jobs: int | None,
    progress: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Findings and verdicts on bends by track; what is dropped is added to `dropped`."""
    findings, bends = {}, {}
    work = partial(_check_source, settings=settings)
    for source, (found, drops, bent) in run_parallel(work, sources, jobs, "check", progress):
        dropped += drops
        if found is not None:
            findings[f"{source.split}/{source.id}"] = found
            bends[f"{source.split}/{source.id}"] = bent
    return findings, bends


def _update_report(folder: Path, aggregate: dict[str, Any]) -> None:
    """Updates the findings in the folder's ``report.json``, if there is one of a preparation."""
    path = folder / "report.json"
    report = read_json(path) if path.is_file() else None
    if isinstance(report, dict) and isinstance(report.get("warnings"), list):
        old = report.get("check") or {}
        outdated = old.get("warnings", []) if isinstance(old, dict) else []
        kept = [warning for warning in report["warnings"] if warning not in outdated]
        report.update(check=aggregate, warnings=[*kept, *aggregate["warnings"]])
        write_json(path, report)


def _check_prepared(track: PreparedTrack, manifest: Manifest, as_read: bool) -> dict[str, Any]:
    folder = manifest.folder(track)
    notes = _notes_as_read(folder, manifest.names) if as_read else manifest.notes(track)
    paths = {name: manifest.stem_path(track, name) for name in manifest.names}
    stems = {name: read_audio(path)[0] for name, path in paths.items() if path.is_file()}
    mixture = manifest.read_mixture(track)
    return check_song(
        certain_notes(notes, track.uncertain),
        manifest.names,
        manifest.sample_rate,
        mixture,
        stems,
        unpitched_classes(manifest.classes),
    )


def _check_source(
    source: SongSource, settings: Settings
) -> tuple[dict[str, Any] | None, list[dict[str, Any]], dict[str, Any]]:
    """Findings of a song that is not prepared, or None; what was dropped; verdicts on bends."""
    try:
        song = read_song(source, settings)
    except Exception as error:  # one bad song must not end the check, as in preparation
        return None, [drop_of_error(source.id, error)], {}
    found = check_song(
        song.notes,
        settings.classes.names,
        settings.sample_rate,
        song.mixture,
        song.stems,
        unpitched_classes(settings.classes),
    )
    return found, located_drops(song.facts["drops"], source.id), song.facts.get("bends", {})
