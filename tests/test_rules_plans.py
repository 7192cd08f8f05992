"""Rules of the catalogue that plans and compositions carry: T3, T18 and T24 to T27.

A rule that no memory breaks, because no plan that would compute something else fits it. Each is
tried with a plan that is talked into fitting: what it then computes is not the memory.
"""

from typing import Any

import numpy as np
import pytest
import torch
from plain import draw, play, same
from pydantic import ValidationError

import miras
from miras.canonical import equals, key
from miras.composition.levels import Levels
from miras.composition.self_referential import SelfReferential
from miras.known import cells, known
from miras.memory import Memory
from miras.optimizer.implicit_diagonal import ImplicitDiagonal
from miras.plans import plans
from miras.retention import Retention
from miras.testing import random_tensors

Spec = dict[str, Any]
UNIT: Spec = {"kind": "matrix", "features": "silu_l2", "initial_std": 1.0}
RECURSIVE = {
    "ball": {"radius": 0.5},
    "elastic_net": {},
    "f_divergence": {},
    "row_norm": {},
    "saturation": {},
    "sphere": {},
}
"""Retention gates that do something to the weights after each write, and settings that bite."""


def memory(**slots: Any) -> Memory:
    return Memory.model_validate({"architecture": UNIT} | slots)


TOKEN_BY_TOKEN = {"sequential", "rank_one"}
"""Plans that are not parallel along the sequence."""


def fitting(found: Memory) -> set[str]:
    return {name for name, plan in plans().items() if plan.fits(found)}


def moved(found: Memory, plan: str) -> torch.Tensor:
    tensors = random_tensors(found, time=20, dtype=torch.float64)
    return miras.run(found, *tensors[:4], tensors.start(found), plan=plan)[0].detach()


# T3: what is done to the weights after each write does not commute with their decay.


@pytest.mark.parametrize("bias", ["l2", "dot"])
@pytest.mark.parametrize("kind", RECURSIVE)
def test_t3_no_chunked_form_of_recursive_steps_on_weights(kind: str, bias: str) -> None:
    found = memory(bias=bias, retention={"kind": kind} | RECURSIVE[kind])
    assert fitting(found) == TOKEN_BY_TOKEN
    chunks: Spec = {"kind": "gd", "gradient_at": "anchor", "chunk": 4, "scale": "chunk"}
    frozen = memory(retention={"kind": kind} | RECURSIVE[kind], optimizer=chunks)
    assert fitting(frozen) == {"sequential"}


@pytest.mark.parametrize("kind", RECURSIVE)
def test_t3_a_chunked_form_would_be_another_memory(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = memory(bias="dot", retention={"kind": kind} | RECURSIVE[kind])
    wanted = moved(found, "definition")
    monkeypatch.setattr(type(found.retention), "plain", True)
    assert "linear" in fitting(found)
    assert (moved(found, "linear") - wanted).abs().max() > 1e-3


def test_t3_every_recursive_step_is_known_to_plans() -> None:
    """Whatever overrides `settle` says so, in the form in which it does something."""
    kinds = {name for name, part in retentions().items() if part.settle is not Retention.settle}
    assert set(RECURSIVE) <= kinds
    for kind in sorted(kinds):
        spec: Spec = {"kind": kind} | RECURSIVE.get(kind, {})
        try:
            found = memory(retention=spec)
        except ValidationError:  # of pairs, not of weights
            continue
        assert fitting(found) == TOKEN_BY_TOKEN, kind


def retentions() -> dict[str, type[Retention]]:
    from miras.part import leaves

    found = leaves("miras.retention")
    return {name: part for name, part in found.items() if issubclass(part, Retention)}


# T18: a decay of value channels is a gauge, but not for errors that are not linear.


@pytest.mark.parametrize("bias", ["l2", "huber"])
@pytest.mark.parametrize("axis", ["value", "both"])
def test_t18_chunks_of_corrections_take_no_decay_of_values(bias: str, axis: str) -> None:
    spec: Spec = {"kind": "decay", "axis": axis}
    assert not {"delta", "substitution"} & fitting(memory(bias=bias, retention=spec))
    assert "linear" in fitting(memory(bias="dot", retention=spec))
    fits = "delta" if bias == "l2" else "substitution"
    assert fits in fitting(memory(bias=bias, retention={"kind": "decay", "axis": "key"}))


# T24: sums of logarithms only where their exponents fit a float.


@pytest.mark.parametrize("name", ["gla", "kda", "mamba-2", "gated-deltanet"])
def test_t24_float32_keeps_four_digits_under_strong_decay(name: str) -> None:
    found = cells()[name]
    tensors = random_tensors(found, time=80, dtype=torch.float32)
    gates = {
        n: (torch.exp(-12.0 * gate) if n.startswith("decay") else gate).detach()
        for n, gate in tensors.gates.items()
    }
    query, key_, value = (x.detach() for x in tensors[:3])
    double = {name: gate.double() for name, gate in gates.items()}
    exact = query.double(), key_.double(), value.double()
    wanted = miras.run(found, *exact, double, plan="definition")[0]
    for plan in fitting(found):
        read = miras.run(found, query, key_, value, gates, plan=plan)[0]
        assert read.isfinite().all()
        assert (read - wanted).abs().max() < 1e-4 * (1 + wanted.abs().max()), plan


# T25: the diagonal of the implicit step is another memory than the delta rule.


def test_t25_longhorn_with_its_diagonal_is_a_memory_of_its_own() -> None:
    exact, diagonal = cells()["longhorn"], cells()["longhorn-diagonal"]
    assert isinstance(diagonal.optimizer, ImplicitDiagonal)
    assert key(exact) != key(diagonal)
    assert equals(diagonal) == ("longhorn-diagonal",)
    seen = draw()
    rule: Spec = {"architecture": "matrix", "optimizer": "implicit"}
    own: Spec = {"architecture": "matrix", "optimizer": "implicit_diagonal"}
    gates = {"step": seen.step}
    one, other = (play(spec, *seen[:3], gates).output for spec in (rule, own))
    assert np.abs(one - other).max() > 1e-2
    narrow = draw(key_dim=1)  # keys of one channel have no other entries
    one, other = (play(spec, *narrow[:3], gates).output for spec in (rule, own))
    same(one, other)
    assert not {"delta", "substitution", "rank_one"} & fitting(diagonal)


# T26: states of stretches add up, unless something is done to each of them.


@pytest.mark.parametrize("kind", RECURSIVE)
def test_t26_levels_refuse_recursive_steps_on_weights(kind: str) -> None:
    host = memory(retention={"kind": kind} | RECURSIVE[kind])
    with pytest.raises(ValidationError, match="linear in its state"):
        Levels(of=host)
    Levels(of=memory(retention="decay"))


def test_t26_levels_take_the_delta_rule() -> None:
    assert isinstance(known()["log-linear-gated-deltanet"], Levels)
    with pytest.raises(ValidationError, match="linear in its state"):
        Levels(of=memory(bias="huber"))


# T27: what a memory makes for itself comes one by one, or from weights that stand still.


def test_t27_targets_of_its_own_come_token_by_token() -> None:
    own: Spec = {"kind": "l2", "target": "self_generated"}
    random: Spec = {"kind": "matrix", "features": "silu_l2", "initial_std": 0.5}
    assert fitting(memory(architecture=random, bias=own)) == {"sequential"}
    assert "delta" in fitting(memory(architecture=random, bias="l2"))
    still = memory(
        architecture=random, bias=own, optimizer={"kind": "gd", "batch": 4, "scale": "chunk"}
    )
    assert fitting(still) == {"sequential", "batched"}
    tensors = random_tensors(still, time=12, dtype=torch.float64, value_dim=4, key_dim=4)
    one, other = (
        miras.run(still, *tensors[:4], tensors.start(still), plan=plan)[0]
        for plan in ("batched", "definition")
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_t27_targets_at_the_start_of_a_chunk_are_others() -> None:
    """So nobody may take the one for the other: the chunk is part of the memory."""
    seen, made = draw(key_dim=5), []
    for chunk in (1, 4):
        at: Spec = {"gradient_at": "anchor", "chunk": chunk}
        spec: Spec = {"architecture": {"kind": "matrix", "initial_std": 1.0}}
        spec["bias"] = {"kind": "l2", "target": "self_generated"}
        spec["optimizer"] = {"kind": "gd", "scale": "key_dim"} | at
        first = {"matrix": np.eye(5)}
        made.append(play(spec, *seen[:3], {"step": seen.step}, first).output)
    assert np.abs(made[0] - made[1]).max() > 1e-3


def test_t27_gates_that_see_the_output_come_token_by_token() -> None:
    vector: Spec = {"architecture": "vector", "optimizer": {"kind": "gd", "step": "recurrent"}}
    assert "scan" not in fitting(Memory.model_validate(vector))
    vector["optimizer"]["step"] = "sigmoid"
    assert "scan" in fitting(Memory.model_validate(vector))


def test_t27_a_self_referential_memory_makes_a_chunk_from_its_start() -> None:
    host = memory(architecture={"kind": "matrix", "initial_std": 1.0})
    outputs: list[torch.Tensor] = []
    for chunk in (1, 4):
        whole = SelfReferential(of=host, chunk=chunk)
        torch.manual_seed(0)
        query, key_, value = (torch.randn(1, 8, 1, 4).double() / 4 for _ in range(3))
        gates = {
            name: torch.full((1, 8, *signal.shape), 0.5).double()
            for name, signal in whole.gates(1, 4, 4).items()
        }
        first = {"0.matrix": torch.eye(4)[None].double()}
        state = miras.start(whole, 1, 1, 4, 4, first, torch.float64)
        read, _ = miras.run(whole, query, key_, value, gates, state)
        outputs.append(read)
    torch.testing.assert_close(outputs[0][:, 0], outputs[1][:, 0])
    assert (outputs[0][:, 3] - outputs[1][:, 3]).abs().max() > 1e-6
