"""Search tasks: what a generator says of itself, and how rare errors become numbers."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from miras.tasks import IGNORE, certain
from miras.tasks.compositional import Compositional
from miras.tasks.flip_flop import DISTRACT, READ, WRITE, FlipFlop, Stream
from miras.tasks.ladder import Rung, decay
from miras.tasks.overwrite import Overwrite
from miras.tasks.permutation import Group, Permutation, table


@pytest.mark.parametrize(
    ("lengths", "scores", "slope", "half"),
    [
        ([32, 64, 128], [1.0, 0.75, 0.5], -0.25, 128.0),
        ([32, 64], [1.0, 0.0], -1.0, 32 * 2**0.5),
        ([32, 64, 128], [1.0, 1.0, 0.0], -0.5, 64 * 2**0.5),
        ([32, 64], [0.4, 0.3], -0.1, 32.0),
        ([32, 128], [0.2, 0.8], 0.3, 32.0),
        ([50], [0.9], 0.0, 50.0),
    ],
)
def test_decay_is_a_line_through_scores(
    lengths: list[int], scores: list[float], slope: float, half: float
) -> None:
    found = decay(lengths, scores)
    assert found["slope"] == pytest.approx(slope) and found["L50"] == pytest.approx(half)


def test_only_longer_rungs_of_the_same_load_tell_how_length_matters() -> None:
    task = Compositional(test=300)

    def knows_short(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = task.solve(tokens) if tokens.shape[1] < 200 else torch.zeros_like(tokens)
        return certain(answers[scored], task.vocabulary)

    metrics = task.evaluate(knows_short).metrics  # right on [176, 5] and wrong on [224, 4]
    assert metrics["score/g=5,L=176"] == 1.0 and metrics["score/g=4,L=224"] == 0.0
    assert metrics["slope"] == pytest.approx(-1.0)
    assert metrics["L50"] == pytest.approx(112 * 2**0.5)


def test_overwriting_is_told_apart_as_a_plain_loop_tells_it() -> None:
    task = Overwrite(test=200)
    rung = task.rungs[1]
    rng = np.random.default_rng(0)
    batch = task.held_out(rung, "test", 0)
    said: list[int] = []
    seen: dict[str, list[bool]] = {}
    for row in batch.tokens.tolist():
        history: dict[int, list[int]] = {}
        for event, key, value in zip(row[::3], row[1::3], row[2::3], strict=True):
            if event == 96:
                history.setdefault(key, []).append(value)
                continue
            assert event == 97
            every = [old for values in history.values() for old in values]
            said.append(int(rng.choice([*every, 33])))
            own = history[key]
            right, stale = said[-1] == own[-1], said[-1] in own[:-1] and said[-1] != own[-1]
            others = {old for k, v in history.items() for old in v if k != key}
            again = len(own) - 1
            name = "0" if not again else "1" if again == 1 else "2-3" if again < 4 else "4+"
            seen.setdefault(f"accuracy/rewrites={name}", []).append(right)
            seen.setdefault("intrusion", []).append(said[-1] in others - set(own))
            if again:
                seen.setdefault("stale", []).append(stale)
            if again > 1:
                seen.setdefault("stale/rewrites=2+", []).append(stale)

    def guesses(tokens: Tensor, scored: Tensor) -> Tensor:
        count = int(scored.sum())
        if tokens.shape[1] != rung.length or asked[0] + count > len(said):
            return torch.zeros(count, task.vocabulary)
        here = torch.tensor(said[asked[0] : asked[0] + count])
        asked[0] += count
        return certain(here, task.vocabulary)

    asked = [0]
    only = task.model_copy(update={"rungs": (rung,), "extrapolation": ()})
    metrics = only.evaluate(guesses).metrics
    assert asked[0] == len(said) > 1500
    for name, answers in seen.items():
        assert metrics[f"{name}/K=8"] == pytest.approx(np.mean(answers)), name


def test_questions_ask_each_write_equally_often() -> None:
    task = Overwrite()
    tokens, _ = task.sample(Rung(63, 8), 20_000, np.random.default_rng(0))
    written = tokens[:, ::3] == 96
    assert written[:, 0].all() and not written[:, -1].any()
    assert written[:, 1:-1].mean() == pytest.approx(0.5, abs=0.005)
    # With exactly two writes of different keys before it, a question asks both equally often.
    keys = tokens[:, 1::3]
    rows = written[:, 0] & written[:, 1] & ~written[:, 2] & (keys[:, 0] != keys[:, 1])
    assert (keys[rows, 2] == keys[rows, 0]).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("every", [2, 10, 30, 100])
def test_a_tenth_of_the_errors_is_one_step_up(every: int) -> None:
    task = FlipFlop(trained=Stream(64, 0.8), tails=(), test=4000)

    def mostly_right(tokens: Tensor, scored: Tensor) -> Tensor:
        answers = task.solve(tokens)[scored]
        answers[every - 1 :: every] = 1 - answers[every - 1 :: every]
        return certain(answers, 5)

    result = task.evaluate(mostly_right)
    floor = task.floor(task.trained)
    expected = np.log10(floor * every) / np.log10(floor / 1e-3)
    assert result.score == pytest.approx(min(max(expected, 0.0), 1.0), abs=0.03)
    assert result.metrics["log10_error/p=0.8"] == pytest.approx(-np.log10(every), abs=0.05)


def test_flip_flop_shares_and_reads() -> None:
    tokens, targets = FlipFlop().sample(Stream(256, 0.8), 4000, np.random.default_rng(0))
    order, bit = tokens[:, ::2], tokens[:, 1::2]
    assert (order[:, 0] == WRITE).all() and (order[:, -1] == READ).all()
    for kind, share in ((WRITE, 0.1), (READ, 0.1), (DISTRACT, 0.8)):
        assert (order[:, 1:-1] == kind).mean() == pytest.approx(share, abs=0.005)
        assert bit[order == kind].mean() == pytest.approx(0.5, abs=0.02)
    for row, wanted in zip(tokens[:200].tolist(), targets[:200].tolist(), strict=True):
        last = -1
        for place in range(0, 256, 2):
            last = row[place + 1] if row[place] == WRITE else last
            assert wanted[place] == (last if row[place] == READ else IGNORE)
            assert row[place] != READ or row[place + 1] == last


@pytest.mark.parametrize(("group", "size"), [("S3", 6), ("A4", 12), ("S4", 24), ("A5", 60)])
def test_groups_are_groups(group: Group, size: int) -> None:
    product = table(group).product
    assert product.shape == (size, size)
    everything = np.arange(size)
    assert (product[0] == everything).all() and (product[:, 0] == everything).all()
    assert all((np.sort(lines, 1) == everything).all() for lines in (product, product.T))
    assert (product[product] == product[:, product]).all()  # (a b) c = a (b c)
    assert not (product == product.T).all()


@pytest.mark.parametrize("moves", ["all", "swaps"])
def test_words_are_followed_as_things_change_places(moves: str) -> None:
    task = Permutation.model_validate({"group": "S5", "moves": moves})
    every = [*permutations(range(5))]
    drawn = [e for e in every if moves == "all" or sum(a != b for a, b in enumerate(e)) <= 2]
    assert task.vocabulary == len(drawn) + 120
    tokens, targets = task.sample(24, 50, np.random.default_rng(0))
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        things = (0, 1, 2, 3, 4)
        for move, answer in zip(row, wanted, strict=True):
            things = tuple(drawn[move][thing] for thing in things)
            assert every[answer - len(drawn)] == things


def test_the_sign_alone_is_worth_a_fifth_in_s3() -> None:
    task = Permutation()
    every = [*permutations(range(3))]
    odd = torch.tensor([sum(a != b for a, b in enumerate(e)) == 2 for e in every])

    def follows_sign(tokens: Tensor, scored: Tensor) -> Tensor:
        sign = odd[tokens].long().cumsum(1) % 2
        answer = 6 + torch.where(sign == 1, int(odd.long().argmax()), 0)
        return certain(answer[scored], 12)

    assert task.evaluate(follows_sign).score == pytest.approx(0.2, abs=0.02)


def test_half_of_the_keys_have_gaps() -> None:
    task = Compositional()
    tokens, targets = task.sample(Rung(112, 4), 500, np.random.default_rng(0))
    second = (tokens >= 32) & (tokens < 64)
    before = np.roll(tokens, 1, 1)
    value = np.roll((tokens >= 64) & (tokens < 128), -1, 1)
    for kind in (second & value, second & ~value):
        assert (kind.sum(1) == 16).all()
        assert (before[kind] >= 128).mean() == 0.5  # a filler stands before the second key
    assert ((targets != IGNORE) == (second & ~value)).all()
    last = (targets != IGNORE)[:, -1].mean()
    assert 0.4 < last < 0.9  # what is left of the length stands anywhere among the questions
