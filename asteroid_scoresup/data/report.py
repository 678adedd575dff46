"""The report of a preparation: counts, everything that was dropped and why, warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..checks.bends import describe_bends
from .drops import BEYOND_END, group_drops, group_remarks, located_drops
from .manifest import Manifest
from .pair_alignment import describe_alignments
from .settings import Settings
from .track import PreparedTrack

#: Number of warnings that are printed; ``report.json`` has all of them.
MAX_WARNINGS = 12


def make_report(
    input_dir: Path,
    layout: str,
    settings: Settings,
    manifest: Manifest,
    drops: Iterable[Mapping[str, Any]],
    aggregate: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The report of a preparation, ready for JSON.

    Args:
        input_dir (Path): The folder of songs.
        layout (str): Its layout.
        settings (Settings): How it was prepared.
        manifest (Manifest): The prepared tracks.
        drops (iterable of dict): What was dropped, besides the drops in the tracks' facts.
        aggregate (dict, optional): The label check over all tracks.
    """
    names = manifest.names
    by_split: dict[str, list[PreparedTrack]] = defaultdict(list)
    drops = [dict(drop) for drop in drops]
    for track in manifest.tracks:
        by_split[track.split].append(track)
        drops += located_drops(track.facts.get("drops", []), track.id)
    splits: dict[str, dict[str, Any]] = {
        split: {
            "tracks": len(tracks),
            "hours": round(sum(t.n_samples for t in tracks) / settings.sample_rate / 3600, 6),
            "notes": {name: sum(t.n_notes[name] for t in tracks) for name in names},
            "tracks_without": {name: sum(not t.n_notes[name] for t in tracks) for name in names},
            "tracks_with_stems": sum(bool(t.stems) for t in tracks),
        }
        for split, tracks in sorted(by_split.items())
    }
    warned = _warnings_of_short_audio(manifest.tracks)
    warned += aggregate["warnings"] if aggregate else []
    return {
        "input": str(input_dir),
        "output": str(manifest.root),
        "layout": layout,
        "settings": settings.to_dict(),
        "tracks": len(manifest.tracks),
        "hours": round(sum(split["hours"] for split in splits.values()), 6),
        "splits": splits,
        "dropped": group_drops(drops),
        "remarks": group_remarks(drops),
        "check": aggregate,
        "alignment": describe_alignments(track.facts for track in manifest.tracks),
        "bends": describe_bends(track.facts.get("bends", {}) for track in manifest.tracks),
        "warnings": warned,
    }


def _warnings_of_short_audio(tracks: Iterable[PreparedTrack]) -> list[str]:
    warned = []
    for track in tracks:
        drops = [d for d in track.facts.get("drops", []) if d["reason"] == BEYOND_END]
        beyond, kept = sum(drop["notes"] for drop in drops), sum(track.n_notes.values())
        if beyond > kept:
            warned.append(
                f"{track.split}/{track.id}: {beyond} of {beyond + kept} notes are {BEYOND_END}: "
                "is it complete?"
            )
    return warned


def summary(report: Mapping[str, Any]) -> str:
    """Formats a report as text.

    Args:
        report (dict): Of :func:`~asteroid_scoresup.data.prepare.prepare` or of
            :func:`~asteroid_scoresup.data.labels.check_folder`.
    """
    lines: list[str] = []
    if "settings" in report:
        lines += _describe_tracks(report)
    if report["dropped"]:
        lines += ["Dropped:", *(_describe_drop(group) for group in report["dropped"])]
    elif "settings" in report:
        lines.append("Nothing was dropped.")
    if report.get("remarks"):
        lines += ["Remarks:", *(_describe_drop(group) for group in report["remarks"])]
    warned = report.get("warnings", [])
    if report["check"]:
        lines.append("Label check against the audio:")
        lines += [f"  {line}" for line in report["check"]["lines"]]
        warned = warned or report["check"]["warnings"]
    if report.get("alignment"):
        lines.append(f"{report['alignment']}.")
    if report.get("bends"):
        lines.append(f"According to the audio, {report['bends']}.")
    lines += [f"Warning: {warning}" for warning in warned[:MAX_WARNINGS]]
    if len(warned) > MAX_WARNINGS:
        lines.append(f"… and {len(warned) - MAX_WARNINGS} more warnings.")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.0f} s"


def _describe_tracks(report: Mapping[str, Any]) -> Iterator[str]:
    settings = report["settings"]
    names = [part.partition("=")[0] for part in settings["classes"].split(";")]
    what = "sum of the classes" if settings["mixture"] == "submix" else "whole songs"
    size = f"{_count(report['tracks'], 'track')}, {_duration(report['hours'])}"
    places = f"from {report['input']} ({report['layout']}) to {report['output']}"
    yield f"{size}, {places}: {what}, {settings['sample_rate']} Hz."
    if report["kept_from_earlier_run"]:
        yield f"{report['kept_from_earlier_run']} of them were finished by an earlier run."
    width = max([len(split) for split in report["splits"]] + [5])
    for split, row in report["splits"].items():
        counts = ", ".join(f"{name} {row['notes'][name]}" for name in names)
        lacking = [f"{n} without {name}" for name, n in row["tracks_without"].items() if n]
        line = (
            f"  {split:<{width}} {_count(row['tracks'], 'track'):>12} {_duration(row['hours']):>9}"
        )
        yield f"{line}   notes: {counts}" + (f"   ({', '.join(lacking)})" if lacking else "")


def _describe_drop(group: Mapping[str, Any], examples: int = 3) -> str:
    shown = group["where"]
    if group["what"] == "notes":
        shown = sorted({where.partition("/")[0] for where in shown})
        text = f"{_count(group['notes'], 'note')} in {_count(len(shown), 'track')}"
    else:
        text = _count(group["count"], group["what"])
        text += f" ({_count(group['notes'], 'note')})" if group["notes"] else ""
    more = ", …" if len(shown) > examples else ""
    return f"  {text}: {group['reason']} [{', '.join(shown[:examples])}{more}]"
