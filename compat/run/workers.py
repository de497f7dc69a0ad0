"""Independent pieces of work, side by side: on threads, or on a Dask cluster.

What travels to a worker is a function of a module and a value; it opens a connection of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from typing import Any, TypeVar

from compat.errors import CompatError, ConnectionFailed

T = TypeVar("T")
R = TypeVar("R")

TICK_SECONDS = 0.2


@contextmanager
def executor(workers: int, dask: str | None = None) -> Iterator[Executor]:
    """Yield an executor: so many threads, or the cluster whose scheduler is at this address.

    :param dask: as in `tcp://host:8786`; the scheduler and its workers need this package, and the
        workers reach the database under the same URL
    :raises ConnectionFailed: the scheduler does not answer, or is lost
    :raises CompatError: Dask is not installed
    """
    if dask is None:
        with ThreadPoolExecutor(workers, thread_name_prefix="compat") as threads:
            yield threads
    else:
        with _cluster(dask) as executor:
            yield executor


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client, KilledWorker
        from distributed.comm.addressing import get_address_host_port
    except ImportError:
        raise CompatError(
            "Dask is not installed", "pip install 'compat-layer[dask]', here and on its workers"
        ) from None
    try:
        get_address_host_port(address)  # a client that was given nonsense takes long to go away
        client: Any = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConnectionFailed(
            f"no Dask scheduler answers at {address}: {error}",
            "give its address: tcp://host:8786",
        ) from None
    with _silent("distributed.client"), client:
        try:
            yield client.get_executor(pure=False, retries=0)
        except (CancelledError, KilledWorker, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split()) or "its scheduler is gone"
            raise ConnectionFailed(
                f"the Dask cluster at {address} has failed: {reason}",
                "look after its scheduler and its workers (all of them need this package), then "
                "run the command again: it takes up where it stopped",
            ) from error


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a library's logger from printing what is reported by us."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def run_each(
    executor: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    on_tick: Callable[[], None] = lambda: None,
) -> Iterator[R]:
    """Call `function` for each item, so many at once, and yield the results as they end.

    When one raises, or the caller is interrupted, no further one begins; those that run are the
    caller's to stop.

    :param on_tick: called by the calling thread, a few times a second
    :raises BaseException: what the first failing call raised
    """
    waiting, running = iter(items), set[Future[R]]()
    try:
        while True:
            for item in waiting:
                running.add(executor.submit(function, item))
                if len(running) >= at_once:
                    break
            if not running:
                return
            done, running = wait(running, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            on_tick()
    finally:
        for future in running:
            future.cancel()
