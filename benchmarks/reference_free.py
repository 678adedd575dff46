"""How scores without true stems follow SI-SDR, on songs whose stems are known.

    python benchmarks/reference_free.py --tests test=PREPARED:test,freedoom=PREPARED:test \\
        --out scores.csv
    python benchmarks/reference_free.py --out scores.csv --tables    # the tables of an earlier run

Each song is separated in many ways: well, badly, and on purpose wrongly. For every stem, its SI-SDR
and the scores of ``reference_free_scores`` are measured; the tables show the rank correlation
(Spearman) of each score with SI-SDR over the ways, within a song and class, and over songs. Readers
are the transcriptor of the bundled model and, with ``--basic_pitch``, Basic Pitch (``pip install
basic-pitch``; its ONNX model is used), which took part in none of the separations.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from transcription import BasicPitch

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack, tracks_to_score
from asteroid_scoresup.evaluation.reference_free import (
    Reader,
    TranscriptorReader,
    reference_free_scores,
    resting,
)
from asteroid_scoresup.inference import ScoreInformedSeparator, Separator
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import atomic_path
from asteroid_scoresup.utils.markdown import markdown_table

Stems = dict[str, np.ndarray]
#: The scores that are compared, and whether a higher value is better.
SCORES = {
    "note_f1": True,
    "note_precision": True,
    "note_recall": True,
    "note_leakage": False,
    "rest_db": False,
}
#: Ways of separating that a user would compare; the others are made to be wrong in one respect.
HONEST = (
    "input mixture", "network", "score-informed", "binary score masks", "ideal ratio mask",
    "stems + others at -10 dB", "stems + others at -20 dB",
)  # fmt: skip


class BasicPitchReader:
    """Basic Pitch in the form of a reader."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self.system = BasicPitch(folder, sample_rate)

    def __call__(self, signal: np.ndarray, sample_rate: float, level: float) -> Notes:
        """The notes of a signal."""
        if not np.abs(signal).max():
            return Notes.empty()
        return self.system(torch.from_numpy(np.asarray(signal, np.float32)), level)[1]


def sines(notes: Notes, n_samples: int, sample_rate: int) -> np.ndarray:
    """The score played by sine tones: every note is right, and no sample is of the song."""
    out = np.zeros(n_samples)
    for on, off, pitch in zip(notes.onset, notes.offset, notes.pitch):
        first, last = round(on * sample_rate), min(round(off * sample_rate), n_samples)
        time = np.arange(max(last - first, 0)) / sample_rate
        tone = sum(
            np.sin(2 * np.pi * k * 440 * 2 ** ((pitch - 69) / 12) * time) / k
            for k in (1, 2, 3)
            if k * 440 * 2 ** ((pitch - 69) / 12) < sample_rate / 2
        )
        out[first:last] += tone * np.minimum(time / 0.005, 1) * np.exp(-time) * 0.05
    return out


def ways(
    song: TestTrack, network: Separator, classes: str, seed: int
) -> Iterator[tuple[str, Stems]]:
    """Estimates of a song by the name of the way in which they were made."""
    rng = np.random.default_rng(seed)
    rate, names = int(song.sample_rate), list(song.names)
    mixture = song.mixture.numpy()
    stems = {name: stem.numpy() for name, stem in song.stems.items()}
    n = len(mixture)
    yield "input mixture", dict.fromkeys(names, mixture)
    predicted = network.separate(mixture, rate)
    yield "network", predicted
    yield "network, quiet", {name: 0.1 * stem for name, stem in predicted.items()}
    informed = ScoreInformedSeparator(song.notes, classes, "never").separate(mixture, rate)
    yield "score-informed", informed

    stft = STFT(2048, 512, rate)
    spectrum = stft(song.mixture.unsqueeze(0))

    def masked(masks: torch.Tensor) -> Stems:
        waves = stft.separated(spectrum, masks.unsqueeze(0), n)[0]
        return dict(zip(names, waves.numpy()))

    magnitude = stft.magnitude(stft(torch.stack(list(song.stems.values()))))
    ratio = magnitude / magnitude.sum(0).clamp(min=1e-8)
    yield "ideal ratio mask", masked(ratio)
    yield "binary score masks", masked(binary_masks(song, stft))
    holes = torch.from_numpy(rng.random(ratio.shape) > 0.5)
    yield "ratio mask with holes", masked(ratio * holes)
    yield "stems", stems
    rest = {name: mixture - stem for name, stem in stems.items()}
    for level in (-10, -20):
        gain = 10 ** (level / 20)
        yield f"stems + others at {level} dB", {k: stems[k] + gain * rest[k] for k in names}
    low = torch.arange(ratio.shape[1]) * rate / 2048 < 1000
    yield "stems below 1 kHz", masked(ratio * low[None, :, None])
    yield "stems above 1 kHz", masked(ratio * ~low[None, :, None])
    half = (np.arange(n) // (4 * rate)) % 2 == 0
    yield "stems, half of the time", {k: stems[k] * half for k in names}
    yield "stems exchanged", dict(zip(names, [*list(stems.values())[1:], stems[names[0]]]))
    noise = rng.standard_normal(n) * np.sqrt(np.square(mixture).mean())
    yield "stems + noise at -20 dB", {k: stems[k] + 0.1 * noise for k in names}
    owns = {k: song.notes.select(song.notes.class_index == i) for i, k in enumerate(names)}
    yield "mixture, gated by the score", {k: mixture * ~resting(owns[k], n, rate) for k in names}
    yield "score played by sines", {k: sines(owns[k], n, rate) for k in names}
    delay = round(0.03 * rate)
    yield (
        "stems, 30 ms late",
        {k: np.concatenate([np.zeros(delay), stems[k][:-delay]]) for k in names},
    )


def binary_masks(song: TestTrack, stft: STFT) -> torch.Tensor:
    """The binary harmonic masks of the score."""
    from asteroid_scoresup.evaluation import SCORE_ORACLE, oracle_masks
    from asteroid_scoresup.score import HarmonicTemplates

    templates = HarmonicTemplates(song.sample_rate, stft.n_fft)
    return oracle_masks(song, stft, templates)[SCORE_ORACLE][0]


def measure(args: argparse.Namespace) -> pd.DataFrame:
    """One record per way, song, class and reader."""
    network = Separator.from_pretrained(args.model)
    assert network.transcriptor is not None
    sets = {}
    for test in args.tests.split(","):
        name, _, place = test.partition("=")
        folder, _, split = place.rpartition(":")
        manifest = Manifest.load(folder)
        sets[name] = manifest, tracks_to_score(manifest, split)
    records: list[dict] = []
    with tempfile.TemporaryDirectory() as temporary:
        # One song of each set after another: an interrupted run covers all of them.
        for number in range(args.songs):
            for name, (manifest, tracks) in sets.items():
                if number >= len(tracks):
                    continue
                readers: dict[str, Reader] = {"pitch": TranscriptorReader(network.transcriptor)}
                if number < args.basic_pitch:
                    rate = int(manifest.sample_rate)
                    readers["Basic Pitch"] = BasicPitchReader(Path(temporary), rate)
                song = TestTrack(manifest, tracks[number])
                about = {"test_set": name, "track": song.track.id}
                for way, estimates in ways(song, network, str(manifest.classes), number):
                    records += [
                        {**about, "way": way, **row} for row in scores(song, estimates, readers)
                    ]
                with atomic_path(args.out) as path:
                    pd.DataFrame(records).to_csv(path, index=False)
                print(f"{name} {song.track.id}", flush=True)
    return pd.DataFrame(records)


def scores(song: TestTrack, estimates: Stems, readers: Mapping[str, Reader]) -> list[dict]:
    """SI-SDR and the scores without stems, per class and reader."""
    tensors = {name: torch.from_numpy(np.array(wav, float)) for name, wav in estimates.items()}
    truth = separation_scores(song.stems, tensors, song.mixture)
    true = {row["instrument"]: row for row in truth}
    found = []
    for reader, read in readers.items():
        rows = reference_free_scores(
            estimates, song.mixture.numpy(), song.notes, song.names, song.sample_rate, read
        )
        for row in rows:
            kept = {key: true[row["instrument"]][key] for key in ("si_sdr", "leakage_db")}
            found.append({"reader": reader, **row, **kept})
    return found


def correlation(frame: pd.DataFrame, score: str, by: list[str]) -> tuple[float, float, int]:
    """Mean rank correlation of a score with SI-SDR within groups; its 10th percentile; groups."""
    values = []
    for _, group in frame.dropna(subset=["si_sdr", score]).groupby(by):
        if len(group) >= 5 and group[score].nunique() > 1 and group.si_sdr.nunique() > 1:
            values.append(spearmanr(group[score], group.si_sdr).statistic)
    sign = 1 if SCORES.get(score, True) else -1
    found = sign * np.array(values)
    return (
        (found.mean(), np.quantile(found, 0.1), len(found)) if len(found) else (np.nan, np.nan, 0)
    )


def tables(frame: pd.DataFrame) -> None:
    """Prints the rank correlations, and the means per way."""
    for reader, part in frame.groupby("reader", sort=False):
        print(f"\n**{reader}**\n")
        lines = []
        for label, ways_of in (("honest", part[part.way.isin(HONEST)]), ("all", part)):
            for score in [s for s in SCORES if s in part]:
                cells = [f"{label}: {score}"]
                for by in (["test_set", "track", "instrument"], ["test_set", "way", "instrument"]):
                    mean, low, n = correlation(ways_of, score, by)
                    cells.append(f"{mean:.2f} ({low:.2f}; {n})")
                lines.append(cells)
        print(markdown_table(["score", "over ways", "over songs"], lines))
        means = part.groupby("way", sort=False)[
            ["si_sdr", *[s for s in SCORES if s in part], "sum_db"]
        ].mean()
        means = means.sort_values("si_sdr")
        print(
            markdown_table(
                ["way", *means.columns],
                [[w, *(f"{v:.2f}" for v in row)] for w, row in zip(means.index, means.to_numpy())],
            )
        )


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="", help="comma-separated NAME=PREPARED:SPLIT")
    parser.add_argument("--model", default=None, help="model file (default: the bundled model)")
    parser.add_argument("--songs", type=int, default=1000, help="songs per test set")
    parser.add_argument(
        "--basic_pitch", type=int, default=0, help="songs that Basic Pitch reads, too"
    )
    parser.add_argument("--out", required=True, help="CSV file of all scores")
    parser.add_argument("--tables", action="store_true", help="only print the tables of --out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables(pd.read_csv(args.out) if args.tables else measure(args))


if __name__ == "__main__":
    main()
