"""Records for the tests of figures and report: by hand, and a made-up study."""

import math
import random
from typing import Any

from miras.result import Point, Result, Sitting, TrialRecord

# Records by hand


def result(task: str = "mqar", score: float | None = 0.5, **changes: Any) -> Result:
    """One run: its validation curve ends at the score after 200 and 400 tokens."""
    end = score or 0.0
    curve = (
        Point(step=1, tokens=200, loss=2.0, score=end / 2),
        Point(step=2, tokens=400, loss=1.0, score=end),
    )
    fields: dict[str, Any] = {
        "name": "a",
        "key": "a",
        "memory": {},
        "task": task,
        "settings": {},
        "seed": 0,
        "learning_rate": 0.001,
        "score": score,
        "curve": curve,
        "parameters": 1000,
        "state_floats": 512,
    }
    return Result(**(fields | changes))


def record(number: int = 0, origin: str = "baseline", **changes: Any) -> TrialRecord:
    """One trial; the objective `recall` is its only one unless `objectives` says otherwise."""
    fields: dict[str, Any] = {
        "study": "s",
        "number": number,
        "origin": origin,
        "name": f"m{number}" if origin == "baseline" else "candidate",
        "key": f"k{number}",
        "memory": {},
        "choices": {},
        "objectives": {"recall": 0.5},
        "results": (result(),),
        "seconds": 10.0,
    }
    return TrialRecord(**(fields | changes))


def scoring(number: int, score: float, size: int = 512, origin: str = "search") -> TrialRecord:
    """A trial with this score and this state."""
    runs = (result(score=score, state_floats=size),)
    return record(number, origin, objectives={"recall": score}, results=runs)


def seeded(number: int, scores: list[float], origin: str = "search") -> TrialRecord:
    """A trial with one run for each seed; its objective is their mean."""
    runs = tuple(result(score=score, seed=seed) for seed, score in enumerate(scores))
    return record(number, origin, objectives={"recall": sum(scores) / len(scores)}, results=runs)


LOST: dict[str, Any] = {
    "status": "diverged",
    "reason": "the loss was not finite",
    "objectives": {},
    "results": (),
}


# A made-up study

TASKS = {"recall": "mqar", "tracking": "parity"}
KNOWN = ["softmax-attention", "linear-attention", "gla", "deltanet", "gated-deltanet", "titans-lmm"]
RUNGS = {"mqar": ("K", (4, 8, 16, 32)), "parity": ("length", (32, 64, 128, 256))}


def synthetic(trials: int = 20, seeds: int = 1, diverging: float = 0.15) -> list[TrialRecord]:
    """A made-up study in which the bias decides recall and the optimizer half of tracking."""
    dice = random.Random(7)
    return [_trial(number, dice, seeds, diverging) for number in range(trials)]


_SAMPLERS = {"random": "random"}


def _trial(number: int, dice: random.Random, seeds: int, diverging: float) -> TrialRecord:
    twin = number == len(KNOWN)
    known = number < len(KNOWN)
    origin = "baseline" if known else "random" if number % 6 == 5 else "search"
    slots: dict[str, Any] = {
        "architecture": {"kind": dice.choice(["matrix", "matrix", "mlp"])},
        "bias": {"kind": dice.choice(["dot", "l2", "huber"])},
        "retention": {"kind": dice.choice(["none", "decay", "lq"])},
        "optimizer": {"kind": dice.choice(["gd", "momentum"]), "step": "sigmoid"},
    }
    name = "-".join(part["kind"] for part in slots.values())
    name = KNOWN[number] if known else "deltanet" if twin else name
    lost = not known and dice.random() < diverging
    level = {
        "mqar": {"dot": 0.45, "l2": 0.8, "huber": 0.75}[slots["bias"]["kind"]],
        "parity": 0.25 + 0.3 * (slots["optimizer"]["kind"] == "momentum"),
    }
    size = 16384 if name == "softmax-attention" else dice.choice([512, 1024, 2048])
    rate = 10 ** dice.uniform(-3.5, -2)
    runs = tuple(
        _run(task, level[task] + dice.gauss(0, 0.05), seed, rate, size, lost)
        for task in TASKS.values()
        for seed in range(seeds)
    )
    means = {
        objective: sum(run.score or 0 for run in runs if run.task == task) / seeds
        for objective, task in TASKS.items()
    }
    return record(
        number,
        "null" if twin else origin,
        name=name,
        key="k3" if twin else f"k{number}",
        memory=slots,
        choices={} if known or twin else {slot: part["kind"] for slot, part in slots.items()},
        objectives={} if lost else means,
        results=runs,
        learning_rate=rate,
        status="diverged" if lost else "ok",
        reason="the loss was not finite at step 120" if lost else "",
        equals=("deltanet",) if number == 14 else (),
        proposed_by=""
        if known or twin
        else _SAMPLERS.get(origin, ("tpe", "evolution")[number % 2]),
        sittings=(
            Sitting(worker=f"f/{number % 2}", started=10.0 * number, ended=10.0 * number + 19.0),
        ),
        seconds=10.0 * seeds,
    )


def _run(task: str, score: float, seed: int, rate: float, size: int, lost: bool) -> Result:
    score = min(1.0, max(0.0, score))
    difficulty, rungs = RUNGS[task]
    metrics = {f"accuracy/{difficulty}={rung}": score ** (rung / 32) for rung in rungs}
    metrics |= {
        f"floor/{difficulty}={rung}": 0.5 if task == "parity" else 1 / rung for rung in rungs
    }
    curve = tuple(
        Point(step=i, tokens=100_000 * i, loss=3 - i / 4, score=score * (1 - math.exp(-i / 2)))
        for i in range(1, 9)
    )
    return result(
        task,
        None if lost else score,
        metrics=metrics,
        curve=curve,
        seed=seed,
        learning_rate=rate,
        state_floats=size,
        status="diverged" if lost else "ok",
    )
