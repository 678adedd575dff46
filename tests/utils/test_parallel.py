"""Work in processes: joblib's, whichever are configured."""

import os
import signal

import joblib
import pytest
import torch

from asteroid_scoresup.utils import parallel as pool
from asteroid_scoresup.utils.parallel import in_processes

# The processes know no module of the tests, so what they do is told in words.
PLACE = "(%d, __import__('torch').get_num_threads(), __import__('os').getpid())"
DIE = "__import__('os').kill(__import__('os').getpid(), 9)"


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_once_on_one_thread(jobs):
    before = torch.get_num_threads()
    found = dict(in_processes(eval, [PLACE % number for number in range(5)], jobs))
    assert {item: result[0] for item, result in found.items()} == {PLACE % x: x for x in range(5)}
    assert {result[1] for result in found.values()} == {1}
    assert torch.get_num_threads() == before
    assert (os.getpid() in {result[2] for result in found.values()}) == (jobs == 1)


def test_another_backend_of_joblib_takes_the_work():
    with joblib.parallel_config("threading", n_jobs=2):
        found = list(in_processes(eval, [PLACE % number for number in range(3)]))
    assert sorted(result[0] for _, result in found) == [0, 1, 2]
    assert {result[2] for _, result in found} == {os.getpid()}


def test_numbers_of_processes_that_make_no_sense_cost_nothing(monkeypatch):
    started = []
    monkeypatch.setattr(pool, "Parallel", lambda jobs, **_: started.append(jobs) or list)
    cores = len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))
    for jobs in (10**9, -(10**9)):
        list(in_processes(abs, [-1], jobs=jobs))
    assert not started  # one item needs no process of its own
    monkeypatch.setattr(pool, "Parallel", lambda jobs, **_: started.append(jobs) or (lambda _: []))
    list(in_processes(abs, range(10**4), jobs=10**9))
    assert started == [4 * cores]
    with pytest.raises(ValueError, match="jobs is 0"):
        list(in_processes(abs, [-1], jobs=0))


def test_nothing_to_do():
    assert list(in_processes(eval, [])) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_process_that_is_killed_is_told_in_a_sentence():
    with pytest.raises(OSError, match="killed, probably for lack of memory. Finished tracks are"):
        list(in_processes(eval, [DIE, DIE], jobs=2))


def test_errors_of_the_work_come_through():
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_processes(int, ["1", "x"], jobs=2))
