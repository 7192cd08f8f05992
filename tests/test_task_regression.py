"""In-context regression: the data, and the references that its score is measured against."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from miras.tasks import IGNORE, Batch, ask
from miras.tasks.regression import Regression


def test_y_is_linear_in_x_but_for_outliers() -> None:
    task = Regression(noise=0.01, outliers=0.2, levels=64)
    tokens, targets = task.sample(24, 200, np.random.default_rng(0))
    assert tokens.shape == (200, 24 * 5 - 1) and (targets[:, 3::5] != IGNORE).all()
    assert (np.delete(targets, np.s_[3::5], 1) == IGNORE).all()
    assert (tokens[:, 4::5] == targets[:, 3:-1:5]).all()  # y of an example is told after it
    x = task.centres.numpy()[np.append(tokens, tokens[:, :1] * 0, 1).reshape(200, 24, 5)[:, :, :4]]
    y = (targets[:, 3::5] - 64 + 0.5) * task.step - 3
    assert x.mean() == pytest.approx(0, abs=0.03) and x.var() == pytest.approx(1, abs=0.03)
    far = 0
    for rows, wanted in zip(x, y, strict=True):
        # The line through the most examples, found by trying four at a time.
        tried = np.random.default_rng(1)
        draws = [tried.choice(24, 4, replace=False) for _ in range(150)]
        fits = [np.linalg.lstsq(rows[few], wanted[few])[0] for few in draws]
        misses = [(np.abs(rows @ w - wanted) > 3 * task.step).sum() for w in fits]
        far += min(misses)
    # An outlier is by chance within three steps of its line in 7 of 64 levels; a few y are cut off.
    assert far / (200 * 24) == pytest.approx(0.2 * 57 / 64, abs=0.03)


def exact(task: Regression, batch: Batch) -> float:
    """Nats per example of the exact posterior of one weight, summed over a fine grid."""
    w = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    nats: list[float] = []
    whole = torch.cat([batch.tokens, batch.targets[:, -1:]], 1).reshape(len(batch.tokens), -1, 2)
    for row in whole:
        posterior = -0.5 * w**2
        for x, y in row.tolist():
            mean = w * task.centres[x]
            inside = task._levels(mean, torch.zeros_like(mean))[:, y - task.levels]
            likely = ((1 - task.outliers) * inside + task.outliers / task.levels).log()
            told = torch.logsumexp(posterior.log_softmax(0) + likely, 0)
            posterior = posterior + likely
            nats.append(-float(told))
    return float(np.mean(nats))


@pytest.mark.parametrize("outliers", [0.0, 0.1, 0.3])
def test_the_robust_reference_is_the_exact_posterior(outliers: float) -> None:
    task = Regression(dims=1, outliers=outliers, test=40)
    batch = task.held_out(24, "test", 0)
    reached = ask(task.reference, batch, task.vocabulary).nats.mean()
    assert reached == pytest.approx(exact(task, batch), abs=0.01)


def test_ridge_is_fooled_by_outliers_and_by_nothing_else() -> None:
    for outliers in (0.0, 0.1):
        task = Regression(outliers=outliers, test=150)
        metrics = task.evaluate(lambda t, m: task.reference(t, m, 1)).metrics  # noqa: B023
        assert metrics["nats/trained"] == pytest.approx(metrics["ridge/trained"])
        gap = metrics["ridge/trained"] - metrics["robust/trained"]
        assert gap == pytest.approx(0, abs=1e-9) if outliers == 0 else gap > 0.5


def test_the_reference_scores_one_and_reaches_what_is_stated() -> None:
    task = Regression()
    result = task.evaluate(task.reference)
    assert result.score == 1.0 and result.metrics["score/beyond"] == 1.0
    stated = {"robust": (1.91, 1.50), "ridge": (2.66, 2.37), "prior": (3.08, 3.08)}
    for name, (trained, beyond) in stated.items():
        assert result.metrics[f"{name}/trained"] == pytest.approx(trained, abs=0.03), name
        assert result.metrics[f"{name}/beyond"] == pytest.approx(beyond, abs=0.03), name


def test_answers_depend_on_earlier_examples_alone() -> None:
    task = Regression(test=20)
    batch = task.held_out(24, "test", 0)
    whole = task.reference(batch.tokens, batch.targets != IGNORE).reshape(20, 24, -1)
    few = batch.tokens[:, : 10 * 5 - 1]
    assert torch.allclose(
        task.reference(few, batch.targets[:, : few.shape[1]] != IGNORE).reshape(20, 10, -1),
        whole[:, :10],
    )


def test_a_half_way_predictor_is_between() -> None:
    task = Regression(test=150)

    def mixed(tokens: Tensor, scored: Tensor) -> Tensor:
        parts = [task.reference(tokens, scored, beam).exp() for beam in (0, 32)]
        return (0.5 * parts[0] + 0.5 * parts[1]).log()

    result = task.evaluate(mixed)
    assert 0.4 < result.score < 0.9 and result.metrics["score/trained"] < 0.9


def test_extrapolation_has_more_examples() -> None:
    with pytest.raises(ValidationError, match="has 24 examples, training 24: take more"):
        Regression(extrapolation=(24,))
