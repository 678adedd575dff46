"""Work on many tracks in several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import torch
from tqdm import tqdm


def in_processes(work, items, jobs=None, title=None, progress=False):
    """Does `work` on every item, in several processes.

    Args:
        work (callable): Takes an item; a function of a module, or a `partial` of one.
        items (sequence): The items.
        jobs (int, optional): Processes; all available cores by default, 1 works in this process.
        title (str, optional): Name of the progress bar.
        progress (bool): Whether it is shown.

    Yields:
        tuple: item and result, in the order in which they come.

    Raises:
        RuntimeError: if a process is killed from outside.

    Examples
        >>> sorted(in_processes(abs, [-2, 1], jobs=1))
        [(-2, 2), (1, 1)]
    """
    available = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    jobs = min(jobs or len(available), max(len(items), 1))
    bar = partial(tqdm, total=len(items), desc=title, unit="track", disable=not progress)
    if jobs == 1:
        for item in bar(items):
            yield item, work(item)
        return
    # As PyTorch's own data loaders do: fork where it is the system's habit, so that a caller's
    # script needs no `if __name__ == "__main__"`.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        with warnings.catch_warnings():
            # Python 3.12 warns of forking while torch's idle threads exist.
            warnings.simplefilter("ignore", DeprecationWarning)
            futures = {pool.submit(work, item): item for item in items}
        try:
            for future in bar(as_completed(futures)):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise RuntimeError(
                "A process was killed, probably for lack of memory. Finished tracks are kept: run "
                "again with fewer --jobs."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
