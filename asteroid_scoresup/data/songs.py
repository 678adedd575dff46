"""From the files of one song to audio and notes in memory, whatever layout they come from.

This is where bad data are met. Nothing is repaired by guessing: what cannot be trusted is left
out, and every omission is recorded with its reason in ``Song.facts["drops"]``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..checks.bends import resolve_bends
from ..checks.noise import DEFECTS, find_defect
from ..checks.song import unpitched_classes
from ..midi.reader import DRUMS, join_instruments, read_midi
from ..score import LOWEST_PITCH, N_PITCHES, Notes
from ..utils.files import read_audio, resample_audio
from ..utils.hashing import file_record, same_files
from .classes import ClassMap
from .pairs import Pair, find_pairs
from .slakh import (
    TrackFolder,
    find_slakh_tracks,
    parse_label_shift,
    read_slakh_track,
    shift_of_stem,
)
from .splits import OMITTED, Splits, share_out

#: Peak below which a stem counts as silent: one step of 16-bit audio.
SILENCE = 1.5 / 32768

MIXTURES = ("submix", "song")

BEYOND_END = "beyond the end of the audio"


@dataclass(frozen=True)
class Settings:
    """What decides how a song is prepared; two preparations with equal settings are the same.

    Args:
        classes (str): The classes, as :class:`~asteroid_scoresup.data.classes.ClassMap` writes
            them.
        sample_rate (int): Working rate, in Hz.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything).
        label_shift (str): See :func:`~asteroid_scoresup.data.slakh.parse_label_shift`.

    Raises:
        ValueError: on values that make no sense.
    """

    classes: str
    sample_rate: int = 16000
    mixture: str = "submix"
    label_shift: str = "auto"

    def __post_init__(self):
        if self.mixture not in MIXTURES:
            raise ValueError(f"mixture must be one of {list(MIXTURES)}, found {self.mixture!r}.")
        if int(self.sample_rate) != self.sample_rate or not 4000 <= self.sample_rate <= 192000:
            raise ValueError(
                f"sample_rate must be a whole number of Hz from 4000 to 192000, found "
                f"{self.sample_rate}."
            )
        parse_label_shift(self.label_shift, ClassMap.parse(self.classes).names)


class UnusableSongError(ValueError):
    """A whole song cannot be used.

    Args:
        reason (str): Why; the same words for all songs of this kind, so that they can be counted.
        detail (str): What else is known of this one.
    """

    def __init__(self, reason, detail=""):
        super().__init__(reason)
        self.detail = detail


@dataclass
class Song:
    r"""A song in memory.

    Args:
        mixture (array): float32, shape :math:`(time,)`.
        stems (dict): float32 arrays of the same shape by class name (and ``residual``), whose
            sum is the mixture; empty where there are no stems.
        notes (Notes): The score, cut at the end of the audio.
        facts (dict): What was found on the way: ``drops``, ``programs``, ``label_shift``, …
    """

    mixture: np.ndarray
    stems: dict
    notes: Notes
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A song that was found, unread.

    Args:
        id (str): Name, unique within the split.
        split (str): The split.
        files (TrackFolder or Pair): Where it is.
    """

    id: str
    split: str
    files: TrackFolder | Pair

    def paths(self):
        """Files of the song by name (path from the track's folder); hidden files do not count."""
        if isinstance(self.files, Pair):
            return {path.name: path for path in (self.files.audio, self.files.midi)}
        folder = self.files.path
        found = {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}
        return {
            name.as_posix(): path
            for name, path in sorted(found.items())
            if not any(part.startswith(".") for part in name.parts)
        }

    def fingerprint(self):
        """What identifies the song's files: a list of :func:`~.hashing.file_record`."""
        return [file_record(path, name) for name, path in self.paths().items()]

    def is_unchanged(self, fingerprint):
        """Whether the files are those of which :meth:`fingerprint` was taken."""
        return same_files(self.paths(), fingerprint)


def _drop(what, reason, where="", notes=0):
    return {"what": what, "reason": reason, "where": where, "notes": int(notes)}


def drop_of_error(source, error):
    """The record of a song that could not be read."""
    if isinstance(error, UnusableSongError):
        reason, detail = str(error), error.detail
    elif isinstance(error, (ValueError, OSError)):
        reason, detail = "unreadable", str(error)
    else:
        reason, detail = "unexpected error", f"{type(error).__name__}: {error}"
    where = source.id + (f" ({' '.join(detail.split())})" if detail else "")
    return _drop("track", reason, where)


def find_sources(
    root, splits=None, include_omitted=False, validation_share=0.1, test_share=0.0, seed=0
):
    """Finds the songs of a folder of any known layout and gives each its split.

    Args:
        root (str or Path): Slakh2100, a folder of the same form, or a folder of own songs.
        splits (dict, path or None): See :class:`~asteroid_scoresup.data.splits.Splits`.
        include_omitted (bool): Whether tracks of the split ``omitted`` are used.
        validation_share, test_share, seed: For songs that no folder and no file gives a split; see
            :func:`~asteroid_scoresup.data.splits.share_out`.

    Returns:
        tuple: name of the layout (``"slakh"`` or ``"pairs"``), list of :class:`Source`, and list
        of dicts that say what was left out and why.

    Raises:
        FileNotFoundError: if there is no such folder or no such file of splits.
        ValueError: if it holds no songs, or the splits name none of them.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder.")
    splits = Splits.load(splits)
    found, drops = find_slakh_tracks(root), []
    layout = "slakh" if found else "pairs"
    if layout == "pairs":
        found, unpaired = find_pairs(root)
        drops += [_drop("file", reason, where) for where, reason in unpaired]
    if not found:
        raise ValueError(
            f"{root} holds no songs: expected tracks of Slakh (TrackNNNNN/metadata.yaml, with or "
            "without folders of splits) or pairs of an audio file and a MIDI file of one name."
        )
    if splits is not None and not any(splits.names(item.id) for item in found):
        raise ValueError(f"{splits.where} names none of the {len(found)} songs in {root}.")

    placed = {item: splits.of(item.id, item.split) if splits else item.split for item in found}
    if splits is not None and not splits.partial:
        for item in [item for item in found if placed[item] is None]:
            drops.append(_drop("track", "not in the file of splits", item.id))
            del placed[item]
    # Where folders tell some splits, what lies outside of them is for training.
    if any(split for split in placed.values()):
        placed = {item: split or "train" for item, split in placed.items()}
    else:
        shares = share_out([item.id for item in placed], validation_share, test_share, seed)
        placed = {item: shares[item.id] for item in placed}

    sources, seen = [], set()
    for item, split in placed.items():
        if split == OMITTED and not include_omitted:
            drops.append(_drop("track", "in the split 'omitted'", item.id))
        elif (split, item.id) in seen:
            drops.append(_drop("track", "stands twice in one split", item.id))
        else:
            seen.add((split, item.id))
            sources.append(Source(item.id, split, item))
    if not sources:
        raise ValueError(f"{root}: all {len(drops)} tracks are left out: {drops[0]['reason']}.")
    return layout, sorted(sources, key=lambda s: (s.split, s.id)), drops


def read_song(source, settings, find_defects=True):
    """Reads a song.

    Args:
        source (Source): Where it is.
        settings (Settings): How it is to be read.
        find_defects (bool): Whether stems that are noise or a single tone are looked for, see
            :mod:`~asteroid_scoresup.checks.noise`.

    Returns:
        Song: The song.

    Raises:
        UnusableSongError: if nothing of it can be used.
        ValueError: on files that cannot be read.
    """
    if isinstance(source.files, Pair):
        song = _read_pair(source.files, settings)
    else:
        song = _read_slakh(source.files, settings, find_defects)
    names = ClassMap.parse(settings.classes).names
    possible = (song.notes.pitch >= 0) & (song.notes.pitch <= 127)
    if not possible.all():
        song.facts["drops"].append(_drop("notes", "no MIDI pitch", notes=(~possible).sum()))
        song.notes = song.notes.select(possible)
    song.notes = fit_notes(song.notes, len(song.mixture) / settings.sample_rate, song.facts)
    if not len(song.notes):
        reasons = sorted({f"{drop['reason']}" for drop in song.facts["drops"] if drop["notes"]})
        others = song.facts.get("other_programs")
        if others:
            reasons.append(f"programs of no class: {', '.join(map(str, others))}")
        raise UnusableSongError(f"no notes of {', '.join(names)} are left", "; ".join(reasons))
    if not np.abs(song.mixture).max(initial=0) > SILENCE:
        raise UnusableSongError("the mixture is silent")
    outside = (song.notes.pitch < LOWEST_PITCH) | (song.notes.pitch >= LOWEST_PITCH + N_PITCHES)
    if outside.any():
        song.facts["notes_outside_88_keys"] = int(outside.sum())
    return song


def fit_notes(notes, duration, facts=None):
    """Cuts a score at the end of the audio.

    Args:
        notes (Notes): The score.
        duration (float): Length of the audio, in seconds.
        facts (dict, optional): Receives what was dropped (``drops``) and ``notes_cut``.

    Returns:
        Notes: Notes that begin inside; those that end outside end with the audio.
    """
    inside = (notes.onset >= 0) & (notes.onset < duration) & (notes.offset > notes.onset)
    cut = inside & (notes.offset > duration)
    if facts is not None:
        if (~inside).any():
            drop = _drop("notes", BEYOND_END, notes=(~inside).sum())
            facts.setdefault("drops", []).append(drop)
        if cut.any():
            facts["notes_cut"] = int(cut.sum())
    return notes.select(inside).clipped(0.0, duration)


class _Adder:
    """Sums stems of any rate and length, resampling each sum only once per rate."""

    def __init__(self):
        self.sums = defaultdict(dict)

    def add(self, key, audio, rate):
        """Adds a signal to the sum called `key`."""
        total = self.sums[key].get(rate)
        if total is None:
            self.sums[key][rate] = audio.astype(np.float32)
            return
        if len(total) < len(audio):
            total = np.pad(total, (0, len(audio) - len(total)))
        total[: len(audio)] += audio
        self.sums[key][rate] = total

    def finish(self, keys, sample_rate):
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


def _read_stem_audio(stem):
    """Audio and rate of a stem; or None, None and what is wrong with it."""
    if stem.audio is None:
        return None, None, "MIDI without audio" if stem.midi else "neither audio nor MIDI"
    try:
        audio, rate = read_audio(stem.audio)
    except ValueError:
        return None, None, "audio unreadable"
    if np.abs(audio).max() <= SILENCE:
        return None, None, "silent stem"
    return audio, rate, None


def _drops_of_midi(reading, where=""):
    """Records of what was left out of a MIDI file."""
    drops = [_drop("notes", reason, where, count) for reason, count in reading.dropped.items()]
    return drops + [_drop("MIDI file", remark, where) for remark in reading.remarks]


def _read_stem_notes(stem, source, shift, drops):
    """Notes of a stem; None where there are none to be had, with the reason in `drops`."""
    if stem.midi is None:
        return None, "audio without MIDI"
    try:
        reading = read_midi(stem.midi, drums=stem.is_drum)
    except ValueError:
        return None, "MIDI unreadable"
    drops += _drops_of_midi(reading, stem.name)
    notes = join_instruments(reading.instruments, source)
    notes = notes.replace(pitch=notes.pitch + shift)
    return (notes, None) if len(notes) else (None, "MIDI without notes")


def _read_slakh(files, settings, find_defects):
    classes = ClassMap.parse(settings.classes)
    label_shift = parse_label_shift(settings.label_shift, classes.names)
    whole_song = settings.mixture == "song"
    unpitched = unpitched_classes(classes)
    try:
        track = read_slakh_track(files.path)
    except ValueError as error:
        detail = str(error).replace(f"{files.path}/", "").replace(f"{files.path} ", "")
        raise UnusableSongError("bad metadata", detail) from None
    drops, tables, adder = [], [], _Adder()
    programs, shifts, bends = defaultdict(list), defaultdict(set), defaultdict(list)
    stem_free = not any(stem.audio for stem in track.stems)
    if stem_free and not (whole_song and track.mix):
        raise UnusableSongError("no stems on disk")

    for stem in track.stems:
        if stem.program is None and stem.inst_class is None and stem.midi is not None:
            stem.program = _program_in(stem.midi)
            stem.is_drum = stem.program == DRUMS
        index = classes.index_of(program=stem.program, inst_class=stem.inst_class)
        if index is None:
            if whole_song:
                audio, rate, complaint = _read_stem_audio(stem)
                if audio is not None:
                    adder.add("residual", audio, rate)
                elif complaint == "audio unreadable":
                    drops.append(_drop("stem", complaint, stem.name))
            continue

        name = classes.names[index]
        audio, rate, complaint = _read_stem_audio(stem)
        shift = shift_of_stem(stem, name, track.generated, label_shift)
        notes, lack = _read_stem_notes(stem, index, shift, drops)
        count = 0 if notes is None else len(notes)
        if complaint and not stem_free:
            if count or complaint != "silent stem":
                drops.append(_drop("stem", complaint, stem.name, count))
            continue
        trouble = f"known problem: {stem.problem}" if stem.problem else lack
        defect = None
        if find_defects and not trouble and audio is not None and name not in unpitched:
            defect = find_defect(audio, rate, notes)
            trouble = f"found by the label check: {defect}" if defect else None
        if trouble:
            # In a submix the stem is left out. A whole song has it in the mixture: sound of a
            # class that the score does not know. Without stems nobody can say whether it sounds.
            no_instrument = (defect or stem.problem) in DEFECTS
            if whole_song and not no_instrument and not (stem_free and lack):
                raise UnusableSongError(
                    f"a class plays without labels: {trouble}", f"{name} {stem.name}"
                )
            drops.append(_drop("stem", trouble, stem.name, count))
            if whole_song and audio is not None:
                adder.add("residual", audio, rate)
            continue
        if not stem_free and not track.generated:
            notes, verdict = resolve_bends(notes, audio, rate)
            bends[name] += [verdict] if verdict else []
        tables.append(notes)
        programs[name].append(stem.program)
        shifts[name].add(shift)
        if audio is not None:
            adder.add(name, audio, rate)

    if stem_free:
        mixture, stems = read_audio(track.mix, settings.sample_rate)[0], {}
        if not track.generated:
            how = (mixture, settings.sample_rate, Notes.concatenate(tables))
            for place, notes in enumerate(tables):
                tables[place], verdict = resolve_bends(notes, *how)
                if verdict:
                    bends[classes.names[notes.class_index[0]]].append(verdict)
    else:
        keys = [*classes.names, "residual"] if whole_song else classes.names
        stems = adder.finish(keys, settings.sample_rate)
        # In float32 and in this order, so that the written stems add up to it exactly.
        mixture = np.zeros(len(next(iter(stems.values()))), dtype=np.float32)
        for reference in stems.values():
            mixture = mixture + reference
    facts = {
        "generated": track.generated,
        "programs": dict(programs),
        "label_shift": {name: sorted(values) for name, values in shifts.items()},
        "drops": drops,
    }
    if track.remarks:
        facts["remarks"] = track.remarks
    if bends:
        facts["bends"] = {name: verdicts for name, verdicts in bends.items() if verdicts}
    return Song(mixture, stems, Notes.concatenate(tables), facts)


def _program_in(path):
    try:
        instruments, *_ = read_midi(path, drums=True)
    except ValueError:
        return None
    counts = Counter({i.program: len(i.notes) for i in instruments})
    return counts.most_common(1)[0][0] if counts else None


def _read_pair(pair, settings):
    classes = ClassMap.parse(settings.classes)
    label_shift = parse_label_shift(settings.label_shift, classes.names)
    shifts = dict.fromkeys(classes.names, 0) if label_shift == "auto" else label_shift
    wants_drums = classes.index_of(program=DRUMS) is not None
    reading = read_midi(pair.midi, drums=wants_drums)
    drops, remarks = _drops_of_midi(reading), []
    mixture, _ = read_audio(pair.audio, settings.sample_rate, remarks)
    context = join_instruments(reading.instruments)
    tables, programs, others, bends = [], defaultdict(list), set(), {}
    for instrument in reading.instruments:
        index = classes.index_of(program=instrument.program)
        if index is None:
            others.add(instrument.program)
            continue
        name = classes.names[index]
        notes = join_instruments([instrument], index)
        # With the pitch of the file, which is also that of the context.
        notes, verdict = resolve_bends(notes, mixture, settings.sample_rate, context)
        if verdict:
            bends.setdefault(name, []).append(verdict)
        tables.append(notes.replace(pitch=notes.pitch + shifts[name]))
        programs[name].append(instrument.program)
    facts = {"generated": False, "programs": dict(programs), "drops": drops}
    if remarks:
        facts["remarks"] = remarks
    facts["label_shift"] = {name: [shifts[name]] for name in programs}
    if bends:
        facts["bends"] = bends
    if others:
        facts["other_programs"] = sorted(others)
    return Song(mixture.astype(np.float32), {}, Notes.concatenate(tables), facts)
