"""Sizes are solved for in another process: a candidate that hangs there, or blows up, is refused.

It may use the memory of one run of the study, and a part of its time. What it does not find by then
is told to the sampler like every other refusal.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from miras.model import Shell

from ..space.derive import Candidate, Refusal
from ..study import Study
from .isolation import MOST_CRASHES, PATIENCE, Bounds, Crashed, Silent, answered
from .matching import SOLVE, Fit, Match, solved
from .measuring import TOO_LARGE, too_large

SHARE = 0.25
"""Of what a run may take: to build some models and read a sequence takes some steps of training."""

MOST = 512
"""Answers that are kept: samplers propose the same memory again and again."""


class Apart:
    """Solves for sizes as `matching` does, within the limits of a study."""

    def __init__(self, study: Study) -> None:
        limits = study.limits
        self.seconds = SHARE * max(study.seconds(task.name) for task in study.tasks)
        silence = PATIENCE * self.seconds + limits.grace
        self.bounds = Bounds(silence, limits.memory_gib, core=self.seconds)
        self.known: dict[str, Fit | Refusal] = {}

    @contextmanager
    def used(self) -> Generator[None]:
        """Whoever solves for sizes does it so."""
        token = SOLVE.set(self.solve)
        try:
            yield
        finally:
            SOLVE.reset(token)

    def solve(
        self, match: Match, candidate: Candidate, shell: Shell, length: int, reference: bool
    ) -> Fit | Refusal:
        """As `matching.solve`. Raises NoRoom where the machine has none."""
        asked = (each.model_dump_json() for each in (match, candidate, shell))
        place = "\n".join((*asked, f"{length} {reference}"))
        if place not in self.known:
            if len(self.known) > MOST:
                self.known.clear()
            work = partial(_solved, match, candidate, shell, length, reference)
            self.known[place] = self._asked(work)
        return self.known[place]

    def _asked(self, work: partial[Fit | Refusal]) -> Fit | Refusal:
        try:
            return answered(work, self.bounds)
        except Silent:
            return Refusal(
                "match",
                f"its sizes were not found within {self.seconds:g} s, {SHARE:.0%} of the longest"
                " that a run may take: raise seconds of limits if others take as long",
            )
        except Crashed as crash:
            if not crash.signal:
                raise
            return Refusal(
                "match",
                f"the process that solved for its sizes died of signal {crash.signal},"
                f" {MOST_CRASHES} times: as when memory runs out",
            )


def _solved(
    match: Match, candidate: Candidate, shell: Shell, length: int, reference: bool
) -> Fit | Refusal:
    try:
        return solved(match, candidate, shell, length, reference)
    except Exception as error:
        if not too_large(error):
            raise
        return Refusal("match", TOO_LARGE)
