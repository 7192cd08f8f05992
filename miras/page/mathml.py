"""Equations as MathML: browsers typeset it without a script, a font file or the network.

The equations are those that `formula()` of the parts and `miras explain` write in one line of text:
`W_t = α_t W_{t−1} − β_t (W_{t−1} k_t − v_t) k_tᵀ`. Nothing is lost or added on the way. Words
between equations stay words: `u ← silu(u) / ‖silu(u)‖ for u = q_t, k_t`.
"""

import html
from itertools import pairwise
from typing import NamedTuple

from miras.page.tokens import (
    BARS,
    BETWEEN,
    LOWERED,
    MACRON,
    PAIRS,
    PRIMES,
    PUNCTUATION,
    RAISED,
    RELATIONS,
    SUMS,
    Token,
    is_word,
    tokens_of,
)


class Node(NamedTuple):
    """A piece of MathML; of something in brackets, `inner` is the same without them."""

    xml: str
    kind: str = "factor"
    inner: str = ""


def typeset(line: str) -> str:
    """A line of text and equations as HTML; equations may wrap at their signs."""
    found: list[str] = []
    run: list[Token] = []
    tokens = tokens_of(line)
    depth = 0

    def flush() -> None:
        if run:
            lone = len(run) == 1 and run[0].kind in ("number", "dots", "sign")
            plain = lone and run[0].text != "∞" and "e" not in run[0].text
            text = html.escape(run[0].text) if plain else _math(run)
            found.append((" " if run[0].spaced and found else "") + text)
            run.clear()

    for place, token in enumerate(tokens):
        if depth == 0 and (token.text in PUNCTUATION or is_word(tokens, place)):
            flush()
            found.append((" " if token.spaced and found else "") + html.escape(token.text))
            continue
        depth = max(0, depth + (token.text in PAIRS) - (token.text in PAIRS.values()))
        run.append(token)
    flush()
    return "".join(found)


def _math(run: list[Token]) -> str:
    """One element for each stretch that must not be broken."""
    nodes = _Parser(run).row()
    starts = [0]
    for place, (before, node) in enumerate(pairwise(nodes), 1):
        if node.kind == "sign" and before.kind == "factor":
            starts.append(place)
    stretches = [nodes[start:end] for start, end in pairwise([*starts, len(nodes)])]
    return "<wbr>".join(
        f'<math displaystyle="true">{"".join(node.xml for node in stretch)}</math>'
        for stretch in stretches
    )


class _Parser:
    """Reads a run of tokens to its end; what does not close is shown as it stands."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place = tokens, 0

    def peek(self, ahead: int = 0) -> Token:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else Token("", "", True)

    def next(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def row(self, end: str = "") -> list[Node]:
        """Sums, relations and lists, up to a sign or the end of the run."""
        found: list[Node] = []
        while self.peek().text and self.peek().text != end:
            token = self.peek()
            if token.text in RELATIONS | SUMS:
                found.append(_sign(self.next().text, found[-1:]))
            elif token.text in PUNCTUATION:
                found.append(Node(f"<mo>{self.next().text}</mo>", "punctuation"))
            else:
                found += self.product(end)
        return found

    def product(self, end: str) -> list[Node]:
        """Factors and quotients; a fraction holds all factors of its product to the left."""
        found: list[Node] = []
        start = 0
        while (token := self.peek()).text and token.text != end:
            if token.text in RELATIONS | SUMS | PUNCTUATION:
                break
            gap = token.spaced and bool(found) and found[-1].kind == "factor"
            if token.text == "/":
                self.next()
                below = self.below(end) if token.spaced else None
                if below is None or not found[start:]:
                    found += [Node("<mo>/</mo>", "between"), *([below] if below else [])]
                else:
                    found[start:] = [_fraction(found[start:], below)]
            elif token.text in BETWEEN:
                found.append(Node(f"<mo>{self.next().text}</mo>", "between"))
            elif token.text == "Σ" or (token.text == "Π" and self.peek(2).text == "("):
                found.append(self.large(end))
                start = len(found)
            elif (factor := self.factor(end)) is not None:
                space = '<mspace width="0.15em"></mspace>' if gap else ""
                found.append(factor._replace(xml=space + factor.xml) if gap else factor)
            else:
                break
        return found

    def below(self, end: str) -> Node | None:
        """What stands under a fraction: one factor, or a whole sum."""
        if self.peek().text != "Σ":
            return self.factor(end)
        return Node(f"<mrow>{''.join(node.xml for node in self.product(end))}</mrow>")

    def large(self, end: str) -> Node:
        """A sum or a product over what stands below its sign."""
        sign, below = f"<mo>{self.next().text}</mo>", ""
        if self.peek().text == "_":
            self.next()
            below = self.script(end)
        return Node(f"<munder>{sign}{below}</munder>" if below else sign, "large")

    def factor(self, end: str) -> Node | None:
        """An atom with all that is raised or lowered beside it."""
        if not self.peek().text or self.peek().text in (end, *PUNCTUATION):
            return None
        base = self.atom()
        low: list[str] = []
        high: list[str] = []
        while (token := self.peek()).text and not token.spaced:
            if token.text in "_^":
                self.next()
                (low if token.text == "_" else high).append(self.script(end))
            elif token.text in RAISED or token.text in PRIMES or token.text == "*":
                high.append(self.raised())
            elif token.text in LOWERED:
                digits = self.while_in(LOWERED)
                low.append(f"<mn>{digits}</mn>")
            elif token.text == MACRON:
                self.next()
                base = Node(f'<mover accent="true">{base.xml}<mo>¯</mo></mover>')
            else:
                break
        if low and high:
            return Node(f"<msubsup>{base.xml}{_listed(low)}{_listed(high)}</msubsup>")
        if low or high:
            name, scripts = ("msub", low) if low else ("msup", high)
            return Node(f"<{name}>{base.xml}{_listed(scripts)}</{name}>")
        return base

    def atom(self) -> Node:
        token = self.next()
        closing = PAIRS.get(token.text) or (token.text if token.text in BARS else "")
        if closing:
            return self.fenced(token.text, closing)
        if token.text == "√":
            below = self.factor("") or Node("<mrow></mrow>")
            return Node(f"<msqrt>{below.inner or below.xml}</msqrt>")
        if token.kind == "number":
            return Node(_number(token.text))
        if token.kind == "name":
            return Node(self.name(token))
        if token.kind == "dots":
            return Node("<mo>…</mo>")
        tag = "mi" if token.text in "∞∂¼" else 'mo stretchy="false"'
        return Node(f"<{tag}>{html.escape(token.text)}</{tag.split()[0]}>")

    def name(self, token: Token) -> str:
        """A letter, a function, or a word inside brackets; `M_key` is M of the key."""
        if is_word(self.tokens, self.place - 1):
            ends = "\u00a0" if self.peek().text and self.peek().spaced else ""
            return f"<mtext>{token.text}{ends}</mtext>"
        first, _, rest = token.text.partition("_")
        if len(first) == 1 and rest:
            return f"<msub><mi>{first}</mi><mtext>{rest}</mtext></msub>"
        return f"<mi>{token.text}</mi>"

    def fenced(self, opening: str, closing: str) -> Node:
        inner = "".join(node.xml for node in self.row(closing))
        size = "" if "<mfrac" in inner or "<munder" in inner else ' stretchy="false"'
        left = f'<mo form="prefix"{size}>{opening}</mo>'
        if self.peek().text != closing:
            return Node(f"{left}{inner}")
        self.next()
        right = f'<mo form="postfix"{size}>{closing}</mo>'
        bare = f"<mrow>{inner}</mrow>" if opening == "(" else ""
        return Node(f"<mrow>{left}{inner}{right}</mrow>", inner=bare)

    def script(self, end: str) -> str:
        """What is raised or lowered by a sign: a group, or one atom."""
        if self.peek().text in ("(", "{"):
            closing = PAIRS[self.next().text]
            inner = "".join(node.xml for node in self.row(closing))
            if self.peek().text == closing:
                self.next()
            return f"<mrow>{inner}</mrow>"
        if self.peek().text == "⊗":
            sign = self.next().text
            return f"<mrow><mo>{sign}</mo>{self.script(end)}</mrow>"
        return self.atom().xml if self.peek().text else "<mrow></mrow>"

    def raised(self) -> str:
        """Letters, digits and primes that are raised in the text itself."""
        if self.peek().text in PRIMES or self.peek().text == "*":
            return f"<mo>{self.next().text}</mo>"
        text = self.while_in(RAISED)
        sign = "<mo>−</mo>" if text.startswith("−") else ""
        rest = text.removeprefix("−")
        if rest == "T":
            return '<mi mathvariant="normal">T</mi>'
        tag = "mn" if rest[:1].isnumeric() else "mi"
        return f"<mrow>{sign}<{tag}>{rest}</{tag}></mrow>" if sign else f"<{tag}>{rest}</{tag}>"

    def while_in(self, signs: dict[str, str]) -> str:
        text = signs[self.next().text]
        while self.peek().text in signs and not self.peek().spaced:
            text += signs[self.next().text]
        return text


def _sign(text: str, before: list[Node]) -> Node:
    """Between two terms, or in front of the first one."""
    infix = text in RELATIONS or (before and before[0].kind == "factor")
    form, shown = "infix" if infix else "prefix", html.escape(text.replace("-", "−"))
    return Node(f'<mo form="{form}">{shown}</mo>', "sign")


def _fraction(above: list[Node], below: Node) -> Node:
    top = above[0].inner if len(above) == 1 and above[0].inner else ""
    top = top or f"<mrow>{''.join(node.xml for node in above)}</mrow>"
    return Node(f"<mfrac>{top}{below.inner or below.xml}</mfrac>")


def _listed(scripts: list[str]) -> str:
    """Several scripts in one place: `key_2_t` is the second key of token t."""
    return scripts[0] if len(scripts) == 1 else f"<mrow>{'<mo>,</mo>'.join(scripts)}</mrow>"


def _number(text: str) -> str:
    mantissa, _, exponent = text.replace("-", "−").partition("e")
    if not exponent:
        return f"<mn>{text}</mn>"
    sign = "<mo>−</mo>" if exponent.startswith("−") else ""
    power = f"<mrow>{sign}<mn>{int(exponent.lstrip('−'))}</mn></mrow>"
    ten = f"<msup><mn>10</mn>{power}</msup>"
    return ten if mantissa == "1" else f"<mn>{mantissa}</mn><mo>·</mo>{ten}"
