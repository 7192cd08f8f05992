"""Run a study, take part in one that somebody else has started, or ask how far one is.

Started again on the same folder, or with the same ledger, a study goes on.
"""

import time
from pathlib import Path

import optuna

from miras.canonical import key
from miras.known import known
from miras.part import SpecError
from miras.result import TrialRecord

from .ledger.ledger import LEASE, Ledger
from .ledger.place import LEDGER, alone
from .ledger.projection import winner
from .migrate import insist_on_grammar
from .promotion import Promotion
from .study import Study
from .workers.parent import Parent, Terms
from .workers.progress import Standing, line, standing

TRAIN = "miras.search.trial.evaluation:train"


def run(
    study: Study,
    folder: Path | str,
    train: str = TRAIN,
    *,
    storage: str = "",
    terms: Terms | None = None,
    lease: float = LEASE,
) -> Standing:
    """Run a study in a folder, or go on with it. Raises SpecError if the folder holds another one.

    `train` names the function that trains one memory on one task (see `evaluation.Train`).
    `storage` is the address of the ledger: by default a file in the folder.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with (
        alone(Path(folder)) as place,
        Ledger(storage or place.ledger, study.name if storage else "", lease) as ledger,
    ):
        enter(study, ledger, folder)
        return Parent(study, ledger, place, train, terms or Terms()).run()


def join(
    name: str,
    storage: str,
    folder: Path | str,
    train: str = TRAIN,
    *,
    terms: Terms | None = None,
    lease: float = LEASE,
) -> Standing:
    """Take part in a study that somebody has started. Raises SpecError if it is not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with Ledger(storage, name, lease) as ledger, alone(Path(folder)) as place:
        study = entered(ledger)
        insist_on_grammar(ledger, study.opened(), name)
        return Parent(study, ledger, place, train, terms or Terms()).run()


def status(folder: Path | str, storage: str = "") -> Standing:
    """How far the study in a folder is, or with `storage` the one of that name.

    Raises SpecError if there is none.
    """
    path = Path(folder) / LEDGER
    if not storage and not (path.is_file() and path.stat().st_size):
        raise SpecError(
            f"there is no study in {folder}: `miras search STUDY` starts one; for a study in a data"
            " base write its name and --storage"
        )
    with Ledger(storage, str(folder)) if storage else Ledger(path) as ledger:
        study = entered(ledger)
        records = [
            TrialRecord.model_validate_json(s.record)
            for s in ledger.slots()
            if s.record and s.state == "done"
        ]
        best = winner(study, records, study.measures)
        found = standing(study, ledger, records)._replace(best=line(best) if best else "")
        return found._replace(rungs=tuple(Promotion(study).told(records)))


def entered(ledger: Ledger) -> Study:
    """The study that a ledger was opened for. Raises SpecError if it does not hold it."""
    text = ledger.fact("study")
    if text is None:
        names = ", ".join(ledger.names()) or "none"
        raise SpecError(
            f"there is no study {ledger.study!r} in that ledger (it holds: {names}):"
            " `miras search STUDY --storage URL` starts one"
        )
    return Study.model_validate_json(text)


def enter(study: Study, ledger: Ledger, folder: Path | str) -> None:
    """Write a study into its ledger, or make sure that it is the one that is there."""
    text = study.model_dump_json()
    ledger.begin(study.name, study=text, started=time.time())
    if changed := study.differences(entered(ledger)):
        raise SpecError(
            f"{folder} holds a study with another {', '.join(changed)}: go on with the old file, or"
            " give the new study another name or folder (`miras migrate` moves what is finished)"
        )
    insist_on_grammar(ledger, study.opened(), folder)
    ledger.note(study=text, trials=study.budget.trials)
    keys = [key(known()[name]) for name in study.baselines]
    ledger.extend(study.budget.trials, keys, study.known - len(keys))
