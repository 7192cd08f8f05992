"""The equations that `miras explain` prints are the definition."""

from typing import Any, ClassVar, Literal

import pytest
import torch
from formula_reader import calculate
from hypothesis import assume, example, given
from torch import Tensor
from twin_prone import Spec, legal, twin_prone

import miras
from miras.bias import Bias
from miras.bias.l2 import L2
from miras.canonical.editing import edit
from miras.explain.formulas import equations, letter
from miras.known import cells as known
from miras.memory import Memory
from miras.state import initial_weights

MATRIX: Spec = {"kind": "matrix", "features": "silu_l2"}
UNIT = "u ← silu(u) / ‖silu(u)‖ for u = q_t, k_t"


def spec(architecture: Any = MATRIX, **slots: Any) -> Memory:
    return Memory.model_validate({"architecture": architecture, **slots})


LINES: list[tuple[str, list[str], list[str]]] = [
    ("deltanet", [UNIT, "W_t = W_{t−1} − β_t (W_{t−1} k_t − v_t) k_tᵀ"], ["y_t = W_t q_t"]),
    (
        "gated-deltanet",
        [UNIT, "W′ = α_t W_{t−1}", "W_t = W′ − β_t (W′ k_t − v_t) k_tᵀ"],
        ["y_t = W_t q_t"],
    ),
    (
        "kda",
        [UNIT, "W′ = W_{t−1} Diag(α_t)", "W_t = W′ − β_t (W′ k_t − v_t) k_tᵀ"],
        ["y_t = W_t q_t"],
    ),
    (
        "linear-titans",
        [
            UNIT,
            "S_t = η_t S_{t−1} − β_t (W_{t−1} k_t − v_t) k_tᵀ",
            "W_t = α_t W_{t−1} + S_t",
        ],
        ["y_t = W_t q_t"],
    ),
    (
        "linear-attention",
        ["u ← elu(u) + 1 for u = q_t, k_t", "W_t = W_{t−1} + v_t k_tᵀ"],
        ["z_t = z_{t−1} + k_t", "y_t = W_t q_t / (z_t · q_t + 1e-6)"],
    ),
    (
        "hgrn2",
        ["q_t ← silu(q_t)", "k_t ← 1 − α_t", "W_t = W_{t−1} Diag(α_t) + v_t k_tᵀ"],
        ["y_t = W_t q_t"],
    ),
    ("mingru", ["w_t = α_t ⊙ w_{t−1} + (1 − α_t) ⊙ v_t"], ["y_t = w_t"]),
    (
        "lstm",
        ["c_t = tanh(v_t + R y_{t−1})", "w_t = α_t ⊙ w_{t−1} + β_t ⊙ c_t"],
        ["y_t = output_t ⊙ tanh(w_t)"],
    ),
    (
        "sliding-window",
        [
            "u ← rotate(u, t) for u = q_t, k_t",
            "P_t = the last 64 of P_{t−1} ∪ {(k_t, v_t)}",
        ],
        ["y_t = Σ_i softmax_i(k_i · q_t / √key_dim) v_i over the pairs in P_t"],
    ),
    (
        "yaad",
        [
            "u ← u / ‖u‖ for u = q_t, k_t",
            "e_t = r if ‖r‖ ≤ δ_t, else δ_t r / √(r² + 0.01), r = M(W_ξ, k_t) − v_t",
            "W_t = [Diag(αᵛ_t) W_{t−1} Diag(αᵏ_t)]"
            " − [Diag(βᵛ_t / 16) ∂M(W_ξ, k_t)ᵀ e_t Diag(βᵏ_t / 16)]",
        ],
        ["y_t = M(W_t, q_t)"],
    ),
]


LEARNING = [
    (
        {"bias": {"kind": "l2", "target": "next_value"}},
        "W_{t−1} − β_t (W_{t−1} k_{t−1} − v_t) k_{t−1}ᵀ",
    ),
    (
        {"bias": {"kind": "l2", "target": "value_minus_key"}},
        "W_{t−1} − β_t (W_{t−1} k_t − (v_t − k_t)) k_tᵀ",
    ),
    (
        {
            "architecture": {"kind": "matrix", "initial_std": 0.5},
            "bias": {"kind": "l2", "target": "self_generated"},
        },
        "W_{t−1} − β_t (W_{t−1} k_t − W_{t−1} v_t) k_tᵀ",
    ),
    (
        {"bias": {"kind": "dot", "window": 3, "discount": 0.5}},
        "W_{t−1} + β_t Σ_(0≤i<3) 0.5^i [v_t k_tᵀ]_(k, v of t−i)",
    ),
    (
        {"optimizer": {"kind": "gd", "erase": "sigmoid", "write": "sigmoid"}},
        "W_{t−1} − β_t (W_{t−1} (a_t ⊙ k_t) − w_t ⊙ v_t) k_tᵀ",
    ),
]


@pytest.mark.parametrize(("spec", "line"), LEARNING)
def test_equations_say_what_is_learned(spec: Spec, line: str) -> None:
    memory = Memory.model_validate({"architecture": "matrix"} | spec)
    assert f"W_t = {line}" in equations(memory).update


@pytest.mark.parametrize(("name", "update", "read"), LINES)
def test_equations_of_known_memories(name: str, update: list[str], read: list[str]) -> None:
    found = equations(known()[name])
    assert list(found.update) == update
    assert list(found.read) == read


def test_symbols_are_explained() -> None:
    assert equations(known()["yaad"]).where == (
        "M(W, k) = k + LN(W_2 gelu(W_1 k)), W = (W_1, W_2)",
        "∂M(W, k)ᵀ e: the error e pulled back to the weights W",
        "[a W b]: a scales the value side of W, b its key side",
        "ξ = 16 ⌊(t − 1) / 16⌋, the last token of the chunk before",
    )


KEY_DIM, VALUE_DIM, TIME = 3, 4, 7


WORDS = {"muon", "multi_step", "gated_reset", "f_divergence", "preconditioned", "trapezoid"}
"""Parts whose equations have words in them, or sums of their own from token to token."""

GUARDED = {"architecture": "matrix", "bias": {"kind": "lp", "p": 3.0}}


@example(GUARDED | {"optimizer": {"kind": "gd", "gradient_at": "anchor", "chunk": 3}})
@example(GUARDED | {"optimizer": {"kind": "gd", "every": 2, "step_axis": "both"}})
@given(twin_prone())
def test_equations_compute_the_definition(data: Spec) -> None:
    memory = legal(data)
    assume(memory.architecture.linear and memory.architecture.features.width(2) == 2)
    assume(not any(use.gate.recurrent for use in memory.uses) and "lq" not in str(data))
    # Sums over a window and steps for a batch are said in words that the reader does not know.
    chosen = memory.model_dump()
    assume(not {chosen[axis]["kind"] for axis in ("optimizer", "retention")} & WORDS)
    assume(memory.bias.window == 1 and (memory.stepping is None or memory.stepping.batch == 1))
    assume(memory.value_size(KEY_DIM) is None)
    inputs = [torch.randn(1, TIME, 1, size).double() for size in (KEY_DIM, KEY_DIM, VALUE_DIM)]
    gates = {
        name: torch.rand((1, TIME, *signal.shape) if signal.per_token else signal.shape).double()
        for name, signal in memory.gates(1, KEY_DIM, VALUE_DIM).items()
    }
    query, key, value = inputs
    expected, _ = miras.run(memory, query, key, value, gates, plan="definition")
    assert torch.allclose(expected[0, :, 0], by_hand(memory, inputs, gates), atol=1e-9)


def by_hand(memory: Memory, inputs: list[Tensor], gates: dict[str, Tensor]) -> Tensor:
    """Outputs `[time, value_dim]` that follow from the text of the equations alone."""
    found, weights = equations(memory), memory.architecture.symbol
    first = initial_weights(memory, 1, KEY_DIM, VALUE_DIM)[
        "vector" if weights == "w" else "matrix"
    ][0].double()
    first = first.reshape(VALUE_DIM, -1)
    floors = {use.name: use.low for use in memory.uses}
    values = {
        "A_t": first,
        "S_t": torch.zeros_like(first),
        "z_t": torch.zeros(KEY_DIM, 1).double(),
        "y_t": torch.zeros(VALUE_DIM, 1).double(),
        "key_dim": torch.tensor(float(KEY_DIM)).double(),
    }
    values[f"{weights}_t"] = calculate(memory.retention.formula("A_t"), values)
    shown = [{name: values[name] for name in (f"{weights}_t", "z_t")}]
    step = memory.stepping
    assert step is not None
    for t in range(1, TIME + 1):
        values |= {f"{n[0]}_{{t−1}}": values[n] for n in ("A_t", "S_t", "z_t", "y_t")}
        values[f"{weights}_{{t−1}}"] = values[f"{weights}_t"]
        for name, tensor in zip(("q_t", "k_t", "v_t"), inputs, strict=True):
            values[name] = tensor[0, t - 1, 0][:, None]
        for name, tensor in gates.items():
            if name in floors:
                gate = tensor[0, t - 1, 0].clamp_min(floors[name])
                values[letter(memory, name)] = gate[:, None] if gate.ndim else gate
        for place, last in (("ξ", (t - 1) // step.chunk * step.chunk),
                            ("ρ", (t - 1) // step.every * step.every)):  # fmt: skip
            values |= {f"{name[0]}_{place}": value for name, value in shown[last].items()}
        for name, other in (("R", "recurrence"), ("b", "recurrence_shift"), ("κ", "erased_scale")):
            if other in gates:
                rows = KEY_DIM if name == "κ" else VALUE_DIM
                values[name] = gates[other][0].reshape(rows, -1)
        for line in found.update:
            assign(line, values)
        refreshed = [line for line in found.read if line.startswith("z_t")]
        for line in refreshed:
            assign(line, values)
        shown.append({name: values[name] for name in shown[0]})
        last = shown[t // step.every * step.every]
        values |= {f"{name[0]}_σ": value for name, value in last.items()}
        assign(found.read[-1], values)
        shown[-1]["y_t"] = values["y_t"]
    return torch.stack([each["y_t"][:, 0] for each in shown[1:]])


def assign(line: str, values: dict[str, Tensor]) -> None:
    """Carry out one equation."""
    if " ← " not in line:
        name, _, formula = line.partition(" = ")
        values[name] = calculate(formula, values)
        return
    name, _, formula = line.partition(" ← ")
    formula, _, both = formula.partition(" for u = ")
    for each in both.split(", ") if both else [name]:
        values[each] = calculate(formula, values | {"u": values[each]})


class Cosine(Bias):
    """A loss that says nothing about how it is written."""

    kind: Literal["cosine"] = "cosine"
    bounded: ClassVar[bool] = True
    loss = L2.loss
    error = L2.error


def test_a_new_part_needs_no_formula() -> None:
    memory = edit(spec(retention={"kind": "decay"}), bias=Cosine())
    assert equations(memory).update == (
        UNIT,
        "W′ = α_t W_{t−1}",
        "e_t = cosine(W′ k_t, v_t)",
        "W_t = W′ − β_t e_t k_tᵀ",
    )
