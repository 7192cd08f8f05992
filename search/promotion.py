"""Decisions between rungs, from what the ledger holds of the trials."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from miras.result import TrialRecord

from .ledger.reading import Slot
from .rungs import PAIRS, Decision, Entry, agreement, decide, on_floor
from .study import Study
from .trial.evaluation import judge

Reached = tuple[tuple[float, ...], ...]
"""Validation scores of the objectives, rung by rung."""


class Promotion:
    """The decisions of one study; what a record says of its rung is worked out once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.reached: dict[int, tuple[str, str, Reached]] = {}
        self.worth: dict[tuple[int, int], tuple[float, ...]] = {}

    def __call__(self, slots: Sequence[Slot]) -> Mapping[int, Decision]:
        """What becomes of trials that wait, as far as it can be said."""
        return decide(self.study.rules, [self.entry(slot) for slot in slots])

    def entry(self, slot: Slot) -> Entry:
        """A trial with what it reached on every rung that it finished.

        The latest record has the runs of all of them; of one that was migrated there is no other.
        """
        latest = slot.record or (slot.passed[-1] if slot.passed else None)
        origin, reached = self._read(slot.slot, latest) if latest else (slot.origin, ())
        ended, waiting = slot.state == "done", slot.state == "waiting"
        return Entry(slot.slot, origin, reached, ended=ended, waiting=waiting)

    def told(self, records: Iterable[TrialRecord]) -> list[str]:
        """For each rung but the last whom it stopped, and whether it may stop anybody."""
        study, last = self.study, len(self.study.looks) - 1
        if not last:
            return []
        records = list(records)
        ended = [
            Entry(record.number, record.origin, self._reached(record), ended=True)
            for record in records
        ]
        pairs = zip(records, ended, strict=True)
        stopped = Counter(len(entry.values) for each, entry in pairs if each.status == "stopped")
        lines: list[str] = []
        for rung in range(last):
            seen = [entry for entry in ended if len(entry.values) > rung]
            found = agreement(ended, rung, last)
            line = (
                f"rung {rung + 1} stopped {stopped[rung + 1]} of {len(seen)}; its order agrees with"
                f" that of the last one by {found.correlation:.2f} over {found.pairs} that none"
                " stops"
            )
            if on_floor(seen, rung):
                line += "; no known memory has left the floor on it, so it stops nobody"
            elif not found.enough(study.agreement):
                line += f", less than {study.agreement:g}: it stops nobody any more"
            elif found.pairs < PAIRS:
                line += f"; with fewer than {PAIRS} it is given credit"
            lines.append(line)
        return lines

    def _read(self, slot: int, text: str) -> tuple[str, Reached]:
        """Origin, and what was reached on the rungs that were passed."""
        before = self.reached.get(slot)
        if before is None or before[0] != text:  # a transaction that was rolled back had another
            for rung in range(len(self.study.looks)):
                self.worth.pop((slot, rung), None)
            record = TrialRecord.model_validate_json(text)
            before = self.reached[slot] = text, record.origin, self._reached(record)
        return before[1:]

    def _reached(self, record: TrialRecord) -> Reached:
        """Up to the first rung of which runs are missing: a migrated trial may lack some."""
        found = (self._values(record, rung) for rung in range(record.rung))
        return tuple(takewhile(bool, found))

    def _values(self, record: TrialRecord, rung: int) -> tuple[float, ...]:
        """Validation scores of the objectives that a rung measures, in order."""
        place = record.number, rung
        if place not in self.worth:
            shift = self.study.shift(record.number)
            verdict = judge(self.study, record.results, None, rung, shift)
            self.worth[place] = tuple(verdict.validation.values())
        return self.worth[place]
