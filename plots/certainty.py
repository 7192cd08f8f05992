"""How sure a study can be: noise of a score, luck of the best, and what follows for each winner."""

import math
from statistics import fmean
from typing import NamedTuple

from miras.result import TrialRecord
from miras.statistics import Deviation, luck_of_best, pooled

from . import reading
from .capacity import EQUAL


class Noise(NamedTuple):
    """Standard deviation of a score when nothing but chance changes, and what it rests on."""

    deviation: float
    repeats: int
    source: str

    @property
    def at_most(self) -> float:
        """Upper 90 % limit of the deviation: from few repeats it is far above the estimate."""
        return Deviation(self.deviation, self.repeats).at_most(0.9)


class Verdict(NamedTuple):
    """The best new memory of an objective against the best known one.

    `luck` is how far above its true value the best of the candidates would look if all were equal
    and the noise were at its upper limit.
    """

    objective: str
    new: TrialRecord | None
    new_score: float
    known: TrialRecord | None
    known_score: float
    candidates: int
    noise: Noise | None
    luck: float | None

    @property
    def difference(self) -> float:
        """Score of the best new memory less that of the best known one."""
        return self.new_score - self.known_score

    @property
    def sentence(self) -> str:
        """What the numbers allow to say, and no more."""
        if self.new is None:
            return "No new memory finished."
        if self.known is None:
            return "No known memory finished beside it: there is nothing to compare with."
        if self.difference <= 0:
            return "No new memory beats the best known one."
        return self._ahead + self._larger

    @property
    def _ahead(self) -> str:
        if self.noise is None or self.luck is None:
            return "Ahead, but nothing was run twice: it may be noise."
        if self.difference <= self.luck:
            return "Ahead by no more than the luck of the best of so many may give."
        return "Ahead by more than luck is likely to give: worth confirming on fresh seeds."

    @property
    def _larger(self) -> str:
        """What a larger state takes away from a lead."""
        if self.new is None or self.known is None:
            return ""
        own, other = (reading.state_floats(each) for each in (self.new, self.known))
        if own <= EQUAL * other:
            return ""
        return (
            f" But it keeps {own:,} floats of state per layer where that one keeps {other:,}, which"
            " alone may be the reason; `match` in a study gives all the same."
        )


def noise(records: reading.Records, objective: str) -> Noise | None:
    """Pooled standard deviation of a score between runs that differ by chance alone.

    From memories that were run more than once under different numbers (equal keys, the null
    candidates among them); without these, from the seeds of each memory. Repeats that agree to the
    last digit shared their seeds and say nothing.
    """
    groups: dict[str, list[float]] = {}
    for record, value in reading.scored(records, objective):
        groups.setdefault(record.key, []).append(value)
    deviation, repeats = pooled(list(groups.values()))
    if deviation > 0:
        return Noise(deviation, repeats, "memories that were run again")
    members = reading.tasks_of(records, objective)
    done = [record for record, _ in reading.scored(records, objective)]
    seeds = [reading.seed_scores(record, members) for record in done]
    deviation, repeats = pooled(seeds)
    if deviation > 0:
        count = fmean(len(scores) for scores in seeds if len(scores) > 1)
        return Noise(deviation / math.sqrt(count), repeats, "seeds of the same memory")
    return None


def verdicts(records: reading.Records) -> list[Verdict]:
    """One verdict for each objective."""
    found: list[Verdict] = []
    for objective in reading.objectives(records):
        ranked = reading.scored(records, objective)
        new = [(record, value) for record, value in ranked if reading.is_new(record)]
        known = [(record, value) for record, value in ranked if record.origin == "baseline"]
        best, best_score = new[0] if new else (None, math.nan)
        rival, rival_score = known[0] if known else (None, math.nan)
        chance = noise(records, objective)
        # those that a rung stopped were tried as well: the best is the best of all of them
        stopped = [each for each in records if each.status == "stopped" and reading.is_new(each)]
        tried = len(new) + len(stopped)
        luck = chance.at_most * luck_of_best(tried) if chance else None
        found.append(Verdict(objective, best, best_score, rival, rival_score, tried, chance, luck))
    return found
