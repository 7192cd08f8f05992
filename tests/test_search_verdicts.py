"""What a trial is worth, and studies that are wrong."""

from pathlib import Path
from typing import Any

import pytest
from search_conduct import study, study_of_nobody

from miras.load import SpecFileError
from miras.result import Result
from miras.search.trial.evaluation import judge


def result(task: str, rate: float, **changes: Any) -> Result:
    fields: dict[str, Any] = {"name": "m", "key": "k", "memory": {}, "settings": {}, "seed": 0}
    scores: dict[str, Any] = {"score": 0.5, "validation": 0.5}
    given: dict[str, Any] = {"task": task, "learning_rate": rate}
    return Result.model_validate(fields | given | scores | changes)


@pytest.mark.parametrize(
    ("results", "status", "rate"),
    [
        # the best rate by validation, whatever its test score
        (
            [
                result("mqar", 0.1, validation=0.2, score=0.9),
                result("parity", 0.1, validation=0.2, score=0.9),
                result("mqar", 0.2, validation=0.9, score=0.1),
                result("parity", 0.2, validation=0.1, score=0.1),
            ],
            "ok",
            0.2,
        ),
        # a rate that failed somewhere cannot win
        (
            [
                result("mqar", 0.1),
                result("parity", 0.1),
                result("mqar", 0.2, validation=0.9),
                result("parity", 0.2, status="diverged"),
            ],
            "ok",
            0.1,
        ),
        ([result("mqar", 0.1, status="diverged", reason="nan")], "diverged", 0.1),
        ([result("mqar", 0.1)], "error", 0.1),
        ([], "error", 0.0),
    ],
)
def test_verdicts(results: list[Result], status: str, rate: float) -> None:
    verdict = judge(study_of_nobody, results, None)
    assert (verdict.status, verdict.learning_rate) == (status, rate)
    assert bool(verdict.test) == bool(verdict.validation) == (status == "ok")
    cut = judge(study_of_nobody, results, ("timed_out", "too long"))
    assert cut.status == ("ok" if status == "ok" else "timed_out")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ["mqar", "mqar"]}, "tasks name mqar twice"),
        ({"baselines": ["deltanett"]}, "did you mean 'deltanet'"),
        ({"baselines": ["deltanet", "deltanet"]}, "train the same model; keep one"),
        ({"confirm": {"known": ["kdaa"]}}, "did you mean 'kda'"),
        (
            {"baselines": ["gla"], "confirm": {"known": ["gla"]}},
            "gla and gla train the same model; keep one",
        ),
        ({"space": "quickstat"}, "did you mean 'quickstart'"),
        ({"space": {"architecture": {"any": ["matrx"]}}}, "did you mean 'matrix'"),
        ({"objectives": ["recal"]}, "did you mean 'recall'"),
        ({"budget": {"trials": 0}}, "greater than or equal to 1"),
        ({"baselines": ["gla", "kda"], "budget": {"trials": 1}}, "too small for 2 known"),
        ({"limits": {"per_task": {"mqr": 1.0}}}, "did you mean 'mqar'"),
        ({"learning_rate": {"low": 0.1, "high": 0.01}}, "low must be below high"),
        ({"sampler": "tp"}, "did you mean 'tpe'"),
        ({"seeds": [1, 1]}, "seeds hold a number twice"),
        ({"name": "a/b"}, "name"),
    ],
)
def test_wrong_studies(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(SpecFileError, match=words.replace("(", r"\(")) as caught:
        study(tmp_path, **changes)
    assert all(problem.place is not None for problem in caught.value.problems)
