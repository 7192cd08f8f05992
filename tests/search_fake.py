"""Trainings that take no time, for tests of the search: workers import them by name.

`python tests/search_fake.py STUDY FOLDER TRAIN [ADDRESS]` runs a study as a process that can be
killed, with workers that have a GPU each on the Ray cluster of this address if one is given.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

from miras.canonical import key
from miras.memory import Memory
from miras.part import SpecError
from miras.result import Result
from miras.search.space.derive import Candidate
from miras.search.study import Study
from miras.search.trial.evaluation import Run


def score(memory: Candidate, salt: str) -> float:
    """A number in [0, 1) that is a function of the memory."""
    digest = hashlib.sha256((key(memory) + salt).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def trivial(study: Study, memory: Candidate, run: Run) -> Result:
    """A good result at once; the rate 0.01 is best on validation."""
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


def moody(study: Study, memory: Memory, run: Run) -> Result:
    """An outcome of each kind, by the bias of the memory."""
    found = trivial(study, memory, run)
    match type(memory.bias).__name__:
        case "Dot":
            return found.model_copy(
                update={"status": "diverged", "reason": "loss 1e9", "score": None}
            )
        case "L1":
            raise SpecError("no such layer")
        case "Huber":
            raise MemoryError
        case "Lp":
            raise ZeroDivisionError("a bug in a part")
        case _:
            return found


def violent(study: Study, memory: Memory, run: Run) -> Result:
    """Ends its process where the bias is dot, never returns where it is l1."""
    match type(memory.bias).__name__:
        case "Dot":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "L1":
            time.sleep(600)
        case _:
            pass
    return trivial(study, memory, run)


def slow(study: Study, memory: Memory, run: Run) -> Result:
    """Takes a moment, and leaves a line in the file that the description of the study names."""
    time.sleep(0.2)
    found = trivial(study, memory, run)
    with Path(study.description).open("a") as file:
        file.write(f"{found.key} {found.task} {os.getpid()}\n")
    return found


def gated(study: Study, memory: Memory, run: Run) -> Result:
    """A known memory ends at once, others as soon as a file is there: beside the one of `slow`."""
    log = Path(study.description)
    while memory.name not in study.baselines and not log.with_suffix(".open").exists():
        time.sleep(0.05)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    with log.open("a") as file:
        file.write(f"{key(memory)} {run.task.name} {run.device} {seen}\n")
    return trivial(study, memory, run)


if __name__ == "__main__":
    from miras.search import load_study, run
    from miras.search.workers.cluster import Cluster
    from miras.search.workers.parent import Terms

    terms = Terms(crew=Cluster(sys.argv[4], gpus=1)) if len(sys.argv) > 4 else Terms()
    run(load_study(sys.argv[1]), sys.argv[2], sys.argv[3], terms=terms)
