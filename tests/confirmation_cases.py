"""A small study, its trials by hand, and confirmations of it that take no time."""

from collections.abc import Callable, Sequence
from typing import Any

from miras.canonical import equals, key
from miras.known import known
from miras.load import brief
from miras.memory import Memory
from miras.result import Finding, Point, Result, TrialRecord
from miras.search.space.derive import Candidate
from miras.search.study import Study
from miras.search.sweep.comparison import Job, Sweep
from miras.search.sweep.standing import Place, Standing
from miras.search.trial.evaluation import plain

TASKS = [
    {"kind": "parity", "steps": 2, "batch": 4, "validation": 8, "test": 8},
    {"kind": "mqar", "steps": 2, "batch": 4, "validation": 8, "test": 8},
]
HELD_OUT = {"kind": "flip_flop", "steps": 2, "batch": 4, "validation": 8, "test": 8}


def study(**changes: object) -> Study:
    """Two tasks with an objective each; of two rates one is run on all five fresh seeds."""
    confirm = {"rates_kept": 1, "learning_rates": [0.001, 0.01], "notches": 0}
    confirm |= changes.pop("confirm", {})  # type: ignore[operator]
    fields: dict[str, Any] = {
        "name": "tiny",
        "space": {"architecture": "matrix", "bias": {"any": ["l2", "l1"]}},
        "tasks": TASKS,
        "baselines": ["deltanet", "gla"],
        "nulls": 1,
        "learning_rate": 0.01,
        "budget": {"trials": 8},
        "confirm": confirm,
    }
    return Study.model_validate(fields | changes)


def candidate(**changes: object) -> Memory:
    """A memory that no paper has: the delta rule with the absolute error."""
    fields = known()["deltanet"].model_dump() | {"bias": "l1"} | changes
    return Memory.model_validate(fields | {"name": "", "paper": "", "departures": ()})


def trial(
    about: Study, number: int, origin: str, memory: Candidate, *scores: float, **changes: object
) -> TrialRecord:
    """A trial with these validation scores on the tasks; its test scores are 0.5 less."""
    seed = about.seeds[0] + about.shift(number)
    runs = tuple(
        Result(
            name=memory.name,
            key=key(memory),
            memory={},
            task=task.name,
            settings={},
            seed=seed,
            learning_rate=0.01,
            score=score - 0.5,
            validation=score,
            seconds=60.0,
        )
        for task, score in zip(about.tasks, scores, strict=False)
    )
    fields: dict[str, Any] = {
        "study": about.name,
        "number": number,
        "origin": origin,
        "name": memory.name or "found",
        "key": key(memory),
        "memory": plain(memory),
        "choices": {},
        "objectives": {t.objective: s - 0.5 for t, s in zip(about.tasks, scores, strict=False)},
        "results": runs,
        "equals": equals(memory) if origin in ("search", "random") else (),
        "learning_rate": 0.01,
    }
    return TrialRecord.model_validate(fields | changes)


def trials(about: Study) -> list[TrialRecord]:
    """Two baselines, a null candidate, three new memories, one that is known and one that fails."""
    decaying = candidate(retention={"kind": "decay", "gate": "mamba"})
    return [
        trial(about, 0, "baseline", known()["deltanet"], 0.6, 0.6),
        trial(about, 1, "baseline", known()["gla"], 0.5, 0.5),
        trial(about, 2, "null", known()["deltanet"], 0.7, 0.6),
        trial(about, 3, "search", candidate(), 0.9, 0.7),
        trial(about, 4, "search", decaying, 0.1, 0.8),
        trial(about, 5, "random", candidate(bias="huber"), 0.3, 0.3),
        trial(about, 6, "search", known()["gated-deltanet"], 1.0, 1.0),
        trial(about, 7, "search", candidate(bias={"kind": "lp", "p": 3.0}), status="diverged"),
    ]


Score = Callable[[str, str, int], float]
"""Test score of a memory by its name, on a task or comparison by its title, with a seed."""


def outcome(sweep: Sweep, job: Job, score: float) -> Result:
    """A run with a score; the higher rate is better on validation."""
    comparison = sweep.compare[job.comparison]
    memory = comparison.entrants[job.memory]
    spec = comparison.spec(memory)
    return Result(
        name=memory.name,
        key=key(memory),
        memory=brief(memory),
        task=comparison.task.name,
        settings={
            "task": comparison.task.model_dump(mode="json"),
            "shell": spec.model_dump(mode="json", exclude={"pattern"}),
        },
        seed=job.seed,
        learning_rate=job.learning_rate,
        score=score,
        validation=score if job.learning_rate > 0.005 else score / 2,
        metrics={"accuracy/K=4": score, "accuracy/K=4,length=512": score - 0.2},
        curve=(Point(step=2, tokens=8, loss=1.0, score=score),),
        tokens=1000,
        seconds=36.0,
        parameters_without_embedding=100,
        state_floats=64 if comparison.task.name == sweep.compare[0].task.name else 32,
        flops_per_token=1000.0,
        tokens_per_second=500.0,
    )


def done(sweep: Sweep, score: Score, most: int = 10**6) -> list[Result]:
    """The results of a sweep, or the first ones of them."""
    standing, found = Standing(sweep), list[Result]()
    while jobs := standing.needed():
        for job in jobs:
            if len(found) >= most:
                return found
            found.append(outcome(sweep, job, score_of(sweep, job, score)))
            standing.runs[Place(job.comparison, job.memory)].append(found[-1])
    return found


def score_of(sweep: Sweep, job: Job, score: Score) -> float:
    """What a run of this job reaches."""
    comparison = sweep.compare[job.comparison]
    return score(comparison.entrants[job.memory].name, comparison.title, job.seed)


def names(sweep: Sweep, index: int) -> Sequence[str]:
    """Who takes part in a comparison."""
    return [each.name for each in sweep.compare[index].entrants]


def told(name: str, title: str, seed: int) -> float:
    """#3 is better than all, but no better on the held-out task; DeltaNet is the best baseline."""
    noise = 0.01 * ((seed * 7 + len(name) * 3) % 5)
    if name == "#3 found" and "held out" not in title:
        return 0.8 + noise
    return {"gla": 0.4, "deltanet": 0.5}.get(name, 0.45) + noise


def pick(found: list[Finding], topic: str, subject: str = "", **more: Any) -> Finding:
    """The one finding that is so."""
    (one,) = [
        each
        for each in found
        if (each.topic, subject or each.subject) == (topic, each.subject)
        and all(getattr(each, name) == value for name, value in more.items())
    ]
    return one
