"""Data sets that mirdata indexes: which songs there are, where, and in which split.

mirdata's loaders know the files of a data set by name. Two forms are read: multitracks in Slakh's
form (``slakh``), and tracks with an audio file and a MIDI file (``maestro``, ``groove_midi`` and
others). What is in the files is read by this package, as from any other folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.files import short_name
from .drops import drop_record
from .pairs import Pair
from .slakh import TrackFolder
from .splits import split_of_folder

#: File in the folder of a track of Slakh.
_METADATA = "metadata.yaml"


def find_mirdata_songs(
    name: str, data_home: str | Path, version: str | None = None
) -> tuple[str, list[TrackFolder] | list[Pair], list[dict[str, Any]]]:
    """Finds the songs of a data set by mirdata's index.

    Args:
        name (str): mirdata's name of the data set.
        data_home (str or Path): The folder that contains it, as for ``mirdata.initialize``.
        version (str, optional): Its version, such as ``"baby"`` or ``"2100-redux"`` of ``slakh``.
            Default: mirdata's.

    Returns:
        tuple: name of the layout (``"slakh"`` or ``"pairs"``), its songs, and records of those
        whose files are missing.

    Raises:
        ImportError: if mirdata is not installed.
        ValueError: if mirdata does not know the data set or has no index of it, or none of its
            songs can be used.
    """
    dataset = _initialize(name, data_home, version)
    songs: list[Any] = []
    drops: list[dict[str, Any]] = []
    multitracks = getattr(dataset, "_multitrack_class", None) is not None
    try:
        items = list(_items(dataset, multitracks))
    except FileNotFoundError as error:
        raise ValueError(
            f'mirdata has no index of {name} yet: python -c "import mirdata; mirdata.initialize('
            f"'{name}'{_argument(version)}).download(['index'])\" ({_first_line(error)})."
        ) from None
    for track_id, item in items:
        song = _slakh_folder(track_id, item) if multitracks else _pair(track_id, item)
        if song is None:
            continue
        files = (
            [song.path / _METADATA] if isinstance(song, TrackFolder) else [song.audio, song.midi]
        )
        if missing := [path for path in files if not path.is_file()]:
            drops.append(drop_record("track", "in mirdata's index, not on disk", str(missing[0])))
        else:
            songs.append(song)
    if not songs:
        found = (
            f"none of its {len(items)} songs is in {data_home}"
            if drops
            else ("its songs have neither Slakh's form nor an audio and a MIDI file each")
        )
        raise ValueError(f"mirdata's {name} cannot be prepared: {found}.")
    return "slakh" if multitracks else "pairs", songs, drops


def _initialize(name: str, data_home: str | Path, version: str | None) -> Any:
    """mirdata's loader of a data set."""
    try:
        import mirdata
    except ImportError as error:
        raise ImportError(
            f"--mirdata needs mirdata: pip install 'asteroid-scoresup[mirdata]' ({error})."
        ) from None
    if name not in mirdata.list_datasets():
        raise ValueError(
            f"mirdata has no data set {name!r}: its names are those of mirdata.list_datasets(), "
            "for example slakh."
        )
    options = {} if version is None else {"version": version}
    try:
        return mirdata.initialize(name, data_home=str(data_home), **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"mirdata cannot open {name}: {_first_line(error)}.") from None


def _items(dataset: Any, multitracks: bool) -> Iterator[tuple[str, Any]]:
    """Names and objects of all songs."""
    ids, load = dataset.track_ids, dataset.track
    if multitracks:
        ids, load = dataset.mtrack_ids, dataset.multitrack
    return ((track_id, load(track_id)) for track_id in ids)


def _slakh_folder(track_id: str, multitrack: Any) -> TrackFolder | None:
    """A multitrack of Slakh; None if it has another form."""
    path = getattr(multitrack, "metadata_path", None)
    if path is None or Path(path).name != _METADATA:
        return None
    return TrackFolder(track_id, Path(path).parent, _split(multitrack))


def _pair(track_id: str, track: Any) -> Pair | None:
    """A track with audio and MIDI; None if it lacks one of them."""
    audio, midi = getattr(track, "audio_path", None), getattr(track, "midi_path", None)
    if audio is None or midi is None:
        return None
    # Names become folders and columns of tables.
    name = short_name(re.sub(r"[^\w.-]+", "_", track_id).lstrip(".") or "song")
    return Pair(name, Path(audio), Path(midi), _split(track))


def _split(item: Any) -> str | None:
    """The split that the data set gives a song."""
    name = getattr(item, "split", None) or getattr(item, "data_split", None)
    return split_of_folder(str(name)) if name else None


def _argument(version: str | None) -> str:
    return "" if version is None else f", version='{version}'"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
