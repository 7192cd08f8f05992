"""Tasks with all kinds of settings, and predictors to judge: what the tests of tasks share."""

from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from search_task_cases import SEARCH
from torch import Tensor

from miras.part import leaves
from miras.tasks import Batch, HeldOut, Predict, Task, certain
from miras.tasks.automaton import Automaton
from miras.tasks.byte_lm import ByteLM
from miras.tasks.compression import Compression
from miras.tasks.copy import Copy
from miras.tasks.in_context_recall import InContextRecall
from miras.tasks.k_hop import KHop
from miras.tasks.ladder import Rung
from miras.tasks.last_word import LastWord
from miras.tasks.modular_arithmetic import ModularArithmetic
from miras.tasks.mqar import MQAR
from miras.tasks.needle import Needle
from miras.tasks.ngram_copy import NgramCopy
from miras.tasks.parity import Parity
from miras.tasks.regression import Regression
from miras.tasks.selective_copy import SelectiveCopy

NEEDS = {"digits": "sklearn", "glyphs": "HersheyFonts"}
"""Packages of the extra `data` without which a task has nothing to read."""

# Every setting away from its default somewhere.
TASKS: dict[str, Task] = {
    **{
        kind: cast(Task, leaf())
        for kind, leaf in leaves("miras.tasks").items()
        if kind not in NEEDS or find_spec(NEEDS[kind])
    },
    **SEARCH,
    "mqar quick": MQAR(
        rungs=(Rung(16, 2), Rung(32, 4), Rung(32, 8)),
        extrapolation=(),
        keys=32,
        values=32,
        steps=150,
        batch=32,
        validation=64,
        test=256,
    ),
    "mqar odd": MQAR(
        rungs=(Rung(9, 2), Rung(33, 3)),
        extrapolation=(Rung(41, 3), Rung(40, 10)),
        keys=11,
        values=10,
        filler=1,
        power=1.0,
    ),
    "delay small": Copy(
        rungs=(Rung(16, 6), Rung(21, 10)), extrapolation=(Rung(43, 9),), alphabet=5, batch=6
    ),
    "delay random": Copy(
        rungs=(Rung(31, 5), Rung(31, 11)), extrapolation=(Rung(70, 9),), delay="random"
    ),
    "copy small": SelectiveCopy(
        rungs=(Rung(24, 3), Rung(24, 12)), extrapolation=(Rung(33, 8),), alphabet=3, batch=7
    ),
    "parity small": Parity(
        shortest=2, longest=9, lengths=(14, 31), batch=5, steps=3, test=700, validation=300
    ),
    "compression small": Compression(
        rungs=(Rung(12, 5), Rung(19, 9)), extrapolation=(Rung(31, 9),), alphabet=4, batch=5
    ),
    "noisy recall": InContextRecall(
        rungs=(Rung(20, 3), Rung(34, 7)),
        extrapolation=(Rung(60, 5),),
        keys=12,
        values=9,
        noise=0.4,
        noise_ids=3,
        batch=9,
    ),
    "k_hop small": KHop(
        rungs=(Rung(18, 2), Rung(18, 3)),
        extrapolation=(Rung(28, 3),),
        names=13,
        questions=4,
        steps=7,
    ),
    "ngram small": NgramCopy(
        rungs=(Rung(20, 13),), extrapolation=(Rung(38, 19),), alphabet=7, ngram=2, batch=9
    ),
    "brackets": ModularArithmetic(
        modulus=3, brackets=2, shortest=5, longest=20, lengths=(41, 60), batch=12
    ),
    "passkey": Needle(
        variant="passkey", rungs=(Rung(60, 5),), extrapolation=(Rung(96, 6),), batch=16
    ),
    "needle in noise": Needle(
        variant="niah_1", rungs=(Rung(48, 3), Rung(64, 6)), extrapolation=(), batch=8
    ),
    "needle uuid": Needle(
        variant="niah_3",
        rungs=(Rung(128, 32),),
        extrapolation=(Rung(256, 32),),
        path=Path(__file__).parent,
        batch=8,
    ),
    "regression small": Regression(
        dims=2, examples=7, extrapolation=(), levels=9, noise=0.3, outliers=0.0, batch=5
    ),
    "text small": ByteLM(
        limit=90_000,
        context=31,
        batch=3,
        validation=7,
        test=40,
        path=Path(__file__).parent,
        pattern="test_*.py",
    ),
}
EXACT = {
    name: task
    for name, task in TASKS.items()
    if not isinstance(task, ByteLM | LastWord | Automaton | Regression)
}


def solver(task: Task) -> Predict:
    """The exact solver as a predictor."""

    def predict(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = task.solve(tokens)
        assert answers is not None
        return certain(answers[scored], task.vocabulary)

    return predict


def held_out(task: Task, split: HeldOut, seed: int = 0) -> list[Batch]:
    """The sequences of an evaluation, as the predictor sees them; targets from the solver."""
    seen: list[Batch] = []

    def predict(tokens: Tensor, scored: Tensor) -> Tensor:
        seen.append(Batch(tokens.clone(), scored.long()))
        return torch.zeros(int(scored.sum()), task.vocabulary)

    task.evaluate(predict, split, seed)
    return seen


def uniform(task: Task) -> Predict:
    """A predictor that finds all ids equally likely."""
    return lambda tokens, scored: torch.zeros(int(scored.sum()), task.vocabulary)


def rows(batches: list[Batch]) -> list[bytes]:
    """The sequences as keys, to compare sets of them."""
    return [row.numpy().tobytes() for batch in batches for row in batch.tokens]
