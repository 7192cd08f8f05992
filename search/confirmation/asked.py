"""What a study has asked of fresh seeds so far, whatever became of it.

Who confirms again with other seeds, rates or finalists draws again, and the best of several draws
looks better than it is. So every comparison is noted in the ledger of the study before its first
run and stays there, and so is the number of runs; Holm counts all that is noted. New seeds are no
way around it: they make the next draw an honest one, and not the only one.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from miras.result import Result

from ..ledger.ledger import Ledger
from .confirmation import OWN, Confirmation

COMPARED, RUNS = "compared ", "runs on fresh seeds "
"""How facts begin that hold a comparison, and the runs of a folder."""

NEIGHBOUR, ABLATION = "nearest known memory", "choices"
"""Families of comparisons beside the settings."""


class Asked(NamedTuple):
    """Comparisons by family, and runs."""

    comparisons: Mapping[str, int] = {}
    runs: int = 0
    seconds: float = 0.0

    def among(self, family: str, planned: int) -> int:
        """The comparisons that a probability is corrected for."""
        return max(planned, self.comparisons.get(family, 0))


def ask(
    ledger: Ledger, plan: Confirmation, folder: str, results: Sequence[Result], begins: bool
) -> Asked:
    """All that was asked, with what a folder has run; what is planned is noted if it begins."""
    if begins:
        ledger.note(**dict(comparisons(plan)))
    if results:
        # by the first run: a folder that is copied, or seen from another machine, counts once
        mark = hashlib.sha256(results[0].model_dump_json().encode()).hexdigest()[:24]
        seconds = sum(each.seconds for each in results)
        said = {f"{RUNS}{mark}": f"{len(results)} {seconds:.3f}"}
        if f"{RUNS}{folder}" in ledger.facts(RUNS):  # as it was noted by earlier versions
            said[f"{RUNS}{folder}"] = "0 0"
        ledger.note(**said)
    noted = Counter(dict(comparisons(plan) | ledger.facts(COMPARED)).values())
    ran = [each.split() for each in ledger.facts(RUNS).values()]
    return Asked(noted, sum(int(each[0]) for each in ran), sum(float(each[1]) for each in ran))


def comparisons(plan: Confirmation) -> dict[str, str]:
    """The comparisons of a plan: under a name of its own each, its family."""
    found: dict[str, str] = {}
    for each in _comparisons(plan):
        mark = hashlib.sha256("\n".join(each).encode()).hexdigest()[:24]
        found[f"{COMPARED}{mark}"] = each[0]
    return found


def _comparisons(plan: Confirmation) -> Iterator[tuple[str, ...]]:
    """Family, draw, and who is compared. Equal draws have equal runs."""
    for setting in dict.fromkeys(plan.settings):
        for number in plan.finalists.values():
            yield setting, _draw(plan, setting), f"{number}"
    own = _draw(plan, OWN)
    for name, near in plan.neighbours.items():
        yield NEIGHBOUR, own, f"{plan.finalists[name]}", near
    for each in plan.ablations:
        yield ABLATION, own, f"{plan.finalists[each.finalist]}", each.slot


def _draw(plan: Confirmation, setting: str) -> str:
    """All that decides which runs a memory has in a setting."""
    rates = plan.sweep.model_dump_json(
        include={"seeds", "learning_rates", "notches", "rates_kept", "evaluations"}
    )
    tasks = [
        plan.sweep.compare[place].model_dump(mode="json", include={"task", "shell"})
        for place in plan.tasks(setting)
    ]
    return rates + json.dumps(tasks)
