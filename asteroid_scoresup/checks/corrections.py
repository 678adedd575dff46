"""What the findings of the label check mean: warnings, a summary over all tracks, corrections."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .pitch import TUNING_TOLERANCE
from .time import OFFSET_TOLERANCE

#: Share of silent notes that is worth a warning.
SILENT_SHARE = 0.1


def name_interval(semitones):
    """An interval in words.

    Examples
        >>> name_interval(-12), name_interval(1), name_interval(-3)
        ('an octave', 'a semitone', '3 semitones')
    """
    size = abs(int(semitones))
    words = {1: "a semitone", 12: "an octave", 24: "two octaves"}
    return words.get(size, f"{size} semitones")


def _where(semitones):
    return f"{name_interval(semitones)} {'below' if semitones < 0 else 'above'}"


def _tracks(count):
    return f"{count} track" + ("" if count == 1 else "s")


def describe(findings, names):
    """The warnings that findings give rise to.

    Args:
        findings (dict): Of a track, from :func:`~asteroid_scoresup.checks.song.check_song`.
        names (sequence of str): Names of the classes.

    Returns:
        list of str
    """
    moved = {}
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
                f"the reference of {name} is no instrument ({found['defect']}): prepare the songs "
                "again, or leave this one out"
            )
        if (found["silent_notes"] or 0) > SILENT_SHARE:
            warned.append(
                f"{found['silent_notes']:.0%} of the notes of {name} are not in the audio"
            )
    warned += _describe_tuning(findings, names)
    offset = findings["offset_seconds"]
    if offset is not None and abs(offset) > OFFSET_TOLERANCE:
        when = "later" if offset > 0 else "earlier"
        warned.append(f"the audio is {abs(offset) * 1000:.0f} ms {when} than the notes")
    if offset is None and findings.get("notes_checked", 0) >= 50:
        warned.append("the notes do not follow the audio by any constant offset up to 1 s")
    return warned


def _describe_tuning(findings, names):
    cents = findings.get("tuning_cents")
    warned = []
    if cents is not None and abs(cents) > TUNING_TOLERANCE:
        warned.append(
            f"the audio is tuned {abs(cents):.0f} cents {'below' if cents < 0 else 'above'} its "
            f"notes (A4 = {440 * 2 ** (cents / 1200):.1f} Hz), and harmonic masks allow for about "
            f"10: retune it, or train with wider masks (--relative_width "
            f"{max(2 ** (abs(cents) / 1200) - 1, 0.006) + 0.004:.3f})"
        )
    for name in names:
        own = findings[name].get("tuning_cents")
        if own is not None and abs(own - (cents or 0.0)) > TUNING_TOLERANCE:
            side = "below" if own < (cents or 0.0) else "above"
            warned.append(f"{name} is tuned {abs(own - cents):.0f} cents {side} the other parts")
    return warned


def summarize_checks(findings, names):
    """Puts the findings of all tracks together.

    Args:
        findings (dict): What :func:`~asteroid_scoresup.checks.song.check_song` returned, by name of
            the track.
        names (sequence of str): Names of the classes.

    Returns:
        dict: ``pitch`` (by class: how many tracks sound ``as_labeled``, ``moved`` by which
        interval, or ``unclear``, and the ``consensus``: what two thirds of the sure ones say, if
        they are at least half of all), ``offset`` (how many tracks are sure, off and unclear,
        median in seconds), ``tuning`` (the same, in cents), ``silent_notes`` (mean share by
        class), ``lines`` (text), ``warnings``.
    """
    pitch, silent, lines, warned = {}, {}, [], []
    for name in names:
        asked = [f[name] for f in findings.values() if f[name]["silent_notes"] is not None]
        shares = [f["silent_notes"] for f in asked]
        silent[name] = round(float(np.mean(shares)), 4) if shares else None
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


def _agree(answers):
    """Counts the answers of the tracks (semitones or None) and finds what they agree on."""
    counts = Counter(answers)
    sure = len(answers) - counts[None]
    consensus = None
    for semitones, count in counts.items():
        if semitones is not None and count * 3 >= sure * 2 and sure * 2 >= len(answers):
            consensus = semitones
    return {
        "as_labeled": counts[0],
        "moved": {str(key): counts[key] for key in sorted(filter(None, counts))},
        "unclear": counts[None],
        "consensus": consensus,
    }


def _count_off(values, tolerance, digits):
    known = [value for value in values if value is not None]
    off = sum(abs(value) > tolerance for value in known)
    return {
        "aligned": len(known) - off,
        "off": off,
        "unclear": len(values) - len(known),
        "median": round(float(np.median(known)), digits) if known else None,
    }


def correction_of(findings, aggregate):
    """What is to be corrected in a track: constant errors only, and only where the check is sure.

    The offset is the track's own. So is an interval by which at least two classes and all of
    which the check is sure are moved alike: a recording in another key. Else a class is transposed
    only by what the data set agrees on, and not in tracks that are sure of something else.

    Args:
        findings (dict): Of the track, from :func:`~asteroid_scoresup.checks.song.check_song`.
        aggregate (dict): Of the data set, from :func:`summarize_checks`.

    Returns:
        dict or None: ``offset_seconds`` and ``transpose`` (semitones by class), None if nothing is
        to be done.
    """
    offset = findings["offset_seconds"]
    offset = offset if offset is not None and abs(offset) > OFFSET_TOLERANCE else 0.0
    playing = {
        name: findings[name]["semitones"]
        for name in aggregate["pitch"]
        if findings[name]["silent_notes"] is not None and findings[name].get("pitched", True)
    }
    sure = [semitones for semitones in playing.values() if semitones is not None]
    key = sure[0] if len(sure) > 1 and len(set(sure)) == 1 else None
    transpose = {}
    for name, semitones in playing.items():
        wanted = key or aggregate["pitch"][name]["consensus"]
        if wanted and semitones in (wanted, None):
            transpose[name] = wanted
    return {"offset_seconds": offset, "transpose": transpose} if offset or transpose else None


def correct_notes(notes, correction, names):
    """Applies what :func:`correction_of` says.

    Examples
        >>> from asteroid_scoresup.score import Notes
        >>> correction = {"offset_seconds": 0.25, "transpose": {"bass": -12}}
        >>> fixed = correct_notes(Notes([0.5], [1.0], [40], [0], [90]), correction, ["bass"])
        >>> fixed.onset.tolist(), fixed.pitch.tolist()
        ([0.75], [28])
    """
    shift = correction["offset_seconds"]
    moved = notes.shifted(shift)
    # A note that would begin before the audio begins with it.
    moved = moved.select(moved.offset > 0).clipped(0.0, np.inf)
    moved = moved.transposed([correction["transpose"].get(name, 0) for name in names])
    return moved.select((moved.pitch >= 0) & (moved.pitch <= 127))


def findings_after(findings, correction, names):
    """What the findings of a track become when its notes have been corrected.

    Args:
        findings (dict): Of the notes as they were read.
        correction (dict or None): From :func:`correction_of`.
        names (sequence of str): Names of the classes.

    Returns:
        dict: The same findings for the corrected notes; nothing that was corrected is left in them.
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
