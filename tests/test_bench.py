"""The benchmark: programs in turns, counted operations, peers, and small runs that work."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from miras.benchmarks import (
    cases,
    decode,
    lengths,
    measure,
    peers,
    published,
    records,
    tables,
)
from miras.benchmarks import side_by_side as together
from miras.benchmarks.inputs import CellWeights, Sizes, cell, inputs, ours
from miras.cli import app
from miras.known import cells as known
from miras.operator import run
from miras.part import SpecError
from miras.state import start

SMALL = Sizes(batch=2, time=64, heads=2, size=8)


def test_programs_run_in_turns_and_are_compared_with_the_first():
    order: list[str] = []
    x = torch.ones(3, requires_grad=True)

    def entrant(name: str, by: float, factor: float | None = 1.0) -> measure.Entrant:
        def forward() -> torch.Tensor:
            order.append(name)
            return by * x

        return measure.Entrant(name, "peer", forward, [x], factor)

    result = measure.in_turns([entrant("a", 2.0), entrant("b", 1.0, 2.0), entrant("c", 3.0)], 2, ())
    assert "".join(order) == "abc" + "abc" + 2 * "aabbcc"
    assert result.differences == {"a": 0.0, "b": 0.0, "c": 0.5}
    assert all(len(timing.both) == len(timing.forward) == 2 for timing in result.timings.values())


def test_operations_are_those_of_the_products():
    left, right = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 5, 6)
    lower = torch.eye(4).expand(3, 4, 4)

    def forward() -> torch.Tensor:
        out = torch.zeros(3, 4, 6).baddbmm_(left, right)
        return torch.linalg.solve_triangular(lower, out, upper=False)

    found = measure.operations(measure.Entrant("a", "plan", forward, [left]))
    product, solve = 2 * 3 * 4 * 5 * 6, 3 * 4 * 4 * 6
    assert found == (product + solve, 2 * product + 2 * solve, 2 * product + 2 * solve)


def test_operations_of_a_kernel_are_those_of_its_route_in_pytorch(monkeypatch: pytest.MonkeyPatch):
    entrant = ours(inputs(known()["gated-deltanet"], SMALL))
    found = measure.operations(entrant)
    monkeypatch.setenv("MIRAS_KERNELS", "0")
    without = measure.operations(entrant)
    assert found[:2] == without[:2] and without.seen == without.both > without.forward > 0


def test_the_floor_is_two_products_and_their_derivatives():
    given = inputs(known()["retnet"], SMALL)
    once = 3 * 2 * 8 * 8  # written, read and decayed, for two heads
    assert together.floor(given) == pytest.approx(3 * 2 * once * 2 * 64 / 1e9)
    assert together.floor(inputs(known()["softmax-attention"], SMALL)) is None


def test_a_matmul_has_a_rate():
    assert measure.rate(32, torch.device("cpu")) > 0


@pytest.mark.parametrize("name", ["gated-deltanet", "scalar-decay", "ttt-linear", "ttt-mlp", "gru"])
def test_a_small_run_of_a_case(name: str):
    settings = together.Settings(SMALL, repeats=1, matmuls=(16,))
    found = list(together.measured(cases.chosen([name]), settings, lambda _: None))
    roles = [each["role"] for each in found]
    assert roles[0] == "plan" and roles[-2:] == ["beside", "definition"]
    for each in found:
        if "skipped" not in each:
            assert each["forward_ms"] > 0 and each["both_ms"] > 0
            assert each["difference"] is None or each["difference"] < 1e-4
    rows = tables.ratios(found)
    assert rows and json.loads(records.line(found[0])) == found[0]


def test_other_plans_that_fit_are_compared():
    settings = together.Settings(SMALL, 1, 0, peers=False, plans=True, matmuls=(16,))
    found = list(together.measured(cases.chosen(["mingru"]), settings, lambda _: None))
    assert found[0]["plan"] == "scan"
    assert "our plan sequential" in [row.against for row in tables.ratios(found)]
    assert all(each["difference"] < 1e-5 for each in found)


def test_every_case_is_a_memory_of_its_own():
    names = [case.name for case in cases.CASES]
    assert len(names) == len(set(names))
    for case in cases.CASES:
        assert case.memory().architecture
    (plain,) = cases.chosen(["yaad"])
    assert plain.memory() == known()["yaad"] and not plain.against
    with pytest.raises(SpecError, match="there is no case 'nothing'"):
        cases.chosen(["nothing"])
    with pytest.raises(SpecError, match="composition"):
        cases.chosen(["titans-mac"])


def test_a_peer_that_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(peers, "import_module", missing)
    (case,) = cases.chosen(["kda"])
    found, skipped = case.others(case.inputs(SMALL, "cpu"))
    assert not found and "fla.ops.kda.naive cannot be imported" in skipped["kda_fla"]


def test_a_memory_with_a_head_per_channel_has_its_own_shapes():
    given = inputs(known()["mamba-1"], SMALL)
    assert given.key.shape == (2, 64, 16, 16) and given.value.shape == (2, 64, 16, 1)
    entrant = ours(given)
    assert entrant.forward().shape == given.value.shape


def test_outputs_of_deep_memories_are_no_chance():
    given = inputs(known()["titans-lmm"], Sizes(batch=1, time=512, heads=1, size=16))
    assert given.gates["decay"].min() > 0.998
    query, key, value = given.query.double(), given.key.double(), given.value.double()
    gates = {name: gate.double() for name, gate in given.gates.items()}
    weights = {name: leaf.double() for name, leaf in given.weights.items()}
    state = start(given.memory, 1, 1, 16, 16, weights, torch.float64)
    wanted, _ = run(given.memory, query, key, value, gates, state)
    found = ours(given).forward()
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_cell_does_what_torch_does(name: str):
    given = inputs(known()[name], SMALL)
    (theirs,) = cases.chosen([name])[0].others(given)[0]
    own = cell(given, "definition")
    difference = own.forward()[:, :, 0] - theirs.forward()
    assert difference.abs().max() < 1e-5
    assert len(CellWeights.of(given).leaves) == (4 if name == "lstm" else 5)


def test_the_minimal_ssd_is_a_sum_over_earlier_tokens():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 12, 3, 4, dtype=torch.float64)
    decay = torch.rand(2, 12, 3, dtype=torch.float64)
    found = published.minimal_ssd(value, decay.log(), key, query, block=4)
    state, wanted = torch.zeros(2, 3, 4, 4, dtype=torch.float64), []
    for t in range(12):
        state = decay[:, t, :, None, None] * state + value[:, t, :, :, None] * key[:, t, :, None]
        wanted.append((state @ query[:, t, :, :, None])[..., 0])
    torch.testing.assert_close(found, torch.stack(wanted, 1))


def test_a_point_of_lengths_and_going_on():
    sizes = Sizes(1, 1, 1, 8)
    (point,) = lengths.points(["mingru"], [64], sizes)
    found = lengths.measure(point)
    assert found["tokens"] == 64 and found["both_seconds"] > 0
    assert found["input_bytes"] == 4 * 64 * 8 * 4  # query, key, value, one gate
    assert found["chunk_states_bytes"] == found["state_bytes"] == 4 * 8
    assert list(lengths.measured([point], [found])) == []
    slow = found | {"both_seconds": 100.0}
    (left,) = lengths.measured(lengths.points(["mingru"], [256], sizes), [slow])
    assert "expected" in left["skipped"]


def test_decoding_counts_bytes_of_state():
    sizes = Sizes(batch=1, time=70, heads=2, size=8)
    found = {
        name: decode.measure(name, known()[name], sizes, 3)
        for name in ("retnet", "softmax-attention", "sliding-window")
    }
    conv = 3 * 3 * 16
    assert found["retnet"]["state_bytes"] == 4 * (2 * 8 * 8 + conv)
    assert found["retnet"]["state_bytes"] == found["retnet"]["most_bytes"]
    assert found["sliding-window"]["state_bytes"] == found["sliding-window"]["most_bytes"]
    assert found["softmax-attention"]["growth_bytes"] > 0
    assert not decode.broken(list(found.values()))
    assert tables.decode(list(found.values())).count("\n| ") == 5


def test_the_command_keeps_lines_table_and_figure(tmp_path: Path):
    sizes = ["--batch", "1", "--heads", "1", "--size", "8", "--time", "32", "--repeats", "1"]
    words = ["bench", "--only", "deltanet", "--no-peers", "--threads", "1", *sizes]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "| deltanet | delta | definition (batch 1)" in result.output
    kept = records.read(tmp_path / "side-by-side.jsonl")
    assert kept[0]["run"]["sizes"] == {"batch": 1, "time": 32, "heads": 1, "size": 8}
    assert (tmp_path / "side-by-side.md").read_text() in result.output
    assert (tmp_path / "side-by-side.svg").exists() and (tmp_path / "side-by-side.png").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--only", "nothing"], "there is no case 'nothing'"),
        (["--lengths", "--decode"], "two measurements"),
        (["--lengths", "--only", "titans-mac"], "composition"),
        (["--only", "gla", "--plan", "scam"], "there is no plan 'scam'"),
    ],
)
def test_wrong_words_give_a_sentence(words: list[str], hint: str, tmp_path: Path):
    small = ["--threads", "1", "--batch", "1", "--time", "16", "--size", "4"]
    result = CliRunner().invoke(app, ["bench", *words, *small, "--out", str(tmp_path)])
    assert result.exit_code == 2 and hint in result.stderr
