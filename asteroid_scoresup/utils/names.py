"""Checks of names: those that become folders, such as tracks and splits, and hidden files."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: Longest name, in bytes. File systems allow 255; names of unfinished folders are longer.
LONGEST_NAME = 220
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden: its name has a dot in front, and is more than dots and a suffix.

    Args:
        name (str): The name, without folders.

    Examples
        >>> is_hidden("._song.wav"), is_hidden("song.wav"), is_hidden("...wav")
        (True, False, False)
    """
    return name.startswith(".") and bool(Path(name).stem.strip("."))


def why_not_plain(name: object) -> str | None:
    """Tells why a name cannot be that of a subfolder.

    A name read from a file (a manifest, metadata, a list of splits) must not lead out of the folder
    in which it is looked up. Device names are refused on Windows only, where they are reserved.

    Args:
        name (object): The name.

    Returns:
        str, optional: The reason, as the rest of a sentence that begins with the name; None if the
        name is valid.

    Examples
        >>> why_not_plain("../../x/Track1")
        "contains a '/'"
        >>> why_not_plain("Track00001") is None
        True
    """
    if not isinstance(name, str):
        return f"is {type(name).__name__}, not text"
    if not name.strip():
        return "is empty"
    for letter in ("/", "\\"):
        if letter in name:
            return f"contains a {letter!r}"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "contains a control character"
    if name.startswith("."):
        return "begins with a dot"
    if re.match(r"[A-Za-z]:", name):
        return "starts with a drive letter"
    try:
        if len(os.fsencode(name)) > LONGEST_NAME:
            return f"is longer than {LONGEST_NAME} bytes"
    except UnicodeEncodeError:
        return "cannot be encoded for this file system"
    if os.name == "nt" and _DEVICES.fullmatch(name):
        return "is a device name"
    return None
