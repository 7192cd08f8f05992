"""Demonstrations of models on tasks, several processes, and memories that stay untaught."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from miras.cli import app
from miras.demonstration.judging import judge
from miras.demonstration.running import do, key_of, needed
from miras.demonstration.spec import AnyRow, Claim, Demonstrations, ModelRow, StreamRow
from miras.demonstration.studying import look, use
from miras.info import Info
from miras.lines import read
from miras.load import loads
from miras.model import Model
from miras.part import SpecError
from miras.result import Shown
from miras.tasks import IGNORE

TRAINED = """
name: models
demonstrate:
  - name: gradients
    number: 7
    system: losses
    title: A loss on a copy trains nothing
    task: {kind: copy, rungs: [[12, 4]], extrapolation: [], alphabet: 10, batch: 4, test: 8, validation: 8}
    training: {steps: 0}
    metric: gradient/sparsity
    columns: [parameters, gradient/sparsity, accuracy/n=4]
    candidates:
      attached: {layers: 1, dim: 8, heads: 1, mlp: none, pattern: [{compose: controller, layers: 1, heads: 2, feedforward: 8, hallucination: 0.1, sparsity: 0.1, utilisation: 0.1, of: {architecture: {kind: graph, size: 6}, optimizer: hebbian}}]}
    controls:
      detached: {layers: 1, dim: 8, heads: 1, mlp: none, pattern: [{compose: controller, layers: 1, heads: 2, feedforward: 8, hallucination: 0.1, sparsity: 0.1, utilisation: 0.1, detached: true, of: {architecture: {kind: graph, size: 6}, optimizer: hebbian}}]}
    claims:
      - {memory: attached, metric: gradient/sparsity, at_least: 1.0e-9}
      - {memory: detached, metric: gradient/sparsity, at_most: 0.0}
  - name: lessons
    number: 2
    system: training
    title: Steps help
    task: {kind: copy, rungs: [[9, 4]], extrapolation: [], alphabet: 10, batch: 4, test: 8, validation: 8}
    training: {steps: 6, learning_rate: 0.01, evaluations: 2}
    metric: accuracy/n=4
    curve: validation/step
    candidates:
      delta: {layers: 1, dim: 8, heads: 1, mlp: none, pattern: [deltanet]}
    claims:
      - {memory: delta, metric: accuracy/n=4, at_least: 0.0}
"""  # noqa: E501


def everything(rows: Sequence[AnyRow], seeds: int) -> list[Shown]:
    return [each for job in needed(rows, [], seeds) for each in do(job)]


@pytest.fixture
def models() -> Demonstrations:
    return loads(TRAINED, Demonstrations)


def test_models_are_trained_and_looked_at(models: Demonstrations) -> None:
    looked, trained = models.demonstrate
    assert isinstance(looked, ModelRow) and isinstance(trained, ModelRow)
    assert [job.seeds for job in needed([trained], [], 2)] == [(0,), (1,)]  # each on its own
    done = everything(models.demonstrate, seeds=1)
    attached, detached, delta = (each.metrics for each in done)
    assert detached["gradient/sparsity"] == detached["gradient/utilisation"] == 0
    losses = {"task", "hallucination", "sparsity", "utilisation"}
    assert all(attached[f"gradient/{loss}"] > 0 for loss in losses)
    assert all(attached[f"loss/{loss}"] == detached[f"loss/{loss}"] for loss in losses)
    assert 0 < attached["use/read"] <= 1 and 0 < attached["use/write"] <= 1
    assert attached["parameters"] == done[0].parameters and attached["repeated"] == 0
    assert {"loss/task", "validation/step=1", "validation/step=6"} <= delta.keys()
    for row in models.demonstrate:
        verdict = judge(row, done)
        assert verdict is not None and verdict.reached


def test_the_length_of_a_gradient_is_that_of_all_parameters(models: Demonstrations) -> None:
    row = models.demonstrate[1]
    assert isinstance(row, ModelRow)
    torch.manual_seed(0)
    model = Model(row.candidates["delta"], row.task.vocabulary)
    batch = next(row.task.train_stream(0))
    scored = batch.targets != IGNORE
    found = look(model, batch)
    logits = model(batch.tokens)[0][scored]
    loss = torch.nn.functional.cross_entropy(logits, batch.targets[scored])
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert found["loss/task"] == pytest.approx(loss.item(), rel=1e-5)
    square = sum(slope.square().sum().item() for slope in slopes)
    assert found["gradient/task"] == pytest.approx(square**0.5, rel=1e-5)


def test_even_use_is_one_and_a_single_slot_is_zero() -> None:
    for weights, wanted in ((torch.full((5, 2, 1, 3, 4), 0.25), 1.0), (torch.eye(4)[:1], 0.0)):
        info = Info()
        info.noted["address/read"] = [weights.expand(5, 2, 1, 3, 4)] * 2
        assert use(info) == {"use/read": pytest.approx(wanted)}


def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(TRAINED)
    words = ["demonstrate", str(file), "--seeds", "2", "--out"]
    found: list[list[Shown]] = []
    for workers in ("1", "2"):
        out = tmp_path / workers
        outcome = CliRunner().invoke(app, [*words, str(out), "--workers", workers])
        assert outcome.exit_code == 0, outcome.output
        assert "6 of 6: " in outcome.output
        again = CliRunner().invoke(app, [*words, str(out), "--workers", workers])
        assert " of " not in again.output.splitlines()[0]
        results = read(out / "results.jsonl", Shown)
        found.append(sorted(results, key=lambda each: (each.row, each.name, each.seed)))
        assert "| attached | candidate |" in (out / "README.md").read_text()
    one, two = found
    assert [each.metrics for each in one] == [each.metrics for each in two]


def test_a_claim_of_nothing_measured_is_a_sentence(models: Demonstrations) -> None:
    row = models.demonstrate[0]
    claim = Claim(memory="attached", metric="gradient/none", at_least=1.0)
    row = row.model_copy(update={"claims": (claim,)})
    with pytest.raises(SpecError, match="claims something of 'gradient/none': attached has"):
        judge(row, everything((row,), seeds=1))


def test_untaught_memories_are_shown_as_they_are_drawn() -> None:
    memory = {
        "architecture": {"kind": "graph", "size": 8, "top": 1, "policy": "meta"},
        "optimizer": {"kind": "hebbian", "slots": {"kind": "erase_write"}},
    }
    plain = {
        "name": "reads", "number": 5, "system": "s", "title": "t", "metric": "accuracy",
        "stream": {"kind": "readings", "items": 3, "dim": 8},
        "lessons": {"steps": 3, "batch": 2, "shown": 2, "rate": 0.5},
        "candidates": {"taught": memory}, "controls": {"drawn": memory},
        "claims": [{"memory": "taught", "metric": "accuracy", "at_least": 0}],
    }  # fmt: skip
    with pytest.raises(ValueError, match="speaks of 'drown'"):
        StreamRow.model_validate(plain | {"untaught": ["drown"]})
    both = StreamRow.model_validate(plain)
    apart = StreamRow.model_validate(plain | {"untaught": ["drawn"]})
    assert key_of(both, "taught") == key_of(both, "drawn") == key_of(apart, "taught")
    assert key_of(apart, "drawn") != key_of(apart, "taught")
