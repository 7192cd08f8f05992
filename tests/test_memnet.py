"""MemNet: its published size, its published function, and what is corrected."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from restated_memnet import restated
from torch import Tensor

from miras.info import Info, collecting
from miras.known import named
from miras.layer import Layer
from miras.load import load
from miras.model import Model, ModelFile
from miras.part import SpecError

ROOT = Path(__file__).parent.parent
VOCABULARY, TIME = 20, 6
EXACT = {torch.float64: 1e-6, torch.float32: 1e-5}
LOSSES = {"task", "hallucination", "sparsity", "utilisation"}


def model(name: str = "memnet", dtype: torch.dtype = torch.float32, **changes: Any) -> Model:
    """The published model, with one of our memories in its place."""
    spec = load(ROOT / "spaces/models/memnet.yaml", ModelFile).model
    memory = named(name).model_copy(update=changes)
    torch.manual_seed(0)
    return Model(spec.model_copy(update={"pattern": (memory,)}), VOCABULARY).to(dtype)


def sequence(batch: int = 2, time: int = TIME) -> tuple[Tensor, Tensor]:
    """Tokens and answers; nothing is asked in the first half."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCABULARY, (batch, time), generator=generator)
    answers = torch.randint(VOCABULARY, (batch, time), generator=generator)
    answers[:, : time // 2] = -100
    return tokens, answers


def losses(found: Info, logits: Tensor, answers: Tensor) -> dict[str, Tensor]:
    return {"task": F.cross_entropy(logits.flatten(0, 1), answers.flatten())} | found.losses()


def test_published_number_of_parameters() -> None:
    found = model()
    assert found.parameters_count() == 1_727_735
    sizes = {name: parameter.numel() for name, parameter in found.named_parameters()}
    imagine = sum(size for name, size in sizes.items() if ".imagine." in name)
    bank = ("built.memory.constants", "built.memory.initial", "built.memory.out", "built.norm")
    inside = sum(size for name, size in sizes.items() if any(part in name for part in bank))
    inside += sizes["blocks.0.memory.built.memory.gates.keep.raw"]
    assert (imagine, inside) == (16_512, 429_891)
    assert sum(sizes.values()) - imagine - inside == 1_281_332


@pytest.mark.parametrize("dtype", EXACT, ids=str)
def test_equals_the_step_by_step_restatement(dtype: torch.dtype) -> None:
    """Outputs, state and losses, with the noise of both drawn from one seed."""
    found, (tokens, answers) = model(dtype=dtype).eval(), sequence()
    with torch.no_grad():
        torch.manual_seed(7)
        with collecting() as info:
            logits, (state,) = found(tokens)
        torch.manual_seed(7)
        wanted = restated(dict(found.named_parameters()), tokens, answers)
    memory: Any = state.memory
    weights = memory.cells[0].memory.weights
    pairs = {"logits": (logits, wanted.logits), "vector": (memory.own["vector"], wanted.vector)}
    for name in ("slots", "edges", "active", "age"):
        pairs[name] = (weights[name][:, 0], getattr(wanted, name))
    computed = losses(info, logits, answers)
    assert computed.keys() == wanted.losses.keys() == LOSSES
    pairs |= {name: (computed[name], wanted.losses[name]) for name in LOSSES}
    for name, (ours, theirs) in pairs.items():
        difference = (ours - theirs).abs().max().item()
        assert difference <= EXACT[dtype] * max(1.0, theirs.abs().max().item()), name
    assert weights["edges"].max() > 0 and weights["age"].max() > 1


def test_gradients_equal_those_of_the_restatement() -> None:
    found, (tokens, answers) = model(dtype=torch.float64).eval(), sequence(1)
    names, parameters = zip(*found.named_parameters(), strict=True)
    torch.manual_seed(7)
    with collecting() as info:
        logits, _ = found(tokens)
    ours = torch.autograd.grad(
        torch.stack([*losses(info, logits, answers).values()]).sum(), parameters
    )
    torch.manual_seed(7)
    wanted = restated(dict(zip(names, parameters, strict=True)), tokens, answers)
    theirs = torch.autograd.grad(torch.stack([*wanted.losses.values()]).sum(), parameters)
    for name, here, there in zip(names, ours, theirs, strict=True):
        scale = max(1e-3, there.abs().max().item())
        assert (here - there).abs().max().item() <= 1e-5 * scale, name


def slopes(name: str, time: int = TIME, **changes: Any) -> dict[str, float]:
    """Length of the gradient of each loss by all parameters; 0 where there is none."""
    found, (tokens, answers) = model(name, **changes), sequence(time=time)
    with collecting() as info:
        logits, _ = found(tokens)
    lengths: dict[str, float] = {}
    for loss, value in losses(info, logits, answers).items():
        lengths[loss] = 0.0
        if value.requires_grad:
            found.zero_grad()
            value.backward(retain_graph=True)
            squares = [p.grad.square().sum() for p in found.parameters() if p.grad is not None]
            lengths[loss] = float(torch.stack(squares).sum().sqrt())
    return lengths


def test_as_published_two_of_four_losses_train_nothing() -> None:
    found = slopes("memnet")
    assert {loss for loss, length in found.items() if length > 0} == {"task", "hallucination"}
    assert found.keys() == LOSSES


@pytest.mark.parametrize("name", ["memnet-corrected", "memnet-one-token"])
def test_corrected_all_four_losses_have_gradients(name: str) -> None:
    found = slopes(name)
    assert found.keys() == LOSSES
    assert all(length > 1e-6 for length in found.values()), found


def test_noise_in_evaluation_as_published_and_none_when_corrected() -> None:
    tokens, _ = sequence()
    with torch.no_grad():
        published, corrected = model().eval(), model("memnet-corrected").eval()
        assert (published(tokens)[0] - published(tokens)[0]).abs().max() > 1e-3
        torch.testing.assert_close(corrected(tokens)[0], corrected(tokens)[0], rtol=0, atol=0)
        corrected.train()
        for module in corrected.modules():
            if isinstance(module, torch.nn.Dropout | torch.nn.MultiheadAttention):
                module.eval()
        assert (corrected(tokens)[0] - corrected(tokens)[0]).abs().max() > 1e-3


def lengths_of_vector(name: str, time: int) -> Tensor:
    found, (tokens, _) = model(name).eval(), sequence(1, time)
    with torch.no_grad(), collecting() as info:
        found(tokens)
    return info["controller/vector"][0, 0].norm(dim=-1)


def test_the_read_vector_grows_as_published_and_stays_when_corrected() -> None:
    published, corrected = (lengths_of_vector(n, 16) for n in ("memnet", "memnet-corrected"))
    assert published[15] > 1.5 * published[7] > 1.5 * published[3]
    longest = 128**0.5 / (1 - 0.9)  # a read of unit variance has length sqrt(128)
    assert corrected.max() <= longest * 1.001


@pytest.mark.parametrize("name", ["memnet", "memnet-one-token"])
def test_pieces_of_a_sequence_give_the_whole(name: str) -> None:
    found, (tokens, _) = model(name, torch.float64).eval(), sequence()
    with torch.no_grad():
        torch.manual_seed(5)
        whole, last = found(tokens)
        torch.manual_seed(5)
        state, pieces = None, list[Tensor]()
        for cut in (slice(0, 3), slice(3, 4), slice(4, None)):
            logits, state = found(tokens[:, cut], state)
            pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-9, atol=1e-9)
    assert state is not None and state[0].floats() == last[0].floats()


def test_one_token_of_prefix_keeps_no_prefix() -> None:
    tokens, _ = sequence()
    floats = {
        name: [model(name).eval()(tokens[:, :time])[1][0].floats() for time in (2, 6)]
        for name in ("memnet-corrected", "memnet-one-token")
    }
    assert floats["memnet-corrected"][1] - floats["memnet-corrected"][0] == 4 * 128
    few = floats["memnet-one-token"]
    assert few[0] == few[1] == 2 * 128 * 128 + 3 * 128 + 128  # slots, edges, three rows, vector


def test_memory_is_the_only_way_with_one_token() -> None:
    """Without reads nothing of the past reaches an answer; with the whole prefix all of it does."""
    tokens, _ = sequence()
    other = tokens.clone()
    other[:, 0] = (other[:, 0] + 1) % VOCABULARY

    def moved(name: str, **changes: Any) -> float:
        found = model(name, **changes).eval()
        with torch.no_grad():
            return (found(tokens)[0][:, -1] - found(other)[0][:, -1]).abs().max().item()

    assert moved("memnet-one-token", vector="none") == 0
    assert moved("memnet-one-token") > 0
    assert moved("memnet-corrected", vector="none") > 0


def test_what_does_not_fit_is_said() -> None:
    memory = named("memnet")
    with pytest.raises(SpecError, match="dim 20 is not a multiple of heads 8"):
        Layer(memory, 20, 1)
    short = memory.model_copy(update={"positions": 3})
    with pytest.raises(SpecError, match="token 4 has no place in a table of 3 positions"):
        Layer(short, 16, 1)(torch.zeros(1, 4, 16))
    plain = memory.model_copy(update={"of": named("deltanet")})
    with pytest.raises(SpecError, match="notes no address/read"), collecting():
        Layer(plain, 16, 2)(torch.zeros(1, 2, 16))
    spec = load(ROOT / "spaces/models/memnet.yaml", ModelFile).model
    with pytest.raises(SpecError, match="use tie: false"):
        Model(spec.model_copy(update={"tie": True}), VOCABULARY)
    with pytest.raises(SpecError, match="use bare: true"):
        Model(spec.model_copy(update={"bare": False}), VOCABULARY)


def test_any_memory_can_be_driven_by_a_controller() -> None:
    memory = named("memnet").model_copy(
        update={
            "of": named("gated-deltanet"),
            "project": True,
            "sparsity": 0.0,
            "utilisation": 0.0,
            "prefix": 3,
        }
    )
    layer = Layer(memory, 16, 2).double().eval()
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    with torch.no_grad():
        whole, _ = layer(x)
        first, state = layer(x[:, :4])
        second, _ = layer(x[:, 4:], copy.copy(state))
    assert whole.shape == x.shape
    torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-9, atol=1e-9)
