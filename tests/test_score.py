"""The score that memories are chosen by: parts, weights, learning curves."""

import json
from pathlib import Path

import numpy as np
import pytest

from miras.lines import read
from miras.model import ModelSpec
from miras.result import Result
from miras.score import CHECKPOINTS, WEIGHTS, area, checkpoints, combined, task_score
from miras.tasks.mqar import MQAR
from miras.tasks.parity import Parity
from miras.train import train


def test_weights_by_hand():
    parts = {"ladder": 0.8, "learning": 0.4, "extrapolation": 0.2, "worst": 0.0}
    assert combined(parts) == pytest.approx(0.5 * 0.8 + 0.25 * 0.4 + 0.25 * 0.2)
    assert sum(WEIGHTS.values()) == 1


def test_a_missing_part_leaves_its_weight_to_the_others():
    assert combined({"ladder": 0.7}) == pytest.approx(0.7)
    assert combined({"ladder": 0.9, "extrapolation": 0.3}) == pytest.approx((2 * 0.9 + 0.3) / 3)
    same = dict.fromkeys(WEIGHTS, 0.6)
    for name in WEIGHTS:
        assert combined({other: x for other, x in same.items() if other != name}) == 0.6


@pytest.mark.parametrize("steps", [1, 3, 7, 40, 900, 22_500])
def test_checkpoints_are_log_spaced_from_5_percent_to_the_end(steps: int):
    found = checkpoints(steps)
    assert len(found) == CHECKPOINTS and found[-1] == steps
    assert found[0] == max(1, round(0.05 * steps)) and list(found) == sorted(found)
    if steps > 500:
        assert np.diff(np.log(found)) == pytest.approx(np.log(20) / 11, abs=0.02)
    assert checkpoints(steps, 0) == ()


def test_area_is_the_plain_mean_at_the_checkpoints():
    scores = np.random.default_rng(0).uniform(size=CHECKPOINTS)
    curve = list(zip(checkpoints(900), scores, strict=True))
    assert area(curve, 900) == pytest.approx(scores.mean())


def test_area_hardly_depends_on_how_many_points_a_curve_has():
    def curve(count: int) -> list[tuple[int, float]]:
        return [(step, float(np.log(step / 45) / np.log(20))) for step in checkpoints(900, count)]

    assert area(curve(12), 900) == pytest.approx(0.5, abs=0.01)
    for count in (4, 8, 50):
        assert area(curve(count), 900) == pytest.approx(area(curve(12), 900), abs=0.01)
    assert area(curve(3), 900) is None and area([], 900) is None


def test_an_earlier_transition_is_worth_more():
    def jump(at: int) -> float:
        return area([(step, float(step >= at)) for step in checkpoints(900)], 900) or 0.0

    found = [jump(at) for at in (45, 200, 600, 900)]
    assert found == sorted(found, reverse=True) and found[0] == 1 and found[-1] == 1 / CHECKPOINTS


def test_scores_beyond_training_and_of_text_stay_alone():
    assert task_score(0.3, {"accuracy/trained": 1.0}, 0.99) == 0.3
    assert task_score(0.3, {"ladder": 0.3}, 0.9) == pytest.approx((2 * 0.3 + 0.9) / 3)
    assert task_score(0.3, {"ladder": 0.3}, None) == pytest.approx(0.3)


def spec(name: str) -> ModelSpec:
    return ModelSpec.model_validate({"dim": 16, "layers": 1, "heads": 2, "pattern": [name]})


def test_a_result_keeps_the_vector_beside_the_score():
    task = MQAR.model_validate(
        {"rungs": [[16, 2]], "extrapolation": [[32, 4]], "keys": 8, "values": 8, "batch": 16}
        | {"validation": 16, "test": 32}
    )
    found, _ = train(spec("deltanet"), task, learning_rate=1e-2, steps=20)
    assert found.score == pytest.approx(combined(found.metrics)) and found.validation is not None
    assert {*WEIGHTS, "worst", "slope", "L50"} <= found.metrics.keys()
    curve = [(point.step, point.score) for point in found.curve]
    assert found.metrics["learning"] == area(curve, 20)


def test_a_fit_to_trained_lengths_earns_nothing_beyond_them():
    task = Parity(longest=8, lengths=(16,), batch=8, validation=16, test=32)
    found, _ = train(spec("gla"), task, learning_rate=1e-3, steps=8)
    assert found.score == found.metrics["score/L=16"] and "learning" in found.metrics


def test_results_of_the_first_schema_still_load(tmp_path: Path):
    old = {
        **{"schema_version": 1, "name": "gla", "key": "k", "memory": {}, "task": "mqar"},
        **{"settings": {}, "seed": 0, "learning_rate": 0.001, "score": 0.5, "validation": 0.4},
        **{"metrics": {"ladder": 0.5}, "steps": 9, "tokens": 90, "seconds": 1.0},
        **{"parameters": 100, "state_floats": 64, "environment": {}},
    }
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(old) + "\n")
    (found,) = read(path, Result)
    assert found.score == 0.5 and found.flops_per_token is None and found.schema_version == 1
    path.write_text(json.dumps(old | {"schema_version": 99}) + "\n")
    with pytest.raises(ValueError, match="99, this program reads 1 and 2"):
        read(path, Result)
