"""What a person would run instead: adaptors to other packages, on the inputs of our own memory.

A package is imported when its peer is built; one that is missing is named as skipped. Where a peer
has no key map, ours is applied before it, inside what is timed. Decays go in as logarithms, which
is what the others take.
"""

import warnings
from collections.abc import Callable
from importlib import import_module
from inspect import unwrap
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.benchmarks import published
from miras.benchmarks.inputs import CellWeights, Inputs
from miras.benchmarks.measure import Entrant


class SkippedError(Exception):
    """A peer that cannot run here, with the reason."""


Peer = Callable[[Inputs], Entrant]


def gated_delta_transformers(given: Inputs) -> Entrant:
    """Chunked gated delta rule of Qwen3-Next in `transformers`."""
    home = "transformers.models.qwen3_next.modeling_qwen3_next"
    # `transformers` puts fla's Triton kernel in its place where fla is installed, on a CPU too.
    rule = unwrap(_imported(home, "torch_chunk_gated_delta_rule"))
    log_decay, leaves = _logarithm(given, "decay")

    def forward() -> Tensor:
        query, key = given.mapped()
        return rule(query, key, given.value, log_decay, given.gates["step"], chunk_size=64)[0]

    return _peer("transformers, torch path", forward, leaves, given.key.shape[-1] ** 0.5)


def gated_delta_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla."""
    rule = _imported("fla.ops.gated_delta_rule.naive", "naive_chunk_gated_delta_rule")
    log_decay, leaves = _logarithm(given, "decay")

    def forward() -> Tensor:
        query, key = given.mapped()
        return rule(query, key, given.value, log_decay, given.gates["step"], 64, 1.0)[0]

    return _peer("fla, naive chunk", forward, leaves)


def kda_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla."""
    rule = _imported("fla.ops.kda.naive", "naive_chunk_kda")
    _whole(given, 64)
    log_decay, leaves = _logarithm(given, "decay_key")

    def forward() -> Tensor:
        query, key = given.mapped()
        return rule(query, key, given.value, log_decay, given.gates["step"], 1.0)[0]

    return _peer("fla, naive chunk", forward, leaves)


def deltanet_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla."""
    rule = _imported("fla.ops.delta_rule.naive", "delta_rule_chunkwise")
    _whole(given, 32)

    def forward() -> Tensor:
        tensors = (*given.mapped(), given.value, given.gates["step"])
        return rule(*(tensor.transpose(1, 2) for tensor in tensors), 32)[0].transpose(1, 2)

    return _peer("fla, naive chunk", forward, given.leaves, given.key.shape[-1] ** 0.5)


def scalar_decay_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla's simple GLA."""
    rule = _imported("fla.ops.simple_gla.naive", "naive_chunk_simple_gla")
    log_decay, leaves = _logarithm(given, "decay")

    def forward() -> Tensor:
        query, key = given.mapped()
        value = given.value * given.gates["step"][..., None]
        return rule(query, key, value, log_decay, scale=1.0)[0]

    return _peer("fla, naive chunk", forward, leaves)


def scalar_decay_ssd(given: Inputs) -> Entrant:
    """Listing 1 of the Mamba-2 paper, written anew."""
    _whole(given, 64)
    log_decay, leaves = _logarithm(given, "decay")

    def forward() -> Tensor:
        query, key = given.mapped()
        value = given.value * given.gates["step"][..., None]
        return published.minimal_ssd(value, log_decay, key, query)

    return _peer("minimal SSD", forward, leaves, note="written anew from listing 1 of Mamba-2")


def linear_attention_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla."""
    rule = _imported("fla.ops.linear_attn.naive", "naive_chunk_linear_attn")
    _whole(given, 64)

    def forward() -> Tensor:
        return rule(*given.mapped(), given.value, 1.0, True)

    return _peer("fla, naive chunk", forward, given.leaves)


def titans(given: Inputs, anchored: bool = True) -> Entrant:
    """`titans-pytorch`: NeuralMemory with a memory MLP of depth 2, chunks of 64."""
    memory = _imported("titans_pytorch.neural_memory", "NeuralMemory")
    sizes, chunk = given.sizes, given.memory.stepping.chunk if given.memory.stepping else 64
    torch.manual_seed(0)
    module = memory(
        sizes.width,
        chunk_size=chunk,
        batch_size=chunk if anchored else None,
        dim_head=sizes.size,
        heads=sizes.heads,
        momentum=True,
        default_model_kwargs={"depth": 2, "expansion_factor": 4.0},
    ).to(given.device)
    x = torch.randn(sizes.batch, sizes.time, sizes.width, device=given.device, requires_grad=True)
    note = "with projections, norms and gates; one decay and momentum per chunk; no reads inside it"
    if not anchored:
        note += "; all gradients at the initial weights (its default)"
    name = "titans-pytorch" + ("" if anchored else ", one anchor")
    leaves = [x, *module.parameters()]
    return Entrant(name, "peer", lambda: module(x)[0], leaves, None, note)


def titans_one_anchor(given: Inputs) -> Entrant:
    """The same as it comes: no `batch_size`."""
    return titans(given, anchored=False)


def ttt_linear_fla(given: Inputs) -> Entrant:
    """Naive chunk of fla's TTT-Linear."""
    rule = _imported("fla.ops.ttt.naive", "chunk_ttt_linear_ref")
    gates, first = given.gates, given.weights
    batch = given.query.shape[0]

    def forward() -> Tensor:
        query, key = given.mapped()
        return rule(
            query.clone(),  # it writes into its query
            key,
            given.value,
            gates["norm_gain"],
            gates["norm_shift"],
            gates["step"][..., None] / given.key.shape[-1],
            scale=1.0,
            mini_batch_size=_chunk(given),
            initial_state=first["layer_0"].mT.expand(batch, *first["layer_0"].shape),
            initial_state_bias=first["offset"][:, None].expand(batch, -1, 1, -1),
        )[0]

    note = "adds its read, not the query, to what it answers"
    return _peer("fla, naive chunk", forward, given.leaves, None, note)


def ttt_linear_published(given: Inputs) -> Entrant:
    """Dual form of the paper, written anew."""
    return _dual(given, published.ttt_linear)


def ttt_mlp_published(given: Inputs) -> Entrant:
    """Dual form of the paper, written anew."""
    return _dual(given, published.ttt_mlp)


def scan_mambapy(given: Inputs) -> Entrant:
    """Blelloch scan of `mambapy` with a backward of its own."""
    scan = _imported("mambapy.pscan", "pscan")
    decay, value = given.gates["decay_value"], given.value

    def forward() -> Tensor:
        return scan(decay, (1 - decay) * value)

    return _peer("mambapy, pscan", forward, [decay, value])


def selective_scan_mambapy(given: Inputs) -> Entrant:
    """Selective scan as the Mamba block of `mambapy` does it around its scan."""
    scan = _imported("mambapy.pscan", "pscan")
    decay, step = given.gates["decay_key"], given.gates["step"]

    def forward() -> Tensor:
        states = scan(decay, (step * given.value[..., 0])[..., None] * given.key)
        return (states * given.query).sum(-1)

    return _peer("mambapy, pscan", forward, given.leaves)


def cell_torch(given: Inputs) -> Entrant:
    """`torch.nn.LSTM` or `torch.nn.GRU`, on the weights of our own."""
    cells = CellWeights.of(given)
    width = cells.x.shape[-1]
    module: Any = (torch.nn.LSTM if cells.shift is None else torch.nn.GRU)(
        width, width, batch_first=True
    ).to(given.device)
    with torch.no_grad():
        module.weight_ih_l0.copy_(cells.inside)
        module.weight_hh_l0.copy_(cells.between)
        module.bias_ih_l0.copy_(cells.bias)
        module.bias_hh_l0.zero_()
        if cells.shift is not None:
            module.bias_hh_l0[2 * width :] = cells.shift
    name = f"torch.nn.{type(module).__name__}"
    return _peer(name, lambda: module(cells.x)[0], [cells.x, *module.parameters()])


def attention_torch(given: Inputs) -> Entrant:
    """`scaled_dot_product_attention`."""

    def forward() -> Tensor:
        query, key, value = (x.transpose(1, 2) for x in (*given.mapped(), given.value))
        return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2)

    return _peer("torch, SDPA", forward, given.leaves)


def _dual(given: Inputs, form: Callable[..., Tensor]) -> Entrant:
    gates = given.gates
    norm = (gates["norm_gain"], gates["norm_shift"])

    def forward() -> Tensor:
        tensors = (*given.mapped(), given.value, gates["step"] / given.key.shape[-1])
        return form(*tensors, *norm, given.weights, _chunk(given))

    note = "the dual form of the paper, written anew: ttt-lm-pytorch is in no package registry"
    return _peer("published dual form", forward, given.leaves, note=note)


def _chunk(given: Inputs) -> int:
    return given.memory.stepping.chunk if given.memory.stepping else 1


def _peer(
    name: str,
    forward: Callable[[], Tensor],
    leaves: list[Tensor],
    factor: float | None = 1.0,
    note: str = "",
) -> Entrant:
    return Entrant(name, "peer", forward, leaves, factor, note)


def _imported(module: str, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fla says at length that there is no GPU
        try:
            return getattr(import_module(module), name)
        except Exception as error:  # a package may fail in any way while it looks for a GPU
            missing = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SkippedError(f"{module} cannot be imported ({missing})") from None


def _logarithm(given: Inputs, name: str) -> tuple[Tensor, list[Tensor]]:
    """The logarithm of a decay as a leaf, and all leaves with it in the decay's place."""
    log = given.gates[name].detach().log().requires_grad_()
    return log, [log if leaf is given.gates[name] else leaf for leaf in given.leaves]


def _whole(given: Inputs, chunk: int) -> None:
    if given.query.shape[1] % chunk:
        raise SkippedError(f"it takes multiples of {chunk} tokens only")
