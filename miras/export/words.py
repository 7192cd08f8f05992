"""The docstring of an exported file: what it holds, where it comes from, how it is used."""

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from miras.explain.explanation import Explanation
from miras.memory import Memory

WIDTH = 97  # the first line has three quotes before it


def words(
    memory: Memory, found: Explanation, shape: Any, piece: Any, source: str, version: str
) -> str:
    """All of it, in sections."""
    name = found.name or "A memory without a name"
    paper = f" ({found.paper})" if found.paper else ""
    chosen = [f"{each.slot}: {each.chosen}" for each in found.choices]
    gates = [f"{gate.name} = {gate.made}" for gate in found.gates if gate.made]
    sections = {
        "What it is made of (YAML of miras)": chosen,
        "Update at token t, with weights W, query q_t, key k_t, value v_t": found.update,
        "Read": found.read,
        "Where": found.where,
        "Gates of the layer's input x": gates,
        "Differs from the paper": found.departures,
    }
    sentences = [
        f"{name}{paper}. {found.summary}",
        f"One layer of width {shape.dim}: {shape.heads} heads, keys of {shape.key}, values of"
        f" {shape.value}. `layer(x)` reads a sequence, `layer.step(x, state)` one token; both give"
        " the next state, and any way to cut a sequence gives the same outputs. The file needs"
        " torch alone. " + _speed(piece),
    ]
    blocks = ["\n".join(wrap(sentence, WIDTH)) for sentence in sentences]
    blocks += [
        "\n".join((f"{title}:", *_lines(lines))) for title, lines in sections.items() if lines
    ]
    origin = f"Written by miras {version} from {source or 'its grammar'}."
    rights = "Apache License 2.0: use it, change it, keep this line."
    blocks.append("\n".join(wrap(f"{origin} {rights}", WIDTH)))
    text = "\n\n".join(blocks) + "\n"
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _speed(piece: Any) -> str:
    if piece is None:
        return "It goes token by token."
    if piece[1]:
        return f"`piece` reads {piece[1]} tokens at once and computes what `token` computes."
    return "`piece` reads all tokens at once and computes what `token` computes."


def _lines(lines: Iterable[str]) -> Iterable[str]:
    for line in lines:
        yield from wrap(line, WIDTH, initial_indent="    ", subsequent_indent="        ")
