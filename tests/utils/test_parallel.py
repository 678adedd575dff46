"""Parallel runs in processes of joblib, or of another configured backend."""

import os
import signal

import joblib
import pytest
import torch

from asteroid_scoresup.utils.parallel import run_parallel

# The processes cannot import the tests, so they evaluate strings.
PLACE = "(%d, __import__('torch').get_num_threads(), __import__('os').getpid())"
DIE = "__import__('os').kill(__import__('os').getpid(), 9)"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_runs_once_on_one_thread(jobs):
    before = torch.get_num_threads()
    found = dict(run_parallel(eval, [PLACE % number for number in range(5)], jobs))
    assert {item: result[0] for item, result in found.items()} == {PLACE % x: x for x in range(5)}
    assert {result[1] for result in found.values()} == {1}
    assert torch.get_num_threads() == before
    assert (os.getpid() in {result[2] for result in found.values()}) == (jobs == 1)


@pytest.mark.slow
def test_exceptions_of_the_function_are_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_parallel(int, ["1", "x"], jobs=2))


def test_another_joblib_backend_is_used():
    with joblib.parallel_config("threading", n_jobs=2):
        found = list(run_parallel(eval, [PLACE % number for number in range(3)]))
    assert sorted(result[0] for _, result in found) == [0, 1, 2]
    assert {result[2] for _, result in found} == {os.getpid()}


def test_absurd_numbers_of_processes_are_limited(monkeypatch):
    started = []
    monkeypatch.setattr("joblib.Parallel", lambda jobs, **_: started.append(jobs) or list)
    cores = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    for jobs in (10**9, -(10**9)):
        list(run_parallel(abs, [-1], jobs=jobs))
    assert not started  # one item runs in this process
    monkeypatch.setattr("joblib.Parallel", lambda jobs, **_: started.append(jobs) or (lambda _: []))
    list(run_parallel(abs, range(10**4), jobs=10**9))
    assert started == [4 * cores]
    with pytest.raises(ValueError, match="jobs is 0"):
        list(run_parallel(abs, [-1], jobs=0))


def test_no_items():
    assert list(run_parallel(eval, [])) == []


# The last test: the others share their processes.
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
@pytest.mark.slow
def test_a_killed_process_is_reported():
    with pytest.raises(
        OSError, match="killed, probably because memory ran out. Finished tracks are"
    ):
        list(run_parallel(eval, [DIE, DIE], jobs=2))
