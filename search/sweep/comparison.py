"""A sweep file: named memories on tasks, and what the field knows of them."""

from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from miras.composition import AnyCell
from miras.demonstration.spec import Claim
from miras.known import expand
from miras.load import load
from miras.model import ModelSpec, Shell
from miras.part import Part, SpecError
from miras.stack import Stack, layers_of
from miras.tasks import AnyTask

from ..bounds import NAME, Limits

AnyMemory = Annotated[AnyCell, BeforeValidator(expand)]


class Comparison(Part):
    """Some memories on one task in one shell."""

    name: str = Field(
        default="", pattern=r"^[A-Za-z0-9 ._-]*$", description="the task's if left out"
    )
    task: AnyTask
    memories: tuple[AnyMemory, ...] = Field(min_length=1)
    stacks: tuple[Stack, ...] = Field(default=(), description="patterns of layers, beside them")
    shell: Shell = Shell()
    shells: dict[str, Shell] = Field(
        default={}, description="of memories by name that have another, as sizes are matched"
    )
    learning_rates: tuple[float, ...] = Field(default=(), description="instead of the sweep's")
    asks: str = Field(default="", description="what the comparison is to show, as a sentence")
    note: str = Field(
        default="", description="what a reader must know, such as why it was made harder"
    )
    solves: tuple[str, ...] = Field(default=(), description="memories that should solve the task")
    fails: tuple[str, ...] = Field(default=(), description="memories that should not")
    claims: tuple[Claim, ...] = Field(default=(), description="the same as bounds on test metrics")
    every_seed: bool = Field(
        default=False, description="claims are about each seed, not about the mean over seeds"
    )

    @model_validator(mode="after")
    def _speaks_of_its_memories(self) -> "Comparison":
        known = [memory.name for memory in self.entrants]
        if len(set(known)) < len(known):
            raise SpecError(
                f"{self.title} has two memories of one name ({', '.join(known)}): give one of them"
                " another `name`"
            )
        claimed = [name for each in self.claims for name in (each.memory, each.times, each.plus)]
        for name in filter(None, (*self.solves, *self.fails, *claimed, *self.shells)):
            if name not in known:
                raise SpecError(
                    f"{self.title} speaks of {name!r}: it compares {', '.join(known)}; name one of"
                    " them, or add it to `memories`"
                )
        return self

    @property
    def entrants(self) -> tuple[AnyCell | Stack, ...]:
        """All that is compared, in the order of their numbers."""
        return (*self.memories, *self.stacks)

    def spec(self, entrant: AnyCell | Stack) -> ModelSpec:
        """The model that is trained for one of them."""
        return ModelSpec.of(self.shells.get(entrant.name, self.shell), layers_of(entrant))

    @property
    def title(self) -> str:
        """Its name on pages and figures."""
        return self.name or self.task.name


class Sweep(Part):
    """A sweep file."""

    name: str = Field(pattern=f"^{NAME}$")
    description: str = ""
    compare: tuple[Comparison, ...] = Field(min_length=1)
    learning_rates: tuple[float, ...] = Field(default=(1e-3, 3e-3, 1e-2), min_length=1)
    notches: int = Field(default=1, ge=0, le=4, description="how often the grid may grow")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    rates_kept: int = Field(
        default=1,
        ge=1,
        le=16,
        description="so many rates, the best of the first seed, are run on all seeds; the best mean"
        " validation score counts",
    )
    workers: int = Field(default=2, ge=1, le=256)
    evaluations: int | None = Field(
        default=None, ge=1, le=1_000, description="points of a learning curve; as `miras train`"
    )
    limits: Limits | None = Field(
        default=None,
        description="what each run may use, in a process of its own; no limits if left out",
    )


class Job(NamedTuple):
    """One run that a sweep needs."""

    comparison: int
    memory: int
    learning_rate: float
    seed: int


def load_sweep(path: Path) -> Sweep:
    """The sweep of a file. Raises SpecFileError."""
    return load(path, Sweep)
