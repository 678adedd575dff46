"""The mapping of instruments to classes."""

import numpy as np
import pytest

from asteroid_scoresup.data.classes import DEFAULT_CLASSES, ClassMap, SourceClass
from asteroid_scoresup.synthesis.slakh_writer import INST_CLASSES


def test_default_classes_are_those_of_the_paper():
    classes = ClassMap.parse(DEFAULT_CLASSES)
    assert classes.names == ("bass", "guitar", "piano") and len(classes) == 3
    assert [classes.index_of(program=p) for p in (33, 24, 31, 0, 7, 8, 128)] == [
        0, 1, 1, 2, 2, None, None,
    ]  # fmt: skip
    assert [source.default_program for source in classes.classes] == [32, 24, 0]


def test_text_and_back():
    text = "low=32-34,43,Bass;drums=128,Drums;all=Synth Pad"
    classes = ClassMap.parse(text)
    again = ClassMap.parse(str(classes))
    assert str(again) == str(classes) and again.classes == classes.classes


def test_the_inst_class_decides_where_a_class_names_any():
    classes = ClassMap.parse("piano=0-7,Piano;organ=16-20")
    assert classes.index_of(program=16, inst_class="PIANO") == 0
    assert classes.index_of(program=0, inst_class="Organ") is None
    assert classes.index_of(program=16, inst_class="Organ") == 1
    assert classes.index_of() is None


def test_patterns_of_track_names_come_first():
    classes = ClassMap.parse(PATTERNS)
    assert classes.names == ("bass", "first", "strings")
    found = [
        classes.index_of(program, track_name=name)
        for program, name in [
            (0, "E-BASS (DI)"),
            (0, "kontrabass"),
            (40, "Violin I"),
            (40, "Violin II"),
            (33, ""),
            (33, None),
            (0, "Lead"),
        ]
    ]
    assert found == [0, 0, 1, 2, 0, 0, None]
    # Before inst_class, which comes before the program.
    assert classes.index_of(33, "Strings", "Violin I") == 1
    assert classes.index_of(33, "Strings", "Viola") == 2


PATTERNS = "bass=32-39,@*bass*,@kontra*;first=@Violin I;strings=40-47,Strings"


def test_patterns_survive_the_text():
    classes = ClassMap.parse(PATTERNS)
    again = ClassMap.parse(str(classes))
    assert again.classes == classes.classes and again.wants_drums
    assert str(classes).startswith("bass=32,33,") and "@Violin I;" in str(classes)


@pytest.mark.parametrize("text", ["drums=drums", "drums=Drums", "kit=128,Drums"])
def test_drums_are_a_word(text):
    classes = ClassMap.parse(text)
    assert classes.classes[0].programs == {128} and classes.wants_drums
    assert classes.index_of(128) == classes.index_of(None, "Drums") == 0
    assert str(ClassMap.parse(str(classes))) == str(classes)
    assert not ClassMap.parse(DEFAULT_CLASSES).wants_drums


def test_families_are_those_of_general_midi_and_slakh():
    classes = ClassMap.parse("families")
    assert len(classes) == 17 and str(ClassMap.parse(str(classes))) == str(classes)
    assert [classes.index_of(program=p) for p in range(129)] == [*np.repeat(range(16), 8), 16]
    # Slakh's own names, with the programs that they go with, decide the same.
    by_name = [classes.index_of(8 * k, name) for k, name in enumerate(INST_CLASSES)]
    assert by_name == list(range(16)) and classes.index_of(128, "Drums") == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "At least one class"),
        ("bass", "Cannot read the class 'bass'"),
        ("bass=", "Cannot read the class 'bass='"),
        ("Bass=33", "'Bass' is not a class name"),
        ("../x=33", "not a class name"),
        ("mixture=33", "'mixture' is reserved"),
        ("residual=33", "'residual' is reserved"),
        ("bass=39-32", "range '39-32' of class 'bass' is empty"),
        ("bass=@", "'bass' has the item '@' without a pattern"),
        ("a=@x;b=@X", "'@x' belongs to both 'a' and 'b'"),
        ("bass=129", "names program 129"),
        ("a=1-5;b=5", "5 belongs to both 'a' and 'b'"),
        ("a=Bass;b=bass", "'bass' belongs to both"),
        ("a=1;a=2", "is duplicated"),
        ("bass=0-300000000", "names program 300000000"),
        ("bass=999999999999999999999", "names program 99999999999999999999"),
        ("bass=" + "0," * 20_000, "has 40005 characters"),
        (";".join(f"c{i}=Name{i}" for i in range(200)), "more than 129 classes"),
    ],
)
def test_bad_texts_say_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        ClassMap.parse(text)


def test_a_class_without_programs_has_a_default():
    assert SourceClass("pad", frozenset(), frozenset({"Synth Pad"})).default_program == 0
