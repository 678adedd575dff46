"""Consequences of the label check: warnings, a summary over all tracks, corrections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from ..score import Notes
from .pitch import TUNING_TOLERANCE
from .time import OFFSET_TOLERANCE

#: Fraction of silent notes above which a warning is given.
MAX_SILENT = 0.1


class Correction(TypedDict):
    """A correction of labels: seconds by which all notes are moved, and semitones by class."""

    offset_seconds: float
    transpose: dict[str, int]


def name_interval(semitones: int) -> str:
    """Names an interval, whichever its direction.

    Examples
        >>> name_interval(-12), name_interval(1), name_interval(-3)
        ('an octave', 'a semitone', '3 semitones')
    """
    size = abs(int(semitones))
    words = {1: "a semitone", 12: "an octave", 24: "two octaves"}
    return words.get(size, f"{size} semitones")


def _where(semitones: int) -> str:
    return f"{name_interval(semitones)} {'below' if semitones < 0 else 'above'}"


def _tracks(count: int) -> str:
    return f"{count} track" + ("" if count == 1 else "s")


def describe(findings: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Warnings about a track.

    Args:
        findings (dict): Of a track, from :func:`~asteroid_scoresup.checks.label_check.check_song`.
        names (sequence of str): Names of the classes.

    Returns:
        list of str
    """
    moved: dict[int, list[str]] = {}
    for name in names:
        if findings[name]["semitones"]:
            moved.setdefault(findings[name]["semitones"], []).append(name)
    warned = []
    for semitones, group in moved.items():
        several = len(group) > 1
        text = f"{', '.join(group[:-1])} and {group[-1]}" if several else group[0]
        verb, owner = ("sound", "their") if several else ("sounds", "its")
        warned.append(f"{text} {verb} {_where(semitones)} {owner} labels")
    for name in names:
        found = findings[name]
        if found.get("defect"):
            warned.append(
                f"the stem of {name} is not an instrument ({found['defect']}): prepare the songs "
                "again, or leave this one out"
            )
        if (found["silent_notes"] or 0) > MAX_SILENT:
            warned.append(
                f"{found['silent_notes']:.0%} of the notes of {name} are not in the audio"
            )
    warned += _describe_tuning(findings, names)
    offset = findings["offset_seconds"]
    if offset is not None and abs(offset) > OFFSET_TOLERANCE:
        when = "later" if offset > 0 else "earlier"
        warned.append(f"the audio is {abs(offset) * 1000:.0f} ms {when} than the notes")
    if offset is None and findings.get("notes_checked", 0) >= 50:
        warned.append("the notes do not match the audio at any constant offset up to 1 s")
    return warned


def _describe_tuning(findings: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    cents = findings.get("tuning_cents")
    warned = []
    if cents is not None and abs(cents) > TUNING_TOLERANCE:
        warned.append(
            f"the audio is tuned {abs(cents):.0f} cents {'below' if cents < 0 else 'above'} its "
            f"notes (A4 = {440 * 2 ** (cents / 1200):.1f} Hz), and harmonic masks tolerate about 10"
        )
    for name in names:
        own = findings[name].get("tuning_cents")
        if own is not None and abs(own - (cents or 0.0)) > TUNING_TOLERANCE:
            side = "below" if own < (cents or 0.0) else "above"
            warned.append(f"{name} is tuned {abs(own - cents):.0f} cents {side} the other parts")
    return warned


def summarize_checks(
    findings: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Summarizes the findings of all tracks.

    Args:
        findings (dict): Results of :func:`~asteroid_scoresup.checks.label_check.check_song`, by
            name of the track.
        names (sequence of str): Names of the classes.

    Returns:
        dict: ``pitch`` (by class: how many tracks sound ``as_labeled``, ``moved`` by which
        interval in semitones, or ``unclear``, and the ``consensus``: the answer of two thirds of
        the tracks that are not unclear, if these are at least half of all), ``offset`` (how many
        tracks are ``aligned``, ``off`` and ``unclear``, and the median in seconds), ``tuning`` (the
        same, in cents), ``silent_notes`` (mean fraction by class), ``lines`` (text), ``warnings``.
    """
    pitch: dict[str, dict[str, Any]] = {}
    silent: dict[str, float | None] = {}
    lines, warned = [], []
    for name in names:
        asked = [f[name] for f in findings.values() if f[name]["silent_notes"] is not None]
        fractions = [f["silent_notes"] for f in asked]
        silent[name] = round(float(np.mean(fractions)), 4) if fractions else None
        energy = "no notes" if silent[name] is None else f"{silent[name]:.1%}"
        pitched = [f for f in asked if f.get("pitched", True)]
        pitch[name] = _agree([f["semitones"] for f in pitched])
        consensus, moved = pitch[name]["consensus"], pitch[name]["moved"]
        if asked and not pitched:
            lines.append(f"{name}: no pitch; notes without energy: {energy}")
            continue
        intervals = "".join(
            f"{_where(int(semitones))} in {count}, " for semitones, count in moved.items()
        )
        lines.append(
            f"{name}: as labeled in {_tracks(pitch[name]['as_labeled'])}, {intervals}unclear in "
            f"{pitch[name]['unclear']}; notes without energy: {energy}"
        )
        if consensus:
            warned.append(
                f"{name} sounds {_where(consensus)} its labels in {moved[str(consensus)]} of "
                f"{_tracks(len(pitched))}: prepare with --correct, or with --label_shift "
                f"{name}={consensus:+d} added to the shift in use."
            )
    offsets = [f["offset_seconds"] for f in findings.values()]
    offset = _count_off(offsets, OFFSET_TOLERANCE, 4)
    median = offset.pop("median")
    lines.append(
        f"time: {_tracks(offset['aligned'])} within {OFFSET_TOLERANCE * 1000:.0f} ms, "
        f"{offset['off']} off, {offset['unclear']} unclear"
        + ("" if median is None else f"; median {median * 1000:+.0f} ms")
    )
    tuning = _count_off([f.get("tuning_cents") for f in findings.values()], TUNING_TOLERANCE, 1)
    cents = tuning.pop("median")
    lines.append(
        f"tuning: {_tracks(tuning['aligned'])} within {TUNING_TOLERANCE:.0f} cents, "
        f"{tuning['off']} off, {tuning['unclear']} unclear"
        + ("" if cents is None else f"; median {cents:+.0f} cents")
    )
    if tuning["off"]:
        warned.append(_advise_on_tuning([f.get("tuning_cents") for f in findings.values()]))
    for track, found in sorted(findings.items()):
        warned += [f"{track}: {warning}" for warning in found["warnings"]]
    return {
        "pitch": pitch,
        "offset": {**offset, "median_seconds": median},
        "tuning": {**tuning, "median_cents": cents},
        "silent_notes": silent,
        "lines": lines,
        "warnings": warned,
    }


def _advise_on_tuning(cents: Iterable[float | None]) -> str:
    """What to do about audio that is out of tune: one width of the masks that suits all tracks."""
    furthest = max(abs(value) for value in cents if value is not None)
    width = max(2 ** (furthest / 1200) - 1, 0.006) + 0.004
    return (
        f"audio is up to {furthest:.0f} cents out of tune with its notes: retune it, or train with "
        f'wider masks (--train_opts "--relative_width {width:.3f}").'
    )


def _agree(answers: Sequence[int | None]) -> dict[str, Any]:
    """Counts the answers of the tracks (semitones or None) and finds their consensus."""
    counts = Counter(answers)
    certain = len(answers) - counts[None]
    consensus = None
    for semitones, count in counts.items():
        if semitones is not None and count * 3 >= certain * 2 and certain * 2 >= len(answers):
            consensus = semitones
    return {
        "as_labeled": counts[0],
        "moved": {str(key): counts[key] for key in sorted(filter(None, counts))},
        "unclear": counts[None],
        "consensus": consensus,
    }


def _count_off(values: Iterable[float | None], tolerance: float, digits: int) -> dict[str, Any]:
    values = list(values)
    known = [value for value in values if value is not None]
    off = sum(abs(value) > tolerance for value in known)
    return {
        "aligned": len(known) - off,
        "off": off,
        "unclear": len(values) - len(known),
        "median": round(float(np.median(known)), digits) if known else None,
    }


def correction_of(findings: Mapping[str, Any], aggregate: Mapping[str, Any]) -> Correction | None:
    """Decides what to correct in a track: constant errors only, and only where they are certain.

    The offset is that of the track. So is an interval shared by all classes with a certain answer,
    if these are at least two: a recording in another key. Otherwise a class is transposed only by
    the consensus of the data set, and not in tracks with a different certain answer.

    Args:
        findings (dict): Of the track, from
            :func:`~asteroid_scoresup.checks.label_check.check_song`.
        aggregate (dict): Of the data set, from :func:`summarize_checks`.

    Returns:
        dict or None: ``offset_seconds`` and ``transpose`` (semitones by class); None if there is
        nothing to correct.
    """
    offset = findings["offset_seconds"]
    offset = offset if offset is not None and abs(offset) > OFFSET_TOLERANCE else 0.0
    playing = {
        name: findings[name]["semitones"]
        for name in aggregate["pitch"]
        if findings[name]["silent_notes"] is not None and findings[name].get("pitched", True)
    }
    certain = [semitones for semitones in playing.values() if semitones is not None]
    key = certain[0] if len(certain) > 1 and len(set(certain)) == 1 else None
    transpose = {}
    for name, semitones in playing.items():
        wanted = key or aggregate["pitch"][name]["consensus"]
        if wanted and semitones in (wanted, None):
            transpose[name] = wanted
    return {"offset_seconds": offset, "transpose": transpose} if offset or transpose else None


def correct_notes(notes: Notes, correction: Correction, names: Sequence[str]) -> Notes:
    """Applies a correction.

    Args:
        notes (Notes): The notes of a track.
        correction (dict): From :func:`correction_of`.
        names (sequence of str): Names of the classes.

    Returns:
        Notes: Those that remain within the audio and within MIDI's 128 pitches.

    Examples
        >>> from asteroid_scoresup.score import Notes
        >>> correction = {"offset_seconds": 0.25, "transpose": {"bass": -12}}
        >>> fixed = correct_notes(Notes([0.5], [1.0], [40], [0], [90]), correction, ["bass"])
        >>> fixed.onset.tolist(), fixed.pitch.tolist()
        ([0.75], [28])
    """
    shift = correction["offset_seconds"]
    moved = notes.shifted(shift)
    # A note that would begin before the audio is cut at its beginning.
    moved = moved.select(moved.offset > 0).clipped(0.0, np.inf)
    moved = moved.transposed([correction["transpose"].get(name, 0) for name in names])
    return moved.select((moved.pitch >= 0) & (moved.pitch <= 127))


def findings_after(
    findings: Mapping[str, Any], correction: Correction | None, names: Sequence[str]
) -> Mapping[str, Any]:
    """Findings of a track after its notes have been corrected.

    Args:
        findings (dict): Of the notes as they were read.
        correction (dict or None): From :func:`correction_of`.
        names (sequence of str): Names of the classes.

    Returns:
        dict: The same findings without what was corrected.
    """
    if correction is None:
        return findings
    after = {**findings, **{name: dict(findings[name]) for name in names}}
    for name, semitones in correction["transpose"].items():
        if after[name]["semitones"] is not None:
            after[name]["semitones"] -= semitones
    if after["offset_seconds"] is not None:
        rest = after["offset_seconds"] - correction["offset_seconds"]
        after["offset_seconds"] = round(rest, 4)
    after["warnings"] = describe(after, names)
    return after
