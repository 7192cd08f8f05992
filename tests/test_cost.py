"""Costs of a model: the counter against arithmetic by hand and products of the definition."""

import os
from typing import cast

import pytest
import torch

from miras.cost import LONGEST, flops_per_token, parameters_without_embedding
from miras.explain.counting import products
from miras.known import cells, known
from miras.layer import Layer
from miras.model import Model, ModelSpec
from miras.tasks.mqar import MQAR
from miras.train import train


def spec(name: str, **changes: object) -> ModelSpec:
    fields = {"dim": 64, "layers": 2, "heads": 4, "pattern": [name]}
    return ModelSpec.model_validate(fields | changes)


def by_hand(name: str, vocabulary: int) -> int:
    """Multiply-adds twice: all matrices once per token, convolutions, products with the state."""
    model = Model(spec(name), vocabulary)
    weights = sum(leaf.numel() for leaf in model.parameters() if leaf.ndim == 2)
    memory = cells()[name]
    layer = cast(Layer, model.blocks[0].get_submodule("memory"))
    each = sum(products(memory, layer.heads, layer.key_dim, layer.value_dim).values())
    taps = sum(leaf.numel() for name, leaf in model.named_parameters() if "conv" in name)
    return 2 * (weights + taps + 2 * each)


@pytest.mark.parametrize(
    "name", ["linear-attention", "gla", "deltanet", "gated-deltanet", "mamba-2", "lru", "lstm"]
)
def test_counted_against_the_definition(name: str):
    """What is left over are norms, activations, gates and key maps: one per number."""
    counted, products = flops_per_token(spec(name), 264, 32), by_hand(name, 264)
    assert products <= counted <= 1.12 * products


def test_the_cost_of_attention_grows_with_what_came_before():
    short, long = (flops_per_token(spec("softmax-attention"), 264, time) for time in (32, 64))
    # two layers; at 16 more pairs on average, each 64 wide: scores and read, then the softmax
    least, softmax = 2 * 16 * (2 * 64 + 2 * 64), 2 * 16 * 4 * 8
    assert least <= long - short <= least + softmax
    short, long = (flops_per_token(spec("gla"), 264, time) for time in (32, 64))
    assert short == pytest.approx(long, rel=1e-3)


@pytest.mark.parametrize("name", ["softmax-attention", "gla"])
def test_beyond_what_is_counted_the_line_goes_on(name: str, monkeypatch: pytest.MonkeyPatch):
    found = flops_per_token(spec(name), 264, 2 * LONGEST)
    monkeypatch.setattr("miras.cost.LONGEST", 4 * LONGEST)
    assert found == pytest.approx(flops_per_token(spec(name), 264, 2 * LONGEST), rel=1e-3)


def test_counting_disturbs_nothing():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    before = os.environ.get("MIRAS_KERNELS")
    flops_per_token(spec("retnet", layers=1), 11, 5)
    assert torch.equal(torch.rand(4), expected) and os.environ.get("MIRAS_KERNELS") == before


def test_parameters_without_embedding_do_not_depend_on_the_vocabulary():
    for changes in ({}, {"tie": False, "head_bias": True}, {"positions": 32}):
        few, many = (Model(spec("gla", **changes), count) for count in (8, 800))
        assert parameters_without_embedding(few) == parameters_without_embedding(many)
        assert parameters_without_embedding(few) < few.parameters_count() < many.parameters_count()
    tied = Model(spec("gla"), 8)
    assert parameters_without_embedding(tied) == tied.parameters_count() - 8 * 64


def test_a_result_says_what_it_cost():
    fields = {"rungs": [[16, 2]], "extrapolation": [], "keys": 8, "values": 8, "batch": 8}
    task = MQAR.model_validate(fields | {"validation": 16, "test": 16})
    model = spec("deltanet", layers=1)
    found, _ = train(model, task, learning_rate=1e-3, steps=3)
    assert found.flops_per_token == flops_per_token(model, task.vocabulary, 16)
    assert found.parameters_without_embedding == found.parameters - 64 * task.vocabulary
    assert found.tokens_per_second and found.tokens_per_second >= found.tokens / found.seconds


@pytest.mark.slow
@pytest.mark.parametrize("name", known())
def test_every_known_memory_can_be_counted(name: str):
    model = spec(name, dim=16, layers=1, heads=2)
    if known()[name].name.startswith("memnet"):
        model = spec(name, dim=16, layers=1, heads=2, bare=True, tie=False)
    assert flops_per_token(model, 9, 8) > 2 * 9 * 16
