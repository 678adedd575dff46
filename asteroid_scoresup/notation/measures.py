"""The measures of a MusicXML score as they are written: notes, tempo marks, repeats.

Times are exact fractions of quarter notes. All parts share their measures: a measure is as long as
in the longest part, and marks of one part count for all (programs write jumps into the first part
only).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ..midi.channels import DRUMS
from .instruments import DRUM_STAFF, SNARE, program_of_name
from .limits import Denominators, require_few_parts
from .playback import Marks

#: Most times that a passage is repeated, and the velocity that MusicXML's dynamics are relative to.
_MOST_TIMES, _FORTE = 64, 90
DEFAULT_VELOCITY = 80
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_BEATS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25}
_SLOWEST, _FASTEST = 5.0, 1000.0  # quarter notes per minute

BAD_NOTE = "notes without a valid pitch or duration were skipped"
BAD_TEMPO = "an invalid tempo was ignored"
QUARTER_TONES = "quarter tones were rounded to semitones"
UNKNOWN = "instruments of unknown names were read as pianos"
MANY_TIMES = f"a passage is repeated more than {_MOST_TIMES} times"


class WrittenNote(NamedTuple):
    """A note of a measure.

    Args:
        start (Fraction): In quarter notes from the beginning of the measure.
        length (Fraction): In quarter notes; 0 for grace notes.
        pitch (int): MIDI note number, as it sounds.
        program (int): General MIDI program; 128 for drums.
        velocity (int): MIDI velocity.
        is_tied (bool): Whether it continues a note before it.
    """

    start: Fraction
    length: Fraction
    pitch: int
    program: int
    velocity: int
    is_tied: bool


@dataclass
class Measure:
    """A measure of all parts.

    Args:
        length (Fraction): In quarter notes.
        marks (Marks): Repeats and jumps.
        tempos (dict): Quarter notes per minute, by time in the measure.
        notes (list of list of WrittenNote): By part.
        closes_ending (bool): Whether a bracket of an ending closes at its end.
    """

    length: Fraction = Fraction(0)
    marks: Marks = field(default_factory=Marks)
    tempos: dict[Fraction, float] = field(default_factory=dict)
    notes: list[list[WrittenNote]] = field(default_factory=list)
    closes_ending: bool = False


class WrittenScore(NamedTuple):
    """A score as it is written.

    Args:
        names (list of str): Names of the parts.
        measures (list of Measure): The measures.
        remarks (Counter): What was skipped or repaired, and how often.
    """

    names: list[str]
    measures: list[Measure]
    remarks: Counter[str]


def read_measures(root: Element) -> WrittenScore:
    """Reads the parts of a score.

    Args:
        root (Element): The element ``score-partwise``.

    Returns:
        WrittenScore: Parts in their order.
    """
    descriptions = {part.get("id"): part for part in root.iter("score-part")}
    remarks: Counter[str] = Counter()
    measures: list[Measure] = []
    names = []
    parts = root.findall("part")
    require_few_parts(len(parts), max((len(part.findall("measure")) for part in parts), default=0))
    denominators = Denominators()
    for number, element in enumerate(parts):
        description = descriptions.get(element.get("id"), Element("score-part"))
        part = _Part(description, remarks, denominators)
        names.append(part.name)
        for index, content in enumerate(element.findall("measure")):
            if index == len(measures):
                measures.append(Measure(notes=[[] for _ in range(number)]))
            measures[index].notes.append([])
            part.read(content, measures[index])
        for measure in measures[len(element.findall("measure")) :]:
            measure.notes.append([])
    _spread_endings(measures)
    return WrittenScore(names, measures, remarks)


def _spread_endings(measures: Iterable[Measure]) -> None:
    """Endings are marked at their first and last measures only; all between belong to them."""
    current: frozenset[int] = frozenset()
    for measure in measures:
        current = measure.marks.endings or current
        measure.marks.endings = current
        if measure.closes_ending:
            current = frozenset()


class _Part:
    """Reads one part, measure by measure."""

    def __init__(
        self, description: Element, remarks: Counter[str], denominators: Denominators
    ) -> None:
        self._denominators = denominators
        self.name = " ".join((description.findtext("part-name") or "").split())
        self.remarks = remarks
        self._read_instruments(description)
        self.divisions = Fraction(1)
        self.transpositions: dict[str | None, int] = {}
        self.velocity = DEFAULT_VELOCITY

    def _read_instruments(self, description: Element) -> None:
        """Program, and key of unpitched notes, by instrument of the part."""
        self.programs: dict[str | None, int] = {}
        self.keys: dict[str | None, int] = {}
        listed = description.findall("score-instrument")
        midi = {e.get("id"): e for e in description.findall("midi-instrument")}
        guessed = program_of_name(self.name)
        names = {e.get("id"): e.findtext("instrument-name") for e in listed}
        # Files written by hand may give the program of an instrument that they do not list.
        for identity, name in (names or dict.fromkeys(midi)).items():
            entry = midi.get(identity, Element("midi-instrument"))
            program, key = _number(entry, "midi-program"), _number(entry, "midi-unpitched")
            if _number(entry, "midi-channel") == 10:
                program = DRUMS + 1
            if program is not None and 1 <= program <= DRUMS + 1:
                self.programs[identity] = int(program) - 1
            else:
                named = program_of_name(name or "")
                self.programs[identity] = self._or_piano(guessed if named is None else named)
            if key is not None and 1 <= key <= 128:
                self.keys[identity] = int(key) - 1
        self.programs[None] = next(iter(self.programs.values()), -1)
        if self.programs[None] < 0:
            self.programs[None] = self._or_piano(guessed)
        if len(self.keys) == 1:
            self.keys[None] = next(iter(self.keys.values()))

    def _or_piano(self, program: int | None) -> int:
        if program is None:
            self.remarks[UNKNOWN] += 1
        return program or 0

    def read(self, content: Element, measure: Measure) -> None:
        """Reads the part's content of a measure, and adds it to the measure."""
        time = latest = onset = Fraction(0)
        for element in content:
            if element.tag == "note":
                is_chord = element.find("chord") is not None
                length = Fraction(0)
                if element.find("grace") is None:
                    length = self._duration(element)
                if not is_chord:
                    onset = time
                    time += length
                self._read_note(element, onset, length, measure)
            elif element.tag == "backup":
                time = max(time - self._duration(element), Fraction(0))
            elif element.tag == "forward":
                time += self._duration(element)
            elif element.tag == "attributes":
                self._read_attributes(element)
            elif element.tag == "barline":
                _read_barline(element, measure)
            elif element.tag in ("direction", "sound"):
                self._read_direction(element, time, measure)
            latest = max(latest, time)
        measure.length = max(measure.length, latest)

    def _duration(self, element: Element) -> Fraction:
        """Duration of an element in quarter notes; 0 if it has no valid one."""
        value = _number(element, "duration")
        if value is None or not 0 <= value < 1e6:
            self.remarks[BAD_NOTE] += element.tag == "note"
            return Fraction(0)
        duration = Fraction(value) / self.divisions
        self._denominators.add(duration)
        return duration

    def _read_attributes(self, element: Element) -> None:
        divisions = _number(element, "divisions")
        if divisions is not None and 0 < divisions < 1e6:
            self.divisions = Fraction(divisions)
        for entry in element.findall("transpose"):
            semitones = _number(entry, "chromatic") or 0
            octaves = _number(entry, "octave-change") or 0
            # Without a number it applies to all staves.
            if entry.get("number") is None:
                self.transpositions.clear()
            if abs(semitones) < 128 and abs(octaves) < 11:
                self.transpositions[entry.get("number")] = round(semitones) + 12 * int(octaves)

    def _read_direction(self, element: Element, time: Fraction, measure: Measure) -> None:
        sounds = [element] if element.tag == "sound" else element.findall("sound")
        tempo = None
        for sound in sounds:
            tempo = _decimal(sound.get("tempo")) or tempo
            louder = _decimal(sound.get("dynamics"))
            if louder is not None:
                self.velocity = _velocity(louder)
            marks = measure.marks
            for name in ("segno", "coda", "dalsegno", "tocoda"):
                setattr(marks, name, getattr(marks, name) or bool(sound.get(name)))
            marks.dacapo |= sound.get("dacapo") == "yes"
            # A note's length stands for `yes` where the end is in the middle of a chord.
            marks.fine |= sound.get("fine", "no") != "no"
        metronome = element.find("direction-type/metronome")
        if tempo is None and metronome is not None:
            beat = _BEATS.get(metronome.findtext("beat-unit") or "")
            speed = re.search(r"\d+([.,]\d+)?", metronome.findtext("per-minute") or "")
            if beat and speed:
                dotted = 1.5 if metronome.find("beat-unit-dot") is not None else 1.0
                tempo = beat * dotted * float(speed[0].replace(",", "."))
        if tempo is not None:
            if _SLOWEST <= tempo <= _FASTEST:
                measure.tempos.setdefault(time, tempo)
            else:
                self.remarks[BAD_TEMPO] += 1

    def _read_note(
        self, element: Element, onset: Fraction, length: Fraction, measure: Measure
    ) -> None:
        """Adds a note to the measure, unless it is a rest or a cue."""
        if element.find("rest") is not None or element.find("cue") is not None:
            return
        reference = element.find("instrument")
        identity = None if reference is None else reference.get("id")
        identity = identity if identity in self.programs else None
        program = self.programs[identity]
        unpitched = element.find("unpitched")
        if unpitched is not None:
            program, pitch = DRUMS, self.keys.get(identity)
            if pitch is None:
                step = unpitched.findtext("display-step") or ""
                octave = _number(unpitched, "display-octave")
                pitch = DRUM_STAFF.get((step, int(octave or 0)), SNARE)
        else:
            pitch = self._pitch(element)
            if program == DRUMS and pitch is not None:
                pitch = self.keys.get(identity, pitch)
        is_grace = element.find("grace") is not None
        if pitch is None or not 0 <= pitch <= 127 or not (length or is_grace):
            self.remarks[BAD_NOTE] += bool(length or is_grace)
            return
        own = _decimal(element.get("dynamics"))
        velocity = self.velocity if own is None else _velocity(own)
        is_tied = any(tie.get("type") == "stop" for tie in element.findall("tie"))
        note = WrittenNote(onset, length, pitch, program, velocity, is_tied)
        measure.notes[-1].append(note)

    def _pitch(self, element: Element) -> int | None:
        """The sounding pitch of a note; None if it has no valid one."""
        pitch = element.find("pitch")
        if pitch is None:
            return None
        step = _SEMITONES.get((pitch.findtext("step") or "").strip())
        octave, alter = _number(pitch, "octave"), _number(pitch, "alter") or 0
        if step is None or octave is None or not 0 <= octave <= 9 or abs(alter) > 4:
            return None
        self.remarks[QUARTER_TONES] += alter != int(alter)
        staff = (element.findtext("staff") or "1").strip()
        shift = self.transpositions.get(staff, self.transpositions.get(None, 0))
        return 12 * (int(octave) + 1) + step + round(alter) + shift


def _read_barline(element: Element, measure: Measure) -> None:
    """Repeats, endings and signs at a bar line."""
    marks = measure.marks
    for repeat in element.findall("repeat"):
        if repeat.get("direction") == "forward":
            marks.repeat_start = True
        else:
            times = int(_decimal(repeat.get("times")) or 2)
            if times > _MOST_TIMES:
                raise ValueError(MANY_TIMES)
            marks.repeat_times = max(times, 2, marks.repeat_times)
    for ending in element.findall("ending"):
        if ending.get("type") == "start":
            numbers = [int(n) for n in re.findall(r"\d{1,6}", ending.get("number") or "")]
            if max(numbers, default=1) > _MOST_TIMES:
                raise ValueError(MANY_TIMES)
            marks.endings = frozenset(numbers) or frozenset({1})
        else:
            measure.closes_ending = True
    marks.segno |= element.get("segno") is not None or element.find("segno") is not None
    marks.coda |= element.get("coda") is not None or element.find("coda") is not None


def _velocity(percent: float) -> int:
    return min(max(round(_FORTE * percent / 100), 1), 127)


def _decimal(text: str | None) -> float | None:
    """A finite number in an attribute; None if there is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def _number(element: Element, tag: str) -> float | None:
    """A finite number in a child element; None if there is none."""
    return _decimal(element.findtext(tag))
