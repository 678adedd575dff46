r"""What the number of classes costs: quality and time of score-informed masks.

Random parts, one player per class, are rendered with the default SoundFont and separated with their
scores. More classes mean more players: the mixture gets denser, and a stem is a smaller part of it.
Columns: SI-SDR of the mixture as an estimate, of the score-informed masks and of the ideal ratio
masks of the same STFT, in dB, averaged over classes and songs; CPU seconds of the factorization per
minute of audio, and of making the masks of all classes.

    python benchmarks/classes.py --songs 2 --seconds 8
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pretty_midi
import torch

from asteroid_scoresup.data import ClassMap, Manifest, ScoreInformedMasks
from asteroid_scoresup.data.classes import FAMILIES
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.evaluation import si_sdr
from asteroid_scoresup.synthesis.synthesize import synthesize
from asteroid_scoresup.utils.files import read_audio

RATE = 16000
#: Families of each size; drums, where there are any, are the last class.
ENSEMBLES = {
    3: ("bass", "guitar", "piano"),
    4: ("bass", "guitar", "piano", "drums"),
    12: (
        *("piano", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe"),
        *("synth_lead", "synth_pad", "drums"),
    ),
    17: ClassMap.parse(FAMILIES).names,
}
#: Pitches of a part; bass and reed, for example, play in different registers.
RANGES = {"bass": (30, 48), "brass": (46, 70), "strings": (48, 80), "pipe": (65, 90)}


def write_score(path: Path, classes: ClassMap, seconds: float, rng: np.random.Generator) -> None:
    """A random part for each class, each with a rhythm of its own."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for source in classes.classes:
        program = int(rng.choice(sorted(source.programs)))
        is_drum = program == 128
        part = pretty_midi.Instrument(0 if is_drum else program, is_drum, source.name)
        low, high = RANGES.get(source.name, (50, 78))
        start = float(rng.uniform(0, 0.5))
        while start < seconds - 0.5:
            length = float(rng.choice([0.25, 0.5, 1.0]))
            pitch = rng.choice([36, 38, 42, 46, 49]) if is_drum else rng.integers(low, high)
            end = start + 0.9 * length
            part.notes.append(pretty_midi.Note(90, int(pitch), start, min(end, seconds)))
            start += length * float(rng.choice([1, 1, 1, 2]))
        midi.instruments.append(part)
    midi.write(str(path))


def measure(names: tuple[str, ...], songs: int, seconds: float, seed: int) -> list[float]:
    """The columns of a table row."""
    families = {source.name: source for source in ClassMap.parse(FAMILIES).classes}
    classes = ClassMap(families[name] for name in names)
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "midi").mkdir()
        for number in range(songs):
            write_score(root / "midi" / f"{number}.mid", classes, seconds, rng)
        synthesize(
            root / "songs", midi_dir=root / "midi", fractions=(1, 0, 0), sample_rate=RATE, jobs=1,
            quiet=True,
        )  # fmt: skip
        prepare(
            root / "songs", root / "prepared", classes=classes, sample_rate=RATE, check=False,
            jobs=1, progress=False,
        )  # fmt: skip
        return _scores(Manifest.load(root / "prepared"))


def _scores(manifest: Manifest) -> list[float]:
    """Means of the SI-SDRs, then seconds per minute of audio."""
    stft = STFT(2048, 512, RATE)
    masks = ScoreInformedMasks(manifest)
    values, fit_time, mask_time, minutes = [], 0.0, 0.0, 0.0
    for track in manifest.tracks:
        began = time.process_time()
        masks.fit(track)
        fitted = time.process_time()
        informed = masks.read(track)
        mask_time += time.process_time() - fitted
        fit_time += fitted - began
        minutes += track.n_samples / RATE / 60
        mixture = torch.from_numpy(manifest.read_mixture(track))
        paths = [manifest.stem_path(track, name) for name in manifest.names]
        stems = torch.from_numpy(np.stack([read_audio(path)[0] for path in paths])).float()
        magnitude = stft.magnitude(stft(stems))
        ideal = magnitude / magnitude.sum(0).clamp(min=1e-9)
        spectrum = stft(mixture[None])
        estimates = [mixture.expand_as(stems)]
        for chosen in (informed, ideal):
            estimates.append(stft.separated(spectrum, chosen[None], len(mixture))[0])
        values.append([float(np.mean(si_sdr(estimate, stems))) for estimate in estimates])
    return [*np.mean(values, axis=0), fit_time / minutes, mask_time / minutes]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--songs", type=int, default=2, help="songs per row (default: 2)")
    parser.add_argument("--seconds", type=float, default=8.0, help="their length (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| classes | mixture | score-informed | ratio mask | gain | fit, s/min | masks, s/min |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for n_classes, names in ENSEMBLES.items():
        mixed, informed, ideal, fit, read = measure(names, args.songs, args.seconds, args.seed)
        columns = (mixed, informed, ideal, informed - mixed, fit, read)
        print(f"| {n_classes} | " + " | ".join(f"{value:.1f}" for value in columns) + " |")


if __name__ == "__main__":
    main()
