"""The benchmark: tables and figures come out right of measurements that are made up."""

from pathlib import Path
from typing import Any

import pytest

from miras.benchmarks import decode, drawn, records, tables
from miras.benchmarks.inputs import Sizes


def record(case: str, entrant: str, role: str, forward: float, both: float, **more: Any):
    sizes = Sizes()._asdict()
    found = {"case": case, "plan": "delta", "entrant": entrant, "role": role, "sizes": sizes}
    return found | {"forward_ms": forward, "both_ms": both, "difference": 1e-7, "note": ""} | more


WORK = {"forward_gflop": 1.0, "both_gflop": 2.0, "kernel": True, "floor_gflop": 0.5}

MADE_UP = [
    record("a", "miras", "plan", 10.0, 50.0, peak_gflops=80.0, **WORK),
    record("a", "miras, as a layer", "layer", 20.0, 100.0, difference=None),
    record("a", "other", "peer", 25.0, 200.0, peak_gflops=90.0, note="differs"),
    record("a", "beside", "beside", 5.0, 10.0),
    record("a", "definition", "definition", 500.0, 250.0, sizes=Sizes(batch=3)._asdict()),
    {"case": "a", "plan": "delta", "entrant": "gone", "role": "peer", "skipped": "not installed"},
    record("b", "miras", "plan", 1.0, 2.0, peak_gflops=100.0, forward_gflop=0, both_gflop=0),
    record("b", "another", "peer", 0.5, 1.0),
]


def test_ratios_are_their_time_over_ours():
    rows = tables.ratios(MADE_UP)
    found = [(row.case, row.ours, row.against, row.forward, row.both) for row in rows]
    assert found == [
        ("a", "miras", "other", 2.5, 4.0),
        ("a", "miras, as a layer", "other", 1.25, 2.0),
        ("a", "beside", "definition", 100.0, 25.0),
        ("b", "miras", "another", 0.5, 0.5),
    ]
    assert [row.batch for row in rows if row.definition] == [3]


def test_the_share_of_the_peak_is_of_the_best_in_the_run():
    (share,) = tables.shares(MADE_UP)
    assert share.case == "a" and share.peak == 100.0
    assert share.gflops == pytest.approx(2.0 / 0.05)
    assert share.fraction == pytest.approx(0.4)


def test_the_page_names_what_was_skipped_and_what_differs():
    page = tables.side_by_side(MADE_UP)
    assert "| a | delta | other | 10.0 | 50.0 | 2.50 | 4.00 | 1e-07 |" in page
    assert "other (ours as a layer)" in page and "definition (batch 3)" in page
    assert "a: gone was skipped: not installed" in page and "other: differs." in page
    assert "| a | delta (kernel) | 2.0 | 40.0 | 40% | 0.5 |" in page


def test_lengths_are_compared_with_the_shortest():
    common = {"memory": "a", "plan": "linear", "input_bytes": 1e6, "chunk_states_bytes": 1e6}
    made_up = [
        common | {"tokens": 4096, "both_seconds": 0.8, "extra_bytes": 8e6},
        common | {"tokens": 1024, "both_seconds": 0.1, "extra_bytes": 1e6},
        {"memory": "b", "tokens": 1024, "skipped": "too slow"},
    ]
    page = tables.lengths(made_up)
    assert "| a | linear | 1,024 | 97.66 | 1.00 | 1.0 | 1.0 | 0.5 |" in page
    assert "| a | linear | 4,096 | 195.31 | 2.00 | 8.0 | 8.0 | 4.0 |" in page
    assert "| b |" not in page


def test_a_state_that_should_not_grow_is_told():
    fine = {"memory": "a", "state_bytes": 64, "most_bytes": 64, "growth_bytes": 4.0}
    pairs = {"memory": "b", "state_bytes": 6400, "growth_bytes": 64.0}
    wrong = {"memory": "c", "state_bytes": 68, "most_bytes": 64, "growth_bytes": 4.0}
    (sentence,) = decode.broken([fine, pairs, wrong])
    assert sentence == "c: its state has 68 bytes, at most 64 were expected"
    page = tables.decode([each | {"tokens_per_second": 1200.4} for each in (fine, pairs)])
    assert "| a | 1,200 | 64 |  |" in page and "| b | 1,200 | 6,400 | 64 |" in page


def test_figures_of_lengths(tmp_path: Path):
    common = {"memory": "a", "plan": "linear", "input_bytes": 1e6, "chunk_states_bytes": 1e6}
    made_up = [
        common | {"tokens": 1024, "both_seconds": 0.1, "extra_bytes": 1e6},
        common | {"tokens": 4096, "both_seconds": 0.8, "extra_bytes": 8e6},
    ]
    paths = drawn.lengths(made_up, tmp_path, "lengths")
    assert [path.name for path in paths] == [
        *("lengths-time.svg", "lengths-time.png", "lengths-memory.svg", "lengths-memory.png"),
    ]
    assert drawn.lengths([], tmp_path, "none") == [] == drawn.side_by_side([], tmp_path, "none")


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path):
    file = tmp_path / "kept.jsonl"
    records.append(file, {"a": 1})
    with file.open("a", encoding="utf-8") as lines:
        lines.write('{"a": ')
    assert records.read(file) == [{"a": 1}]
