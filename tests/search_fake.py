"""Trainings that take no time, for tests of the search: workers import them by name."""

import hashlib
import os
import signal
import time
from pathlib import Path

from miras.canonical import key
from miras.memory import Memory
from miras.result import Result
from miras.search.evaluation import Run
from miras.search.study import Study


def score(memory: Memory, salt: str) -> float:
    """A number in [0, 1) that is a function of the memory."""
    digest = hashlib.sha256((key(memory) + salt).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def trivial(study: Study, memory: Memory, run: Run) -> Result:
    """A good result at once."""
    return Result(
        name=memory.name,
        key=key(memory),
        memory={},
        task=run.task.name,
        settings={},
        seed=run.seed,
        learning_rate=run.rate,
        score=score(memory, run.task.name),
        validation=score(memory, run.task.name) - abs(run.rate - 0.01),
        seconds=0.01,
        state_floats=64,
    )
