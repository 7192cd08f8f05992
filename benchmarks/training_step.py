"""A model in training whose parts can be run alone: the half of `training.py` that measures.

It runs as a process of its own, of whatever checkout of miras it is pointed at, and answers each
line of the standard input, the name of a measurement, with a line of JSON.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from miras import layer, train
from miras.model import Model, ModelSpec
from miras.tasks.mqar import MQAR

IGNORE = -100
PARTS = ("data", "embedding", "operator", "mixer", "mlp", "norms", "head", "optimizer")


def main() -> None:
    """Answer lines until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("memory")
    for size in ("--batch", "--time", "--pairs"):
        parser.add_argument(size, type=int, required=True)
    sizes = vars(parser.parse_args())
    bench = Bench(sizes.pop("memory"), sizes)
    for line in sys.stdin:
        print(json.dumps(getattr(bench, line.strip())()), flush=True)


class Bench:
    """A model in training, whose parts can be run alone."""

    def __init__(self, name: str, sizes: dict[str, int]) -> None:
        getattr(train, "hold_memory", lambda: None)()
        torch.manual_seed(0)
        rungs = [{"length": sizes["time"], "load": sizes["pairs"]}]
        settings = {"rungs": rungs, "extrapolation": [], "batch": sizes["batch"]}
        self.task = MQAR.model_validate(settings)
        self.model = Model(ModelSpec.model_validate({"pattern": [name]}), self.task.vocabulary)
        inside: Any = vars(train)
        self.optimizer = inside["_optimizer"](self.model, 1e-3, "cpu")
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.one_step = inside["_step"]
        self.stream = self.task.train_stream(0)
        self.steps(3)
        self.seen = self._inputs()

    def steps(self, count: int) -> None:
        """Train."""
        for _ in range(count):
            self._step(next(self.stream))

    def _step(self, batch: Any) -> None:
        self.one_step(self.model, self.optimizer, self.schedule, batch, "cpu")

    def _inputs(self) -> list[tuple[str, Callable[[], Any], list[Any]]]:
        """The parts of a step, each with its action and the tensors that want gradients."""
        found: list[tuple[str, Callable[[], Any], list[Any]]] = []

        def fresh(value: Any) -> Any:
            if isinstance(value, Tensor) and value.is_floating_point():
                return value.detach().requires_grad_()
            if isinstance(value, dict):
                return {key: fresh(each) for key, each in value.items()}
            return value

        def add(part: str, action: Callable[..., Any], arguments: Any, owned: Any = ()) -> None:
            inputs = [fresh(each) for each in arguments]
            flat = [
                x for each in inputs for x in (each.values() if isinstance(each, dict) else [each])
            ]
            wanted = [x for x in flat if isinstance(x, Tensor) and x.requires_grad]
            found.append((part, lambda: action(*inputs), [*wanted, *owned]))

        def hook(part: str) -> Callable[..., None]:
            def note(module: Any, arguments: Any) -> None:
                add(part, module, arguments, list(module.parameters()))

            return note

        blocks: list[Any] = list(self.model.blocks)
        parts = [("embedding", self.model.embedding), ("norms", self.model.norm)]
        for block in blocks:
            parts += [("norms", block.before), ("norms", block.between)]
            parts += [("mixer", block.memory), ("mlp", block.mlp)]
        handles = [part.register_forward_pre_hook(hook(name)) for name, part in parts]
        original: Any = layer.run

        def operator(*arguments: Any) -> Any:
            add("operator", original, arguments)
            return original(*arguments)

        layer.run = operator
        self.batch = next(self.stream)
        targets = self.batch.targets
        scored = targets != IGNORE
        wanted = targets[scored]
        states: list[Any] = []
        handles.append(self.model.norm.register_forward_pre_hook(lambda _, x: states.append(x[0])))
        self.model(self.batch.tokens, scored=scored)
        layer.run = original
        for handle in handles:
            handle.remove()
        whole = torch.zeros(*targets.shape, states[0].shape[-1])
        weight = [self.model.head.weight]
        head = self.model.head
        add("head", lambda x: F.cross_entropy(head(x[scored]), wanted), [whole], weight)
        return found

    def rate(self) -> dict[str, float]:
        """Steps per second of the clock."""
        before = time.perf_counter()
        self.steps(10)
        return {"rate": 10 / (time.perf_counter() - before)}

    def evaluation(self) -> dict[str, float]:
        """Milliseconds of a point of the curve, of its sequences, and of a step beside it."""
        step = spent(lambda: self.steps(1))
        rung = self.task.rungs[0]
        drawn = spent(lambda: self.task.held_out(rung, "validation", 0))
        whole = spent(lambda: train.evaluate(self.model, self.task, "validation", 0, False))
        return {"evaluation": whole, "of it data": drawn, "step": step}

    def compiled(self) -> dict[str, float]:
        """Seconds until a compiled model has made its first steps, milliseconds of a later one."""
        plain, before = self.model, time.perf_counter()
        self.model = torch.compile(plain)
        self.steps(3)
        waited = time.perf_counter() - before
        steps = [spent(lambda: self.steps(1)) for _ in range(9)]
        self.model = plain
        return {"compile s": waited, "compiled step": statistics.median(steps)}

    def split(self) -> dict[str, float]:
        """Milliseconds of a step and of its parts, once each."""
        found = dict.fromkeys(PARTS, 0.0)
        for part, action, wanted in self.seen:
            output = action()
            output = output[0] if isinstance(output, tuple) else output
            upstream = torch.ones_like(output)

            def both(action: Any = action, wanted: Any = wanted, upstream: Any = upstream) -> None:
                output = action()
                output = output[0] if isinstance(output, tuple) else output
                torch.autograd.grad(output, wanted, upstream, allow_unused=True)

            found[part] += spent(both)
        found["layer"] = found.pop("mixer") - found["operator"]
        found["data"] = spent(lambda: next(self.stream))
        found["step"] = spent(lambda: self._step(self.batch)) + found["data"]

        def update() -> None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()

        found["optimizer"] = spent(update)
        single = type(self.batch)(*(each[:1] for each in self.batch))
        found["floor"] = spent(lambda: self._step(single))
        return found


def spent(action: Callable[[], object]) -> float:
    """Milliseconds of the processor."""
    before = time.process_time()
    action()
    return 1e3 * (time.process_time() - before)


if __name__ == "__main__":
    main()
