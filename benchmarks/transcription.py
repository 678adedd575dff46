"""Transcriptors side by side, on the same songs: note F1 on mixtures and on single stems.

    python benchmarks/transcription.py --tests test=PREPARED:test,freedoom=PREPARED:test \\
        --validation PREPARED --model tcn=T.pth --model pitch=P.pth --basic_pitch

Every song counts once, and every stem that has notes. On stems, a system may name any class, since
Basic Pitch knows none; *own class* counts the notes of the class of the stem alone. Thresholds of
our models are chosen on the validation songs (mixtures and scores); those of Basic Pitch are its
defaults. Basic Pitch needs ``pip install basic-pitch`` (its ONNX model is used).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cases import report

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import Decoding, choose_decoding
from asteroid_scoresup.evaluation.evaluate import TestTrack, fit_decoding, tracks_to_score
from asteroid_scoresup.evaluation.transcription import frame_accuracy, note_scores
from asteroid_scoresup.models import ScoreTranscriptor
from asteroid_scoresup.score import Notes, piano_roll
from asteroid_scoresup.utils.files import write_audio

COLUMNS = [
    "mixture, classes",
    "mixture, any class",
    "mixture, classes, offsets",
    "mixture, frame accuracy",
    "stems, own class",
    "stems, any class",
    "stems, any class, offsets",
    "x real time",
]


class Ours:
    """A transcriptor of this package with thresholds from validation songs."""

    def __init__(self, path: str, validation: Manifest) -> None:
        self.model = ScoreTranscriptor.from_pretrained(path)
        self.decoding = fit_decoding(validation, self.model)
        self.any_decoding = self._for_any_class(validation)
        self.grid = (self.model.stft.hop_length, self.model.sample_rate)

    @torch.no_grad()
    def _for_any_class(self, validation: Manifest) -> Decoding:
        """Thresholds for the most probable class of each pitch."""
        songs = []
        for track in validation.select("validation"):
            song = TestTrack(validation, track)
            probs = self.model.note_probs(song.mixture, song.level).amax(1, keepdim=True)
            grid = (self.model.stft.hop_length, self.model.sample_rate)
            songs.append((without_classes(song.notes), probs.numpy(), *grid))
        return choose_decoding(songs, ["any"])

    @torch.no_grad()
    def __call__(self, wav: torch.Tensor, level: float) -> tuple[Notes, Notes, np.ndarray | None]:
        """Notes by class, notes without classes, and the probabilities of frames."""
        probs = self.model.note_probs(wav, level).numpy()
        anyone = self.any_decoding.notes(probs.max(1, keepdims=True), *self.grid)
        return self.decoding.notes(probs, *self.grid), anyone, probs[0]


class BasicPitch:
    """Spotify's Basic Pitch (Bittner et al. 2022) with its default thresholds."""

    def __init__(self, folder: Path, sample_rate: int) -> None:
        import basic_pitch
        from basic_pitch.inference import Model, predict

        model = Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx"
        self.model, self.predict = Model(model), predict
        self.path, self.sample_rate = folder / "song.wav", sample_rate

    def __call__(self, wav: torch.Tensor, level: float) -> tuple[None, Notes, None]:
        """Notes without classes."""
        write_audio(self.path, wav.numpy(), self.sample_rate)
        found = sorted(self.predict(self.path, self.model)[2], key=lambda note: note[0])
        columns = np.array([note[:3] for note in found], dtype=float).reshape(-1, 3).T
        zeros = np.zeros(len(found))
        return None, Notes(*columns[:2], columns[2], zeros, zeros + 90), None


def without_classes(notes: Notes) -> Notes:
    """The notes as if there was one class."""
    return notes.replace(class_index=np.zeros(len(notes)))


def f1(true: Notes, found: Notes, names: list[str]) -> tuple[float, float]:
    """Mean note F1 over the classes that play, without and with offsets."""
    rows = note_scores(true, found, names)
    values = np.array([[row["note_f1"], row["note_f1_offset"]] for row in rows])
    return tuple(np.nanmean(values, axis=0))


def measure(system: Callable, manifest: Manifest, split: str) -> dict[str, float]:
    """All columns for one system on one test set."""
    values: dict[str, list[float]] = {name: [] for name in COLUMNS}
    names = list(manifest.names)
    seconds = spent = 0.0

    def transcribe(wav: torch.Tensor, level: float) -> tuple:
        nonlocal seconds, spent
        start = time.process_time()
        found = system(wav, level)
        spent += time.process_time() - start
        seconds += len(wav) / manifest.sample_rate
        return found

    for track in tracks_to_score(manifest, split):
        song = TestTrack(manifest, track)
        by_class, anyone, frames = transcribe(song.mixture, song.level)
        union = without_classes(song.notes)
        values["mixture, any class"].append(f1(union, anyone, ["any"])[0])
        if by_class is not None:
            onsets, offsets = f1(song.notes, by_class, names)
            values["mixture, classes"].append(onsets)
            values["mixture, classes, offsets"].append(offsets)
            roll = piano_roll(song.notes, *song.roll_size(system.model.stft))
            accuracy = np.nanmean(frame_accuracy(roll, frames))
            values["mixture, frame accuracy"].append(float(accuracy))
        for index, name in enumerate(names):
            own = song.notes.select(song.notes.class_index == index)
            if not len(own):
                continue
            by_class, anyone, _ = transcribe(song.stems[name], song.level)
            own = without_classes(own)
            onsets, offsets = f1(own, anyone, ["any"])
            values["stems, any class"].append(onsets)
            values["stems, any class, offsets"].append(offsets)
            if by_class is not None:
                mine = without_classes(by_class.select(by_class.class_index == index))
                values["stems, own class"].append(f1(own, mine, ["any"])[0])
    values["x real time"] = [seconds / spent]
    return {name: float(np.mean(found)) for name, found in values.items() if found}


def main() -> None:
    """Prints one table per test set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", required=True, help="comma-separated NAME=PREPARED:SPLIT")
    parser.add_argument("--validation", required=True, help="prepared folder, for the thresholds")
    parser.add_argument("--model", action="append", default=[], help="NAME=FILE, may be repeated")
    parser.add_argument("--basic_pitch", action="store_true", help="Basic Pitch beside them")
    parser.add_argument("--out", default=".", help="folder for temporary audio")
    args = parser.parse_args()
    torch.set_num_threads(1)
    validation = Manifest.load(args.validation)
    systems: dict[str, Callable] = {}
    for text in args.model:
        name, _, path = text.partition("=")
        systems[name] = Ours(path, validation)
    if args.basic_pitch:
        systems["Basic Pitch"] = BasicPitch(Path(args.out), int(validation.sample_rate))
    for test in args.tests.split(","):
        name, _, place = test.partition("=")
        folder, _, split = place.rpartition(":")
        manifest = Manifest.load(folder)
        rows = {who: measure(system, manifest, split) for who, system in systems.items()}
        report(name, COLUMNS, rows, {"test": name})


if __name__ == "__main__":
    main()
