"""Into a memory while it works: what is written down of it, and the command."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from look_cases import MEMNET, looking, model, text
from torch import Tensor
from typer.testing import CliRunner

from miras.cli import app
from miras.known import named
from miras.lines import read
from miras.look import rows
from miras.look.kept import followed
from miras.look.norms import norms
from miras.look.watching import chosen, slots, watch
from miras.look.words import words
from miras.memory import Memory
from miras.part import SpecError
from miras.result import Seen
from miras.tasks import Task
from miras.tasks.compositional import Compositional
from miras.tasks.mqar import MQAR
from miras.tasks.needle import Needle
from miras.tasks.overwrite import Overwrite
from miras.tasks.parity import Parity
from miras.tasks.selective_copy import SelectiveCopy

# What is written down


def test_writes_and_addresses_of_slots() -> None:
    look = looking({"use": "gsa", "architecture": {"size": 4}})
    seen = rows.writes(look)
    assert {len(each) for each in seen.series.values()} == {12} == {len(seen.tokens)}
    assert (seen.asked, seen.told, seen.trained) == ((11,), (), False)
    seen = rows.addresses(look)
    reads = np.array(seen.tables["reads"], float)
    assert reads.shape == (4, 12)
    np.testing.assert_allclose(reads.sum(0), 1, atol=1e-3)
    call = look.calls()[7]
    after, before = slots(look.memory, call.state), slots(look.memory, call.last)
    assert after is not None and before is not None
    moved = (after - before)[0, 0].norm(dim=-1)
    assert [row[7] for row in seen.tables["writes"]] == pytest.approx(moved.tolist(), rel=1e-3)


def test_addresses_of_pairs_are_those_of_their_tokens() -> None:
    def held(name: Any) -> list[list[int]]:
        """The tokens whose pairs are still there, after each token."""
        rows_of = rows.addresses(looking(name, time=6)).tables["reads"]
        return [[row for row in range(6) if rows_of[row][t] is not None] for t in range(6)]

    seen = rows.addresses(looking("softmax-attention", time=5))
    assert [row.count(None) for row in seen.tables["reads"]] == [0, 1, 2, 3, 4]
    assert "writes" not in seen.tables
    window = {"use": "sliding-window", "retention": {"size": 3}}
    assert held(window) == [[0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]


@pytest.mark.parametrize(("memory", "size"), [("softmax-attention", 9), ("sliding-window", 3)])
def test_pairs_of_repeated_tokens_are_told_apart(memory: str, size: int) -> None:
    chosen = {"use": memory} | ({"retention": {"size": size}} if size < 9 else {})
    look = looking(chosen, time=9)
    look.sequences = torch.full_like(look.sequences, 5)
    reads = rows.addresses(look).tables["reads"]
    for t in range(9):
        there = [row for row in range(9) if reads[row][t] is not None]
        assert there == list(range(max(0, t + 1 - size), t + 1))


def test_pairs_are_followed_by_what_they_are() -> None:
    a, b, c, d = torch.eye(4)
    assert followed([], torch.zeros(0, 4), a[None], 0) == [0]
    assert followed([0, 1], torch.stack((a, b)), torch.stack((a, b, c)), 2) == [0, 1, 2]
    assert followed([0, 1, 2], torch.stack((a, b, c)), torch.stack((a, c, d)), 3) == [0, 2, 3]
    assert followed([0, 1], torch.stack((a, a)), torch.stack((a, a, a)), 2) == [0, 1, 2]
    # what was not admitted leaves a blank before the oldest
    blank = torch.zeros(4)
    assert followed([0, 1], torch.stack((a, b)), torch.stack((blank, a, b)), 2) == [None, 0, 1]


def test_of_a_large_table_the_slots_that_are_read_most() -> None:
    look = looking({"use": "gsa", "architecture": {"size": 200}}, time=5)
    seen = rows.addresses(look)
    assert len(seen.tables["reads"]) == len(seen.tables["writes"]) == rows.SLOTS
    assert seen.numbers == {"slots": 200}
    whole = torch.stack([call.noted["address/asked"][-1][0, 0] for call in look.calls()]).sum(0)
    best = whole.topk(rows.SLOTS).indices.sort().values
    assert seen.series["slot"] == tuple(best.tolist())


def test_the_graph_is_that_of_the_last_dream() -> None:
    look = looking(MEMNET, time=11)
    seen = rows.graph(look)
    assert seen.numbers == {"token": 8.0}
    (before, after), edges = (
        [np.array(seen.tables[f"slots {moment}"], float) for moment in ("before", "after")],
        np.array(seen.tables["edges"], float),
    )
    assert before.shape == after.shape == (6, 4) and edges.shape == (6, 6)
    assert np.abs(after - before).max() > 1e-3
    state = look.calls()[8].state
    np.testing.assert_allclose(after, state.weights["slots"][0, 0].numpy(), rtol=1e-3, atol=1e-3)
    assert edges.max() > 0


@pytest.mark.parametrize(
    ("topic", "memory", "sentence"),
    [
        ("addresses", "deltanet", "deltanet has no slots and keeps no pairs"),
        ("survival", "deltanet", "deltanet has no slots: what it stores has no place of its own"),
        ("graph", "gsa", "gsa has no edges between slots, or did not dream in 12 tokens"),
        ("spectrum", "softmax-attention", "a state that grows with the tokens has no transition"),
        ("spectrum", "gsa", "the state of a head has 1024 numbers.* Use smaller heads"),
    ],
)
def test_what_cannot_be_seen_is_said(
    topic: str, memory: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miras.look.spectrum.LARGEST", 1000)
    with pytest.raises(SpecError, match=sentence):
        rows.TOPICS[topic](looking(memory))


def test_compositions_that_cannot_be_watched_are_refused() -> None:
    with pytest.raises(SpecError, match="titans-mag, several memories at once"):
        watch(model("titans-mag"), 0, text(3))
    twice = model("deltanet")
    twice.blocks.append(twice.blocks[0])
    with pytest.raises(SpecError, match="does not read one token after the other"):
        watch(twice, 0, text(3))
    with pytest.raises(SpecError, match="--layer 1: the model has 1, counted from 0"):
        chosen(model("deltanet"), 1)
    with pytest.raises(SpecError, match="a memory of pairs keeps what it is given"):
        list(norms(model("softmax-attention"), 0, 0, text(3), [1]))


@pytest.mark.parametrize(
    ("task", "ids", "expected"),
    [
        (MQAR(), [7, 129, 3, 200, 256, 7, 260], "k1 v1 k2 v2 . k1 ."),
        (Needle(), [10, 112, 61, 32, 256, 200], "↵ p = ␣ _ ?"),
        (SelectiveCopy(alphabet=4), [0, 3, 4, 5], "a d . >"),
        (Overwrite(), [3, 40, 5, 96, 3, 97, 98], "k1 v1 k2 W k1 Q ."),
        (Compositional(), [3, 40, 64, 128], "a1 b1 v1 ."),
        (Parity(), [0, 1], "0 1"),
    ],
)
def test_words(task: Task, ids: list[int], expected: str) -> None:
    assert " ".join(words(task, torch.tensor(ids))) == expected


def test_accuracy_of_a_needle_by_its_depth() -> None:
    task = Needle.model_validate(
        {"variant": "passkey", "rungs": [[64, 3]], "extrapolation": [], "test": 200}
    )

    def near(tokens: Tensor, scored: Tensor) -> Tensor:
        """Finds the needles in the last half of the haystack alone."""
        begin, _ = task.needles(tokens)
        answer = task.solve(tokens).where((begin > task.hay(task.rungs[0]) / 2)[:, None], 0)
        return torch.nn.functional.one_hot(answer[scored], task.vocabulary).float()

    found = task.evaluate(near).metrics
    depths = [found[f"accuracy/depth={depth}/d=3"] for depth in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert depths[:2] == [0, 0] and depths[3:] == [1, 1] and 0.2 < depths[2] < 0.8


# The command


def test_look_at_a_training_and_at_a_memory_as_drawn(tmp_path: Path) -> None:
    run, folder = str(tmp_path / "run"), tmp_path / "looks"
    small = ["--set", "model.dim=8", "--set", "model.layers=1", "--set", "model.heads=1"]
    task = ["--set", "task.rungs=[[16, 2]]", "--set", "task.extrapolation=[]"]

    def said(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == code, done.output
        return done.output

    said("train", "deltanet", "--task", "mqar", "--steps", "2", "--out", run, *small, *task)
    told = said("look", run)
    assert "weights trained" in told and "no addresses: deltanet has no slots" in told
    trained = read(tmp_path / "run" / "look.jsonl", Seen)
    assert [row.topic for row in trained] == ["writes", "spectrum"]
    assert len(trained[0].tokens) == 16 and len(trained[0].asked) == 2

    drawn = ["look", "gla", str(folder), "--task", "parity", *small]
    said(*drawn, "--show", "norms", "--tokens", "30")
    said(*drawn, "--show", "norms", "--tokens", "40")
    (row,) = read(folder / "look.jsonl", Seen)
    assert not row.trained and row.series["tokens"][-1] == 40

    assert "knows 264 tokens, parity has" in said("look", run, "--task", "parity", code=2)
    assert "--show speed: there are writes, addresses" in said(
        "look", run, "--show", "speed", code=2
    )
    assert "--rung 3: mqar has 1, counted from 0" in said("look", run, "--rung", "3", code=2)
    (tmp_path / "run" / "result.jsonl").unlink()
    assert "does not say what model.safetensors was trained on" in said("look", run, code=2)


def test_memnet_is_watched_inside_its_controller() -> None:
    look = looking(MEMNET, time=5)
    assert isinstance(look.memory, Memory) and look.memory.architecture.slots == 6
    assert isinstance(named("memnet"), Memory) is False
    assert max(x or 0 for x in rows.writes(look).series["change"]) > 0
