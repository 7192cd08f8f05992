"""The numbers behind the figures from inside a memory, and the files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miras import plots
from miras.lines import append
from miras.plots.look import addresses, graph, norms, spectrum, survival, writes
from miras.result import Seen


def seen(topic: str, name: str = "gsa", **changes: Any) -> Seen:
    fields: dict[str, Any] = {
        "topic": topic,
        "name": name,
        "where": "layer 1 of 2, head 1",
        "trained": True,
        "task": "mqar",
        "seed": 0,
    }
    return Seen.model_validate(fields | changes)


READ: dict[str, Any] = {"tokens": ("k1", "v1", "k1"), "asked": (2,)}
WRITES = seen("writes", **READ, series={"change": (1.0, 4.0, None), "surprise": (2.0, 1.0, 0.5)})
ADDRESSES = seen(
    "addresses",
    **READ,
    tables={"reads": ((1.0, 0.5, 0.1), (None, 0.5, 0.9)), "writes": ((3, 0, 0), (0, 2, 0))},
)
SURVIVAL = seen(
    "survival", series={"tokens": (2, 5, 6), "overwritten": (1, 1, 0), "cut off": (1, 0, 1)}
)
GRAPH = seen(
    "graph",
    numbers={"token": 8},
    tables={
        "edges": ((0, 0.5, 0), (0, 0, 0.1), (0, 0, 0)),
        "slots before": ((1, 0), (0, 2), (3, 3)),
        "slots after": ((1, 0), (1, 0), (3, 3)),
    },
)
SPECTRUM = seen(
    "spectrum",
    series={"token": (3, 3), "real": (0.6, 1), "imaginary": (0.8, 0), "times": (1, 15)},
)
NORMS = seen("norms", series={"tokens": (1, 10, 100), "norm": (0.5, 2.0, None)})
LOOKS = (WRITES, ADDRESSES, SURVIVAL, GRAPH, SPECTRUM, NORMS)


def test_writes_are_shares_of_the_largest() -> None:
    rows = writes.table(LOOKS)
    assert [(row.token, row.change, row.surprise, row.marked) for row in rows] == [
        ("k1", 0.25, 1.0, False),
        ("v1", 1.0, 0.5, False),
        ("k1", None, 0.25, True),
    ]
    assert {(row.panel, row.largest_change, row.largest_surprise) for row in rows} == {
        ("gsa on mqar, layer 1 of 2, head 1", 4.0, 2.0)
    }
    needle = WRITES.model_copy(update={"told": (0,), "trained": False, "series": {}})
    rows = writes.table([needle])
    assert [(row.marked, row.change) for row in rows] == [(True, None), (False, None), (True, None)]
    assert rows[0].meaning.startswith("the needle") and rows[0].panel.endswith("weights as drawn")


def test_addresses_by_slot() -> None:
    rows = addresses.table(LOOKS)
    assert [(row.what, row.slot, row.weights) for row in rows] == [
        ("reads", 0, (1.0, 0.5, 0.1)),
        ("reads", 1, (None, 0.5, 0.9)),
        ("writes", 0, (3, 0, 0)),
        ("writes", 1, (0, 2, 0)),
    ]
    assert rows[0].panel == "gsa on mqar, layer 1 of 2, head 1: reads" and rows[0].marked == (2,)
    assert not any(row.rest for row in rows)
    part = {"series": {"slot": (3, 99)}, "numbers": {"slots": 200}}
    rows = addresses.table([ADDRESSES.model_copy(update=part)])
    assert [(row.slot, row.rest) for row in rows[:2]] == [(3, True), (99, True)]


def test_survival_by_hand() -> None:
    rows = survival.table(LOOKS)
    assert [(row.tokens, row.at_risk, row.overwritten, row.cut_off) for row in rows] == [
        (0, 4, 0, 0),
        (2, 4, 1, 1),
        (5, 2, 1, 0),
        (6, 1, 0, 1),
    ]
    # 3/4, then half of that: what was cut off at 2 is no longer at risk at 5
    assert [row.share for row in rows] == pytest.approx([1, 0.75, 0.375, 0.375])
    spread = 1 / (4 * 3) + 1 / (2 * 1)
    error = 1.959964 * math.sqrt(spread) / math.log(0.375)
    low, high = (0.375 ** math.exp(sign * error) for sign in (-1, 1))
    assert (rows[2].low, rows[2].high) == pytest.approx((low, high))
    assert 0 < rows[2].low < 0.375 < rows[2].high < 1


def test_survival_is_the_share_that_is_left_where_nothing_is_cut_off() -> None:
    counts = [(1.0, 3, 0), (4.0, 5, 0), (9.0, 2, 0)]
    rows = survival.estimate("", "", counts)
    assert [row.share for row in rows] == pytest.approx([1, 0.7, 0.2, 0])
    # the interval of a share of 10, on the scale of log(-log), from the binomial variance
    error = 1.959964 * math.sqrt(0.3 / (0.7 * 10)) / math.log(0.7)
    assert rows[1].high == pytest.approx(0.7 ** math.exp(error))


def test_graph_before_and_after() -> None:
    rows = graph.table(LOOKS)
    before, after = rows[:3], rows[3:]
    assert [row.panel.rpartition(", ")[2] for row in rows[2:4]] == [
        "before a dream",
        "after a dream",
    ]
    assert [row.edges for row in before] == [((1, 0.5),), ((2, 0.1),), ()]
    assert [row.cosine for row in before] == pytest.approx([1, 1, 1])
    assert [row.cosine for row in after] == pytest.approx([1, 0, 1])
    assert after[0].nearest == (1, pytest.approx(1.0))
    assert before[0].nearest == (2, pytest.approx(0.5**0.5))
    assert [(row.x, row.y) for row in before] == [(row.x, row.y) for row in after]


def test_a_graph_with_numbers_that_are_none_is_refused() -> None:
    tables = GRAPH.tables | {"slots after": ((None, 0), (1, 0), (3, 3))}
    with pytest.raises(ValueError, match="a number of this graph is not finite"):
        graph.table([GRAPH.model_copy(update={"tables": tables})])


def test_layout_puts_connected_slots_together() -> None:
    edges = np.zeros((8, 8))
    for group in (range(4), range(4, 8)):
        for one in group:
            for other in group:
                edges[one, other] = float(one != other)
    places = graph.layout(edges)
    assert places.min() == 0 and places.max() == 1
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert apart[:4, :4].max() < apart[:4, 4:].min()
    assert apart[~np.eye(8, dtype=bool)].min() > 0.05  # none upon another
    np.testing.assert_array_equal(places, graph.layout(edges))


def test_spectrum_and_norms() -> None:
    rows = spectrum.table(LOOKS)
    assert [(row.token, row.times, row.radius) for row in rows] == [
        (3, 1, pytest.approx(1.0)),
        (3, 15, 1.0),
    ]
    drawn = NORMS.model_copy(update={"name": "gla", "trained": False})
    assert [(row.name, row.tokens, row.norm) for row in norms.table([*LOOKS, drawn])] == [
        ("gsa", 1, 0.5),
        ("gsa", 10, 2.0),
        ("gla (as drawn)", 1, 0.5),
        ("gla (as drawn)", 10, 2.0),
    ]


def test_files_of_a_look(tmp_path: Path) -> None:
    for row in LOOKS:
        append(tmp_path / "look.jsonl", row)
    drawn = {row.topic: plots.draw(row.topic, tmp_path) for row in LOOKS}
    assert {name: len(files) for name, files in drawn.items()} == {
        "writes": 2, "addresses": 4, "survival": 2, "graph": 4, "spectrum": 2, "norms": 2,
    }  # fmt: skip
    assert all(file.stat().st_size > 1000 for files in drawn.values() for file in files)
    with pytest.raises(ValueError, match=r"holds no look.jsonl: run `miras look` first"):
        plots.draw("norms", tmp_path / "nowhere")
    (tmp_path / "look.jsonl").unlink()
    append(tmp_path / "look.jsonl", NORMS)
    with pytest.raises(ValueError, match="nothing yet that the figure graph could show"):
        plots.draw("graph", tmp_path)
