"""Our plans, the definition and the peers on the same shapes, in one run.

Forward is measured without gradients; both ways is forward with the gradient by every input. The
definition keeps the state of every token for its backward pass. Where that is more than `ROOM`
bytes, it runs on fewer sequences, and our plan a second time on as few, for their ratio.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from miras.benchmarks.cases import Case
from miras.benchmarks.inputs import Inputs, Sizes, plan_name
from miras.benchmarks.measure import Entrant, Round, in_turns, operations
from miras.benchmarks.records import Record
from miras.explain.counting import products, state_floats
from miras.plans import plans

ROOM = 6e9
"""Bytes of states that the backward pass of the definition may keep."""

COPIES = 3
"""Tensors as large as the state that a token of the definition leaves for backward.

Measured between one (TTT's MLP) and four (gated delta rule).
"""

Say = Callable[[str], None]


class Settings(NamedTuple):
    """How to measure."""

    sizes: Sizes = Sizes()
    repeats: int = 5
    definition_repeats: int = 1  # none: 0
    peers: bool = True
    plan: str = "auto"
    plans: bool = False  # beside it, every other plan that fits
    device: str = "cpu"
    matmuls: tuple[int, ...] = (1024, 2048)


def measured(cases: list[Case], settings: Settings, say: Say = print) -> Iterator[Record]:
    """Records, case by case: our plan first, then the others."""
    for case in cases:
        say(f"{case.name}: {case.about or case.memory().equation}")
        yield from compared(case, settings)


def compared(case: Case, settings: Settings) -> Iterator[Record]:
    """One case."""
    sizes = settings.sizes
    given = case.inputs(sizes, settings.device)
    plan = case.ours(given, settings.plan)
    found, skipped = case.others(given) if settings.peers else ([], {})
    entrants = [plan, *_plans(case, given, settings), *found]
    result = in_turns(entrants, settings.repeats, settings.matmuls)
    common: Record = {
        "case": case.name,
        "memory": given.memory.name.rstrip("*"),
        "about": case.about,
    }
    common |= {"plan": plan_name(given, settings.plan), "sizes": sizes._asdict()}
    for entrant in entrants:
        record = common | _timed(entrant, result)
        record["peak_gflops"] = round(result.peak / 1e9, 2)
        if entrant.role == "plan":
            counted = operations(entrant)
            record |= {"forward_gflop": counted.forward / 1e9, "both_gflop": counted.both / 1e9}
            record |= {"kernel": counted.seen < counted.both, "floor_gflop": floor(given)}
        yield record
    for name, reason in skipped.items():
        yield common | {"entrant": name, "role": "peer", "skipped": reason}
    if settings.definition_repeats:
        yield from _defined(case, settings, common)


def _plans(case: Case, given: Inputs, settings: Settings) -> list[Entrant]:
    """Every other plan that fits, where that is wanted."""
    if not settings.plans:
        return []
    chosen = plan_name(given, settings.plan)
    kinds = [kind for kind, plan in plans().items() if plan.fits(given.memory) and kind != chosen]
    return [case.ours(given, kind)._replace(name=f"our plan {kind}", role="peer") for kind in kinds]


def floor(given: Inputs) -> float | None:
    """Operations of the recurrence itself, forward and backward, in units of 1e9.

    Two for each multiply-add that `miras explain` counts for the definition, and twice as many in
    backward. A plan by chunks does more of them to do them as products of matrices. None for a
    memory of pairs, whose cost depends on the place of the token.
    """
    memory, sizes = given.memory, given.sizes
    if memory.architecture.stores_pairs:
        return None
    heads, key_dim, value_dim = *given.key.shape[2:], given.value.shape[-1]
    once = sum(products(memory, heads, key_dim, value_dim).values())
    return 3 * 2 * once * sizes.batch * sizes.time / 1e9


def _defined(case: Case, settings: Settings, common: Record) -> Iterator[Record]:
    sizes = settings.sizes._replace(batch=1)
    one = case.inputs(sizes, settings.device)
    heads, key_dim, value_dim = *one.key.shape[2:], one.value.shape[-1]
    floats = sum(state_floats(one.memory, heads, key_dim, value_dim).values())
    most = int(ROOM // (4 * COPIES * floats * sizes.time))
    sizes = settings.sizes._replace(batch=max(1, min(settings.sizes.batch, most)))
    given = case.inputs(sizes, settings.device)
    pair = [case.ours(given, settings.plan), case.ours(given, "definition")]
    # The definition is slow enough to be told from noise by one turn, our plan is not.
    often = max(1, settings.repeats // settings.definition_repeats)
    turn = [*[pair[0]] * often, pair[1]]
    result = in_turns(turn, settings.definition_repeats, ())
    for entrant, name in zip(pair, ("miras, beside the definition", "definition"), strict=True):
        record = common | _timed(entrant, result) | {"sizes": sizes._asdict()}
        yield record | {"entrant": name, "role": "definition" if entrant is pair[1] else "beside"}


def _timed(entrant: Entrant, result: Round) -> Record:
    timing = result.timings[entrant.name]
    forward, both = timing.medians
    difference = result.differences[entrant.name]
    return {
        "entrant": entrant.name,
        "role": entrant.role,
        "forward_ms": _ms(forward),
        "both_ms": _ms(both),
        "forward_samples_ms": [_ms(each) for each in timing.forward],
        "both_samples_ms": [_ms(each) for each in timing.both],
        "difference": None if difference is None else float(f"{difference:.1e}"),
        "note": entrant.note,
    }


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)
