"""From a MIDI file to separated stems in a minute, and how good the stems are.

    python examples/midi_to_stems.py song.mid        renders and separates the first 30 s of it
    python examples/midi_to_stems.py                 composes a song first

The song is played with a SoundFont, so its true stems are known and the separated ones can be
scored. The model hears the mixture only: neither the MIDI file nor the true stems.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf

from asteroid_scoresup.data import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.inference import OutputOptions, Separator, process_song
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, compose_song
from asteroid_scoresup.synthesis.mixing import mix_stems
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.slakh_writer import read_song

RATE = 44100  # Hz; the model resamples for itself, and its stems come back at the song's rate


def parse(argv):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("midi", nargs="?", help="MIDI file (default: a composed song)")
    parser.add_argument("--out_dir", type=Path, default=Path("midi_to_stems"))
    parser.add_argument("--model", help="model file (default: the model in the package)")
    parser.add_argument("--classes", default=DEFAULT_CLASSES, help="of the model (%(default)s)")
    parser.add_argument("--soundfont", help="SF2 file (default: the one inside pretty_midi)")
    parser.add_argument("--seconds", type=float, default=30.0, help="longer MIDI files are cut")
    parser.add_argument(
        "--mixture",
        choices=("song", "submix"),
        default="song",
        help="song: everything that plays; submix: the model's classes only (default: song)",
    )
    parser.add_argument("--report", action="store_true", help="write a page to listen to, too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="another seed composes another song")
    return parser.parse_args(argv)


def main(argv=None):
    """Renders, separates and scores one song; returns what was written."""
    args = parse(argv)
    separator = Separator.from_pretrained(args.model, device=args.device)

    # 1. A score. A composed song goes through a MIDI file as well: what is saved is what is played.
    with tempfile.TemporaryDirectory() as folder:
        midi = args.midi
        if midi is None:
            midi = Path(folder) / "composed.mid"
            rng = np.random.default_rng(args.seed)
            compose_song(rng, TRAIN_PALETTE, args.seconds, drums=True).write(str(midi))
        song, seconds = read_song(midi, args.seconds)

    # 2. Every instrument is played alone. Drums, strings and whatever else the model has no class
    # for are a part of the mixture that should end up in no stem.
    classes, parts = ClassMap.parse(args.classes), []
    for part in song.instruments:
        index = classes.index_of(program=128 if part.is_drum else part.program)
        if index is not None or args.mixture == "song":
            audio = render_instrument(part, seconds, RATE, args.soundfont)
            parts.append((None if index is None else classes.names[index], audio))
    if all(name is None for name, _ in parts):
        raise SystemExit(f"{args.midi} has no notes of {', '.join(classes.names)}.")

    # 3. The mixture, at Slakh's levels; several instruments of a class are one true stem.
    mixture, _ = mix_stems([audio for _, audio in parts], RATE, 0.0, np.random.default_rng(0))
    true = {name: sum(a for n, a in parts if n == name) + 0 * mixture for name in classes.names}
    args.out_dir.mkdir(parents=True, exist_ok=True)
    song_file = args.out_dir / "mixture.wav"
    sf.write(song_file, mixture, RATE, subtype="FLOAT")

    # 4. Separation. Stems and residual add up to the mixture; score.mid is what the model heard.
    listens = separator.transcriptor is not None
    request = OutputOptions(residual=True, midi=listens, page=args.report, overwrite=True)
    made = process_song(separator, song_file, args.out_dir, request)

    # 5. SI-SDR in dB: of the mixture taken as a stem, of the separated stem, and their difference.
    # "nan" stands where a class has nothing to play.
    stems = {n: sf.read(args.out_dir / f"{n}.wav", dtype="float32")[0] for n in separator.names}
    print(f"{'SI-SDR in dB':<14}{'mixture':>9}{'stem':>9}{'better by':>11}")
    for row in separation_scores(true, stems, mixture):
        figures = f"{row['input_si_sdr']:>9.1f}{row['si_sdr']:>9.1f}{row['si_sdr_imp']:>11.1f}"
        print(f"{row['instrument']:<14}{figures}")
    for path in made.written:
        print(path)
    return made


if __name__ == "__main__":
    main()
