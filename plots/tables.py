"""The tables of the report, as text cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, cast

from miras.page import Table
from miras.result import TrialRecord
from miras.statistics import Rate
from miras.statistics.dominance import front

from . import reading
from .certainty import Verdict
from .study import Study, duration, moment, words

SHOWN = 5
"""Candidates in the table of an objective."""

TOLD = {
    *("name", "description", "objectives", "measured_by", "selection", "tasks", "started"),
    *("finished", "seconds", "command", "seeds", "trials", "space", "duplicates", "refused"),
}
"""Keys of the manifest that the report tells in its own way; the others are listed as they are."""


def name(record: TrialRecord) -> str:
    """Name of a memory in a table, where there is room for most names."""
    return reading.label(record, width=60)


def count(number: int, one: str, many: str = "") -> str:
    """1 trial, 2 trials."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def seeds(records: reading.Records) -> str:
    """How many seeds each memory was trained with on each task."""
    counts = {
        len({result.seed for result in reading.results(record, task)})
        for record in records
        for task in reading.tasks([record])
    } - {0}
    if not counts:
        return "no seed"
    low, high = min(counts), max(counts)
    return count(high, "seed") if low == high else f"{low} to {high} seeds"


def tasks(study: Study, asked: Mapping[str, str]) -> list[Table]:
    """What each task asks, and for which objective it counts; nothing where nobody says it."""
    written: Any = study.manifest.get("tasks")
    kinds: dict[str, str] = {}
    for each in cast("list[Any]", written if isinstance(written, list) else []):
        if isinstance(each, dict):
            task = cast("dict[str, Any]", each)
            kinds[str(task.get("name") or task.get("kind"))] = str(task.get("kind"))
    members = {name: reading.tasks_of(study.records, name) for name in study.objectives}
    rows = [
        [
            name,
            ", ".join(objective for objective, own in members.items() if name in own),
            asked[kinds.get(name, name)],
        ]
        for name in reading.tasks(study.records)
        if kinds.get(name, name) in asked
    ]
    return [Table(("task", "counts for", "what it asks"), rows)] if rows else []


def setting(study: Study) -> Table:
    """What was searched and with which means: from the records, then from the manifest."""
    records, manifest = study.records, study.manifest
    rows = [("objectives", _objectives(study)), ("tasks", _tasks(study))]
    if records:
        keys = {record.key for record in records if record.key}
        new = {record.key for record in records if reading.is_new(record)}
        counts = Counter(record.status.replace("_", " ") for record in records)
        ended = ", ".join(f"{number} {status}" for status, number in counts.most_common())
        rows += [
            ("trials", f"{len(records)}: {ended}"),
            ("distinct memories", f"{len(keys)}, of them {len(new)} new"),
            ("runs of a memory on a task", seeds(records)),
            ("trained numbers", span([reading.parameters(record) for record in records])),
            ("floats of state per layer", span([reading.state_floats(r) for r in records])),
            ("time of all trials together", duration(sum(record.seconds for record in records))),
        ]
    rows += [(key, moment(manifest[key])) for key in ("started", "finished") if manifest.get(key)]
    if isinstance(manifest.get("seconds"), int | float):
        rows.append(("time that it ran, pauses left out", duration(manifest["seconds"])))
    if "duplicates" in manifest:
        rows.append(("proposed again, not trained twice", words(manifest["duplicates"])))
    if isinstance(manifest.get("refused"), dict):
        rows.append(("refused before training", f"{sum(_refused(study).values())}"))
    rows += [(k.replace("_", " "), words(v)) for k, v in manifest.items() if k not in TOLD]
    return Table(("what", "value"), rows)


def refusals(study: Study, rules: Mapping[str, str]) -> list[Table]:
    """How often each rule of the grammar refused what was proposed; nothing where none did."""
    rows = [
        [str(times), f"{rules[name]} ({name})" if rules.get(name) else name]
        for name, times in _refused(study).items()
    ]
    caption = "Refused before training, by the rule that objected first"
    return [Table(("times", "rule"), rows, caption)] if rows else []


def _refused(study: Study) -> dict[str, int]:
    found: Any = study.manifest.get("refused")
    counts = cast("dict[str, Any]", found if isinstance(found, dict) else {})
    return {name: times for name, times in counts.items() if isinstance(times, int)}


def _objectives(study: Study) -> str:
    texts: list[str] = []
    for objective in study.objectives:
        members = reading.tasks_of(study.records, objective)
        plain = members in ((), (objective,))
        texts.append(objective if plain else f"{objective} ({', '.join(members)})")
    return "; ".join(texts) or "not recorded"


def _tasks(study: Study) -> str:
    found = reading.tasks(study.records)
    return ", ".join(found) if found else words(study.manifest.get("tasks") or "not recorded")


def span(sizes: Sequence[int]) -> str:
    """The smallest and the largest of sizes, those that are not known left out."""
    known = [size for size in sizes if size]
    if not known:
        return "not recorded"
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def memories(records: reading.Records, objective: str) -> Table:
    """The best candidates of an objective among the known memories, best first."""
    ranked = [record for record, _ in reading.scored(records, objective)]
    best = [record.number for record in ranked if reading.is_candidate(record)][:SHOWN]
    chosen = [r for r in ranked if r.origin == "baseline" or r.number in best]
    members = reading.tasks_of(records, objective)
    scores = [reading.seed_scores(record, members) for record in chosen]
    several = any(len(found) > 1 for found in scores)
    columns = ["memory", "score", "floats of state", "trained numbers", "seconds", "new?"]
    if several:
        columns[2:2] = ["± error", "solved", "95 % interval of solved"]
    rows: list[list[str]] = []
    for record, found in zip(chosen, scores, strict=True):
        equals = f"equals {', '.join(record.equals)}" if record.equals else "new"
        row = [
            name(record),
            f"{reading.score(record, objective):.3f}",
            f"{reading.state_floats(record):,}",
            f"{reading.parameters(record):,}" if reading.parameters(record) else "–",
            f"{record.seconds:.0f}" if record.seconds >= 10 else f"{record.seconds:.1f}",
            "known" if record.origin == "baseline" else equals,
        ]
        if several:
            row[2:2] = _over_seeds(found, reading.solved(record, members, found))
        rows.append(row)
    return Table(columns, rows, f"By {objective}: known memories and the best {SHOWN} candidates")


def _over_seeds(scores: Sequence[float], rate: Rate) -> list[str]:
    """Standard error, seeds that solve the task, and the Wilson interval of that rate."""
    if len(scores) < 2:
        return ["", "", ""]
    low, high, trained = reading.interval(fmean(scores), scores)
    return [
        f"{(high - low) / 2:.3f}",
        f"{rate.solved}/{trained}",
        f"{rate.low:.2f}–{rate.high:.2f}",
    ]


def sureness(verdicts: Sequence[Verdict]) -> Table:
    """For each objective: the lead of the best new memory beside what chance alone gives."""
    rows: list[list[str]] = []
    for verdict in verdicts:
        chance, luck = verdict.noise, verdict.luck
        both = verdict.new and verdict.known
        rows.append(
            [
                verdict.objective,
                f"{verdict.difference:+.3f}" if both else "",
                f"{chance.deviation:.3f}" if chance else "–",
                f"{chance.at_most:.3f}" if chance else "–",
                f"{chance.repeats}" if chance else "0",
                f"{luck:.3f}" if luck is not None else "–",
                verdict.sentence,
            ]
        )
    lead = ("objective", "best new − best known")
    chances = ("noise (sd)", "noise at most", "repeats", "luck at most")
    return Table((*lead, *chances, "so"), rows)


def on_front(records: reading.Records) -> Table:
    """The memories that no other beats on all objectives and on the size of the state."""
    objectives = reading.objectives(records)
    found = [
        record
        for record in records
        if record.origin != "null" and all(reading.score(record, o) is not None for o in objectives)
    ]
    points = [
        [*(record.objectives[o] for o in objectives), -reading.state_floats(record)]
        for record in found
    ]
    best = [record for record, on in zip(found, front(points), strict=True) if on]
    best.sort(key=lambda record: (reading.state_floats(record), record.number))
    rows = [
        [
            name(record),
            f"{reading.state_floats(record):,}",
            *(f"{record.objectives[objective]:.3f}" for objective in objectives),
        ]
        for record in best
    ]
    caption = f"{count(len(best), 'memory', 'memories')} of {len(found)} on the common front"
    return Table(("memory", "floats of state", *objectives), rows, caption)


def failures(failed: Sequence[TrialRecord]) -> Table:
    """Trials without a score, grouped by outcome and reason, the most frequent first."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in failed:
        groups.setdefault((record.status.replace("_", " "), record.reason), []).append(record)
    rows = [
        [status, str(len(members)), reason or "no reason recorded", _some(members)]
        for (status, reason), members in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]
    return Table(("outcome", "trials", "reason", "which"), rows)


def _some(records: Sequence[TrialRecord], most: int = 6) -> str:
    names = ", ".join(name(record) for record in records[:most])
    return names if len(records) <= most else f"{names} and {len(records) - most} more"
