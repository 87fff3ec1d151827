"""Work ahead: the next batch is made while the network learns from the one before."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

from .devices import free_memory, is_out_of_memory

_T = TypeVar("_T")


def made_ahead(worker: Executor, make: Callable[[], _T], count: int) -> Iterator[_T]:
    """What so many calls return, in their order; each is made by the worker while the one before it is used.

    Parameters
    ----------
    worker : Executor
        With a single thread, so that draws at random keep their order.
    make : callable
        Nothing else may draw from its generator meanwhile. Where it runs out of memory beside the batch in use, it is
        called once more after that one.
    count : int
        None is made beyond these.
    """
    coming = worker.submit(make) if count else None
    for left in reversed(range(count)):
        assert coming
        if is_out_of_memory(coming.exception()):
            coming = None  # which holds on to tensors
            free_memory()
            coming = worker.submit(make)
        made = coming.result()
        coming = worker.submit(make) if left else None
        yield made
