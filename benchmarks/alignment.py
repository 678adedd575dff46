"""Accuracy and certainty of alignment, on songs with known truth and a grid of damages.

    python benchmarks/alignment.py /tmp/songs --set test --songs 6
    pip install -e '.[bench]'                                                  synctoolbox
    python benchmarks/alignment.py /tmp/songs --cases "warped|skip" --peer     beside it

Songs are composed, made by MMA (Debian: mma), and taken from Freedoom (Debian: freedoom), rendered
with SoundFonts (Debian: timgm6mb-soundfont, fluid-soundfont-gm, musescore-general-soundfont-small).
The sets ``dev``, on which constants were chosen, and ``test`` differ in songs and SoundFonts.

In the case ``wrong score``, each recording is aligned with scores of other songs (`--wrong`).
Errors are those of the onsets that the recording plays, in ms; an onset that no span covers counts
as an infinite error. `jumps` is the fraction of skips and repeats whose place was found within
0.5 s. `refused` is the fraction of trials below the shipped threshold, and the last line compares
the confidences of right and of wrong scores by the area under the ROC curve.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import time

import numpy as np
from alignment_cases import CASES, Trial, make_trial
from alignment_songs import RATE, songs
from cases import machine

from asteroid_scoresup.alignment import Alignment, align
from asteroid_scoresup.utils.markdown import markdown_table

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("folder", help="folder for the songs, kept for the next run")
parser.add_argument("--set", default="test", choices=["dev", "test"])
parser.add_argument("--songs", type=int, default=6, help="songs of each of the three sources")
parser.add_argument("--seconds", type=float, default=75.0, help="largest length of a song")
parser.add_argument("--cases", default="", help="regular expression of the cases to run")
parser.add_argument("--wrong", type=int, default=3, help="other scores tried with each recording")
parser.add_argument("--every", type=int, default=1, help="use only every n-th song")
parser.add_argument("--only", default="", help="regular expression of the songs to use")
parser.add_argument("--peer", action="store_true", help="also align with synctoolbox's MrMsDTW")
parser.add_argument("--out", default="", help="file for all results, as JSON")

SURROUNDING = 0.05  # seconds beyond a span in which an onset still belongs to it


def onset_errors(found: Alignment, truth: np.ndarray) -> np.ndarray:
    """Signed error of every played onset in seconds, infinite where no span covers it."""
    best = np.full(len(truth), np.inf)
    for span in found.warp.spans:
        low, high = span.score[0] - SURROUNDING, span.score[-1] + SURROUNDING
        covered = (truth[:, 0] >= low) & (truth[:, 0] <= high)
        error = np.where(covered, span.to_audio(truth[:, 0]) - truth[:, 1], np.inf)
        best = np.where(np.abs(error) < np.abs(best), error, best)
    return best


def jump_errors(found: Alignment, trial: Trial) -> list[float]:
    """Distance of each true jump from the nearest boundary between two spans, in seconds."""
    spans = found.warp.spans
    places = [(a.audio[-1] + b.audio[0]) / 2 for a, b in zip(spans, spans[1:])]
    return [min((abs(p - jump) for p in places), default=np.inf) for jump in trial.jumps]


def peer_errors(trial: Trial) -> np.ndarray:
    """The same errors of synctoolbox: chroma and DLNCO features, MrMsDTW, as in its tutorial."""
    import pandas
    from synctoolbox.dtw.mrmsdtw import sync_via_mrmsdtw
    from synctoolbox.dtw.utils import compute_optimal_chroma_shift, make_path_strictly_monotonic
    from synctoolbox.feature.chroma import pitch_to_chroma, quantize_chroma
    from synctoolbox.feature.csv_tools import df_to_pitch_features, df_to_pitch_onset_features
    from synctoolbox.feature.dlnco import pitch_onset_features_to_DLNCO
    from synctoolbox.feature.pitch import audio_to_pitch_features
    from synctoolbox.feature.pitch_onset import audio_to_pitch_onset_features
    from synctoolbox.feature.utils import estimate_tuning, shift_chroma_vectors

    rate, fs = 50, 22050
    import soxr

    audio = soxr.resample(trial.audio, RATE, fs)
    tuned = {"Fs": fs, "tuning_offset": estimate_tuning(audio, fs), "verbose": False}
    pitch = audio_to_pitch_features(audio, feature_rate=rate, **tuned)
    chroma = quantize_chroma(pitch_to_chroma(pitch))
    peaks = audio_to_pitch_onset_features(audio, **tuned)
    # One frame more, for a peak at the very end.
    onsets = pitch_onset_features_to_DLNCO(peaks, chroma.shape[1] + 1, rate)[:, :-1]
    notes = trial.score
    # synctoolbox refuses other pitches.
    notes = notes.select((notes.pitch >= 21) & (notes.pitch <= 108))
    table = pandas.DataFrame(
        {
            "start": notes.onset,
            "duration": notes.offset - notes.onset,
            "pitch": notes.pitch,
            "velocity": notes.velocity / 127,
            "instrument": "piano",
        }
    ).sort_values("start")
    table["end"] = table["start"] + table["duration"]
    score_chroma = quantize_chroma(pitch_to_chroma(df_to_pitch_features(table, rate)))
    score_peaks = df_to_pitch_onset_features(table)
    score_onsets = pitch_onset_features_to_DLNCO(score_peaks, score_chroma.shape[1] + 1, rate)
    score_onsets = score_onsets[:, :-1]
    shift = compute_optimal_chroma_shift(chroma, score_chroma)
    score_chroma = shift_chroma_vectors(score_chroma, shift)
    score_onsets = shift_chroma_vectors(score_onsets, shift)
    path = sync_via_mrmsdtw(
        f_chroma1=score_chroma,
        f_onset1=score_onsets,
        f_chroma2=chroma,
        f_onset2=onsets,
        input_feature_rate=rate,
        step_weights=np.array([1.5, 1.5, 2.0]),
        threshold_rec=10**6,
        verbose=False,
    )
    path = make_path_strictly_monotonic(path) / rate
    return np.interp(trial.truth[:, 0], path[0], path[1]) - trial.truth[:, 1]


def area(right: list[float], wrong: list[float]) -> float:
    """Area under the ROC curve: how often a right score has the higher confidence."""
    if not right or not wrong:
        return float("nan")
    r, w = np.array(right)[:, None], np.array(wrong)
    return float(np.mean((r > w) + 0.5 * (r == w)))


def row(errors: list[np.ndarray]) -> list[str]:
    """Median error and the fractions within 50 and 100 ms."""
    if not errors:
        return ["", "", ""]
    joined = np.abs(np.concatenate(errors))
    within = [f"{100 * np.mean(joined <= limit):.1f}" for limit in (0.05, 0.1)]
    return [f"{1e3 * np.median(joined):.1f}", *within]


def main(args: argparse.Namespace) -> None:
    """Runs the cases and prints the table."""
    chosen = [case for case in CASES if re.search(args.cases, case)]
    available = list(songs(args.folder, args.set, args.songs, args.seconds, args.every, args.only))
    records, table = [], []
    confidence: dict[bool, list[float]] = {True: [], False: []}
    for case in chosen:
        errors, peers, jumps, keys, refused, seconds = [], [], [], [], [], 0.0
        trials = range(len(available) * (args.wrong if case == "wrong score" else 1))
        for number, turn in ((n % len(available), n // len(available)) for n in trials):
            distance = 1 + turn % max(1, len(available) - 1)
            other = available[(number + distance) % len(available)]
            trial = make_trial(case, available[number], other, number)
            start = time.process_time()
            found = align(trial.audio, trial.score, RATE)
            seconds += time.process_time() - start
            confidence[trial.right].append(found.confidence)
            refused.append(not found.is_match)
            record = {
                "case": case,
                "song": available[number].name,
                "confidence": round(found.confidence, 4),
                "certainty": [None if np.isnan(c) else round(float(c), 3) for c in found.certainty],
            }
            if trial.right:
                errors.append(onset_errors(found, trial.truth))
                jumps += jump_errors(found, trial)
                key = found.transposition + found.tuning_cents / 100
                keys.append(abs(key - trial.transposition) < 0.2)
                record["row"] = row(errors[-1:])
                if args.peer:
                    with contextlib.redirect_stdout(None):  # it prints dots
                        peers.append(peer_errors(trial))
                    record["peer"] = row(peers[-1:])
            records.append(record)
        line = [case, str(len(refused)), *row(errors)]
        line.append(f"{np.mean(np.array(jumps) <= 0.5):.2f}" if jumps else "")
        line += [f"{np.mean(keys):.2f}" if keys else "", f"{np.mean(refused):.2f}"]
        line.append(f"{seconds / max(len(refused), 1):.1f}")
        table.append(line + (row(peers) if args.peer else []))
        print(" | ".join(table[-1]), flush=True)
    head = ["case", "songs", "median", "% in 50", "% in 100", "jumps", "key", "refused", "CPU s"]
    head += ["peer median", "peer % in 50", "peer % in 100"] if args.peer else []
    print(markdown_table(head, table))
    auc = area(confidence[True], confidence[False])
    print(f"Right against wrong scores: area under the ROC curve {auc:.3f}.")
    if args.out:
        with open(args.out, "w") as stream:
            json.dump({"machine": machine(), "auc": auc, "trials": records}, stream)


if __name__ == "__main__":
    main(parser.parse_args())
