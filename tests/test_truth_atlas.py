"""Deep memories of the Atlas family against a loop that writes out network, loss and step."""

from collections.abc import Callable
from math import factorial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain import Array, draw, play, same
from torch import Tensor

from miras.known import known
from miras.memory import Memory
from miras.state import initial_weights

TIME, SIZE = 20, 4


def powers(x: Tensor) -> Tensor:
    unit = x / x.norm()
    return sum((unit**i / factorial(i) for i in (1, 2)), torch.zeros_like(unit))


def silu_unit(x: Tensor) -> Tensor:
    return F.silu(x) / F.silu(x).norm()


def random_features(x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(32, SIZE, generator=generator, dtype=torch.float64)
    x = x / SIZE**0.25
    return torch.exp(rows @ x - x @ x / 2) / 32**0.5


def orthogonal(x: Tensor) -> Tensor:
    """Five iterations of the quintic of Muon, on the matrix itself."""
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


Map = Callable[[Tensor], Tensor]
ROWS: list[tuple[str, Map, bool, int, int]] = [
    # name, key map, residual, window, chunk
    ("dla", silu_unit, True, 1, 16),
    ("omeganet", powers, True, 4, 16),
    ("deep-transformers", random_features, False, 1, 16),
    ("dot", random_features, False, 4, 16),
    ("atlas", powers, True, 8, 16),
]


@pytest.mark.parametrize(("name", "phi", "residual", "window", "chunk"), ROWS)
def test_deep_memory(name: str, phi: Map, residual: bool, window: int, chunk: int) -> None:
    memory = known()[name]
    assert isinstance(memory, Memory)
    seen, dice = draw(TIME, SIZE, SIZE), np.random.default_rng(2)
    first = {n: x[0].double() for n, x in initial_weights(memory, 1, SIZE, SIZE).items()}
    gain, shift = dice.uniform(0.5, 1.5, SIZE), dice.normal(size=SIZE) * 0.1
    step = 0.5 * seen.step
    gates: dict[str, Array | float] = {
        "step": step,
        "decay": seen.decay,
        "momentum": seen.momentum,
        "rate": 0.1 * seen.step,
        "norm_gain": gain,
        "norm_shift": shift,
        "coefficient_1": 1.0,
        "coefficient_2": 0.5,
    }
    gates = {n: gates[n] for n in memory.gates(1, SIZE, SIZE)}
    start = {n: x.numpy() for n, x in first.items()}
    found = play(memory.model_dump(), *seen[:3], gates, start).output

    query, key, value = (torch.from_numpy(x) for x in seen[:3])
    gain_, shift_ = torch.from_numpy(gain), torch.from_numpy(shift)

    def network(weights: list[Tensor], x: Tensor) -> Tensor:
        out = weights[1] @ F.gelu(weights[0] @ x)
        out = gain_ * F.layer_norm(out, (SIZE,), eps=1e-6) + shift_
        return x + out if residual else out

    def loss(weights: list[Tensor], t: int) -> Tensor:
        total = torch.zeros(())
        for i in range(max(0, t - window + 1), t + 1):
            answer = network(weights, phi(key[i]))
            dot = memory.bias.residual is False
            total = total + (
                -(answer @ value[i]) if dot else (answer - value[i]).square().sum() / 2
            )
        return total

    weights = list(first.values())
    summed = [torch.zeros_like(x) for x in weights]
    anchor, wanted = weights, []
    for t in range(TIME):
        if t % chunk == 0:
            anchor = weights
        at = [x.clone().requires_grad_() for x in (anchor if chunk > 1 else weights)]
        slopes = torch.autograd.grad(loss(at, t), at)
        keep = seen.decay[t] if "decay" in gates else 1.0
        if name == "atlas":
            pairs = zip(summed, slopes, strict=True)
            summed = [seen.momentum[t] * old - step[t] * slope for old, slope in pairs]
            moves = [0.1 * seen.step[t] * orthogonal(x) for x in summed]
        else:
            moves = [-step[t] / chunk * slope for slope in slopes]
        weights = [keep * x + move for x, move in zip(weights, moves, strict=True)]
        wanted.append(network(weights, phi(query[t])).numpy())
    same(found, np.array(wanted), 1e-8)


def test_in_place_ttt_reads_the_weights_of_the_last_chunk() -> None:
    memory = known()["in-place-ttt"].model_dump()
    memory["optimizer"]["every"] = 6
    seen, dice = draw(TIME, SIZE, SIZE), np.random.default_rng(4)
    start, step = dice.normal(size=(SIZE, SIZE)), np.full(TIME, 0.3)
    found = play(memory, *seen[:3], {"step": step}, {"matrix": start}).output
    hidden = [x / (1 + np.exp(-x)) for x in seen[:2]]
    weights, shown, wanted = start, start, []
    for t in range(TIME):
        if t:
            weights = weights + 0.3 * np.outer(seen.value[t], hidden[1][t - 1])
        shown = weights if (t + 1) % 6 == 0 else shown
        wanted.append(shown @ hidden[0][t])
    same(found, np.array(wanted))
