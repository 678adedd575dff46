"""Any ensemble is synthesized, prepared, and separated with its score."""

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch

from asteroid_scoresup.data import Manifest, ScoreInformedMasks
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.evaluation import si_sdr
from asteroid_scoresup.synthesis.synthesize import synthesize

RATE = 16000
#: Name, program (128: drums), lowest and highest pitch of the players of a big band.
BIG_BAND = [
    ("Alto Sax", 65, 58, 75), ("Tenor Sax", 66, 50, 68), ("Baritone Sax", 67, 40, 58),
    ("Trumpet", 56, 60, 80), ("Trombone", 57, 46, 64), ("Bass Trombone", 58, 34, 52),
    ("Clarinet", 71, 62, 84), ("Flute", 73, 72, 92), ("Guitar", 26, 48, 68),
    ("Piano", 0, 48, 84), ("Bass", 32, 30, 48), ("Drums", 128, 36, 51),
]  # fmt: skip
QUARTET = [("Violin I", 40, 67, 88), ("Violin II", 40, 60, 76), ("Viola", 41, 52, 70),
           ("Cello", 42, 36, 56)]  # fmt: skip


def write_score(path, players, seconds):
    """Each player has a random part in its range, with an own rhythm."""
    midi = pretty_midi.PrettyMIDI()
    rng = np.random.default_rng(0)
    for name, program, low, high in players:
        is_drum = program == 128
        part = pretty_midi.Instrument(0 if is_drum else program, is_drum, name)
        start = float(rng.uniform(0, 0.3))
        while start < seconds - 0.5:
            length = float(rng.choice([0.25, 0.5, 0.75]))
            pitch = int(rng.choice([36, 38, 42, 49])) if is_drum else int(rng.integers(low, high))
            part.notes.append(pretty_midi.Note(90, pitch, start, start + 0.9 * length))
            start += length
        midi.instruments.append(part)
    path.parent.mkdir()
    midi.write(str(path))


@pytest.mark.parametrize(
    ("players", "classes", "gain"),
    [
        (QUARTET, "violins=40;viola=41;cello=42", 5.0),
        (QUARTET, "first=@Violin I;second=@Violin II;viola=41;cello=42", 4.0),
        (
            BIG_BAND,
            "alto=65;tenor=66;baritone=67;trumpet=56;trombone=57;tuba=58;clarinet=71;flute=73;"
            "guitar=24-31;piano=0-7;bass=32-39;drums=drums",
            5.0,
        ),
    ],
)
@pytest.mark.slow
def test_ensembles_are_separated_with_their_scores(tmp_path, players, classes, gain):
    write_score(tmp_path / "midi" / "a.mid", players, 5.0)
    synthesize(
        tmp_path / "songs", midi_dir=tmp_path / "midi", fractions=(1, 0, 0), sample_rate=RATE,
        renderer="tinysoundfont", jobs=1, quiet=True,
    )  # fmt: skip
    prepare(
        tmp_path / "songs", tmp_path / "prepared", classes=classes, sample_rate=RATE, check=False,
        jobs=1, progress=False,
    )  # fmt: skip
    manifest = Manifest.load(tmp_path / "prepared")
    (track,) = manifest.tracks
    assert all(track.n_notes[name] for name in manifest.names)
    masks = ScoreInformedMasks(manifest).read(track)
    stft = STFT(2048, 512, RATE)
    mixture = torch.from_numpy(manifest.read_mixture(track))
    estimates = stft.separated(stft(mixture[None]), masks[None], len(mixture))[0]
    improved = []
    for name, estimate in zip(manifest.names, estimates):
        stem = torch.from_numpy(sf.read(manifest.stem_path(track, name), dtype="float32")[0])
        improved.append(float(si_sdr(estimate, stem) - si_sdr(mixture, stem)))
    assert np.mean(improved) > gain and min(improved) > 0
