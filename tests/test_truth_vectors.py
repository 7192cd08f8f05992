"""Memories of one number per channel against plain loops, complex numbers where they are meant."""

import numpy as np
import pytest
import torch
from plain import Array, play, same

from miras.gate import Site
from miras.gate.ratio import Ratio
from miras.gate.tempered import Tempered
from miras.known import known

TIME, VALUE = 20, 4
DICE = np.random.default_rng(5)
INPUT = DICE.normal(size=(TIME, VALUE))
NONE = np.zeros((TIME, 1))
DECAY, STEP = DICE.uniform(0.5, 1, (TIME, VALUE)), DICE.uniform(0.1, 1, (TIME, VALUE))
MATRIX = DICE.normal(size=(4, VALUE, VALUE)) / VALUE**0.5


def output(name: str, gates: dict[str, Array], value: Array = INPUT) -> Array:
    return play(known()[name].model_dump(), NONE, NONE, value, gates).output


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def test_rnn_is_that_of_torch() -> None:
    module = torch.nn.RNN(VALUE, VALUE, bias=False).double()
    identity, square = torch.eye(VALUE), torch.from_numpy(MATRIX[0])
    module.load_state_dict({"weight_ih_l0": identity, "weight_hh_l0": square})
    with torch.no_grad():
        wanted = module(torch.from_numpy(INPUT))[0].numpy()
    same(output("rnn", {"recurrence": MATRIX[0]}), wanted)


def test_rwkv_4_is_its_stabilised_form() -> None:
    """Numerator and denominator with the running maximum of the authors' code."""
    exponent, bonus = DICE.normal(size=(TIME, VALUE)) * 3, DICE.normal(size=VALUE)
    decay = DICE.uniform(0.5, 1, VALUE)
    gates = {"step_value": np.exp(exponent), "bonus": bonus, "decay_value": decay}
    above, below, top, wanted = np.zeros(VALUE), np.zeros(VALUE), np.full(VALUE, -1e38), []
    for t in range(TIME):
        now = bonus + exponent[t]
        high = np.maximum(top, now)
        old, new = np.exp(top - high), np.exp(now - high)
        wanted.append((old * above + new * INPUT[t]) / (old * below + new))
        high = np.maximum(top + np.log(decay), exponent[t])
        old, new = np.exp(top + np.log(decay) - high), np.exp(exponent[t] - high)
        above, below, top = old * above + new * INPUT[t], old * below + new, high
    same(output("rwkv-4", gates), np.array(wanted))


def test_slstm_is_its_stabilised_form() -> None:
    """Equations 8-18 of the paper, with the running maximum m."""
    drive = DICE.normal(size=(3, TIME, VALUE))
    gates = {
        "decay_value": drive[0],
        "step_value": drive[1],
        "output": drive[2],
        "recurrence": MATRIX[3],
        **{f"{n}_recurrence": MATRIX[i] for i, n in enumerate(["decay_value", "step_value"])},
        "output_recurrence": MATRIX[2],
    }
    cell, total, hidden, top = np.zeros(VALUE), np.zeros(VALUE), np.zeros(VALUE), np.zeros(VALUE)
    wanted: list[Array] = []
    for t in range(TIME):
        forget, write, out = (drive[i, t] + MATRIX[i] @ hidden for i in range(3))
        write = 15 * np.tanh(write / 15)
        new = np.maximum(np.log(sigmoid(forget)) + top, write)
        kept, added = sigmoid(forget) * np.exp(top - new), np.exp(write - new)
        cell = kept * cell + added * np.tanh(INPUT[t] + MATRIX[3] @ hidden)
        total, top = kept * total + added, new
        hidden = sigmoid(out) * cell / total
        wanted.append(hidden)
    same(output("slstm", gates), np.array(wanted))


def test_minlstm_mixes_by_normalised_gates() -> None:
    torch.manual_seed(0)
    module = Ratio().build(Site("decay_value", 6, 1, VALUE, 0.0, 1.0)).double()
    x = torch.randn(1, TIME, 6, dtype=torch.float64)
    with torch.no_grad():
        made = module(x, {})[0, :, 0].numpy()
        forget = module.forget(x).sigmoid()[0].numpy()  # type: ignore
        write = module.input(x).sigmoid()[0].numpy()  # type: ignore
    state, wanted = np.zeros(VALUE), []
    for t in range(TIME):
        both = forget[t] + write[t]
        state = forget[t] / both * state + write[t] / both * INPUT[t]
        wanted.append(state)
    same(output("minlstm", {"decay_value": made}), np.array(wanted))


@pytest.mark.parametrize("name", ["lru", "hgrn"])
def test_turned_pairs_are_complex_numbers(name: str) -> None:
    turn, kept = 0.37, 0.5 + 0.5 * DICE.uniform(size=TIME)
    kept = np.full(TIME, 0.8) if name == "lru" else kept
    gates = {"decay": kept, "rotation": np.full((TIME, 1), turn)}
    found = output(name, gates, INPUT[:, :2])
    factor, state, wanted = np.exp(1j * np.pi * (2 * turn - 1)), 0j, []
    for t in range(TIME):
        write = np.sqrt(1 - kept[t] ** 2) if name == "lru" else 1 - kept[t]
        state = kept[t] * factor * state + write * complex(*INPUT[t, :2])
        wanted.append([state.real, state.imag])
    same(found, np.array(wanted))


def test_tempered_gate_leaves_the_selection() -> None:
    """Rodimus: alpha = exp(-g t), the write g^t."""
    torch.manual_seed(0)
    module = Tempered().build(Site("decay_key", 6, 2, 3, 0.0, 1.0)).double()
    x, shared = torch.randn(2, 5, 6, dtype=torch.float64), dict[str, torch.Tensor]()
    with torch.no_grad():
        decay = module(x, shared).numpy()
        selection = np.log1p(np.exp(module.selection(x).numpy())).reshape(2, 5, 2, 3)  # type: ignore
        temperature = sigmoid(module.temperature(x).numpy()).reshape(2, 5, 2, 3)  # type: ignore
    same(decay, np.exp(-selection * temperature))
    same(shared["selection"].numpy(), selection**temperature)
