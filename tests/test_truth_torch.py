"""The definition against torch: attention, LSTM, GRU and other recurrent units."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from miras import Memory, run
from miras.known import cells as known

Spec = dict[str, Any]
DOUBLE = torch.float64
BATCH, TIME, HEADS, KEY, VALUE = 2, 17, 3, 4, 5


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    assert_close(found, wanted, rtol=0.0, atol=tolerance)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=DOUBLE)


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return low + (high - low) * torch.rand(shape, dtype=DOUBLE)


def define(
    spec: Spec, query: Tensor, key: Tensor, value: Tensor, gates: dict[str, Tensor]
) -> Tensor:
    return run(Memory.model_validate(spec), query, key, value, gates, plan="definition")[0]


# Attention


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    read = F.scaled_dot_product_attention(*heads_first, attn_mask=mask, scale=scale)
    return read.transpose(1, 2)


@pytest.mark.parametrize("sharpness", ["key_dim", 1.7])
@pytest.mark.parametrize(
    "retention",
    ["none", "decay", *({"kind": "window", "size": size} for size in (1, 4, TIME, 64))],
    ids=str,
)
def test_attention(sharpness: Any, retention: Any) -> None:
    """Softmax attention; a window is a band, forgetting a bias of summed log decays."""
    size = retention["size"] if isinstance(retention, dict) else TIME
    query, key = normal(BATCH, TIME, HEADS, KEY), normal(BATCH, TIME, HEADS, KEY)
    value = normal(BATCH, TIME, HEADS, VALUE)
    ages = torch.arange(TIME)[:, None] - torch.arange(TIME)
    band = (ages >= 0) & (ages < size)
    bias = torch.zeros(1, 1, TIME, TIME, dtype=DOUBLE).masked_fill(~band, -math.inf)
    gates: dict[str, Tensor] = {}
    if retention == "decay":
        gates["decay"] = uniform(BATCH, TIME, HEADS, low=0.3)
        kept = gates["decay"].log().cumsum(1).transpose(1, 2)
        bias = bias + (kept[..., :, None] - kept[..., None, :])
    spec = {
        "architecture": {"kind": "kv", "sharpness": sharpness},
        "retention": retention,
        "optimizer": "closed_form",
    }
    scale = None if sharpness == "key_dim" else sharpness
    wanted = attend(query, key, value, bias, scale)
    close(define(spec, query, key, value, gates), wanted)


def test_attention_is_the_weighted_least_squares_estimate() -> None:
    """The read minimises sum_i s_i |v_i - z|^2: its gradient vanishes."""
    query, key, value = (normal(1, 6, 1, KEY) for _ in range(3))
    spec = {"architecture": {"kind": "kv", "sharpness": 1.0}, "optimizer": "closed_form"}
    read = define(spec, query, key, value, {})[0, -1, 0]
    weight = torch.exp(key[0, :, 0] @ query[0, -1, 0])
    close((weight[:, None] * (value[0, :, 0] - read)).sum(0), torch.zeros_like(read))


# Recurrent networks


def recurrent_gates(module: nn.RNNBase, x: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Inputs, matrices and shifts of torch's stacked gates, with one head, by name."""
    size = module.hidden_size
    parts = {
        f"{side}_{letter}": getattr(module, f"{side}_{letter}_l0").split(size)
        for side in ("weight", "bias")
        for letter in ("ih", "hh")
    }
    found: dict[str, Tensor] = {}
    for index, name in enumerate(names):
        inside = x @ parts["weight_ih"][index].T + parts["bias_ih"][index]
        found[f"{name}_input"] = inside[:, :, None]
        found[f"{name}_matrix"] = parts["weight_hh"][index][None]
        found[f"{name}_shift"] = parts["bias_hh"][index][None]
    return found


def slope(output: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(output.square().sum(), x, retain_graph=True)[0]


def none(x: Tensor) -> Tensor:
    """Queries and keys of a memory that looks at neither."""
    return x.new_zeros(*x.shape[:2], 1, 1)


def test_lstm() -> None:
    module = nn.LSTM(6, VALUE, batch_first=True).double()
    x = normal(BATCH, TIME, 6).requires_grad_()
    parts = recurrent_gates(module, x, ("in", "forget", "cell", "out"))
    gates = {"recurrence": parts["cell_matrix"]}
    for ours, theirs in (("decay_value", "forget"), ("step_value", "in"), ("output", "out")):
        gates[ours] = parts[f"{theirs}_input"] + parts[f"{theirs}_shift"]
        gates[f"{ours}_recurrence"] = parts[f"{theirs}_matrix"]
    value = parts["cell_input"] + parts["cell_shift"]
    found, state = run(known()["lstm"], none(x), none(x), value, gates, plan="definition")
    wanted, (_, cell) = module(x)
    close(found[:, :, 0], wanted)
    close(state.weights["vector"][:, 0], cell[0])
    close(slope(found, x), slope(wanted, x))


def test_gru() -> None:
    module = nn.GRU(6, VALUE, batch_first=True).double()
    x = normal(BATCH, TIME, 6).requires_grad_()
    parts = recurrent_gates(module, x, ("reset", "update", "new"))
    gates = {"recurrence": parts["new_matrix"], "recurrence_shift": parts["new_shift"]}
    for ours, theirs in (("decay_value", "update"), ("reset", "reset")):
        gates[ours] = parts[f"{theirs}_input"] + parts[f"{theirs}_shift"]
        gates[f"{ours}_recurrence"] = parts[f"{theirs}_matrix"]
    value = parts["new_input"]
    found, _ = run(known()["gru"], none(x), none(x), value, gates, plan="definition")
    wanted, _ = module(x)
    close(found[:, :, 0], wanted)
    close(slope(found, x), slope(wanted, x))


def test_heads_of_a_recurrent_network_do_not_see_each_other() -> None:
    spec = {
        "architecture": {"kind": "vector", "recurrence": True},
        "bias": "dot",
        "retention": {"kind": "decay", "gate": "recurrent"},
        "optimizer": {"kind": "gd", "step": "complement"},
    }
    value, inside = normal(BATCH, TIME, HEADS, VALUE), normal(BATCH, TIME, HEADS)
    inner, outer = normal(HEADS, VALUE, VALUE), normal(HEADS, 1, VALUE)
    gates = {"recurrence": inner, "decay": inside, "decay_recurrence": outer}
    key = value.new_zeros(BATCH, TIME, HEADS, 1)
    found = define(spec, key, key, value, gates)
    for head in range(HEADS):
        h = torch.zeros(BATCH, VALUE, dtype=DOUBLE)
        for t in range(TIME):
            z = torch.sigmoid(inside[:, t, head, None] + h @ outer[head].T)
            h = z * h + (1 - z) * torch.tanh(value[:, t, head] + h @ inner[head].T)
            close(found[:, t, head], h)


@pytest.mark.parametrize("step", ["complement", "sqrt_complement"])
def test_linear_recurrent_units(step: str) -> None:
    """minGRU: h = a h + (1 - a) v. RG-LRU: h = a h + sqrt(1 - a^2) i v."""
    spec = {
        "architecture": "vector",
        "bias": "dot",
        "retention": {"kind": "decay", "axis": "value"},
        "optimizer": {"kind": "gd", "step": step, "step_axis": "value"},
    }
    value, decay = normal(BATCH, TIME, HEADS, VALUE), uniform(BATCH, TIME, HEADS, VALUE)
    gates, enters = {"decay_value": decay}, 1 - decay
    if step == "sqrt_complement":
        gates["step_value"] = uniform(BATCH, TIME, HEADS, VALUE)
        enters = torch.sqrt(1 - decay**2) * gates["step_value"]
    key = value.new_zeros(BATCH, TIME, HEADS, 1)
    found = define(spec, key, key, value, gates)
    # The closed sum: what token s brought is kept by all decays after it.
    kept = decay.cumprod(1)
    wanted = torch.stack(
        [(kept[:, t, None] / kept * enters * value)[:, : t + 1].sum(1) for t in range(TIME)], 1
    )
    assert_close(found, wanted, rtol=1e-6, atol=1e-9)
