"""Every part of every axis, found by itself: it keeps the contract of its folder."""

import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from torch import Tensor, nn

from miras import testing
from miras.gate import Gate, Site
from miras.part import Part, leaves

AXES = ("architecture", "bias", "features", "gate", "optimizer", "retention")
PARTS = [(axis, kind) for axis in AXES for kind in leaves(f"miras.{axis}")]
GATES = [kind for kind in leaves("miras.gate") if kind != "complement"]
EVERY = pytest.mark.parametrize(("axis", "kind"), PARTS)


def default(axis: str, kind: str) -> Part:
    """The part that a bare name in YAML stands for; a part with no default is no part."""
    return leaves(f"miras.{axis}")[kind]()


@EVERY
def test_a_part_passes_the_suite_of_its_axis(axis: str, kind: str) -> None:
    part = default(axis, kind)
    testing.check_part(part)
    getattr(testing, f"check_{axis}")(part)


@EVERY
def test_one_file_one_part_one_name(axis: str, kind: str) -> None:
    part = leaves(f"miras.{axis}")[kind]
    assert part.__module__ == f"miras.{axis}.{kind}"
    public = [
        name
        for name, member in vars(sys.modules[part.__module__]).items()
        if inspect.isclass(member) and issubclass(member, Part)
        if member.__module__ == part.__module__
    ]
    assert public == [part.__name__]
    # Unfinished parts, which a search makes while it runs, stand in no module.
    own = [
        each
        for each in part.__subclasses__()
        if each.__module__.startswith("miras.")
        and vars(sys.modules[each.__module__]).get(each.__name__) is each
    ]
    assert not own, "a part is abstract or final: wrap it instead"


SHARED = {
    "architecture": {"network", "written"},
    "optimizer": {"ahead", "surprise"},
    "retention": {"eviction", "projection"},
}
"""Files of an axis that hold no part: what several parts of it share."""


@pytest.mark.parametrize("axis", AXES)
def test_every_file_of_an_axis_holds_a_part(axis: str) -> None:
    files = pkgutil.iter_modules(importlib.import_module(f"miras.{axis}").__path__)
    assert {file.name for file in files} - SHARED.get(axis, set()) == set(leaves(f"miras.{axis}"))


@EVERY
def test_the_docstring_says_what_and_whence(axis: str, kind: str) -> None:
    part = leaves(f"miras.{axis}")[kind]
    assert 10 <= len(part.summary()) <= 200
    text = inspect.getdoc(part) or ""
    assert "Source: " in text or "neutral" in text
    assert (inspect.getdoc(sys.modules[part.__module__]) or "").endswith(".")


@EVERY
def test_a_part_is_frozen_and_knows_its_fields(axis: str, kind: str) -> None:
    part = default(axis, kind)
    with pytest.raises(ValidationError, match="frozen"):
        part.kind = "other"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError, match="misspelt"):
        type(part).model_validate({"kind": kind, "misspelt": 1})


def annotations(field: FieldInfo) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The plain types of a field with what bounds them, through unions and Annotated."""
    pending: list[tuple[Any, tuple[Any, ...]]] = [(field.annotation, tuple(field.metadata))]
    while pending:
        kind, bounds = pending.pop()
        if get_origin(kind) is Annotated:
            inner, *more = get_args(kind)
            for extra in more:
                bounds += tuple(extra.metadata) if isinstance(extra, FieldInfo) else (extra,)
            pending.append((inner, bounds))
        elif get_origin(kind) in (Union, UnionType):
            pending += [(inner, bounds) for inner in get_args(kind)]
        else:
            yield kind, bounds


@EVERY
def test_numbers_have_bounds_and_choices_are_listed(axis: str, kind: str) -> None:
    """Fields are search dimensions: no free text, no number without a smallest value."""
    for name, field in leaves(f"miras.{axis}")[kind].model_fields.items():
        for plain, bounds in annotations(field):
            literal = get_origin(plain) is Literal
            part = inspect.isclass(plain) and issubclass(plain, Part)
            assert literal or part or plain in (bool, int, float, type(None)), (name, plain)
            if plain in (int, float):
                low = any(
                    isinstance(bound, annotated_types.Ge | annotated_types.Gt) for bound in bounds
                )
                assert low, f"{name} of {kind} has no lower bound"


@EVERY
def test_bounds_are_kept(axis: str, kind: str) -> None:
    """Just outside its bound every number is refused, by name."""
    part = leaves(f"miras.{axis}")[kind]
    for name, field in part.model_fields.items():
        for bound in field.metadata:
            for attribute, sign in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
                edge = getattr(bound, attribute, None)
                if edge is None:
                    continue
                with pytest.raises(ValidationError, match=name):
                    part.model_validate({"kind": kind, name: edge + sign})


# Gate templates: modules that make numbers from the layer's input.


def site(name: str, width: int, high: float = 1.0) -> Site:
    """A place for a gate in the second of four layers."""
    return Site(name, dim=12, heads=3, width=width, low=0.0, high=high, layer=1, layers=4, chunk=4)


LEFT = {"timescale": "mamba", "selection": "tempered"}
"""Gates that are what another gate of the layer leaves behind."""


def numbers(gate: Gate, where: Site, x: Tensor) -> tuple[nn.Module, Tensor]:
    """What a built gate gives; some find what the retention gate of their layer leaves."""
    shared = {"position": torch.arange(x.shape[1])}
    if source := LEFT.get(gate.model_dump()["kind"]):
        leaves("miras.gate")[source]().build(where)(x, shared)  # pyright: ignore
    module = gate.build(where)
    return module, module(x, shared)


def gate_of(kind: str, **fields: Any) -> Gate:
    part = leaves("miras.gate")[kind].model_validate({"kind": kind, **fields})
    assert isinstance(part, Gate)
    return part


@pytest.mark.parametrize("width", [0, 5])
@pytest.mark.parametrize("kind", GATES)
def test_gates_have_the_shape_and_range_of_their_place(kind: str, width: int) -> None:
    if kind == "timescale" and width:
        return  # one number per head by its nature: a rule keeps it from other places
    gate = gate_of(kind)
    high = 1.0 if gate.ceiling(1.0) <= 1 else math.inf
    where = site("gate", width, high)
    for size in (1.0, 100.0):
        _, found = numbers(gate, where, size * torch.randn(2, 9, 12))
        assert found.shape == (2, 9, *where.shape)
        assert found.isfinite().all()
        if not gate.recurrent and not gate.signed:
            assert (found >= 0).all()
            assert (found <= gate.ceiling(high)).all()


@pytest.mark.parametrize("width", [0, 5])
@pytest.mark.parametrize("kind", GATES)
def test_gates_have_finite_gradients(kind: str, width: int) -> None:
    if kind == "timescale" and width:
        return
    gate = gate_of(kind)
    for size in (1.0, 100.0):
        x = (size * torch.randn(2, 9, 12)).requires_grad_()
        module, found = numbers(gate, site("gate", width), x)
        if not found.requires_grad:
            assert not gate.sees_input
            continue
        found.sum().backward()
        assert gate.sees_input is (x.grad is not None)
        tensors = [x, *module.parameters()] if gate.sees_input else list(module.parameters())
        for tensor in tensors:
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("kind", [kind for kind in GATES if kind not in LEFT])
def test_gates_see_their_own_token_only(kind: str) -> None:
    torch.manual_seed(0)
    x, where = torch.randn(1, 8, 12), site("gate", 5)
    module, _ = numbers(gate_of(kind), where, x)
    module.eval()  # without noise
    found = module(x, {"position": torch.arange(8)})
    changed = x.clone()
    changed[:, 5] += 1
    again = module(changed, {"position": torch.arange(8)})
    differs = (again != found).flatten(2).any(-1)[0]
    assert not differs[torch.arange(8) != 5].any()
    assert bool(differs[5]) == gate_of(kind).sees_input


STARTS = [  # gate, its fields, smallest and largest number at the start for a quiet input
    ("sigmoid", {}, 0.5, 0.5),
    ("sigmoid", {"bias": 4.0}, 0.98, 0.983),
    ("sigmoid", {"scale": 2.0}, 1.0, 1.0),
    ("constant", {"value": 0.3, "learned": True}, 0.3, 0.3),
    ("low_rank", {}, 0.95, 0.965),  # sigmoid(0) ^ (1 / 16)
    ("low_rank", {"temperature": 8.0}, 0.91, 0.925),
    ("lower_bound", {}, 0.625, 0.625),  # 1/4 + 3/4 / 2 in the second of four layers
    ("mamba", {}, math.exp(-0.1 * 16), math.exp(-1e-3 * 1)),
    ("mamba", {"spread": "channels"}, math.exp(-0.1 * 5), math.exp(-1e-3 * 1)),
    ("rg_lru", {}, 0.9**0.5, 0.999**0.5),  # r = 1/2 for a quiet input
    ("schedule", {}, 1 - 2**-5, 1 - 2**-7),
    ("softplus", {}, 0.001, 0.001),
    ("softplus", {"start": 2.0}, 2.0, 2.0),
    ("timescale", {}, 1e-3, 1e-1),
    ("chance", {"spread": 0.0}, 1.0, 1.0),
    ("clamped", {}, 1.0, 1.0),  # log(1 + e) = 1.31 is above the bound
    ("clamped", {"bias": 0.0, "most": 2.0}, math.log(2), math.log(2)),
    ("exponential", {}, 1.0, 1.0),
    ("linear", {"bias": -0.5}, -0.5, -0.5),
    ("routed", {"top": 1}, 0.9, 1.0),  # four of five channels are not touched
    ("ratio", {}, 0.55, 0.62),  # sigmoid(1) / (sigmoid(1) + sigmoid(0)) = 0.594
    ("spread", {}, 0.9, 0.999),
    ("tempered", {}, 0.89, 0.9999),  # exp(-s t), s in [0.01, 0.1]
    ("selection", {}, 0.01, 0.7),
    ("ttt", {}, 0.125, 0.5),  # sigmoid(0) / i in a chunk of 4
    ("recurrent", {"bias": 1.0}, 1.0, 1.0),  # what stands inside the sigmoid
    ("sqrt_complement", {}, 0.5, 0.5),  # the input gate beside the derived factor
]


DRAWN = {"low_rank", "rg_lru", "ttt"}
"""Gates whose bias starts at torch's random numbers; the table says what comes out at bias 0."""


@pytest.mark.parametrize(("kind", "fields", "low", "high"), STARTS, ids=str)
def test_gates_start_where_their_papers_say(
    kind: str, fields: dict[str, Any], low: float, high: float
) -> None:
    where = site("gate", 0 if kind == "timescale" else 5)
    module, _ = numbers(gate_of(kind, **fields), where, torch.zeros(1, 8, 12))
    for name, parameter in module.named_parameters():
        if name.endswith("bias") and kind in DRAWN:
            nn.init.zeros_(parameter)
    shared = {"position": torch.arange(8)}
    if source := LEFT.get(kind):
        gate_of(source).build(where)(torch.zeros(1, 8, 12), shared)
    found = module(torch.zeros(1, 8, 12), shared)
    assert found.min() >= low - 1e-3
    assert found.max() <= high + 1e-3


def test_every_gate_has_a_start() -> None:
    assert {kind for kind, *_ in STARTS} == set(GATES)
