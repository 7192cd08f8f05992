"""One guard for each defect that published generators of these tasks had.

The numbers are those of the list of defects in the research notes on proxy tasks; each test says in
its name what went wrong elsewhere. Those of models and training (8, 9, 10, 13, 14, 22, 27) are in
test_task_defects_training.py. One has no test since it cannot be ours: 26, a generator that was
never released; ours is the package.
"""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from task_cases import EXACT, held_out, rows, solver, uniform
from torch import Tensor

from miras.tasks import IGNORE, Task, certain, distinct, split_of
from miras.tasks.compositional import Compositional
from miras.tasks.flip_flop import FlipFlop
from miras.tasks.glyphs import Glyphs
from miras.tasks.ladder import Ladder, Rung
from miras.tasks.mqar import MQAR
from miras.tasks.needle import Needle
from miras.tasks.ngram_copy import NgramCopy
from miras.tasks.overwrite import Overwrite
from miras.tasks.parity import Parity
from miras.tasks.selective_copy import SelectiveCopy
from miras.tasks.tracking import Tracking

exact_tasks = pytest.mark.parametrize("task", EXACT.values(), ids=EXACT.keys())


def sample(task: Ladder, rung: Rung, count: int = 4000) -> tuple[Tensor, Tensor]:
    tokens, targets = task.sample(rung, count, np.random.default_rng(0))
    return torch.as_tensor(tokens), torch.as_tensor(targets)


@exact_tasks
def test_01_hidden_states_are_not_taken_for_logits(task: Task) -> None:
    with pytest.raises(ValueError, match="needed are logits"):
        task.evaluate(lambda tokens, scored: torch.zeros(*tokens.shape, 64))


@pytest.mark.parametrize("rung", [Rung(64, 8), Rung(128, 32), Rung(256, 64)])
def test_02_filler_does_not_contradict_a_pair(rung: Rung) -> None:
    task = MQAR()
    tokens, targets = sample(task, rung)
    context, rest = tokens[:, : 2 * rung.load], tokens[:, 2 * rung.load :]
    filler = rest[targets[:, 2 * rung.load :] == IGNORE]
    assert int(filler.min()) == 256 and int(filler.max()) == 263
    assert int(context[:, ::2].max()) < 128 <= int(context[:, 1::2].min())
    assert int(context.max()) < 256


def test_02_blanks_and_markers_of_copying_are_no_letters() -> None:
    task = SelectiveCopy()
    tokens, targets = sample(task, Rung(64, 8))
    letters = (tokens < 14).sum(1)
    assert set(tokens.unique().tolist()) == set(range(16)) and (letters == 8).all()
    assert int(targets.max()) < 14


@exact_tasks
def test_03_data_does_not_come_from_the_global_generator(task: Task) -> None:
    data: list[list[bytes]] = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        data.append(rows([next(task.train_stream(0))]) + rows(held_out(task, "test")))
    assert data[0] == data[1]


def test_04_streams_can_be_passed_over_many_times() -> None:
    for task in EXACT.values():
        assert rows([*islice(task.train_stream(0), 3)]) == rows([*islice(task.train_stream(0), 3)])


def test_05_a_key_is_never_written_again_with_the_value_that_it_has() -> None:
    task = Overwrite(keys=20, values=3)  # few values: one in three would be the same by chance
    tokens, _ = sample(task, Rung(126, 16), 2000)
    first_value, write = 20, 23
    rewrites = 0
    for row in tokens.tolist():
        value: dict[int, int] = {}
        for event, key, new in zip(row[::3], row[1::3], row[2::3], strict=True):
            if event == write:
                assert value.get(key) != new >= first_value
                rewrites += key in value
                value[key] = new
    assert rewrites > 20_000


@pytest.mark.parametrize("task", [MQAR(), SelectiveCopy(), Parity(), Compositional()])
def test_06_rungs_are_mixed_and_not_visited_in_segments(task: Task) -> None:
    def difficulty(batch: tuple[Tensor, Tensor]) -> tuple[int, int]:
        return batch[0].shape[1], int((batch[1][0] != IGNORE).sum())

    order = [difficulty(batch) for batch in islice(task.train_stream(0), 400)]
    kinds = set(order)
    for kind in kinds:
        share = [part.count(kind) / 200 for part in (order[:200], order[200:])]
        assert share == pytest.approx([1 / len(kinds)] * 2, abs=0.11)


def test_07_unknown_settings_are_not_dropped_in_silence() -> None:
    for task in EXACT.values():
        with pytest.raises(ValidationError, match="Extra inputs"):
            type(task).model_validate({"test_power_a": 0.1})


def test_07_power_is_not_without_effect() -> None:
    def distance(power: float) -> float:
        _, targets = sample(MQAR(power=power), Rung(256, 8))
        return float((targets != IGNORE).nonzero()[:, 1].float().mean())

    near, far = distance(0.01), distance(1.0)
    assert far == pytest.approx(16 + 119.0, abs=2)
    assert near < 90


def test_11_large_alphabets_are_not_tiled() -> None:
    tracemalloc.start()
    drawn = distinct(np.random.default_rng(0), 64, 1_000_000, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn.shape == (64, 64) and peak < 2_000_000


def test_12_accuracy_is_pooled_over_positions_not_over_classes() -> None:
    task = SelectiveCopy(rungs=(Rung(24, 8),), extrapolation=())

    def knows_one_letter(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = task.solve(tokens)[scored]
        return certain(answers.where(answers == 3, 15), task.vocabulary)

    # Right at each position that asks this letter, wrong elsewhere: its share of the positions.
    accuracy = task.evaluate(knows_one_letter).metrics["accuracy/n=8"]
    tokens, targets = task.held_out(Rung(24, 8), "test", 0)
    assert tokens.shape == (768, 24)
    assert accuracy == pytest.approx(float((targets[targets != IGNORE] == 3).float().mean()))


@exact_tasks
def test_15_test_data_does_not_repeat_the_start_of_training(task: Task) -> None:
    train = set(rows([*islice(task.train_stream(0), 20)]))
    assert not train & set(rows(held_out(task, "test", 0)))


@pytest.mark.parametrize("rung", [Rung(64, 4), Rung(64, 16), Rung(232, 8)])
def test_16_any_place_is_possible_for_the_last_letter(rung: Rung) -> None:
    tokens, _ = sample(SelectiveCopy(), rung)
    prefix = tokens[:, : rung.length - rung.load] < 14
    occupied = prefix.float().mean(0)
    share = rung.load / prefix.shape[1]
    assert occupied.numpy() == pytest.approx(np.full(len(occupied), share), abs=0.045)


@pytest.mark.parametrize("rung", [Rung(64, 16), Rung(65, 16), Rung(128, 32), Rung(256, 4)])
def test_17_every_pair_is_asked_exactly_once(rung: Rung) -> None:
    tokens, targets = sample(MQAR(), rung)
    asked = targets != IGNORE
    assert (asked.sum(1) == rung.load).all()
    queries = tokens[asked].reshape(-1, rung.load).sort(1).values
    keys = tokens[:, 0 : 2 * rung.load : 2].sort(1).values
    assert torch.equal(queries, keys)


@exact_tasks
def test_18_constant_positions_are_not_scored(task: Task) -> None:
    if not isinstance(task, Tracking):
        for batch in islice(task.train_stream(0), 10):
            assert len(batch.targets[batch.targets != IGNORE].unique()) > 1
            if not isinstance(task, NgramCopy):  # there the answer so far is given
                assert not (batch.targets == batch.tokens).any()
        assert task.evaluate(uniform(task)).metrics["worst"] == 0.0


@exact_tasks
def test_19_the_ceiling_can_be_reached(task: Task) -> None:
    assert task.evaluate(solver(task)).score == 1.0


def test_20_keys_of_many_parts_are_drawn_without_listing_all() -> None:
    task = Compositional(keys=100_000, values=1_000_000)
    generator = np.random.default_rng(0)
    tracemalloc.start()
    task.sample(Rung(112, 4), 64, generator)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_20_many_answers_of_a_sequence_are_scored() -> None:
    """MAD's fuzzy recall scores 4.5 of 128 positions."""
    for task in (MQAR(), SelectiveCopy(), Overwrite(), Compositional(), FlipFlop()):
        batches = [*islice(task.train_stream(0), 20)]
        scored = sum(int((batch.targets != IGNORE).sum()) for batch in batches)
        assert scored / sum(batch.tokens.numel() for batch in batches) > 0.06, task.name


def test_21_recall_is_not_local() -> None:
    tokens, targets = sample(MQAR(), Rung(128, 32))
    row, time = (targets != IGNORE).nonzero(as_tuple=True)
    pair = (tokens[row, :64:2] == tokens[row, time][:, None]).long().argmax(1)
    lag = (time - 2 * pair).float()
    assert float((lag > 32).float().mean()) > 0.8


def test_23_lengths_are_inclusive() -> None:
    lengths = {b.tokens.shape[1] for b in islice(Parity(batch=1).train_stream(0), 500)}
    assert lengths == set(range(4, 33))
    seen = {piece.tokens.shape[1] for piece in held_out(Parity(), "test")}
    assert seen == {256}


def test_24_every_id_of_every_alphabet_occurs() -> None:
    for task in EXACT.values():
        if isinstance(task, Needle | Glyphs):
            continue  # no text holds all bytes, no pen crosses all cells
        seen = [part for batch in islice(task.train_stream(0), 300) for part in batch]
        ids = torch.cat([part.ravel() for part in seen]).unique()
        assert len(ids[ids != IGNORE]) == task.vocabulary


def test_25_keys_and_values_are_unique_so_that_answers_are() -> None:
    tokens, _ = sample(MQAR(keys=40, values=33, extrapolation=()), Rung(128, 32))
    for ids in (tokens[:, 0:64:2], tokens[:, 1:64:2]):
        ordered = ids.sort(1).values
        assert (ordered[:, 1:] > ordered[:, :-1]).all()


def test_leak_the_answer_is_not_in_the_input_after_the_question() -> None:
    for rung in MQAR().rungs:
        tokens, _ = sample(MQAR(), rung)
        rest = tokens[:, 2 * rung.load :]
        assert not ((rest >= 128) & (rest < 256)).any()


@pytest.mark.parametrize("power", [0.01, 1.0])
def test_leak_the_place_of_a_question_does_not_tell_the_place_of_its_pair(power: float) -> None:
    tokens, targets = sample(MQAR(power=power), Rung(64, 8), 20_000)
    row, time = (targets != IGNORE).nonzero(as_tuple=True)
    pair = (tokens[row, :16:2] == tokens[row, time][:, None]).long().argmax(1)
    order = torch.arange(8).repeat(20_000)  # first question, second question, ...
    joint = np.zeros((8, 8))
    np.add.at(joint, (order.numpy(), pair.numpy()), 1 / 20_000)
    assert joint == pytest.approx(np.full((8, 8), 1 / 8), abs=0.012)
    assert abs(np.corrcoef(time.numpy(), pair.numpy())[0, 1]) < 0.01


def test_leak_the_split_of_a_word_does_not_tell_its_parity() -> None:
    for length in (16, 31, 64):
        words = np.random.default_rng(length).integers(0, 2, (80_000, length))
        split, parity = split_of(words), words.sum(1) % 2
        for part in range(8):
            assert parity[split == part].mean() == pytest.approx(0.5, abs=0.025)
            assert words[split == part].mean(0) == pytest.approx(np.full(length, 0.5), abs=0.025)
