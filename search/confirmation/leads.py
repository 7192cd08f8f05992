"""Who leads whom: differences on fresh seeds, their intervals, and what they show after Holm."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from miras.result import Finding, Topic
from miras.statistics import Scores, holm
from miras.statistics.pairs import surely


class Side(NamedTuple):
    """A memory in one setting: test scores by task and seed, and its mean validation score."""

    name: str
    test: Scores
    validation: float = 0.0

    @property
    def mean(self) -> float:
        """Mean over tasks of means over seeds."""
        return fmean(fmean(seeds.values()) for seeds in self.test.values())


class Pair(NamedTuple):
    """A comparison to be made; `where` is the setting or the choice that was changed."""

    first: Side
    second: Side
    where: str


def leads(topic: Topic, pairs: Sequence[Pair], among: int = 0) -> list[Finding]:
    """First less second for each pair, corrected for the number of pairs.

    `among` is the number of pairs that were planned, where some are not finished: the correction
    is for all of them, as if the others told nothing. Any that told more would come before some
    that are here, and these would be corrected by less.
    """
    found = {
        f"{place}": surely(pair.first.test, pair.second.test) for place, pair in enumerate(pairs)
    }
    probabilities = {place: each.probability for place, each in found.items()}
    absent = {f"absent {place}": 1.0 for place in range(among - len(pairs))}
    corrected = holm(absent | probabilities)
    findings: list[Finding] = []
    for place, pair in enumerate(pairs):
        difference = found[f"{place}"]
        finding = Finding(
            topic=topic,
            subject=pair.first.name,
            against=pair.second.name,
            where=pair.where,
            mean=difference.mean,
            low=difference.low,
            high=difference.high,
            probability=difference.probability,
            corrected=corrected[f"{place}"],
            tasks=difference.tasks,
            pairs=difference.pairs,
        )
        findings.append(finding.model_copy(update={"sentence": told(finding)}))
    return findings


def against_best(
    topic: Topic, finalists: Sequence[Side], baselines: Sequence[Side], where: str, among: int = 0
) -> list[Finding]:
    """Each finalist against the baseline with the best validation score in the same setting.

    The rival is chosen on other examples than those on which it is compared: choosing it by its
    test score would make it look better than it is. What is left of that, the luck of its
    trainings, is in its favour and against the finalists.
    """
    if not baselines:
        return []
    rival = max(baselines, key=lambda each: each.validation)
    return leads(topic, [Pair(each, rival, where) for each in finalists], among)


def told(finding: Finding) -> str:
    """A difference in words."""
    numbers = (
        f"{finding.mean:+.3f} ({finding.low:+.3f} to {finding.high:+.3f}),"
        f" p {chance(finding.corrected)} after Holm, {finding.pairs} pairs of runs"
    )
    verdict = {
        "better": f"{finding.subject} is better than {finding.against}",
        "worse": f"{finding.subject} is worse than {finding.against}",
    }.get(
        finding.verdict,
        f"no difference between {finding.subject} and {finding.against} is shown",
    )
    return f"{verdict}: {numbers}"


def chance(probability: float | None) -> str:
    """A probability for a reader."""
    if probability is None:
        return "unknown"
    return "< 0.001" if probability < 0.001 else f"{probability:.3f}"
