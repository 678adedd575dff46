"""Scores separators on prepared songs, with stems or without, side by side.

    python egs/real/evaluate.py prepared/urmp --out results/urmp

Rows: the input mixture, the ideal ratio mask (where there are stems), score-informed separation
(where there is a score), networks, score-informed masks refined by a network (``--refiner``), and
any other separator (``--external``). With stems, SI-SDR is measured; with a score, the scores that
need no stems, see docs/real_recordings.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import (
    INPUT_MIXTURE,
    RATIO_ORACLE,
    TestTrack,
    TranscriptorReader,
    all_metrics,
    parse_external,
    ratio_masks,
    reference_free_scores,
    reference_free_table,
    score_separation,
    separation_table,
    summarize,
    tidy,
    to_results,
    tracks_to_score,
    without_partial_means,
    write_tables,
)
from asteroid_scoresup.evaluation.summary import REFERENCE_FREE
from asteroid_scoresup.inference import ScoreInformedSeparator, Separator
from asteroid_scoresup.inference.mask_correction import Refiner, load_refiner
from asteroid_scoresup.inference.score_informed import stft_for
from asteroid_scoresup.utils.files import atomic_path

Stems = Mapping[str, np.ndarray]
#: From a song to its estimates by class; None where the row does not apply to the song.
Way = Callable[[TestTrack], "Stems | None"]
INFORMED, REFINED = "score-informed", "score-informed, refined"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("prepared", help="prepared folder")
parser.add_argument("--split", default="test", help="its split (default: %(default)s)")
parser.add_argument("--out", required=True, help="folder for the tables")
parser.add_argument(
    "--model",
    action="append",
    default=[],
    metavar="NAME=FILE",
    help="a network, may be repeated (default: the bundled model, as `network`)",
)
parser.add_argument("--refiner", help="network that refines score-informed masks")
parser.add_argument(
    "--external",
    action="append",
    default=[],
    metavar="NAME=COMMAND",
    help="a command that separates {input} into the folder {output}, may be repeated",
)
parser.add_argument(
    "--external_stems",
    action="append",
    default=[],
    metavar="NAME:CLASS=FILE,FILE;…",
    help="names of the files of an external separator that are not those of the classes",
)
parser.add_argument(
    "--external_timeout", type=float, default=3600, help="seconds per song (default: %(default)s)"
)
parser.add_argument(
    "--reader",
    default="bundled",
    help="model file whose transcriptor reads the stems, `bundled`, or `none` (default: bundled)",
)
parser.add_argument("--songs", type=int, help="only so many songs")
parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def chosen_ways(args: argparse.Namespace, manifest: Manifest) -> dict[str, Way]:
    """What is scored, by the name of the row."""
    rate, names = int(manifest.sample_rate), manifest.names
    others = parse_external(args.external, args.external_stems, args.external_timeout)
    ways: dict[str, Way] = {
        INPUT_MIXTURE: lambda song: dict.fromkeys(names, song.mixture.numpy()),
        RATIO_ORACLE: lambda song: ideal_ratio_mask(song, rate),
        INFORMED: informed_by_score(manifest, None),
    }
    for text in args.model or ["network="]:
        name, equals, path = text.partition("=")
        if not (name and equals):
            raise ValueError(f"--model {text!r} is not of the form NAME=FILE.")
        ways[name] = predicted_by(Separator.from_pretrained(path or None), names, rate)
    if args.refiner:
        ways[REFINED] = informed_by_score(manifest, load_refiner(args.refiner, names))
    for other in others:
        ways[other.name] = lambda song, other=other: other(song.mixture.numpy(), rate, names)
    return ways


def ideal_ratio_mask(song: TestTrack, sample_rate: int) -> Stems | None:
    """The mixture times the ratio masks of its stems."""
    if not song.stems:
        return None
    stft = stft_for(sample_rate)
    spectrum = stft(song.mixture.unsqueeze(0))
    waves = stft.separated(spectrum, ratio_masks(song, stft), len(song.mixture))[0]
    return dict(zip(song.names, waves.numpy()))


def informed_by_score(manifest: Manifest, refiner: Refiner | None) -> Way:
    """Separation with the prepared score, which is on the clock of the song."""

    def way(song: TestTrack) -> Stems | None:
        if not len(song.notes):
            return None
        separator = ScoreInformedSeparator(song.notes, manifest.classes, "never", refiner)
        return separator.separate(song.mixture.numpy(), int(manifest.sample_rate))

    return way


def predicted_by(separator: Separator, names: tuple[str, ...], sample_rate: int) -> Way:
    """Separation by a network, of the classes that it knows."""
    if not set(separator.names) & set(names):
        raise ValueError(
            f"the model separates {', '.join(separator.names)}, none of the classes of the data: "
            f"{', '.join(names)}. Choose another --model, or prepare the data with its --classes."
        )

    def way(song: TestTrack) -> Stems:
        found = separator.separate(song.mixture.numpy(), sample_rate)
        return {name: found[name] for name in names if name in found}

    return way


def score_song(
    song: TestTrack,
    ways: Mapping[str, Way],
    reader: TranscriptorReader | None,
    failed: list[str],
) -> list[dict]:
    """One record per row and class; rows that cannot separate the song are added to `failed`."""
    records = []
    for row, way in ways.items():
        try:
            estimates = way(song)
        except ValueError as error:
            failed.append(f"{row}, {song.track.id}: {error}")
            print(f"left out: {failed[-1]}", file=sys.stderr)
            continue
        if estimates is None:
            continue
        merged: dict[str, dict] = {name: {"instrument": name} for name in estimates}
        if song.stems:
            for record in score_separation(song, {}, given={row: estimates})[0]:
                merged[record["instrument"]].update(record)
        if len(song.notes):
            found = reference_free_scores(
                estimates,
                song.mixture.numpy(),
                song.notes,
                song.names,
                song.sample_rate,
                reader,
                song.track.uncertain,
            )
            for record in found:
                merged[record["instrument"]].update(record)
        records += [{**r, "row": row, "track": song.track.id} for r in merged.values()]
    return records


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    manifest = Manifest.load(args.prepared)
    tracks = tracks_to_score(manifest, args.split)[: args.songs]
    ways = chosen_ways(args, manifest)
    reader = None
    if args.reader != "none":
        path = None if args.reader == "bundled" else args.reader
        transcriptor = Separator.from_pretrained(path).transcriptor
        if transcriptor is None:
            raise ValueError(f"--reader {args.reader} contains no transcriptor.")
        reader = TranscriptorReader(transcriptor)
    records: list[dict] = []
    failed: list[str] = []
    name = Path(args.prepared).resolve().name
    for track in tqdm(tracks, desc=name, disable=args.quiet):
        records += score_song(TestTrack(manifest, track), ways, reader, failed)
    if not any(key in record for record in records for key in ("si_sdr", *REFERENCE_FREE)):
        raise ValueError(
            f"{args.prepared} has neither stems nor scores in the split {args.split!r}: there is "
            "nothing to compare the estimates with."
        )
    frame = tidy([{**record, "test_set": name} for record in records])
    summary = without_partial_means(summarize(frame), manifest.names)
    out = Path(args.out)
    for file, content in (("all_metrics", all_metrics(frame)), ("results", to_results(summary))):
        with atomic_path(out / f"{file}.csv") as temporary:
            content.to_csv(temporary, index=False)
    written, measured = [], set(summary.metric)
    order, names = list(ways), list(manifest.names)
    if "si_sdr" in measured:
        written.append(separation_table(summary, name, order, names, always=(INPUT_MIXTURE,)))
    if measured & set(REFERENCE_FREE):
        written.append(reference_free_table(summary, name, order, names))
    print(write_tables(out, written))
    if failed:
        raise ValueError(f"{len(failed)} separations failed; the first: {failed[0]}")


if __name__ == "__main__":
    try:
        main(parser.parse_args())
    except (OSError, ValueError) as error:
        raise SystemExit(f"evaluate.py: {error}") from None
