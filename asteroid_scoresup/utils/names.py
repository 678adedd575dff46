"""Names that become folders: of tracks, and of splits."""

from __future__ import annotations

import os
import re

#: Longest name in bytes: file systems take 255, and unfinished folders have names that are longer.
LONGEST_NAME = 220
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def why_not_plain(name):
    """Why a name is not one of a folder inside of another; None if it is.

    A name that a file brings along (a manifest, metadata, a list of splits) must not lead out of
    the folder in which it is looked for. The names of devices are refused on Windows only, where
    they are special.

    Args:
        name (object): The name.

    Returns:
        str or None: The rest of a sentence that begins with the name.

    Examples
        >>> why_not_plain("../../x/Track1")
        "holds a '/'"
        >>> why_not_plain("Track00001") is None
        True
    """
    if not isinstance(name, str):
        return f"is {type(name).__name__}, not text"
    if not name.strip():
        return "is empty"
    for letter in ("/", "\\"):
        if letter in name:
            return f"holds a {letter!r}"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "holds a control character"
    if name.startswith("."):
        return "begins with a dot"
    if re.match(r"[A-Za-z]:", name):
        return "begins with the letter of a drive"
    try:
        if len(os.fsencode(name)) > LONGEST_NAME:
            return f"is longer than {LONGEST_NAME} bytes"
    except UnicodeEncodeError:
        return "cannot be encoded for this file system"
    if os.name == "nt" and _DEVICES.fullmatch(name):
        return "is the name of a device"
    return None
