"""How well samplers search, on problems whose best is known; nothing is trained.

python benchmarks/samplers.py                                   all that is missing, then the tables
python benchmarks/samplers.py --seconds 240                     one piece of it; again for the next
python benchmarks/samplers.py --problems surrogate --samplers random,portfolio --seeds 0-2

Every run is a line of JSON in `results/samplers.jsonl` and is never done twice. Tune samplers on
other seeds than 0 to 19, with `--out` elsewhere. NAS-Bench-201 needs `pip install
'miras-search[bench]'`.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import optuna
from pydantic import TypeAdapter

from miras.benchmarks.records import append, read
from miras.benchmarks.search_problems import (
    Costly,
    Diverging,
    Problem,
    hypervolume,
    problem,
    settings,
)
from miras.search.proposing.ground import Choices, Ground, written
from miras.search.proposing.history import Past, frozen
from miras.search.proposing.proposing import Proposal, Rejection, propose
from miras.search.sampler import AnySampler, Sampler
from miras.search.space.choosers import FromTrial
from miras.search.trial.isolation import one_thread

RESULTS = Path(__file__).parent / "results"
PROBLEMS = ("cifar10", "imagenet16-120", "surrogate", "diverging", "two-objectives")
SAMPLERS = ("random", "tpe", "evolution", "portfolio", "nsga2", "optuna-tpe")
"""`optuna-tpe` is Optuna with its default sampler and nothing of ours around it."""

AT = (50, 100, 200)
SETTLED = 50
"""Trials after which a search should have learned what diverges."""


def main() -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help="by comma, or one as JSON")
    parser.add_argument("--seeds", default="0-19", help="first and last")
    parser.add_argument("--trials", type=int, default=max(AT))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run later")
    parser.add_argument("--out", type=Path, default=RESULTS / "samplers.jsonl")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    one_thread()
    ends = [int(end) for end in options.seeds.split("-")]
    text = str(options.samplers)
    kinds = [text] if text.startswith("{") else text.split(",")
    done = {(row["problem"], row["sampler"], row["seed"]) for row in read(options.out)}
    began = time.monotonic()
    for seed in range(ends[0], ends[-1] + 1):
        for name in options.problems.split(","):
            for kind in kinds:
                if (name, kind, seed) in done or time.monotonic() - began > options.seconds:
                    continue
                append(options.out, run(name, kind, seed, options.trials))
    table = "\n\n".join(tables(read(options.out)))
    options.out.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(table)


def run(name: str, kind: str, seed: int, trials: int) -> dict[str, Any]:
    """One search, and how far it was after some trials."""
    found = problem(name, seed)
    began = time.process_time()
    search = (
        _optuna(found, seed, trials) if kind == "optuna-tpe" else _ours(found, kind, seed, trials)
    )
    history = list(search)
    seconds = time.process_time() - began
    row: dict[str, Any] = {"problem": name, "sampler": kind, "seed": seed, "trials": trials}
    row["at"] = {str(at): _reached(found, history[:at]) for at in AT if at <= trials}
    row["different"] = len({written(choices) for choices, _ in history}) / trials
    if isinstance(found, Diverging):
        late = [found.diverges(choices) for choices, _ in history[SETTLED:]]
        row["diverging"] = fmean(late) if late else None
    return row | {"seconds_per_trial": seconds / trials}


History = Sequence[tuple[Choices, tuple[float, ...] | None]]


def _reached(found: Problem, history: History) -> float:
    """Regret of what looked best, or, of two objectives, the hypervolume of all."""
    good = [(choices, seen) for choices, seen in history if seen is not None]
    if isinstance(found, Costly):
        return hypervolume([found.values(choices) for choices, _ in good], found.reference)
    if not good:
        return float("nan")
    best, _ = max(good, key=lambda pair: pair[1])
    return found.best() - found.values(best)[0]


def _ours(
    found: Problem, kind: str, seed: int, trials: int
) -> Iterator[tuple[Choices, tuple[float, ...] | None]]:
    sampler: Sampler = TypeAdapter[Sampler](AnySampler).validate_python(settings(kind))
    ground = found.ground(trials)
    noise = np.random.default_rng((1, seed))
    past: list[optuna.trial.FrozenTrial] = []
    seen: set[str] = set()
    for number in range(trials):
        taken: list[Choices] = []

        def take(proposal: Proposal, taken: list[Choices] = taken) -> Rejection | None:
            taken.append(proposal.choices)
            return None

        arm = sampler.arm(number, ground)
        directions = ["maximize"] * found.objectives
        propose(ground, arm, Past(past, 0, seen), directions, (seed, number), take)
        choices = taken[0]
        values = found.seen(choices, noise)
        past.append(frozen(ground, choices, values, bad="" if values else "diverged"))
        seen.add(written(choices))
        yield choices, values


def _optuna(
    found: Problem, seed: int, trials: int
) -> Iterator[tuple[Choices, tuple[float, ...] | None]]:
    ground: Ground = found.ground(trials)
    noise = np.random.default_rng((1, seed))
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(directions=["maximize"] * found.objectives, sampler=sampler)
    for _ in range(trials):
        trial = study.ask()
        choices = ground.derive(FromTrial(trial), False)
        values = found.seen(choices, noise)
        if values is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, values)
        yield choices, values


def tables(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """For every problem how far each sampler was, mean and standard error over seeds."""
    yield "# Samplers"
    yield (
        "Mean over seeds and its standard error after 50, 100 and 200 trials. The regret is what"
        " the trial that looked best lacks of the best that there is; of two objectives it is the"
        " hypervolume, which is to be large. `optuna-tpe` is Optuna's default without anything of"
        " ours. Written by `benchmarks/samplers.py`."
    )
    for name in dict.fromkeys(row["problem"] for row in rows):
        here = [row for row in rows if row["problem"] == name]
        chance = [row for row in here if row["sampler"] == "random"]
        lines = [f"## {name}", "", *_head(name)]
        for kind in dict.fromkeys(row["sampler"] for row in here):
            mine = [row for row in here if row["sampler"] == kind]
            lines.append(_line(kind, mine, chance, name))
        yield "\n".join(lines)


def _head(name: str) -> list[str]:
    names = ["sampler", "seeds", *(f"after {at}" for at in AT), "of random's", "different"]
    names += ["into what diverges"] if name == "diverging" else []
    return ["| " + " | ".join((*names, "ms")) + " |", "| --- " * (len(names) + 1) + "|"]


def _line(
    kind: str, mine: Sequence[dict[str, Any]], chance: Sequence[dict[str, Any]], name: str
) -> str:
    cells = [f"`{kind}`", str(len(mine))]
    for at in map(str, AT):
        cells.append(_mean([row["at"][at] for row in mine if at in row["at"]]))
    last = str(max(AT))
    others = {row["seed"]: row["at"].get(last) for row in chance}
    both = [row for row in mine if others.get(row["seed"]) and last in row["at"]]
    ratio = (
        fmean(row["at"][last] for row in both) / fmean(others[row["seed"]] for row in both)
        if both
        else None
    )
    cells.append("" if ratio is None else f"{ratio:.2f}")
    cells.append(f"{fmean(row['different'] for row in mine):.2f}")
    if name == "diverging":
        cells.append(_mean([row["diverging"] for row in mine if row["diverging"] is not None]))
    cells.append(f"{1000 * fmean(row['seconds_per_trial'] for row in mine):.0f}")
    return "| " + " | ".join(cells) + " |"


def _mean(numbers: Sequence[float]) -> str:
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"{numbers[0]:.3f}"
    return f"{fmean(numbers):.3f} ± {stdev(numbers) / len(numbers) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
