"""``track.json``: what preparation records about a track, and whether a finished track is kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import soundfile as sf

from ..checks.corrections import summarize_checks
from ..utils.audio import sndfile_path
from ..utils.files import read_json, write_json
from ..utils.hashing import with_times_of
from .discovery import SongSource
from .note_table import read_notes
from .settings import Settings
from .track import PreparedTrack

#: Name of the file, in a track's folder next to audio and notes.
TRACK_FILE = "track.json"

FORMAT = 1


def write_track_file(
    folder: Path, track: PreparedTrack, settings: Settings, fingerprint: list[dict[str, Any]]
) -> None:
    """Writes a track's file.

    Args:
        folder (Path): The track's folder.
        track (PreparedTrack): The track.
        settings (Settings): How it was prepared.
        fingerprint (list): See :meth:`~asteroid_scoresup.data.discovery.SongSource.fingerprint`.
    """
    content = {
        "format": FORMAT,
        "settings": settings.to_dict(),
        "source": fingerprint,
        "track": track.to_dict(),
    }
    write_json(folder / TRACK_FILE, content)


def update_track_file(folder: Path, track: PreparedTrack) -> None:
    """Replaces the track in its file, if there is one.

    Args:
        folder (Path): The track's folder.
        track (PreparedTrack): The track as it is now.

    Raises:
        ValueError: if the file is damaged.
    """
    if (folder / TRACK_FILE).is_file():
        content = read_json(folder / TRACK_FILE)
        if not isinstance(content, dict):
            raise ValueError(f"{folder / TRACK_FILE} is damaged: run `prepare` again.")
        write_json(folder / TRACK_FILE, {**content, "track": track.to_dict()})


def finished_tracks(
    out_dir: Path, sources: Iterable[SongSource], settings: Settings, check: bool
) -> dict[tuple[str, str], PreparedTrack]:
    """Tracks of an earlier run that need not be prepared again, by (split, id).

    Args:
        out_dir (Path): The prepared folder.
        sources (iterable of SongSource): The songs of this run.
        settings (Settings): The settings of this run.
        check (bool): Whether labels are checked; tracks without a check are then prepared again.

    Raises:
        ValueError: if a track was prepared with other settings.
    """
    finished: dict[tuple[str, str], PreparedTrack] = {}
    if not out_dir.is_dir():
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


def _read_track_file(folder: Path) -> dict[str, Any] | None:
    """Content of a track's file; None if it is missing or damaged."""
    try:
        content = read_json(folder / TRACK_FILE)
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and isinstance(content.get("settings"), dict)
    return content if whole and "format" in content and "track" in content else None


def _require_same_settings(folder: Path, content: dict[str, Any], settings: Settings) -> None:
    found, wanted = content["settings"], settings.to_dict()
    if found == wanted and content["format"] == FORMAT:
        return
    key = next((key for key, value in wanted.items() if found.get(key) != value), None)
    other = f"{key} ({found.get(key)!r}, now {wanted[key]!r})" if key else "version"
    raise ValueError(
        f"{folder} was prepared with another {other}. Choose another folder, or replace its "
        "tracks with --overwrite."
    )


def _kept_track(
    folder: Path, content: dict[str, Any], source: SongSource, settings: Settings
) -> PreparedTrack | None:
    """The finished track of an earlier run; None if its source changed, or a file is damaged.

    Preparing it again repairs whatever is wrong.
    """
    names = settings.classes.names
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
        stems = [folder / "stems" / f"{name}.wav" for name in track.stems]
        for path in (folder / "mixture.wav", *stems):
            header = sf.info(sndfile_path(path))
            if (header.frames, header.samplerate) != (track.n_samples, settings.sample_rate):
                return None
        read_notes(folder / "notes.csv", names)
        return track
    except Exception:  # damaged findings can raise any error
        return None
