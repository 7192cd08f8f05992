"""Published algorithms that no installable package offers on a CPU, written anew from their papers.

They are peers in the benchmark, not plans: plain PyTorch with autograd, as a reader of the paper
would write it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def minimal_ssd(
    value: Tensor, log_decay: Tensor, key: Tensor, query: Tensor, block: int = 64
) -> Tensor:
    """State-space duality by blocks of tokens: S_t = a_t S_{t-1} + v_t k_t^T, y_t = S_t q_t.

    Four products: inside a block, from a block to its last state, between blocks, and from the
    state before a block to its outputs. `value [batch, time, heads, value]`, `key` and `query`
    `[batch, time, heads, key]`, `log_decay [batch, time, heads]`, time a multiple of `block`.

    Source: Mamba-2 (arXiv 2405.21060), section 6 and listing 1.
    """
    shape = value.shape
    value, key, query = (_blocked(x, block) for x in (value, key, query))
    log_decay = _blocked(log_decay, block).permute(0, 3, 1, 2)  # [b, h, blocks, block]
    summed = torch.cumsum(log_decay, -1)

    inside = _between(log_decay).exp()
    scores = torch.einsum("bcthk,bcshk->bhcts", query, key)
    outputs = torch.einsum("bhcts,bcshv->bcthv", scores * inside, value)

    to_end = (summed[..., -1:] - summed).exp()
    states = torch.einsum("bcshk,bhcs,bcshv->bchvk", key, to_end, value)

    # The state before the first block is zero: it stands before the others as one block more.
    blocks = F.pad(summed[..., -1], (1, 0))
    states = torch.cat((torch.zeros_like(states[:, :1]), states), dim=1)
    states = torch.einsum("bhzc,bchvk->bzhvk", _between(blocks).exp(), states)[:, :-1]

    read = torch.einsum("bcthk,bchvk,bhct->bcthv", query, states, summed.exp())
    return (outputs + read).reshape(shape)


def _blocked(x: Tensor, block: int) -> Tensor:
    return x.reshape(x.shape[0], -1, block, *x.shape[2:])


def _between(log_decay: Tensor) -> Tensor:
    """Sums of log decays after token s up to token t, minus infinity where s is later than t."""
    size = log_decay.shape[-1]
    rows = log_decay[..., None].expand(*log_decay.shape, size)
    ones = torch.ones(size, size, dtype=torch.bool, device=log_decay.device)
    sums = rows.masked_fill(~ones.tril(-1), 0).cumsum(-2)
    return sums.masked_fill(~ones.tril(), -torch.inf)


def ttt_linear(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: Tensor,
    gain: Tensor,
    shift: Tensor,
    weights: dict[str, Tensor],
    block: int,
) -> Tensor:
    """TTT-Linear in its dual form, mini-batch after mini-batch; the layout is that of `miras.run`.

    `step [batch, time, heads]` is that of each token's gradient.

    Source: TTT (arXiv 2407.04620), section 2.5 and appendix A.
    """
    matrix = _own(weights["layer_0"], query).transpose(-1, -2)
    offset = _own(weights["offset"], query)[..., None, :]
    gain, shift = gain[None, :, None], shift[None, :, None]
    outputs: list[Tensor] = []
    for q, k, v, eta in _blocks(query, key, value, step, block):
        error = _pulled(k @ matrix + offset, v - k, gain, shift)
        eta = eta[..., None, :].expand(*eta.shape, eta.shape[-1])
        read = q @ matrix - (eta * (q @ k.mT)).tril() @ error
        read = read + offset - eta.tril() @ error
        last = eta[..., -1, :, None]
        matrix = matrix - (last * k).mT @ error
        offset = offset - (last * error).sum(-2, keepdim=True)
        outputs.append(q + _norm(read, gain, shift))
    return torch.cat(outputs, dim=2).transpose(1, 2)


def ttt_mlp(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: Tensor,
    gain: Tensor,
    shift: Tensor,
    weights: dict[str, Tensor],
    block: int,
) -> Tensor:
    """TTT-MLP in its dual form: as `ttt_linear` with W_2 gelu(W_1 k) + b in place of W k + b.

    Source: TTT (arXiv 2407.04620), section 2.5 and appendix A.
    """
    first = _own(weights["layer_0"], query).transpose(-1, -2)
    second = _own(weights["layer_1"], query).transpose(-1, -2)
    offset = _own(weights["offset"], query)[..., None, :]
    gain, shift = gain[None, :, None], shift[None, :, None]
    outputs: list[Tensor] = []
    for q, k, v, eta in _blocks(query, key, value, step, block):
        inner = k @ first
        hidden = F.gelu(inner)
        error = _pulled(hidden @ second + offset, v - k, gain, shift)
        inner_error = error @ second.mT * _gelu_slope(inner)
        eta = eta[..., None, :].expand(*eta.shape, eta.shape[-1])
        asked = F.gelu(q @ first - (eta * (q @ k.mT)).tril() @ inner_error)
        read = asked @ second - (eta * (asked @ hidden.mT)).tril() @ error
        read = read + offset - eta.tril() @ error
        last = eta[..., -1, :, None]
        first = first - (last * k).mT @ inner_error
        second = second - (last * hidden).mT @ error
        offset = offset - (last * error).sum(-2, keepdim=True)
        outputs.append(q + _norm(read, gain, shift))
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _own(weight: Tensor, like: Tensor) -> Tensor:
    """Initial weights of the heads, for every sequence."""
    return weight.expand(like.shape[0], *weight.shape)


def _blocks(
    query: Tensor, key: Tensor, value: Tensor, step: Tensor, block: int
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The mini-batches, heads before tokens."""
    every = (torch.split(x.transpose(1, 2), block, 2) for x in (query, key, value, step))
    queries, keys, values, steps = every
    return list(zip(queries, keys, values, steps, strict=True))


def _norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return gain * centred * (centred.square().mean(-1, keepdim=True) + 1e-6).rsqrt() + shift


def _pulled(x: Tensor, target: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Gradient by x of half the squared error of a layer norm of x."""
    centred = x - x.mean(-1, keepdim=True)
    inverse = (centred.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    normal = centred * inverse
    error = gain * (gain * normal + shift - target)
    mean = error.mean(-1, keepdim=True)
    return (error - mean - normal * (error * normal).mean(-1, keepdim=True)) * inverse


def _gelu_slope(x: Tensor) -> Tensor:
    below = 0.5 * (1 + torch.erf(x * 0.5**0.5))
    return below + x * torch.exp(-0.5 * x.square()) * (2 * torch.pi) ** -0.5
