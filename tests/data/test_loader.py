"""Segments are shared out between processes once, by whoever trains."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from tiny import HOP, N_FFT, write_folder
from torch.utils.data.distributed import DistributedSampler

from asteroid_scoresup.data import ScoreDataset, SegmentSampler, make_loader
from asteroid_scoresup.utils.files import read_audio, write_audio

PACKAGE = Path(__file__).parents[2]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("n_segments", [12, 13])
def test_ranks_share_an_epoch_out(n_segments, world):
    samplers = [SegmentSampler(n_segments, world, rank) for rank in range(world)]
    assert all(isinstance(sampler, DistributedSampler) for sampler in samplers)
    for epoch in range(3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        drawn = [list(sampler) for sampler in samplers]
        assert {len(part) for part in drawn} == {len(samplers[0])} == {n_segments // world}
        together = sorted(number for part in drawn for number in part)
        first = epoch * n_segments
        assert together == list(range(first, first + n_segments // world * world))


def test_bad_places_are_refused():
    with pytest.raises(ValueError, match="num_replicas and rank together"):
        SegmentSampler(4, num_replicas=2)
    with pytest.raises(ValueError, match="rank"):
        SegmentSampler(4, num_replicas=2, rank=2)


#: A training by Lightning alone, or by fit(): writes what each process drew, by epoch.
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from asteroid.engine.system import System
from asteroid_scoresup.data import ScoreDataset, make_loader
from asteroid_scoresup.engine import BatchSeed, fit
from pytorch_lightning import Trainer, seed_everything

folder, out, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

class Noted(ScoreDataset):
    def __getitem__(self, index):
        item = super().__getitem__(index)
        return (item[0], {**item[1], "index": torch.tensor(index)}) if self.n_segments else item

class Noting(System):
    def common_step(self, batch, number, train=True):
        if train:
            seen.append([self.current_epoch, batch[1]["index"].tolist(), torch.rand(1).item()])
        return self.model(batch[0][:, :1]).pow(2).mean()

if __name__ == "__main__":
    seen = []
    seed_everything(0, verbose=False)
    sizes = dict(segment=0.5, n_fft=256, hop_length=64)
    train = Noted(folder, "train", n_segments=12, **sizes)
    validation = ScoreDataset(folder, "validation", **sizes)
    model = torch.nn.Linear(1, 1)
    system = Noting(model, torch.optim.SGD(model.parameters(), 0.1), None,
                    make_loader(train, 3), make_loader(validation, 3))
    if how == "trainer":
        Trainer(max_epochs=2, devices=2, accelerator="cpu", strategy="ddp", logger=True,
                default_root_dir=out, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, callbacks=[BatchSeed()]).fit(system)
    else:
        fit(system, out, 2, devices=2, strategy="ddp", quiet=True, precision="32-true")
    rank = os.environ.get("LOCAL_RANK", "0")
    (out / f"rank{rank}.json").write_text(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["trainer", "fit"])
def test_two_processes_draw_every_segment_once_and_random_numbers_of_their_own(
    fast_python, tmp_path, how
):
    write_folder(tmp_path / "data", stems=False)
    (tmp_path / "train.py").write_text(SCRIPT)
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [fast_python, tmp_path / "train.py", tmp_path / "data", out, how],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = [json.loads((out / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for epoch in (0, 1):
        drawn = [[i for e, batch, _ in rank if e == epoch for i in batch] for rank in ranks]
        assert len(drawn[0]) == len(drawn[1]) == 6
        assert sorted(drawn[0] + drawn[1]) == list(range(12 * epoch, 12 * epoch + 12))
    numbers = [number for rank in ranks for *_, number in rank]
    assert len(set(numbers)) == len(numbers) == 8


# ---------------------------------------------------------------- files that changed


@pytest.mark.parametrize("mode", [dict(n_segments=4), {}, dict(segment=None)])
@pytest.mark.parametrize("which", ["mixture", "stems/bass"])
@pytest.mark.parametrize("how", ["cut", "shorter", "longer", "text"])
def test_a_file_of_another_length_is_refused(tmp_path, mode, which, how):
    manifest = write_folder(tmp_path)
    track = manifest.select("train")[1]
    path = manifest.folder(track) / f"{which}.wav"
    audio, rate = read_audio(path)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-4000])
    elif how == "text":
        path.write_text("not audio")
    else:
        write_audio(path, audio[:-1] if how == "shorter" else [*audio, 0.0], rate)
    options = {"segment": 0.5, "n_fft": N_FFT, "hop_length": HOP, **mode}
    message = "cannot be read as audio" if how == "text" else "manifest.json says"
    with pytest.raises(ValueError, match=f"train/Track00001/{which}.wav .*{message}.*prepare the"):
        ScoreDataset(manifest, "train", targets="both", **options)
    if which != "mixture":
        ScoreDataset(manifest, "train", **options)


def test_a_file_that_changes_in_training_is_refused(tmp_path):
    manifest = write_folder(tmp_path)
    data = ScoreDataset(manifest, "train", segment=None)
    path = manifest.mixture_path(data.tracks[0])
    audio, rate = read_audio(path)
    write_audio(path, audio[:-100], rate)
    with pytest.raises(ValueError, match="manifest.json says"):
        data[0]
    audio[50] = float("nan")
    write_audio(path, audio, rate)
    with pytest.raises(ValueError, match="Track00000/mixture.wav contains NaN or infinite samples"):
        data[0]


def test_the_place_of_an_item_is_where_it_is_read(tmp_path):
    manifest = write_folder(tmp_path)
    fixed = ScoreDataset(manifest, "train", segment=1.024, n_fft=N_FFT, hop_length=HOP)
    assert fixed.place(0) == "train/Track00000 at 0.0 s"
    assert fixed.place(4) == "train/Track00001 at 1.0 s"
    assert ScoreDataset(manifest, "train", segment=None).place(2) == "train/Track00002 at 0.0 s"
    random = ScoreDataset(manifest, "train", segment=1.024, n_segments=5, n_fft=N_FFT,
                          hop_length=HOP)  # fmt: skip
    read = []

    def note(segment, *args):
        read.append((segment.track, segment.start))

    random._layer, random._item = note, list
    for index in range(5):
        random[index]
        track, start = read[-1]
        assert random.place(index) == f"train/Track0000{track} at {start / 4000:.1f} s"
    assert len(list(make_loader(fixed, 4))) == len(fixed) // 4 + 1
