"""Stage 5: evaluates the models of the other stages on whole test tracks."""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from asteroid.models import save_publishable
from local import harmonic, settings
from local.examples import page_numbers, write_example
from local.options import OURS
from tqdm import tqdm

from asteroid_scoresup import __version__
from asteroid_scoresup.data import Manifest, ScoreDataset
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.evaluation import (
    INPUT_MIXTURE,
    SCORE_ORACLE,
    all_metrics,
    detail_table,
    flat_metrics,
    summarize,
    tables,
    tidy,
    write_tables,
)
from asteroid_scoresup.evaluation.decoding import Decoding
from asteroid_scoresup.evaluation.evaluate import (
    INFORMED_ORACLE,
    RATIO_ORACLE,
    SOFT_ORACLE,
    TestTrack,
    fit_decoding,
    score_separation,
    score_transcription,
    tracks_to_score,
)
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator, model_hash, pack
from asteroid_scoresup.models.card import model_card, read_card, with_facts
from asteroid_scoresup.models.folder import write_folder
from asteroid_scoresup.report import (
    plot_box,
    plot_training_curves,
    read_training_log,
)
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import atomic_path, read_json, write_json
from asteroid_scoresup.utils.partial_files import sweep

#: Written last: a hash of what the results next to it were computed from.
DONE = "evaluation.json"
RESULTS = (
    "final_metrics.json", "all_metrics.csv", "tables.md", "details.md", "best_model.pth",
    "examples", "publish_dir/model.pth", "publish_dir/config.json",
)  # fmt: skip
SLAKH_LICENSE: dict[str, Any] = {
    "title": "Slakh2100",
    "title_link": "http://www.slakh.com",
    "author": "Ethan Manilow, Gordon Wichern, Prem Seetharaman, Jonathan Le Roux",
    "author_link": "http://www.slakh.com",
    "license": "CC BY 4.0",
    "license_link": "https://creativecommons.org/licenses/by/4.0/",
    "non_commercial": False,
}

PROVENANCE = """Data: {dataset}.

Trained by the recipe `egs/slakh` of asteroid-scoresup {version}, with the settings

{settings}"""

Separators = dict[str, TCNSeparator]
Transcriptors = dict[str, ScoreTranscriptor]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--row", default="isolated", help="name of the separator's row")
parser.add_argument("--separator", required=True, help="best_model.pth of step 2")
parser.add_argument("--transcriptor", default="", help="best_model.pth of step 1")
parser.add_argument("--finetuned", default="", help="folder of step 3, if it ran")
parser.add_argument("--finetune_row", default="fine-tune", help="name of its row")
parser.add_argument("--test_splits", default="", help="comma-separated; default: all test splits")


def load(args: argparse.Namespace, manifest: Manifest) -> tuple[Separators, Transcriptors]:
    """The separators and transcriptors of the run, by row."""
    if args.model not in OURS:
        raise SystemExit(f"Stage 5 plots masks, and {args.model} has none: use run_baselines.sh.")
    separators = {args.row: TCNSeparator.from_pretrained(args.separator)}
    transcriptors = {}
    if args.transcriptor:
        transcriptors["pre-train"] = ScoreTranscriptor.from_pretrained(args.transcriptor)
    if args.finetuned:
        folder = Path(args.finetuned)
        row = args.finetune_row
        separators[row] = TCNSeparator.from_pretrained(folder / "best_model.pth")
        transcriptors[row] = ScoreTranscriptor.from_pretrained(folder / "best_transcriptor.pth")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for model in (*separators.values(), *transcriptors.values()):
        settings.require_same(model, args, manifest)
        model.to(device)
    return separators, transcriptors


def splits_to_score(manifest: Manifest, requested: str) -> list[str]:
    """The requested splits, or all whose name begins with ``test``, or any others."""
    found = manifest.splits()
    if requested:
        wanted = requested.split(",")
        if set(wanted) - set(found):
            raise SystemExit(
                f"{manifest.root} has the splits {found}, but --test_splits is {wanted}."
            )
        return wanted
    wanted = [name for name in found if name.startswith("test")]
    if not wanted:
        wanted = ["validation"] if "validation" in found else found
        print(f"Warning: there is no test split; the scores are of {wanted} instead.")
    return wanted


def score(
    args: argparse.Namespace,
    manifest: Manifest,
    separators: Separators,
    transcriptors: Transcriptors,
    decodings: dict[str, Decoding],
    exp_dir: Path,
    started: float,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Scores every track of the chosen splits, or those for which there is time.

    Returns the records and the tracks without stems.
    """
    final_row, final = list(separators.items())[-1]
    device, stft = final.stft.window.device, copy.deepcopy(final.stft).cpu()
    templates = harmonic.templates(args, manifest)
    sounding, informed_masks = (
        harmonic.sounding(args),
        harmonic.score_informed_masks(args, manifest),
    )

    @torch.no_grad()
    def masks_of(mixture: torch.Tensor) -> torch.Tensor:
        wav, _ = final.normalize(mixture.unsqueeze(0).to(device))
        return final.masks(final.stft.magnitude(final.stft(wav)))[0].cpu()

    best = final_row if final_row in transcriptors else next(iter(transcriptors), "")

    @torch.no_grad()
    def notes_of(song: TestTrack) -> Notes:
        probs = transcriptors[best].note_probs(song.mixture.to(device)).cpu().numpy()
        return decodings[best].notes(probs, stft.hop_length, stft.sample_rate)

    records: list[dict[str, Any]] = []
    without_stems: list[str] = []
    splits = splits_to_score(manifest, args.test_splits)
    for place, split in enumerate(splits):
        tracks = tracks_to_score(manifest, split)
        until = started + 60 * args.eval_minutes * (place + 1) / len(splits)
        for number, track in enumerate(tqdm(tracks, desc=split, disable=args.quiet)):
            if args.eval_minutes and number and time.monotonic() > until:
                print(f"  scored {number} of the {len(tracks)} songs in {split}: the time is over")
                break
            song = TestTrack(manifest, track)
            made: list[dict[str, Any]] = []
            estimates: dict[str, torch.Tensor] = {}
            if song.stems:
                made, estimates = score_separation(
                    song, separators, stft, templates, informed_masks, sounding
                )
            else:
                without_stems.append(f"{split}/{track.id}")
            for row, transcriptor in transcriptors.items():
                # Each transcriptor receives the estimates of the separator it was trained with.
                separated = estimates.get(row, estimates.get(args.row))
                made += score_transcription(song, row, transcriptor, separated, decodings[row])
            # A row has one record per class, with the scores of its separator and its transcriptor.
            merged: dict[tuple, dict[str, Any]] = {}
            for record in made:
                merged.setdefault((record["row"], record["instrument"]), {}).update(record)
            identity = {"seed": args.seed, "test_set": split}
            records += [{**record, **identity} for record in merged.values()]
            if number < args.n_examples and song.stems:
                folder = exp_dir / "examples" / split / track.id
                notes = notes_of(song) if transcriptors else None
                numbers = page_numbers(merged.values(), final_row)
                write_example(folder, song, estimates[final_row], masks_of, stft, notes, numbers)
    return records, without_stems


def report(
    exp_dir: Path, records: list[dict[str, Any]], order: list[str], names: list[str]
) -> pd.DataFrame:
    """Writes tables, metrics per track and plots; returns the summary."""
    frame = tidy(records)
    summary = summarize(frame)
    with atomic_path(exp_dir / "all_metrics.csv") as temporary:
        all_metrics(frame).to_csv(temporary, index=False)
    print(write_tables(exp_dir, tables(summary, order, names)))
    separated = frame[frame.metric == "si_sdr"]
    scored = list(dict.fromkeys(separated.test_set))
    if scored:
        details = [detail_table(summary, split, order, names) for split in scored]
        write_tables(exp_dir, details, "details")
    for split in scored:
        figure = plot_box(frame, order=order, test_set=split)
        figure.savefig(exp_dir / f"si_sdr_{split}.png")
    folders = sorted(path.parent for path in exp_dir.glob("*/logs"))
    logs = {folder.name: read_training_log(folder) for folder in folders}
    logs = {name: log for name, log in logs.items() if log is not None}
    if logs:
        plot_training_curves(logs).savefig(exp_dir / "training_curves.png")
    return summary


def dataset_infos(manifest: Manifest) -> dict[str, Any]:
    """Facts about the data for a published model, as Asteroid's upload requires them."""
    splits = manifest.splits()
    tracks = [manifest.in_split(split) for split in splits]
    real = any(t.stems and t.facts.get("generated") is False for some in tracks for t in some)
    infos = {
        "dataset": f"{ScoreDataset.dataset_name} ({sum(map(len, tracks))} tracks in {splits})",
        "task": "sep_score",
        "licenses": [SLAKH_LICENSE] if real else [],
    }
    return infos


def publish(
    exp_dir: Path,
    conf: settings.Conf,
    package: dict[str, Any],
    flat: dict[str, Any],
    infos: dict[str, Any],
) -> None:
    """Writes the model file of the run and the folder to share, with separator and transcriptor.

    The folder has the file that Asteroid's upload expects, and the form of the Hugging Face Hub.
    """
    with atomic_path(exp_dir / "conf.yml") as temporary:
        temporary.write_text(yaml.safe_dump(conf, sort_keys=False))
    save_model(package, exp_dir / "best_model.pth", final_metrics=flat)
    folder = exp_dir / "publish_dir"
    folder.mkdir(exist_ok=True)
    (folder / "recipe_name.txt").write_text("asteroid_scoresup/slakh\n")
    published = save_publishable(folder, {**package, **infos}, metrics=flat, train_conf=conf)
    # The configuration of the training names local folders.
    facts = {k: v for k, v in published["infos"].items() if k != "training_config"}
    shown = {key: conf[key] for key in ("stft", "network", "loss")}
    published = with_facts(
        {**published, "infos": facts},
        provenance=PROVENANCE.format(
            dataset=infos["dataset"],
            version=__version__,
            settings=textwrap.indent(yaml.safe_dump(shown, sort_keys=False), "    "),
        ),
        license=read_card(folder)[0].get("license"),  # added by hand to an earlier card
    )
    write_folder(published, folder, model_card(published, exp_dir.resolve().name))


def what_is_scored(conf: settings.Conf, args: argparse.Namespace, manifest: Manifest) -> str:
    """Hash of all that the results depend on; the places of files do not count."""
    files = {"separator": args.separator, "transcriptor": args.transcriptor}
    if args.finetuned:
        for name in ("best_model.pth", "best_transcriptor.pth"):
            files[name] = Path(args.finetuned) / name
    main_args = {k: v for k, v in conf["main_args"].items() if k not in ("exp_dir", "finetuned")}
    models = {name: model_hash(path) for name, path in files.items() if path}
    free = {key: value for key, value in conf["data"].items() if key != "data_dir"}
    facts = {**conf, "data": free, "main_args": {**main_args, **models}}
    facts = {**facts, "fingerprint": manifest.fingerprint(), "version": __version__}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def is_scored(exp_dir: Path, scored: str) -> bool:
    """Whether the same was scored before and its results exist."""
    try:
        before = read_json(exp_dir / DONE)
    except (OSError, ValueError):
        return False
    made = isinstance(before, dict) and before.get("scored") == scored
    return made and all((exp_dir / name).exists() for name in before.get("files", ()))


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    started = time.monotonic()
    exp_dir = Path(args.exp_dir)
    manifest = Manifest.load(args.data_dir)
    scored = what_is_scored(conf, args, manifest)
    if is_scored(exp_dir, scored):
        print(f"  done before: {exp_dir / 'tables.md'} (delete {exp_dir / DONE} to score again)")
        return
    sweep(exp_dir, locked=False)
    (exp_dir / DONE).unlink(missing_ok=True)
    separators, transcriptors = load(args, manifest)
    final_row, final = list(separators.items())[-1]
    decodings = {row: fit_decoding(manifest, model) for row, model in transcriptors.items()}
    records, without_stems = score(
        args, manifest, separators, transcriptors, decodings, exp_dir, started
    )
    flat: dict[str, Any] = {}
    if records:
        order = [INPUT_MIXTURE, SCORE_ORACLE, SOFT_ORACLE, INFORMED_ORACLE]
        order += [args.row, "pre-train", args.finetune_row, RATIO_ORACLE]
        summary = report(exp_dir, records, order, manifest.names)
        first = summary[summary.test_set == summary.test_set.iloc[0]]
        row = final_row if final_row in set(first.row) else first.row.iloc[-1]
        flat = flat_metrics(first, row)
    write_json(exp_dir / "final_metrics.json", flat)
    best = final_row if final_row in transcriptors else next(iter(transcriptors), None)
    programs = {source.name: source.default_program for source in manifest.classes.classes}
    package = pack(final.cpu(), programs=programs)
    if best is not None:
        decoding = decodings[best].plain()
        package = pack(final, transcriptors[best].cpu(), decoding, programs)
    publish(exp_dir, conf, package, flat, dataset_infos(manifest))
    if without_stems:
        print(
            f"{len(without_stems)} tracks have no stems, so only their transcription was scored: "
            f"{', '.join(without_stems[:5])}{' …' if len(without_stems) > 5 else ''}"
        )
    made = [name for name in RESULTS if (exp_dir / name).exists()]
    write_json(exp_dir / DONE, {"scored": scored, "files": made})


if __name__ == "__main__":
    settings.run(main, parser)
