"""What the symbols of equations stand for: those that occur, and no others."""

import re
from collections.abc import Iterable, Mapping, Sequence

from miras.composition import Composition
from miras.explain.explanation import Gate
from miras.memory import Memory

TOKENS = {
    "q_t": "query of token t",
    "k_t": "key",
    "v_t": "value",
    "y_t": "what is read",
    "k_i": "key of token i",
    "v_i": "value of token i",
}
SIGNS = {"⊙": "product entry by entry"}
STATES = {"w": "state", "M": "memory"}
"""Names of what a memory keeps, other than weights, by how equations write it."""


def of_memory(memory: Memory, lines: Sequence[str], gates: Iterable[Gate]) -> tuple[str, ...]:
    """The symbols in the equations of one memory, each with its meaning."""
    step, state = memory.stepping, memory.architecture.symbol
    if step is None:
        own = {"P_t": "pairs that are stored"}
    else:
        kept = STATES.get(state, "weights")
        own = {
            f"{state}_t": f"{kept} after token t",
            f"{state}′": f"{kept} after forgetting, before the write",
            "c_t": "value as it is written",
            "e_t": "error that is corrected",
            "r": "prediction minus target",
            "S_t": "running sum of past steps",
            "z_t": "sum of the keys that were written",
            "H_t": "sum of the products of keys with themselves",
            "s_t": "step that is taken",
        }
        if not memory.retention.identity_link:
            own["A_t"] = f"what writes add up to, of which {state}_t is made"
            own["A′"] = "the same after forgetting, before the write"
        elif step.associative:
            own["A_t"] = "edges between slots"
    return _told(TOKENS | own | SIGNS, lines) + _of_gates(lines, gates)


def of_composition(
    memory: Composition, lines: Sequence[str], gates: Iterable[Gate], cells: Iterable[str]
) -> tuple[str, ...]:
    """The symbols in the wiring of a composition, then those of its cells."""
    own = {"x_t": "input of token t"} | TOKENS
    own |= _cells(memory, "\n".join(lines)) | SIGNS
    told = {name: meaning for name, meaning in own.items() if not _says(memory, name)}
    found = _told(told, lines) + _of_gates(lines, gates)
    return tuple(dict.fromkeys((*found, *cells)))


def _cells(memory: Composition, text: str) -> dict[str, str]:
    """How a composition writes its cells, or the states of its only one."""
    if len(memory.cells) == 1 and re.search("M_[it]", text):
        states = {"M_0": "before the first token", "M_t": "after token t", "M_i": "number i"}
        return {name: f"state of cell 0, {which}" for name, which in states.items()}
    return {f"M_{place}": f"cell {place}" for place in (*range(len(memory.cells)), "i")}


def line(symbols: Sequence[str]) -> str:
    """All of them on one line."""
    return "; ".join(symbols)


def _says(memory: Composition, name: str) -> bool:
    """Whether the composition itself says what a symbol is."""
    return any(name in where.partition(":")[0] for where in memory.formula()[2] if ":" in where)


def _of_gates(lines: Sequence[str], gates: Iterable[Gate]) -> tuple[str, ...]:
    own = {gate.written: f"gate, {gate.name.replace('_', ' ')}" for gate in gates if gate.made}
    return _told(own, lines)


def _told(meanings: Mapping[str, str], lines: Sequence[str]) -> tuple[str, ...]:
    text = "\n".join(lines)
    return tuple(f"{name}: {meaning}" for name, meaning in meanings.items() if _occurs(name, text))


def _occurs(name: str, text: str) -> bool:
    """Whether a symbol is in a text, of any token; not as part of another name."""
    if name in SIGNS:
        return name in text
    base, _, index = name.rpartition("_") if "_" in name else (name, "", "")
    any_token = "[tj]" if index == "t" else re.escape(index)
    at = rf"_(?:{any_token}|\{{{any_token}(?:−1)?\}})" if index else ""
    return bool(re.search(rf"(?<![\w∂]){re.escape(base)}{at}(?![A-Za-z0-9_′ᵏᵛ])", text))
