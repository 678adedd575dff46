"""Renders a MIDI file, separates the recording into stems, and scores the stems.

    python examples/midi_to_stems.py song.mid        the first 30 s of a MIDI file
    python examples/midi_to_stems.py                 a composed song

The song is rendered with a SoundFont, so that its true stems are known and the estimated stems can
be scored. The model receives the mixture only, neither the MIDI file nor the true stems.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from asteroid_scoresup.data import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.inference import OutputOptions, Separator, process_song
from asteroid_scoresup.inference.outputs import SongResult
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, compose_song
from asteroid_scoresup.synthesis.mixing import mix_stems
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.slakh_writer import read_song

RATE = 44100  # Hz; the separator resamples to the model's rate and back


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        argparse.Namespace: The parsed arguments.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("midi", nargs="?", help="MIDI file (default: a composed song)")
    parser.add_argument("--out_dir", type=Path, default=Path("midi_to_stems"))
    parser.add_argument("--model", help="model file (default: the bundled model)")
    parser.add_argument(
        "--classes", default=DEFAULT_CLASSES, help="its classes (default: %(default)s)"
    )
    parser.add_argument("--soundfont", help="SF2 file (default: the one inside pretty_midi)")
    parser.add_argument("--seconds", type=float, default=30.0, help="cut there (default: 30)")
    parser.add_argument(
        "--mixture",
        choices=("song", "submix"),
        default="song",
        help="song: all instruments; submix: only those of the model's classes (default: song)",
    )
    parser.add_argument("--report", action="store_true", help="also write a listening page")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the composed song")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> SongResult:
    """Renders, separates and scores one song.

    Args:
        argv (list of str, optional): Arguments. Default: those of the process.

    Returns:
        SongResult: The files that were written.
    """
    args = parse(argv)
    separator = Separator.from_pretrained(args.model, device=args.device)

    # 1. A score. A composed song is written to a MIDI file, too, so that both cases are the same.
    with tempfile.TemporaryDirectory() as folder:
        midi = args.midi
        if midi is None:
            midi = Path(folder) / "composed.mid"
            rng = np.random.default_rng(args.seed)
            compose_song(rng, TRAIN_PALETTE, args.seconds, drums=True).write(str(midi))
        song, seconds = read_song(midi, args.seconds)

    # 2. Every instrument is rendered separately. Those outside the classes of the model (drums,
    # strings...) are in the mixture, and should be in no stem.
    classes, parts = ClassMap.parse(args.classes), []
    for part in song.instruments:
        index = classes.index_of(program=128 if part.is_drum else part.program)
        if index is not None or args.mixture == "song":
            audio = render_instrument(part, seconds, RATE, args.soundfont)
            parts.append((None if index is None else classes.names[index], audio))
    if all(name is None for name, _ in parts):
        raise SystemExit(f"{args.midi} has no notes of {', '.join(classes.names)}.")

    # 3. The mixture, at the levels of Slakh. Instruments of the same class share a true stem.
    mixture, _ = mix_stems([audio for _, audio in parts], RATE, 0.0, np.random.default_rng(0))
    true_stems = {
        name: sum(a for n, a in parts if n == name) + 0 * mixture for name in classes.names
    }
    args.out_dir.mkdir(parents=True, exist_ok=True)
    song_file = args.out_dir / "mixture.wav"
    sf.write(song_file, mixture, RATE, subtype="FLOAT")

    # 4. Separation. Stems and residual add up to the mixture; score.mid is the transcription.
    has_transcriptor = separator.transcriptor is not None
    options = OutputOptions(residual=True, midi=has_transcriptor, page=args.report, overwrite=True)
    result = process_song(separator, song_file, args.out_dir, options)

    # 5. SI-SDR in dB: of the mixture as an estimate, of the separated stem, and the improvement. It
    # is "nan" for a class without notes.
    stems = {n: sf.read(args.out_dir / f"{n}.wav", dtype="float32")[0] for n in separator.names}
    print(f"{'SI-SDR in dB':<14}{'mixture':>9}{'stem':>9}{'improvement':>13}")
    for row in separation_scores(true_stems, stems, mixture):
        figures = f"{row['input_si_sdr']:>9.1f}{row['si_sdr']:>9.1f}{row['si_sdr_imp']:>13.1f}"
        print(f"{row['instrument']:<14}{figures}")
    for path in result.written:
        print(path)
    return result


if __name__ == "__main__":
    main()
