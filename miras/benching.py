"""The command `miras bench`: what to measure, where to keep it, and what is printed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from miras.part import SpecError

if TYPE_CHECKING:
    from miras.benchmarks.inputs import Sizes


class Given(NamedTuple):
    """Numbers that a person gave; none: each kind of measurement has its own."""

    batch: int | None
    heads: int | None
    size: int | None
    time: int | None

    def sizes(self, batch: int, heads: int, size: int, time: int) -> "Sizes":
        """These, and the defaults for what was left out."""
        from miras.benchmarks.inputs import Sizes

        return Sizes(
            batch=self.batch or batch,
            heads=self.heads or heads,
            size=self.size or size,
            time=self.time or time,
        )


def bench(
    lengths: Annotated[
        bool, typer.Option("--lengths", help="cost of training steps from 1k to 128k tokens")
    ] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="token by token: speed and state of known memories")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="this case or known memory alone; may be repeated, kept only with --out"),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="all known memories too, against the definition")
    ] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="sequences [8; others 1]")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="heads [4; --lengths 1]")] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="of a head's keys and values [64; --lengths 32]")
    ] = None,
    time: Annotated[
        int | None, typer.Option(min=1, help="tokens; with --decode, of the prompt [1024]")
    ] = None,
    upto: Annotated[int, typer.Option(min=1, help="longest of --lengths")] = 131_072,
    tokens: Annotated[int, typer.Option(min=1, help="decoded after the prompt")] = 256,
    threads: Annotated[
        int | None, typer.Option(min=1, help="of torch [2; --decode 1; --lengths always 1]")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="of which the median counts")] = 5,
    definition_repeats: Annotated[
        int, typer.Option(min=1, help="of the definition, which is slow")
    ] = 1,
    no_definition: Annotated[bool, typer.Option("--no-definition", help="leave it out")] = False,
    no_peers: Annotated[bool, typer.Option("--no-peers", help="leave others out")] = False,
    plan: Annotated[str, typer.Option(help="force a plan of ours")] = "auto",
    plans: Annotated[
        bool, typer.Option("--plans", help="compare with our other plans that fit, too")
    ] = False,
    device: str = "cpu",
    out: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="folder; benchmarks/results in a checkout, else runs/bench"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines, no table")] = False,
) -> None:
    """Measure our plans against the definition and, where installed, against other packages.

    Everything runs in turns in one run, forward and forward with backward, in float32; what counts
    are ratios of medians. Beside them stands the matmul peak of the machine and the share of it
    that a plan reaches. Peers are `transformers`, `fla-core`, `titans-pytorch` and `mambapy`;
    benchmarks/README.md says how to install them. What is missing is named as skipped.

    `miras bench --only kda` compares one case; `miras bench --only yaad --no-peers` any known
    memory with the definition; `miras bench --lengths` goes on where it was interrupted.
    """
    import torch

    torch.set_num_threads(1 if lengths else threads or (1 if decode else 2))
    given, names = Given(batch, heads, size, time), only or []
    keep = out or (None if names else _usual())
    if lengths and decode:
        raise SpecError("--lengths and --decode are two measurements: give one of them")
    if lengths:
        _lengths(names, given, upto, keep, as_json)
    elif decode:
        _decode(names, given, tokens, device, keep, as_json)
    else:
        from miras.benchmarks.side_by_side import Settings

        settings = Settings(
            sizes=given.sizes(8, 4, 64, 1024),
            repeats=repeats,
            definition_repeats=0 if no_definition else definition_repeats,
            peers=not no_peers,
            plan=plan,
            plans=plans,
            device=device,
        )
        _side_by_side(names, every, settings, keep, as_json)


def _side_by_side(
    names: list[str], every: bool, settings: Any, keep: Path | None, as_json: bool
) -> None:
    from miras.benchmarks import cases, records, side_by_side, tables

    run = records.machine(settings.device)
    run |= {"sizes": settings.sizes._asdict(), "repeats": settings.repeats}
    found: list[records.Record] = [{"run": run}]
    for record in side_by_side.measured(cases.chosen(names, every), settings, _say):
        found.append(record)
        _print(record, as_json)
        if keep:  # of a run that is cut off the lines remain
            records.write(keep / "side-by-side.jsonl", found)
    if keep:
        from miras.benchmarks import drawn

        drawn.side_by_side(found, keep, "side-by-side")
    _publish(tables.side_by_side(found), "side-by-side", keep, as_json)


def _lengths(names: list[str], given: Given, upto: int, keep: Path | None, as_json: bool) -> None:
    from miras.benchmarks import lengths, records, tables

    file = keep / "lengths.jsonl" if keep else None
    found = records.read(file) if file else []
    wanted = [length for length in lengths.LENGTHS if length <= upto] or [upto]
    points = lengths.points(names, wanted, given.sizes(1, 1, 32, 1))
    for record in _told(lengths.measured(points, found), as_json):
        found.append(record)
        if file:
            records.append(file, record)
    if keep:
        from miras.benchmarks import drawn

        drawn.lengths(found, keep, "lengths")
    _publish(tables.lengths(found), "lengths", keep, as_json)


def _decode(
    names: list[str], given: Given, tokens: int, device: str, keep: Path | None, as_json: bool
) -> None:
    from miras.benchmarks import decode, records, tables

    measured = decode.measured(names, given.sizes(1, 4, 64, 1024), tokens, device)
    found = list(_told(measured, as_json))
    if keep:
        records.write(keep / "decode.jsonl", [{"run": records.machine(device)}, *found])
    _publish(tables.decode(found), "decode", keep, as_json)
    if sentences := decode.broken(found):
        raise SpecError("\n".join(sentences))


def _told(measured: Iterator[dict[str, Any]], as_json: bool) -> Iterator[dict[str, Any]]:
    for record in measured:
        _print(record, as_json)
        if not as_json:
            speed = record.get("tokens_per_second") or record.get("skipped")
            speed = f"{record['both_seconds']:.3f} s" if "both_seconds" in record else speed
            _say(f"{record['memory']} {record.get('tokens', '')} {speed}")
        yield record


def _print(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(record, ensure_ascii=False), flush=True)


def _publish(page: str, name: str, keep: Path | None, as_json: bool) -> None:
    """Show a page to a person, and keep it."""
    if not as_json:
        print(page, end="")
    if keep:
        (keep / f"{name}.md").write_text(page, encoding="utf-8")
        _say(f"kept in {keep}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _usual() -> Path:
    """In a checkout beside the program of the benchmark."""
    kept = Path("benchmarks") / "results"
    return kept if kept.is_dir() else Path("runs") / "bench"
