"""How scores without true stems follow SI-SDR, on songs whose stems are known.

    python benchmarks/reference_free.py --tests test=PREPARED:test,freedoom=PREPARED:test \\
        --out scores.csv
    python benchmarks/reference_free.py --tables scores.csv    # the tables of an earlier run

Each song is separated in many ways: well, badly, and on purpose wrongly. For every stem, its SI-SDR
and the scores of ``reference_free_scores`` are measured; the tables show the rank correlation
(Spearman) of each score with SI-SDR over the ways, within a song and class, and over songs. Readers
are the transcriptor of the bundled model and, with ``--basic_pitch``, Basic Pitch (``pip install
basic-pitch``; its ONNX model is used), which took part in none of the separations.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from transcription import BasicPitch

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.evaluation import (
    SCORE_ORACLE,
    TestTrack,
    oracle_masks,
    ratio_masks,
    separation_scores,
    tracks_to_score,
)
from asteroid_scoresup.evaluation.reference_free import (
    Reader,
    TranscriptorReader,
    reference_free_scores,
    resting,
)
from asteroid_scoresup.inference import ScoreInformedSeparator, Separator
from asteroid_scoresup.score import HarmonicTemplates, Notes
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
#: Those that are asked together.
UNITED = ("note_f1", "note_leakage", "rest_db")
#: Columns of one stem of one song.
GROUP = ["test_set", "track", "instrument"]


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


def separators(
    song: TestTrack, networks: Mapping[str, Separator], classes: str
) -> list[tuple[str, Callable[[], Stems]]]:
    """What a user would compare: name, and what separates the song."""
    rate, names, mixture = int(song.sample_rate), list(song.names), song.mixture.numpy()
    stft = STFT(2048, 512, rate)

    def informed(late: float) -> Stems:
        score = song.notes.shifted(late)
        return ScoreInformedSeparator(score, classes, "never").separate(mixture, rate)

    def binary_masks() -> torch.Tensor:
        templates = HarmonicTemplates(song.sample_rate, stft.n_fft)
        return oracle_masks(song, stft, templates)[SCORE_ORACLE]

    return [
        ("input mixture", lambda: dict.fromkeys(names, mixture)),
        *((name, partial(each.separate, mixture, rate)) for name, each in networks.items()),
        ("score-informed", lambda: informed(0.0)),
        ("score-informed, 60 ms late", lambda: informed(0.06)),
        ("score-informed, 120 ms late", lambda: informed(0.12)),
        ("binary score masks", lambda: masked(song, stft, binary_masks())),
        ("ideal ratio mask", lambda: masked(song, stft, ratio_masks(song, stft))),
    ]


def damages(
    song: TestTrack, network: Separator, seed: int
) -> list[tuple[str, Callable[[], Stems]]]:
    """True stems and others that are wrong in one respect each."""
    rng = np.random.default_rng(seed)
    rate, names, mixture = int(song.sample_rate), list(song.names), song.mixture.numpy()
    stems = {name: stem.numpy() for name, stem in song.stems.items()}
    owns = {k: song.notes.select(song.notes.class_index == i) for i, k in enumerate(names)}
    n, delay = len(mixture), round(0.03 * rate)
    stft = STFT(2048, 512, rate)
    ratio = ratio_masks(song, stft)
    holes = torch.from_numpy(rng.random(ratio.shape[1:]) > 0.5)
    noise = 0.1 * rng.standard_normal(n) * np.sqrt(np.square(mixture).mean())
    low = (torch.arange(ratio.shape[2]) * rate / stft.n_fft < 1000)[:, None]
    half = (np.arange(n) // (4 * rate)) % 2 == 0

    def each(change: Callable[[str], np.ndarray]) -> Callable[[], Stems]:
        return lambda: {name: change(name) for name in names}

    def others(gain: float) -> Callable[[], Stems]:
        return each(lambda name: stems[name] + gain * (mixture - stems[name]))

    return [
        ("stems", lambda: stems),
        ("stems + others at -20 dB", others(0.1)),
        ("stems + others at -10 dB", others(10**-0.5)),
        ("stems + noise at -20 dB", each(lambda name: stems[name] + noise)),
        ("stems below 1 kHz", lambda: masked(song, stft, ratio * low)),
        ("stems above 1 kHz", lambda: masked(song, stft, ratio * ~low)),
        ("stems, half of the time", each(lambda name: stems[name] * half)),
        ("stems, 30 ms late", each(lambda name: np.pad(stems[name], (delay, 0))[:n])),
        ("stems exchanged", lambda: dict(zip(names, [stems[k] for k in names[1:] + names[:1]]))),
        ("ratio mask with holes", lambda: masked(song, stft, ratio * holes)),
        (
            "network, 20 dB quieter",
            lambda: {k: 0.1 * wav for k, wav in network.separate(mixture, rate).items()},
        ),
        ("mixture, gated by the score", each(lambda k: mixture * ~resting(owns[k], n, rate))),
        ("score played by sines", each(lambda k: sines(owns[k], n, rate))),
    ]


def masked(song: TestTrack, stft: STFT, masks: torch.Tensor) -> Stems:
    """The mixture times masks of shape (1, n_src, freq, frames)."""
    spectrum = stft(song.mixture.unsqueeze(0))
    waves = stft.separated(spectrum, masks.float(), len(song.mixture))[0]
    return dict(zip(song.names, waves.numpy()))


def measure(args: argparse.Namespace) -> pd.DataFrame:
    """One record per way, song, class and reader."""
    bundled = Separator.from_pretrained()
    assert bundled.transcriptor is not None
    networks = {"network": bundled}
    for text in args.network:
        name, _, path = text.partition("=")
        networks[name] = Separator.from_pretrained(path)
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
                readers: dict[str, Reader] = {"bundled": TranscriptorReader(bundled.transcriptor)}
                if number < args.basic_pitch:
                    rate = int(manifest.sample_rate)
                    readers["Basic Pitch"] = BasicPitchReader(Path(temporary), rate)
                song = TestTrack(manifest, tracks[number])
                about = {"test_set": name, "track": song.track.id}
                kinds = {
                    "separators": separators(song, networks, str(manifest.classes)),
                    "damages": damages(song, bundled, number),
                }
                for kind, ways in kinds.items():
                    for way, separate in ways:
                        if re.search(args.only, way):
                            found = scores(song, separate(), readers)
                            records += [{**about, "kind": kind, "way": way, **row} for row in found]
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


def correlations(part: pd.DataFrame, score: str, by: list[str]) -> np.ndarray:
    """Rank correlation of a score with SI-SDR in each group of at least four different values.

    Positive where a better score goes with a better SI-SDR.
    """
    values = []
    for _, group in part.dropna(subset=["si_sdr", score]).groupby(by):
        if min(group[score].nunique(), group.si_sdr.nunique()) >= 4:
            values.append(spearmanr(group[score], group.si_sdr).statistic)
    return np.array(values) * (1 if SCORES[score] else -1)


def agreement(part: pd.DataFrame, scores_of: Sequence[str], least_db: float) -> tuple[float, float]:
    """How often scores order two ways of one song and class as SI-SDR does.

    Args:
        part (:class:`pandas.DataFrame`): The records of one reader.
        scores_of (sequence of str): The scores; of several, only pairs count that none of them
            orders in another way than the others.
        least_db (float): Only pairs whose SI-SDR differs by at least so much count.

    Returns:
        tuple: fraction of the pairs that are ordered alike, ties counting half; and fraction of all
        pairs that count.
    """
    right = counted = total = 0.0
    for _, group in part.dropna(subset=["si_sdr"]).groupby(GROUP):
        true = group.si_sdr.to_numpy()
        better = true[:, None] - true >= least_db
        total += better.sum()
        orders = []
        for score in scores_of:
            values = group[score].to_numpy() * (1 if SCORES[score] else -1)
            # A score that a class never has, such as that of its rests, has no say.
            if np.isfinite(values).all():
                orders.append(np.sign(values[:, None] - values))
        if not orders:
            continue
        kept = better & ~((np.max(orders, 0) > 0) & (np.min(orders, 0) < 0))
        right += ((np.sign(np.sum(orders, 0)) + 1) / 2)[kept].sum()
        counted += kept.sum()
    return right / max(counted, 1), counted / max(total, 1)


def paired(honest: pd.DataFrame, everything: pd.DataFrame, scores_of: Sequence[str]) -> list[str]:
    """Cells of the agreement on pairs; of several scores also how many of the pairs count."""
    cells = []
    for part, least in ((honest, 1), (honest, 3), (honest, 6), (everything, 3)):
        right, counted = agreement(part, scores_of, least)
        cells.append(f"{right:.0%}" + (f" (of {counted:.0%})" if len(scores_of) > 1 else ""))
    return cells


def tables(frame: pd.DataFrame) -> None:
    """Prints the rank correlations, the agreement on pairs, and the means of each way."""
    scores_of = [score for score in SCORES if score in frame]
    for reader, part in frame.groupby("reader", sort=False):
        honest = part[part.kind == "separators"]
        songs = part.groupby(["test_set", "track"]).ngroups
        print(f"\n**Reader: {reader}**, {songs} songs, {honest.way.nunique()} separators\n")
        lines = []
        for score in scores_of:
            within = correlations(honest, score, GROUP)
            across = correlations(honest, score, ["way", "instrument"])
            cells = [f"{np.mean(v):.2f} ({np.mean(v > 0):.0%} of {len(v)})" if len(v) else "—"
                     for v in (within, across)]  # fmt: skip
            lines.append([score, *cells, *paired(honest, part, [score])])
        united = [score for score in UNITED if score in frame]
        lines.append([", ".join(united), "", "", *paired(honest, part, united)])
        heads = ["score", "correlation over separators", "over songs"]
        heads += ["pairs ≥ 1 dB", "≥ 3 dB", "≥ 6 dB", "≥ 3 dB, with damages"]
        print(markdown_table(heads, lines))
        columns = ["si_sdr", *scores_of, "sum_db"]
        means = part.groupby(["kind", "way"])[columns].mean().sort_values("si_sdr")
        for kind in ("separators", "damages"):
            if kind in means.index:
                rows = [[way, *(f"{v:.2f}" for v in row)] for way, row in
                        zip(means.loc[kind].index, means.loc[kind].to_numpy())]  # fmt: skip
                print("\n" + markdown_table([kind, *columns], rows))


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="", help="comma-separated NAME=PREPARED:SPLIT")
    parser.add_argument(
        "--network", action="append", default=[], help="NAME=FILE beside the bundled model"
    )
    parser.add_argument("--only", default="", help="only ways that match this regular expression")
    parser.add_argument("--songs", type=int, default=1000, help="songs per test set")
    parser.add_argument(
        "--basic_pitch", type=int, default=0, help="songs that Basic Pitch reads, too"
    )
    parser.add_argument("--out", default="scores.csv", help="CSV file of all scores")
    parser.add_argument(
        "--tables", nargs="+", metavar="CSV", help="only print those of these files"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    tables(pd.concat(map(pd.read_csv, args.tables)) if args.tables else measure(args))


if __name__ == "__main__":
    main()
