"""Scores the models of one row of the tables on several test sets: means only, in tidy form."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from local import harmonic, settings
from tqdm import tqdm

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.engine import read_separator
from asteroid_scoresup.evaluation import (
    ExternalSeparator,
    parse_external,
    summarize,
    tidy,
    to_results,
    without_partial_means,
)
from asteroid_scoresup.evaluation.decoding import Decoding
from asteroid_scoresup.evaluation.evaluate import (
    TestTrack,
    fit_decoding,
    score_separation,
    score_transcription,
    tracks_to_score,
)
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.utils.files import atomic_path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--row", required=True, help="name of the row")
parser.add_argument("--separator", default="", help="its separator")
parser.add_argument("--transcriptor", default="", help="its transcriptor")
parser.add_argument("--oracles", action="store_true", help="also the mixture and the oracles")
parser.add_argument(
    "--factorize",
    action="store_true",
    help="also the separator with the factorization that starts from the transcription",
)
parser.add_argument(
    "--external", default="", help="separators that are commands, NAME=COMMAND, one a line"
)
parser.add_argument(
    "--external_stems",
    default="",
    help="NAME:class=file,file;… for files of other names, one a line",
)
parser.add_argument("--external_timeout", type=float, default=3600, help="seconds per song")
parser.add_argument(
    "--tests", required=True, help="comma-separated test sets, each NAME=PREPARED_FOLDER:SPLIT"
)


class Factorized(torch.nn.Module):
    """A separator as `asteroid-scoresup separate --factorize` uses it."""

    def __init__(self, model: TCNSeparator, transcriptor: ScoreTranscriptor, manifest: Manifest):
        super().__init__()
        self.model, self.names = model, manifest.names
        programs = {c.name: c.default_program for c in manifest.classes.classes}
        device = next(model.parameters()).device
        self.separator = Separator(
            model, transcriptor, programs=programs, device=device, factorize=True
        )

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        rate = round(self.model.sample_rate)
        stems = self.separator.separate(wav.cpu().numpy(), rate)
        return torch.stack([torch.from_numpy(stems[name]) for name in self.names])


def score(
    args: argparse.Namespace,
    name: str,
    manifest: Manifest,
    split: str,
    separators: dict[str, torch.nn.Module],
    transcriptor: tuple[ScoreTranscriptor, Decoding] | None,
    until: float,
    external: Sequence[ExternalSeparator] = (),
) -> list[dict[str, Any]]:
    """One record per class and track of a test set, or of as many tracks as there is time for."""
    oracle: dict[str, Any] = {}
    if args.oracles:
        oracle["stft"] = STFT(args.n_fft, args.hop_length, manifest.sample_rate)
        oracle["templates"] = harmonic.templates(args, manifest)
        oracle["informed_masks"] = harmonic.score_informed_masks(args, manifest)
        oracle["sounding"] = harmonic.sounding(args)
    tracks = tracks_to_score(manifest, split)
    merged: dict[tuple, dict[str, Any]] = {}
    for number, track in enumerate(tqdm(tracks, desc=name, disable=args.quiet)):
        if args.eval_minutes and number and time.monotonic() > until:
            print(f"scored {number} of the {len(tracks)} songs in {name}: the time is over")
            break
        song = TestTrack(manifest, track)
        given = {
            other.name: other(song.mixture.numpy(), int(song.sample_rate), song.names)
            for other in external
        }
        made = score_separation(song, separators, **oracle, given=given)[0]
        if transcriptor is not None:
            made += score_transcription(song, args.row, *transcriptor[:1], None, transcriptor[1])
        for record in made:
            key = record["row"], record["track"], record["instrument"]
            merged.setdefault(key, {"seed": args.seed, "test_set": name}).update(record)
    return list(merged.values())


@torch.no_grad()
def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    started = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    separators, transcriptor, names = {}, None, list[str]()
    external = parse_external(
        args.external.splitlines(), args.external_stems.splitlines(), args.external_timeout
    )
    if args.separator:
        separators[args.row] = read_separator(args.separator).to(device)
    if args.transcriptor:
        model = ScoreTranscriptor.from_pretrained(args.transcriptor).to(device)
        transcriptor = model, fit_decoding(Manifest.load(args.data_dir), model)
    if args.factorize and (transcriptor is None or not separators):
        settings.bad_option("--factorize needs --separator and --transcriptor.")
    records = []
    tests = args.tests.split(",")
    for place, test in enumerate(tests):
        until = started + 60 * args.eval_minutes * (place + 1) / len(tests)
        name, _, place = test.partition("=")
        folder, _, split = place.rpartition(":")
        if not (name and folder and split):
            raise SystemExit(f"--tests {test!r} is not of the form NAME=PREPARED_FOLDER:SPLIT.")
        manifest = Manifest.load(folder)
        for model in separators.values():
            settings.require_same(model, args, manifest)
        names = list(manifest.names)
        rows: dict[str, torch.nn.Module] = dict(separators)
        if args.factorize:
            model = separators[args.row]
            rows[f"{args.row}, factorized"] = Factorized(model, transcriptor[0], manifest)
        records += score(args, name, manifest, split, rows, transcriptor, until, external)
    results = to_results(without_partial_means(summarize(tidy(records)), names))
    with atomic_path(Path(args.exp_dir) / "scores.csv") as temporary:
        results.to_csv(temporary, index=False)


if __name__ == "__main__":
    settings.run(main, parser)
