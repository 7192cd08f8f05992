"""What bounds a study: its learning rates, its budget, and what a candidate may use."""

from typing import Annotated

from pydantic import Field, model_validator

from miras.part import Part, SpecError

Rate = Annotated[float, Field(gt=0.0, le=1.0)]

NAME = "[A-Za-z0-9_][A-Za-z0-9._-]*"
"""What a study or a sweep may be called: folders and rows in a data base have this name."""


class Searched(Part):
    """A learning rate that is chosen for every candidate like the rest of it, in its logarithm.

    A known memory has no search to choose for it: it is trained at `baseline_rates` rates, evenly
    spread over the same range, and its best one counts.
    """

    low: Rate
    high: Rate
    baseline_rates: int = Field(default=3, ge=1, le=16)

    @model_validator(mode="after")
    def _ordered(self) -> "Searched":
        if not self.low < self.high:
            raise SpecError("low must be below high; for one learning rate write a number")
        return self

    def grid(self) -> tuple[float, ...]:
        """Rates for a known memory, each in the middle of its share of the range."""
        ratio, count = self.high / self.low, self.baseline_rates
        return tuple(self.low * ratio ** ((i + 0.5) / count) for i in range(count))


class Budget(Part):
    """When a study is done."""

    trials: int = Field(ge=1, le=1_000_000, description="the known memories included")
    seconds: float | None = Field(
        default=None, gt=0.0, description="no trial begins later; all sittings of a study counted"
    )


class Limits(Part):
    """What a candidate may use; one that goes over is a result of its own kind, not a failure."""

    seconds: float = Field(
        default=600.0, gt=0.0, description="of training, of its own core if on a CPU, for each run"
    )
    per_task: dict[str, float] = Field(default={}, description="seconds of tasks that differ")
    grace: float = Field(
        default=60.0,
        ge=0.0,
        description="seconds for start and evaluation, beside four times those of training by the"
        " clock, before a run that says nothing is killed",
    )
    memory_gib: float | None = Field(default=None, gt=0.0, description="of one training process")

    def of(self, task: str) -> float:
        """How long one run on a task may train."""
        return self.per_task.get(task, self.seconds)
