"""Plans of vector memories where they are hard: every gate, odd sizes, one token, both routes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from miras import definition, kernels
from miras.known import cells as known
from miras.memory import Memory
from miras.operator import choose
from miras.plans import Plan
from miras.plans.cell import Cell
from miras.plans.layout import layout
from miras.plans.scan import Scan
from miras.testing import Tensors, check_causality, check_plan, check_split, random_tensors

RECURRENT = {"kind": "recurrent"}
EXPONENTIAL = {"kind": "recurrent", "activation": "exponential"}
DECAY = {"kind": "decay", "axis": "value", "gate": RECURRENT}


def memory(**parts: Any) -> Memory:
    return Memory.model_validate(parts)


def vector(**fields: Any) -> dict[str, Any]:
    return {"kind": "vector", **fields}


def gd(**fields: Any) -> dict[str, Any]:
    return {"kind": "gd", **fields}


CELLS = {
    **{name: known()[name] for name in ("lstm", "gru", "rnn", "slstm")},
    "floor": memory(
        architecture=vector(),
        bias="dot",
        retention=DECAY | {"floor": 0.6},
        optimizer=gd(step="complement", step_axis="value"),
    ),
    "one-gate-per-head": memory(
        architecture=vector(recurrence=True, squash=True),
        bias="l2",
        retention={"kind": "decay", "gate": RECURRENT},
        optimizer=gd(step=RECURRENT, scale="key_dim"),
    ),
    "before-the-decay": memory(
        architecture=vector(output=RECURRENT),
        bias="l2",
        retention=DECAY,
        optimizer=gd(step="sigmoid", gradient_at="previous"),
    ),
    "implicit": memory(
        architecture=vector(reset="sigmoid", recurrence=True),
        bias="l2",
        retention=DECAY,
        optimizer={"kind": "implicit", "step": EXPONENTIAL},
    ),
    "everything": memory(
        architecture=vector(
            recurrence=True,
            reset=RECURRENT,
            squash=True,
            output="sigmoid",
            normaliser=True,
            bonus=True,
        ),
        bias="dot",
        retention="decay",
        optimizer=gd(step=EXPONENTIAL, step_axis="value"),
    ),
    "root": memory(
        architecture=vector(recurrence=True),
        bias="dot",
        retention=DECAY,
        optimizer=gd(step={"kind": "sqrt_complement"}, step_axis="value"),
    ),
    "constant": memory(
        architecture=vector(output=RECURRENT),
        bias="dot",
        retention={"kind": "decay", "gate": {"kind": "constant", "value": 0.9}},
        optimizer=gd(step="constant"),
    ),
}

SCANS = {
    **{name: known()[name] for name in ("hgrn", "lru", "rwkv-4", "mingru")},
    **{name: known()[name] for name in ("longhorn-diagonal", "mamba-1")},
    "turning-l2": memory(
        architecture=vector(rotation="sigmoid", output="sigmoid"), bias="l2", retention="decay"
    ),
    "turning-before-the-decay": memory(
        architecture=vector(rotation="sigmoid", squash=True),
        bias="l2",
        retention="decay",
        optimizer=gd(gradient_at="previous", read="before"),
    ),
    "turning-mean": memory(
        architecture=vector(rotation="sigmoid", normaliser=True, bonus=True),
        bias="dot",
        retention="decay",
        optimizer=gd(step="exponential", step_axis="value", read="before"),
    ),
    "hebbian-both": memory(
        architecture="matrix",
        bias="dot",
        retention={"kind": "decay", "axis": "both"},
        optimizer=gd(step_axis="both", scale="key_dim", read="before"),
    ),
    "diagonal-decay": memory(
        architecture="matrix",
        bias="l2",
        retention={"kind": "decay", "axis": "both"},
        optimizer={"kind": "implicit_diagonal", "read": "before"},
    ),
}

FAST: list[tuple[str, Memory, Plan]] = [
    *((name, one, Cell(chunk=5)) for name, one in CELLS.items()),
    *((name, one, Scan(chunk=5)) for name, one in SCANS.items()),
]


@pytest.fixture(params=["kernel", "torch"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(kernels.SWITCH, "1" if request.param == "kernel" else "0")
    return request.param


@pytest.mark.parametrize(("name", "one", "plan"), FAST, ids=[name for name, _, _ in FAST])
def test_equal_to_the_definition(name: str, one: Memory, plan: Plan, route: str) -> None:
    assert plan.fits(one)
    if name not in ("mamba-1", "hebbian-both"):  # where values are large another plan is quicker
        assert choose(one, 4, 4) == plan.model_dump()["kind"]
    for size, strong in ((5, True), (2, False), (1, True)):
        tensors = random_tensors(one, key_dim=3, value_dim=size, strong=strong, batch=5)
        check_plan(one, plan, tensors, before=4)
    check_plan(one, plan, tensors, before=12)
    check_plan(one, plan, tensors.to(torch.float32))
    check_split(one, plan, tensors.part(one, 0, 5))
    check_causality(one, str(plan.model_dump()["kind"]), tensors.part(one, 0, 5))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("batch", "heads", "size"), [(3, 1, 100), (9, 1, 96), (2, 1, 70)])
@pytest.mark.parametrize("name", ["lstm", "gru", "everything"])
def test_threads_that_share_a_head(
    name: str, batch: int, heads: int, size: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "WORTH", 0)
    one = CELLS[name]
    tensors = random_tensors(one, batch=batch, time=6, heads=heads, key_dim=3, value_dim=size)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        check_plan(one, Cell(), tensors, before=2)
    finally:
        torch.set_num_threads(before)


LONG = ["lstm", "gru", "slstm", "everything", "lru", "rwkv-4", "longhorn-diagonal", "mamba-1"]


@pytest.mark.parametrize("name", [*LONG, "hebbian-both", "diagonal-decay"])
def test_a_long_sequence_in_single_precision(name: str, route: str) -> None:
    one = (CELLS | SCANS)[name]
    plan = Cell() if name in CELLS else Scan()
    check_plan(one, plan, random_tensors(one, time=150, value_dim=20, dtype=torch.float32))


@pytest.mark.parametrize(("name", "one", "plan"), FAST, ids=[name for name, _, _ in FAST])
def test_slopes_by_differences(name: str, one: Memory, plan: Plan) -> None:
    tensors = random_tensors(one, batch=1, time=3, heads=2, key_dim=2, value_dim=2)
    names, start = list(tensors.gates), tensors.start(one)

    def output(query: Tensor, key: Tensor, value: Tensor, *gates: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, gates, strict=True))
        prepared = definition.prepare(one, query, key, value, given, 0)
        found, after = plan.run(one, prepared, start)
        return definition.finish(one, found), *after.weights.values()

    leaves = [leaf.requires_grad_() for leaf in (*tensors[:3], *tensors.gates.values())]
    assert torch.autograd.gradcheck(output, leaves, atol=1e-6)


@pytest.mark.parametrize("name", ["mingru", "mamba-1"])
def test_a_second_derivative_needs_pytorch(name: str, route: str) -> None:
    one = SCANS[name]
    tensors = random_tensors(one)
    value = tensors.value.clone().requires_grad_()
    prepared = definition.prepare(one, tensors.query, tensors.key, value, tensors.gates, 0)
    output, _ = Scan().run(one, prepared, tensors.start(one))
    (first,) = torch.autograd.grad(output.pow(3).sum(), value, create_graph=route == "torch")
    if route == "torch":
        (second,) = torch.autograd.grad(first.sum(), value)
        assert second.abs().sum() > 0
    else:
        output, _ = Scan().run(one, prepared, tensors.start(one))
        with pytest.raises(RuntimeError, match="MIRAS_KERNELS=0"):
            torch.autograd.grad(output.pow(3).sum(), value, create_graph=True)


def test_what_the_kernel_has_words_for() -> None:
    def told(one: Memory) -> bool:
        tensors: Tensors = random_tensors(one)
        prepared = definition.prepare(one, *tensors[:4], 0)
        return layout(one, prepared).program is not None

    assert {name for name, one in CELLS.items() if not told(one)} == {"root"}


@pytest.mark.parametrize(
    "one",
    [
        memory(architecture=vector(rotation="sigmoid"), bias="dot", retention=DECAY),
        memory(architecture=vector(recurrence=True, rotation="sigmoid"), bias="dot"),
        memory(architecture=vector(recurrence=True), bias="huber"),
        memory(architecture=vector(recurrence=True), optimizer="momentum"),
        memory(architecture=vector(recurrence=True), retention="saturation"),
    ],
)
def test_what_stays_sequential(one: Memory) -> None:
    assert choose(one, 4, 4) == "sequential"
