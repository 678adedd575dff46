"""From a recording and a score at another tempo to stems, without a trained network.

    python examples/score_to_stems.py song.mp3 song.mid    a recording and a MIDI file
    python examples/score_to_stems.py                      a composed song

The score is aligned with the recording; then a score-informed factorization separates it. The
composed song is rendered with a SoundFont, and its score gets another tempo, which changes from bar
to bar. There the true stems are known, and the stems are scored: with the score as it came, with
the aligned score, and with the true one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from asteroid_scoresup.alignment import Alignment, Span, Warp, align
from asteroid_scoresup.alignment.midi_writer import write_aligned_midi
from asteroid_scoresup.alignment.outputs import write_alignment
from asteroid_scoresup.data import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.inference import ScoreInformedSeparator
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, compose_song
from asteroid_scoresup.synthesis.mixing import mix_stems
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.slakh_writer import read_song

RATE = 44100  # Hz


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        argparse.Namespace: The parsed arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", nargs="?", help="recording (default: a composed song)")
    parser.add_argument("score", nargs="?", help="MIDI file of the same song")
    parser.add_argument("--out_dir", type=Path, default=Path("score_to_stems"))
    parser.add_argument("--classes", default=DEFAULT_CLASSES, help="stems (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the composed song")
    parser.add_argument("--seed", type=int, default=0, help="seed of the composed song")
    args = parser.parse_args(argv)
    if args.audio and not args.score:
        parser.error("give a recording and its score, or neither")
    return args


def compose(args: argparse.Namespace) -> tuple[Path, Path, Path, dict[str, np.ndarray]]:
    """A song whose stems are known: recording, true score, score at another tempo, and stems."""
    args.out_dir.mkdir(parents=True, exist_ok=True)
    true = args.out_dir / "true.mid"
    rng = np.random.default_rng(args.seed)
    compose_song(rng, TRAIN_PALETTE, args.seconds, drums=True).write(str(true))
    song, seconds = read_song(true, args.seconds)
    classes, parts = ClassMap.parse(args.classes), []
    for part in song.instruments:
        index = classes.index_of(program=128 if part.is_drum else part.program)
        name = None if index is None else classes.names[index]
        parts.append((name, render_instrument(part, seconds, RATE)))
    mixture, _ = mix_stems([audio for _, audio in parts], RATE, 0.0, rng)
    stems = {name: sum(a for n, a in parts if n == name) + 0 * mixture for name in classes.names}
    recording, score = args.out_dir / "song.wav", args.out_dir / "score.mid"
    sf.write(recording, mixture, RATE, subtype="FLOAT")

    # A warp is also a way to write a score at another tempo: faster and slower by up to 30 %.
    bars = np.arange(0, seconds + 2, 2.0)
    tempo = rng.uniform(0.7, 1.3, len(bars) - 1)
    warp = Warp((Span(bars, np.concatenate([[0], np.cumsum(2 * tempo)])),))
    write_aligned_midi(true, Alignment(warp, 0, 0.0, np.zeros(0), 1.0, (), True), score)
    return recording, true, score, stems


def separate(recording: str | Path, score: str | Path, classes: str) -> dict[str, np.ndarray]:
    """The stems of a recording, by a score that is on its clock."""
    return ScoreInformedSeparator(score, classes, align="never").separate(recording)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """Aligns and separates one song.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        list of Path: The stems that were written.
    """
    args = parse(argv)
    true, true_stems = None, None
    recording, score = args.audio, args.score
    if recording is None:
        recording, true, score, true_stems = compose(args)

    # 1. Alignment: the score on the clock of the recording. Another song would be refused.
    alignment = align(recording, score, require_match=True)
    aligned, *_ = write_alignment(alignment, score, args.out_dir / "aligned.mid")
    print(f"confidence {alignment.confidence:.2f}, {len(alignment.uncertain)} uncertain stretches")

    # 2. Separation with the aligned score. Without align="never", scores are aligned here, too.
    stems = separate(recording, aligned, args.classes)
    rate = sf.info(recording).samplerate
    written = []
    for name, stem in stems.items():
        written.append(args.out_dir / f"{name}.wav")
        sf.write(written[-1], stem.T, rate, subtype="FLOAT")

    # 3. Where the truth is known: by how much the SI-SDR is above that of the mixture, in dB.
    if true_stems is not None:
        mixture = sf.read(recording, dtype="float32")[0]
        print(f"{'SI-SDRi in dB':<22}" + "".join(f"{name:>9}" for name in stems))
        for label, file in (("score as it came", score), ("aligned", aligned), ("true", true)):
            found = stems
            if file != aligned:
                found = separate(recording, file, args.classes)
            mono = {name: stem.reshape(-1) for name, stem in found.items()}
            rows = separation_scores(true_stems, mono, mixture)
            print(f"{label:<22}" + "".join(f"{row['si_sdr_imp']:>9.1f}" for row in rows))
    return written


if __name__ == "__main__":
    main()
