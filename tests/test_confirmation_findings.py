"""What a confirmation shows, and that it claims no more."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from confirmation_cases import (
    HELD_OUT,
    done,
    pick,
    study,
    told,
    trials,
)

from miras.plots.confirmation import forest, rescored
from miras.result import Finding
from miras.search import Study
from miras.search.confirmation.aftermath import best_of, merit, of_search
from miras.search.confirmation.asked import ABLATION, NEIGHBOUR, Asked
from miras.search.confirmation.checklist import answered
from miras.search.confirmation.confirmation import (
    OWN,
    Confirmation,
    confirmation,
)
from miras.search.confirmation.findings import findings
from miras.search.confirmation.leads import Side, against_best
from miras.search.sweep.standing import Standing
from miras.statistics.pairs import exchanged_signs, paired_student, surely
from miras.statistics.untyped import stats


@pytest.fixture(scope="module")
def about() -> Study:
    return study(confirm={"held_out": [HELD_OUT], "shells": [{"dim": 96, "layers": 3}]})


@pytest.fixture(scope="module")
def plan(about: Study) -> Confirmation:
    found = confirmation(about, trials(about))
    assert found is not None
    return found


# What it shows


def scores(**tasks: list[float]) -> Mapping[str, Mapping[int, float]]:
    return {task: dict(enumerate(found)) for task, found in tasks.items()}


def test_three_witnesses() -> None:
    first, second = scores(a=[0.9, 0.8, 0.6, 0.9]), scores(a=[0.5, 0.5, 0.5, 0.6])
    expected = stats.ttest_1samp([0.4, 0.3, 0.1, 0.3], 0.0)
    found = paired_student(first, second)
    assert found.probability == pytest.approx(expected.pvalue) and found.freedom == 3
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert exchanged_signs(first, second) == 2 / 16
    assert exchanged_signs(scores(a=[0.1, 0.3]), scores(a=[0.3, 0.1])) == 1.0
    both = surely(first, second)
    assert (
        both.probability == 2 / 16 and both.low <= found.low and both.mean == pytest.approx(0.275)
    )
    # two tasks of which one is noisier: degrees of freedom as Welch's
    wide = paired_student(
        scores(a=[0.1, 0.2, 0.3], b=[0.0, 0.6, 0.3]), scores(a=[0.0] * 3, b=[0.0] * 3)
    )
    welch = stats.ttest_ind([0.1, 0.2, 0.3], [0.0, -0.6, -0.3], equal_var=False)
    assert wide.probability == pytest.approx(float(welch.pvalue))


def test_the_rival_is_chosen_on_validation_and_all_are_corrected() -> None:
    good = Side("good", scores(a=[0.8, 0.9, 0.8, 0.9], b=[0.7, 0.8, 0.75, 0.7]), 0.8)
    even_ = Side("even", scores(a=[0.5, 0.6, 0.4, 0.5], b=[0.5, 0.4, 0.6, 0.5]), 0.5)
    rival = Side("rival", scores(a=[0.5, 0.5, 0.5, 0.5], b=[0.5, 0.5, 0.5, 0.5]), 0.6)
    other = Side("other", scores(a=[1.0] * 4, b=[1.0] * 4), 0.1)
    better, same = against_best("lead", [good, even_], [other, rival], "here")
    assert (better.against, better.verdict, same.verdict) == (
        "rival",
        "better",
        "no difference shown",
    )
    assert better.mean == pytest.approx(0.29375) and better.pairs == 8
    assert better.probability is not None
    assert better.corrected == pytest.approx(2 * better.probability)
    (unsure,) = against_best("lead", [good], [rival], "here", among=20)
    assert unsure.corrected == pytest.approx(20 * better.probability)
    assert unsure.verdict == "no difference shown" and "no difference" in unsure.sentence


def test_comparisons_that_are_not_there_weaken_nobody_s_correction() -> None:
    """Of four the second best of those that are there is multiplied by three, whatever was lost."""
    good = Side("good", scores(a=[0.8, 0.9, 0.8, 0.9], b=[0.7, 0.8, 0.75, 0.7]))
    near = Side("near", scores(a=[0.55, 0.5, 0.6, 0.52], b=[0.5, 0.58, 0.49, 0.55]))
    rival = Side("rival", scores(a=[0.5, 0.5, 0.5, 0.5], b=[0.5, 0.5, 0.5, 0.5]))
    best, second = against_best("lead", [good, near], [rival], "here", among=4)
    assert best.probability is not None and second.probability is not None
    assert best.probability < second.probability < 1 / 3
    assert best.corrected == pytest.approx(4 * best.probability)
    assert second.corrected == pytest.approx(3 * second.probability)


def test_arms_count_what_was_proposed(about: Study, plan: Confirmation) -> None:
    """None that were left out because no memory was left; stopped ones as the lowest good one."""
    some = trials(about)
    (known,) = (each for each in some if each.number == 3)
    extra = [
        known.model_copy(update={"number": 91, "status": "stopped"}),
        known.model_copy(update={"number": 92, "status": "invalid", "key": "", "memory": {}}),
        known.model_copy(update={"number": 93, "origin": "random"}),
    ]
    records = [*some, *extra]
    (arms,) = (each for each in of_search(about, records, {}, plan) if each.topic == "arms")
    searched = [each for each in some if each.origin == "search"]
    good = [merit(about, each) for each in searched if each.status == "ok"]
    assert len(good) == len(searched) - 1
    whole = [*good, 0.0, min(good)]
    assert arms.numbers["search"] == pytest.approx(best_of(whole, int(arms.numbers["trials"])))
    assert f"from {len(whole)} of the search" in arms.sentence


def test_expected_best_of_equal_budgets() -> None:
    assert best_of([0.0, 1.0, 2.0], 1) == pytest.approx(1.0)
    assert best_of([2.0, 0.0, 1.0], 2) == pytest.approx((2 + 2 + 1) / 3)
    assert best_of([2.0, 0.0, 1.0], 3) == 2.0


@pytest.fixture(scope="module")
def found(about: Study, plan: Confirmation) -> list[Finding]:
    return findings(about, trials(about), plan, Standing(plan.sweep, done(plan.sweep, told)))


def test_findings_by_hand(found: list[Finding]) -> None:
    seeds = range(1001, 1006)
    own = [told("#3 found", "parity", seed) for seed in seeds]
    rival = [told("deltanet", "parity", seed) for seed in seeds]
    score = pick(found, "score", "#3 found", where=OWN)
    assert score.mean == pytest.approx(sum(own) / 5) and score.role == "finalist"
    assert (score.low, score.high) == pytest.approx(
        stats.t.interval(0.95, 4, sum(own) / 5, stats.sem(own))
    )
    lead = pick(found, "lead", "#3 found")
    assert lead.mean == pytest.approx(sum(own) / 5 - sum(rival) / 5)
    assert (lead.against, lead.verdict, lead.tasks, lead.pairs) == ("deltanet", "better", 2, 10)
    assert pick(found, "lead", "#4 found").verdict == "worse"
    assert pick(found, "held_out", "#3 found").verdict != "better"
    assert pick(found, "ablation", "#3 found").where == "bias"
    assert pick(found, "neighbour", "#4 found").against == "gated-deltanet"
    assert pick(found, "size", "#3 found").where.startswith("size 1")
    assert pick(found, "convolution", "#3 found").mean == pytest.approx(lead.mean)
    assert pick(found, "beyond", "#3 found").mean == pytest.approx(lead.mean)
    again = pick(found, "rescored", "#3 found")
    assert again.numbers == pytest.approx({"search": 0.8, "again": sum(own) / 5})
    noise = pick(found, "noise")
    assert noise.numbers["shift"] == pytest.approx(0.05) and noise.numbers["candidates"] == 5
    arms = pick(found, "arms")
    # of the search 0.8, 0.45, 1.0 and a failed one; of chance 0.3
    assert arms.numbers["search"] == pytest.approx((0.8 + 0.45 + 1.0 + 0.0) / 4)
    assert arms.numbers["random"] == pytest.approx(0.3)
    width = pick(found, "width", "gla")
    assert (width.numbers["tried"], width.numbers["good"]) == (4, 0.5)
    assert pick(found, "cost", "gla", where=OWN).numbers["state floats"] == 64
    runs = pick(found, "runs").numbers
    assert runs["trials"] == 8 and runs["runs of the search"] == 14


def test_all_that_was_ever_asked_is_corrected_for(
    about: Study, plan: Confirmation, found: list[Finding]
) -> None:
    """Three finalists now, nine before with other seeds; their runs count no more, and are told."""
    results = done(plan.sweep, told)
    before = Asked({OWN: 12, NEIGHBOUR: 6, ABLATION: 50}, len(results) + 40, 36.0 * 1e4)
    later = findings(about, trials(about), plan, Standing(plan.sweep, results), before)
    for topic, count in (("lead", 12), ("beyond", 12), ("neighbour", 6), ("ablation", 50)):
        one = pick(later, topic, "#3 found")
        assert one.probability is not None
        assert one.corrected == pytest.approx(min(1.0, count * one.probability)), topic
        own = pick(found, topic, "#3 found")
        assert own.corrected is not None and one.corrected and one.corrected > own.corrected
    runs = pick(later, "runs")
    assert runs.numbers["runs of the confirmation"] == len(results) + 40
    assert "40 runs were of other plans" in runs.sentence and "100." in runs.sentence
    (point,) = (each for each in later if each.subject.startswith("4."))
    assert "12 comparisons were asked for: Holm counts all of them" in point.sentence


def test_ten_points_claim_no_more_than_the_numbers(found: list[Finding]) -> None:
    points = [each for each in found if each.topic == "point"]
    assert [each.answer for each in points] == [
        "partly",  # nobody outside has witnessed the plan
        "partly",  # published ranges are the business of another command
        "yes",
        "yes",
        "partly",  # no difference is shown on a held-out task
        "yes",
        "no",  # no language
        "yes",
        "partly",
        "partly",  # one null candidate is no floor
    ]
    assert answered(found) == {"yes": 4, "partly": 5, "no": 1}
    assert all(each.sentence and each.against == "#3 found" for each in points)


def test_the_points_are_about_the_best_on_validation_and_corrected_for_the_choice(
    about: Study, plan: Confirmation
) -> None:
    """#4 is ahead on validation by luck of its trainings, which is in its test scores too."""

    def lucky(name: str, title: str, seed: int) -> float:
        return told(name, title, seed) + (0.4 if name == "#4 found" else 0.0)

    results = done(plan.sweep, lucky)
    swapped = [
        each.model_copy(update={"score": told(each.name, each.task, each.seed)})
        if each.name == "#4 found"
        else each
        for each in results
    ]
    for runs, verdict in ((results, "better"), (swapped, "worse")):
        found = findings(about, trials(about), plan, Standing(plan.sweep, runs))
        points = [each for each in found if each.topic == "point"]
        assert {each.against for each in points} == {"#4 found"}
        lead = pick(found, "lead", "#4 found")
        assert lead.verdict == verdict and lead.probability is not None
        assert lead.corrected is not None and lead.corrected >= 3 * lead.probability - 1e-12
        assert points[3].answer == ("yes" if verdict == "better" else "no")


def test_half_a_confirmation_claims_nothing(about: Study, plan: Confirmation) -> None:
    some = done(plan.sweep, told, most=20)
    found = findings(about, trials(about), plan, Standing(plan.sweep, some))
    assert not [each for each in found if each.topic in ("lead", "held_out", "size")]
    assert "runs are left" in pick(found, "left").sentence
    points = [each.answer for each in found if each.topic == "point"]
    assert points[3] == points[4] == "no" and "yes" not in points


def test_a_failed_run_counts_as_nothing(about: Study, plan: Confirmation) -> None:
    results = [
        each.model_copy(update={"status": "out_of_memory", "score": None, "validation": None})
        if (each.name, each.seed) == ("#3 found", 1002)
        else each
        for each in done(plan.sweep, told)
    ]
    found = findings(about, trials(about), plan, Standing(plan.sweep, results))
    score = pick(found, "score", "#3 found", where=OWN)
    own = [told("#3 found", "parity", seed) for seed in (1001, 1003, 1004, 1005)]
    assert score.numbers["failed"] == 2 and score.mean == pytest.approx(sum(own) / 5)
    assert pick(found, "lead", "#3 found").verdict == "no difference shown"
    assert score.sentence.endswith("of 10 runs 2 ran out of memory; each counts as 0")
    assert pick(found, "score", "gla", where=OWN).sentence == ""
    assert "one core; of those that count 7 ran out of memory" in pick(found, "runs").sentence
    (point,) = (each for each in found if each.subject.startswith("10."))
    assert score.sentence in point.sentence


def test_figures(found: list[Finding]) -> None:
    rows = forest.table(found)
    mine = [row.label for row in rows if row.panel == "#3 found"]
    assert mine == [
        *("tasks of the study", "nearest known", "held-out tasks", "longer than trained"),
        *("size 1 with dim 96 and 3 layers", "without convolution", "own bias"),
    ]
    numbers = {row.label: row for row in rows if row.panel == "#3 found"}
    for label, row in numbers.items():  # #3 has 0.3 more than DeltaNet, with the same noise
        held_out = label == "held-out tasks"
        assert row.mean == pytest.approx(-0.05 if held_out else 0.3), label
        assert (row.low, row.high) == pytest.approx((row.mean, row.mean))
        assert row.verdict == ("no difference shown" if held_out else "better")
        assert row.against == ("that of the nearest" if label == "own bias" else "deltanet")
    (even,) = [row for row in rows if (row.panel, row.label) == ("#4 found", "nearest known")]
    lead = pick(found, "neighbour", "#4 found")
    assert (even.mean, even.low, even.high) == (lead.mean, lead.low, lead.high)
    assert even.low < -0.01 < even.mean < 0.01 < even.high and even.against == "gated-deltanet"
    (behind,) = [row for row in rows if (row.panel, row.label) == ("#4 found", mine[0])]
    assert behind.mean == pytest.approx(-0.05) and behind.verdict == "worse"
    dots = rescored.table(found)
    assert [row.name for row in dots if row.finalist] == ["#3 found", "#4 found", "#5 found"]
    assert [row.search for row in dots if not row.name] == [0.3, 0.8]


def test_the_rule_of_the_tutorial_is_the_rule() -> None:
    """Section 8 shows a line of the program: its numbers give its verdict, and the limits hold."""
    page = (Path(__file__).parents[1] / "docs/tutorial.md").read_text(encoding="utf-8")
    section = page.partition("## 8. ")[2].partition("## 9. ")[0]
    shown = re.search(r"shown: ([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\), p ([\d.]+)", section)
    assert shown is not None
    mean, low, high, chance = map(float, shown.groups())
    lead = Finding(topic="lead", mean=mean, low=low, high=high, corrected=chance)
    assert lead.verdict == "no difference shown" and f"{chance:.3f} is above 0.05" in section
    for words in ("95 % interval", "at most\n5 %", "Holm's correction", "largest of three tests"):
        assert words in section
    limit = {"low": 0.1, "high": 0.3}
    assert lead.model_copy(update=limit | {"corrected": 0.05}).verdict == "better"
    assert lead.model_copy(update=limit | {"corrected": 0.051}).verdict != "better"
    assert lead.model_copy(update={"low": 0.0, "corrected": 0.05}).verdict != "better"
