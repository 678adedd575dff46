"""Threads that share the models and the processor cores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(BaseException):
    """The results of a thread are no longer wanted."""


def map_in_threads(
    function: Callable[[Item, Callable[[], None]], Result], items: Sequence[Item], jobs: int
) -> Iterator[Result]:
    """Applies a function to items, several at a time.

    Args:
        function (callable): Called with an item and with a function without arguments, which it
            must call now and then: it raises :class:`Stopped` once the results are not wanted
            any more, because of an interruption for example.
        items (sequence): The items.
        jobs (int): Number of threads. torch's threads are divided among them, at least one each.
            With 1 the function is called in this thread.

    Yields:
        Results in the order of the items.

    Raises:
        ValueError: if `jobs` is below 1.

    Examples
        >>> list(map_in_threads(lambda item, check: item**2, [1, 2, 3], jobs=2))
        [1, 4, 9]
    """
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}, expected 1 or more.")
    jobs = min(jobs, len(items))
    if jobs <= 1:
        yield from (function(item, lambda: None) for item in items)
        return
    stop = threading.Event()
    available = torch.get_num_threads()

    def check() -> None:
        if stop.is_set():
            raise Stopped

    def start() -> None:
        torch.set_num_threads(max(available // jobs, 1))

    try:
        with ThreadPoolExecutor(jobs, initializer=start) as executor:
            try:
                futures = [executor.submit(function, item, check) for item in items]
                for future in futures:
                    yield future.result()
            finally:
                stop.set()
                executor.shutdown(wait=False, cancel_futures=True)
    finally:
        torch.set_num_threads(available)
