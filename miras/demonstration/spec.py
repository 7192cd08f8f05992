"""A file of demonstrations: rows of a stream or a task, memories or models, and claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Discriminator, Field, Tag, model_validator

from miras.composition import AnyCell
from miras.load import load
from miras.model import ModelSpec
from miras.part import Part, SpecError
from miras.streams import AnyStream, Scores
from miras.tasks import AnyTask


class Claim(Part):
    """A bound on the mean over seeds of one metric of one memory."""

    memory: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    times: str = Field(default="", description="the bound multiplies the mean of this memory")
    plus: str = Field(default="", description="the bound is added to the mean of this memory")

    @model_validator(mode="after")
    def _one_bound(self) -> "Claim":
        if (self.at_least is None) == (self.at_most is None):
            raise SpecError("a claim has one bound: write at_least or at_most")
        if self.times and self.plus:
            raise SpecError("a claim compares in one way: write times or plus")
        return self

    def bound(self, means: Mapping[str, Scores]) -> float:
        """The number to reach."""
        number = self.at_most if self.at_least is None else self.at_least
        assert number is not None
        if self.times:
            return number * means[self.times][self.metric]
        return number + (means[self.plus][self.metric] if self.plus else 0.0)

    def holds(self, means: Mapping[str, Scores]) -> bool:
        """Whether the mean is there."""
        found, bound = means[self.memory][self.metric], self.bound(means)
        return found >= bound if self.at_most is None else found <= bound

    def text(self) -> str:
        """The claim as a person reads it."""
        sign = "≥" if self.at_most is None else "≤"
        number = self.at_most if self.at_least is None else self.at_least
        bound = f"{number:.9g}"
        if self.times:
            bound = f"{number:g} × {self.times}"
        if self.plus:
            bound = f"{self.plus} {'−' if (number or 0) < 0 else '+'} {abs(number or 0):g}"
        return f"{self.metric} of {self.memory} {sign} {bound}"


class Lessons(Part):
    """Training of a memory's own tensors: constants and initial weights. There is no layer.

    Adam on the lesson of the stream; the rate falls to zero along a cosine. Episodes are fresh and
    none is one that is reported.
    """

    steps: int = Field(ge=0, le=100_000)
    rate: float = Field(default=0.01, gt=0.0, le=1.0)
    batch: int = Field(default=32, ge=1, le=4096, description="episodes of a step")
    shown: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="fresh episodes whose mean scores are those of a seed",
    )


class Training(Part):
    """Training of models on the task of a row."""

    steps: int = Field(ge=0, le=10_000_000, description="0: models are shown as they are drawn")
    learning_rate: float = Field(default=1e-3, gt=0.0, description="at its highest")
    evaluations: int = Field(default=4, ge=0, description="scores on the way, for a curve")


Kind = TypeVar("Kind", bound=Part)


class Row(Part, Generic[Kind]):
    """One ability: candidates, controls, and what is claimed of them."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    number: int = Field(ge=1, description="row of the acceptance table")
    system: str = Field(description="the system or principle that is demonstrated")
    title: str = Field(description="what is seen, as a sentence")
    candidates: dict[str, Kind] = Field(min_length=1)
    controls: dict[str, Kind] = Field(default_factory=dict[str, Kind])
    metric: str = Field(description="the number that is drawn, and by which a grid is chosen")
    better: Literal["higher", "lower"] = "higher"
    curve: str = Field(default="", description="metrics `curve=number` are drawn as a line")
    columns: tuple[str, ...] = Field(
        default=(), description="numbers of the table; all but the points of a curve if left out"
    )
    claims: tuple[Claim, ...] = Field(min_length=1)
    note: str = Field(default="", description="what a reader must know to judge the row")

    @model_validator(mode="after")
    def _claims_name_memories(self) -> "Row[Kind]":
        named = [name for each in self.claims for name in (each.memory, each.times, each.plus)]
        for name in filter(None, (*named, *self.apart)):
            if name not in self.memories:
                raise SpecError(
                    f"row {self.name} speaks of {name!r}: it has {', '.join(self.memories)}"
                )
        return self

    @property
    def memories(self) -> dict[str, Kind]:
        """Candidates and controls by name."""
        return {**self.candidates, **self.controls}

    @property
    def apart(self) -> tuple[str, ...]:
        """Names that the row treats in another way."""
        return ()


class StreamRow(Row[AnyCell]):
    """Memories alone on a stream."""

    stream: AnyStream
    grid: dict[str, tuple[float, ...]] = Field(
        default_factory=dict,
        max_length=1,
        description="one setting and the numbers to try; for every memory that has this setting",
    )
    lessons: Lessons | None = Field(
        default=None, description="training before it is shown, for every memory that can learn"
    )
    untaught: tuple[str, ...] = Field(
        default=(), description="memories without lessons: they are shown as they are drawn"
    )

    @property
    def apart(self) -> tuple[str, ...]:
        return self.untaught


class ModelRow(Row[ModelSpec]):
    """Models on a task: trained and judged, then looked at."""

    task: AnyTask
    training: Training


def _kind(row: object) -> str:
    return "of models" if isinstance(row, ModelRow) or _asks_for_models(row) else "of memories"


def _asks_for_models(row: object) -> bool:
    return isinstance(row, Mapping) and "task" in row


AnyRow = StreamRow | ModelRow
_Row = Annotated[
    Annotated[StreamRow, Tag("of memories")] | Annotated[ModelRow, Tag("of models")],
    Discriminator(_kind),
]


class Demonstrations(Part):
    """A file of rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    demonstrate: tuple[_Row, ...] = Field(min_length=1)


def load_demonstrations(path: Path) -> Demonstrations:
    """The demonstrations of a file. Raises SpecFileError."""
    return load(path, Demonstrations)
