"""Plans where numbers are extreme, and suites that notice what is wrong."""

from collections.abc import Callable
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor

from miras import definition
from miras.bias import Gates
from miras.bias.l2 import L2
from miras.definition import Prepared
from miras.known import cells as known
from miras.memory import Memory
from miras.optimizer.gd import GradientDescent
from miras.part import Part
from miras.plans import Plan, plans
from miras.plans.recurrence import recurrence
from miras.plans.sequential import Sequential
from miras.retention.decay import Decay
from miras.state import State
from miras.testing import (
    Tensors,
    check_bias,
    check_causality,
    check_optimizer,
    check_plan,
    check_retention,
    check_split,
    random_tensors,
)

DECAYING = [
    (name, kind)
    for name, memory in known().items()
    if memory.retention.decays and not memory.recurrent
    for kind, plan in plans().items()
    if kind != "sequential" and plan.fits(memory)
]


def with_decay(tensors: Tensors, change: Callable[[Tensor], Tensor]) -> Tensors:
    gates = {n: change(g) if n.startswith("decay") else g for n, g in tensors.gates.items()}
    return tensors._replace(gates=gates)


# The link of moneta has a pole at the zero that strong decay reaches.
@pytest.mark.parametrize(("name", "kind"), [case for case in DECAYING if case[0] != "moneta"])
@pytest.mark.parametrize("power", [5.0, 30.0], ids=["e-5", "e-30"])
def test_long_chunks_of_strong_decay(name: str, kind: str, power: float) -> None:
    memory, plan = known()[name], plans()[kind]
    if "chunk" in type(plan).model_fields:
        plan = plan.model_copy(update={"chunk": 48})
    # The norm of a deep memory divides by weights that fade away, and turning a memory that fades
    # away is the difference of turning all keys and all queries: that needs more digits.
    exact = memory.architecture.linear and not memory.architecture.turns
    dtype = torch.float32 if exact else torch.float64
    tensors = random_tensors(memory, time=48, dtype=dtype)
    strong = with_decay(tensors, lambda gate: torch.exp(-power * (0.8 + 0.2 * gate)))
    check_plan(memory, plan, strong)


@pytest.mark.parametrize(("name", "kind"), DECAYING)
def test_a_retention_of_zero_is_a_plain_zero(name: str, kind: str) -> None:
    memory, plan = known()[name], plans()[kind]
    tensors = random_tensors(memory, time=9)

    def some_zero(gate: Tensor) -> Tensor:
        return gate.index_fill(1, torch.tensor([0, 4, 5]), 0.0).requires_grad_()

    found: list[tuple[Tensor, ...]] = []
    zeros = with_decay(tensors, some_zero)
    leaves = [tensor.requires_grad_() for tensor in zeros[:3]] + list(zeros.gates.values())
    for by in (plan, plans()["sequential"]):
        prepared = definition.prepare(memory, *zeros[:4], 0)
        output, state = by.run(memory, prepared, zeros.start(memory))
        sources = [leaf for leaf in leaves if leaf.requires_grad]
        gradients = torch.autograd.grad(output.sum(), sources, materialize_grads=True)
        found.append((output, *state.weights.values(), *gradients))
    decays = {id(gate) for n, gate in zeros.gates.items() if n.startswith("decay")}
    names = [None] * (len(found[0]) - len(sources)) + [id(leaf) for leaf in sources]
    for fast, literal, source in zip(*found, names, strict=True):
        assert fast.isfinite().all()
        if source not in decays:
            torch.testing.assert_close(fast, literal, rtol=1e-9, atol=1e-9)


def test_recurrence_has_derivatives_of_any_order() -> None:
    keep, write = torch.randn(2, 5, 1, dtype=torch.float64), torch.randn(2, 5, 3).double()
    inputs = (keep.requires_grad_(), write.requires_grad_(), torch.randn(2, 3).double())
    inputs[2].requires_grad_()
    assert torch.autograd.gradcheck(recurrence, inputs)
    assert torch.autograd.gradgradcheck(recurrence, inputs)


class Forgetful(Plan):
    """Sequential, with one mistake."""

    mistake: Literal["output", "weights", "position", "gradient", "later"]
    complexity: ClassVar[str] = "none"

    def fits(self, memory: Memory) -> bool:
        return True

    def cost(self, memory: Memory, key_dim: int, value_dim: int) -> float:
        return 0.0

    def run(self, memory: Memory, inputs: Prepared, state: State) -> tuple[Tensor, State]:
        output, after = Sequential().run(memory, inputs, state)
        if self.mistake == "output":
            output = output * (1 + 1e-7)
        elif self.mistake == "weights":
            after = after._replace(weights={n: leaf + 1e-7 for n, leaf in after.weights.items()})
        elif self.mistake == "position":
            after = after._replace(position=state.position)
        elif self.mistake == "gradient":
            output = output.detach() + (output - output.detach()) * (1 + 1e-7)
        else:
            output = output + 1e-30 * inputs.key.sum()
        return output, after


@pytest.mark.parametrize("mistake", ["output", "weights", "position", "gradient"])
def test_the_suite_notices_a_wrong_plan(mistake: Literal["output", "weights", "position"]) -> None:
    with pytest.raises(AssertionError, match="differs from the definition in"):
        check_plan(known()["gated-deltanet"], Forgetful(mistake=mistake))


def test_the_suite_notices_a_look_ahead() -> None:
    memory = known()["mamba-2"]
    with pytest.raises(AssertionError, match="depends on key of a later token"):
        check_causality(memory, Forgetful(mistake="later"))
    with pytest.raises(AssertionError, match="when the sequence is cut"):
        check_split(memory, Forgetful(mistake="position").model_copy(update={"mistake": "weights"}))


class Doubled(L2):
    """An error that is twice the derivative of its loss."""

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        return 2 * (prediction - target)


class Shrinking(Decay):
    """A link that says it is none."""

    def link(self, accumulator: Tensor) -> Tensor:
        return accumulator / 2


class Lazy(GradientDescent):
    """A step that says it is plain and takes half."""

    def update(self, step_gradient, buffers, token):
        return {name: -leaf / 2 for name, leaf in step_gradient.items()}, {}


WRONG: list[tuple[Callable[..., None], Part, str]] = [
    (check_bias, Doubled(), "not the derivative of its loss"),
    (check_retention, Shrinking(), "says identity_link"),
    (check_optimizer, Lazy(), "says plain and is not"),
]


@pytest.mark.parametrize(("check", "part", "sentence"), WRONG)
def test_the_suite_notices_a_wrong_part(check: Callable[..., None], part: Part, sentence: str):
    with pytest.raises(AssertionError, match=sentence):
        check(part)


@pytest.mark.parametrize("name", ["gated-deltanet", "kda", "gla", "mamba-2", "comba", "longhorn"])
@pytest.mark.parametrize("time", [1, 33, 70])
def test_plans_without_their_kernels(name: str, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = known()[name]
    tensors = random_tensors(memory, time=time, strong=True)
    for plan in (plan for plan in plans().values() if plan.fits(memory)):
        check_plan(memory, plan, tensors)
        monkeypatch.setenv("MIRAS_KERNELS", "0")
        check_plan(memory, plan, tensors)
        monkeypatch.delenv("MIRAS_KERNELS")
