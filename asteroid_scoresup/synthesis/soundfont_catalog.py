"""SoundFonts by name: where they are installed, where they come from, and their licenses.

The audio of a SoundFont is part of every song that it plays, and a network learns from it. Models
that are given away are therefore trained with SoundFonts only whose licenses allow any use. The
licenses are those in ``/usr/share/doc/PACKAGE/copyright`` of Debian 12.

Not in the catalog, although they install: ``avldrums.lv2-soundfont`` (two drum kits, CC-BY-SA-3.0,
as melodic presets), ``fluid-soundfont-gs`` (MIT; only variations of ``FluidR3_GM``),
``hydrogen-drumkits`` (one kit is CC0, the others are GPL, CC-BY or CC-BY-SA), ``freepats`` (GPL).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from .render import default_soundfont

#: Folders in which SoundFonts are looked up, besides those in the environment variable
#: ``SOUNDFONT_PATH`` (separated as in ``PATH``).
FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
)
_SUFFIXES = (".sf2", ".sf3")


@dataclass(frozen=True)
class KnownSoundFont:
    """A SoundFont that packages provide.

    Args:
        name (str): Its name in options: the file name without suffix.
        package (str): Debian package that contains it.
        license (str): License of its samples.
        free (bool): Whether that license allows any use of what is learned from them.
        contents (str): What it plays.
    """

    name: str
    package: str
    license: str
    free: bool
    contents: str


CATALOG = (
    KnownSoundFont("FluidR3_GM", "fluid-soundfont-gm", "MIT", True, "General MIDI, kits"),
    KnownSoundFont(
        "MuseScore_General_Lite",
        "musescore-general-soundfont-small",
        "MIT, parts CC0 or public domain",
        True,
        "General MIDI, kits; other pianos, strings and drums than FluidR3",
    ),
    KnownSoundFont(
        "MuseScore_General_Full",
        "musescore-general-soundfont",
        "MIT, parts CC0 or public domain",
        True,
        "the same with longer samples",
    ),
    KnownSoundFont(
        "FluidR3Mono_GM", "fluidr3mono-gm-soundfont", "MIT", True, "FluidR3, mono; other drums"
    ),
    KnownSoundFont(
        "sf_GMbank",
        "csound-soundfont",
        "public domain (says the file)",
        True,
        "General MIDI, kits; small",
    ),
    KnownSoundFont(
        "sonic_pi_kits",
        "sonic-pi-samples",
        "CC0",
        True,
        "drum kits; ``egs/slakh/local/drum_kits.py`` writes it from the samples of the package",
    ),
    KnownSoundFont("TimGM6mb", "timgm6mb-soundfont", "GPL-2", False, "General MIDI, kits"),
    KnownSoundFont(
        "OPL-3_FM_128M", "opl3-soundfont", "CC-BY-SA-4.0", False, "General MIDI by FM synthesis"
    ),
)
"""The SoundFonts that options may name."""


def find_soundfont(soundfont: str | os.PathLike[str]) -> Path:
    """Finds a SoundFont by its path, or by its name in :data:`CATALOG`.

    Args:
        soundfont (str or Path): Path of a file, or a name such as ``FluidR3_GM``.

    Returns:
        Path: The file; it may not exist if `soundfont` is a path.

    Raises:
        FileNotFoundError: if it is a name in the catalog, and not installed.

    Examples
        >>> find_soundfont("TimGM6mb").suffix
        '.sf2'
    """
    known = next((font for font in CATALOG if font.name == os.fspath(soundfont)), None)
    if known is None or Path(soundfont).exists():
        return Path(soundfont)
    path = installed(known.name)
    if path is None:
        raise FileNotFoundError(
            f"the SoundFont {known.name} is not installed ({_how(known)}): install it, or give the "
            "path of a SoundFont."
        )
    return path


def _how(font: KnownSoundFont) -> str:
    """How to install a SoundFont."""
    made = font.name == "sonic_pi_kits"
    then = f", then python egs/slakh/local/drum_kits.py FOLDER/{font.name}.sf2" if made else ""
    return f"Debian: apt install {font.package}{then}"


def installed(name: str) -> Path | None:
    """Finds the file of a SoundFont of the catalog.

    Args:
        name (str): Its name in the catalog.

    Returns:
        Path, optional: The file, or None if it is not installed.
    """
    own = filter(None, os.environ.get("SOUNDFONT_PATH", "").split(os.pathsep))
    candidates = [Path(folder) / f"{name}{s}" for folder in (*own, *FOLDERS) for s in _SUFFIXES]
    if name == "TimGM6mb":
        with contextlib.suppress(FileNotFoundError):
            candidates.append(default_soundfont())
    return next((path for path in candidates if path.is_file()), None)


def table() -> str:
    """The catalog as text, with what is installed.

    Returns:
        str: A line per SoundFont.
    """
    rows = [("name", "license", "for training", "where")]
    for font in CATALOG:
        path = installed(font.name)
        where = str(path) if path else f"missing ({_how(font)})"
        rows.append((font.name, font.license, "yes" if font.free else "no", where))
    widths = [max(map(len, column)) for column in list(zip(*rows))[:-1]]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append("  ".join([*cells, row[-1]]))
    return "\n".join(lines)
