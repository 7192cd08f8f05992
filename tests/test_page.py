"""Pages: equations as MathML, and the blocks in both forms."""

import re
import xml.etree.ElementTree as ET

import pytest
from html_reader import Page, letters

from miras.explain.formulas import equations
from miras.known import known
from miras.memory import Memory
from miras.page import (
    Block,
    Code,
    Equations,
    Heading,
    Items,
    Picture,
    Pictures,
    Table,
    Terms,
    Text,
    to_html,
    to_markdown,
)
from miras.page.mathml import typeset


def linear(node: ET.Element) -> str:
    """MathML back in one line: the reverse of `typeset`, written from the standard alone."""
    inner = [linear(child) for child in node]
    match node.tag:
        case "msub":
            return f"{inner[0]}_<{inner[1]}>"
        case "msup":
            return f"{inner[0]}^<{inner[1]}>"
        case "msubsup":
            return f"{inner[0]}_<{inner[1]}>^<{inner[2]}>"
        case "munder":
            return f"{inner[0]}_<{inner[1]}>"
        case "mover":
            return f"{inner[0]}\u0304"
        case "mfrac":
            return f"<{inner[0]}>/<{inner[1]}>"
        case "msqrt":
            return f"√<{''.join(inner)}>"
        case _:
            assert node.tag in ("math", "mrow", "mi", "mn", "mo", "mtext", "mspace"), node.tag
            return (node.text or "") + "".join(inner)


def read(html: str) -> str:
    """The text of a typeset line."""
    parts = re.split(r"(<math.*?</math>)", html.replace("<wbr>", ""))
    return "".join(
        linear(ET.fromstring(part)) if part.startswith("<math") else re.sub("&lt;", "<", part)
        for part in parts
    )


CASES = {
    "W_t = α_t W_{t−1} − β_t (W_{t−1} k_t − v_t) k_tᵀ": (
        "W_<t>=α_<t>W_<t−1>−β_<t>(W_<t−1>k_<t>−v_<t>)k_<t>^<T>"
    ),
    "y_t = W_t q_t / (z_t · q_t + 1e-6)": "y_<t>=<W_<t>q_<t>>/<z_<t>·q_<t>+10^<−6>>",
    "s_t = (1 − exp(−β_t ‖k_t‖²)) / ‖k_t‖²": "s_<t>=<1−exp(−β_<t>‖k_<t>‖^<2>)>/<‖k_<t>‖^<2>>",
    "w_t = α_t w_{t−1} + √(1 − α_t²) v_t": "w_<t>=α_<t>w_<t−1>+√<1−α_<t>^<2>>v_<t>",
    "u ← silu(u) / ‖silu(u)‖ for u = q_t, k_t": "u←<silu(u)>/<‖silu(u)‖> for u=q_<t>, k_<t>",
    "αᵏ_t = sigmoid(x W₁ W₂ + b)^(1/16), rank 32": (
        "α_<t>^<k>=sigmoid(xW_<1>W_<2>+b)^<1/16>, rank 32"
    ),
    "y_t = Σ_i softmax_i(k_i · q_t / √key_dim) v_i over the pairs in P_t": (
        "y_<t>=Σ_<i>softmax_<i>(<k_<i>·q_<t>>/<√<key_dim>>)v_<i> over the pairs in P_<t>"
    ),
    "Π_t = Σ_i k_i k_iᵀ / ‖k_i‖²": "Π_<t>=Σ_<i><k_<i>k_<i>^<T>>/<‖k_<i>‖^<2>>",
    "r / Σ_i r_i + M": "<r>/<Σ_<i>r_<i>>+M",
    "W_t = A_t / ‖A_t‖_4^2": "W_<t>=<A_<t>>/<‖A_<t>‖_<4>^<2>>",
    "k_{i+1,t} = M_i(k_{i,t})": "k_<i+1,t>=M_<i>(k_<i,t>)",
    "k̄_i: mean key of segment i": "k\u0304_<i>: mean key of segment i",
    "W_t ← W* + (W_t − W*) (I + H)⁻¹": "W_<t>←W^<*>+(W_<t>−W^<*>)(I+H)^<−1>",
    "R: a learned matrix per head": "R: a learned matrix per head",
    "k = M_key(k_t)": "k=M_<key>(k_<t>)",
    "b = -2 at the start": "b=−2 at the start",
    "a < b & c": "a<b&c",
    "[a W b]: a scales W, b its key side": "[aWb]: a scales W, b its key side",
    "cell 0, self_referential:": "cell 0, self_referential:",
    "((": "((",
    ") ‖ _ ^ / √": ")‖/√<>",
}


@pytest.mark.parametrize("line", CASES)
def test_structure_of_equations(line: str) -> None:
    found = read(typeset(line))
    assert found == CASES[line] or line.startswith(")"), found


def test_every_equation_of_the_known_memories_is_typeset_whole() -> None:
    """No sign is lost, added or moved: the letters of all scripts and fractions, in order."""
    lines: set[str] = set()
    cells = list(known().values())
    while cells:
        cell = cells.pop()
        if isinstance(cell, Memory):
            lines |= {*(found := equations(cell)).update, *found.read, *found.where}
            lines |= {use.gate.formula() for use in cell.uses if use.gate.own}
        else:
            lines |= {line for part in cell.formula() for line in part}
            cells += cell.cells
    assert len(lines) > 250
    for line in sorted(lines):
        assert letters(read(typeset(line))) == letters(line), line


BLOCKS: list[Block] = [
    Text("One <two> & three"),
    Heading("Update"),
    Equations(["W_t = W_{t−1} + v_t k_tᵀ", "cell 0, gla:", "  y_t = W_t q_t"]),
    Heading("Gates"),
    Terms([("α_t = sigmoid(x W + b)", "decay, per head"), ("step = 1", "")]),
    Heading("Inside", level=3),
    Table(("a", "b"), [["x", "1,024"], ["y", "+0.5"]], "A caption"),
    Heading("Inside"),
    Items(["first", "second"]),
    Heading("Code"),
    Code("a: `b`\n"),
    Heading("Figures"),
    Pictures([Picture("figures/a.png", "What it shows", b"<svg></svg>")]),
]


def test_html_of_all_blocks() -> None:
    text = to_html("A <title>", BLOCKS)
    found = Page(text)
    found.check()
    assert found.headings == ["Update", "Gates", "Inside", "Code", "Figures"]
    assert found.outline[0] == (1, "A <title>") and (3, "Inside") in found.outline
    assert found.tags.count("nav") == 1 and found.ids == [
        "update", "gates", "inside", "code", "figures",
    ]  # fmt: skip
    assert (
        'class="equation within"' in text and "<dt>" in text and "<dd>decay, per head</dd>" in text
    )
    assert "One <two> & three" in found.text


def test_a_short_page_has_no_list_of_contents() -> None:
    assert "nav" not in Page(to_html("t", BLOCKS[:3])).tags


def test_markdown_of_all_blocks() -> None:
    text = to_markdown("A <title>", BLOCKS)
    assert text.startswith("# A \\<title>\n")
    assert "\n### Inside\n" in text
    assert "```\nW_t = W_{t−1} + v_t k_tᵀ\ncell 0, gla:\n  y_t = W_t q_t\n```" in text
    assert "- `α_t = sigmoid(x W + b)`: decay, per head\n- `step = 1`\n" in text
    assert "![What it shows](figures/a.png)" in text


def test_two_sections_of_one_name_have_two_places() -> None:
    blocks = [Heading("A b"), Heading("a  b"), Heading("A-b"), Heading("c"), Heading("d")]
    Page(to_html("t", blocks)).check()


def test_equal_headings_have_names_of_their_own() -> None:
    page = to_html("Twice", [Heading("Same", 2), Heading("Same", 2), Heading("Same 2", 2)])
    assert re.findall(r'<h2 id="([^"]+)"', page) == ["same", "same-2", "same-2-2"]
