"""The equivalence rules R21-R27 of the project's catalogue of memories, each as two runs.

One memory gets its tensors and another memory tensors made from them, and both must answer the
same. Rules that rewrite a memory to its normal form (R3, R4, R16, R21 to R24 and the limits of
parts) are pairs of tests/twins.yaml as well; where a rule says that two memories *differ*, so does
a test here. tests/catalogue_rules.yaml lists what carries each rule.
"""

import pytest
import torch
from equivalence import (
    ALPHA,
    BETA,
    DOT,
    ETA,
    HEADS,
    KEY,
    QUERY,
    TIME,
    UNIT,
    VALUE,
    VALUES,
    Spec,
    answer,
    decay,
    different,
    draw,
    played,
    same,
    share,
)
from torch import Tensor

from miras.memory import Memory


@pytest.mark.parametrize("form", ["coordinate", "norm", "switch"])
def test_r21_huber_below_its_threshold_is_l2(form: str) -> None:
    wide: Spec = {"bias": {"kind": "huber", "form": form, "threshold": "softplus"}}
    gates = {"step": BETA, "threshold": torch.full_like(BETA, 1e3)}
    same(answer(wide, gates), answer({}, {"step": BETA}))


@pytest.mark.parametrize("form", ["coordinate", "norm"])
def test_r21_huber_divided_by_a_small_threshold(form: str) -> None:
    """The sign of each entry of the residual, or the residual at length 1."""
    wide: Spec = {"bias": {"kind": "huber", "form": form, "threshold": "softplus"}}
    narrow = {"threshold": torch.full_like(BETA, 1e-12), "step": BETA * 1e12}
    found, weights = [], torch.zeros(1, HEADS, VALUE, KEY, dtype=torch.float64)
    for t in range(TIME):
        k, b = UNIT[:, t, :, None], BETA[:, t, :, None, None]
        missed = (weights @ k.mT)[..., 0] - VALUES[:, t]
        length = missed.norm(dim=-1, keepdim=True)
        error = missed.sign() if form == "coordinate" else missed / length
        weights = weights - b * error[..., None] * k
        found.append((weights @ QUERY[:, t, :, :, None])[..., 0])
    same(answer(wide, narrow), torch.stack(found, 1))


@pytest.mark.parametrize(
    ("one", "other", "gates"),
    [
        ({"bias": {"kind": "lp", "p": 2.0}}, {}, {}),
        ({"bias": "value_shift"}, {}, {"shift": 0.0}),
        ({"retention": {"kind": "elastic_net", "threshold": 0.0}}, decay(), {}),
        ({"retention": {"kind": "elastic_net", "threshold": 0.0, "form": "dual"}}, decay(), {}),
        (decay(), {}, {"decay": 1.0}),
        ({"optimizer": "momentum"}, {}, {"momentum": 0.0}),
        ({"optimizer": {"kind": "preconditioned", "base": 1.0}}, {}, {"kept": 0.9, "added": 0.5}),
        ({"retention": "gated_reset"}, {}, {"restart": 0.0}),
        ({"optimizer": {"kind": "gd", "passes": 1, "batch": 1, "every": 1}}, {}, {}),
    ],
)
def test_r21_limits(one: Spec, other: Spec, gates: dict[str, float]) -> None:
    """Limits of a setting, and limits that a gate reaches as a tensor."""
    given = {"step": BETA, "decay": ALPHA}
    given |= {name: torch.full_like(BETA, value) for name, value in gates.items()}
    if "shift" in gates:
        one = {"bias": {"kind": "value_shift", "shift": "softplus"}}
    found, wanted = (played(spec, _taken(spec, given)) for spec in (one, other))
    same(found[0], wanted[0])
    same(found[1]["matrix"], wanted[1]["matrix"])


def _taken(spec: Spec, gates: dict[str, Tensor]) -> dict[str, Tensor]:
    memory = Memory.model_validate({"architecture": "matrix"} | spec)
    return {name: gates[name] for name in memory.gates(HEADS, KEY, VALUE)}


MUON: Spec = {"kind": "muon", "batch": 3}
ONES = torch.ones_like(BETA)


def test_r21_muon_without_iterations_is_a_gradient_of_length_one() -> None:
    spec: Spec = {"optimizer": MUON | {"iterations": 0}, "bias": {"kind": "l2", "window": 2}}
    found, weights = [], torch.zeros(1, HEADS, VALUE, KEY, dtype=torch.float64)
    summed = torch.zeros_like(weights)
    for t in range(TIME):
        for s in range(max(0, t - 1), t + 1):
            k = UNIT[:, s, :, None]
            missed = weights @ k.mT - VALUES[:, s, :, :, None]
            summed = summed + BETA[:, t, :, None, None] * missed @ k
        if t % 3 == 2:
            weights = weights - summed / summed.square().sum((-2, -1), keepdim=True).sqrt()
            summed = torch.zeros_like(summed)
        found.append((weights @ QUERY[:, t, :, :, None])[..., 0])
    gates = {"step": BETA, "momentum": 0 * ONES, "rate": ONES}
    same(answer(_open(spec), gates), torch.stack(found, 1))


def _open(spec: Spec) -> Spec:
    return spec | {"optimizer": spec["optimizer"] | {"rate": "softplus"}}


def test_r22_the_gradient_of_dot_is_the_same_at_all_weights() -> None:
    chunked: Spec = {"optimizer": {"kind": "gd", "gradient_at": "anchor", "chunk": 4}}
    gates = {"decay": ALPHA, "step": BETA}
    same(answer(DOT | decay() | chunked, gates), answer(DOT | decay(), gates))


def test_r23_multiplicative_weights_are_a_softmax_of_logits() -> None:
    first = {"matrix": draw(HEADS, VALUE, KEY, seed=5)}
    gates = {"step": BETA, "decay": ONES}
    simplex = played({"retention": "simplex"}, gates, first=first)
    for divergence in ("kl", "chi2", "reverse_kl"):
        retention = {"kind": "f_divergence", "divergence": divergence}
        found = played({"retention": retention}, {"step": BETA}, first=first)
        if divergence == "kl":
            same(found[0], simplex[0])
            same(found[1]["matrix"], simplex[1]["matrix"].softmax(-1))
        else:
            different(found[0], simplex[0])


def test_r24_a_common_factor_of_all_steps_is_invisible_to_muon() -> None:
    spec = _open({"optimizer": MUON, "bias": {"kind": "l2", "window": 2}})
    gates = {"step": BETA, "momentum": ETA, "rate": ONES}
    found = answer(spec, gates)
    same(answer(spec, gates | {"step": 7 * BETA}), found)
    scaled = spec | {"optimizer": spec["optimizer"] | {"scale": "key_dim"}}
    same(answer(scaled, gates), found)
    different(answer(spec, gates | {"step": ONES}), found)
    different(answer(spec, gates | {"rate": 2 * ONES}), found)


def test_r25_a_convolution_of_keys_is_a_second_tap_where_values_stay() -> None:
    """Exactly so for one value; in general it also writes this value along the key before."""
    gates = {"decay": ALPHA, "step": BETA}
    late = torch.cat((torch.zeros_like(UNIT[:, :1]), UNIT[:, :-1]), 1)
    conv = ETA[..., None] * UNIT + ((1 - ETA) * ALPHA)[..., None] * late
    spec, lead = DOT | decay() | {"optimizer": "trapezoid"}, gates | {"lead": ETA}
    still = VALUES[:, :1].expand_as(VALUES)
    same(answer(spec, lead, value=still), answer(DOT | decay(), gates, key=conv, value=still))
    different(answer(spec, lead), answer(DOT | decay(), gates, key=conv))


def test_r26_a_decay_of_value_channels_is_one_of_the_values_and_of_what_is_read() -> None:
    alpha = share(1, TIME, HEADS, VALUE, low=0.8)
    total = alpha.log().cumsum(1).exp()
    for spec in (DOT, {}):
        decayed = answer(spec | decay("value"), {"decay_value": alpha, "step": BETA})
        same(decayed, total * answer(spec, {"step": BETA}, value=VALUES / total))


def test_r27_read_address_write_direction_and_value_gate_fix_the_delta_rules() -> None:
    asked, along = share(1, TIME, HEADS, KEY), share(1, TIME, HEADS, KEY, seed=6)
    gain, alpha = share(1, TIME, HEADS, VALUE, seed=7), share(1, TIME, HEADS, KEY, seed=8)
    spec = decay("key") | {
        "optimizer": {"kind": "gd", "step_axis": "key", "erase": "sigmoid", "write": "sigmoid"}
    }
    gates = {"decay_key": alpha, "step_key": along, "erase_key": asked, "write_value": gain}
    weights = torch.zeros(HEADS, VALUE, KEY, dtype=torch.float64)
    found: list[Tensor] = []
    for t in range(TIME):
        k = UNIT[0, t]
        weights = weights * alpha[0, t, :, None, :]
        read = torch.einsum("hvk,hk->hv", weights, asked[0, t] * k)
        new = gain[0, t] * VALUES[0, t] - read
        weights = weights + new[..., None] * (along[0, t] * k)[:, None, :]
        found.append(torch.einsum("hvk,hk->hv", weights, QUERY[0, t]))
    same(answer(spec, gates), torch.stack(found)[None])
