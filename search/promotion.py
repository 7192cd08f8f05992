"""Decisions between rungs, from what the ledger holds of the trials."""

from collections.abc import Iterable, Mapping, Sequence

from miras.result import TrialRecord

from .ledger.reading import Slot
from .rungs import PAIRS, Decision, Entry, agreement, decide, on_floor
from .study import Study
from .trial.evaluation import judge


class Promotion:
    """The decisions of one study; what a record says of its rung is worked out once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.reached: dict[tuple[int, int], tuple[str, str, tuple[float, ...]]] = {}
        self.worth: dict[tuple[int, int], tuple[float, ...]] = {}

    def __call__(self, slots: Sequence[Slot]) -> Mapping[int, Decision]:
        """What becomes of trials that wait, as far as it can be said."""
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

    def told(self, records: Iterable[TrialRecord]) -> list[str]:
        """For each rung but the last whom it stopped, and whether it may stop anybody."""
        study, last = self.study, len(self.study.looks) - 1
        if not last:
            return []
        ended = [
            Entry(
                record.number,
                record.origin,
                tuple(self._values(record, rung) for rung in range(record.rung)),
                ended=True,
            )
            for record in records
        ]
        lines: list[str] = []
        for rung in range(last):
            seen = [entry for entry in ended if len(entry.values) > rung]
            stopped = sum(len(entry.values) == rung + 1 for entry in seen)
            found = agreement(ended, rung, last)
            line = (
                f"rung {rung + 1} stopped {stopped} of {len(seen)}; its order agrees with that of"
                f" the last one by {found.correlation:.2f} over {found.pairs} that none stops"
            )
            if on_floor(seen, rung):
                line += "; no known memory has left the floor on it, so it stops nobody"
            elif not found.enough(study.agreement):
                line += f", less than {study.agreement:g}: it stops nobody any more"
            elif found.pairs < PAIRS:
                line += f"; with fewer than {PAIRS} it is given credit"
            lines.append(line)
        return lines

    def _read(self, slot: int, rung: int, text: str) -> tuple[str, tuple[float, ...]]:
        """Origin, and what was reached on a rung; nothing if the trial failed."""
        before = self.reached.get((slot, rung))
        if before is None or before[0] != text:  # a transaction that was rolled back had another
            self.worth.pop((slot, rung), None)
            record = TrialRecord.model_validate_json(text)
            failed = record.status not in ("ok", "stopped")
            values = () if failed else self._values(record, rung)
            before = self.reached[slot, rung] = text, record.origin, values
        return before[1:]

    def _values(self, record: TrialRecord, rung: int) -> tuple[float, ...]:
        """Validation scores of the objectives that a rung measures, in order."""
        place = record.number, rung
        if place not in self.worth:
            shift = self.study.shift(record.number)
            verdict = judge(self.study, record.results, None, rung, shift)
            self.worth[place] = tuple(verdict.validation.values())
        return self.worth[place]
