"""``asteroid-scoresup synthesize``: a Slakh-format data set from composed songs or MIDI files."""

from __future__ import annotations

import argparse

# Numbers of composed songs; MIDI files are split by --fractions instead.
_DEFAULT_COUNTS = {"train": 100, "validation": 10, "test": 10, "test_unseen": 10}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add("out_dir", metavar="OUT", help="folder to write; tracks that exist already are kept")
    purposes = {"train": "training", "test_unseen": "a test with programs not used in training"}
    for split, count in _DEFAULT_COUNTS.items():
        what = purposes.get(split, split)
        add(f"--n_{split}", type=int, metavar="N", help=f"songs for {what} (default: {count})")
    add("--seconds", type=float, default=30.0, help="length of composed songs (default: 30)")
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    add(
        "--sample_rate",
        type=int,
        default=44100,
        help="sample rate of the audio files, in Hz (default: 44100)",
    )
    add(
        "--soundfont",
        action="append",
        metavar="SF2",
        help="SoundFont to play with: a file, or the name of one that is installed, such as "
        "FluidR3_GM; if repeated, each song uses a random one (default: TimGM6mb.sf2 of "
        "pretty_midi)",
    )
    add(
        "--mix_soundfonts",
        action="store_true",
        help="play each part of a song with a random SoundFont, instead of the whole song",
    )
    add(
        "--validation_soundfont",
        action="append",
        metavar="SF2",
        help="SoundFont of the split validation, may be repeated (default: as for training)",
    )
    add(
        "--unseen_soundfont",
        action="append",
        metavar="SF2",
        help="SoundFont of the split test_unseen, may be repeated (default: as for training)",
    )
    # The choices are synthesis.render.RENDERERS, whose import would make --help wait.
    add(
        "--renderer",
        choices=("auto", "fluidsynth", "tinysoundfont"),
        default="auto",
        help="player of the SoundFonts (default: auto, the first that is installed)",
    )
    add("--jobs", type=int, metavar="N", help="number of processes (default: all cores)")
    add("--midi_dir", metavar="DIR", help="render the MIDI files below DIR instead of composing")
    add(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="fractions of the MIDI files for each split (default: 0.8 0.1 0.1)",
    )
    add("--max_seconds", type=float, help="cut longer MIDI files (default: render whole songs)")
    add(
        "--level_spread",
        type=float,
        default=2.5,
        metavar="DB",
        help="standard deviation of the random gain of each stem, in dB (default: 2.5)",
    )
    add(
        "--color_db",
        type=float,
        default=5.0,
        metavar="DB",
        help="strength of the random channel (drive, tremolo, equalizer) of composed training "
        "stems: standard deviation of the equalizer's bands, in dB; 0 for none (default: 5)",
    )
    add(
        "--synthetic",
        type=float,
        default=0.5,
        metavar="PROB",
        help="probability that a composed training stem is played by a synthetic instrument "
        "(default: 0.5)",
    )
    add(
        "--varispeed",
        type=float,
        default=4.0,
        metavar="SEMITONES",
        help="largest speed change of the other composed training stems (default: 4)",
    )
    add("--drums", action="store_true", help="add drums to composed songs, as a separate stem")
    add(
        "--others",
        type=int,
        default=0,
        metavar="N",
        help="add up to N instruments outside the classes (voices, strings, winds) to composed "
        "songs (default: 0)",
    )
    add(
        "--programs",
        choices=("split", "all"),
        default="split",
        help="General MIDI programs of composed songs: split, test_unseen has its own; all, every "
        "song may have all programs of its classes (default: split)",
    )
    add(
        "--mixing",
        choices=("plain", "produced"),
        default="plain",
        help="plain, the sum of the stems; produced, with human timing, layered parts, rooms, "
        "compression, saturation, a limiter and MP3 (default: plain)",
    )
    add(
        "--mma",
        type=float,
        default=0.0,
        metavar="PROB",
        help="probability that MMA writes a training song, if it is installed (its grooves are "
        "under the GPL); needs --programs all (default: 0)",
    )
    add("--overwrite", action="store_true", help="replace tracks made with other settings")
    add("--quiet", action="store_true", help="show no progress bar and no summary")


def song_counts(args: argparse.Namespace) -> dict[str, int]:
    """Numbers of composed songs by split, with the defaults.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Raises:
        ValueError: if options for composed songs and for MIDI files are mixed.
    """
    counts = {f"n_{split}": getattr(args, f"n_{split}") for split in _DEFAULT_COUNTS}
    given = [name for name, count in counts.items() if count is not None]
    if args.midi_dir is not None and given:
        raise ValueError(
            f"--{given[0]} is for composed songs; the files of --midi_dir are split by --fractions."
        )
    if args.midi_dir is None and args.max_seconds is not None:
        raise ValueError(
            "--max_seconds is for the files of --midi_dir; use --seconds for composed songs."
        )
    return {
        split: default if counts[f"n_{split}"] is None else counts[f"n_{split}"]
        for split, default in _DEFAULT_COUNTS.items()
    }


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: if options contradict each other, or the folder contains other tracks.
        OSError: if a file, SoundFont or renderer is missing, or rendering fails.
    """
    from ..synthesis.synthesize import synthesize

    summary = synthesize(
        args.out_dir,
        **{f"n_{split}": count for split, count in song_counts(args).items()},
        seconds=args.seconds,
        seed=args.seed,
        sample_rate=args.sample_rate,
        soundfonts=args.soundfont,
        validation_soundfonts=args.validation_soundfont,
        unseen_soundfonts=args.unseen_soundfont,
        mix_soundfonts=args.mix_soundfonts,
        renderer=args.renderer,
        jobs=args.jobs,
        midi_dir=args.midi_dir,
        fractions=args.fractions,
        max_seconds=args.max_seconds,
        level_spread=args.level_spread,
        color_db=args.color_db,
        synthetic=args.synthetic,
        varispeed=args.varispeed,
        drums=args.drums,
        others=args.others,
        programs=args.programs,
        mixing=args.mixing,
        mma=args.mma,
        overwrite=args.overwrite,
        quiet=args.quiet,
    )
    if not args.quiet:
        tracks = ", ".join(f"{split} {count}" for split, count in summary["tracks"].items())
        print(f"{args.out_dir}: {tracks} ({summary['made']} made, {summary['kept']} kept).")
        for name, reason in summary["skipped"].items():
            print(f"Skipped {name}: {reason}.")
    return 0
