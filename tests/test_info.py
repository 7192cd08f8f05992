"""Diagnostics and auxiliary losses: noted where somebody collects, and trained on."""

import pytest
import torch

from miras.info import collecting, note, wanted
from miras.known import named
from miras.layer import Layer
from miras.memory import Memory
from miras.model import ModelSpec
from miras.tasks.selective_copy import SelectiveCopy
from miras.train import train


def test_nothing_is_kept_where_nobody_collects() -> None:
    note("slots", torch.ones(3))
    assert not wanted()
    with collecting() as info:
        assert wanted()
    assert info.noted == {}
    assert info.loss() == 0.0


def test_tensors_by_name_in_their_order() -> None:
    with collecting() as info:
        note("slots", torch.zeros(2))
        note("slots", torch.ones(2))
    assert info["slots"].tolist() == [[0, 0], [1, 1]]
    with pytest.raises(KeyError):
        info["edges"]


def test_losses_are_means_with_gradients() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    with collecting() as info:
        note("loss/size", x)
        note("loss/size", 3 * x)
        note("loss/other", x * x)
        note("size", x)
    assert {name: loss.item() for name, loss in info.losses().items()} == {"size": 6, "other": 9}
    (gradient,) = torch.autograd.grad(torch.as_tensor(info.loss()), x)
    assert gradient.item() == 2 + 2 * 3


def test_an_inner_collection_hides_the_outer() -> None:
    with collecting() as outer:
        with collecting() as inner:
            note("seen", torch.zeros(()))
        note("late", torch.zeros(()))
    assert (list(inner.noted), list(outer.noted)) == (["seen"], ["late"])


def test_training_adds_the_noted_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    task = SelectiveCopy(steps=2)
    cell = named("linear-attention")
    assert isinstance(cell, Memory)
    spec = ModelSpec(dim=16, layers=1, heads=2, pattern=(cell,))
    plain = _trained(spec, task)
    forward = Layer.forward

    def noting(self: Layer, x: torch.Tensor, *rest: object) -> object:
        note("loss/output", 1e3 * self.out.weight.square().mean())
        return forward(self, x, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Layer, "forward", noting)
    assert _trained(spec, task) < plain


def _trained(spec: ModelSpec, task: SelectiveCopy) -> float:
    """Size of the output projection after two steps."""
    _, model = train(spec, task, learning_rate=0.01, steps=2, evaluations=0, extrapolate=False)
    layer = next(part for part in model.modules() if isinstance(part, Layer))
    return layer.out.weight.square().mean().item()
