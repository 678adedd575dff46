"""The label check over a whole folder, and the correction of what it is sure of."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..checks.bends import describe_bends
from ..checks.corrections import correct_notes, correction_of, findings_after, summarize_checks
from ..checks.song import check_song, unpitched_classes
from ..utils.files import read_audio, read_json, write_json
from ..utils.locks import locks_prepared_folder
from ..utils.parallel import run_parallel
from .classes import DEFAULT_CLASSES, ClassMap
from .manifest import Manifest, read_notes, write_notes
from .report import group_drops, located_drops
from .songs import Settings, drop_of_error, find_sources, fit_notes, read_song

#: What preparation writes into a track's folder beside audio and notes.
TRACK_FILE = "track.json"
#: The notes before a correction.
RAW_NOTES = "notes_as_read.csv"


def count_notes(notes, names):
    """Number of notes of each class, by name."""
    return {name: int((notes.class_index == index).sum()) for index, name in enumerate(names)}


def settle_labels(manifest, correct=False):
    """Puts the findings of all tracks together and corrects the note tables where asked.

    Corrections always start from the notes as they were read, which are kept beside the corrected
    ones: doing it twice, or being interrupted, changes nothing, and `correct=False` takes earlier
    corrections back.

    Args:
        manifest (Manifest): The tracks, each with ``facts["check"]``; their facts and numbers of
            notes are updated here and in their own files.
        correct (bool): Whether to correct.

    Returns:
        dict: The findings over all tracks as their notes are now: what was corrected is counted in
        ``corrected_tracks`` and told in ``lines``, and is no longer warned of.
    """
    names = manifest.names
    findings = {f"{t.split}/{t.id}": t.facts["check"] for t in manifest.tracks}
    aggregate = summarize_checks(findings, names)
    for track in manifest.tracks:
        wanted = correction_of(track.facts["check"], aggregate) if correct else None
        folder = manifest.folder_to_write(track)
        done = track.facts.get("corrected")
        # Raw notes beside a track that is not corrected: a run was killed while it corrected.
        if wanted == done and (done is not None or not (folder / RAW_NOTES).is_file()):
            continue
        if track.facts.pop("corrected", None) is not None:
            _update_track_file(folder, track)
        notes = _notes_as_read(folder, names)
        write_notes(folder / RAW_NOTES, notes, names)
        if wanted is not None:
            notes = correct_notes(notes, wanted, names)
            notes = fit_notes(notes, track.n_samples / manifest.sample_rate)
            track.facts["corrected"] = wanted
        track.n_notes = count_notes(notes, names)
        write_notes(folder / "notes.csv", notes, names)
        _update_track_file(folder, track)
        if wanted is None:
            (folder / RAW_NOTES).unlink()
    after = {
        f"{t.split}/{t.id}": findings_after(t.facts["check"], t.facts.get("corrected"), names)
        for t in manifest.tracks
    }
    return _with_corrections(summarize_checks(after, names), manifest.tracks)


def _with_corrections(aggregate, tracks):
    """Says what was corrected in a summary of the notes as they are now."""
    done = [track.facts["corrected"] for track in tracks if "corrected" in track.facts]
    aggregate["corrected_tracks"] = len(done)
    late = sum(correction["offset_seconds"] != 0 for correction in done)
    moved = Counter(pair for correction in done for pair in correction["transpose"].items())
    what = [f"time in {late}"] if late else []
    what += [f"{name} {shift:+d} in {count}" for (name, shift), count in sorted(moved.items())]
    if done:
        aggregate["lines"].append(f"corrected: {', '.join(what)} of {len(tracks)} tracks")
    return aggregate


def _notes_as_read(folder, names):
    raw = folder / RAW_NOTES
    return read_notes(raw if raw.is_file() else folder / "notes.csv", names)


def _update_track_file(folder, track):
    if (folder / TRACK_FILE).is_file():
        content = read_json(folder / TRACK_FILE)
        if not isinstance(content, dict):
            raise ValueError(f"{folder / TRACK_FILE} is damaged: run `prepare` again.")
        write_json(folder / TRACK_FILE, {**content, "track": asdict(track)})


@locks_prepared_folder
def check_folder(
    folder,
    classes=DEFAULT_CLASSES,
    *,
    correct=False,
    sample_rate=16000,
    mixture="submix",
    label_shift="auto",
    splits=None,
    include_omitted=False,
    jobs=None,
    progress=True,
):
    """Checks the labels of a prepared folder, or of songs that are not prepared yet.

    Args:
        folder (str or Path): A prepared folder, or whatever
            :func:`~asteroid_scoresup.data.prepare.prepare` reads.
        classes, sample_rate, mixture, label_shift, splits, include_omitted: As there; a prepared
            folder has its own.
        correct (bool): Whether a prepared folder's notes are corrected. The notes as they were
            read are checked then, else the notes as they are.
        jobs (int, optional): Processes; all cores by default.
        progress (bool): Whether a progress bar is shown.

    Returns:
        dict: ``tracks`` (findings by name of the track), ``check`` (over all tracks), ``bends``
        (which parts follow their pitch bends), ``dropped``.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no songs, or songs that are not prepared are to be corrected.
    """
    folder = Path(folder)
    dropped, findings, bends = [], {}, {}
    if (folder / "manifest.json").is_file():
        manifest = Manifest.load(folder)
        # Without its tracks: it travels to another process with every single one.
        place = Manifest(folder, manifest.sample_rate, manifest.classes)
        work = partial(_check_prepared, manifest=place, as_read=correct)
        for track, found in run_parallel(work, manifest.tracks, jobs, "check", progress):
            findings[f"{track.split}/{track.id}"] = found
            bends[f"{track.split}/{track.id}"] = track.facts.get("bends", {})
            if correct or "corrected" not in track.facts:
                track.facts["check"] = found
                _update_track_file(manifest.folder_to_write(track), track)
        if correct:
            aggregate = settle_labels(manifest, correct=True)
        else:
            aggregate = summarize_checks(findings, manifest.names)
            aggregate = _with_corrections(aggregate, manifest.tracks)
        manifest.save()
        _update_report(folder, aggregate)
    else:
        if correct:
            raise ValueError(f"{folder} is not a prepared folder: `prepare --correct` corrects it.")
        classes = classes if isinstance(classes, ClassMap) else ClassMap.parse(classes)
        layout, sources, dropped = find_sources(folder, splits, include_omitted)
        mixture = "song" if layout == "pairs" else mixture
        settings = Settings(str(classes), int(sample_rate), mixture, label_shift)
        work = partial(_check_source, settings=settings)
        for source, (found, drops, bent) in run_parallel(work, sources, jobs, "check", progress):
            dropped += drops
            if found is not None:
                findings[f"{source.split}/{source.id}"] = found
                bends[f"{source.split}/{source.id}"] = bent
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
    }


def _update_report(folder, aggregate):
    """Puts the findings into the folder's ``report.json``, where there is one of a preparation."""
    path = folder / "report.json"
    report = read_json(path) if path.is_file() else None
    if isinstance(report, dict) and isinstance(report.get("warnings"), list):
        old = report.get("check") or {}
        outdated = old.get("warnings", []) if isinstance(old, dict) else []
        kept = [warning for warning in report["warnings"] if warning not in outdated]
        report.update(check=aggregate, warnings=[*kept, *aggregate["warnings"]])
        write_json(path, report)


def _check_prepared(track, manifest, as_read):
    folder = manifest.folder(track)
    notes = _notes_as_read(folder, manifest.names) if as_read else manifest.notes(track)
    paths = {name: manifest.stem_path(track, name) for name in manifest.names}
    stems = {name: read_audio(path)[0] for name, path in paths.items() if path.is_file()}
    mixture = manifest.read_mixture(track)
    return check_song(
        notes,
        manifest.names,
        manifest.sample_rate,
        mixture,
        stems,
        unpitched_classes(manifest.classes),
    )


def _check_source(source, settings):
    """Findings of a song that is not prepared, or None; what was dropped; verdicts on bends."""
    try:
        song = read_song(source, settings)
    except Exception as error:  # as in preparation
        return None, [drop_of_error(source, error)], {}
    classes = ClassMap.parse(settings.classes)
    found = check_song(
        song.notes,
        classes.names,
        settings.sample_rate,
        song.mixture,
        song.stems,
        unpitched_classes(classes),
    )
    return found, located_drops(song.facts["drops"], source.id), song.facts.get("bends", {})
