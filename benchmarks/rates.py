"""Which learning rates should a search give its candidates, for the same number of trainings?

`miras search studies/rates.yaml` trains memories that chance has drawn at seven rates each. From
that table candidates are drawn again and again, each is given one fixed rate, one by chance (a
dimension of the search) or a grid of some, as many as a budget of trainings allows, and the best
score on validation wins. What counts is what the winner is worth: its test score at the rate of all
seven that validation prefers, which is what a confirmation finds out.

`python -m miras.benchmarks.rates` writes a table to `benchmarks/results/rates.md`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from miras.lines import read
from miras.result import TrialRecord
from miras.statistics.untyped import stats

BUDGETS = (6, 12, 21, 36)
"""Trainings of a search."""


class Policy(NamedTuple):
    """What a search gives each candidate."""

    rates: int
    by_chance: bool = False
    """Each has another one; else all have the same."""


POLICIES = {
    "one fixed rate": Policy(1),
    "one rate by chance": Policy(1, by_chance=True),
    "a grid of three": Policy(3),
    "all seven": Policy(7),
}

POOLS, SEARCHES = 200, 50
"""Resampled pools of candidates, and searches in each."""

STUDY = Path("runs/rates")
RESULTS = Path(__file__).parent / "results"


class Table(NamedTuple):
    """Scores of candidates at all rates; a rate at which one did not train is at -1."""

    validation: Float[np.ndarray, "candidates rates"]
    test: Float[np.ndarray, "candidates rates"]

    @property
    def worth(self) -> Float[np.ndarray, " candidates"]:
        """The test score of each at the rate that validation prefers."""
        return self.test[np.arange(len(self.test)), self.validation.argmax(axis=1)]


class Row(NamedTuple):
    """What came of a policy."""

    policy: str
    agreement: float
    """Rank correlation of what a search sees of candidates with what they are worth."""
    found: dict[int, tuple[float, float, float]]
    """By trainings: mean worth of the winner less that of the first policy's, and 95 % of pools."""


def table(records: Sequence[TrialRecord], rates: Sequence[float]) -> Table:
    """Mean scores over the tasks, of candidates that trained at one rate at least."""
    validation: list[list[float]] = []
    test: list[list[float]] = []
    for record in records:
        tasks = {result.task for result in record.results}
        rows: tuple[list[float], list[float]] = ([], [])
        for rate in rates:
            here = [each for each in record.results if each.learning_rate == rate]
            whole = len(here) == len(tasks) and all(each.status == "ok" for each in here)
            rows[0].append(fmean(each.validation or 0.0 for each in here) if whole else -1.0)
            rows[1].append(fmean(each.score or 0.0 for each in here) if whole else -1.0)
        if max(rows[0]) >= 0.0:
            validation.append(rows[0])
            test.append(rows[1])
    return Table(np.array(validation), np.array(test))


def places(policy: Policy, rates: int, generator: np.random.Generator) -> list[int]:
    """Which rates a candidate is given."""
    if policy.by_chance:
        return [int(generator.integers(rates))]
    # in the middles of equal shares of the range, as `baseline_rates` has them
    return [round((rates - 1) * (at + 0.5) / policy.rates) for at in range(policy.rates)]


def seen(
    found: Table, policy: Policy, generator: np.random.Generator
) -> Float[np.ndarray, " candidates"]:
    """What a search sees of each candidate: its best validation score at the rates it is given."""
    rates = found.validation.shape[1]
    best = [row[places(policy, rates, generator)].max() for row in found.validation]
    return np.array(best)


def searched(found: Table, policy: Policy, trainings: int, generator: np.random.Generator) -> float:
    """What the winner of one search by chance is worth."""
    drawn = generator.permutation(len(found.validation))[: max(1, trainings // policy.rates)]
    here = Table(found.validation[drawn], found.test[drawn])
    return float(here.worth[int(seen(here, policy, generator).argmax())])


def rows(
    found: Table, budgets: Sequence[int] = BUDGETS, pools: int = POOLS, searches: int = SEARCHES
) -> list[Row]:
    """All policies, on the same pools of candidates, which are resampled with replacement."""
    count = len(found.test)
    means = {(name, budget): list[float]() for name in POLICIES for budget in budgets}
    for pool in range(pools):
        chosen = np.random.default_rng(pool).integers(count, size=count)
        here = Table(found.validation[chosen], found.test[chosen])
        for name, policy in POLICIES.items():
            draws = np.random.default_rng((pool, *policy))
            for budget in budgets:
                each = (searched(here, policy, budget, draws) for _ in range(searches))
                means[name, budget].append(fmean(each))
    first = next(iter(POLICIES))
    made: list[Row] = []
    for name, policy in POLICIES.items():
        draws = (np.random.default_rng(each) for each in range(pools))
        agreement = fmean(
            float(stats.spearmanr(seen(found, policy, draw), found.worth).statistic)
            for draw in draws
        )
        ahead: dict[int, tuple[float, float, float]] = {}
        for budget in budgets:
            mine = np.array(means[name, budget])
            less = mine if name == first else mine - np.array(means[first, budget])
            low, high = np.quantile(less, (0.025, 0.975))
            ahead[budget] = (float(less.mean()), float(low), float(high))
        made.append(Row(name, agreement, ahead))
    return made


def page(found: Table, rates: Sequence[float], made: Sequence[Row]) -> str:
    """The table in Markdown."""
    best = found.worth.max()
    alone = found.test[found.validation.argmax(axis=0), np.arange(len(rates))]
    budgets = list(made[0].found)
    lines = [
        "# Learning rates of a search",
        "",
        f"{len(found.test)} candidates by chance at {len(rates)} rates from {rates[0]:g} to"
        f" {rates[-1]:g} (studies/rates.yaml); the best is worth {best:.3f}. A candidate is worth"
        " its test score at the rate that validation prefers among all.",
        "",
        "Worth of the winner of a search by chance with so many trainings; for the first policy"
        f" itself, for the others how much more, with 95 % of {POOLS} resampled pools of"
        " candidates. Agreement is the rank correlation of what the search sees with the worth.",
        "",
        "| policy | rates of a candidate | agreement | "
        + " | ".join(f"{each} trainings" for each in budgets)
        + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(budgets),
    ]
    for place, row in enumerate(made):
        cells = [
            f"{mean:.3f}" if place == 0 else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
            for mean, low, high in row.found.values()
        ]
        title = f"| {row.policy} | {POLICIES[row.policy].rates} | {row.agreement:.2f} | "
        lines.append(title + " | ".join(cells) + " |")
    preferred = np.bincount(found.validation.argmax(axis=1), minlength=len(rates))
    lines += [
        "",
        "| rate | candidates that are best there | did not train | worth of the best there |",
        "| ---: | ---: | ---: | ---: |",
        *(
            f"| {rate:g} | {preferred[place]} | {int((found.validation[:, place] < 0).sum())} |"
            f" {alone[place]:.3f} |"
            for place, rate in enumerate(rates)
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, default=STUDY, help="folder of the study")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    records = list(read(given.run / "trials.jsonl", TrialRecord))
    if not records:
        raise SystemExit(f"{given.run} has no trials: run miras search studies/rates.yaml first")
    rates = sorted({each.learning_rate for record in records for each in record.results})
    found = table(records, rates)
    text = page(found, rates, rows(found))
    (given.out / "rates.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
