"""What the ledger says, in files that others read: records, manifest, winners.

All of it follows from the ledger. Everybody who takes part writes it into a folder of its own. A
trial is written once: what is already there is looked up first.
"""

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
import pydantic
import torch
import yaml

from miras import __version__
from miras.lines import append, read
from miras.part import SpecError
from miras.result import TrialRecord

from ..promotion import Promotion
from ..space.space import Space
from ..study import Study, measured_by
from ..trial.evaluation import worth
from .ledger import Ledger

RECORDS, MANIFEST, BEST = "trials.jsonl", "study.json", "best.yaml"

SELECTION = (
    "The search and the choice of winners look at validation scores, the objectives of a record are"
    " test scores. Both belong to the seeds of the search: confirm a winner on fresh seeds."
)


class Projection:
    """The files of one study in one folder."""

    def __init__(self, study: Study, space: Space, ledger: Ledger, folder: Path) -> None:
        insist_on_study(folder, ledger)
        self.study, self.space, self.ledger, self.folder = study, space, ledger, folder
        self.records = {each.number: each for each in read(folder / RECORDS, TrialRecord)}
        self.promotion = Promotion(study)
        self.place = -1  # of the last trial that is in the files
        self.best: dict[tuple[str, ...], TrialRecord] = {}
        self._winners(self.records.values())

    def update(self) -> list[TrialRecord]:
        """Write what has ended since the last time; the new records, in the order of their end."""
        fresh: list[TrialRecord] = []
        for place, slot in self.ledger.ended(self.place):
            if slot not in self.records:
                record = TrialRecord.model_validate_json(self.ledger.record(slot))
                append(self.folder / RECORDS, record)
                self.records[slot] = record
                fresh.append(record)
            self.place = place
        if fresh:
            self._winners(fresh)
        return fresh

    def _winners(self, fresh: Iterable[TrialRecord]) -> None:
        """Write the best memory over all objectives, and the best of each, where they are new."""
        measures = self.study.measures
        new = list(fresh)
        for names in dict.fromkeys([measures, *((name,) for name in measures)]):
            last = self.best.get(names)
            best = winner(self.study, [last, *new] if last else new, names)
            if best is not None and best is not last:
                self.best[names] = best
                file = Path(BEST) if names == measures else Path("best", f"{names[0]}.yaml")
                write_winner(self.study, self.folder / file, best, names)

    def manifest(self, **times: object) -> None:
        """Write what the study is and where it stands."""
        refused = Counter(self.ledger.count_refusals())
        study = self.study
        found: dict[str, Any] = {
            "name": study.name,
            "description": study.description,
            **times,
            "objectives": list(study.measures),
            "measured_by": measured_by(study),
            "selection": SELECTION,
            "tasks": [task.model_dump(mode="json") for task in study.tasks],
            "shell": study.shell.model_dump(mode="json"),
            "baselines": list(study.baselines),
            "match": study.match and study.match.model_dump(mode="json", exclude_none=True),
            "learning_rate": study.model_dump(mode="json")["learning_rate"],
            "seeds": list(study.seeds),
            "seed": study.seed,
            "sampler": study.sampler.model_dump(mode="json"),
            "budget": study.budget.model_dump(mode="json"),
            "workers": study.workers,
            "space": self.space.data,
            "space_size": self.space.describe(),
            "grammar": self.space.fingerprint,
            "trials": dict(Counter(record.status for record in self.records.values())),
            "rungs": self.promotion.told(self.records.values()),
            "duplicates": refused.pop("duplicate", 0),
            "refused": dict(refused.most_common()),
            "versions": {
                "miras": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "optuna": optuna.__version__,
                "pydantic": pydantic.VERSION,
                "machine": platform.machine(),
            },
        }
        write(self.folder / MANIFEST, json.dumps(found, indent=1) + "\n")


def insist_on_study(folder: Path, ledger: Ledger) -> None:
    """Raise SpecError where a folder holds the files of another study than the ledger."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("started")
    except (OSError, ValueError, AttributeError):
        return  # nothing is there yet, or a file that is written anew
    begun = float(ledger.fact("started") or 0.0)
    if isinstance(told, int | float) and abs(told - begun) > 1.0:
        raise SpecError(
            f"{folder} holds the files of another study of that name: write --out with another"
            " folder, or move that one away"
        )


def winner(
    study: Study, records: Iterable[TrialRecord], names: tuple[str, ...]
) -> TrialRecord | None:
    """The trial with the best mean validation score; of equal ones that with the smaller state.

    A null candidate wins nothing: what it trains is the baseline beside it.
    """

    def merit(record: TrialRecord) -> tuple[float, int, int]:
        scores = worth(study, record)
        floats = max((result.state_floats for result in record.results), default=0)
        return round(fmean(scores[name] for name in names), 6), -floats, -record.number

    among = (each for each in records if each.status == "ok" and each.origin != "null")
    return max(among, key=merit, default=None)


def write_winner(study: Study, path: Path, best: TrialRecord, names: tuple[str, ...]) -> None:
    """Write the best trial as a model file."""
    pattern = best.memory.get("pattern", [best.memory])
    model = (best.shell or study.shell.model_dump(mode="json")) | {"pattern": pattern}
    validation = worth(study, best)
    scores = ", ".join(
        f"{name} {validation[name]:.3f} on validation, {best.objectives[name]:.3f} on test"
        for name in names
    )
    text = (
        f"# Trial {best.number} of study {study.name}: the best mean of {', '.join(names)}.\n"
        f"# {scores}\n"
    )
    body = {"model": model, "learning_rate": best.learning_rate}
    write(path, text + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100))


def write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
