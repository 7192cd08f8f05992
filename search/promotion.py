"""Decisions between rungs, from what the ledger holds of the trials."""

from collections.abc import Mapping, Sequence

from miras.result import TrialRecord

from .evaluation import judge
from .reading import Slot
from .rungs import Decision, Entry, decide
from .study import Study


class Promotion:
    """The decisions of one study; what a record says of its rung is worked out once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.reached: dict[tuple[int, int], tuple[str, tuple[float, ...]]] = {}

    def __call__(self, slots: Sequence[Slot]) -> Mapping[int, Decision]:
        """What becomes of trials that wait, as far as it can be said."""
        if len(self.study.looks) == 1:
            return {}
        return decide(self.study.rules, [self.entry(slot) for slot in slots])

    def entry(self, slot: Slot) -> Entry:
        """A trial with what it reached on every rung that it finished."""
        records = slot.passed if slot.record is None else (*slot.passed, slot.record)
        reached = [self._read(slot.slot, rung, text) for rung, text in enumerate(records)]
        return Entry(
            slot.slot,
            reached[0][0] if reached else slot.origin,
            tuple(values for _, values in reached if values),
            ended=slot.state == "done",
            waiting=slot.state == "waiting",
        )

    def _read(self, slot: int, rung: int, text: str) -> tuple[str, tuple[float, ...]]:
        """Origin, and validation scores of the objectives of a rung; none if the trial failed."""
        if (slot, rung) not in self.reached:
            record = TrialRecord.model_validate_json(text)
            failed = record.status not in ("ok", "stopped")
            verdict = judge(self.study, record.results, None, rung, self.study.shift(slot))
            found = () if failed else tuple(verdict.validation.values())
            self.reached[slot, rung] = record.origin, found
        return self.reached[slot, rung]
