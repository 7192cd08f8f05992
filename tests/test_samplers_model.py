"""What a model of earlier trials lets evolution expect of derivations that nobody tried."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sampler_cases import TALL, UP, Values, ground

from miras.search.proposing.expectation import expecting, weighed
from miras.search.proposing.ground import Choices, written
from miras.search.proposing.history import frozen
from miras.search.proposing.model import LEAST, SURE, Model
from miras.search.proposing.proposing import study_of
from miras.search.proposing.table import Rows, table
from miras.search.sampler import Turn, evolution
from miras.search.space.choosers import FromRandom, FromTrial

TREE = ground(TALL)


def drawn(count: int, seed: int) -> list[Choices]:
    generator = np.random.default_rng(seed)
    return [TREE.derive(FromRandom(generator), True) for _ in range(count)]


def distributions(found: Sequence[Choices]) -> Mapping[str, BaseDistribution]:
    return {n: among for each in found for n, among in TREE.distributions(each).items()}


def worth(choices: Choices) -> float:
    """Good losses are better, and so is a small scale; of the loss bad0 the share counts too."""
    loss = str(choices["loss"])
    share = float(choices["loss.bad0.share"]) if loss == "bad0" else 0.0
    return 1.0 * loss.startswith("good") + share - 0.5 * np.log10(float(choices["scale"]))


def expected(model: Model, rows: Rows) -> torch.Tensor:
    return model.scaled.near(rows.scaled(model.scales)) @ model.pull


def test_model_knows_what_it_has_seen_and_orders_what_it_has_not() -> None:
    known, new = drawn(60, 0), drawn(40, 1)
    model = Model(table(known, distributions(known)), known, [worth(each) for each in known])
    mean = expected(model, model.table.rows(new))
    assert np.corrcoef(mean, [worth(each) for each in new])[0, 1] > 0.9
    at_known = expected(model, model.seen.rows)
    assert float((at_known - model.worth).abs().max()) < 0.5
    # whether the norm is l1 or l2 says nothing, the scale a lot
    norm = int(model.table.holes[model.table.columns["norm", "l1"]])
    assert float((model._fitted() - model.before)[norm]) < -0.5
    one = {"loss": "bad1", "norm": "l1", "scale": 1e-2}
    rows = model.table.rows([one, {**one, "norm": "l2"}, {**one, "scale": 1e-4}])
    here, other_norm, other_scale = expected(model, rows).tolist()
    assert abs(other_norm - here) < 0.1 * (other_scale - here)


def unlikely(model: Model, logs: torch.Tensor) -> torch.Tensor:
    """The negative logarithm of likelihood and prior, pair by pair, for autograd."""
    rows = model.seen.rows.full() * (0.5 * logs[:-1]).exp()[model.table.holes]
    similar = (-(rows[:, None] - rows).square().sum(dim=2)).exp()
    noisy = similar + (logs[-1].exp() + LEAST) * torch.eye(len(rows))
    given = torch.distributions.MultivariateNormal(torch.zeros(len(rows)), noisy.double())
    before = torch.distributions.Normal(model.before, SURE)
    return -given.log_prob(model.worth) - before.log_prob(logs).sum()


def test_likelihood_and_its_gradient_are_what_autograd_says() -> None:
    known = drawn(30, 7)
    model = Model(table(known, distributions(known)), known, [worth(each) for each in known])
    noise = torch.randn(len(model.before), generator=torch.Generator().manual_seed(0))
    constant = float(unlikely(model, model.before)) - model.unlikely(model.before)[0]
    for size in (0.0, 0.3, 1.0):
        logs = (model.before + size * noise).requires_grad_()
        wanted = unlikely(model, logs)
        (by_logs,) = torch.autograd.grad(wanted, logs)
        value, slope = model.unlikely(logs.detach())
        assert wanted.item() - constant == pytest.approx(value, rel=1e-9)
        torch.testing.assert_close(slope, by_logs)


def slope(model: Model, logs: torch.Tensor) -> float:
    return float(model.unlikely(logs)[1].abs().max())


def test_model_is_fitted_until_little_is_gained() -> None:
    known = drawn(40, 2)
    model = Model(table(known, distributions(known)), known, [worth(each) for each in known])
    logs = model._fitted()
    assert model.unlikely(logs)[0] < model.unlikely(model.before)[0] - 5.0
    assert slope(model, logs) < 0.3 * slope(model, model.before)


def test_promise_is_large_where_little_is_known_and_small_where_it_is_bad() -> None:
    known = drawn(80, 3)
    model = Model(table(known, distributions(known)), known, [worth(each) for each in known])
    best = max(known, key=worth)
    worst = min(known, key=worth)
    better = {**best, "scale": 1e-4, "norm": "l1" if best["norm"] == "l2" else "l2"}
    promise = model.promise([best, worst, better, {"never": "asked"}])
    assert bool((promise >= 0).all())
    assert float(promise[1]) < float(promise[0]) <= float(promise[2]) + 1e-6
    assert float(promise[3]) > float(promise[1])


def test_failed_trials_are_as_bad_as_any() -> None:
    known = drawn(60, 4)
    trials = [
        frozen(TREE, each, bad="diverged")
        if str(each["loss"]).startswith("good")
        else frozen(TREE, each, [worth(each)])
        for each in known
    ]
    running = [frozen(TREE, each) for each in drawn(5, 6)]
    model = expecting([UP], [*trials, *running], 200, np.random.default_rng(0))
    assert model is not None and model.seen.rows.size[0] == 60
    new = drawn(200, 5)
    promise = model.promise(new)
    good = torch.tensor([str(each["loss"]).startswith("good") for each in new])
    assert float(promise[good].mean()) < 0.2 * float(promise[~good].mean())
    assert expecting([UP], running, 200, np.random.default_rng(0)) is None
    few = expecting([UP], trials, 20, np.random.default_rng(0))
    assert few is not None and few.seen.rows.size[0] == 25


@pytest.mark.parametrize("seed", range(5))
def test_whoever_is_better_in_everything_has_more_weight(seed: int) -> None:
    points = np.random.default_rng(seed).random((20, 2))
    points[0] = points.max(axis=0) + 0.1
    found = weighed(points, np.random.default_rng(seed))
    assert found.argmax() == 0
    assert (weighed(points[:, :1], np.random.default_rng(seed)) == points[:, 0]).all()


def test_several_objectives_are_weighed_by_chance() -> None:
    one: list[Values] = [(1.0, 0.0), (0.0, 1.0), (0.6, 0.6)]
    points = np.array(one)
    winners = {int(weighed(points, np.random.default_rng(seed)).argmax()) for seed in range(40)}
    assert winners == {0, 1, 2}


def test_asked_again_the_model_is_fitted_anew_if_something_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits = list[int]()

    def counted(directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial], *more: Any):
        fits.append(len(trials))
        return expecting(directions, trials, *more)

    monkeypatch.setattr(evolution, "expecting", counted)
    trials = [frozen(TREE, each, [worth(each)]) for each in drawn(12, 2)]
    arm = evolution.Evolution(startup=1).arm(0, TREE)
    study = study_of(trials, arm, ["maximize"])

    def ask(seed: int, refused: int) -> Choices:
        study.sampler = arm.make(Turn(seed, refused, frozenset(map(written, found))))
        found.append(TREE.derive(FromTrial(study.ask(), seed), False))
        return found[-1]

    found = list[Choices]()
    first, again = ask(0, 0), ask(1, 0)
    assert first != again and fits == [12]
    study.add_trial(frozen(TREE, again, bad="invalid"))
    ask(2, 1)
    assert len(fits) == 2 and fits[1] > 12
