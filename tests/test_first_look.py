"""The first look: good memories pass, each defect is found and said in a sentence."""

from pathlib import Path
from typing import Any

import pytest
import torch

from miras.known import known
from miras.model import Model, Shell
from miras.search.study import Study
from miras.search.trial import first_look
from miras.search.trial.evaluation import Job, execute, judge, train
from miras.search.trial.first_look import Allowed, Unfit, look
from miras.tasks.mqar import MQAR

SHELL = Shell(dim=16, layers=1, heads=2)
TASK = MQAR.model_validate(
    {"rungs": [[16, 3]], "extrapolation": [], "keys": 8, "values": 8, "batch": 8, "steps": 3,
     "validation": 8, "test": 8}
)  # fmt: skip


class Looking(Model):
    """Adds the mean over all tokens, later ones too."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state)
        logits = logits + logits.mean(1, keepdim=True)
        return (logits if scored is None else logits[scored]), after


class Forgetting(Model):
    """Throws its state away."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        return super().forward(tokens, None, scored)


class Constant(Model):
    """Answers the same whatever its weights are."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state, scored)
        return logits * 0.0, after


class Wide(Model):
    """Knows one token too many."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state, scored)
        return torch.cat((logits, logits[..., :1]), -1), after


class Steep(Model):
    """Has gradients that are not finite; its logits are."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state, scored)
        return logits + (logits - logits.detach()).sqrt(), after


class Infinite(Model):
    """Is not finite before anything is learned."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state, scored)
        return logits / 0.0, after


class Rough(Model):
    """Rounds away what two pieces have in common, in single precision."""

    def forward(self, tokens: Any, state: Any = None, scored: Any = None) -> Any:
        logits, after = super().forward(tokens, state, scored)
        return logits + tokens.shape[1] * (logits.dtype == torch.float32), after


@pytest.mark.parametrize("name", ["gated-deltanet", "softmax-attention", "mingru"])
def test_good_memories_pass_and_leave_no_trace(name: str):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    look(known()[name], SHELL, TASK, (0.01,))
    assert torch.equal(torch.rand(3), wanted)


def test_what_rounding_magnifies_is_judged_in_double_precision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(first_look, "Model", Rough)
    look(known()["gated-deltanet"], SHELL, TASK, (0.01,))


@pytest.mark.parametrize(
    ("defect", "status", "sentence"),
    [
        (Looking, "invalid", "into the future"),
        (Forgetting, "invalid", "two pieces"),
        (Constant, "invalid", "no gradient helps"),
        (Wide, "invalid", "wanted are"),
        (Infinite, "diverged", "before any training"),
        (Steep, "diverged", "gradient of .* is not finite"),
    ],
)
def test_each_defect_is_found(
    monkeypatch: pytest.MonkeyPatch, defect: type[Model], status: str, sentence: str
):
    monkeypatch.setattr(first_look, "Model", defect)
    with pytest.raises(Unfit, match=sentence) as caught:
        look(known()["gated-deltanet"], SHELL, TASK)
    assert caught.value.status == status and "\n" not in caught.value.reason


def test_a_shell_that_does_not_fit_and_a_clock_that_ran_out():
    with pytest.raises(Unfit, match="not a multiple of heads") as caught:
        look(known()["gated-deltanet"], Shell(dim=15, heads=2), TASK)
    assert caught.value.status == "invalid"
    with pytest.raises(Unfit, match="took more than") as caught:
        look(known()["gated-deltanet"], SHELL, TASK, seconds=0.0)
    assert caught.value.status == "timed_out"


def test_what_cannot_be_trained_in_time_is_not_begun():
    candidate, steps = known()["gated-deltanet"], 300
    look(candidate, SHELL, TASK, allowed=Allowed("mqar", steps, 3600.0))
    with pytest.raises(Unfit, match=r"with 300 of them training would take \d+ s of the 0.1 s"):
        look(candidate, SHELL, TASK, allowed=Allowed("mqar", steps, 0.1))


def test_it_ends_a_trial_and_is_no_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    fields = {"space": "quickstart", "shell": SHELL, "tasks": (TASK,), "budget": {"trials": 1}}
    study = Study.model_validate({"name": "s", "learning_rate": 0.01, **fields})
    job = Job(study, known()["gla"], (0.01,), checkpoints=tmp_path / "unfinished")
    results: list[Any] = list(execute(job, train))
    assert [each.status for each in results] == ["ok"] and not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(first_look, "Model", Forgetting)
    found = list(execute(job, train))
    assert len(found) == 1 and isinstance(found[0], tuple)
    verdict = judge(study, [], found[0])
    assert verdict.status == "invalid" and "two pieces" in verdict.reason
    again = job._replace(done=tuple(results), rates=(0.01, 0.02))
    more: list[Any] = list(execute(again, train))  # it was looked at before: no second look
    assert [each.learning_rate for each in more] == [0.02]
    off = job._replace(study=study.model_copy(update={"first_look": False}))
    assert [each.status for each in execute(off, train)] == ["ok"]  # pyright: ignore
