"""Signals and errors that a user can mend end a command with one sentence."""

import os
import signal
import sys

import pytest
from torch.utils.data import DataLoader, Dataset

from asteroid_scoresup.engine.interrupt import exit_with_message


def ended(capsys, action):
    """Exit code and what is on stderr."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as stop, exit_with_message("step.py", lambda: "interrupted."):
        action()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("through_lightning", [False, True])
def test_signals(capsys, number, code, through_lightning):
    def action():
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if not through_lightning:
                raise
            sys.exit(1)  # what Lightning makes of it

    assert ended(capsys, action) == (code, "\nstep.py: interrupted.\n")


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    "error, sentence",
    [
        (ValueError("a.wav has 3 samples."), "a.wav has 3 samples."),
        (FloatingPointError("Training stopped."), "Training stopped."),
        (OSError(28, "No space left on device", "x"), "[Errno 28] No space left on device: 'x'"),
        (
            RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 1 vs 2\nmore"),
            "a file could not be written ([enforce fail at inline_container.cc:664] . unexpected "
            "pos 1 vs 2): is the disk full?",
        ),
    ],
)
def test_errors_that_a_user_can_fix(capsys, error, sentence):
    assert ended(capsys, raising(error)) == (1, f"step.py: {sentence}\n")


def test_other_errors_are_bugs_and_keep_their_traceback():
    for error in (RuntimeError("shapes differ"), KeyError("x"), TypeError("y")):
        with pytest.raises(type(error)), exit_with_message("step.py", lambda: ""):
            raise error
    with pytest.raises(SystemExit) as stop, exit_with_message("step.py", lambda: ""):
        sys.exit("The model is for other classes.")
    assert stop.value.code == "The model is for other classes."


class Damaged(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError("a.wav: cut short. Prepare the data again.")


def test_errors_of_loader_processes_come_without_their_traceback(capsys):
    code, err = ended(capsys, lambda: next(iter(DataLoader(Damaged(), num_workers=1))))
    assert (code, err) == (1, "step.py: a.wav: cut short. Prepare the data again.\n")
