"""The equivalence rules R14-R20 of the project's catalogue of memories, each as two runs.

One memory gets its tensors and another memory tensors made from them, and both must answer the
same. Rules that rewrite a memory to its normal form (R3, R4, R16, R21 to R24 and the limits of
parts) are pairs of tests/twins.yaml as well; where a rule says that two memories *differ*, so does
a test here. tests/catalogue_rules.yaml lists what carries each rule.
"""

from math import exp, log1p

import torch
from equivalence import (
    ALPHA,
    BETA,
    DOT,
    ETA,
    HEADS,
    KEY,
    KEYS,
    QUERY,
    ROBUST,
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
)
from torch import Tensor
from torch.nn.functional import gelu

from miras import run
from miras.composition.segments import Segments
from miras.memory import Memory


def test_r14_the_last_layer_alone_is_linear_attention_over_hidden_features() -> None:
    """S_0 is the initial last layer. Steps along both axes reach one layer each: `key` the first.

    No file can say so, because one gate makes both steps; tensors can.
    """
    spec: Spec = {"kind": "mlp", "expansion": 2.0, "norm": "none", "residual": False}
    deep = DOT | {"architecture": spec, "optimizer": {"kind": "gd", "step_axis": "both"}}
    deep |= decay("both")
    hidden = 2 * KEY
    first = {"layer_0": draw(HEADS, hidden, KEY), "layer_1": draw(HEADS, VALUE, hidden, seed=5)}
    nothing, per_value = torch.zeros_like(UNIT), BETA[..., None].expand_as(VALUES)
    gates = {"step_key": nothing, "step_value": per_value}
    gates |= {"decay_key": nothing + 1, "decay_value": ALPHA[..., None].expand_as(VALUES)}
    found = played(deep, gates, first=first)
    same(found[1]["layer_0"][0], first["layer_0"])

    def features(x: Tensor) -> Tensor:
        return gelu(torch.einsum("hfk,bthk->bthf", first["layer_0"], x))

    linear = played(
        DOT | decay(),
        {"decay": ALPHA, "step": BETA},
        query=features(QUERY),
        key=features(UNIT),
        first={"matrix": first["layer_1"]},
    )
    same(found[0], linear[0])
    same(found[1]["layer_1"], linear[1]["matrix"])
    gates["step_key"] = BETA[..., None].expand_as(UNIT)
    different(played(deep, gates, first=first)[0], linear[0])


def test_r15_a_window_of_one_token_is_no_window() -> None:
    same(answer({"bias": {"kind": "l2", "window": 1}}, {"step": BETA}), answer({}, {"step": BETA}))


def test_r15_one_step_for_orthogonal_keys_is_a_step_for_each() -> None:
    half = {"step": {"kind": "sigmoid", "scale": 0.5}}
    together: Spec = {"optimizer": {"kind": "gd", "batch": KEY} | half}
    keys = torch.eye(KEY).double().repeat(2, 1)[None, :, None].expand(1, 2 * KEY, HEADS, KEY)
    gates, single = {"step": BETA[:, : 2 * KEY] / 2}, {"optimizer": {"kind": "gd"} | half}

    def last(spec: Spec, key: Tensor) -> Tensor:
        query, value = QUERY[:, : 2 * KEY], VALUES[:, : 2 * KEY]
        return answer(spec, gates, query=query, key=key, value=value)[:, KEY - 1 :: KEY]

    same(last(together, keys), last(single, keys))
    keys = UNIT[:, : 2 * KEY]
    different(last(together, keys), last(single, keys))


def test_r16_two_writes_are_two_tokens_of_which_the_second_is_read() -> None:
    keys, values = draw(1, TIME, HEADS, KEY, seed=6), draw(1, TIME, HEADS, VALUE, seed=7)
    keys = keys / keys.norm(dim=-1, keepdim=True)
    gates = {"decay": ALPHA, "step": BETA, "step_2": ETA, "key_2": keys, "value_2": values}
    twice = played(decay() | {"optimizer": {"kind": "multi_step", "count": 2}}, gates)

    def mixed(*rows: Tensor) -> Tensor:
        return torch.stack(rows, 2).flatten(1, 2)

    delta = played(
        decay(),
        {"decay": mixed(ALPHA, torch.ones_like(ALPHA)), "step": mixed(BETA, ETA)},
        query=mixed(QUERY, QUERY),
        key=mixed(UNIT, keys),
        value=mixed(VALUES, values),
    )
    same(twice[0], delta[0][:, 1::2])
    same(twice[1]["matrix"], delta[1]["matrix"])


def test_r16_one_write_is_the_delta_rule() -> None:
    gates = {"decay": ALPHA, "step": BETA}
    one = played(decay() | {"optimizer": {"kind": "multi_step", "count": 1}}, gates)
    delta = played(decay(), gates)
    same(one[0], delta[0])
    same(one[1]["matrix"], delta[1]["matrix"])


RIDGE = 0.25 + log1p(exp(0.3))
LEARNED = {"ridge": torch.full((HEADS, KEY), 0.3, dtype=torch.float64)}


def test_r17_mesa_that_forgets_nothing_is_recursive_least_squares() -> None:
    """A delta rule whose step is a matrix: the covariance of the weights."""
    filtered: Spec = {"kind": "kalman", "noise": 1.0, "variance": 1 / RIDGE, "step": "sigmoid"}
    delta = answer({"optimizer": filtered}, {"step": BETA})
    same(answer({"optimizer": "least_squares"}, {"step": BETA} | LEARNED), delta)
    fading = answer(decay() | {"optimizer": filtered}, {"step": BETA, "decay": ALPHA})
    gates = {"step": BETA, "decay": ALPHA} | LEARNED
    different(answer(decay() | {"optimizer": "least_squares"}, gates), fading)


def test_r17_a_solver_without_iterations_is_linear_attention_with_divided_queries() -> None:
    gates = {"decay": ALPHA, "step": BETA}
    spec: Spec = {"optimizer": {"kind": "least_squares", "iterations": 0}}
    found = played(decay() | spec, gates | LEARNED)
    diagonal, divided = torch.full_like(UNIT[:, 0], RIDGE) * 0, list[Tensor]()
    for t in range(TIME):
        kept, step = ALPHA[:, t, :, None], BETA[:, t, :, None]
        diagonal = kept * diagonal + step * UNIT[:, t].square()
        divided.append(QUERY[:, t] / (diagonal + RIDGE))
    gla = played(DOT | decay(), gates, query=torch.stack(divided, 1))
    same(found[0], gla[0])
    same(found[1]["matrix"], gla[1]["matrix"])
    exact: Spec = {"optimizer": "least_squares"}
    enough: Spec = {"optimizer": {"kind": "least_squares", "iterations": KEY}}
    solved = answer(decay() | exact, gates | LEARNED)
    same(answer(decay() | enough, gates | LEARNED), solved)
    different(found[0], solved)


def test_r18_one_segment_is_the_memory() -> None:
    """As long as no segment ended, nothing is cached; afterwards there is."""
    host = Memory.model_validate({"architecture": "matrix"} | decay())
    gates = {"0.decay": ALPHA, "0.step": BETA, "sharpness": torch.ones(HEADS).double()}
    for length, equal in ((TIME, True), (TIME - 1, False)):
        whole = Segments(of=host, segment=length)
        found, _ = run(whole, QUERY, UNIT, VALUES, gates)
        check = same if equal else different
        check(found, answer(decay(), {"decay": ALPHA, "step": BETA}))


def test_r19_a_constant_scale_of_the_values_is_a_scale_of_what_is_read() -> None:
    for spec in (DOT, {}):
        same(answer(spec, {"step": BETA}, value=7 * VALUES), 7 * answer(spec, {"step": BETA}))
    different(
        answer(ROBUST, {"step": BETA, "threshold": ETA}, value=7 * VALUES),
        7 * answer(ROBUST, {"step": BETA, "threshold": ETA}),
    )


def test_r20_the_length_of_a_key_is_part_of_step_and_value() -> None:
    length = KEYS.norm(dim=-1)
    scaled = answer({}, {"step": BETA * length**2}, value=VALUES / length[..., None])
    same(answer({}, {"step": BETA}, key=KEYS), scaled)


def test_r20_under_any_bias_a_constant_length_of_keys_is_one_of_queries_and_steps() -> None:
    gates = {"step": BETA / 9, "threshold": ETA}
    longer = answer(ROBUST, gates, key=3 * UNIT, query=3 * QUERY)
    same(longer, answer(ROBUST, gates | {"step": BETA}))
