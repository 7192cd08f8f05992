"""MemNet restated step by step from its description, with tensors and loops alone.

Nothing of the library is used but the parameters, which are looked up by name. Batch B, slots N,
slot size D, addresses H, top K, width E = D.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


class Restated(NamedTuple):
    """What the model gives, and what it keeps."""

    logits: Tensor  # [B, T, vocabulary]
    losses: dict[str, Tensor]
    slots: Tensor  # [B, N, D]
    edges: Tensor  # [B, N, N]
    active: Tensor  # [B, N]
    age: Tensor  # [B, N]
    vector: Tensor  # [B, D]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def attend(x: Tensor, heads: int, mixed: Tensor, bias: Tensor) -> Tensor:
    """Self-attention over x [B, L, E], one head after the other, without the last projection."""
    size = x.shape[-1]
    query, key, value = (x @ mixed.T + bias).split(size, dim=-1)
    width = size // heads
    found: list[Tensor] = []
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        scores = query[..., cut] @ key[..., cut].transpose(1, 2) / math.sqrt(width)
        found.append(torch.softmax(scores, -1) @ value[..., cut])
    return torch.cat(found, -1)


def controller(p: Parameters, x: Tensor) -> Tensor:
    """Four post-norm layers without a mask; the last place is the state."""
    for layer in range(4):
        own = f"encoder.layers.{layer}."
        seen = attend(x, 8, p[own + "self_attn.in_proj_weight"], p[own + "self_attn.in_proj_bias"])
        seen = seen @ p[own + "self_attn.out_proj.weight"].T + p[own + "self_attn.out_proj.bias"]
        x = layer_norm(x + seen, p[own + "norm1.weight"], p[own + "norm1.bias"])
        hidden = gelu(x @ p[own + "linear1.weight"].T + p[own + "linear1.bias"])
        thought = hidden @ p[own + "linear2.weight"].T + p[own + "linear2.bias"]
        x = layer_norm(x + thought, p[own + "norm2.weight"], p[own + "norm2.bias"])
    return x[:, -1]


def synthesizer(p: Parameters, slots: Tensor) -> Tensor:
    """Two pre-norm layers over the slots, relu inside."""
    x = slots
    for layer in range(2):
        q = {
            name.removeprefix(f"memory.constants.dream_{layer}_"): tensor[0]
            for name, tensor in p.items()
            if name.startswith(f"memory.constants.dream_{layer}_")
        }
        seen = layer_norm(x, q["attend_scale"], q["attend_shift"])
        seen = attend(seen, 4, q["attend_weight"], q["attend_bias"])
        x = x + seen @ q["merge_weight"].T + q["merge_bias"]
        hidden = layer_norm(x, q["think_scale"], q["think_shift"])
        hidden = torch.relu(hidden @ q["inner_weight"].T + q["inner_bias"])
        x = x + hidden @ q["outer_weight"].T + q["outer_bias"]
    return x


def unit(x: Tensor) -> Tensor:
    return x / (x * x).sum(-1, keepdim=True).sqrt()


def sharpness(raw: Tensor) -> Tensor:
    return torch.log1p(raw.exp()).clamp(1, 20)


def top_softmax(likeness: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Softmax over the k largest of [B, H, N], and which they are."""
    weight, chosen = torch.zeros_like(likeness), torch.zeros_like(likeness)
    for b in range(likeness.shape[0]):
        for h in range(likeness.shape[1]):
            best = likeness[b, h].argsort(descending=True)[:k]
            shares = (likeness[b, h, best] - likeness[b, h, best].max()).exp()
            weight[b, h, best] = shares / shares.sum()
            chosen[b, h, best] = 1
    return weight, chosen


def restated(p: Parameters, tokens: Tensor, answers: Tensor) -> Restated:
    """MemNet over tokens [B, T]; `answers` are the targets, -100 where nothing is asked."""
    p = {name.removeprefix("blocks.0.memory.built."): tensor for name, tensor in p.items()}
    batch, time = tokens.shape
    slots = p["memory.initial.slots"].expand(batch, -1, -1)
    count, size = slots.shape[1:]
    addresses = p["memory.gates.erase.linear.weight"].shape[0]
    edges = slots.new_zeros(batch, count, count)
    before, age = slots.new_zeros(batch, count), slots.new_zeros(batch, count)
    vector = slots.new_zeros(batch, size)
    embedded = p["embedding.weight"][tokens]
    constants = {
        n.removeprefix("memory.constants."): x[0] for n, x in p.items() if "constants" in n
    }
    logits: list[Tensor] = []
    rebuilt: list[Tensor] = []
    reads: list[Tensor] = []
    writes: list[Tensor] = []
    for t in range(time):
        # controller
        memory_token = vector @ p["remember.weight"].T + p["remember.bias"]
        seen = embedded[:, : t + 1] + p["position"][: t + 1]
        c = controller(p, torch.cat((seen, memory_token[:, None]), 1))
        made = c @ p["memory.project.weight"].T + p["memory.project.bias"]
        query, key, value = made.view(batch, 3, addresses, size).unbind(1)
        erase, add = (
            torch.sigmoid(
                c @ p[f"memory.gates.{name}.linear.weight"].T
                + p[f"memory.gates.{name}.linear.bias"]
            )
            for name in ("erase", "write")
        )
        logits.append(torch.cat((c, vector), -1) @ p["head.weight"].T + p["head.bias"])

        # read
        beta = sharpness(p["memory.gates.read_sharpness.raw"][0])
        cosine = torch.einsum("bhd,bnd->bhn", unit(query), unit(slots))
        weight, chosen = top_softmax(beta[:, None] * cosine, 16)
        weight = weight + 0.2 * torch.einsum("bhn,bnm->bhm", weight, edges)
        weight = weight / weight.sum(-1, keepdim=True)
        policy = torch.softmax(query @ constants["policy_weight"].T + constants["policy_bias"], -1)
        noise = torch.softmax(5 * torch.randn(batch, addresses, count, dtype=slots.dtype), -1)
        weight = policy[..., :1] * weight + policy[..., 1:2] / count + policy[..., 2:] * noise
        read = torch.einsum("bhn,bnd->bhd", weight, slots).reshape(batch, addresses * size)
        read = read @ p["memory.out.weight"].T + p["memory.out.bias"]
        vector = vector + layer_norm(read, p["norm.weight"], p["norm.bias"])
        age = age * (1 - chosen.amax(1))
        active = weight.mean(1).detach()
        edges = (0.995 * edges + 0.05 * before[:, :, None] * active[:, None, :]).clamp_max(1.0)
        before = active

        # write
        age = age + 1
        inner = gelu(value @ constants["bottleneck_in"].T + constants["bottleneck_in_bias"])
        new = inner @ constants["bottleneck_out"].T + constants["bottleneck_out_bias"]
        beta = sharpness(p["memory.gates.write_sharpness.raw"][0])
        cosine = torch.einsum("bhd,bnd->bhn", unit(key), unit(slots))
        where, _ = top_softmax(beta[:, None] * cosine + (age / age.max())[:, None, :], 16)
        written = torch.zeros_like(slots)
        for h in range(addresses):
            share = where[:, h, :, None]
            kept = slots * (1 - share * erase[:, h, None, None])
            written = written + kept + share * add[:, h, None, None] * new[:, h, None, :]
        slots = unit(written / addresses)
        slots = torch.sigmoid(p["memory.gates.keep.raw"][0])[:, None] * slots

        # dream
        if t > 0 and t % 4 == 0:
            slots = unit(slots + 0.1 * synthesizer(p, slots))

        rebuilt.append(vector @ p["imagine.weight"].T + p["imagine.bias"])
        reads.append(weight)
        writes.append(where)

    answer = torch.stack(logits, 1)
    asked = answers != -100
    chances = torch.log_softmax(answer[asked], -1)
    losses = {"task": -chances.gather(-1, answers[asked][:, None]).mean()}
    missed = torch.stack(rebuilt, 1) - embedded.detach()
    losses["hallucination"] = 0.1 * (missed**2).mean()
    losses["sparsity"] = losses["utilisation"] = slots.new_zeros(())
    for weight in (torch.stack(reads, 1).detach(), torch.stack(writes, 1).detach()):
        losses["sparsity"] = losses["sparsity"] - 0.02 * (weight * (weight + 1e-6).log()).mean()
        mean = weight.mean((0, 1))
        losses["utilisation"] = losses["utilisation"] + 0.01 * (mean * (mean + 1e-8).log()).sum()
    return Restated(answer, losses, slots, edges, before, age, vector)
