"""What a study asks of a memory before it believes in it."""

from typing import Annotated

from pydantic import Field, model_validator

from miras.model import Shell
from miras.part import Part, SpecError
from miras.tasks import AnyTask

Rate = Annotated[float, Field(gt=0.0, le=1.0)]


class Confirm(Part):
    """Finalists and known memories are trained anew, all alike, on seeds that no search has seen.

    All of them get the same grid of learning rates on every task, grown where the best rate is at
    an edge. The best rates are run on all seeds; the one with the best mean on validation counts.
    """

    finalists: int = Field(default=3, ge=1, le=100, description="new memories that are confirmed")
    seeds: tuple[int, ...] = Field(
        default=(1001, 1002, 1003, 1004, 1005), min_length=2, description="none of the study's"
    )
    learning_rates: tuple[Rate, ...] = Field(default=(3e-4, 1e-3, 3e-3, 1e-2), min_length=1)
    notches: int = Field(default=1, ge=0, le=4, description="how often the grid may grow")
    rates_kept: int = Field(
        default=2,
        ge=1,
        le=16,
        description="rates that are run on all seeds, the best ones of the first; with 1 the choice"
        " of a rate on one seed makes equal memories differ",
    )
    known: tuple[str, ...] = Field(
        default=(),
        description="known memories that take part beside the baselines, such as those of which the"
        " search was not told",
    )
    held_out: tuple[AnyTask, ...] = Field(
        default=(),
        description="tasks that the study has not searched on; five seeds of a single one are too"
        " few to show a difference",
    )
    shells: tuple[Shell, ...] = Field(default=(), description="larger sizes")
    ablate: bool = Field(
        default=True, description="train finalists with one choice of their nearest known memory"
    )
    conv: bool = Field(default=True, description="compare without the short convolution too")

    @model_validator(mode="after")
    def _each_once(self) -> "Confirm":
        names = [task.name for task in self.held_out]
        if len(set(names)) < len(names):
            raise SpecError(f"held_out names a task twice ({', '.join(names)}): keep one of each")
        if len(set(self.seeds)) < len(self.seeds):
            raise SpecError("seeds of confirm hold a number twice: keep each once")
        if len(set(self.shells)) < len(self.shells):
            raise SpecError("shells of confirm hold one twice: keep each once")
        return self

    def refuses(self, tasks: tuple[str, ...], seeds: tuple[int, ...]) -> str:
        """Why a study of these tasks and seeds cannot be confirmed so, or nothing."""
        if seen := [task.name for task in self.held_out if task.name in tasks]:
            return (
                f"confirm holds out {', '.join(seen)}, which the study searches on: hold out tasks"
                " that it does not see"
            )
        if seen := [str(seed) for seed in self.seeds if seed in seeds]:
            return (
                f"confirm uses seed {', '.join(seen)}, which the search has seen: take fresh ones,"
                " such as 1001 to 1005"
            )
        return ""
