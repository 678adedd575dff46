"""A tiny prepared folder of additive tones, tiny networks, and the three steps with them."""

import numpy as np
import torch
from asteroid.engine.system import System

from asteroid_scoresup.data import Manifest, PreparedTrack, ScoreDataset, make_loader
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.engine import (
    FineTuneSystem,
    SeparatorTrainingWrapper,
    TranscriptorTrainingWrapper,
    warmup_cosine,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss, TranscriptionLoss
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.score import HarmonicTemplates, Notes
from asteroid_scoresup.utils.files import write_audio

RATE, N_FFT, HOP = 4000, 256, 64
NAMES = ("bass", "guitar", "piano")
CLASSES = "bass=32-39;guitar=24-31;piano=0-7"
SPLITS = {"train": 3, "validation": 1, "test": 1}
NET = dict(
    n_fft=N_FFT, hop_length=HOP, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32, sample_rate=RATE
)
# Each class has its own register and color, so that there is something to learn.
LOWEST = {"bass": 36, "guitar": 55, "piano": 72}
DECAY = {"bass": 0.7, "guitar": 0.5, "piano": 0.3}


def tone(pitch, seconds, rate=RATE, n_partials=6, decay=0.6, amplitude=0.1, detune=1.0, ramp=0.005):
    """A steady note of `n_partials` harmonics, those above Nyquist left out, with short ramps."""
    time = np.arange(round(seconds * rate)) / rate
    fundamental = 440 * 2 ** ((pitch - 69) / 12) * detune
    wave = np.zeros(len(time))
    for k in range(1, n_partials + 1):
        if k * fundamental < rate / 2:
            wave += decay ** (k - 1) * np.sin(2 * np.pi * k * fundamental * time + k)
    envelope = np.minimum(1, np.minimum(time, time[::-1]) / ramp)
    return (amplitude * envelope * wave).astype(np.float32)


def random_notes(rng, seconds, n_src=3, length=0.4):
    """About two notes of each class per second, in the class's register."""
    tables = []
    for source in range(n_src):
        onset = np.sort(rng.uniform(0, seconds - length, max(int(2 * seconds), 1)))
        onset = onset[np.diff(onset, prepend=-1) > length]
        offset = onset + rng.uniform(0.6, 1, len(onset)) * length
        pitch = LOWEST[NAMES[source]] + rng.integers(0, 12, len(onset))
        tables.append(
            Notes(onset, offset, pitch, np.full(len(onset), source), np.full(len(onset), 100))
        )
    return Notes.concatenate(tables)


def render(notes, seconds, n_src=3, rate=RATE):
    """The sources of a score, float32, shape (n_src, time)."""
    sources = np.zeros((n_src, round(seconds * rate)), dtype=np.float32)
    columns = zip(notes.onset, notes.offset, notes.pitch, notes.class_index)
    for onset, offset, pitch, source in columns:
        wave = tone(pitch, offset - onset, rate, decay=DECAY[NAMES[source]])
        start = round(onset * rate)
        wave = wave[: sources.shape[1] - start]
        sources[source, start : start + len(wave)] += wave
    return sources


def write_folder(root, stems=True, splits=None, seconds=4.0, n_src=3, rate=RATE, seed=0):
    """Writes a prepared folder and returns its manifest.

    Args:
        root (Path): Folder to fill.
        stems (bool): Whether the sources are written too.
        splits (dict): Tracks per split.
        seconds (float): Length of each track; tracks get longer by 0.3 s each.
        n_src (int): How many of bass, guitar, piano.
        rate (int): Sample rate.
        seed (int): Of the notes.
    """
    rng = np.random.default_rng(seed)
    names = NAMES[:n_src]
    classes = ClassMap.parse(";".join(CLASSES.split(";")[:n_src]))
    manifest = Manifest(root, rate, classes)
    for split, n_tracks in (splits or SPLITS).items():
        for number in range(n_tracks):
            length = seconds + 0.3 * number
            notes = random_notes(rng, length, n_src)
            sources = render(notes, length, n_src, rate)
            mixture = sources.sum(0)
            track = PreparedTrack(
                id=f"Track{number:05d}",
                split=split,
                n_samples=len(mixture),
                rms=float(np.sqrt(np.mean(mixture**2))),
                n_notes={name: int((notes.class_index == i).sum()) for i, name in enumerate(names)},
                stems=list(names) if stems else [],
            )
            manifest.tracks.append(track)
            write_audio(manifest.mixture_path(track), mixture, rate)
            write_notes(manifest.folder(track) / "notes.csv", notes, names)
            if stems:
                for name, source in zip(names, sources):
                    write_audio(manifest.stem_path(track, name), source, rate)
    manifest.save()
    return manifest


def stft():
    """The STFT of the tiny networks."""
    return STFT(N_FFT, HOP, RATE)


def templates(**kwargs):
    """Harmonic templates for it."""
    return HarmonicTemplates(RATE, N_FFT, **{"n_partials": 6, **kwargs})


def separator(seed=0, **kwargs):
    """A tiny separator with reproducible weights."""
    torch.manual_seed(seed)
    return TCNSeparator(NAMES, **{**NET, **kwargs})


def transcriptor(seed=0, **kwargs):
    """A tiny transcriptor with reproducible weights."""
    torch.manual_seed(seed)
    return ScoreTranscriptor(NAMES, **{**NET, **kwargs})


def differing(one, other):
    """Names of the tensors in which two state dicts differ."""
    assert one.keys() == other.keys()
    return [key for key in one if not torch.equal(one[key], other[key])]


def state_of(module):
    """A copy of a module's weights and buffers that later training does not touch."""
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def loaders(manifest, steps=3, batch_size=3, targets="score", **kwargs):
    """Training and validation loader of one-second segments, few enough for a test."""
    shared = dict(segment=1.024, n_fft=N_FFT, hop_length=HOP, targets=targets)
    train = ScoreDataset(manifest, "train", n_segments=steps * batch_size, **shared, **kwargs)
    validation = ScoreDataset(manifest, "validation", **shared)
    return make_loader(train, batch_size), make_loader(validation, batch_size)


def step_one(manifest, steps=3, total=9, lr=0.005):
    """Step 1 as the recipe does it."""
    front = TranscriptorTrainingWrapper(transcriptor())
    optimizer = torch.optim.Adam(front.parameters(), lr)
    schedule = {"interval": "step", "scheduler": warmup_cosine(optimizer, total, 2)}
    return System(front, optimizer, TranscriptionLoss(), *loaders(manifest, steps), schedule)


def step_two(manifest, weights=None, steps=3, total=9, lr=0.005, critic=None, targets="score"):
    """Step 2 as the recipe does it: Asteroid's own System."""
    critic = transcriptor() if critic is None else critic
    front = SeparatorTrainingWrapper(separator(seed=1))
    front.separator.load_trunk(critic)
    weights = weights or {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}
    loss = ScoreSupervisedLoss(weights, stft(), critic, templates())
    optimizer = torch.optim.Adam(front.parameters(), lr)
    schedule = {"interval": "step", "scheduler": warmup_cosine(optimizer, total, 2)}
    train, validation = loaders(manifest, steps, targets=targets)
    return System(front, optimizer, loss, train, validation, schedule)


def step_three(manifest, model=None, critic=None, steps=3, total=9, lr=0.005, **kwargs):
    """Step 3 as the recipe does it."""
    model = separator(seed=1) if model is None else model
    critic = transcriptor() if critic is None else critic
    weights = {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}
    loss = ScoreSupervisedLoss(weights, stft(), critic, templates())
    optimizers = [
        torch.optim.Adam(model.parameters(), lr),
        torch.optim.Adam(critic.parameters(), lr / 2, betas=(0.5, 0.999)),
    ]
    schedules = [warmup_cosine(optimizer, total, 2) for optimizer in optimizers]
    pair = loaders(manifest, steps)
    return FineTuneSystem(model, critic, loss, optimizers, *pair, schedules, **kwargs)


def sharing_by_bins(sources, mixture, share, sounding, power=1.5, edge=1e-4):
    """The sharing loss, bin by bin in NumPy."""
    clips = []
    for b in range(len(mixture)):
        total = norm = 0.0
        for f, t in np.ndindex(mixture[b].shape):
            wanted = share[b, :, f, t]
            if wanted.sum() == 0:
                active = (sounding[b, :, :, t] > 0).any(-1)
                wanted = active / max(active.sum(), 1)
            wanted = np.clip(wanted, edge, 1 - edge)
            ratio = sources[b, :, f, t] / max(mixture[b, f, t], 1e-7)
            mask = edge + (1 - 2 * edge) * np.minimum(ratio, 1)
            divergence = wanted * np.log(wanted / mask)
            divergence += (1 - wanted) * np.log((1 - wanted) / (1 - mask))
            divergence += np.maximum(ratio - 1, 0)
            total += divergence.sum() * mixture[b, f, t] ** power
            norm += mixture[b, f, t] ** power
        clips.append(total / norm)
    return np.mean(clips)
