"""Independent pieces of work, side by side: on threads, or on a Dask cluster.

What travels to a worker is a function of a module and a value; it opens a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from compat.errors import CompatError, ConnectionFailed

T = TypeVar("T")
R = TypeVar("R")

TICK_SECONDS = 0.2


@contextmanager
def executor(workers: int, dask: str | None = None) -> Iterator[Executor]:
    """Yield an executor: so many threads, or the cluster whose scheduler is at this address.

    :param dask: as in `tcp://host:8786`; the cluster's workers need this package, and reach the
        database under the same URL
    :raises ConnectionFailed: the scheduler does not answer
    :raises CompatError: Dask is not installed
    """
    if dask is None:
        with ThreadPoolExecutor(workers, thread_name_prefix="compat") as threads:
            yield threads
        return
    try:
        from distributed import Client
    except ImportError:
        raise CompatError(
            "Dask is not installed", "pip install 'compat-layer[dask]', here and on its workers"
        ) from None
    try:
        client: Any = Client(dask, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConnectionFailed(
            f"no Dask scheduler answers at {dask}: {error}", "give its address: tcp://host:8786"
        ) from None
    with client:
        yield client.get_executor(pure=False, retries=0)


def run_each(
    executor: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    on_tick: Callable[[], None] = lambda: None,
) -> list[R]:
    """Call `function` for each item, so many at once, and return the results as they end.

    When one raises, or the caller is interrupted, no further one begins; those that run are the
    caller's to stop.

    :param on_tick: called by the calling thread, a few times a second
    :raises BaseException: what the first failing call raised
    """
    waiting, running, results = iter(items), set[Future[R]](), list[R]()
    try:
        while True:
            for item in waiting:
                running.add(executor.submit(function, item))
                if len(running) >= at_once:
                    break
            if not running:
                return results
            done, running = wait(running, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
            results += [future.result() for future in done]
            on_tick()
    finally:
        for future in running:
            future.cancel()
