"""Which instruments belong to a class: the mapping from instruments to classes.

A list of classes is written ``name=item,item;name=…``. An item is

- a General MIDI program from 0, or a range of them: ``32-39``;
- ``drums`` for drum kits; their program is 128, and Slakh's name ``Drums``;
- a Slakh `inst_class`: ``Bass``;
- ``@`` and a pattern of track names, with ``*`` and ``?``, ignoring case: ``@*bass*``. Names are
  those of the tracks of a MIDI file, the parts of a MusicXML file, or the programs of Slakh's stems
  (`midi_program_name`).

Patterns decide first, the first class that matches; then `inst_class`; then the program. The word
``families`` alone means :data:`FAMILIES`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

#: GM programs (from 0) and Slakh `inst_class` names of the three classes of the paper.
DEFAULT_CLASSES = "bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano"

#: The 16 families of General MIDI and drums. Slakh calls two families "sound effects", ignoring
#: case: their programs tell them apart.
FAMILIES = (
    "piano=0-7,Piano;chromatic_percussion=8-15,Chromatic Percussion;organ=16-23,Organ;"
    "guitar=24-31,Guitar;bass=32-39,Bass;strings=40-47,Strings;"
    "ensemble=48-55,Ensemble,Strings (continued);brass=56-63,Brass;reed=64-71,Reed;pipe=72-79,Pipe;"
    "synth_lead=80-87,Synth Lead;synth_pad=88-95,Synth Pad;synth_effects=96-103;"
    "ethnic=104-111,Ethnic;percussive=112-119,Percussive;sound_effects=120-127;drums=128,Drums"
)

#: The program of drums, and the item that denotes it.
DRUMS_PROGRAM, _DRUMS = 128, "drums"

#: Most classes, and most characters of their list: more are a mistake and would take memory.
MOST_CLASSES, MOST_CHARACTERS = 129, 20_000


def _program(digits: str, name: str) -> int:
    """A General MIDI program, checked before a range of them is made."""
    if len(digits) >= 10 or int(digits) > 128:
        raise ValueError(
            f"Class {name!r} names program {digits[:20]}; General MIDI programs are 0 to 127 here, "
            "and 128 means drums."
        )
    return int(digits)


@dataclass(frozen=True)
class SourceClass:
    """One class of instruments.

    Args:
        name (str): Name, used in file names and tables (lower-case letters, digits, ``_``, ``-``).
        programs (frozenset of int): General MIDI programs, 0 to 127; 128 means drums.
        inst_classes (frozenset of str): Slakh `inst_class` names, compared ignoring case.
        patterns (frozenset of str): Patterns of track names, compared ignoring case.
    """

    name: str
    programs: frozenset[int] = field(default_factory=frozenset)
    inst_classes: frozenset[str] = field(default_factory=frozenset)
    patterns: frozenset[str] = field(default_factory=frozenset)

    def matches(self, track_name: str) -> bool:
        """Whether a track name matches one of the patterns."""
        return any(fnmatchcase(track_name.lower(), pattern.lower()) for pattern in self.patterns)

    @property
    def default_program(self) -> int:
        """The lowest General MIDI program of the class (0 if it names none)."""
        return min(self.programs, default=0)


class ClassMap:
    """An ordered list of classes; models, stems and masks have them in this order.

    Args:
        classes (iterable of SourceClass): The classes.

    Raises:
        ValueError: on a bad or repeated name, a program outside 0-128, or one claimed twice.

    Examples
        >>> classes = ClassMap.parse("bass=32-39,Bass;keys=0-7,16-20,Piano,Organ")
        >>> classes.names, classes.index_of(program=17)
        (('bass', 'keys'), 1)
        >>> classes.index_of(program=40) is None
        True
        >>> classes = ClassMap.parse("bass=32-39,@*bass*;drums=drums")
        >>> classes.index_of(program=0, track_name="E-Bass"), classes.index_of(program=128)
        (0, 1)
    """

    def __init__(self, classes: Iterable[SourceClass]) -> None:
        self.classes = tuple(classes)
        if not self.classes:
            raise ValueError("At least one class is needed, for example 'bass=32-39'.")
        claimed: dict[int | str, str] = {}
        for source in self.classes:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", source.name):
                raise ValueError(
                    f"{source.name!r} is not a class name: use lower-case letters, digits, _ and -."
                )
            if source.name in ("mixture", "residual", "mean"):
                raise ValueError(f"{source.name!r} is reserved; give the class another name.")
            keys: list[int | str] = [*source.programs, *map(str.lower, source.inst_classes)]
            keys += [f"@{pattern.lower()}" for pattern in source.patterns]
            for key in keys:
                if isinstance(key, int) and not 0 <= key <= 128:
                    raise ValueError(
                        f"Class {source.name!r} names program {key}; General MIDI programs are "
                        "0 to 127 here, and 128 means drums."
                    )
                if key in claimed:
                    raise ValueError(
                        f"{key!r} belongs to both {claimed[key]!r} and {source.name!r}."
                    )
                claimed[key] = source.name
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"A class name is duplicated in {list(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(source.name for source in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def parse(cls, text: str) -> ClassMap:
        """Parses a list of classes.

        Args:
            text (str): See the module docstring.

        Raises:
            ValueError: if the text is not of that form.
        """
        if len(text) > MOST_CHARACTERS:
            raise ValueError(
                f"The list of classes has {len(text)} characters, expected at most "
                f"{MOST_CHARACTERS}, for example 'bass=32-39;piano=0-7'."
            )
        if text.strip().lower() == "families":
            text = FAMILIES
        classes: list[SourceClass] = []
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, equals, text = part.partition("=")
            items = [item.strip() for item in text.split(",") if item.strip()]
            if not equals or not items:
                raise ValueError(
                    f"Cannot read the class {part!r}: expected 'name=programs', for example "
                    f"'bass=32-39,Bass'."
                )
            programs: set[int] = set()
            inst_classes: set[str] = set()
            patterns: set[str] = set()
            for item in items:
                span = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
                if span:
                    low, high = _program(span[1], name), _program(span[2] or span[1], name)
                    if high < low:
                        raise ValueError(f"The range {item!r} of class {name!r} is empty.")
                    programs.update(range(low, high + 1))
                elif item.startswith("@"):
                    if not item[1:].strip():
                        raise ValueError(
                            f"Class {name!r} has the item '@' without a pattern: expected for "
                            "example '@*bass*'."
                        )
                    patterns.add(item[1:].strip())
                elif item.lower() == _DRUMS:
                    programs.add(DRUMS_PROGRAM)
                    inst_classes.add(item)
                else:
                    inst_classes.add(item)
            if len(classes) == MOST_CLASSES:
                raise ValueError(f"There are more than {MOST_CLASSES} classes.")
            classes.append(
                SourceClass(
                    name.strip(), frozenset(programs), frozenset(inst_classes), frozenset(patterns)
                )
            )
        return cls(classes)

    def __str__(self) -> str:
        return ";".join(
            f"{c.name}="
            + ",".join(
                [
                    *map(str, sorted(c.programs)),
                    *sorted(c.inst_classes),
                    *(f"@{pattern}" for pattern in sorted(c.patterns)),
                ]
            )
            for c in self.classes
        )

    @property
    def wants_drums(self) -> bool:
        """Whether drums can belong to a class."""
        return any(DRUMS_PROGRAM in c.programs or c.patterns for c in self.classes)

    def index_of(
        self,
        program: int | None = None,
        inst_class: str | None = None,
        track_name: str | None = None,
    ) -> int | None:
        """Index of the class of an instrument, or None if it belongs to none.

        Patterns of track names decide first: the first class that matches. Then classes that list
        Slakh `inst_class` names are matched by name where the instrument has one; otherwise the
        program decides.

        Args:
            program (int, optional): General MIDI program, 0 to 127; 128 means drums.
            inst_class (str, optional): Slakh's name of the class.
            track_name (str, optional): Name of the track or part.
        """
        if track_name is not None:
            for index, source in enumerate(self.classes):
                if source.matches(track_name):
                    return index
        if inst_class is not None:
            for index, source in enumerate(self.classes):
                if inst_class.lower() in {name.lower() for name in source.inst_classes}:
                    return index
        for index, source in enumerate(self.classes):
            if inst_class is not None and source.inst_classes:
                continue
            if program in source.programs:
                return index
        return None
