"""Compositions against plain loops and against memories that they must equal, in float64."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from composition_cases import begin, composed, gates_of, inputs_of, play
from torch import Tensor

from miras import State, run, start
from miras.composition import Composition
from miras.composition.consolidate import dice
from miras.composition.contract import Inputs
from miras.composition.tiers import Tiers
from miras.known import named
from miras.memory import Memory

TIME = 21


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def changed(inputs: Inputs, gates: Mapping[str, Tensor]) -> Inputs:
    return inputs._replace(gates=dict(inputs.gates) | dict(gates))


def unit(x: Tensor) -> Tensor:
    x = torch.nn.functional.silu(x)
    return x / x.norm(dim=-1, keepdim=True)


def stretches(position: int) -> list[tuple[int, int, int]]:
    """Level, start and end of each stretch of the past before a token, by hand."""
    found, start = list[tuple[int, int, int]](), 0
    for bit in reversed(range(position.bit_length())):
        if position & (1 << bit):
            found.append((bit + 1, start, start + (1 << bit)))
            start += 1 << bit
    return [*found, (0, position, position + 1)]


def test_levels_of_gated_deltanet_against_its_definition() -> None:
    memory = composed("{compose: levels, of: gated-deltanet, levels: 4}")
    inputs = inputs_of(memory, TIME)
    found, state = play(memory, inputs)
    query, key, value = unit(inputs.query), unit(inputs.key), inputs.value
    decay, step, mix = (inputs.gates[name] for name in ("0.decay", "0.step", "mix"))
    identity = torch.eye(4, dtype=torch.float64)
    for b in range(2):
        for h in range(2):
            for t in range(TIME):
                output = torch.zeros(4, dtype=torch.float64)
                for level, first, end in stretches(t):
                    weights = torch.zeros(4, 4, dtype=torch.float64)
                    for s in range(first, t + 1):
                        k = key[b, s, h]
                        erase = identity - step[b, s, h] * torch.outer(k, k)
                        weights = decay[b, s, h] * weights @ erase
                        if s < end:  # later tokens only pass their transition on
                            weights = weights + step[b, s, h] * torch.outer(value[b, s, h], k)
                    output = output + mix[b, t, h, min(level, 3)] * weights @ query[b, t, h]
                close(found[b, t, h], output)
    assert len(state.cells) == TIME.bit_count() == 3


@pytest.mark.parametrize("host", ["mamba-2", "gla", "linear-titans"])
def test_levels_of_weight_one_are_the_host(host: str) -> None:
    memory = composed(f"{{compose: levels, of: {host}, mix: constant}}")
    inputs = inputs_of(memory, TIME)
    wanted, _ = run(named(host), *inputs[:3], inputs.of(0))
    close(play(memory, inputs)[0], wanted)


def test_as_many_levels_as_the_paper_says() -> None:
    memory = composed("{compose: levels, of: gla}")
    state, most = begin(memory), 0
    inputs = inputs_of(memory, 64)
    for t in range(64):
        _, state = play(memory, inputs.span(t, t + 1), state)
        most = max(most, len(state.cells) + 1)  # the token itself is a level
    assert most == 7  # log2(64) + 1


def one_cell(cell: Any, inputs: Inputs, place: int, state: Any = None) -> tuple[Tensor, Any]:
    return run(cell, *inputs[:3], inputs.of(place), state)


def test_parallel_is_the_weighted_sum_of_its_cells() -> None:
    memory = composed("{compose: parallel, of: [gla, deltanet], mix: sigmoid}")
    inputs = inputs_of(memory, TIME)
    reads = [one_cell(cell, inputs, place)[0] for place, cell in enumerate(memory.cells)]
    mix = inputs.gates["mix"]
    wanted = mix[..., :1] * reads[0] + mix[..., 1:] * reads[1]
    close(play(memory, inputs)[0], wanted)
    shared = composed("{compose: parallel, of: [gla, deltanet], mix: sigmoid, combine: share}")
    close(play(shared, inputs)[0], wanted / mix.sum(-1, keepdim=True))


def test_a_chain_hands_on_queries_and_keys() -> None:
    memory = composed("{compose: chain, of: [deltanet, gla]}")
    inputs = inputs_of(memory, TIME)
    query, _ = one_cell(memory.cells[0], inputs, 0)
    key, _ = one_cell(memory.cells[0], inputs._replace(query=inputs.key), 0)
    wanted, _ = one_cell(memory.cells[1], inputs._replace(query=query, key=key), 1)
    close(play(memory, inputs)[0], wanted)


@pytest.mark.parametrize("host", ["titans-lmm", "gla"])
def test_resets_are_separate_runs(host: str) -> None:
    memory = composed(f"{{compose: resets, of: {host}, segment: 5}}")
    inputs = inputs_of(memory, TIME)
    wanted = [play(memory, inputs.span(at, min(at + 5, TIME)))[0] for at in range(0, TIME, 5)]
    close(play(memory, inputs)[0], torch.cat(wanted, dim=1))


def test_the_projection_of_queries_against_a_loop() -> None:
    memory = composed("{compose: resets, of: gla, segment: 6, project: true}")
    inputs = inputs_of(memory, TIME)
    query = torch.zeros_like(inputs.query)
    for t in range(TIME):
        for s in range(t - t % 6, t + 1):
            k = inputs.key[:, s]
            share = (k * inputs.query[:, t]).sum(-1, keepdim=True) / k.square().sum(
                -1, keepdim=True
            )
            query[:, t] += share * k
    plain = composed("{compose: resets, of: gla, segment: 6}")
    close(play(memory, inputs)[0], play(plain, inputs._replace(query=query))[0])


LINEAR = "{architecture: matrix, bias: dot, optimizer: {kind: gd, step: sigmoid}}"


def cached(read: str, host: str = LINEAR, more: str = "") -> Composition:
    return composed(f"{{compose: segments, of: {host}, read: {read}, segment: 4{more}}}")


def test_cached_segments_of_a_linear_memory() -> None:
    memory = cached("residual")
    inputs = inputs_of(memory, TIME)
    wanted, _ = one_cell(memory.cells[0], inputs, 0)
    close(play(memory, inputs)[0], wanted)  # the sum of the segments is the memory itself
    gated, soup = cached("gated"), cached("soup")
    inputs = inputs_of(gated, TIME)
    close(play(gated, inputs)[0], play(soup, inputs)[0])  # reads of sums are sums of reads
    every = cached("top_k", more=", top_k: 99")
    close(play(every, inputs)[0], play(gated, inputs)[0])
    few, _ = play(cached("top_k", more=", top_k: 1"), inputs)
    assert (few - play(gated, inputs)[0]).abs().max() > 1e-3


def test_segments_of_one_token_are_attention_with_products_as_values() -> None:
    memory = composed(f"{{compose: segments, of: {LINEAR}, segment: 1}}")
    inputs = inputs_of(memory, TIME)
    step, sharpness = inputs.gates["0.step"], inputs.gates["sharpness"]
    products = torch.einsum("bthk,bshk->bhts", inputs.query, inputs.key)
    later = torch.ones(TIME, TIME).triu(1).bool()
    logits = (products * sharpness[:, None, None] / 2).masked_fill(later, -torch.inf)
    weights = logits.softmax(-1) * products * step.transpose(1, 2)[:, :, None]
    close(play(memory, inputs)[0], torch.einsum("bhts,bshv->bthv", weights, inputs.value))


@pytest.mark.parametrize("host", ["gated-deltanet", "mamba-2", "linear-attention", "hgrn2"])
def test_a_router_writes_chosen_memories_alone(host: str) -> None:
    memory = composed(f"{{compose: router, of: {host}, copies: 3, top_k: 2}}")
    inputs = inputs_of(memory, 9)
    cell = memory.cells[0]
    assert isinstance(cell, Memory)
    score = inputs.gates["route"]
    for b in range(2):
        for h in range(2):
            states = [start(cell, 1, 1, 4, 4, None, torch.float64) for _ in range(4)]
            for t in range(9):
                best = score[b, t, h].argsort(descending=True)[:2].tolist()
                total, output = score[b, t, h, best].sum(), torch.zeros(4, dtype=torch.float64)
                now = inputs.span(t, t + 1)
                tensors = [x[b : b + 1, :, h : h + 1] for x in now[:3]]
                gates = {name: gate[b : b + 1, :, h : h + 1] for name, gate in now.of(0).items()}
                for place in (*best, 3):
                    query, key, value = tensors
                    read, states[place] = run(
                        cell, query, key, value, gates, states[place], "definition"
                    )
                    weight = 1.0 if place == 3 else score[b, t, h, place] / total
                    output = output + weight * read[0, 0, 0]
                close(play(memory, inputs)[0][b, t, h], output)


def test_a_rest_tells_pairs_of_the_reservoir_again() -> None:
    memory = composed(
        "{compose: consolidate, of: [gla, deltanet], period: 6, steps: 4, buffer: 3, read: slow}"
    )
    inputs = inputs_of(memory, 12)
    found, state = play(memory, inputs)
    slow, before, outputs = memory.cells[1], None, list[Tensor]()
    places: list[int] = []
    for at in (0, 6):
        output, before = one_cell(slow, inputs.span(at, at + 6), 1, before)
        outputs.append(output)
        for t in range(at, at + 6):
            place = t if t < 3 else dice(0, t) % (t + 1)
            if place < 3:
                places[place : place + 1] = [t]
        drawn = [places[dice(1, (at + 6) * 4 + r) % 3] for r in range(4)]
        gates = {name: gate[:, [at + 5] * 4] for name, gate in inputs.of(1).items()}
        _, before = run(
            slow, inputs.key[:, drawn], inputs.key[:, drawn], inputs.value[:, drawn], gates, before
        )
    close(found, torch.cat(outputs, dim=1))
    kept = state.cells[1]
    assert isinstance(before, State)
    assert isinstance(kept, State)
    (name,) = before.weights
    close(kept.weights[name], before.weights[name])


def test_the_reservoir_is_fair() -> None:
    kept = torch.zeros(40)
    for seed in range(2000):
        places: dict[int, int] = {}
        for t in range(40):
            place = t if t < 8 else dice(seed, t) % (t + 1)
            if place < 8:
                places[place] = t
        kept[list(places.values())] += 1
    assert (kept / 2000 - 0.2).abs().max() < 0.05


def told(memory: Tiers, facts: list[int], asked: list[int], dim: int = 8) -> Tensor:
    """Reads of orthogonal facts, one-hot."""
    rows = torch.eye(dim, dtype=torch.float64)
    query, key = rows[asked][None, :, None], rows[facts][None, :, None]
    output, _ = run(memory, query, key, key, {"sharpness": torch.full((1,), 60.0).double()})
    return output[0, :, 0]


def test_what_is_asked_for_stays_when_the_window_has_passed() -> None:
    memory = Tiers(window=2, slots=2)
    passing = [0, 1, 2, 3, 4, 5, 6, 7]
    output = told(memory, passing, [0, 1, 1, 3, 4, 5, 6, 1])
    assert output[-1, 1] > 0.99  # 1 was asked for again while it was there
    lost = told(memory, passing, [0, 7, 7, 7, 7, 7, 7, 1])
    assert lost[-1].abs().max() < 0.01  # nobody asked: it is gone, and "not here" reads zero


def test_tiers_hold_more_facts_than_first_in_first_out() -> None:
    generator = torch.Generator().manual_seed(0)
    ranks = torch.arange(1, 101, dtype=torch.float64)
    asked = torch.multinomial(ranks**-0.9, 500, replacement=True, generator=generator)
    keys = torch.nn.functional.normalize(torch.randn(600, 32, generator=generator).double(), dim=-1)
    shown = torch.stack((100 + torch.arange(500), asked), dim=1).flatten()
    query = keys[asked].repeat_interleave(2, dim=0)[None, :, None]
    key = keys[shown][None, :, None]
    hits: list[float] = []
    for memory in (Tiers(window=4, slots=12, match=0.7), Tiers(window=15, slots=1, threshold=1e9)):
        output, _ = run(memory, query, key, key, {"sharpness": torch.full((1,), 40.0).double()})
        near = torch.cosine_similarity(output[0, ::2, 0], keys[asked], dim=-1) > 0.9
        hits.append(float(near[250:].double().mean()))
    assert hits[0] > 1.5 * hits[1], hits


def test_gates_of_cells_do_not_reach_other_cells() -> None:
    memory = composed("{compose: parallel, of: [gla, deltanet], mix: sigmoid}")
    inputs = inputs_of(memory, 5)
    mix = inputs.gates["mix"].clone()
    mix[..., 1] = 0.0
    silent = changed(inputs, {"mix": mix})
    other = changed(silent, {"1.step": gates_of(memory, 5, seed=9)["1.step"]})
    close(play(memory, silent)[0], play(memory, other)[0])
