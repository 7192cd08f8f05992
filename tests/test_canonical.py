"""Equal memories have one key, others have others; every rewrite keeps the function."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from torch import Tensor
from twin_prone import Spec, legal, twin_prone

import miras
from miras.canonical import (
    differences,
    distance,
    equals,
    key,
    nearest,
    normal,
    normal_form,
    operator,
)
from miras.canonical.gate_maps import UP_TO_GATES
from miras.canonical.limits import LIMITS
from miras.canonical.parts import PARTS
from miras.canonical.steps import STEPS
from miras.gate import Site
from miras.gate.mamba import Mamba
from miras.known import cells as known
from miras.known import known as named
from miras.layer import Layer
from miras.memory import Memory

Gates = dict[str, Tensor]
Pair = tuple[Memory, Memory]

KEY_DIM, VALUE_DIM = 4, 4
TABLES = yaml.safe_load((Path(__file__).parent / "twins.yaml").read_text(encoding="utf-8"))


def pair(sides: list[dict[str, Any]]) -> Pair:
    matrix = {"architecture": {"kind": "matrix", "features": "silu_l2"}}
    one, other = (Memory.model_validate(matrix | side) for side in sides)
    return one, other


def pairs(table: str) -> list[tuple[str, Memory, Memory]]:
    return [(name, *pair(sides)) for name, each in TABLES[table].items() for sides in each]


EXACT = pairs("exact")
STRANGERS = [(name, *pair(sides)) for name, sides in TABLES["strangers"].items()]


def _implicit(gates: Gates) -> Gates:
    return gates | {"step": gates["step"] / (1 + gates["step"])}


def _divided(gates: Gates) -> Gates:
    return gates | {"step": gates["step"] / (1 + gates["step"] / KEY_DIM)}


def _flow(gates: Gates) -> Gates:
    return gates | {"step": -torch.expm1(-gates["step"])}


def _divided_flow(gates: Gates) -> Gates:
    return gates | {"step": -torch.expm1(-gates["step"] / KEY_DIM) * KEY_DIM}


def _mixed(gates: Gates) -> Gates:
    """1 - sigmoid(a) = sigmoid(-a): a recurrent gate is given as what stands inside the sigmoid."""
    name = "step_value" if "step_value" in gates else "step"
    new = name.replace("step", "decay")
    if f"{name}_recurrence" not in gates:
        return gates | {new: 1 - gates[name]}
    return gates | {new: -gates[name], f"{new}_recurrence": -gates[f"{name}_recurrence"]}


MAPS: dict[str, Callable[[Gates], Gates]] = {
    "step = step / (1 + step)": _implicit,
    "step = step / (1 + step / key_dim)": _divided,
    "step = 1 - exp(-step)": _flow,
    "step = key_dim (1 - exp(-step / key_dim))": _divided_flow,
    "decay = 1 - step": _mixed,
}


def tensors(memory: Memory, size: float = 1.0, time: int = 7) -> tuple[list[Tensor], Gates]:
    """Query, key and value of two sequences with 2 heads, and all gates."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = [size * draw(2, time, 2, width) for width in (KEY_DIM, KEY_DIM, VALUE_DIM)]
    gates: Gates = {}
    for name, signal in memory.gates(2, KEY_DIM, VALUE_DIM).items():
        noise = draw(*((2, time) if signal.per_token else ()), *signal.shape)
        if signal.low == -float("inf"):
            gates[name] = noise
        else:
            high = min(signal.high, signal.low + 1.0)
            gates[name] = signal.low + (high - signal.low) * (0.1 + 0.8 * noise.sigmoid())
    return inputs, gates


def output(memory: Memory, inputs: list[Tensor], gates: Gates) -> Tensor:
    """What the definition gives; gates that the memory does not take are left out."""
    taken = {name: gates[name] for name in memory.gates(2, KEY_DIM, VALUE_DIM)}
    query, key_, value = inputs
    return miras.run(memory, query, key_, value, taken, plan="definition")[0]


def close(a: Tensor, b: Tensor) -> bool:
    # Both may overflow, but then both in the same places.
    scale = 1 + a.nan_to_num(0.0, 0.0, 0.0).abs().amax()
    return torch.allclose(a / scale, b / scale, rtol=1e-9, atol=1e-9, equal_nan=True)


def mapped(maps: tuple[str, ...], gates: Gates) -> Gates:
    return reduce(lambda found, name: MAPS[name](found), maps, gates)


@pytest.mark.parametrize(("rule", "memory", "twin"), EXACT)
def test_twins_have_one_key_and_one_function(rule: str, memory: Memory, twin: Memory) -> None:
    assert normal_form(memory) == normal_form(twin)
    assert key(memory) == key(twin)
    inputs, gates = tensors(memory)
    assert close(output(memory, inputs, gates), output(twin, inputs, gates))


@pytest.mark.parametrize(("maps", "memory", "twin"), pairs("up_to_gates"))
def test_twins_up_to_gates(maps: str, memory: Memory, twin: Memory) -> None:
    assert key(memory) == key(twin)
    assert normal(memory).gates == (maps,)
    assert normal_form(memory) != normal_form(twin)
    inputs, gates = tensors(memory)
    given = mapped((maps,), gates)
    assert close(output(memory, inputs, gates), output(twin, inputs, given))
    if set(twin.gates(2, KEY_DIM, VALUE_DIM)) <= set(gates):
        assert not close(output(memory, inputs, gates), output(twin, inputs, gates))


RULES = (*LIMITS, *PARTS, *STEPS, *UP_TO_GATES)


@pytest.mark.parametrize("rule", [rule.__name__ for rule in RULES])
def test_every_rule_has_a_twin(rule: str) -> None:
    assert rule in {*TABLES["exact"], "r3_step_map"}


@pytest.mark.parametrize(("why", "one", "other"), STRANGERS)
def test_neighbours_differ(why: str, one: Memory, other: Memory) -> None:
    assert key(one) != key(other)
    assert min(distance(one, other)) > 0
    inputs, gates = tensors(one, size=4.0)
    given = tensors(other)[1] | {name: 0.5 + gate / 2 for name, gate in gates.items()}
    if "complement" in normal_form(other)["optimizer"].__repr__():
        given = _mixed(given)
    assert not close(output(one, inputs, given), output(other, inputs, given))


@pytest.mark.parametrize(("one", "other"), [pair(sides) for sides in TABLES["models"]])
def test_one_operator_and_two_models(one: Memory, other: Memory) -> None:
    assert key(operator(one)) == key(operator(other))
    assert key(one) != key(other)


@pytest.mark.parametrize(("rule", "memory", "twin"), EXACT)
def test_twins_train_the_same_layer(rule: str, memory: Memory, twin: Memory) -> None:
    if rule == "keyless":
        pytest.skip("the first layer was built with other sizes")
    one, other = (Layer(each, 8, 2, plan="definition").double() for each in (memory, twin))
    shared = {name: leaf for name, leaf in one.state_dict().items() if name in other.state_dict()}
    other.load_state_dict(shared)
    x = torch.randn(2, 7, 8, dtype=torch.float64)
    assert close(one(x)[0], other(x)[0])


def test_gate_of_mamba_without_channels() -> None:
    site = Site("decay", dim=6, heads=2, width=0, low=0.0, high=1.0)
    x = torch.randn(1, 5, 6)
    found: list[Tensor] = []
    for gate in (Mamba(), Mamba(per_channel=True, spread="channels", rank=2)):
        torch.manual_seed(1)
        found.append(gate.build(site)(x, {}))
    assert torch.equal(*found)


@given(twin_prone())
def test_a_normal_form_computes_the_same(spec: Spec) -> None:
    """So two memories with one key agree: both agree with their common normal form."""
    memory = legal(spec)
    found = normal(memory)
    assert normal(found.memory) == (found.memory, ())
    inputs, gates = tensors(memory, time=9)  # a batch of 8, and a token that reads it
    given = mapped(found.gates, gates)
    here, there = output(memory, inputs, gates), output(found.memory, inputs, given)
    # A memory that blows up doubles its rounding errors too: what came before is what counts.
    calm = int((here.abs().amax((0, 2, 3)) < 1e6).long().cumprod(0).sum())
    assert calm > 0
    assert close(here[:, :calm], there[:, :calm])


@given(twin_prone())
def test_a_normal_form_is_a_memory(spec: Spec) -> None:
    memory = legal(spec)
    form = {name: part for name, part in normal_form(memory).items() if name != "gates"}
    again = Memory.model_validate(json.loads(json.dumps(form)))
    assert normal_form(again) == form
    assert key(again) == key(memory)


def test_key_ignores_names_order_and_process() -> None:
    memory = known()["gated-deltanet"]
    renamed = Memory.model_validate(
        dict(reversed(memory.model_dump().items())) | {"name": "mine", "paper": "", "equation": ""}
    )
    assert key(renamed) == key(memory)
    code = "from miras.known import known; from miras.canonical import key;"
    code += "print(key(known()['gated-deltanet']))"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        told = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == key(memory)


def test_known_memories_are_told_apart() -> None:
    assert len({key(memory) for memory in known().values()}) == len(known())
    for name, memory in known().items():
        assert equals(memory) == (name,)
        found = nearest(memory)
        assert found.name != name
        assert found.differences == differences(memory, named()[found.name])


def test_gated_deltanet_in_other_words() -> None:
    memory = known()["gated-deltanet"]
    still = {"kind": "momentum", "momentum": {"kind": "constant", "value": 0.0}}
    words = [
        *({"optimizer": optimizer} for optimizer in ("implicit", "exact_flow", still)),
        {"bias": {"kind": "lp", "p": 2.0}, "optimizer": still},
        {"retention": {"kind": "decay", "gate": {"kind": "mamba", "rank": 4}}},
        {"optimizer": {"kind": "gd", "scale": "chunk"}},
    ]
    for changed in words:
        assert equals(Memory.model_validate(memory.model_dump() | changed)) == (memory.name,)


def test_nearest_of_kda_is_gated_deltanet() -> None:
    name, found = nearest(known()["kda"])
    assert name == "gated-deltanet"
    assert ("retention.axis", "key", "scalar", 1) in found
    assert differences(known()["kda"], known()["kda"]) == ()


def _known_pair(one: str, other: str) -> tuple[Memory, Memory]:
    return known()[one], known()[other]


def test_r10_hgrn2_is_gla_with_tied_keys() -> None:
    hgrn2, gla = _known_pair("hgrn2", "gla")
    (query, unused, value), gates = tensors(hgrn2)
    tied = [torch.nn.functional.silu(query), 1 - gates["decay_key"], value]
    assert close(output(hgrn2, [query, unused, value], gates), output(gla, tied, gates))


def test_r2_kda_gated_deltanet_and_deltanet_are_a_chain() -> None:
    kda, gated = _known_pair("kda", "gated-deltanet")
    inputs, gates = tensors(gated)
    same = gates["decay"][..., None].expand(2, 7, 2, KEY_DIM)
    expected = output(gated, inputs, gates)
    assert close(expected, output(kda, inputs, gates | {"decay_key": same}))
    kept = gates | {"decay": torch.ones_like(gates["decay"])}
    assert close(output(gated, inputs, kept), output(known()["deltanet"], inputs, kept))
    assert not close(expected, output(gated, inputs, kept))
