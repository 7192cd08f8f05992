"""What `miras bench` compares: a known memory each, with those who compute the same elsewhere."""

from typing import Any, NamedTuple

from miras.benchmarks import peers
from miras.benchmarks.inputs import Inputs, Sizes, cell, inputs, layer, ours
from miras.benchmarks.measure import Entrant
from miras.benchmarks.peers import Peer, SkippedError
from miras.composition import Composition
from miras.known import expand, known, named
from miras.memory import Memory
from miras.part import SpecError


class Case(NamedTuple):
    """A memory and its peers."""

    name: str
    entry: Any  # a known memory, or one with changes, as everywhere in YAML
    against: tuple[Peer, ...] = ()
    about: str = ""
    cell: bool = False  # the linear map of the input belongs to the work
    layer: bool = False  # measure the memory in a layer too
    shared_steps: int = 1  # tokens that have one step: so others mean the same by it

    def memory(self) -> Memory:
        """The four choices."""
        return Memory.model_validate(expand(self.entry))

    def inputs(self, sizes: Sizes, device: str) -> Inputs:
        """Random ones, the same for the same sizes."""
        return inputs(self.memory(), sizes, device, self.shared_steps)

    def ours(self, given: Inputs, plan: str) -> Entrant:
        """Our own program."""
        return cell(given, plan) if self.cell else ours(given, plan)

    def others(self, given: Inputs) -> tuple[list[Entrant], dict[str, str]]:
        """Those to compare with, and why others are left out."""
        found, skipped = [layer(given)] if self.layer else [], dict[str, str]()
        for peer in self.against:
            try:
                found.append(peer(given))
            except SkippedError as reason:
                skipped[peer.__name__] = str(reason)
        return found, skipped


HUBER = {"bias": {"kind": "huber"}}

CHUNKED = {"optimizer": {"chunk": 64}, "architecture": {"activation": "gelu"}}

CASES = (
    Case(
        "gated-deltanet",
        "gated-deltanet",
        (peers.gated_delta_transformers, peers.gated_delta_fla),
        "gated delta rule",
    ),
    Case("kda", "kda", (peers.kda_fla,), "delta rule with a decay for every key channel"),
    Case("deltanet", "deltanet", (peers.deltanet_fla,), "delta rule"),
    Case(
        "gated-deltanet-huber",
        {"use": "gated-deltanet"} | HUBER,
        about="gated delta rule with Huber's error, exactly",
    ),
    Case(
        "scalar-decay",
        "mamba-2",
        (peers.scalar_decay_fla, peers.scalar_decay_ssd),
        "linear attention with a scalar decay",
    ),
    Case(
        "linear-attention",
        "linear-attention",
        (peers.linear_attention_fla,),
        "linear attention with a normaliser",
    ),
    Case(
        "titans-mlp",
        {"use": "titans-lmm"} | CHUNKED,
        (peers.titans, peers.titans_one_anchor),
        "Titans memory: MLP of depth 2, chunks of 64, momentum, decay",
        layer=True,
    ),
    Case(
        "ttt-linear",
        "ttt-linear",
        (peers.ttt_linear_fla, peers.ttt_linear_published),
        "TTT-Linear, mini-batches of 16",
        shared_steps=16,
    ),
    Case(
        "ttt-mlp",
        "ttt-mlp",
        (peers.ttt_mlp_published,),
        "TTT-MLP, mini-batches of 16",
        shared_steps=16,
    ),
    Case("scan", "mingru", (peers.scan_mambapy,), "elementwise scan of minGRU"),
    Case(
        "selective-scan",
        "mamba-1",
        (peers.selective_scan_mambapy,),
        "selective scan of Mamba, 16 numbers per channel",
    ),
    Case("lstm", "lstm", (peers.cell_torch,), "LSTM, one head as wide as all", cell=True),
    Case("gru", "gru", (peers.cell_torch,), "GRU, one head as wide as all", cell=True),
    Case("attention", "softmax-attention", (peers.attention_torch,), "softmax attention"),
)


def chosen(names: list[str], every: bool = False) -> list[Case]:
    """Cases by name; another known memory is a case without peers. Raises SpecError."""
    own = {case.name: case for case in CASES}
    if every:
        names = [*own, *(name for name, memory in known().items() if isinstance(memory, Memory))]
        names = list(dict.fromkeys(names))
    found: list[Case] = []
    for name in names or own:
        if name not in own and name not in known():
            cases = ", ".join(own)
            raise SpecError(f"there is no case {name!r}: use one of {cases}, or a known memory")
        if name not in own and isinstance(named(name), Composition):
            raise SpecError(f"{name} is a composition: `miras bench --decode` measures those")
        found.append(own.get(name) or Case(name, name))
    return found
