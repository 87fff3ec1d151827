"""Batches made ahead."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_brainseg.core.batches import made_ahead


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


@pytest.mark.parametrize("count", [0, 1, 4])
def test_batches_come_in_the_order_in_which_they_are_made_and_none_beyond(
    worker: ThreadPoolExecutor, count: int
) -> None:
    numbers = iter(range(99))
    assert list(made_ahead(worker, lambda: next(numbers), count)) == list(range(count))
    assert next(numbers) == count


def test_next_batch_is_made_while_one_is_used(worker: ThreadPoolExecutor) -> None:
    made = threading.Semaphore(0)
    batches = made_ahead(worker, made.release, 3)
    for _ in range(2):
        next(batches)
        assert made.acquire(timeout=30)
    assert made.acquire(timeout=30)  # the third, though nobody asked for it


def test_error_comes_with_the_batch_that_it_befell(worker: ThreadPoolExecutor) -> None:
    numbers = iter([1, 0])
    batches = made_ahead(worker, lambda: 1 // next(numbers), 2)
    assert next(batches) == 1
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_batch_for_which_there_was_no_memory_beside_another_is_made_after_it(worker: ThreadPoolExecutor) -> None:
    in_use, tried = threading.Event(), list[bool]()

    def make() -> int:
        tried.append(in_use.is_set())
        if len(tried) == 2:
            assert in_use.wait(30)
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return len(tried)

    batches = made_ahead(worker, make, 3)
    assert next(batches) == 1
    in_use.set()
    assert list(batches) == [3, 4]


def test_batch_for_which_there_is_no_memory_at_all_is_an_error(worker: ThreadPoolExecutor) -> None:
    tried = []

    def make() -> None:
        tried.append(True)
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        next(made_ahead(worker, make, 2))
    assert len(tried) == 2
