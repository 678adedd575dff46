"""Which instruments make a class: the mapping from General MIDI programs to sources."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

#: GM programs (from 0) and Slakh `inst_class` names of the three classes of the paper.
DEFAULT_CLASSES = "bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano"

#: Most classes, and most characters of their list: more are a mistake, and would cost memory.
MOST_CLASSES, MOST_CHARACTERS = 129, 20_000


def _program(digits, name):
    """A General MIDI program, bounded before a range of them is made."""
    program = int(digits) if len(digits) < 10 else math.inf
    if program > 128:
        raise ValueError(
            f"Class {name!r} names program {digits[:20]}; General MIDI programs are 0 to 127 here, "
            "and 128 stands for drums."
        )
    return program


@dataclass(frozen=True)
class SourceClass:
    """One class of instruments.

    Args:
        name (str): Name, used in file names and tables (lower-case letters, digits, ``_``, ``-``).
        programs (frozenset of int): General MIDI programs, 0 to 127; 128 stands for drums.
        inst_classes (frozenset of str): Slakh `inst_class` names, compared without case.
    """

    name: str
    programs: frozenset = field(default_factory=frozenset)
    inst_classes: frozenset = field(default_factory=frozenset)

    @property
    def default_program(self):
        """The lowest General MIDI program of the class (0 if it names none)."""
        return min(self.programs, default=0)


class ClassMap:
    """An ordered list of classes; the order is the order of the sources everywhere.

    Args:
        classes (sequence of SourceClass): The classes.

    Raises:
        ValueError: on a bad or repeated name, a program outside 0-128, or one claimed twice.

    Examples
        >>> classes = ClassMap.parse("bass=32-39,Bass;keys=0-7,16-20,Piano,Organ")
        >>> classes.names, classes.index_of(program=17)
        (('bass', 'keys'), 1)
        >>> classes.index_of(program=40) is None
        True
    """

    def __init__(self, classes):
        self.classes = tuple(classes)
        if not self.classes:
            raise ValueError("At least one class is needed, for example 'bass=32-39'.")
        claimed = {}
        for source in self.classes:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", source.name):
                raise ValueError(
                    f"{source.name!r} is no class name: use lower-case letters, digits, _ and -."
                )
            if source.name in ("mixture", "residual", "mean"):
                raise ValueError(f"{source.name!r} is taken; give the class another name.")
            for key in [*source.programs, *(name.lower() for name in source.inst_classes)]:
                if isinstance(key, int) and not 0 <= key <= 128:
                    raise ValueError(
                        f"Class {source.name!r} names program {key}; General MIDI programs are "
                        "0 to 127 here, and 128 stands for drums."
                    )
                if key in claimed:
                    raise ValueError(
                        f"{key!r} belongs to both {claimed[key]!r} and {source.name!r}."
                    )
                claimed[key] = source.name
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"A class name stands twice in {list(self.names)}.")

    @property
    def names(self):
        """tuple of str: names of the classes, in order."""
        return tuple(source.name for source in self.classes)

    def __len__(self):
        return len(self.classes)

    @classmethod
    def parse(cls, text):
        """Reads ``name=item,item;name=…``; an item is a program, a range of them or an inst_class.

        Raises:
            ValueError: if the text is not of that form.
        """
        if len(text) > MOST_CHARACTERS:
            raise ValueError(
                f"The list of classes has {len(text)} characters, expected at most "
                f"{MOST_CHARACTERS}, for example 'bass=32-39;piano=0-7'."
            )
        classes = []
        for part in filter(None, (part.strip() for part in text.split(";"))):
            name, equals, items = part.partition("=")
            items = [item.strip() for item in items.split(",") if item.strip()]
            if not equals or not items:
                raise ValueError(
                    f"Cannot read the class {part!r}: expected 'name=programs', for example "
                    f"'bass=32-39,Bass'."
                )
            programs, inst_classes = set(), set()
            for item in items:
                span = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
                if span:
                    low, high = _program(span[1], name), _program(span[2] or span[1], name)
                    if high < low:
                        raise ValueError(f"The range {item!r} of class {name!r} is empty.")
                    programs.update(range(low, high + 1))
                else:
                    inst_classes.add(item)
            if len(classes) == MOST_CLASSES:
                raise ValueError(f"There are more than {MOST_CLASSES} classes.")
            classes.append(SourceClass(name.strip(), frozenset(programs), frozenset(inst_classes)))
        return cls(classes)

    def __str__(self):
        return ";".join(
            f"{c.name}=" + ",".join([*map(str, sorted(c.programs)), *sorted(c.inst_classes)])
            for c in self.classes
        )

    def index_of(self, program=None, inst_class=None):
        """Index of the class of an instrument, or None if no class wants it.

        A Slakh `inst_class` decides where the class names any; else the program does.
        """
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
