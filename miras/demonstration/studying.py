"""A model on a task: trained and judged, then looked at."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.demonstration.playing import Played
from miras.demonstration.spec import Training
from miras.info import Info, collecting
from miras.model import Model, ModelSpec
from miras.part import SpecError
from miras.streams import Scores
from miras.tasks import IGNORE, Batch, Task
from miras.train import train

ADDRESS = "address/"
"""Names under which memories note how strongly they address each slot `[..., slots]`."""


def study(spec: ModelSpec, task: Task, training: Training, seed: int) -> Played:
    """What `miras.train` says of a model, and what is seen on one batch of the task.

    Scores: those of the task; `validation/step=n` on the way; and what `look` finds.
    """
    scores: Scores = {}
    if training.steps:
        result, model = train(
            spec,
            task,
            learning_rate=training.learning_rate,
            seed=seed,
            steps=training.steps,
            evaluations=training.evaluations,
        )
        if result.status != "ok":
            raise SpecError(f"{result.status}: {result.reason}; take a smaller learning_rate")
        scores |= result.metrics
        scores |= {f"validation/step={point.step}": point.score for point in result.curve}
    else:
        torch.manual_seed(seed)
        model = Model(spec, task.vocabulary)
    batch = next(task.train_stream(seed, training.steps))
    scores |= look(model, batch, seed)
    return Played(scores, model.state_floats(batch.tokens.shape[1]), model.parameters_count())


def look(model: Model, batch: Batch, seed: int = 0) -> Scores:
    """What a model does on one batch, whatever it is made of.

    `parameters`; for the loss of the task and every auxiliary loss that the model notes, `loss/...`
    and `gradient/...`, the length of its gradient by all parameters, 0 where there is none;
    `repeated`, the largest difference of logits between two evaluations of the same tokens; for
    addresses that are noted, `use/...`, the entropy of their mean over tokens and sequences, 1 if
    all slots are used evenly.
    """
    with torch.no_grad():
        model.eval()
        torch.manual_seed(seed)
        with collecting() as info:
            first, _ = model(batch.tokens)
        second, _ = model(batch.tokens)
        model.train()
    scores: Scores = {"parameters": float(model.parameters_count())}
    scores["repeated"] = float((first - second).abs().max())
    return scores | use(info) | _losses(model, batch)


def use(info: Info) -> Scores:
    """How evenly slots are used, by the names of addresses."""
    scores: Scores = {}
    for name, found in info.noted.items():
        if name.startswith(ADDRESS):
            even = torch.stack(found).flatten(0, -3).mean(0)  # [addresses, slots]
            even = even / even.sum(-1, keepdim=True)
            entropy = float(-torch.where(even > 0, even * even.log(), 0.0).sum(-1).mean())
            scores["use/" + name.removeprefix(ADDRESS)] = entropy / math.log(even.shape[-1])
    return scores


def _losses(model: Model, batch: Batch) -> Scores:
    scored = batch.targets != IGNORE
    with collecting() as info:
        logits, _ = model(batch.tokens, scored=scored)
    losses = {"task": F.cross_entropy(logits, batch.targets[scored])} | info.losses()
    scores: Scores = {}
    for name, loss in losses.items():
        scores[f"loss/{name}"] = float(loss.detach())
        scores[f"gradient/{name}"] = _length(model, loss)
    return scores


def _length(model: Model, loss: Tensor) -> float:
    """The length of the gradient of a loss by all parameters; 0 where it has none."""
    if not loss.requires_grad:
        return 0.0
    model.zero_grad()
    loss.backward(retain_graph=True)
    slopes = [each.grad for each in model.parameters() if each.grad is not None]
    return float(torch.stack([slope.square().sum() for slope in slopes]).sum().sqrt())
