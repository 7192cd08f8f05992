"""Ten things that a claim of a new memory must show, each answered by numbers that were found.

Yes is said only where the numbers bear it out, partly where a part of the point was measured or
where they leave it open, no where they speak against it or nothing was measured. The points are
about one finalist, the one with the best validation score on fresh seeds. It is judged on other
examples, but by the same trainings: luck of these is in the choice too, and that is why Holm
counts all finalists.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from miras.result import Finding, Topic

from ..study import Study
from .confirmation import BARE, HELD_OUT, OWN, Confirmation
from .leads import chance

Answer = Literal["yes", "partly", "no"]

ENOUGH = 5
"""Fresh seeds that a claim needs."""

NULLS = 3
"""Null candidates below which the floor of the noise is a guess."""

ALIKE = {"parameters": 0.02, "state floats": 0.1, "operations per token": 0.25, "tokens": 0.01}
"""How much two memories may differ in what they cost, as a share, and still count as matched."""


class Told(NamedTuple):
    """An answer and its sentence."""

    answer: Answer
    sentence: str


class Found:
    """The findings, and the finalist that the points are about."""

    def __init__(self, study: Study, plan: Confirmation, findings: Sequence[Finding]) -> None:
        self.study, self.plan, self.findings = study, plan, findings
        own = [each for each in self.of("score", where=OWN) if each.role == "finalist"]
        best = max(own, key=lambda each: each.numbers["validation"], default=None)
        self.name = best.subject if best else next(iter(plan.finalists))
        lead = self.first("lead")
        self.rival = lead.against if lead else ""

    def of(self, topic: Topic, subject: str = "", where: str = "") -> list[Finding]:
        """Findings on a topic."""
        return [
            each
            for each in self.findings
            if each.topic == topic and subject in ("", each.subject) and where in ("", each.where)
        ]

    def first(self, topic: Topic, subject: str = "", where: str = "") -> Finding | None:
        """The finding on a topic about the finalist, or about another memory."""
        return next(iter(self.of(topic, subject or self.name, where)), None)


Point = tuple[str, Callable[[Found], Told]]


def checklist(study: Study, plan: Confirmation, findings: Sequence[Finding]) -> list[Finding]:
    """The ten points, answered."""
    found = Found(study, plan, findings)
    told = [(title, answer(found)) for title, answer in POINTS]
    return [
        Finding(
            topic="point",
            subject=f"{number}. {title}",
            against=found.name,
            answer=each.answer,
            sentence=each.sentence,
        )
        for number, (title, each) in enumerate(told, 1)
    ]


def _registered(found: Found) -> Told:
    study = found.study
    fixed = study.model_dump_json(include={"tasks", "space", "shell", "baselines", "match"})
    mark = hashlib.sha256(fixed.encode()).hexdigest()[:12]
    runs = next(iter(found.of("runs")), None)
    return Told(
        "partly",
        f"Tasks, space, shell and baselines have the hash {mark} and could not change once the"
        f" study had begun, but nobody outside has witnessed it. Budget: {study.budget.trials}"
        f" trials. Total: {runs.sentence if runs else 'not counted'}.",
    )


def _tuned(found: Found) -> Told:
    widths = {each.subject: each for each in found.of("width")}
    baselines = [widths[name] for name in found.plan.baselines if name in widths]
    own = widths.get(found.name)
    if own is None or len(baselines) < len(found.plan.baselines) or not baselines:
        return Told("no", "Not all baselines have ended their runs yet, or there are none.")
    least = min(each.numbers["tried"] for each in baselines)
    edges = sum(each.numbers["at edge"] for each in (own, *baselines))
    fair = least >= own.numbers["tried"]
    return Told(
        "partly",
        f"All had the same grid, grown at its edges, and {len(found.study.confirm.seeds)} seeds:"
        f" {own.numbers['tried']:.0f} first runs for {found.name}, {least:.0f} at least for a"
        f" baseline{'' if fair else ', which is fewer, since its best rate was inside the grid'}."
        f" {edges:.0f} chosen rates of theirs are still at an edge. Whether baselines reach what"
        " was published is not measured here: `miras validate` does.",
    )


def _matched(found: Found) -> Told:
    own, rival = found.first("cost", where=OWN), found.first("cost", found.rival or "-", OWN)
    bare = found.first("convolution")
    if own is None or rival is None:
        return Told("no", "There is no finished rival to be compared with.")
    off = {
        name: own.numbers[name] / rival.numbers[name] - 1
        for name in ALIKE
        if rival.numbers.get(name) and name in own.numbers
    }
    costs = ", ".join(f"{name} {share:+.1%}" for name, share in off.items())
    alike = len(off) == len(ALIKE) and all(abs(off[name]) <= ALIKE[name] for name in off)
    text = f"Beside {found.rival}: {costs}. "
    if bare is None:
        none = "the shell has none" if not found.study.shell.conv else "not run to the end"
        return Told("partly" if alike else "no", f"{text}Without short convolution: {none}.")
    return Told(
        "yes" if alike else "partly", f"{text}Without short convolution: {_difference(bare)}."
    )


def _rescored(found: Found) -> Told:
    lead = found.first("lead")
    seeds = len(found.study.confirm.seeds)
    if lead is None:
        return Told("no", "Not all finalists and baselines have ended their runs.")
    runs = next(iter(found.of("runs")), None)
    asked = runs.numbers["finalists compared"] if runs else 0
    text = f"{lead.sentence}; {seeds} fresh seeds, {len(found.plan.finalists)} finalists."
    if asked > len(found.plan.finalists):
        text += (
            f" With earlier plans of the confirmation {asked:.0f} comparisons were asked for: Holm"
            " counts all of them."
        )
    if lead.verdict != "better":
        return Told("no", text)
    return Told("yes" if seeds >= ENOUGH else "partly", text)


def _held_out(found: Found) -> Told:
    other = found.first("held_out")
    if other is None:
        names = ", ".join(each.name for each in found.study.confirm.held_out)
        return Told("no", f"Held out: {names}, not ended." if names else "No task was held out.")
    answers: dict[str, Answer] = {"better": "yes", "worse": "no"}
    return Told(answers.get(other.verdict, "partly"), f"{other.sentence}.")


def _beyond(found: Found) -> Told:
    longer = found.first("beyond")
    if longer is None:
        return Told("no", "No task was run beyond the lengths of its training, or not to the end.")
    answer: Answer = "yes" if longer.verdict == "better" else "partly"
    if longer.verdict == "worse":
        answer = "no"
    text = f"Beyond the lengths of training, mean over {longer.tasks} tasks: {longer.sentence}."
    return Told(answer, text)


def _language(found: Found) -> Told:
    tasks = [task.name for task in found.study.tasks if task.objective == "language"]
    if not tasks:
        return Told("no", "The study has no task of language.")
    sizes: list[str] = []
    for score in found.of("score", found.name):
        rival = found.first("score", found.rival or "-", score.where)
        if score.where in (HELD_OUT, BARE) or rival is None:
            continue
        for task in tasks:
            ours, theirs = (each.numbers.get(f"task {task}") for each in (score, rival))
            if ours is not None and theirs is not None:
                sizes.append(f"{ours - theirs:+.3f} on {task} ({score.where})")
    if not sizes:
        return Told("no", "The runs on text have not ended.")
    seeds = len(found.study.confirm.seeds)
    return Told(
        "partly",
        f"Score less that of {found.rival}: {'; '.join(sizes)}; {seeds} seeds, one corpus. Two"
        " sizes on two corpora and sizes of real models are not covered by this.",
    )


def _isolated(found: Found) -> Told:
    control = found.first("neighbour")
    changes = found.of("ablation", found.name)
    if control is None:
        return Told("no", "The nearest known memory has not ended its runs.")
    near = found.plan.neighbours[found.name]
    planned = [each for each in found.plan.ablations if each.finalist == found.name]
    text = (
        f"Its normal form equals no known one; nearest is {near}: {control.sentence}."
        f" {len(changes)} of {len(planned)} ablations ended"
    )
    telling = [each for each in changes if each.verdict == "better"]
    if telling:
        parts = ", ".join(f"{each.where} ({each.mean:+.3f})" for each in telling)
        text += f"; without these it is worse: {parts}"
    elif changes:
        text += "; none shows a choice without which it is worse"
    whole = len(changes) == len(planned) > 0
    if control.verdict == "better" and telling and whole:
        return Told("yes", f"{text}.")
    return Told("partly" if changes else "no", f"{text}.")


def _speed(found: Found) -> Told:
    own, rival = found.first("cost", where=OWN), found.first("cost", found.rival or "-", OWN)
    speeds = [each and each.numbers.get("tokens per second") for each in (own, rival)]
    if speeds[0] is None or speeds[1] is None:
        return Told("no", "The speed of training was not measured on both.")
    return Told(
        "partly",
        f"{speeds[0]:,.0f} tokens per second in training, {found.rival} {speeds[1]:,.0f}, on one"
        " core as busy as it was; other machines and kernels were not measured.",
    )


def _failures(found: Found) -> Told:
    runs, noise = next(iter(found.of("runs")), None), next(iter(found.of("noise")), None)
    own = found.first("score", where=OWN)
    lost = ""
    if runs is not None:
        lost = (
            f"{runs.numbers['trials without a score']:.0f} trials of the search and"
            f" {runs.numbers['failed runs of the confirmation']:.0f} runs of the confirmation"
            " ended without a score"
        )
    lost += f", {own.numbers['failed']:.0f} of them of {found.name}. " if own else ". "
    lost += f"{own.sentence}. " if own and own.sentence else ""
    if noise is None:
        return Told("partly", f"{lost}There is no null candidate, so no floor of the noise.")
    mean = _by_objectives(found) if found.rival else None
    if mean is None:
        return Told("partly", f"{lost}{noise.sentence}.")
    above = mean > noise.numbers["floor"]
    side = "above" if above else "not above"
    text = f"{lost}{noise.sentence}. The lead, {mean:+.3f} by mean of objectives, is {side} it."
    few = noise.numbers["duplicates"] < NULLS
    return Told("yes" if above and not few else "partly", text)


def _by_objectives(found: Found) -> float | None:
    """The lead in the mean that the search takes: over tasks, then over objectives."""
    ours, theirs = (found.first("rescored", name) for name in (found.name, found.rival))
    if ours is None or theirs is None:
        return None
    return ours.numbers["again"] - theirs.numbers["again"]


def _difference(finding: Finding) -> str:
    return (
        f"{finding.mean:+.3f} ({finding.low:+.3f} to {finding.high:+.3f}) against"
        f" {finding.against}, p {chance(finding.corrected)}"
    )


POINTS: tuple[Point, ...] = (
    ("Registered before, total runs told", _registered),
    ("Baselines tuned as hard", _tuned),
    ("Equal size, state and cost; with and without short convolution", _matched),
    ("Better on fresh seeds after Holm", _rescored),
    ("Held-out tasks improved or unharmed", _held_out),
    ("Longer sequences than trained", _beyond),
    ("Language at several sizes", _language),
    ("The one change that matters, beside the nearest known memory", _isolated),
    ("Speed", _speed),
    ("Failures, and the noise of null candidates", _failures),
)


def answered(findings: Iterable[Finding]) -> dict[str, int]:
    """How many points have which answer."""
    answers = [each.answer for each in findings if each.topic == "point"]
    return {answer: answers.count(answer) for answer in ("yes", "partly", "no")}
