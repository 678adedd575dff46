"""What `gpu.py` measures, part by part. Each part yields rows, and stops when its time is over."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import product_speed, wait_for
from training import operations, prepare, settings

#: A row of a table: its name and its numbers. Numbers of None: the row did not fit.
Row = tuple[str, dict[str, Any] | None]
NAMES, RATE = ("bass", "guitar", "piano"), 16000
WEIGHTS = {"transcription": 0.2, "clip": 0.5, "informed": 3.0}
STEPS = ("step 1", "step 2, clip+informed", "step 3, aml+atl")
#: Sizes with which the command is tried on a CPU.
TINY = {
    "n_blocks": 2, "n_repeats": 1, "bn_chan": 8, "hid_chan": 16, "segment": 1.024, "n_fft": 512,
    "hop_length": 256, "s_batch_size": 3, "varispeed": 1, "n_partials": 5,
}  # fmt: skip


class Bench:
    """The device, the sizes, and the folder of prepared songs.

    Args:
        device (str): ``cuda`` or ``cpu``.
        preset (str): Preset of the recipe.
        tiny (bool): Whether everything is small, to try the command.
        songs (Path): The prepared songs.
    """

    def __init__(self, device: str, preset: str, tiny: bool, songs: Path) -> None:
        self.device, self.tiny, self.songs = device, tiny, songs
        self.conf = {**settings(preset), **(TINY if tiny else {})}
        # As the recipe does it: products in float32 may use TF32.
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(0)
        self._peak: float | None = None

    def autocast(self) -> torch.autocast:
        """The precision of all trainings."""
        return torch.autocast(self.device, torch.bfloat16)

    @property
    def peak(self) -> float:
        """Floating-point operations per second in large bfloat16 products."""
        if self._peak is None:
            size = 64 if self.tiny else 8192
            self._peak = product_speed(size, 20, self.device, torch.bfloat16)
        return self._peak

    def seconds(self, work: Callable[[], object], until: float, least: float = 2.0) -> float:
        """Time of a call, in s, after three calls for warm-up, measured for `least` s.

        The median over groups of calls, of which only the last is waited for, as in a training.
        """
        for _ in range(1 if self.tiny else 3):
            work()
        wait_for(self.device)
        taken: list[float] = []
        size = 1 if self.tiny else 5
        stop = min(time.time() + (0 if self.tiny else least), until)
        while not taken or time.time() < stop:
            start = time.perf_counter()
            for _ in range(size):
                work()
            wait_for(self.device)
            taken.append((time.perf_counter() - start) / size)
        return statistics.median(taken)

    def network(self) -> dict[str, Any]:
        """Arguments of the networks."""
        keys = ("n_fft", "hop_length", "n_blocks", "n_repeats", "bn_chan", "hid_chan")
        return dict(sources=NAMES, sample_rate=RATE, **{key: self.conf[key] for key in keys})


def peak(bench: Bench, until: float) -> Iterator[Row]:
    """Speed of large products: the limit that other numbers are compared with."""
    yield "bfloat16 product", {"tflop_per_s": bench.peak / 1e12}
    size = 64 if bench.tiny else 8192
    found = product_speed(size, 10, bench.device)
    yield "float32 product (TF32 allowed)", {"tflop_per_s": found / 1e12}


def training(bench: Bench, until: float, compiled: bool = False) -> Iterator[Row]:
    """Updates of steps 1 to 3 on data that are on the device already."""
    batches = [bench.conf["s_batch_size"]]
    if not (compiled or bench.tiny):
        batches.append(4 * batches[0])
    short, clips = {**bench.conf, "segment": 2.048}, 3
    frames = round(short["segment"] * RATE / short["hop_length"]) + 1
    for batch, case in itertools.product(batches, STEPS):
        name = f"{case}, batch {batch}{', compiled' if compiled else ''}"
        if time.time() > until:
            yield name, None
            continue
        # Counted on a CPU, where torch does not mistake depthwise convolutions for full ones.
        per_frame = operations(prepare(case, short, clips)) / clips / frames
        update = prepare(case, bench.conf, batch, compiled, bench.device)
        with bench.autocast():
            seconds = bench.seconds(update, until)
        n_frames = round(bench.conf["segment"] * RATE / bench.conf["hop_length"]) + 1
        speed = per_frame * batch * n_frames / seconds
        yield (
            name,
            {
                "updates_per_s": 1 / seconds,
                "audio_s_per_s": batch * bench.conf["segment"] / seconds,
                "gflop_per_s": speed / 1e9,
                "of_the_peak": speed / bench.peak,
            },
        )


def compiled(bench: Bench, until: float) -> Iterator[Row]:
    """The same with torch.compile, which first needs half a minute or more."""
    yield from training(bench, until, compiled=True)


class StepTwo:
    """Updates of step 2 with batches of the data path."""

    def __init__(self, bench: Bench) -> None:
        from asteroid_scoresup.engine import adam
        from asteroid_scoresup.losses import ScoreSupervisedLoss
        from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator

        self.bench = bench
        critic = ScoreTranscriptor(**bench.network()).to(bench.device)
        self.model = TCNSeparator(**bench.network()).to(bench.device)
        self.loss = ScoreSupervisedLoss(WEIGHTS, self.model.stft, critic).to(bench.device)
        self.optimizer = adam(self.model, 0.001)

    def update(self, batch: Any) -> None:
        """One update; the batch may be anywhere."""
        wav, targets = move(batch, self.bench.device)
        with self.bench.autocast():
            loss = self.loss(self.model.spectrograms(wav), targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()


def move(batch: Any, device: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A batch on a device, as Lightning moves it."""
    from pytorch_lightning.utilities import move_data_to_device

    return move_data_to_device(batch, torch.device(device))


def real_batches(bench: Bench, workers: int, deferred: bool) -> Iterable[Any]:
    """The recipe's training loader of step 2, with score-informed masks."""
    from asteroid_scoresup.data import Manifest, ScoreInformedMasks
    from asteroid_scoresup.engine import training_loaders

    conf, manifest = bench.conf, Manifest.load(bench.songs)
    masks = ScoreInformedMasks(manifest, conf["n_fft"], conf["hop_length"])
    masks.fit_all(manifest.tracks, 1, progress=False, device=bench.device)
    keys = ("gain_db", "eq_db", "varispeed", "saliency")
    return training_loaders(
        manifest,
        10**6,
        conf["s_batch_size"],
        augment={key: conf[key] for key in keys},
        num_workers=workers,
        deferred=deferred,
        soft_masks=masks,
        **{key: conf[key] for key in ("segment", "n_fft", "hop_length")},
    )[0]


def loading(bench: Bench, until: float) -> Iterator[Row]:
    """Step 2 on batches of the data path: how much of the time the device waits for them."""
    step, seconds = StepTwo(bench), 0.0
    most = (0, 1) if bench.tiny else (0, 1, 2, 4, 8, 16)
    rows = [(workers, True) for workers in most] + [(most[-1], False)]
    window = 0.0 if bench.tiny else max((until - time.time()) / len(rows) - 3, 1)
    for workers, deferred in rows:
        name = f"{workers} workers{'' if deferred else ', all of it in the workers'}"
        if time.time() > until:
            yield name, None
            continue
        batches = iter(real_batches(bench, workers, deferred))
        first = move(next(batches), bench.device)
        if not seconds:
            seconds = bench.seconds(lambda batch=first: step.update(batch), until)
        for batch in itertools.islice(batches, 1 if bench.tiny else 2 * max(workers, 1)):
            step.update(batch)  # until what the workers had prepared is used up
        wait_for(bench.device)
        start, count = time.perf_counter(), 0
        while not count or time.perf_counter() < start + window:
            step.update(next(batches))
            count += 1
        wait_for(bench.device)
        each = (time.perf_counter() - start) / count
        del batches
        yield (
            name,
            {
                "updates_per_s": 1 / each,
                "segments_per_s": bench.conf["s_batch_size"] / each,
                "waiting": max(1 - seconds / each, 0.0),
            },
        )


def memory(bench: Bench, until: float) -> Iterator[Row]:
    """Memory over the updates of step 2 with the data path."""
    step, most = StepTwo(bench), 3 if bench.tiny else 2000
    workers = 0 if bench.tiny else min(8, os.cpu_count() or 1)
    samples: list[list[float]] = []
    for number, batch in enumerate(real_batches(bench, workers, True)):
        if number == most or (number > 2 and time.time() > until):
            break
        step.update(batch)
        if bench.tiny or number % 10 == 9:
            samples.append([resident_mib(), *device_mib(bench.device)])
    third = max(len(samples) // 3, 1)
    named = ("host_mib", "allocated_mib", "reserved_mib")
    first, last = (np.median(part, 0) for part in (samples[:third], samples[-third:]))
    numbers = {f"{name}_{when}": float(value)
               for when, values in (("first", first), ("last", last))
               for name, value in zip(named, values)}  # fmt: skip
    yield "step 2, first and last third", {"updates": number, **numbers}


def resident_mib() -> float:
    """Resident memory of this process, where the system provides it."""
    path = Path("/proc/self/statm")
    pages = int(path.read_text().split()[1]) if path.is_file() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def device_mib(device: str) -> tuple[float, float]:
    """Memory of tensors on a GPU, and of the allocator."""
    if device == "cpu":
        return 0.0, 0.0
    return torch.cuda.memory_allocated() / 2**20, torch.cuda.memory_reserved() / 2**20


def separation(bench: Bench, until: float) -> Iterator[Row]:
    """Separation of five minutes of stereo, from arrays to arrays, and by the network alone."""
    from asteroid_scoresup.inference import Separator
    from asteroid_scoresup.models import TCNSeparator

    seconds = 2 if bench.tiny else 300
    model, rng = TCNSeparator(**bench.network()).eval(), np.random.default_rng(0)
    for rate, precision in itertools.product((RATE, 44100), ("bfloat16", "float32")):
        name = f"{rate} Hz, {precision}"
        if time.time() > until:
            yield name, None
            continue
        song = (0.1 * rng.standard_normal((2, seconds * rate))).astype(np.float32)
        separator = Separator(model, device=bench.device, precision=precision)
        taken = bench.seconds(lambda s=separator, x=song, r=rate: s.separate(x, r), until, 1.0)
        yield name, {"times_real_time": seconds / taken, "seconds": taken}
    wav = 0.1 * torch.randn(1, seconds * RATE, device=bench.device)
    with torch.no_grad(), bench.autocast():
        taken = bench.seconds(lambda: model.to(bench.device)(wav), until, 1.0)
    yield "mono, network and STFT on the device", {
        "times_real_time": seconds / taken, "seconds": taken
    }  # fmt: skip


def masks(bench: Bench, until: float) -> Iterator[Row]:
    """Score-informed masks of a song of four minutes."""
    from asteroid_scoresup.dsp import STFT
    from asteroid_scoresup.score import (
        HarmonicTemplates,
        Notes,
        onset_roll,
        score_informed_nmf,
        soft_masks,
        sounding_roll,
    )

    seconds, rng = 4 if bench.tiny else 240, np.random.default_rng(0)
    count = 10 * seconds
    onset = np.sort(rng.uniform(0, seconds - 1, count))
    columns = rng.integers(30, 90, count), rng.integers(0, 3, count), rng.integers(40, 127, count)
    notes = Notes(onset, onset + rng.uniform(0.1, 0.9, count), *columns)
    stft = STFT(2048, 512, RATE).to(bench.device)
    wav = torch.randn(1, seconds * RATE, device=bench.device)
    size = (3, stft.n_frames(wav.shape[-1]), stft.grid)
    templates = HarmonicTemplates(RATE, 2048).to(bench.device)

    def rolls() -> tuple[torch.Tensor, torch.Tensor]:
        return (
            sounding_roll(notes, *size, device=bench.device),
            onset_roll(notes, *size).to(bench.device),
        )

    drawn = rolls()
    parts: dict[str, Callable[[], object]] = {
        "rolls": rolls,
        "factorization": lambda: score_informed_nmf(magnitude, *drawn, templates),
        "masks of all frames": lambda: soft_masks(factors, 3),
        "all of it, with the STFT": lambda: soft_masks(
            score_informed_nmf(stft.magnitude(stft(wav))[0], *rolls(), templates), 3
        ),
    }
    magnitude = stft.magnitude(stft(wav))[0]
    factors = score_informed_nmf(magnitude, *drawn, templates)
    for name, work in parts.items():
        yield name, {"ms": 1000 * bench.seconds(work, until, 0.5)}


def kernels(bench: Bench, until: float) -> Iterator[Row]:
    """Two ways to compute the depthwise convolutions, forward and backward, in bfloat16."""
    from asteroid_scoresup.kernels.depthwise import plain_depthwise_conv, recorded_depthwise_conv

    conf = bench.conf
    frames = round(conf["segment"] * RATE / conf["hop_length"]) + 1
    options = dict(device=bench.device, dtype=torch.bfloat16, requires_grad=True)
    x = torch.randn(conf["s_batch_size"], frames, conf["hid_chan"], **options)
    weight = torch.randn(conf["hid_chan"], 1, 3, **options)
    bias = torch.randn(conf["hid_chan"], **options)
    ways = {"convolution": plain_depthwise_conv, "shifted sum": recorded_depthwise_conv}
    for (name, way), dilation in itertools.product(ways.items(), (1, 2 ** (conf["n_blocks"] - 1))):

        def work(way=way, dilation=dilation):
            way(x, weight, bias, dilation).sum().backward()

        yield f"{name}, dilation {dilation}", {"ms": 1000 * bench.seconds(work, until, 0.3)}


#: The parts by name; `gpu.py` says how much time each has.
PARTS: dict[str, Callable[[Bench, float], Iterator[Row]]] = {
    "peak": peak,
    "training": training,
    "masks": masks,
    "separation": separation,
    "loading": loading,
    "memory": memory,
    "kernels": kernels,
    "compiled": compiled,
}
