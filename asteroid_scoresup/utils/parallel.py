"""Runs a function on many items, in several processes or on a cluster, with a progress bar."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Largest number of processes per core: more would only need memory.
_MOST_PER_CORE = 4


def run_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int | None = None,
    title: str | None = None,
    progress: bool = False,
) -> Iterator[tuple[Item, Result]]:
    """Calls a function on every item, in several processes.

    The processes are joblib's: within ``joblib.parallel_config(backend="dask")`` (or ``"ray"``) the
    calls run on that cluster, whose machines must have access to the same files.

    Args:
        work (callable): Function of one item. It can be pickled, as can its results.
        items (sequence): The items.
        jobs (int, optional): Number of processes; 1 runs in this process. Default: joblib's
            configuration, or all available cores. At most four per core and one per item are
            started.
        title (str, optional): Title of the progress bar.
        progress (bool): Whether to show a progress bar.

    Yields:
        tuple: (item, result), in the order of completion.

    Raises:
        OSError: if one of joblib's processes is killed.
        ValueError: if `jobs` is 0.

    Examples
        >>> sorted(run_parallel(abs, [-2, 1], jobs=1))
        [(-2, 2), (1, 1)]
    """
    # Imported here: it takes a tenth of a second, and `separate` does without it.
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from joblib.parallel import BACKENDS, get_active_backend

    backend, configured = get_active_backend()
    cluster = not isinstance(backend, BACKENDS["loky"])
    available = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    if jobs == 0:
        raise ValueError("jobs is 0, expected at least 1 process.")
    jobs = jobs or configured or (-1 if cluster else len(available))
    if jobs < 0 and not cluster:  # as in joblib: -1 for all cores, -2 for all but one
        jobs = max(len(available) + 1 + jobs, 1)
    bar = tqdm(total=len(items), desc=title, unit="track", disable=not progress)
    with bar:
        if not cluster and min(jobs, len(items)) in (0, 1):
            for place, item in enumerate(items):
                yield item, _numbered(work, place, item)[1]
                bar.update()
            return
        if not cluster:
            jobs = min(jobs, len(items), _MOST_PER_CORE * len(available))
        unordered = "generator_unordered" if backend.supports_return_generator else "list"
        # Workers end with this process even if it is killed, see `watchdog.py`.
        start: dict[str, Any] = (
            {} if cluster else dict(initializer=runpy.run_path, initargs=_watchdog())
        )
        parallel = Parallel(jobs, return_as=unordered, batch_size=1, **start)
        try:
            for place, result in parallel(
                delayed(_numbered)(work, place, item) for place, item in enumerate(items)
            ):
                yield items[place], result
                bar.update()
        except TerminatedWorkerError:
            raise OSError(
                "A process was killed, probably because memory ran out. Finished tracks are kept: "
                "run again with fewer --jobs."
            ) from None


def _watchdog() -> tuple[str, dict[str, int]]:
    return str(Path(__file__).with_name("watchdog.py")), {"PARENT": os.getpid()}


def _numbered(work: Callable[[Item], Result], place: int, item: Item) -> tuple[int, Result]:
    """Calls `work` with one thread, since the rounding of sums depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return place, work(item)
    finally:
        torch.set_num_threads(threads)
