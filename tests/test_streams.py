"""Streams: what their tokens are, what perfect and empty answers score, and a plain loop."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from miras.part import leaves
from miras.streams import Episode, Heard, Stream
from miras.streams.burst import Burst
from miras.streams.chains import Chains
from miras.streams.correlated import Correlated
from miras.streams.haystack import Haystack
from miras.streams.impulse import Impulse
from miras.streams.lookup import Lookup
from miras.streams.novelty import Novelty
from miras.streams.outliers import Outliers
from miras.streams.overwrite import Overwrite
from miras.streams.pairs import Pairs
from miras.streams.readings import Readings
from miras.streams.reward import Reward
from miras.streams.rewrites import Rewrites
from miras.streams.salience import Salience
from miras.streams.two_tasks import TwoTasks
from miras.streams.unnormalised import Unnormalised
from miras.streams.visits import Visits
from miras.streams.zipf import Zipf

SMALL: dict[str, Stream] = {
    "burst": Burst(events=4, key_dim=32, value_dim=6),
    "chains": Chains(chains=3, half=8),
    "correlated": Correlated(key_dim=6, value_dim=3, time=40, asked=20),
    "haystack": Haystack(needles=3, fillers=4, key_dim=12, value_dim=10, time=30),
    "impulse": Impulse(time=300, ages=(1, 4, 16)),
    "lookup": Lookup(questions=20, key_dim=6, value_dim=5, top=3),
    "novelty": Novelty(common=3, novel=4, time=40, key_dim=6, value_dim=5),
    "outliers": Outliers(pairs=4, key_dim=6, value_dim=5, time=40),
    "overwrite": Overwrite(keys=5, values=4, rewrites=20, total=2.0),
    "pairs": Pairs(pairs=8, key_dim=6, value_dim=7, passes=2),
    "readings": Readings(items=5, dim=12),
    "reward": Reward(trials=6, delay=2, key_dim=12, value_dim=8),
    "rewrites": Rewrites(keys=4, values=5, key_dim=6, value_dim=7, asked=(6, 12)),
    "salience": Salience(relevant=4, junk=4, visits=2, key_dim=8, value_dim=5),
    "two_tasks": TwoTasks(pairs=3, key_dim=8, value_dim=5, first=20, second=10),
    "unnormalised": Unnormalised(key_dim=4, value_dim=3, pieces=2, time=10),
    "visits": Visits(items=5, laps=2, dim=12),
    "zipf": Zipf(facts=10, time=20, key_dim=8, value_dim=6),
}

ANSWERS: dict[str, tuple[Callable[[Episode], list[Tensor]], dict[str, float], dict[str, float]]] = {
    # stream: perfect answers after each piece; what they score; what answers of zero score
    "burst": (lambda e: [e.truth["value"]], {"details": 1, "events": 1}, {"details": 0}),
    "chains": (
        lambda e: [torch.cat((torch.zeros_like(e.truth["c"]), e.truth["c"]), -1)],
        {"far": 1, "near": 0},
        {},
    ),
    "correlated": (
        lambda e: [e.truth["answers"]],
        {"relative_error": 0},
        {"relative_error": 1},
    ),
    "haystack": (lambda e: [e.truth["values"][:3]], {"recall": 1}, {}),
    "novelty": (lambda e: [e.truth["values"]], {"novel": 1, "common": 1}, {"novel": 0}),
    "outliers": (lambda e: [e.truth["values"]], {"clean_error": 0}, {}),
    "overwrite": (lambda e: [e.truth["values"][e.truth["latest"]]], {"recall": 1}, {}),
    "pairs": (
        lambda e: [e.truth["values"]] * 2,
        {"recall": 1, "recall/pass=1": 1, "error": 0},
        {},
    ),
    "readings": (
        lambda e: [e.truth["answers"]],
        {"accuracy": 1, "single": 1, "mean": 1},
        {"mean": 0},
    ),
    "reward": (
        lambda e: [e.truth["values"] * e.truth["tagged"][:, None]],
        {"tagged": 1, "untagged": 0, "gain": 1},
        {"gain": 0},
    ),
    "rewrites": (
        lambda e: [e.truth["bank"][latest] for latest in e.truth["latest"]],
        {"recall": 1, "recall/rewrites=6": 1},
        {},
    ),
    "salience": (lambda e: [e.truth["values"][:4]], {"recall": 1}, {}),
    "two_tasks": (
        lambda e: [e.truth["values"].flatten(0, 1)] * 2,
        {"a_error": 0, "b_error": 0, "worse_error": 0, "a_before": 0},
        {"a_error": 1, "b_error": 1},
    ),
    "visits": (
        lambda e: [e.truth["items"].roll(-1, 0)],
        {"next": 1, "same": 0},
        {},
    ),
}


def test_every_stream_is_tested() -> None:
    assert set(SMALL) == set(leaves("miras.streams"))


@pytest.mark.parametrize("kind", SMALL)
def test_episodes_keep_the_contract(kind: str) -> None:
    stream = SMALL[kind]
    one, again, other = stream.episode(0), stream.episode(0), stream.episode(1)
    for a, b, c in zip(one.pieces, again.pieces, other.pieces, strict=True):
        assert a.query.shape == a.key.shape and a.asked.shape[1] == a.key.shape[1]
        assert len(a.value) == len(a.key)
        for x, y, z in zip(a[:3], b[:3], c[:3], strict=True):
            assert isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(z, Tensor)
            assert x.dtype == torch.float64
            assert torch.equal(x, y) and x.shape == z.shape
        for name, gate in a.gates.items():
            assert gate.shape == (len(a.key),), name
            assert torch.equal(gate, b.gates[name])
    same = all(torch.equal(a.key, b.key) for a, b in zip(one.pieces, other.pieces, strict=True))
    assert same == (kind == "impulse")
    assert type(stream).model_validate(stream.model_dump()) == stream
    assert "Source:" in str(stream.__doc__) and "Scores:" in str(stream.__doc__)


@pytest.mark.parametrize("kind", ANSWERS)
def test_perfect_answers_and_answers_of_zero(kind: str) -> None:
    stream, (right, perfect, empty) = SMALL[kind], ANSWERS[kind]
    episode = stream.episode(3)
    for answers, wanted in (
        (right(episode), perfect),
        ([torch.zeros_like(answer) for answer in right(episode)], empty),
    ):
        heard = [
            Heard(piece.value, answer, {}, answer[:0, 0])
            for piece, answer in zip(episode.pieces, answers, strict=True)
        ]
        scores = stream.score(episode, heard)
        for name, value in wanted.items():
            assert scores[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_not_finite_is_wrong(kind: str) -> None:
    stream, (right, perfect, _) = SMALL[kind], ANSWERS[kind]
    episode = stream.episode(3)
    lost = [torch.full_like(answer, torch.nan) for answer in right(episode)]
    heard = [Heard(p.value, a, {}, a[:0, 0]) for p, a in zip(episode.pieces, lost, strict=True)]
    scores = stream.score(episode, heard)
    for name, value in perfect.items():
        if "error" in name or "before" in name:
            assert scores[name] >= 1e11
        elif value == 1:
            assert scores[name] < 1


def test_impulse_compares_with_the_best_exponential_of_each_age() -> None:
    stream = Impulse(time=4000, ages=(1, 16, 64))
    episode = stream.episode(0)

    def score(response: Tensor) -> dict[str, float]:
        return stream.score(
            episode, [Heard(response[:, None], response[:0, None], {}, response[:0])]
        )

    ages = torch.arange(4000, dtype=torch.float64)
    # kept^age sqrt(1 - kept^2) is largest at kept^2 = age / (age + 1).
    for age in (1, 16, 64):
        found = score((age / (age + 1)) ** (ages / 2))
        assert found[f"ratio/age={age}"] == pytest.approx(1, abs=1e-3)
        assert found["worst_ratio"] < 0.9
    assert episode.pieces[0].gates["step"].sum() == 1


def test_norms_without_end_have_a_number() -> None:
    stream = SMALL["unnormalised"]
    weights = [{"matrix": torch.ones(2, 2)}, {"matrix": torch.full((2, 2), torch.nan)}]
    heard = [Heard(torch.zeros(0), torch.zeros(0), each, torch.zeros(0)) for each in weights]
    scores = stream.score(stream.episode(0), heard)
    assert scores == {"norm/token=10": 2.0, "norm/token=20": 1e12, "largest_norm": 1e12}


def test_simplex_error_sees_sums_and_signs() -> None:
    stream = Overwrite(keys=2, values=2, rewrites=0, total=2.0)
    episode = stream.episode(0)
    right = torch.tensor([[0.5, 1.5], [1.5, 0.5]], dtype=torch.float64)
    for weights, error in ((right, 0.0), (right * 1.25, 0.5), (right - 1.0, 2.0)):
        heard = Heard(right[:0], right[:2], {"matrix": weights}, right[:0, 0])
        assert stream.score(episode, [heard])["simplex_error"] == pytest.approx(error)


def test_data_of_streams() -> None:
    novelty = SMALL["novelty"].episode(0)
    near = torch.cdist(novelty.pieces[0].key, novelty.pieces[0].asked).argmin(-1)
    assert sorted(near[near < 4].tolist()) == [0, 1, 2, 3]  # each novel pair once
    zipf = SMALL["zipf"].episode(0).pieces[0]
    assert torch.equal(zipf.query[::2], zipf.key[1::2])  # asked before it is told again
    one_off = zipf.key[::2]
    assert len(one_off.unique(dim=0)) == len(one_off)
    reward = SMALL["reward"].episode(0)
    rewards = reward.pieces[0].gates["reward"].reshape(6, 3)
    assert torch.equal(rewards[:, -1] > 0, reward.truth["tagged"]) and rewards[:, :-1].sum() == 0
    outliers = Outliers(time=4000).episode(0)
    key, value = outliers.pieces[0].key, outliers.pieces[0].value
    clean = outliers.truth["values"][torch.cdist(key, outliers.pieces[0].asked).argmin(-1)]
    spoiled = (value - clean).abs().amax(-1) > 1e-9
    assert 0.08 < float(spoiled.double().mean()) < 0.12
    assert 19 < float((value - clean)[spoiled].std()) < 21
    assert not SMALL["visits"].episode(0).pieces[0].gates["spread"].any()
    tasks = SMALL["two_tasks"].episode(0)
    assert [float(piece.gates["boundary"].sum()) for piece in tasks.pieces] == [0, 1]


def test_lessons_are_small_where_answers_are_right() -> None:
    for kind in ("chains", "readings"):
        stream, (right, _, _) = SMALL[kind], ANSWERS[kind]
        episode = stream.episode(1)
        told, answers = episode.pieces[0], right(episode)[0]
        exact = stream.lesson(episode, [Heard(told.value, answers, {}, answers[:0, 0])])
        wrong = stream.lesson(episode, [Heard(told.value, answers.roll(1, 0), {}, answers[:0, 0])])
        assert float(exact) == pytest.approx(0, abs=1e-9) and float(wrong) > 0.1


def test_a_mean_is_no_item_and_an_item_no_mean() -> None:
    stream = SMALL["readings"]
    episode = stream.episode(2)
    told, answers = episode.pieces[0], episode.truth["answers"]

    def score(answer: Tensor) -> dict[str, float]:
        return stream.score(episode, [Heard(told.value, answer, {}, answer[:0, 0])])

    assert score(answers[:5].repeat(2, 1)) == {"accuracy": 0.5, "single": 1.0, "mean": 0.0}
    assert score(answers[5:].repeat(2, 1)) == {"accuracy": 0.5, "single": 0.0, "mean": 1.0}
    assert (told.asked[:5, 0] == 0).all() and (told.asked[5:, 0] > 0.5).all()
