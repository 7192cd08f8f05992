"""Guards for defects that others had around their tasks: model, state, choice of rates, start.

Numbers are those of test_task_defects.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from miras.layer import Layer
from miras.model import Model, ModelSpec
from miras.search.sweep.rates import chosen
from miras.tasks import AnyTask, Evaluation, HeldOut, Predict, Task
from miras.tasks.mqar import MQAR
from miras.train import train

NAMES = ("softmax-attention", "linear-attention", "gla", "mamba-1", "mamba-2", "rwkv-7", "deltanet")
memories = pytest.mark.parametrize("name", [*NAMES, "gated-deltanet", "lstm", "titans-lmm"])


def spec(name: str, **shell: Any) -> ModelSpec:
    return ModelSpec.model_validate({"dim": 16, "heads": 2, "pattern": [name]} | shell)


def recall() -> MQAR:
    fields = {"rungs": [[16, 2]], "extrapolation": [[32, 2]], "keys": 8, "values": 8}
    return MQAR.model_validate(fields | {"batch": 8, "validation": 16, "test": 16})


@memories
def test_08_all_memories_live_in_the_same_shell(name: str) -> None:
    """No layer of a model is a convolution in place of the memory, whatever the memory is."""
    model = Model(spec(name, dim=64, layers=2), 11)
    layers = [module for module in model.modules() if isinstance(module, Layer)]
    assert len(layers) == 2 == len(model.blocks)
    around = {
        key: tuple(parameter.shape)
        for key, parameter in model.named_parameters()
        if not key.partition(".memory.")[1]
    }
    other = Model(spec("softmax-attention", dim=64, layers=2), 11)
    assert around == {
        key: tuple(parameter.shape)
        for key, parameter in other.named_parameters()
        if not key.partition(".memory.")[1]
    }


def tensors(state: Any) -> Iterator[Tensor]:
    """All tensors of a state, however it is made."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for inner in state.values():
            yield from tensors(inner)
    elif isinstance(state, tuple | list):
        for inner in state:
            yield from tensors(inner)


@memories
def test_09_state_is_counted_from_its_tensors(name: str) -> None:
    model = Model(spec(name, layers=1), 11)
    for time in (7, 40):
        _, (state,) = model(torch.zeros(1, time, dtype=torch.int64))
        numbers = sum(each.numel() for each in tensors(state) if each.is_floating_point())
        assert model.state_floats(time) == numbers > 0


@memories
def test_10_a_run_repeats(name: str) -> None:
    runs = [train(spec(name), recall(), learning_rate=3e-3, seed=5, steps=3)[0] for _ in range(2)]
    assert runs[0].curve == runs[1].curve and runs[0].metrics == runs[1].metrics


def test_13_training_looks_at_the_test_split_once_when_all_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    judge = MQAR.evaluate

    def watched(
        self: MQAR,
        predict: Predict,
        split: HeldOut = "test",
        seed: int = 0,
        extrapolate: bool = True,
    ) -> Evaluation:
        asked.append(split)
        return judge(self, predict, split, seed, extrapolate)

    monkeypatch.setattr(MQAR, "evaluate", watched)
    train(spec("gla"), recall(), learning_rate=3e-3, steps=40, evaluations=4)
    assert len(asked) > 4 and asked[-1] == "test" and set(asked[:-1]) == {"validation"}


def test_13_rates_are_chosen_on_validation() -> None:
    run, _ = train(spec("gla"), recall(), learning_rate=3e-3, steps=2)
    lucky = run.model_copy(update={"score": 0.9, "validation": 0.1, "learning_rate": 1e-2})
    better = run.model_copy(update={"score": 0.2, "validation": 0.3, "learning_rate": 1e-3})
    assert chosen([lucky, better]) == better == chosen([better, lucky])


def test_13_of_rates_at_the_ceiling_the_quick_one_is_taken() -> None:
    run, _ = train(spec("gla"), recall(), learning_rate=3e-3, steps=2)
    slow = run.model_copy(update={"validation": 1.0, "metrics": {"learning": 0.7}})
    quick = run.model_copy(update={"validation": 0.9999, "metrics": {"learning": 0.9}})
    assert chosen([slow, quick]) == quick == chosen([quick, slow])


@memories
def test_14_the_model_does_not_overwrite_how_a_memory_starts(name: str) -> None:
    """Of every parameter of a layer mean and spread are the same alone and inside of a model."""
    found = spec(name, dim=64, layers=1)
    inside = Model(found, 11).blocks[0].get_submodule("memory")
    alone = Layer(found.memory(0), 64, 2, found.conv, 0, 1)
    own = dict(alone.named_parameters())
    assert own.keys() == {key for key, _ in inside.named_parameters()}
    for key, parameter in inside.named_parameters():
        expected = own[key].detach()
        assert parameter.shape == expected.shape
        if parameter.numel() < 256:
            continue
        assert float(parameter.detach().std()) == pytest.approx(
            float(expected.std()), rel=0.25, abs=1e-6
        )
        scale = float(expected.std()) + abs(float(expected.mean())) + 1e-6
        assert float(parameter.detach().mean()) == pytest.approx(
            float(expected.mean()), abs=0.3 * scale
        )


@memories
def test_27_a_layer_starts_alike_wherever_it_is_built(name: str) -> None:
    """The same seed gives the same numbers; no module starts another one anew."""
    found = spec(name, layers=1)
    numbers: list[list[Tensor]] = []
    for _ in range(2):
        torch.manual_seed(3)
        layer: nn.Module = Layer(found.memory(0), 16, 2, found.conv, 0, 1)
        numbers.append([parameter.detach() for parameter in layer.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*numbers, strict=True))


def test_22_a_result_holds_the_exact_settings() -> None:
    task: Task = recall()
    result, _ = train(spec("gla"), task, learning_rate=3e-3, steps=2)
    adapter: TypeAdapter[Task] = TypeAdapter(AnyTask)
    assert adapter.validate_python(result.settings["task"]) == task
    assert result.settings["steps"] == 2 and result.learning_rate == 3e-3 and result.seed == 0
    shell = ModelSpec.model_validate({**result.settings["shell"], "pattern": [result.memory]})
    assert shell == spec("gla")
