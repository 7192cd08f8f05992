"""Behind `miras confirm`: train finalists and known memories anew, and say what that shows."""

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from miras.lines import append, read
from miras.part import SpecError
from miras.result import Finding, Result, TrialRecord

if TYPE_CHECKING:
    from miras.search.confirmation.confirmation import Confirmation
    from miras.search.ledger.ledger import Ledger
    from miras.search.study import Study

FOLDER, PLAN, FINDINGS = "confirm", "plan.json", "findings.jsonl"

WHO = ("finalist", "baseline", "worker")


def confirm(
    run: Annotated[
        Path,
        typer.Argument(readable=False, help="folder of a study, or the name of one with --storage"),
    ],
    study: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="study file whose `confirm` and `limits` are to be used; those of the run if left"
            " out",
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="begin nothing after so long; run again to go on")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes of one thread; the study's own if left out")
    ] = None,
    storage: Annotated[
        str,
        typer.Option(help="its ledger: postgresql://user@machine/name; the folder's if left out"),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="folder; that of the study or runs/<study> if left out"),
    ] = None,
) -> None:
    """Confirm what a study has found, or go on with it: finished runs are kept.

    The best new memories, all baselines and the nearest known memories are trained on fresh seeds,
    on held-out tasks, in larger shells and without the short convolution, as `confirm` of the study
    says, with equal learning rates for all. `RUN/confirm/README.md` says what that shows.
    """
    settle(run, study, minutes, workers, storage, out)


def settle(
    run: Path,
    file: Path | None = None,
    minutes: float | None = None,
    workers: int | None = None,
    storage: str = "",
    out: Path | None = None,
) -> list[Finding]:
    """Run what is missing, write page, figures and findings, and return these."""
    from miras.search.confirmation.asked import ask
    from miras.search.confirmation.findings import findings
    from miras.search.ledger.place import alone
    from miras.search.sweep.standing import Standing
    from miras.search.sweep.sweep import RESULTS
    from miras.search.sweep.sweep import run as run_sweep
    from miras.search.workers.progress import duration

    study, records = _opened(run, file, storage)
    there = run if run.is_dir() or not storage else Path("runs") / run.name
    home = (out or there) / FOLDER
    with alone(home) as place:
        plan = _plan(study, records, home)
        changes = {"workers": workers or plan.sweep.workers, "limits": study.limits}
        sweep = plan.sweep.model_copy(update=changes)
        begun = Standing(sweep, read(home / RESULTS, Result))
        count, seconds = begun.left()
        took = [run.seconds for each in records for run in each.results if run.status == "ok"]
        if took and not any(begun.runs.values()):  # then those of the search are the best guess
            seconds = count * fmean(took)
        numbers = (len(plan.finalists), len(plan.baselines), sweep.workers)
        counted = [f"{n} {what}{'s' * (n != 1)}" for n, what in zip(numbers, WHO, strict=True)]
        print(
            f"{counted[0]} against {counted[1]}: {count} runs are left, about"
            f" {duration(seconds / sweep.workers)} with {counted[2]}, more where a grid of rates"
            " grows",
            flush=True,
        )
        begins = (count > 0 and minutes != 0) or any(begun.runs.values())
        with _ledger(run, storage) as ledger:
            ask(ledger, plan, place.name, read(home / RESULTS, Result), begins)
        try:
            standing = run_sweep(sweep, home, minutes)
        except BrokenProcessPool:
            raise SpecError(
                "a training process was killed, as when memory runs out: what was finished is kept,"
                " run the command again, with fewer --workers if it happens again"
            ) from None
        with _ledger(run, storage) as ledger:
            asked = ask(ledger, plan, place.name, read(home / RESULTS, Result), begins)
        found = findings(study, records, plan, standing, asked)
        _publish(found, study.name, home)
    for each in found:
        if each.topic in ("score", "lead", "held_out", "left") and each.sentence:
            print(each.sentence)
    print(f"the page is {home / 'README.md'}")
    return found


def _opened(run: Path, file: Path | None, storage: str) -> tuple["Study", list[TrialRecord]]:
    """A study with its finished trials, out of its ledger."""
    from miras.search.engine import entered
    from miras.search.study import load_study

    with _ledger(run, storage) as ledger:
        study = entered(ledger)
        ended = [slot.record for slot in ledger.slots() if slot.record and slot.state == "done"]
    if file is not None:
        asked = load_study(file)
        if changed := asked.differences(study):
            raise SpecError(
                f"{file} differs from the study in {run} in {', '.join(changed)}: only `confirm`"
                " and `limits` may be others"
            )
        study = study.model_copy(update={"confirm": asked.confirm, "limits": asked.limits})
    return study, [TrialRecord.model_validate_json(each) for each in ended]


def _ledger(run: Path, storage: str) -> "Ledger":
    from miras.search.ledger.ledger import Ledger
    from miras.search.ledger.place import LEDGER

    path = run / LEDGER
    if not storage and not (path.is_file() and path.stat().st_size):
        raise SpecError(
            f"there is no study in {run}: `miras search STUDY` runs one; for a study in a data base"
            " write its name and --storage"
        )
    return Ledger(storage, run.name) if storage else Ledger(path)


def _plan(study: "Study", records: list[TrialRecord], home: Path) -> "Confirmation":
    """What is to be trained: kept, so that going on does not solve for all sizes again."""
    from miras.search.confirmation.confirmation import Confirmation, confirmation, fingerprint
    from miras.search.ledger.projection import write
    from miras.search.trial.apart import Apart

    mark, path = fingerprint(study, records), home / PLAN
    if path.is_file():
        before = Confirmation.model_validate_json(path.read_bytes())
        if before.made_from == mark:
            return before
        print("study or finalists have changed since: what still counts of the runs is kept")
    with Apart(study).used():
        plan = confirmation(study, records)
    if plan is None:
        raise SpecError(
            "nothing new was found so far: a memory to confirm is one that ended well and equals no"
            " known memory"
        )
    write(path, plan.model_copy(update={"made_from": mark}).model_dump_json() + "\n")
    return plan


def _publish(found: list[Finding], name: str, home: Path) -> None:
    from miras.page import to_markdown
    from miras.plots.confirmation.pictures import draw_all
    from miras.plots.confirmation.story import blocks
    from miras.search.ledger.projection import write

    (home / FINDINGS).unlink(missing_ok=True)
    for each in found:
        append(home / FINDINGS, each)
    page = to_markdown(f"{name}: what fresh seeds say", blocks(found, draw_all(found, home)))
    write(home / "README.md", page)
