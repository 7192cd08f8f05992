"""What fresh seeds say about the search itself: luck of its winners, its noise, and its arms."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from miras.result import Finding, TrialRecord
from miras.statistics import null_candidates, rescored

from ..study import Study
from ..trial.evaluation import worth
from .confirmation import Confirmation


def of_search(
    study: Study,
    records: Sequence[TrialRecord],
    again: Mapping[str, float | None],
    plan: Confirmation,
) -> Iterator[Finding]:
    """All findings about the search; `again` has the means of finalists and baselines, by name."""
    good = {record.number: merit(study, record) for record in records if record.status == "ok"}
    baselines = {record.name: record for record in records if record.origin == "baseline"}
    numbers = plan.finalists | {
        name: baselines[name].number for name in plan.baselines if name in baselines
    }
    pairs = {
        name: (good[number], value)
        for name, number in numbers.items()
        if number in good and (value := again.get(name)) is not None
    }
    yield from _rescored(pairs, plan)
    yield from _noise(records, good)
    yield from _arms(records, good)


def merit(study: Study, record: TrialRecord) -> float:
    """What the search saw of a memory: the mean of its objectives on validation."""
    return fmean(worth(study, record).values())


def _rescored(pairs: Mapping[str, tuple[float, float]], plan: Confirmation) -> Iterator[Finding]:
    for name, (search, again) in pairs.items():
        yield Finding(
            topic="rescored",
            subject=name,
            role="finalist" if name in plan.finalists else "baseline",
            mean=again - search,
            numbers={"search": search, "again": again},
        )
    before, after = [x for x, _ in pairs.values()], [y for _, y in pairs.values()]
    if len(before) < 3 or len(set(before)) < 2:
        return
    line = rescored(before, after)
    numbers = {name: float(value) for name, value in line._asdict().items()}
    text = (
        f"Over {line.runs} memories the score on fresh seeds rises by {line.slope:.2f}"
        f" ({line.slope_low:.2f} to {line.slope_high:.2f}) for 1 in the search; the best one of"
        f" the search changed by {-line.shrinkage:+.3f}"
    )
    yield Finding(topic="curse", numbers=numbers, sentence=text)


def _noise(records: Sequence[TrialRecord], good: Mapping[int, float]) -> Iterator[Finding]:
    """The floor that null candidates, duplicates of a known memory, set to all others."""
    candidates = sum(bool(each.key) and each.origin in ("search", "random") for each in records)
    known = [each for each in records if each.origin == "baseline" and each.number in good]
    for record in known:
        twins = [
            good[each.number]
            for each in records
            if each.origin == "null" and each.key == record.key and each.number in good
        ]
        if not twins:
            continue
        found = null_candidates([good[record.number]], twins, candidates)
        numbers = {
            "duplicates": len(twins),
            "deviation": found.deviation.value,
            "deviation at most": found.deviation.at_most(),
            "shift": found.shift,
            "largest": found.largest,
            "floor": found.floor,
            "candidates": candidates,
        }
        text = (
            f"{len(twins)} null candidates, {record.name} with other seeds, differ from it by"
            f" {found.shift:+.3f} on average and by {found.largest:+.3f} at most; of {candidates}"
            f" candidates without merit the best would be {found.floor:.3f} ahead (standard"
            f" deviation {found.deviation.value:.3f}, with 90 % at most"
            f" {found.deviation.at_most():.3f})"
        )
        yield Finding(topic="noise", subject=record.name, numbers=numbers, sentence=text)


def _arms(records: Sequence[TrialRecord], good: Mapping[int, float]) -> Iterator[Finding]:
    """The search beside chance, with equal numbers of trials; who has no score has 0."""
    scores: dict[str, list[float]] = {"search": [], "random": []}
    for record in records:
        # without a memory there was none left that is new: nobody proposed it
        if record.origin in scores and record.key and record.status != "stopped":
            scores[record.origin].append(good.get(record.number, 0.0))
    stopped = sum(each.origin == "search" and each.status == "stopped" for each in records)
    for arm, found in scores.items():
        if found:
            numbers = {"trials": len(found), "mean": fmean(found), "best": max(found)}
            yield Finding(topic="arm", subject=arm, mean=fmean(found), numbers=numbers)
    search, chance = scores["search"], scores["random"]
    count = min(len(search) + stopped, len(chance))
    if not search or not chance:
        return
    # A stopped trial was no better than those that went on: it counts as the lowest of them.
    went = [
        good[each.number] for each in records if each.origin == "search" and each.number in good
    ]
    whole = [min(went, default=0.0)] * stopped + search
    ours, theirs = best_of(whole, count), best_of(chance, count)
    text = (
        f"Of {count} trials each, drawn from {len(whole)} of the search and {len(chance)} of the"
        f" random arm, the best is expected at {ours:.3f} and {theirs:.3f} on validation; the"
        f" means are {fmean(search):.3f} and {fmean(chance):.3f}, the best of all {max(search):.3f}"
        f" and {max(chance):.3f}"
    )
    if stopped:
        text += f"; {stopped} stopped trials are in the draws, not in the mean"
    numbers = {"trials": count, "search": ours, "random": theirs, "stopped": stopped}
    yield Finding(topic="arms", mean=ours - theirs, numbers=numbers, sentence=text)


def best_of(scores: Sequence[float], count: int) -> float:
    """Expected largest of so many scores drawn without replacement."""
    ordered = sorted(scores)
    total, left = 0.0, 1.0  # left: probability that all drawn are among the first ones
    for size in range(len(ordered), 0, -1):
        if size < count:
            break
        # The chance that the largest of `count` is the one at this place, given none is above.
        largest = count / size
        total += left * largest * ordered[size - 1]
        left *= 1 - largest
    return total
