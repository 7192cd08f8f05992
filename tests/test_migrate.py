"""Finished trials go on in a wider space; what has no counterpart is counted and told."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from search_fake import trivial

from miras.canonical import key
from miras.composition import AnyCell
from miras.known import cells
from miras.load import reads
from miras.part import SpecError
from miras.result import TrialRecord
from miras.search.engine import enter, join
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import LEDGER
from miras.search.migrate import GRAMMAR, insist_on_grammar, migrate
from miras.search.promotion import Promotion
from miras.search.proposing.planner import Plan, Planner
from miras.search.space.derive import FromChoices, build, derivations, derive
from miras.search.space.inverse import choices_of
from miras.search.space.space import space_of
from miras.search.study import Study, load_study
from miras.search.workers.worker import recorded

NARROW = "{use: deltanet, bias: {any: [l2, dot]}, retention: {any: [none, decay]}}"
WIDE = """
    use: deltanet
    bias: {any: [l2, dot, {kind: lp, p: {float: [1.0, 3.0]}}]}
    retention: {any: [none, {kind: decay, axis: {any: [scalar, key]}}]}
"""
CELL: Any = AnyCell


def study(folder: Path, name: str, space: str, **more: object) -> Study:
    given = {
        "space": yaml.safe_load(space),
        "tasks": [{"kind": "copy"}],
        "baselines": ["gated-deltanet"],
        "nulls": 0,
        "budget": {"trials": 6},
        "workers": 1,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(given | more))
    return load_study(path)


def worked(
    found: Study, folder: Path, trials: int, stopped: tuple[int, ...] = ()
) -> list[TrialRecord]:
    """So many trials of a study, each good at once."""
    from miras.search.trial.evaluation import runs_of

    folder.mkdir()
    with Ledger(folder / LEDGER) as ledger:
        enter(found, ledger, folder)
        insist_on_grammar(ledger, found.opened(), folder)
        planner = Planner(found, found.opened(), ledger)
        for _ in range(trials):
            claim = ledger.claim("me", below=found.budget.trials)
            assert claim is not None
            plan = planner.plan(claim)
            assert isinstance(plan, Plan)
            last = 0 if claim.slot in stopped else len(found.looks) - 1
            runs = [run for rung in range(last + 1) for run in runs_of(found, plan.rates, rung)]
            results = [trivial(found, plan.memory, run) for run in dict.fromkeys(runs)]
            record = recorded(found, claim.slot, plan, results, None, 1.0, last)
            ledger.finish(claim.slot, claim.token, record.model_dump_json())
        return records(ledger)


def records(ledger: Ledger) -> list[TrialRecord]:
    rows = [slot for slot in ledger.slots() if slot.record and slot.state == "done"]
    return [TrialRecord.model_validate_json(row.record or "") for row in rows]


def test_trials_go_on_in_a_wider_space(tmp_path: Path) -> None:
    old = worked(study(tmp_path, "old", NARROW), tmp_path / "old", 4)
    new = study(tmp_path, "new", WIDE, budget={"trials": 8})
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    assert moved.moved == {0: 0, 1: 1, 2: 2, 3: 3} and not moved.left
    assert "4 of 4 finished trials were moved" in str(moved)
    with Ledger(tmp_path / "new" / LEDGER) as ledger:
        found = records(ledger)
        assert [each.key for each in found] == [each.key for each in old]
        assert [each.results for each in found] == [each.results for each in old]
        assert [each.number for each in found] == [0, 1, 2, 3]
        assert {each.study for each in found} == {"new"}
        for record in found[1:]:
            again = build(derive(new.opened(), FromChoices(record.choices)).spec)
            assert key(again) == record.key  # type: ignore[arg-type]
        # what the sampler sees has the options of the new space, and the search goes on
        planner = Planner(new, new.opened(), ledger)
        claim = ledger.claim("me", below=8)
        assert claim is not None and claim.slot == 4
        trials = planner.history.before(4).trials
        assert len(trials) == 3
        assert {str(t.distributions["bias"]) for t in trials} == {
            "CategoricalDistribution(choices=('dot', 'l2', 'lp'))"
        }
        plan = planner.plan(claim)
        assert isinstance(plan, Plan) and key(plan.memory) not in {each.key for each in old}
    with pytest.raises(SpecError, match="already: name a new folder"):
        migrate(tmp_path / "old", new, tmp_path / "new")


def test_what_has_no_counterpart_is_told(tmp_path: Path) -> None:
    old = worked(study(tmp_path, "old", NARROW), tmp_path / "old", 5)
    new = study(tmp_path, "new", "{use: deltanet, bias: {any: [l2, l1]}}")
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    stays = [
        not r.choices or (r.choices["bias"], r.choices["retention"]) == ("l2", "none") for r in old
    ]
    expected = {number for number, here in enumerate(stays) if not here}
    assert set(moved.left) == expected and moved.left
    assert set(moved.left.values()) == {"its memory is not in the new space"}
    assert list(moved.moved.values()) == list(range(len(moved.moved)))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    worked(study(tmp_path, "old", NARROW), tmp_path / "old", 1)
    new = study(tmp_path, "new", WIDE, seeds=[0, 1])
    with pytest.raises(SpecError, match="differ in seeds: their results cannot be compared"):
        migrate(tmp_path / "old", new, tmp_path / "new")
    with pytest.raises(SpecError, match="there is no study in"):
        migrate(tmp_path / "elsewhere", new, tmp_path / "new")


def test_null_candidates_go_on_with_their_seeds(tmp_path: Path) -> None:
    """Their place is that of the same seeds; nobody else takes it."""
    old = worked(study(tmp_path, "old", NARROW, nulls=2), tmp_path / "old", 5)
    assert [record.origin for record in old[:3]] == ["baseline", "null", "null"]
    more = {"baselines": ["gated-deltanet", "gla"], "nulls": 1, "budget": {"trials": 8}}
    moved = migrate(tmp_path / "old", study(tmp_path, "new", WIDE, **more), tmp_path / "new")
    assert moved.moved == {0: 0, 1: 2, 3: 3, 4: 4}
    assert moved.left == {2: "the new study has no such null candidate"}
    with Ledger(tmp_path / "new" / LEDGER) as ledger:
        found = {record.number: record for record in records(ledger)}
    assert found[2].origin == "null" and found[2].results == old[1].results
    other = study(tmp_path, "other", WIDE, baselines=["gla"], nulls=1)
    moved = migrate(tmp_path / "old", other, tmp_path / "other")
    assert set(moved.left) == {0, 1, 2}


def test_matched_trials_are_compared_as_they_were_trained(tmp_path: Path) -> None:
    """The key of a matched memory is that of its size, and what it equals that of its choices."""
    match = {"match": {"parameters": 90_000, "state_floats": 500}}
    space = NARROW.replace("dot]", "dot, huber]")
    old = worked(study(tmp_path, "old", space, **match), tmp_path / "old", 5)
    assert old[0].equals == ("gated-deltanet",) and old[0].shell
    twins = [record for record in old[1:] if record.equals]
    assert {name for record in twins for name in record.equals} <= {"deltanet", "gated-deltanet"}
    moved = migrate(tmp_path / "old", study(tmp_path, "new", WIDE, **match), tmp_path / "new")
    with Ledger(tmp_path / "new" / LEDGER) as ledger:
        for record in records(ledger):
            number = next(n for n, slot in moved.moved.items() if slot == record.number)
            assert (record.key, record.shell, record.equals) == (
                old[number].key,
                old[number].shell,
                old[number].equals,
            )
    assert moved.moved[0] == 0 and set(moved.left.values()) <= {
        "its memory is not in the new space"
    }


def test_another_grammar_is_refused(tmp_path: Path) -> None:
    found = study(tmp_path, "old", NARROW)
    worked(found, tmp_path / "old", 1)
    with Ledger(tmp_path / "old" / LEDGER) as ledger:
        assert ledger.fact(GRAMMAR) == found.opened().fingerprint
        insist_on_grammar(ledger, found.opened(), tmp_path / "old")
        with pytest.raises(SpecError, match="move what is finished: `miras migrate"):
            insist_on_grammar(ledger, space_of(reads(WIDE)), tmp_path / "old")
        ledger.note(**{GRAMMAR: "of yesterday"})
    with pytest.raises(SpecError, match=r"begun with another grammar \(of yesterday"):
        join("", f"sqlite:///{tmp_path / 'old' / LEDGER}", tmp_path / "guest")


def test_a_fingerprint_stays_while_choices_mean_the_same() -> None:
    one = space_of(reads("{use: deltanet, bias: {any: [l2, dot]}}"))
    other = space_of(reads("{use: deltanet, bias: {any: [dot, l2], weights: [1, 3]}}"))
    assert one.fingerprint == other.fingerprint
    changes = ("bias: {any: [l2, l1]}", "bias: {any: [l2, dot], }, retention: decay", "bias: l2")
    prints = {space_of(reads(f"{{use: deltanet, {each}}}")).fingerprint for each in changes}
    assert len(prints | {one.fingerprint}) == 4


@pytest.mark.parametrize(
    "text",
    [
        WIDE,
        "{compose: chain, of: [{any: [gla, deltanet]}, {use: gla, retention: {floor: {any: [0.0,"
        " 0.5]}}}], residual: {any: [true, false]}}",
        "{mutate: {any: [gla, deltanet]}, changes: {int: [0, 2]}, among: {bias: {any: all},"
        " retention: {any: [none, decay]}}}",
    ],
)
def test_choices_are_read_off_a_memory(text: str) -> None:
    """The way back from what is built: the same spec again, for every derivation."""
    found = space_of(reads(text))
    for derivation in derivations(found):
        memory = build(derivation.spec)
        if isinstance(memory, tuple):
            continue
        choices = choices_of(found.root, memory, CELL, derivation.choices)
        assert choices is not None
        assert derive(found, FromChoices(choices)).spec == derivation.spec
    assert choices_of(found.root, cells()["titans-lmm"], CELL) is None


def test_a_candidate_with_one_rate_takes_no_known_memory_s_place(tmp_path: Path) -> None:
    """A known memory is trained at several rates: there it would be badly tuned."""
    rates = {"learning_rate": {"low": 1e-4, "high": 1e-1}}
    old = worked(study(tmp_path, "old", NARROW, **rates), tmp_path / "old", 5)
    (later,) = (each for each in old if each.equals == ("deltanet",))
    baselines = ["gated-deltanet", "deltanet"]
    new = study(tmp_path, "new", WIDE, baselines=baselines, budget={"trials": 8}, **rates)
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    assert set(moved.left) == {later.number} and 0 in moved.moved
    assert moved.left[later.number] == "a known memory of the new study is trained at all its rates"


def test_migrated_trials_have_been_on_all_rungs(tmp_path: Path) -> None:
    """One record speaks for all of them: known memories must not look as if they had failed."""
    worked(study(tmp_path, "old", NARROW), tmp_path / "old", 3)
    new = study(tmp_path, "new", WIDE, rungs=[{}, {}, {}], budget={"trials": 8})
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    with Ledger(tmp_path / "new" / LEDGER) as ledger:
        done = [slot for slot in ledger.slots() if slot.state == "done"]
    assert len(done) == len(moved.moved) == 3
    assert [len(Promotion(new).entry(slot).values) for slot in done] == [3, 3, 3]


def test_migrated_trials_are_judged_by_the_new_study(tmp_path: Path) -> None:
    """A stopped one stays a rival of its rung; one without rungs has all that is asked for."""
    old = study(tmp_path, "old", NARROW, rungs=[{}, {"seeds": [0, 1]}])
    worked(old, tmp_path / "old", 3, stopped=(2,))
    cases: list[tuple[str, dict[str, Any], str, int]] = [
        ("same", {"rungs": [{}, {"seeds": [0, 1]}]}, "stopped", 1),
        ("none", {}, "ok", 1),
    ]
    for name, more, status, rung in cases:
        new = study(tmp_path, name, WIDE, budget={"trials": 8}, **more)
        moved = migrate(tmp_path / "old", new, tmp_path / name)
        with Ledger(tmp_path / name / LEDGER) as ledger:
            found = {each.number: each for each in records(ledger)}
        stopped = found[moved.moved[2]]
        assert (stopped.status, stopped.rung, stopped.seeds) == (status, rung, ())


def test_trials_without_the_runs_of_the_new_last_rung_stay(tmp_path: Path) -> None:
    worked(study(tmp_path, "old", NARROW), tmp_path / "old", 3)
    rungs = [{}, {"seeds": [1, 2]}]
    new = study(tmp_path, "new", WIDE, rungs=rungs, budget={"trials": 8})
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    assert not moved.moved and set(moved.left.values()) == {
        "it was not trained on all that the last rung asks for"
    }


def test_a_long_migration_keeps_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places of known memories that nobody has trained yet stay theirs, however long it takes."""
    worked(study(tmp_path, "old", NARROW), tmp_path / "old", 4)
    new = study(tmp_path, "new", WIDE, baselines=["gated-deltanet", "gla"], budget={"trials": 8})
    monkeypatch.setattr("miras.search.migrate.Ledger", partial(Ledger, lease=1e-3))
    moved = migrate(tmp_path / "old", new, tmp_path / "new")
    assert moved.moved == {0: 0, 1: 2, 2: 3, 3: 4}
    with Ledger(tmp_path / "new" / LEDGER) as ledger:
        claim = ledger.claim("me", below=8)
        assert claim is not None and (claim.slot, claim.origin) == (1, "baseline")
