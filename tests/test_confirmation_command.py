"""`miras confirm`: it goes on after a kill, and writes a page."""

import itertools
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path

import pytest
from confirmation_cases import (
    done,
    outcome,
    pick,
    score_of,
    study,
    told,
    trials,
)

from miras import confirming
from miras.benchmarks.null_study import even, jumps, null_studies
from miras.lines import append, read
from miras.part import SpecError
from miras.plots.report import write as report
from miras.result import Finding, Result
from miras.search import Study, load_study
from miras.search.confirmation.asked import RUNS, ask
from miras.search.confirmation.confirmation import (
    confirmation,
)
from miras.search.engine import enter
from miras.search.ledger.ledger import Ledger
from miras.search.sweep import sweep
from miras.search.sweep.comparison import Job, Sweep


def ran(folder: Path, about: Study) -> Path:
    """A run whose trials have ended."""
    folder.mkdir()
    with Ledger(folder / "ledger.db") as ledger:
        enter(about, ledger, folder)
        for record in trials(about):
            claim = ledger.claim("here/1.", below=8)
            assert claim is not None
            ledger.finish(claim.slot, claim.token, record.model_dump_json())
    for record in trials(about):
        append(folder / "trials.jsonl", record)
    return folder


def test_the_command_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = study(confirm={"conv": False, "finalists": 2})
    plan = confirmation(about, trials(about))
    assert plan is not None
    folder = ran(tmp_path / "tiny", about)
    began: list[Job] = []

    def execute(asked: Sweep, job: Job) -> Result:
        began.append(job)
        assert asked.limits == about.limits
        return outcome(asked, job, score_of(asked, job, told))

    monkeypatch.setattr(sweep, "execute", execute)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
    confirming.settle(folder, minutes=0.0)
    assert not began and "not finished" in (folder / "confirm/README.md").read_text()
    part = done(plan.sweep, told, most=60)
    for each in part:
        append(folder / "confirm/results.jsonl", each)
    with (folder / "confirm/results.jsonl").open("a") as file:
        file.write('{"schema_version": 2, "na')  # a line that a kill has torn
    found = confirming.settle(folder, workers=1)
    assert len(began) == len(done(plan.sweep, told)) - 60 == len(set(began))
    assert pick(found, "lead", "#3 found").verdict == "better"
    assert read(folder / "confirm/findings.jsonl", Finding) == found

    page = (folder / "confirm/README.md").read_text()
    lead = pick(found, "lead", "#3 found")
    assert f"{lead.mean:+.3f}" in page and "| #3 found | finalist |" in page
    assert "| #3 found | bias | deltanet |" in page and "a gain |" in page
    assert "Winner's curse: Over 4 memories" in page and page.count("figures/forest-") == 2
    assert "10. Failures" in page and "not finished" not in page
    began.clear()
    confirming.settle(folder, workers=1)
    assert not began

    text = report(folder).read_text()
    short = text.split("What was searched, and how</")[1]  # from contents to heading
    assert "On fresh seeds" in text and escape(f"{lead.sentence}.") in short


def test_runs_count_once_wherever_their_folder_is_seen_from(tmp_path: Path) -> None:
    about = study(confirm={"conv": False, "finalists": 2})
    plan = confirmation(about, trials(about))
    assert plan is not None
    results = done(plan.sweep, told, most=30)
    with Ledger(tmp_path / "ledger.db") as ledger:
        enter(about, ledger, tmp_path)
        ledger.note(**{f"{RUNS}old": "5 180.0"})  # by the name of the folder, as it was once noted
        for count, folder in ((10, "old"), (20, "here"), (30, "there")):
            assert ask(ledger, plan, folder, results[:count], True).runs == count
        other = [each.model_copy(update={"seed": 7}) for each in results[:4]]
        assert ask(ledger, plan, "there", other, True).runs == 34


def test_who_confirms_again_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other seeds are another draw, and a folder that was removed takes none of them back."""
    fields = study(confirm={"conv": False, "finalists": 1, "ablate": False})
    path, plain = tmp_path / "tiny.yaml", fields.model_dump(mode="json")
    path.write_text(json.dumps(plain))
    about = load_study(path)
    folder = ran(tmp_path / "tiny", about)
    clock = itertools.count(36)  # no run takes as long as another one

    def execute(asked: Sweep, job: Job) -> Result:
        found = outcome(asked, job, score_of(asked, job, told))
        return found.model_copy(update={"seconds": float(next(clock))})

    monkeypatch.setattr(sweep, "execute", execute)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", lambda n, *_: ThreadPoolExecutor(n))
    first = confirming.settle(folder)
    count = pick(first, "runs").numbers["runs of the confirmation"]
    assert count == len(read(folder / "confirm/results.jsonl", Result)) > 0
    shutil.rmtree(folder / "confirm")
    again = confirming.settle(folder)
    lead = pick(again, "lead")
    assert lead == pick(first, "lead") and lead.corrected == lead.probability
    plain["confirm"]["seeds"] = [2001, 2002, 2003, 2004, 2005]
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(plain))
    later = pick(found := confirming.settle(folder, file=other), "lead")
    assert later.probability and later.corrected == pytest.approx(2 * later.probability)
    runs = pick(found, "runs").numbers
    assert (runs["finalists compared"], runs["runs that count no more"]) == (2, 2 * count)


def test_nothing_to_confirm_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no study in"):
        confirming.settle(tmp_path / "none")
    about, folder = study(), tmp_path / "empty"
    folder.mkdir()
    with Ledger(folder / "ledger.db") as ledger:
        enter(about, ledger, folder)
    with pytest.raises(SpecError, match="nothing new was found"):
        confirming.settle(folder)
    other = tmp_path / "other.yaml"
    fields = about.model_dump(mode="json") | {"learning_rate": 0.5, "space": "quickstart"}
    other.write_text(json.dumps(fields))
    with pytest.raises(SpecError, match=r"differs from the study in .* learning_rate"):
        confirming.settle(folder, file=other)


def test_null_finalists_are_rarely_called_better() -> None:
    assert null_studies(20, [even, jumps], tasks=2).better <= 2
