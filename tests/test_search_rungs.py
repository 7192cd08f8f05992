"""Studies with rungs, from end to end, with trainings that take no time."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import search_fake
import yaml
from search_conduct import STUDY, study
from search_fake import score, trivial

from miras.known import known
from miras.lines import read
from miras.part import SpecError
from miras.plots import reading
from miras.result import Result, TrialRecord
from miras.search import Study, load_study, run, status
from miras.search.engine import enter
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import Place, Site, alone
from miras.search.ledger.reading import Slot
from miras.search.promotion import Promotion
from miras.search.proposing.planner import Plan
from miras.search.rungs import Entry, on_floor
from miras.search.trial.evaluation import Run, judge, runs_of
from miras.search.workers.parent import Parent, Terms
from miras.search.workers.worker import Worker, recorded

RUNGS: dict[str, Any] = {
    "nulls": 1,
    "cohort": 4,
    "agreement": -1.0,
    "learning_rate": [1e-3, 1e-2],
    "rungs": [
        {"tasks": ["mqar"], "keep": 0.5},
        {"keep": 0.5},
        {"learning_rate": "best", "seeds": [1, 2]},
    ],
    "budget": {"trials": 22},
    "sampler": {"kind": "portfolio", "startup": 6, "random": 0.25},
}


def records(folder: Path) -> list[TrialRecord]:
    found = read(folder / "trials.jsonl", TrialRecord)
    return sorted(found, key=lambda record: record.number)


def runs(record: TrialRecord) -> set[tuple[str, int, float]]:
    return {(each.task, each.seed, each.learning_rate) for each in record.results}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("rungs")
    run(study(found, **RUNGS), found, "search_fake:trivial")
    return found


@pytest.fixture(scope="module")
def played(folder: Path) -> list[TrialRecord]:
    return records(folder)


def test_trials_have_the_runs_of_the_rungs_that_they_saw(played: list[TrialRecord]) -> None:
    looks = [
        {("mqar", 0, 1e-3), ("mqar", 0, 1e-2)},
        {("parity", 0, 1e-3), ("parity", 0, 1e-2)},
        {(task, seed, 1e-2) for task in ("mqar", "parity") for seed in (1, 2)},
    ]
    assert len(played) == 22
    for record in played:
        shift = 100_000 if record.origin == "null" else 0
        seen = looks[: record.rung]
        expected = {(task, seed + shift, rate) for look in seen for task, seed, rate in look}
        assert runs(record) == expected
        assert record.status == ("ok" if record.rung == 3 else "stopped")
        assert set(record.objectives) == (
            {"recall"} if record.rung == 1 else {"recall", "tracking"}
        )


def test_trials_tell_who_thought_of_them_and_who_trained_them_when(
    played: list[TrialRecord],
) -> None:
    for record in played:
        assert len(record.sittings) == max(1, record.rung)
        times = [time for each in record.sittings for time in (each.started, each.ended)]
        assert times == sorted(times)
        assert all(re.fullmatch(r"[0-9a-f]{8}/\d+", each.worker) for each in record.sittings)
        known = record.origin in ("baseline", "null")
        minds = {"search": {"tpe", "evolution"}, "random": {"random"}}
        assert record.proposed_by in ({""} if known else minds[record.origin])
    assert {record.proposed_by for record in played} == {"", "tpe", "evolution", "random"}


def test_half_goes_on_and_measures_for_others_always_do(played: list[TrialRecord]) -> None:
    origins = [record.origin for record in played]
    assert origins[:2] == ["baseline", "null"] and origins.count("null") == 1
    assert all(record.rung == 3 for record in played if record.origin != "search")
    rungs = [record.rung for record in played if record.origin == "search"]
    assert {1, 2, 3} == set(rungs) and rungs.count(1) >= len(rungs) // 3
    stopped = [record for record in played if record.rung == 1]
    assert all("not among the best 50% of rung 1" in record.reason for record in stopped)


def test_what_rungs_did_is_told(folder: Path, played: list[TrialRecord]) -> None:
    lines = status(folder).rungs
    counts = [sum(record.rung > rung for record in played) for rung in range(3)]
    for rung, line in enumerate(lines):
        stopped = counts[rung] - counts[rung + 1]
        assert line.startswith(f"rung {rung + 1} stopped {stopped} of {counts[rung]}; its order")
    assert (
        len(lines) == 2 and list(lines) == json.loads((folder / "study.json").read_text())["rungs"]
    )


def test_who_fails_on_a_later_rung_was_not_stopped(folder: Path, played: list[TrialRecord]) -> None:
    told = Promotion(load_study(folder / "test.yaml"))
    first = next(record for record in played if record.rung == 1)
    late = [record for record in played if record is not first]
    late.append(first.model_copy(update={"status": "timed_out"}))
    before, after = (int(told.told(each)[0].split()[3]) for each in (played, late))
    assert after == before - 1
    assert told.told(late)[0].split()[5] == told.told(played)[0].split()[5]


def test_null_candidate_is_the_first_baseline_again(played: list[TrialRecord]) -> None:
    baseline, null = played[:2]
    assert (null.key, null.memory, null.equals) == (baseline.key, baseline.memory, baseline.equals)
    assert not runs(null) & runs(baseline)


@pytest.mark.parametrize("workers", [1, 3])
def test_course_does_not_depend_on_the_workers(tmp_path: Path, workers: int) -> None:
    """With a lag the trace is the same: memories, rungs and decisions."""
    traces: list[list[tuple[str, int, str]]] = []
    for count in (workers, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        found = study(folder, **{**RUNGS, "lag": 8, "workers": count})
        run(found, folder, "search_fake:trivial")
        traces.append([(each.key, each.rung, each.status) for each in records(folder)])
    assert traces[0] == traces[1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rungs": [{"tasks": ["mqa"]}, {}]}, "none of the tasks (did you mean 'mqar'?)"),
        ({"rungs": [{}, {"tasks": ["mqar"]}]}, "the last rung must have all tasks"),
        ({"rungs": [{"learning_rate": "best"}, {}]}, "no rate to choose from"),
        ({"rungs": [{}, {}], "lag": 4}, "lag 4 must be at least cohort 8"),
        ({"budget": {"trials": 1}, "nulls": 1}, "too small for 2 known memories"),
        (
            {"objectives": ["recall"], "rungs": [{"tasks": ["parity"]}, {}]},
            "a rung has parity, which says nothing of the objectives recall: add one of mqar",
        ),
        ({"rungs": [{}, {"seeds": [1001]}]}, "confirm uses seed 1001, which the search has seen"),
    ],
)
def test_errors_are_sentences(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**STUDY, **changes}))
    with pytest.raises(SpecError) as raised:
        load_study(path)
    assert sentence in str(raised.value)


def _on_the_first_rung(longer: Study, ledger: Ledger) -> Worker:
    """Six trials wait for two more."""
    worker = Worker(longer, ledger, Site(Place(Path("here"), "here"), "", "", "", 60.0))
    for slot in range(6):
        claim = ledger.claim("here/1.", below=8)
        assert claim is not None and claim.slot == slot
        plan = worker.planner.plan(claim)
        assert plan is not None
        own = runs_of(longer, plan.rates, 0, longer.shift(slot))
        results = [trivial(longer, plan.memory, each) for each in own]
        record = recorded(longer, slot, plan, results, None, 0.0, 0)
        ledger.finish_rung(slot, claim.token, record.model_dump_json())
    assert ledger.states(8)["waiting"] == 6
    return worker


def test_a_study_that_became_shorter_judges_who_waits(tmp_path: Path) -> None:
    """Six of a cohort of eight have finished a rung; then the study has no more than six."""
    changes: dict[str, Any] = {**RUNGS, "cohort": 8, "lag": 0}
    longer = study(tmp_path, **{**changes, "budget": {"trials": 8}})
    with Ledger(tmp_path / "ledger.db") as ledger:
        enter(longer, ledger, tmp_path)
        _on_the_first_rung(longer, ledger)
    run(longer.of_trials(6), tmp_path, "search_fake:trivial")
    assert sorted(each.number for each in records(tmp_path)) == list(range(6))


def test_a_study_that_becomes_shorter_judges_who_waits(tmp_path: Path) -> None:
    """By whoever works at it then, parent and worker alike."""
    changes: dict[str, Any] = {**RUNGS, "cohort": 8, "lag": 0}
    longer = study(tmp_path, **{**changes, "budget": {"trials": 8}})
    with alone(tmp_path) as here, Ledger(here.ledger) as ledger:
        enter(longer, ledger, tmp_path)
        parent = Parent(longer, ledger, here, "search_fake:trivial", Terms())
        worker = _on_the_first_rung(longer, ledger)
        enter(longer.of_trials(6), ledger, tmp_path)
        worker.step()
        assert worker.promotion and worker.promotion.study.budget.trials == 6
        ledger.decide = parent.projection.promotion
        assert parent.run().states["done"] == 6


def test_a_decision_looks_at_the_record_that_is_there(tmp_path: Path) -> None:
    """Not at one that was read in a transaction which was then rolled back."""
    found = study(tmp_path, **RUNGS)
    memory = known()["gla"]
    plan = Plan("search", memory, {}, found.rates)
    results = [trivial(found, memory, each) for each in runs_of(found, found.rates, 0)]
    better = [each.model_copy(update={"validation": 2.0}) for each in results]
    promotion = Promotion(found)
    seen = [
        promotion.entry(Slot(5, "search", "waiting", None, record.model_dump_json())).values
        for record in (recorded(found, 5, plan, runs, None, 0.0, 0) for runs in (results, better))
    ]
    assert seen[0] != seen[1] == ((2.0,),)


def test_a_report_takes_the_seeds_of_the_last_rung(folder: Path) -> None:
    """A rung on another seed chose who goes on: what it saw is in no score."""
    found = [reading.completed(each) for each in records(folder)]
    through = next(each for each in found if each.origin == "baseline")
    assert {each.seed for each in reading.results(through, "mqar")} == {1, 2}
    assert {each.seed for each in through.results} == {0, 1, 2}


def test_a_rung_on_which_all_known_memories_failed_stops_nobody() -> None:
    failed = Entry(0, "baseline", (), ended=True)
    good = Entry(1, "search", ((0.9,),))
    assert on_floor([failed, good], 0)
    assert on_floor([failed, Entry(2, "null", ((0.05,),))], 0)
    assert not on_floor([failed, Entry(2, "null", ((0.5,),))], 0)
    assert not on_floor([Entry(0, "baseline", ()), good], 0)  # still at it


def test_best_rate_is_that_of_the_rung_before(tmp_path: Path) -> None:
    found = study(tmp_path, **RUNGS)
    memory = known()["deltanet"]

    def trained(run: Run) -> Result:
        value = score(memory, run.task.name) - abs(run.rate - 1e-3)
        trivial = search_fake.trivial(found, memory, run)
        return trivial.model_copy(update={"score": value, "validation": value})

    results = [trained(each) for rung in (0, 1) for each in runs_of(found, found.rates, rung)]
    assert judge(found, results, None, 1).learning_rate == 1e-3
    assert judge(found, results, None, 2).status == "error"  # its seeds are not there yet
    results += [trained(each) for each in runs_of(found, [1e-3], 2)]
    verdict = judge(found, results, None)
    assert verdict.status == "ok" and verdict.learning_rate == 1e-3
