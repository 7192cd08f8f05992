"""Is a task what it says? Its exact solver and its floors, put to its own judge."""

import time
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from miras.result import FloorCheck
from miras.tasks import Predict, Task, certain

NEAR = 0.01
"""How far a floor may be from what the task states."""

ENOUGH = 32_768
"""Test sequences of a check: what chance does must be small beside `NEAR`."""


def missing(tasks: Iterable[Task], done: Sequence[FloorCheck]) -> list[Task]:
    """The tasks whose floors were not looked at, each once."""
    known = [each.settings for each in done]
    found: list[Task] = []
    for task in tasks:
        if task.model_dump(mode="json") not in known and task not in found:
            found.append(task)
    return found


def check(task: Task, seed: int = 0) -> FloorCheck:
    """Score of the solver, and the largest distance of a floor from what is stated of it.

    A solver says every answer with certainty; a task without one (text) has a score of None.
    """
    began = time.process_time()
    batch = task.train_stream(seed)
    large = task.model_copy(update={"test": max(ENOUGH, task.test)})
    solver = _solver(task) if task.solve(next(batch).tokens) is not None else None
    score = large.evaluate(solver, "test", seed).score if solver else None
    gaps: dict[str, float] = {}
    for name, floor in large.floors("test", seed).items():
        metrics = large.evaluate(floor.predict, "test", seed).metrics
        gaps[name] = max(abs(metrics[each] - stated) for each, stated in floor.stated.items())
    return FloorCheck(
        task=task.name,
        settings=task.model_dump(mode="json"),
        solver=score,
        gaps=gaps,
        seconds=time.process_time() - began,
    )


def holds(found: FloorCheck) -> bool:
    """Whether the solver is right always and every floor within 1 % of what is stated."""
    return found.solver in (None, 1.0) and all(gap <= NEAR for gap in found.gaps.values())


def _solver(task: Task) -> Predict:
    def predict(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = task.solve(tokens)
        assert answers is not None
        said: Tensor = answers[scored]
        return certain(torch.as_tensor(said), task.vocabulary)

    return predict
