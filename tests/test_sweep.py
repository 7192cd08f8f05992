"""A sweep: what is still to run follows from the results, whatever happened before."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from miras.listing import yamls
from miras.load import brief
from miras.result import Point, Result
from miras.search.sweep import rates
from miras.search.sweep.comparison import Job, Sweep, load_sweep
from miras.search.sweep.standing import GUESS, Place, Standing
from miras.search.sweep.sweep import execute, records, run
from miras.search.sweep.sweep_page import page

TASK = {"kind": "parity", "steps": 2, "batch": 4, "validation": 8, "test": 8}


def sweep(**changes: object) -> Sweep:
    fields = {
        "name": "tiny",
        "compare": [{"task": TASK, "memories": ["gla", "deltanet"]}],
        "learning_rates": [0.001, 0.01],
        "seeds": [0, 1, 2],
    }
    return Sweep.model_validate(fields | changes)


def outcome(plan: Sweep, job: Job, score: float, status: str = "ok") -> Result:
    comparison = plan.compare[job.comparison]
    return Result.model_validate(
        {
            "name": comparison.memories[job.memory].name,
            "key": "k",
            "memory": brief(comparison.memories[job.memory]),
            "task": comparison.task.name,
            "settings": {
                "task": comparison.task.model_dump(mode="json"),
                "shell": comparison.shell.model_dump(mode="json"),
            },
            "seed": job.seed,
            "learning_rate": job.learning_rate,
            "status": status,
            "score": score,
            "validation": score,
            "metrics": {"accuracy/L=64": score},
            "curve": [Point(step=2, tokens=8, loss=1 - score, score=score)],
        }
    )


def needed(plan: Sweep, results: Sequence[Result]) -> list[Job]:
    return Standing(plan, results).needed()


def finish(plan: Sweep, scores: dict[float, float], done: Sequence[Result] = ()) -> list[Result]:
    """Run what is left of a sweep whose score depends on the rate alone."""
    found = list(done)
    for _ in range(10):
        jobs = needed(plan, found)
        if not jobs:
            return found
        found += [outcome(plan, job, scores[round(job.learning_rate, 6)]) for job in jobs]
    raise AssertionError("the sweep does not end")


def test_rates_first_then_seeds_at_the_best():
    plan = sweep(notches=0)
    first = needed(plan, [])
    assert {job.seed for job in first} == {0} and len(first) == 4
    found = finish(plan, {0.001: 0.2, 0.01: 0.7})
    runs = Standing(plan, found).final(0)["gla"]
    assert [(run.seed, run.learning_rate) for run in runs] == [(0, 0.01), (1, 0.01), (2, 0.01)]


def test_the_grid_grows_at_its_edge_once_per_notch():
    found = finish(sweep(notches=1), {0.001: 0.2, 0.01: 0.7, 0.1: 0.9})
    assert {round(run.learning_rate, 6) for run in found} == {0.001, 0.01, 0.1}
    inside = finish(sweep(learning_rates=[0.001, 0.01, 0.1]), {0.001: 0.2, 0.01: 0.7, 0.1: 0.3})
    assert {run.learning_rate for run in inside} == {0.001, 0.01, 0.1}


def test_rates_that_the_file_no_longer_has_are_not_chosen():
    before = finish(sweep(notches=0, learning_rates=[0.001, 0.1]), {0.001: 0.2, 0.1: 0.9})
    plan = sweep(notches=0, learning_rates=[0.001, 0.01])
    found = finish(plan, {0.001: 0.2, 0.01: 0.7}, before)
    runs = Standing(plan, found).final(0)["gla"]
    assert {run.learning_rate for run in runs} == {0.01} and len(runs) == 3


def test_a_diverged_rate_is_never_chosen():
    plan = sweep(notches=0, seeds=[0])
    jobs = needed(plan, [])
    found = [
        outcome(plan, job, 0.9, "diverged")
        if job.learning_rate > 0.005
        else outcome(plan, job, 0.1)
        for job in jobs
    ]
    assert needed(plan, found) == []
    assert {run.learning_rate for run in records(Standing(plan, found))[0].results} == {0.001}


def test_taking_up_at_any_point_runs_the_same_set():
    plan = sweep()
    scores = {0.0001: 0.1, 0.001: 0.7, 0.01: 0.2}
    whole = finish(plan, scores)
    every = {(run.name, run.learning_rate, run.seed) for run in whole}
    for cut in range(len(whole)):
        found = finish(plan, scores, whole[:cut])
        assert {(run.name, run.learning_rate, run.seed) for run in found} == every
        assert len(found) == len(every)


def test_results_of_an_earlier_version_count():
    """A field that came later had its default."""
    plan = sweep(notches=0, seeds=[0])
    found = finish(plan, {0.001: 0.2, 0.01: 0.7})
    for each in found:
        each.settings["task"].pop("shortest")
        each.settings["shell"].pop("tie")
    assert needed(plan, found) == []


def test_results_of_another_setting_do_not_count():
    plan, other = sweep(), sweep(compare=[{"task": TASK | {"steps": 3}, "memories": ["gla"]}])
    assert needed(other, finish(plan, {0.0001: 0.1, 0.001: 0.7, 0.01: 0.2})) == needed(other, [])


def test_results_of_other_seeds_do_not_count():
    plan, other = sweep(notches=0), sweep(notches=0, seeds=[7, 8])
    scores = {0.001: 0.2, 0.01: 0.7}
    both = Standing(other, [*finish(plan, scores), *finish(other, scores)])
    assert [run.seed for run in both.final(0)["gla"]] == [7, 8]


def test_a_run_as_it_is_written_counts():
    plan = sweep(learning_rates=[0.001], seeds=[0], notches=0)
    (job, other) = needed(plan, [])
    found = Result.model_validate_json(execute(plan, job).model_dump_json())
    assert needed(plan, [found]) == [other]
    fields = {"name": "gla"} | found.memory | {"bias": "l2"}
    assert needed(plan, [found.model_copy(update={"memory": fields})]) == [job, other]


def test_the_page_shows_mean_and_spread():
    plan = sweep(notches=0)
    found = page(Standing(plan, finish(plan, {0.001: 0.2, 0.01: 0.75})))
    assert "| gla | 0.01 | 1 of 2, 0.0 decades | 0 |" in found
    assert (
        "| 3 | 0.750 ± 0.000 | 0.750 | 0 of 3 (0.00–0.56) | – (0 of 3) | 0.750 ± 0.000 |" in found
    )
    good = page(Standing(plan, finish(plan, {0.001: 0.2, 0.01: 0.95})))
    assert "| 0.950 | 3 of 3 (0.44–1.00) | 8 (3 of 3) |" in good
    assert "not finished" in page(Standing(plan))


def test_what_is_left_is_told_from_what_was_seen():
    plan = sweep(notches=0)
    assert Standing(plan).left() == (8, 8 * GUESS)  # two memories: two rates, two more seeds
    first = outcome(plan, Job(0, 0, 0.001, 0), 0.5).model_copy(update={"seconds": 7.0})
    assert Standing(plan, [first]).left() == (7, 49.0)
    assert Standing(plan, finish(plan, {0.001: 0.2, 0.01: 0.75})).left() == (0, 0.0)


def at(*scores: float) -> list[Result]:
    plan, all_rates = sweep(), (0.001, 0.003, 0.01, 0.03)
    jobs = [Job(0, 0, rate, 0) for rate in all_rates[: len(scores)]]
    return [outcome(plan, job, score) for job, score in zip(jobs, scores, strict=True)]


def test_width_counts_the_good_rates():
    assert rates.width(at(0.1, 0.91, 1.0, 0.89)) == (2, 4, pytest.approx(0.523, abs=1e-3))
    assert rates.width(at(0.9, 0.5, 1.0, 0.9)) == (3, 4, pytest.approx(0.477, abs=1e-3))
    assert rates.width(at(0.3, 0.3, 0.3)) == (3, 3, pytest.approx(1.0))
    assert rates.width(at(0.0, 0.0)).share == 0.0 and rates.width([]) == (0, 0, 0.0)
    failed = [each.model_copy(update={"status": "diverged"}) for each in at(1.0)]
    assert rates.width([*failed, *at(0.0, 0.2)[1:]]).good == 1


def test_comparisons_with_another_shell_are_apart():
    plan = sweep(
        notches=0,
        compare=[
            {"name": "two", "task": TASK, "memories": ["gla"]},
            {"name": "one", "task": TASK, "memories": ["gla"], "shell": {"layers": 1}},
        ],
    )
    found = Standing(plan, [outcome(plan, Job(1, 0, 0.001, 0), 0.5)])
    assert not found.runs[Place(0, 0)] and len(found.runs[Place(1, 0)]) == 1


def test_a_changed_memory_is_run_again():
    changed = {"use": "gla", "name": "gla", "wiring": {"output_gate": "none"}}
    plan = sweep(compare=[{"task": TASK, "memories": ["gla"]}])
    other = sweep(compare=[{"task": TASK, "memories": [changed]}])
    assert len(needed(other, finish(plan, {0.0001: 0.1, 0.001: 0.7, 0.01: 0.2}))) == 2


def test_a_run_that_raises_is_a_result():
    plan = sweep(compare=[{"task": TASK, "memories": ["gla"], "shell": {"dim": 7, "heads": 2}}])
    found = execute(plan, Job(0, 0, 0.001, 0))
    assert found.status == "invalid" and "not a multiple" in found.reason
    assert len(needed(plan, [found])) == 1


def test_no_time_means_nothing_is_begun(tmp_path: Path):
    found = run(sweep(), tmp_path, minutes=0)
    assert found.left()[0] == 8 and not (tmp_path / "results.jsonl").exists()


@pytest.mark.parametrize("path", yamls("studies"), ids=lambda path: path.stem)
def test_shipped_sweeps_load(path: Path):
    if "compare:" in path.read_text():
        assert load_sweep(path).compare
