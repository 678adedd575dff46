"""From MusicXML files, plain or compressed, to a tree of elements.

Files are not trusted. The parser is the expat of Python's standard library: external entities are
never loaded, entities of the file's own are refused, and layout, lyrics and everything else that
does not sound is skipped while reading. Sizes are limited by what is read, not by what a file
claims.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

#: Most bytes of XML that are read; symphonies have about 50 million.
MAX_BYTES = 128 * 2**20
#: Most elements that are kept; a note has about eight.
MAX_ELEMENTS = 3_000_000
#: Deepest nesting; MusicXML needs less than 10 levels of what is kept.
_MAX_DEPTH = 64
_MAX_CONTAINER_BYTES = 2**20
_BLOCK = 2**16
_CONTAINER = "META-INF/container.xml"
#: Elements that do not sound; they are about two thirds of a file.
_SILENT = frozenset({
    "notations", "lyric", "beam", "stem", "accidental", "type", "dot", "time-modification",
    "notehead-text", "print", "defaults", "credit", "harmony", "figured-bass", "key", "clef",
    "identification", "work", "listening", "link", "bookmark", "part-name-display",
    "part-abbreviation-display", "rehearsal", "wedge", "dynamics", "dashes", "bracket",
    "octave-shift",
})  # fmt: skip


def read_xml(path: str | Path) -> Element:
    """Reads the elements of a MusicXML file that matter to its sound.

    Args:
        path (str or Path): The file; whether it is compressed is found by its content.

    Returns:
        Element: The root of the score.

    Raises:
        ValueError: if the file is missing, damaged, too large, or not XML.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK":
                file.seek(0)
                return _parse(file, MAX_BYTES)
        return _read_compressed(path)
    except Exception as error:  # damaged archives and odd encodings raise errors of many kinds
        detail = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        detail = detail or "it is damaged"
        raise ValueError(f"{path} cannot be read as MusicXML: {detail.rstrip('.')}.") from None


def _read_compressed(path: str | Path) -> Element:
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if _CONTAINER not in names:
            raise ValueError(f"it is a ZIP file without {_CONTAINER}")
        with archive.open(_CONTAINER) as file:
            container = _parse(file, _MAX_CONTAINER_BYTES)
        entries = [element for element in container.iter() if element.tag.endswith("rootfile")]
        name = entries[0].get("full-path") if entries else None
        if name is None or name not in names:
            raise ValueError(f"its {_CONTAINER} names the score {name!r}, which it lacks")
        with archive.open(name) as file:
            return _parse(file, MAX_BYTES)


def _parse(file: IO[bytes], most_bytes: int) -> Element:
    """Parses XML block by block, so that nothing is read beyond the limits."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    n_bytes = 0
    try:
        while block := file.read(_BLOCK):
            n_bytes += len(block)
            if n_bytes > most_bytes:
                raise ValueError(f"it has more than {most_bytes} bytes of XML")
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ValueError(f"it is not XML ({reason} in line {error.lineno})") from None
    return builder.close()


def _refuse_entity(name: str, *_: object) -> None:
    raise ValueError(f"it defines the entity {name!r}, and scores have no use for entities")


class _Builder:
    """Builds a tree without the elements that do not sound."""

    def __init__(self) -> None:
        self._tree = TreeBuilder()
        self._depth = self._skipped = self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Opens an element."""
        self._depth += 1
        if self._skipped or tag in _SILENT:
            self._skipped += 1
            return
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise ValueError(f"it has more than {MAX_ELEMENTS} elements")
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {_MAX_DEPTH} deep")
        self._tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        """Closes an element."""
        self._depth -= 1
        if self._skipped:
            self._skipped -= 1
            return
        self._tree.end(tag)

    def data(self, text: str) -> None:
        """Adds text."""
        if not self._skipped:
            self._tree.data(text)

    def close(self) -> Element:
        """The root."""
        return self._tree.close()
