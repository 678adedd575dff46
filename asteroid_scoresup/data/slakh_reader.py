"""Reading a track of Slakh: which stems make the classes, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.bends import resolve_bends
from ..checks.label_check import unpitched_classes
from ..checks.noise import DEFECTS, find_defect
from ..dsp.level import SILENCE
from ..midi.reader import DRUMS, join_instruments, read_midi
from ..score import Notes
from ..utils.files import read_audio, resample_audio
from .drops import UnusableSongError, drop_record, score_drops
from .settings import Settings
from .slakh import (
    SlakhTrack,
    Stem,
    TrackFolder,
    parse_label_shift,
    read_slakh_track,
    shift_of_stem,
)
from .song import Song

#: Audio and its sample rate, in Hz.
Signal = tuple[np.ndarray, float]


def read_slakh_song(files: TrackFolder, settings: Settings, find_defects: bool = True) -> Song:
    """Reads a track of Slakh or of a folder of the same form.

    Args:
        files (TrackFolder): The track.
        settings (Settings): How it is read.
        find_defects (bool): Whether to look for stems that are noise or a single tone.

    Raises:
        UnusableSongError: if the track cannot be used.
        ValueError: if the whole mix of a track without stems cannot be read.
    """
    try:
        track = read_slakh_track(files.path)
    except ValueError as error:
        detail = str(error).replace(f"{files.path}/", "").replace(f"{files.path} ", "")
        raise UnusableSongError("bad metadata", detail) from None
    return _SlakhReader(track, settings, find_defects).read()


class _SlakhReader:
    """Collects the stems of a track one by one; used once."""

    def __init__(self, track: SlakhTrack, settings: Settings, find_defects: bool) -> None:
        self.track, self.settings, self.find_defects = track, settings, find_defects
        self.classes = settings.classes
        self.label_shift = parse_label_shift(settings.label_shift, self.classes.names)
        self.whole_song = settings.mixture == "song"
        self.unpitched = unpitched_classes(self.classes)
        self.stem_free = not any(stem.audio for stem in track.stems)
        self.drops: list[dict[str, Any]] = []
        self.tables: list[Notes] = []
        self.sums = _StemSums()
        self.remarks: list[str] = list(track.remarks)
        self.programs: dict[str, list[int | None]] = defaultdict(list)
        self.shifts: dict[str, set[int]] = defaultdict(set)
        self.bends: dict[str, list[str]] = defaultdict(list)

    def read(self) -> Song:
        mix = self.track.mix if self.whole_song and self.stem_free else None
        if self.stem_free and mix is None:
            raise UnusableSongError("no stems on disk")
        for stem in self.track.stems:
            if stem.program is None and stem.inst_class is None and stem.midi is not None:
                stem.program = _program_in(stem.midi)
                stem.is_drum = stem.program == DRUMS
            index = self.classes.index_of(stem.program, stem.inst_class, stem.label)
            if index is not None:
                self._add_stem(stem, index)
            elif self.whole_song:
                self._add_residual(stem)
        mixture, stems = self._whole_mix(mix) if mix else self._sum_of_stems()
        return Song(mixture, stems, Notes.concatenate(self.tables), self._facts())

    def _add_residual(self, stem: Stem) -> None:
        """Adds a stem of no class to the residual of a whole song."""
        signal, complaint = self._read_stem_audio(stem)
        if signal is not None:
            self.sums.add("residual", *signal)
        elif complaint == "audio unreadable":
            self.drops.append(drop_record("stem", complaint, stem.name))

    def _add_stem(self, stem: Stem, index: int) -> None:
        """Adds a stem to its class, unless it cannot be trusted."""
        name = self.classes.names[index]
        shift = shift_of_stem(stem, name, self.track.generated, self.label_shift)
        signal, complaint = self._read_stem_audio(stem)
        notes, lack = _read_stem_notes(stem, index, shift, self.drops)
        if complaint and not self.stem_free:
            if len(notes) or complaint != "silent stem":
                self.drops.append(drop_record("stem", complaint, stem.name, len(notes)))
            return
        if self._drop_stem(stem, name, signal, notes, lack):
            return
        if signal is not None and not self.track.generated:
            notes, verdict = resolve_bends(notes, *signal)
            self.bends[name] += [verdict] if verdict else []
        self.tables.append(notes)
        self.programs[name].append(stem.program)
        self.shifts[name].add(shift)
        if signal is not None:
            self.sums.add(name, *signal)

    def _read_stem_audio(self, stem: Stem) -> tuple[Signal | None, str | None]:
        """Audio of a stem; or None and what is wrong with it."""
        if stem.audio is None:
            return None, "MIDI without audio" if stem.midi else "neither audio nor MIDI"
        remarks: list[str] = []
        try:
            audio, rate = read_audio(stem.audio, remarks=remarks)
        except ValueError:
            return None, "audio unreadable"
        self.remarks += [f"{stem.name}: {remark}" for remark in remarks]
        if np.abs(audio).max() <= SILENCE:
            return None, "silent stem"
        return (audio, rate), None

    def _drop_stem(
        self, stem: Stem, name: str, signal: Signal | None, notes: Notes, lack: str | None
    ) -> bool:
        """Drops a stem whose labels or sound cannot be trusted; whether it did."""
        if not self.track.has_score:
            return False
        trouble = f"known problem: {stem.problem}" if stem.problem else lack
        defect = None
        checked = self.find_defects and name not in self.unpitched
        if checked and not trouble and signal is not None:
            defect = find_defect(*signal, notes)
            trouble = f"found by the label check: {defect}" if defect else None
        if not trouble:
            return False
        # A submix is summed without the stem, but the mixture of a whole song contains it: a class
        # would sound where the score says nothing. Without stems it is unknown whether it sounds.
        no_instrument = (defect or stem.problem) in DEFECTS
        if self.whole_song and not no_instrument and not (self.stem_free and lack):
            raise UnusableSongError(
                f"a class plays without labels: {trouble}", f"{name} {stem.name}"
            )
        self.drops.append(drop_record("stem", trouble, stem.name, len(notes)))
        if self.whole_song and signal is not None:
            self.sums.add("residual", *signal)
        return True

    def _whole_mix(self, mix: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The mixture of a track without stems; bends are checked against it."""
        rate = self.settings.sample_rate
        mixture = read_audio(mix, rate, self.remarks)[0]
        if not self.track.generated:
            context = Notes.concatenate(self.tables)
            for place, notes in enumerate(self.tables):
                self.tables[place], verdict = resolve_bends(notes, mixture, rate, context)
                if verdict:
                    self.bends[self.classes.names[notes.class_index[0]]].append(verdict)
        return mixture, {}

    def _sum_of_stems(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        names = self.classes.names
        keys = [*names, "residual"] if self.whole_song else names
        stems = self.sums.finish(keys, self.settings.sample_rate)
        # In float32 and in this order, so that the written stems add up to it exactly.
        mixture = np.zeros(len(next(iter(stems.values()))), dtype=np.float32)
        for stem in stems.values():
            mixture = mixture + stem
        return mixture, stems

    def _facts(self) -> dict[str, Any]:
        facts = {
            "generated": self.track.generated,
            "programs": dict(self.programs),
            "label_shift": {name: sorted(values) for name, values in self.shifts.items()},
            "drops": self.drops,
        }
        if not self.track.has_score:
            facts["has_score"] = False
        if self.remarks:
            facts["remarks"] = self.remarks
        if self.bends:
            facts["bends"] = {name: found for name, found in self.bends.items() if found}
        return facts


class _StemSums:
    """Sums stems of any rate and length, resampling each sum only once per rate."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[float, np.ndarray]] = defaultdict(dict)

    def add(self, key: str, audio: np.ndarray, rate: float) -> None:
        """Adds a signal to the sum called `key`."""
        total = self.sums[key].get(rate)
        if total is None:
            self.sums[key][rate] = audio.astype(np.float32)
            return
        if len(total) < len(audio):
            total = np.pad(total, (0, len(audio) - len(total)))
        total[: len(audio)] += audio
        self.sums[key][rate] = total

    def finish(self, keys: Iterable[str], sample_rate: int) -> dict[str, np.ndarray]:
        """The sums as arrays of one rate and one length, zeros for keys without a signal."""
        parts = {
            key: [resample_audio(a, rate, sample_rate) for rate, a in self.sums[key].items()]
            for key in keys
        }
        length = max((len(part) for signals in parts.values() for part in signals), default=0)
        result = {}
        for key, signals in parts.items():
            result[key] = np.zeros(length, dtype=np.float32)
            for signal in signals:
                result[key][: len(signal)] += signal
        return result


def _read_stem_notes(
    stem: Stem, class_index: int, shift: int, drops: list[dict[str, Any]]
) -> tuple[Notes, str | None]:
    """Notes of a stem, and why there are none if it has none."""
    if stem.midi is None:
        return Notes.empty(), "audio without MIDI"
    try:
        midi = read_midi(stem.midi, drums=stem.is_drum)
    except ValueError:
        return Notes.empty(), "MIDI unreadable"
    drops += score_drops(midi.dropped, midi.remarks, stem.name)
    notes = join_instruments(midi.instruments, class_index)
    notes = notes.replace(pitch=notes.pitch + shift)
    return notes, None if len(notes) else "MIDI without notes"


def _program_in(path: Path) -> int | None:
    """The program with the most notes in a MIDI file, if there is one."""
    try:
        instruments, *_ = read_midi(path, drums=True)
    except ValueError:
        return None
    counts = Counter({i.program: len(i.notes) for i in instruments})
    return counts.most_common(1)[0][0] if counts else None
