"""What was watched as rows: one for each thing that a figure shows."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Int64
from torch import Tensor

from miras.layer import Layer
from miras.look import kept, lives, words
from miras.look.norms import grid, norms, stream
from miras.look.spectrum import spectrum
from miras.look.watching import Call, chosen, layers, length, size, slots, stored, watch
from miras.memory import Memory
from miras.model import Model
from miras.part import SpecError
from miras.result import Seen
from miras.tasks import Task

DIGITS = 4
"""Digits that count of every number that is written down."""

SLOTS = 64
"""Slots of a larger table that are shown."""

MATRICES = 8
"""Tokens, evenly spaced, whose transition is taken apart."""


class Looking:
    """A model that reads sequences of a task, and one head of one layer of it.

    `tokens` and `targets` are `[sequences, time]`; single tokens are shown of the first sequence,
    lives are counted in all.
    """

    def __init__(
        self,
        model: Model,
        task: Task,
        tokens: Int64[Tensor, "sequences time"],
        targets: Int64[Tensor, "sequences time"],
        *,
        layer: int,
        head: int,
        trained: bool,
        seed: int,
    ) -> None:
        self.model, self.task, self.index, self.head = model, task, layer, head
        self.layer: Layer
        self.layer, self.memory = chosen(model, layer)
        if head >= self.layer.heads:
            raise SpecError(f"--head {head}: the layer has {self.layer.heads}, counted from 0")
        self.sequences, self.targets, self.seed = tokens, targets, seed
        self.said: dict[str, Any] = {
            "name": self.memory.name or model.spec.pattern[0].name or "memory",
            "where": f"layer {layer + 1} of {len(layers(model))}, head {head + 1}",
            "trained": trained,
            "task": task.name,
            "seed": seed,
        }
        self._watched: dict[int, list[Call]] = {}

    def calls(self, sequence: int = 0) -> list[Call]:
        """One sequence as the layer saw it, watched once."""
        if sequence not in self._watched:
            found = watch(self.model, self.index, self.sequences[sequence])
            self._watched[sequence] = found
        return self._watched[sequence]

    def row(self, topic: str, **seen: Any) -> Seen:
        """What was seen, with what was looked at."""
        return Seen.model_validate({"topic": topic, **self.said, **seen})

    def read(self) -> dict[str, Any]:
        """The first sequence in words."""
        first = self.sequences[0]
        return {
            "tokens": words.words(self.task, first),
            "asked": words.asked(self.targets[0]),
            "told": words.told(self.task, first),
        }

    def of_head(self, found: Iterable[Tensor | None]) -> tuple[float | None, ...]:
        """One number of this head for each token, from tensors `[1, heads]`."""
        return numbers(None if each is None else float(each[0, self.head]) for each in found)


def writes(look: Looking) -> Seen:
    """How much each token changed the memory, and how much the memory had missed it."""
    memory, calls = look.memory, look.calls()
    series = {
        "change": look.of_head(length(memory, call.lengths("change")) for call in calls),
        "surprise": look.of_head(call.shown("surprise/residual") for call in calls),
        "gradient": look.of_head(length(memory, call.lengths("gradient")) for call in calls),
        "state": look.of_head(size(memory, call.state) for call in calls),
    }
    series = {name: each for name, each in series.items() if any(x is not None for x in each)}
    if not series.keys() & {"change", "surprise"}:
        raise SpecError(
            f"{look.said['name']} says of no token what it missed or what it changed: it has no"
            " write of its own to look at"
        )
    return look.row("writes", **look.read(), series=series)


def addresses(look: Looking) -> Seen:
    """Which slots, or stored pairs, each token reads, and how far it changes each slot."""
    calls = look.calls()
    asked = [call.shown("address/asked") for call in calls]
    reads = [each[0, look.head] for each in asked if each is not None]
    if len(reads) < len(calls):
        raise SpecError(
            f"{look.said['name']} has no slots and keeps no pairs: nothing in it has an address."
            " Look at a memory of slots (gsa, abc, memnet) or of pairs (softmax-attention)"
        )
    weights = [_plain(each) for each in reads]
    if look.memory.architecture.stores_pairs:
        columns = kept.by_token(weights, _held(look))
        return look.row(
            "addresses", **look.read(), tables={"reads": table(zip(*columns, strict=True))}
        )
    moved = [_moved(look.memory, call) for call in calls]
    changed = [_plain(each[0, look.head]) for each in moved if each is not None]
    # Of a large table, the slots that are read most.
    totals = torch.stack(reads).sum(0)
    shown = sorted(_plain(totals.argsort(descending=True, stable=True)[:SLOTS]))
    tables = {"reads": table([each[slot] for each in weights] for slot in shown)}
    if len(changed) == len(calls):
        tables["writes"] = table([each[slot] for each in changed] for slot in shown)
    counts = {"slots": float(len(totals))}
    series = {"slot": tuple(float(slot) for slot in shown)}
    return look.row("addresses", **look.read(), numbers=counts, series=series, tables=tables)


def _held(look: Looking) -> list[list[int | None]]:
    """The tokens whose pairs a head holds after each token."""
    # Keys, too, tell pairs apart, unless they decay where they lie.
    leaves = ("values",) if look.memory.retention.decays == "key" else ("keys", "values")
    found: list[list[int | None]] = []
    for token, call in enumerate(look.calls()):
        before, after = (
            torch.cat([stored(look.memory, state)[leaf][0, look.head] for leaf in leaves], dim=-1)
            for state in (call.last, call.state)
        )
        found.append(kept.followed(found[-1] if found else [], before, after, token))
    return found


def _moved(memory: Memory, call: Call) -> Tensor | None:
    """How far each slot was moved by a token `[1, heads, slots]`."""
    before, after = slots(memory, call.last), slots(memory, call.state)
    if before is None or after is None:
        return None
    return (after - before).square().sum(-1).sqrt()


def survival(look: Looking) -> Seen:
    """How long what was written to a slot stays there, over all sequences and heads."""
    found: list[lives.Life] = []
    for sequence in range(len(look.sequences)):
        contents = [slots(look.memory, call.state) for call in look.calls(sequence)]
        first = slots(look.memory, look.calls(sequence)[0].last)
        if first is None:
            raise SpecError(
                f"{look.said['name']} has no slots: what it stores has no place of its own that"
                " something else could be written to. Look at a memory of slots (gsa, abc, memnet)"
            )
        whole = [first, *(each for each in contents if each is not None)]
        for one in torch.cat(whole).transpose(0, 1):
            found += lives.lives(one)
    counts = {"sequences": float(len(look.sequences)), "lives": float(len(found))}
    where = look.said["where"].partition(",")[0] + ", all heads"
    return look.row("survival", numbers=counts, series=lives.counted(found), where=where)


def graph(look: Looking) -> Seen:
    """Edges between slots, and what lies in these, before and after the last dream."""
    calls = look.calls()
    dreams = [t for t, call in enumerate(calls) if "dream/after" in call.noted]
    edges = stored(look.memory, calls[-1].state).get("edges")
    if not dreams or edges is None:
        raise SpecError(
            f"{look.said['name']} has no edges between slots, or did not dream in"
            f" {len(calls)} tokens: look at memnet, memnet-corrected or memnet-one-token"
        )
    t = dreams[-1]
    edges = stored(look.memory, calls[t].state)["edges"]
    found = {"edges": edges}
    for moment in ("before", "after"):
        content = calls[t].shown(f"dream/{moment}")
        assert content is not None
        found[f"slots {moment}"] = content
    tables = {name: table(_plain(each[0, look.head])) for name, each in found.items()}
    return look.row("graph", numbers={"token": float(t)}, tables=tables)


def transition(look: Looking) -> Seen:
    """Eigenvalues of the step from one state to the next, at a few tokens."""
    time = len(look.sequences[0])
    at = sorted({1 + round(each * (time - 2) / (MATRICES - 1)) for each in range(MATRICES)})
    values = spectrum(look.layer, look.head, look.calls(), at)
    series = {
        name: numbers(float(getattr(value, name)) for value in values)
        for name in ("token", "real", "imaginary", "times")
    }
    rows = sum(value.times for value in values) / len(at)
    return look.row("spectrum", **look.read(), numbers={"size": rows}, series=series)


def long_norms(look: Looking, tokens: int, tick: Callable[[int], None]) -> Seen:
    """Length of what a head stores after 1 to so many tokens of the task, without a pause."""
    points = grid(tokens)
    text = stream(look.task, look.seed, tokens)
    lengths: list[float] = []
    for point, value in norms(look.model, look.index, look.head, text, points):
        lengths.append(value)
        tick(point)
    series = {"tokens": numbers(map(float, points)), "norm": numbers(lengths)}
    return look.row("norms", series=series)


TOPICS: dict[str, Callable[[Looking], Seen]] = {
    "writes": writes,
    "addresses": addresses,
    "survival": survival,
    "graph": graph,
    "spectrum": transition,
}
"""What can be seen of a few sequences, by the name of its figure."""


def _plain(tensor: Tensor) -> list[Any]:
    """The numbers of a tensor, in lists of lists."""
    return cast(Any, tensor).tolist()


def number(value: float | None) -> float | None:
    """A number with the digits that count; None for what is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def numbers(values: Iterable[float | None]) -> tuple[float | None, ...]:
    return tuple(number(value) for value in values)


def table(rows: Iterable[Sequence[float | None]]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(numbers(row) for row in rows)
