"""Work on many tracks in several processes, or on a cluster, with a progress bar."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import BACKENDS, get_active_backend
from tqdm import tqdm

#: More processes than this a core only cost memory.
_MOST_PER_CORE = 4


def in_processes(work, items, jobs=None, title=None, progress=False):
    """Does `work` on every item, in several processes.

    They are joblib's: within ``joblib.parallel_config(backend="dask")`` (or ``"ray"``) the work
    goes to that cluster, whose machines must see the same files.

    Args:
        work (callable): Takes an item; it and its results can be pickled.
        items (sequence): The items.
        jobs (int, optional): Processes; all available cores by default (or what joblib's
            configuration says), 1 works in this process. At most four a core, and no more than
            there are items.
        title (str, optional): Name of the progress bar.
        progress (bool): Whether it is shown.

    Yields:
        tuple: item and result, in the order in which they come.

    Raises:
        OSError: if one of joblib's own processes is killed from outside.
        ValueError: if `jobs` is 0.

    Examples
        >>> sorted(in_processes(abs, [-2, 1], jobs=1))
        [(-2, 2), (1, 1)]
    """
    backend, configured = get_active_backend()
    elsewhere = not isinstance(backend, BACKENDS["loky"])
    available = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    if jobs == 0:
        raise ValueError("jobs is 0, expected at least 1 process.")
    jobs = jobs or configured or (-1 if elsewhere else len(available))
    if jobs < 0 and not elsewhere:  # as joblib counts: -1 for all cores, -2 for all but one
        jobs = max(len(available) + 1 + jobs, 1)
    bar = tqdm(total=len(items), desc=title, unit="track", disable=not progress)
    with bar:
        if not elsewhere and min(jobs, len(items)) in (0, 1):
            for place, item in enumerate(items):
                yield item, _numbered(work, place, item)[1]
                bar.update()
            return
        if not elsewhere:
            jobs = min(jobs, len(items), _MOST_PER_CORE * len(available))
        unordered = "generator_unordered" if backend.supports_return_generator else "list"
        # Workers end with this process, also where it is killed, see :mod:`.watchdog`.
        start = {} if elsewhere else dict(initializer=runpy.run_path, initargs=_watchdog())
        parallel = Parallel(jobs, return_as=unordered, batch_size=1, **start)
        try:
            for place, result in parallel(
                delayed(_numbered)(work, place, item) for place, item in enumerate(items)
            ):
                yield items[place], result
                bar.update()
        except TerminatedWorkerError:
            raise OSError(
                "A process was killed, probably for lack of memory. Finished tracks are kept: run "
                "again with fewer --jobs."
            ) from None


def _watchdog():
    return str(Path(__file__).with_name("watchdog.py")), {"PARENT": os.getpid()}


def _numbered(work, place, item):
    """The work of one item, on one thread: sums depend on their number, if by little."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return place, work(item)
    finally:
        torch.set_num_threads(threads)
