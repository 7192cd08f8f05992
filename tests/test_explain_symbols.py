"""The line that names the symbols of equations: all that occur, none that do not."""

import re
from pathlib import Path

import pytest

from miras import explain
from miras.explain.formulas import equations
from miras.explain.legend import line, of_memory
from miras.known import cells, named
from miras.page import Equations
from miras.reporting import equations as of_winner

EXACT = {
    "deltanet": {
        "q_t": "query of token t",
        "k_t": "key",
        "v_t": "value",
        "y_t": "what is read",
        "W_t": "weights after token t",
        "β_t": "gate, step",
    },
    "mingru": {
        "v_t": "value",
        "y_t": "what is read",
        "w_t": "state after token t",
        "⊙": "product entry by entry",
        "α_t": "gate, decay value",
    },
    "fox": {
        "q_t": "query of token t",
        "k_t": "key",
        "v_t": "value",
        "y_t": "what is read",
        "k_i": "key of token i",
        "v_i": "value of token i",
        "P_t": "pairs that are stored",
        "α_t": "gate, decay",
    },
    "mixture-of-memories": {
        "q_t": "query of token t",
        "k_t": "key",
        "v_t": "value",
        "y_t": "what is read",
        "M_i": "state of cell 0, number i",
        "W_t": "weights after token t",
        "W′": "weights after forgetting, before the write",
        "α_t": "gate, decay",
        "β_t": "gate, step",
    },
}


def symbols(name: str) -> dict[str, str]:
    found = [each.partition(": ") for each in explain.explain(named(name)).symbols]
    assert len({symbol for symbol, _, _ in found}) == len(found)
    return {symbol: meaning for symbol, _, meaning in found}


@pytest.mark.parametrize("name", EXACT)
def test_symbols_of_a_memory(name: str) -> None:
    assert symbols(name) == EXACT[name]


@pytest.mark.parametrize("name", sorted(cells()))
def test_what_occurs_is_named_and_nothing_else(name: str) -> None:
    memory = cells()[name]
    found = equations(memory)
    lines = "\n".join((*found.update, *found.read))
    told = {each.partition(":")[0] for each in of_memory(memory, [lines], explain.gates(memory))}
    for symbol in told:
        assert symbol.removesuffix("_t") in lines, symbol
    used = set(re.findall(r"(?<![\w∂])([^\W\d_]+(?:_key)?)_(?:t|\{t−1\})(?!\w*[a-z])", lines))
    made = set(re.findall(r"^([^\W\d_]+)_t =", lines, re.MULTILINE))
    said = set(re.findall(r"(?:^|[ ;\n])([a-zA-Z]+)(?:_t)?(?: =|:)", "\n".join(found.where)))
    assert {f"{base}_t" for base in used - made - said} <= told


def test_page_terminal_and_report_have_the_same_line(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("model: {dim: 16, layers: 1, heads: 1, pattern: [deltanet]}\n")
    found = explain.explain(named("deltanet"))
    told = line(found.symbols)
    assert told.startswith("q_t: query of token t; k_t: key; v_t: value; y_t: what is read; W_t: ")
    assert Equations([told]) in explain.computed(found)
    assert Equations([told]) in of_winner(path)
    assert " ".join(explain.text(found).split()).count(told) == 1
