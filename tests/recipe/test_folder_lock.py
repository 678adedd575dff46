"""One training at a time writes to an experiment folder."""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest
from tiny import write_folder
from tiny_recipe import NETWORK_4K, RECIPE

from asteroid_scoresup.engine.checkpoints import resume_epoch

TINY = f"{NETWORK_4K} --t_steps 2 --t_batch_size 2 --warmup_steps 1 --quiet"


@pytest.fixture
def start(fast_python, tmp_path):
    """Starts a script of the recipe in the same experiment folder."""
    write_folder(tmp_path / "prepared")

    def start(script, *options):
        given = ["--exp_dir", tmp_path / "exp", "--data_dir", tmp_path / "prepared"]
        return subprocess.Popen(
            [fast_python, RECIPE / script, *given, *TINY.split(), *map(str, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    return start


def test_a_second_training_in_a_folder_ends_with_a_sentence(start, tmp_path):
    folder = tmp_path / "exp"
    first = start("train_transcriptor.py", "--t_epochs", 10000, "--num_workers", 1)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoints" / "last.ckpt").is_file():
            assert first.poll() is None and time.monotonic() < deadline, first.stderr.read()
            time.sleep(0.05)
        second = start("train_transcriptor.py", "--t_epochs", 10000, "--num_workers", 0)
        message = second.communicate(timeout=120)[1]
        assert second.returncode == 1 and message.count("\n") == 1, message
        assert f"train_transcriptor.py: {folder} is in use by another process (train_t" in message
        assert first.poll() is None
        # Scripts that read the models of a folder do not wait for the training.
        tests = f"test={tmp_path / 'prepared'}:test"
        reading = start("score.py", "--row", "masks", "--oracles", "--tests", tests)
        assert reading.communicate(timeout=120)[1] == "" and reading.returncode == 0
        # The training alone is killed: its loader inherits the lock, and ends later.
        os.kill(int(re.search(r"process (\d+)", message)[1]), signal.SIGKILL)
        first.wait(timeout=60)
        epochs = resume_epoch(folder / "checkpoints") + 2
        third = start("train_transcriptor.py", "--t_epochs", epochs, "--num_workers", 0)
        assert third.communicate(timeout=120)[1] == "" and third.returncode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    assert (folder / "best_model.pth").is_file() and not list(folder.glob(".*"))
