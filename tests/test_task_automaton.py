"""In-context languages: what is drawn is what is said, and counted as the textbook counts."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from task_cases import rows
from torch import Tensor

from miras.tasks import IGNORE
from miras.tasks.automata import Automata, automata, distances, grams, languages, words
from miras.tasks.automaton import Automaton, by_language
from miras.tasks.ladder import Rung


def drawn(rows: int, states: int, edges: int = 3, seed: int = 0) -> Automata:
    return automata(np.random.default_rng(seed), rows, states, edges, (4, 10))


def language(these: Automata, row: int, depth: int) -> set[tuple[int, ...]]:
    """All words of up to `depth` symbols, one automaton at a time."""
    found: set[tuple[int, ...]] = set()
    pending: list[tuple[tuple[int, ...], int]] = [((), 0)]
    while pending:
        word, state = pending.pop()
        found.add(word)
        if len(word) < depth:
            for edge in range(int(these.degree[row, state])):
                symbol = int(these.symbol[row, state, edge])
                pending.append(((*word, symbol), int(these.target[row, state, edge])))
    return found


def test_automata_are_as_described() -> None:
    these = drawn(4000, 5)
    for row in range(40):
        reached, state = {0}, 0
        for _ in range(4):
            state = int(these.target[row, state, 0])
            reached.add(state)
        assert reached == set(range(5))  # the first edges go round
    assert (np.sort(these.symbol, 2)[..., 1:] > np.sort(these.symbol, 2)[..., :-1]).all()
    assert not (these.target == np.arange(5)[:, None]).any()
    assert np.bincount(these.degree.ravel())[1:] / 20_000 == pytest.approx([1 / 3] * 3, abs=0.02)
    shares = np.bincount(these.symbol.ravel()) / these.symbol.size
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.01)
    used = [len(set(row.ravel().tolist())) for row in these.symbol]
    assert min(used) <= 4 and max(used) == 10
    others = these.target[:, 0, 1:]
    assert np.bincount(others.ravel())[1:] / others.size == pytest.approx([1 / 4] * 4, abs=0.02)


def test_words_follow_the_automaton_and_the_truth_is_its_edges() -> None:
    these = drawn(300, 6)
    text, possible = words(these, np.random.default_rng(1), 61, 7)
    lengths: Counter[int] = Counter()
    for row in range(300):
        assert text[row, 0] == -1
        state = long = 0
        for symbol, bits in zip(text[row], possible[row], strict=True):
            if symbol < 0:
                assert bits == 0
                lengths[long] += 1
                state = long = 0
                continue
            degree = int(these.degree[row, state])
            edges = these.symbol[row, state, :degree].tolist()
            assert bits == sum(1 << edge for edge in edges)
            state, long = int(these.target[row, state, edges.index(symbol)]), long + 1
    assert set(lengths) == set(range(8)) and lengths[0] == 300  # the separator at the start
    shares = np.array([lengths[long] for long in range(1, 6)])
    assert shares / shares.mean() == pytest.approx(np.ones(5), abs=0.2)


def test_edges_are_equally_likely() -> None:
    these = drawn(2000, 4)
    text, possible = words(these, np.random.default_rng(1), 65, 8)
    kinds = sum(possible >> symbol & 1 for symbol in range(10))
    lowest = np.where(possible > 0, np.log2((possible & -possible).clip(1)), -2)
    for count in (1, 2, 3):
        share = float((text == lowest)[kinds == count].mean())
        assert share == pytest.approx(1 / count, abs=0.01)


def test_24_equal_languages_have_equal_hashes_and_others_do_not() -> None:
    these = automata(np.random.default_rng(0), 400, 2, 2, (4, 5))
    found = languages(these, 6)
    listed = [frozenset(language(these, row, 6)) for row in range(400)]
    by_hash: dict[int, set[frozenset[tuple[int, ...]]]] = {}
    by_words: dict[frozenset[tuple[int, ...]], set[int]] = {}
    for code, one in zip(found.tolist(), listed, strict=True):
        by_hash.setdefault(code, set()).add(one)
        by_words.setdefault(one, set()).add(code)
    assert all(len(group) == 1 for group in [*by_hash.values(), *by_words.values()])
    assert len(by_words) < 400  # some languages came twice
    # Other numbers for the states, edges in another order: the same language.
    these = drawn(400, 3)
    found = languages(these, 6)
    name = np.array([0, 2, 1])
    renamed = Automata(these.degree[:, name], these.symbol[:, name], name[these.target[:, name]])
    assert (languages(renamed, 6) == found).all()
    turned = Automata(these.degree * 0 + 3, these.symbol[..., ::-1], these.target[..., ::-1])
    whole = Automata(these.degree * 0 + 3, these.symbol, these.target)
    assert (languages(turned, 6) == languages(whole, 6)).all()


def test_24_languages_are_split_not_sequences() -> None:
    task = Automaton(rungs=(Rung(40, 2),), extrapolation=(), edges=2, longest=3, alphabet=4)
    rng = np.random.default_rng(0)
    split: dict[int, set[int]] = {}
    texts: dict[int, set[bytes]] = {}
    for _ in range(5):
        wide, _targets = task.sample(Rung(40, 2), 4000, rng)
        for row, part in zip(wide, by_language(wide).tolist(), strict=True):
            split.setdefault(int(row[0]), set()).add(part)
            texts.setdefault(int(row[0]), set()).add(row[1:41].tobytes())
    assert len(split) < 2000 and all(len(parts) == 1 for parts in split.values())
    assert max(len(several) for several in texts.values()) > 50
    assert set().union(*split.values()) == set(range(8))


def test_splits_never_meet() -> None:
    task = Automaton()
    train = set(rows([*islice(task.train_stream(0), 60)]))
    held = [task.held_out(rung, "test", 0)[0] for rung in task.rungs]
    held += [task.held_out(rung, "validation", 0)[0] for rung in task.rungs]
    assert not train & set(rows(held)) and len(set(rows(held))) == 3 * (128 + 512)


def test_who_knows_the_automaton_is_at_distance_zero() -> None:
    task = Automaton(test=100)
    known: dict[bytes, Tensor] = {}
    for rung in (*task.rungs, *task.extrapolation):
        batch, possible = task.held_out(rung, "test", 0)
        known |= {
            row.numpy().tobytes(): bits for row, bits in zip(batch.tokens, possible, strict=True)
        }

    def oracle(tokens: Tensor, scored: Tensor) -> Tensor:
        bits = torch.stack([known[row.numpy().tobytes()] for row in tokens])[scored]
        return (bits[:, None] >> torch.arange(11) & 1).float().log()

    result = task.evaluate(oracle)
    assert result.score == pytest.approx(1.0, abs=1e-6)
    for name, value in result.metrics.items():
        if name.startswith("tv"):
            assert value == pytest.approx(0.0, abs=1e-6)
        if name.startswith("valid"):
            assert value == 1.0


def slow_grams(past: list[int], following: list[int], order: int, symbols: int) -> list[float]:
    """Witten and Bell's mixture with dictionaries, at the last position."""
    estimate = [1 / symbols] * symbols
    for n in range(order):
        context = past[len(past) - n :] if n else []
        if len(past) < n:
            break
        counts: Counter[int] = Counter()
        for place in range(n - 1 if n else 0, len(past) - 1):
            here = past[place + 1 - n : place + 1]
            if here == context and 0 <= following[place] < symbols:
                counts[following[place]] += 1
        if counts:
            total = counts.total() + len(counts)
            estimate = [(counts[s] + len(counts) * estimate[s]) / total for s in range(symbols)]
    return estimate


@pytest.mark.parametrize("order", [1, 2, 3])
def test_grams_are_the_textbook_formula(order: int) -> None:
    tokens = torch.as_tensor(np.random.default_rng(order).integers(0, 4, (6, 30)))
    following = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=IGNORE)
    found = grams(tokens, following, order, 3)[-1]  # id 3 separates
    assert found.sum(2).numpy() == pytest.approx(np.ones((6, 30)), abs=1e-6)
    for row in range(6):
        for time in range(30):
            past = tokens[row, : time + 1].tolist()
            expected = slow_grams(past, following[row].tolist(), order, 3)
            assert found[row, time].tolist() == pytest.approx(expected, abs=1e-6)


def test_distances_by_hand() -> None:
    said = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    away, valid = distances(said, torch.tensor([0b011, 0b001]))
    assert away.tolist() == pytest.approx([0.25, 0.8], abs=1e-6)
    assert valid.tolist() == [True, False]
