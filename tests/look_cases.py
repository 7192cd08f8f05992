"""Small models to look into."""

from typing import Any

import torch
from torch import Tensor

from miras.known import expand
from miras.look import rows
from miras.model import Model, ModelSpec
from miras.tasks import Task
from miras.tasks.mqar import MQAR

MEMNET = {
    "use": "memnet-one-token", "layers": 1, "heads": 1, "feedforward": 8, "positions": 0,
    "project": True,
    "of": {
        "architecture": {"size": 6, "addresses": 2, "top": 2, "bottleneck": 4},
        "wiring": {"heads": 1, "key_dim": 8, "value_dim": 8},
    },
}  # fmt: skip


def model(memory: Any, vocabulary: int = 12, layers: int = 1) -> Model:
    """A model of one head of width 8 per layer, with seed 0."""
    torch.manual_seed(0)
    pattern = (expand(memory),)
    spec = ModelSpec.model_validate(
        {"dim": 8, "layers": layers, "heads": 1, "conv": 2, "pattern": pattern}
    )
    return Model(spec, vocabulary)


def text(time: int, vocabulary: int = 12) -> Tensor:
    return torch.randint(vocabulary, (time,), generator=torch.Generator().manual_seed(1))


def looking(memory: Any, time: int = 12, task: Task | None = None) -> rows.Looking:
    """Two sequences of random tokens, of which the last is asked."""
    task = task or MQAR()
    tokens = torch.stack((text(time), text(time).flip(0)))
    targets = torch.full_like(tokens, -100)
    targets[:, -1] = 1
    whole = model(memory, task.vocabulary)
    return rows.Looking(whole, task, tokens, targets, layer=0, head=0, trained=False, seed=0)
