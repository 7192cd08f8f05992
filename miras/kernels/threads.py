"""Work split over threads: those of PyTorch's own products, where they can be had.

After each product PyTorch's threads go on looking for work for some milliseconds. Threads of our
own would have to share the processors with them, and have to be started each time.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

Part = Callable[[int, int], None]
"""What one thread does: its place among the threads, and how many they are."""

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def together(part: Part, count: int) -> None:
    """Run `part` on up to `count` threads that go on at the same time."""
    pool = _pool()
    if pool is None:
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(part, range(count), [count] * count))
        return
    problems: list[BaseException] = []

    def task(_: Any) -> None:
        try:
            part(pool.omp_get_thread_num(), pool.omp_get_num_threads())
        except BaseException as problem:  # it must not be lost between C and Python
            problems.append(problem)

    pool.GOMP_parallel(_TASK(task), None, count, 0)
    if problems:
        raise problems[0]


@cache
def _pool() -> Any:
    """The library whose threads PyTorch uses, or None where it has another."""
    try:
        library = ctypes.CDLL(None)
        library.GOMP_parallel.argtypes = (_TASK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        library.GOMP_parallel.restype = None
        return library if library.omp_get_num_threads() == 1 else None
    except (AttributeError, OSError, TypeError):
        return None
