"""Memories that say what they are told against plain loops, in float64."""

import torch
from composition_cases import begin, composed, inputs_of, play
from torch import Tensor


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_self_referential_memory_against_a_loop() -> None:
    memory = composed(
        "{compose: self_referential, chunk: 1, of: {architecture: {kind: mlp, depth: 1,"
        " norm: none}, optimizer: {kind: gd, gradient_at: previous},"
        " retention: decay}}"
    )
    inputs = inputs_of(memory, 7)
    found, _ = play(memory, inputs)
    step, decay = inputs.gates["0.step"], inputs.gates["0.decay"]
    weights = begin(memory).cells[0].weights
    (name,) = weights
    for b in range(2):
        for h in range(2):
            five = [weights[name][b, h].clone() for _ in range(5)]
            for t in range(7):
                k, v, q = (x[b, t, h] for x in (inputs.key, inputs.value, inputs.query))
                made_key, made_value = k + five[1] @ k, v + five[2] @ v
                s = torch.sigmoid((k + five[3] @ k).mean()) * step[b, t, h]
                d = decay[b, t, h] ** torch.sigmoid((k + five[4] @ k).mean())
                for place, w in enumerate(five):
                    error = made_key + w @ made_key - (made_value + w @ made_value)
                    five[place] = d * w - s * torch.outer(error, made_key)
                close(found[b, t, h], q + five[0] @ q)


def test_a_self_referential_weight_matrix_against_a_loop() -> None:
    memory = composed("{use: srwm, of: {architecture: {features: identity}}}")
    inputs = inputs_of(memory, 7)
    found, _ = play(memory, inputs)
    (start_at,) = begin(memory).cells[0].weights.values()
    for b in range(2):
        for h in range(2):
            rows = {name: start_at[b, h].clone() for name in ("y", "k", "q", "b")}
            for t in range(7):
                asked = inputs.query[b, t, h], inputs.key[b, t, h], inputs.value[b, t, h]
                close(found[b, t, h], rows["y"] @ asked[0])
                k, q = rows["k"] @ asked[1], rows["q"] @ asked[2]
                step = (
                    torch.sigmoid((rows["b"] @ asked[1]).mean()) * inputs.gates["0.step"][b, t, h]
                )
                rows = {n: w + step * torch.outer(w @ q - w @ k, k) for n, w in rows.items()}
