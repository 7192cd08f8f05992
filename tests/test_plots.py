"""The numbers of every figure, and the report as a stranger's browser would take it."""

import math
import random
from typing import Any

from miras.result import Point, Result, TrialRecord

TASKS = {"recall": "mqar", "selection": "selective_copy", "tracking": "parity", "text": "byte_lm"}
KNOWN = [
    "softmax-attention", "sliding-window", "linear-attention", "gla", "mamba2",
    "deltanet", "gated-deltanet", "titans-lmm",
]  # fmt: skip
RUNGS = {"mqar": ("K", (4, 8, 16, 32, 64)), "parity": ("length", (32, 64, 128, 256))}


def make_result(name: str, task: str, score: float, **changes: Any) -> Result:
    """One good result; its curve rises to the score."""
    curve = tuple(
        Point(step=50 * i, tokens=100_000 * i, loss=3 - i / 4, score=score * (1 - math.exp(-i / 2)))
        for i in range(1, 9)
    )
    difficulty, rungs = RUNGS.get(task, ("", ()))
    metrics = {f"accuracy/{difficulty}={rung}": score ** (1 + i / 3) for i, rung in enumerate(rungs)}
    metrics |= {f"floor/{difficulty}={rung}": 0.5 if task == "parity" else 1 / rung for rung in rungs}
    return Result(
        **{
            "name": name, "key": name, "memory": {}, "task": task, "settings": {}, "seed": 0,
            "learning_rate": 1e-3, "score": score, "metrics": metrics, "curve": curve,
            "steps": 400, "tokens": 800_000, "seconds": 12.0, "parameters": 104_000,
            "state_floats": 1024, **changes,
        }
    )  # fmt: skip


def synthetic(trials: int = 20, seeds: int = 1, diverging: float = 0.15) -> list[TrialRecord]:
    """A made-up study in which the bias decides recall and the optimizer a part of tracking."""
    dice = random.Random(7)
    records: list[TrialRecord] = []
    for number in range(trials):
        known = number < len(KNOWN)
        twin = number == len(KNOWN)
        origin = "baseline" if known else "null" if twin else "random" if number % 6 == 5 else "search"
        slots: dict[str, Any] = {
            "architecture": {"kind": dice.choice(["matrix", "matrix", "mlp"])},
            "bias": {"kind": dice.choice(["dot", "l2", "huber"])},
            "retention": {"kind": dice.choice(["none", "decay", "lq"])},
            "optimizer": {"kind": dice.choice(["gd", "momentum"]), "step": "sigmoid"},
        }
        if slots["retention"]["kind"] == "decay":
            slots["retention"]["gate"] = dice.choice(["mamba", "sigmoid"])
        name = KNOWN[number] if known else "deltanet" if twin else "-".join(
            part["kind"] for part in slots.values()
        )  # fmt: skip
        lost = not known and dice.random() < diverging
        rate = 10 ** dice.uniform(-3.5, -2)
        levels = {
            "mqar": {"dot": 0.45, "l2": 0.8, "huber": 0.75}[slots["bias"]["kind"]],
            "selective_copy": 0.7,
            "parity": 0.25 + 0.3 * (slots["optimizer"]["kind"] == "momentum"),
            "byte_lm": 0.4,
        }
        state = 16384 if name == "softmax-attention" else dice.choice([512, 1024, 1024, 2048])
        results = [
            make_result(
                name, task, min(1.0, max(0.0, level + dice.gauss(0, 0.06))), seed=seed,
                state_floats=state, learning_rate=rate, status="diverged" if lost else "ok",
                parameters=104_000 + dice.randrange(4000), seconds=dice.uniform(9, 30),
                memory=slots,
            )
            for task, level in levels.items()
            for seed in range(seeds)
        ]  # fmt: skip
        means = {
            objective: sum(r.score or 0 for r in results if r.task == task) / seeds
            for objective, task in TASKS.items()
        }
        records.append(
            TrialRecord(
                study="made-up", number=number, origin=origin, name=name, memory=slots,
                key="deltanet" if twin else f"{name}-{number if not known else ''}".rstrip("-"),
                choices={} if known or twin else {
                    **{slot: part["kind"] for slot, part in slots.items()}, "learning_rate": rate,
                },
                status="diverged" if lost else "ok",
                reason="loss became NaN at step 120" if lost else "",
                objectives={} if lost else means, results=tuple(results), learning_rate=rate,
                equals=("deltanet",) if number == 14 else (), seconds=sum(r.seconds for r in results),
            )
        )  # fmt: skip
    return records
