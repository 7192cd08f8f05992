"""The definition against plain loops in numpy: transitions of the state before the write."""

import numpy as np
import pytest
from plain import Array, Tokens, draw, play, same
from test_truth_retention_shapes import KEY, START, TIME, VALUE, Spec, delta, matrix, spec

DICE = np.random.default_rng(14)
PER_KEY: Array = DICE.uniform(0.6, 1, (TIME, KEY))
REMOVAL: Array = DICE.uniform(0.1, 1, TIME)
REMOVAL_KEY: Array = DICE.uniform(0.1, 1, (TIME, KEY))
OWN: Array = DICE.normal(size=(TIME, KEY))
KAPPA: Array = DICE.normal(size=KEY)


@pytest.fixture
def seen() -> Tokens:
    return draw(TIME, KEY, VALUE)


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_gated_reset(seen: Tokens, threshold: float | None) -> None:
    retention: Spec = {"kind": "gated_reset", "threshold": threshold}
    gates = {"step": seen.step, "restart": REMOVAL}
    found = play(spec(retention), *seen[:3], gates, {"layer_0": START})
    weights, wanted = START, []
    for t in range(TIME):
        back = REMOVAL[t] if threshold is None else float(REMOVAL[t] >= threshold)
        weights = (1 - back) * weights + back * START
        weights = weights + delta(weights, seen, t)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("order", ["together", "after"])
@pytest.mark.parametrize("removal_axis", ["scalar", "key"])
@pytest.mark.parametrize("bias", ["dot", "l2"])
def test_diagonal_plus_rank_one(
    seen: Tokens, bias: str, removal_axis: str, order: str, own: bool
) -> None:
    """With dot and order together RWKV-7, with l2 an erase at another address (EDA)."""
    retention = {"kind": "diagonal_plus_rank_one", "axis": "key", "gate": "sigmoid"}
    retention |= {"removal_axis": removal_axis, "order": order}
    retention |= {"address": "linear"} if own else {}
    gates = {"step": seen.step, "decay_key": PER_KEY, "removal": REMOVAL}
    gates |= {"removal_key": REMOVAL_KEY, "erased_key": OWN, "erased_scale": KAPPA}
    found = play(matrix(retention, bias), *seen[:3], gates, {"matrix": START})
    weights, wanted = START, []
    for t in range(TIME):
        raw = OWN[t] if own else seen.key[t] * KAPPA
        address = raw / np.linalg.norm(raw)
        removal = REMOVAL_KEY[t] if removal_axis == "key" else REMOVAL[t]
        gone = np.outer(address, removal * address)
        if order == "together":
            weights = weights @ (np.diag(PER_KEY[t]) - gone)
        else:
            weights = weights @ np.diag(PER_KEY[t]) @ (np.eye(KEY) - gone)
        if bias == "dot":
            weights = weights + seen.step[t] * np.outer(seen.value[t], seen.key[t])
        else:
            weights = weights + delta(weights, seen, t)
        wanted.append(weights @ seen.query[t])
    same(found.output, np.array(wanted))


def test_transition_of_stored_keys_is_a_product_of_reflections(seen: Tokens) -> None:
    """PaTH: the logit of pair j at t is q_t^T (I - a_t e_t e_t^T) ... (I - a_j+1 ...) k_j."""
    attention: Spec = {
        "architecture": {"kind": "kv", "sharpness": 1.0},
        "retention": {
            "kind": "diagonal_plus_rank_one", "address": "linear", "order": "after",
            "removal": {"kind": "sigmoid", "scale": 2.0},
        },
        "optimizer": "closed_form",
    }  # fmt: skip
    found = play(attention, *seen[:3], {"removal": 2 * REMOVAL, "erased_key": OWN})
    for t in range(TIME):
        logits = np.zeros(t + 1)
        for j in range(t + 1):
            product = np.eye(KEY)
            for m in range(t, j, -1):
                unit = OWN[m] / np.linalg.norm(OWN[m])
                product = product @ (np.eye(KEY) - 2 * REMOVAL[m] * np.outer(unit, unit))
            logits[j] = seen.query[t] @ product @ seen.key[j]
        weight = np.exp(logits - logits.max())
        same(found.output[t], weight / weight.sum() @ seen.value[: t + 1])
