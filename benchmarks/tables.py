"""Tables of what was measured: rows from records, and rows as Markdown."""

from collections.abc import Sequence
from typing import NamedTuple

from miras.benchmarks.records import Record


class Ratio(NamedTuple):
    """How many times faster ours is than another program; above 1 ours is faster."""

    case: str
    plan: str
    ours: str  # what of ours: the memory alone, or in a layer
    against: str
    forward: float
    both: float
    forward_ms: float  # of ours
    both_ms: float
    difference: float | None  # of the other's outputs from the plan's
    definition: bool = False
    batch: int = 0


class Share(NamedTuple):
    """How much of the machine's matmul peak a plan reaches, forward and backward together."""

    case: str
    plan: str
    gflop: float
    gflops: float  # per second
    peak: float  # the best of the whole run, GFLOP per second
    fraction: float
    kernel: bool  # counted on the route in PyTorch, a compiled kernel was measured
    floor: float | None  # GFLOP of the recurrence itself


def ratios(records: Sequence[Record]) -> list[Ratio]:
    """One row for each peer of each case, peers first, then the definition."""
    found: list[Ratio] = []
    for case in dict.fromkeys(record["case"] for record in records if "case" in record):
        own = [record for record in records if record.get("case") == case]
        timed = [record for record in own if "skipped" not in record]
        plan = _only(timed, "plan")
        layer, beside = _only(timed, "layer"), _only(timed, "beside")
        for record in timed:
            if record["role"] == "peer":
                found += [_ratio(mine, record) for mine in (plan, layer) if mine]
            elif record["role"] == "definition" and beside:
                found.append(_ratio(beside, record))
    return found


def shares(records: Sequence[Record]) -> list[Share]:
    """Plans that multiply matrices, against the best matmul of the whole run."""
    peak = max((record.get("peak_gflops", 0.0) for record in records), default=0.0)
    found: list[Share] = []
    for record in records:
        if record.get("role") != "plan" or not record.get("both_gflop") or not peak:
            continue
        rate = record["both_gflop"] / (record["both_ms"] / 1e3)
        found.append(
            Share(
                case=record["case"],
                plan=record["plan"],
                gflop=record["both_gflop"],
                gflops=rate,
                peak=peak,
                fraction=rate / peak,
                kernel=record["kernel"],
                floor=record["floor_gflop"],
            )
        )
    return found


def skipped(records: Sequence[Record]) -> list[str]:
    """A sentence for each peer that was left out."""
    return [
        f"{record['case']}: {record['entrant']} was skipped: {record['skipped']}"
        for record in records
        if record.get("role") == "peer" and "skipped" in record
    ]


def side_by_side(records: Sequence[Record]) -> str:
    """The page of `miras bench`."""
    empty: Record = {}
    run: Record = next((record["run"] for record in records if "run" in record), empty)
    rows = [
        (
            row.case,
            row.plan,
            row.against + (" (ours as a layer)" if "layer" in row.ours else "")
            + (f" (batch {row.batch})" if row.definition else ""),
            f"{row.forward_ms:.1f}",
            f"{row.both_ms:.1f}",
            times(row.forward),
            times(row.both),
            "" if row.difference is None else f"{row.difference:.0e}",
        )
        for row in ratios(records)
    ]  # fmt: skip
    heads = ("memory", "plan", "against", "forward ms", "both ms")
    heads += ("times faster, forward", "times faster, both", "difference")
    page = ["# Side by side", "", *_told(run), "", *markdown(heads, rows)]
    if found := shares(records):
        heads = ("memory", "plan", "GFLOP", "GFLOP/s", "of the matmul peak", "recurrence, GFLOP")
        cells = [
            (
                row.case,
                row.plan + (" (kernel)" if row.kernel else ""),
                f"{row.gflop:.1f}",
                f"{row.gflops:.1f}",
                f"{row.fraction:.0%}",
                "" if row.floor is None else f"{row.floor:.1f}",
            )
            for row in found
        ]
        peak = (
            f"Products of matrices, forward and backward; matmul peak {found[0].peak:.1f} GFLOP/s"
        )
        more = (
            "Of a compiled kernel they are counted on the plan's route in PyTorch. The recurrence"
            " itself is what token by token would take, backward counted twice."
        )
        page += ["", f"{peak}, the best of the same run. {more}", "", *markdown(heads, cells)]
    notes = {f"{r['entrant']}: {r['note']}." for r in records if r.get("note")}
    page += ["", *(f"- {note}" for note in sorted(notes))] if notes else []
    page += ["", *(f"- {sentence}" for sentence in skipped(records))] if skipped(records) else []
    return "\n".join(page) + "\n"


def lengths(records: Sequence[Record]) -> str:
    """The page of `miras bench --lengths`."""
    heads = ("memory", "plan", "tokens", "µs per token", "against the shortest")
    heads += ("extra memory, MB", "over inputs", "over inputs and chunk states")
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys(record["memory"] for record in records):
        own = sorted(
            (r for r in records if r["memory"] == name and "skipped" not in r),
            key=lambda record: record["tokens"],
        )
        for record in own:
            cost, memory = per_token(record), record["extra_bytes"]
            rows.append(
                (
                    name,
                    record["plan"],
                    f"{record['tokens']:,}",
                    f"{1e6 * cost:.2f}",
                    f"{cost / per_token(own[0]):.2f}",
                    f"{memory / 1e6:.1f}",
                    f"{memory / record['input_bytes']:.1f}",
                    f"{over(record):.1f}",
                )
            )
    sentence = (
        "A training step, forward and backward, on one thread. Extra memory is the peak above what"
        " the process held with its inputs made; chunk states are one state for every 64 tokens."
    )
    return "\n".join(["# Lengths", "", sentence, "", *markdown(heads, rows)]) + "\n"


def per_token(record: Record) -> float:
    """Seconds."""
    return record["both_seconds"] / record["tokens"]


def over(record: Record) -> float:
    """Extra memory over that of the inputs and one state for every 64 tokens."""
    return record["extra_bytes"] / (record["input_bytes"] + record["chunk_states_bytes"])


def decode(records: Sequence[Record]) -> str:
    """The page of `miras bench --decode`."""
    heads = ("memory", "tokens per second", "bytes of state", "grew by, a token")
    rows: list[tuple[str, ...]] = []
    for record in records:
        growth = "" if "most_bytes" in record else record["growth_bytes"] or ""
        most = max(record["state_bytes"], record.get("most_bytes", 0))
        speed = f"{record['tokens_per_second']:,.0f}"
        rows.append((record["memory"], speed, f"{most:,}", growth and f"{growth:,.0f}"))
    left = [f"- {r['memory']}: {r['note']}" for r in records if "note" in r]
    sentence = (
        "Token by token through a layer with its projections, one sequence, after a prompt. The"
        " state is that of one sequence and layer, in float32, at its largest; of what grows, after"
        " these tokens."
    )
    return "\n".join(["# Decode", "", sentence, "", *markdown(heads, rows), "", *left]) + "\n"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; columns of numbers stand to the right."""
    numbers = [
        all(not row[place] or row[place][0].isdigit() for row in rows)
        for place in range(len(heads))
    ]
    ruler = ["---:" if number and rows else "---" for number in numbers]
    return [f"| {' | '.join(row)} |" for row in (heads, ruler, *rows)]


def times(ratio: float) -> str:
    """Two or three digits."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}" if ratio >= 10 else f"{ratio:.2f}"


def _ratio(mine: Record, other: Record) -> Ratio:
    return Ratio(
        case=other["case"],
        plan=other["plan"],
        ours=mine["entrant"],
        against=other["entrant"],
        forward=other["forward_ms"] / mine["forward_ms"],
        both=other["both_ms"] / mine["both_ms"],
        forward_ms=mine["forward_ms"],
        both_ms=mine["both_ms"],
        difference=other["difference"],
        definition=other["role"] == "definition",
        batch=other["sizes"]["batch"],
    )


def _only(records: Sequence[Record], role: str) -> Record | None:
    return next((record for record in records if record["role"] == role), None)


def _told(run: Record) -> list[str]:
    if not run:
        return []
    sizes = run["sizes"]
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    return [
        f"Batch {sizes['batch']}, {sizes['heads']} heads of size {sizes['size']},"
        f" {sizes['time']} tokens, float32, medians of {run['repeats']} on {run['threads']} threads"
        f" of {run['processor']}, torch {run['torch']}, {packages}. Above 1 ours is faster. Times"
        " are ours. The difference is the greatest of the outputs, over the greatest output; where"
        " there is none the other computes another function."
    ]
