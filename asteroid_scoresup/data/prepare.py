"""Preparation: from Slakh folders, own songs or synthesized songs to the one prepared form.

Every track is read, checked against its audio and written by one of several processes, into a
folder of a temporary name that is renamed when it is complete: a run that was killed goes on where
it stopped. What had to be left out is told at the end and in ``report.json``.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import soundfile as sf

from ..checks.corrections import summarize_checks
from ..checks.song import check_song, unpitched_classes
from ..dsp.level import gated_rms
from ..utils.files import explained, read_json, write_audio, write_json
from ..utils.hashing import samples_hash, with_times_of
from ..utils.locks import folder_lock
from ..utils.names import why_not_plain
from ..utils.parallel import run_parallel
from ..utils.partial_files import replace_folder, unfinished
from .classes import DEFAULT_CLASSES, ClassMap
from .labels import TRACK_FILE, count_notes, settle_labels
from .manifest import Manifest, PreparedTrack, read_notes, write_notes
from .report import make_report, summary
from .songs import Settings, drop_of_error, find_sources, read_song

__all__ = ["prepare", "summary"]

FORMAT = 1


def prepare(
    input_dir,
    out_dir,
    classes=DEFAULT_CLASSES,
    *,
    sample_rate=16000,
    mixture="submix",
    splits=None,
    label_shift="auto",
    check=True,
    correct=False,
    include_omitted=False,
    validation_share=0.1,
    test_share=0.0,
    seed=0,
    jobs=None,
    overwrite=False,
    progress=True,
):
    r"""Prepares a folder of songs.

    Args:
        input_dir (str or Path): Slakh2100 (any of its layouts), a folder of the same form, or a
            folder of own songs (pairs of audio and MIDI of one name). The layout is found out.
        out_dir (str or Path): The prepared folder. Tracks that an earlier run with the same
            settings finished are kept.
        classes (ClassMap or str): The classes.
        sample_rate (int): Working rate, in Hz.
        mixture (str): ``"submix"``: the sum of the classes, as in the paper; ``"song"``: the whole
            song, with a reference ``residual`` for what belongs to no class. Own songs have no
            stems and are always whole.
        splits (dict or path, optional): A file of splits, for example one of slakh-utils.
        label_shift (str): ``"auto"``: the labels of basses of real Slakh are moved down an
            octave; ``"none"``; or semitones per class, ``"bass=-12,guitar=0"``.
        check (bool): Whether labels are checked against the audio.
        correct (bool): Whether constant errors of which the check is sure are corrected.
        include_omitted (bool): Whether Slakh's split ``omitted`` is used.
        validation_share, test_share (float): Shares of songs that no folder and no file of splits
            gives a split.
        seed (int): Seed of that choice.
        jobs (int, optional): Processes; all cores by default, 1 runs in this process.
        overwrite (bool): Whether tracks that were prepared with other settings are replaced.
        progress (bool): Whether a progress bar is shown.

    Returns:
        dict: The report, as in ``report.json``; :func:`summary` makes text of it.

    Raises:
        FileNotFoundError: if the input does not exist.
        ValueError: if the input holds no songs, nothing of it can be used, a setting makes no
            sense, or `out_dir` holds tracks of other settings.
    """
    classes = classes if isinstance(classes, ClassMap) else ClassMap.parse(classes)
    input_dir, out_dir = Path(input_dir), Path(out_dir)
    layout, sources, drops = find_sources(
        input_dir, splits, include_omitted, validation_share, test_share, seed
    )
    if out_dir.resolve() == input_dir.resolve() or (
        layout == "pairs" and input_dir.resolve() in out_dir.resolve().parents
    ):
        raise ValueError(f"{out_dir} lies in the input {input_dir}: choose a folder outside of it.")
    if layout == "pairs":
        mixture = "song"
    settings = Settings(str(classes), int(sample_rate), mixture, label_shift)
    sources = _plain_sources(sources, drops)
    with folder_lock(out_dir, "prepare"):
        return _prepare(
            input_dir, out_dir, layout, sources, drops, classes, settings, splits,
            check=check, correct=correct, jobs=jobs, overwrite=overwrite, progress=progress,
        )  # fmt: skip


def _plain_sources(sources, drops):
    """Leaves out songs whose names cannot be those of folders everywhere."""
    kept = []
    for source in sources:
        why = why_not_plain(source.id) or why_not_plain(source.split)
        if why:
            drops.append(
                {"what": "track", "reason": f"its name {why}", "where": source.id, "notes": 0}
            )
        else:
            kept.append(source)
    return kept


def _prepare(
    input_dir, out_dir, layout, sources, drops, classes, settings, splits, *, check, correct, jobs,
    overwrite, progress,
):  # fmt: skip
    """Prepares the songs that were found; `out_dir` is locked."""
    finished = _finished_tracks(out_dir, sources, settings, check, overwrite)

    waiting = [source for source in sources if (source.split, source.id) not in finished]
    if any((out_dir / source.split / source.id).exists() for source in waiting):
        # The old list does not fit to what replaces its tracks, and a killed run must not leave it.
        (out_dir / "manifest.json").unlink(missing_ok=True)
    results = dict(finished)
    work = partial(_prepare_track, out_dir=out_dir, settings=settings, check=check)
    for source, (track, drop) in run_parallel(work, waiting, jobs, "prepare", progress):
        if track is None:
            drops.append(drop)
        else:
            results[source.split, source.id] = track

    tracks = [results[key] for key in sorted(results)]
    manifest = Manifest(out_dir, settings.sample_rate, classes, settings.mixture, tracks)
    aggregate = settle_labels(manifest, correct) if check else None
    report = make_report(input_dir, layout, settings, manifest, drops, aggregate)
    report["kept_from_earlier_run"] = len(finished)
    listed = {(track.split, track.id) for track in tracks}
    stale = sorted(
        str(path.parent.relative_to(out_dir))
        for path in out_dir.glob(f"*/*/{TRACK_FILE}")
        if (path.parent.parent.name, path.parent.name) not in listed
    )
    if stale:
        report["warnings"].append(
            f"{len(stale)} folders in {out_dir} belong to no track of this run and are not in the "
            f"manifest, for example {stale[0]}."
        )
    if splits is None and _has_twins(tracks):
        report["warnings"].append(
            "This is Slakh2100 in its original split, where songs of test have a twin in train: "
            "use slakh2100_flac_redux, or --splits with redux.json of slakh-utils."
        )
    write_json(out_dir / "report.json", report)
    if not tracks:
        reasons = Counter(drop["reason"] for drop in drops if drop["what"] == "track")
        reason, count = reasons.most_common(1)[0]
        raise ValueError(
            f"Nothing of {input_dir} can be used; most often ({count} of {len(sources)} tracks): "
            f"{reason}. See {out_dir / 'report.json'}."
        )
    manifest.save()
    return report


def _has_twins(tracks):
    """Whether tracks that slakh-utils omits for their twins are in train, told by the first two."""
    train = {t.id for t in tracks if t.split == "train" and not t.facts.get("generated", True)}
    return {"Track00049", "Track00077"} <= train


def _finished_tracks(out_dir, sources, settings, check, overwrite):
    """Tracks of an earlier run that need not be prepared again, by (split, id)."""
    finished = {}
    if not out_dir.is_dir():
        return finished
    if overwrite:
        return finished
    for source in sources:
        folder = out_dir / source.split / source.id
        content = _read_track_file(folder)
        if content is None:
            continue
        _require_same_settings(folder, content, settings)
        track = _kept_track(folder, content, source, settings)
        if track is None or ("check" not in track.facts and check):
            continue
        times = with_times_of(source.paths(), content["source"])
        if times != content["source"]:
            # Files that were copied or touched: they need not be hashed the next time.
            write_json(folder / TRACK_FILE, {**content, "source": times})
        finished[source.split, source.id] = track
    return finished


def _read_track_file(folder):
    """What preparation wrote about a track; None if there is nothing, or nothing that is whole."""
    try:
        content = read_json(folder / TRACK_FILE)
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and isinstance(content.get("settings"), dict)
    return content if whole and "format" in content and "track" in content else None


def _kept_track(folder, content, source, settings):
    """The finished track of an earlier run; None if its source changed, or anything is damaged.

    Whatever is wrong with it, preparing it again mends it.
    """
    names = ClassMap.parse(settings.classes).names
    try:
        track = PreparedTrack.from_dict(content["track"])
        if (track.split, track.id) != (source.split, source.id):
            return None
        if not source.is_unchanged(content.get("source")):
            return None
        if not isinstance(track.facts.get("drops"), list) or set(track.n_notes) != set(names):
            return None
        if "check" in track.facts:
            summarize_checks({track.id: track.facts["check"]}, names)
        for path in (folder / "mixture.wav", *_stem_paths(folder, track.stems)):
            header = sf.info(path)
            if (header.frames, header.samplerate) != (track.n_samples, settings.sample_rate):
                return None
        read_notes(folder / "notes.csv", names)
        return track
    except Exception:  # of damaged findings, whatever they lead to
        return None


def _stem_paths(folder, names):
    return [folder / "stems" / f"{name}.wav" for name in names]


def _require_same_settings(folder, content, settings):
    found, wanted = content.get("settings"), asdict(settings)
    if found == wanted and content.get("format") == FORMAT:
        return
    found = found if isinstance(found, dict) else {}
    key = next((key for key, value in wanted.items() if found.get(key) != value), None)
    other = f"{key} ({found.get(key)!r}, now {wanted[key]!r})" if key else "version"
    raise ValueError(
        f"{folder} was prepared with another {other}. Choose another folder, or replace its "
        "tracks with --overwrite."
    )


def _prepare_track(source, out_dir, settings, check):
    """Prepares one track: (PreparedTrack, None), or (None, what was dropped and why)."""
    classes = ClassMap.parse(settings.classes)
    names = classes.names
    try:
        # Before reading: what changes meanwhile is read again by the next run.
        fingerprint = source.fingerprint()
        song = read_song(source, settings, find_defects=check)
        if check:
            song.facts["check"] = check_song(
                song.notes,
                names,
                settings.sample_rate,
                song.mixture,
                song.stems,
                unpitched_classes(classes),
            )
    except Exception as error:  # one bad track must not end the preparation of a thousand others
        return None, drop_of_error(source, error)
    # Outside of the net: a full disk must end the run, not drop every track.
    return _write_track(song, names, source, fingerprint, out_dir, settings), None


def _write_track(song, names, source, fingerprint, out_dir, settings):
    """Writes a track's folder, at once."""
    folder = out_dir / source.split / source.id
    temporary = unfinished(folder)
    try:
        with explained(folder):
            (temporary / "stems").mkdir(parents=True)
        write_audio(temporary / "mixture.wav", song.mixture, settings.sample_rate)
        for name, reference in song.stems.items():
            path = temporary / "stems" / f"{name}.wav"
            write_audio(path, reference, settings.sample_rate)
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
        )
        _write_track_file(temporary, track, settings, fingerprint)
        with explained(folder):
            replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return track


def _write_track_file(folder, track, settings, fingerprint):
    content = {
        "format": FORMAT,
        "settings": asdict(settings),
        "source": fingerprint,
        "track": asdict(track),
    }
    write_json(folder / TRACK_FILE, content)
