"""One step of training: loss, gradients, AdamW, and the learning rate of the step."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miras.info import collecting
from miras.model import Model
from miras.tasks import IGNORE, Batch


def adamw(model: Model, weight_decay: float = 0.1) -> torch.optim.AdamW:
    """AdamW (0.9, 0.95) with weight decay on matrices; each step says its own rate."""
    # Gains, gate constants and initial weights of memories have scales of their own.
    decayed = {
        id(part.weight) for part in model.modules() if isinstance(part, nn.Linear | nn.Embedding)
    }
    matrices = [p for p in model.parameters() if id(p) in decayed]
    others = [p for p in model.parameters() if id(p) not in decayed]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


def rate_at(step: int, steps: int, warmup: float = 0.1) -> float:
    """The learning rate of a step, counted from 1, as a share of the largest.

    A share of the steps of warm-up, then a cosine to a tenth. A function of the step alone: a
    training that goes on needs to remember nothing of it.
    """
    warm = max(1, round(warmup * steps))
    if step <= warm:
        return step / warm
    done = (step - 1 - warm) / max(1, steps - warm)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))


def update(
    model: Model,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    learning_rate: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Take one step and return the loss before it. Gradients are clipped at norm 1."""
    loss, whole = losses(model, batch.tokens.to(device), batch.targets.to(device))
    optimizer.zero_grad(set_to_none=True)
    whole.backward()
    move(model, optimizer, learning_rate)
    return loss.detach()


def losses(model: Model, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nats per scored position, and the same with the auxiliary losses of the memories."""
    scored = targets != IGNORE
    with collecting() as info:
        logits, _ = model(tokens, scored=scored)
    loss = F.cross_entropy(logits.float(), targets[scored])
    return loss, loss + info.loss()


def move(
    model: Model, optimizer: torch.optim.Optimizer, learning_rate: float, clip: float = 1.0
) -> Tensor:
    """Go one step along the gradients, clipped; returns their norm."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return norm
