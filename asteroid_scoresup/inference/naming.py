"""Names of the files of stems: a template such as ``{track}/{stem}.{ext}``, as in demucs."""

from __future__ import annotations

import string
from pathlib import Path

from ..utils.files import short_name

#: The template that is used if none is named.
DEFAULT_TEMPLATE = "{track}/{stem}.{ext}"
#: The fields of a template and what they are replaced with.
FIELDS = {
    "track": "name of the song",
    "trackext": "suffix of its file",
    "stem": "name of the stem",
    "ext": "suffix of the stem's file",
}


def require_template(template: str) -> None:
    """Refuses templates that could write outside the folder of the results, or one file twice.

    Args:
        template (str): Relative path with the :data:`FIELDS` in braces. It must contain ``{track}``
            and ``{stem}``, and end with ``.{ext}``.

    Raises:
        ValueError: if it is not valid.

    Examples
        >>> require_template("{stem}/{track}.{ext}")
        >>> require_template("../{track}/{stem}.{ext}")
        Traceback (most recent call last):
            ...
        ValueError: --filename '../{track}/{stem}.{ext}' leaves the folder of the results: ...
    """
    name = f"--filename {template!r}"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{name} is not a template: {str(error).rstrip('.')}.") from None
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    for _, field, form, conversion in parts:
        if field is not None and (field not in FIELDS or form or conversion):
            raise ValueError(f"{name} has an unknown field {{{field}}}: the fields are {known}.")
    used = {field for _, field, *_ in parts}
    if not {"track", "stem"} <= used or not template.endswith(".{ext}"):
        raise ValueError(
            f"{name} would give several stems one name: expected {{track}} and {{stem}} in it, and "
            f"{{ext}} at its end, as in {DEFAULT_TEMPLATE}."
        )
    pieces = template.split("/")
    if "\\" in template or ":" in template or any(piece in ("", ".", "..") for piece in pieces):
        raise ValueError(
            f"{name} leaves the folder of the results: expected a relative path, with / between "
            "folders and without '.' or '..'."
        )


def stem_path(
    folder: Path, template: str, stem: str, suffix: str, song: str | Path | None = None
) -> Path:
    """Path of the file of a stem.

    Args:
        folder (Path): Folder of the song's other results. Its name is the song's, and templates are
            relative to its parent.
        template (str): A template that :func:`require_template` accepts.
        stem (str): Name of the stem.
        suffix (str): Suffix of the file, with its dot.
        song (str or Path, optional): File of the song.

    Returns:
        Path: The path.

    Examples
        >>> stem_path(Path("out/song"), DEFAULT_TEMPLATE, "bass", ".wav").as_posix()
        'out/song/bass.wav'
        >>> template = "{stem}/{track}-{trackext}.{ext}"
        >>> stem_path(Path("out/song"), template, "bass", ".flac", "song.mp3").as_posix()
        'out/bass/song-mp3.flac'
    """
    values = {
        "track": folder.name,
        "trackext": Path(song or "").suffix.lstrip("."),
        "stem": stem,
        "ext": suffix.lstrip("."),
    }
    head, *rest = template.split("/")
    *folders, name = (piece.format(**values) for piece in rest or [head])
    # A name that is too long keeps its suffix.
    name = short_name(name.removesuffix(suffix)) + suffix
    if not rest:
        return folder.parent / name
    base = folder if head == "{track}" else folder.parent / short_name(head.format(**values))
    return base.joinpath(*map(short_name, folders), name)
