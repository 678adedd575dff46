"""``asteroid-scoresup synthesize``: a Slakh-format data set from composed songs or MIDI files."""

from __future__ import annotations

# What composed data sets get if nothing is asked for; MIDI files are split by --fractions.
_DEFAULT_COUNTS = {"train": 100, "validation": 10, "test": 10, "test_unseen": 10}


def add_arguments(parser):
    """Declares the flags of the command.

    Args:
        parser (argparse.ArgumentParser): Where to declare them.
    """
    # The choices are data.render.RENDERERS; importing them here would make --help wait for torch.
    add = parser.add_argument
    add("out_dir", metavar="OUT", help="folder to write; finished tracks in it are kept")
    for split, count in _DEFAULT_COUNTS.items():
        what = "a test with programs never trained on" if split == "test_unseen" else split
        add(f"--n_{split}", type=int, metavar="N", help=f"songs for {what} (default {count})")
    add("--seconds", type=float, default=30.0, help="length of a composed song (default 30)")
    add("--seed", type=int, default=0, help="another seed, another data set (default 0)")
    add("--sample_rate", type=int, default=44100, help="of the audio files, in Hz (default 44100)")
    add(
        "--soundfont",
        action="append",
        metavar="SF2",
        help="SoundFont to play with; given several times, each song draws one "
        "(default: TimGM6mb.sf2 of pretty_midi)",
    )
    add(
        "--unseen_soundfont",
        action="append",
        metavar="SF2",
        help="SoundFont of the split test_unseen, may be given several times (default: the same)",
    )
    add(
        "--renderer",
        choices=("auto", "fluidsynth", "tinysoundfont"),
        default="auto",
        help="what plays the SoundFont (default auto: the first that is installed)",
    )
    add("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    add("--midi_dir", metavar="DIR", help="render the MIDI files below DIR instead of composing")
    add(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the splits among the MIDI files (default 0.8 0.1 0.1)",
    )
    add("--max_seconds", type=float, help="cut longer MIDI files there (default: whole songs)")
    add(
        "--level_spread",
        type=float,
        default=2.5,
        metavar="DB",
        help="standard deviation of the random gain of each stem, in dB (default 2.5)",
    )
    add(
        "--color_db",
        type=float,
        default=5.0,
        metavar="DB",
        help="how much composed training stems are colored: drive, tremolo, equalizer with this "
        "standard deviation per band, in dB (default 5; 0 for not at all)",
    )
    add(
        "--invented",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share of the composed training stems that an invented instrument plays (default 0.5)",
    )
    add(
        "--varispeed",
        type=float,
        default=4.0,
        metavar="SEMITONES",
        help="largest shift of the tape of other composed training stems (default 4)",
    )
    add("--drums", action="store_true", help="composed songs have a drummer, as a stem of its own")
    add(
        "--others",
        type=int,
        default=0,
        metavar="N",
        help="composed songs have up to N players of no class: voices, strings, winds (default 0)",
    )
    add("--overwrite", action="store_true", help="replace tracks made with other settings")
    add("--quiet", action="store_true", help="no progress bar, no summary")


def run(args):
    """Runs the command.

    Args:
        args (argparse.Namespace): What :func:`add_arguments` declared.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: If options make no sense together, or the folder holds other tracks.
        OSError: If a file, SoundFont or renderer is missing, or rendering fails.
    """
    from ..synthesis.synthesize import synthesize

    counts = {f"n_{split}": getattr(args, f"n_{split}") for split in _DEFAULT_COUNTS}
    given = [name for name, count in counts.items() if count is not None]
    if args.midi_dir is not None and given:
        raise ValueError(
            f"--{given[0]} counts composed songs; the files of --midi_dir are split by --fractions."
        )
    if args.midi_dir is None and args.max_seconds is not None:
        raise ValueError("--max_seconds cuts the files of --midi_dir; use --seconds to compose.")
    for split, count in _DEFAULT_COUNTS.items():
        if counts[f"n_{split}"] is None:
            counts[f"n_{split}"] = count
    done = synthesize(
        args.out_dir,
        **counts,
        seconds=args.seconds,
        seed=args.seed,
        sample_rate=args.sample_rate,
        soundfonts=args.soundfont,
        unseen_soundfonts=args.unseen_soundfont,
        renderer=args.renderer,
        jobs=args.jobs,
        midi_dir=args.midi_dir,
        fractions=args.fractions,
        max_seconds=args.max_seconds,
        level_spread=args.level_spread,
        color_db=args.color_db,
        invented=args.invented,
        varispeed=args.varispeed,
        drums=args.drums,
        others=args.others,
        overwrite=args.overwrite,
        quiet=args.quiet,
    )
    if not args.quiet:
        tracks = ", ".join(f"{split} {count}" for split, count in done["tracks"].items())
        print(f"{args.out_dir}: {tracks} ({done['made']} made, {done['kept']} kept).")
        for name, reason in done["skipped"].items():
            print(f"Skipped {name}: {reason}.")
    return 0
