"""Lines of equations and words as tokens: the first step towards their typesetting."""

import re
from typing import NamedTuple

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵏᵛᵀˡ¼", "0123456789−kvTl¼", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
PRIMES, MACRON = "′″", "\u0304"
PAIRS = {"(": ")", "[": "]", "{": "}", "⌊": "⌋"}
BARS = ("‖", "|")

RELATIONS = frozenset("=←≤≥<>∈∪≠~")
SUMS = frozenset("+−-")
BETWEEN = frozenset("⊙·⊗×")
PUNCTUATION = frozenset(",;:")

ATTACHED = frozenset({"(", "_", "^", *PRIMES, *RAISED, *LOWERED, MACRON})
"""What directly after a name of several letters says that it is no word."""

MATHEMATICAL = frozenset({"dt", "log", "mod", "key_dim", "value_dim"})
"""Names of several letters that are no words, though no bracket follows them."""

TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>\d+(?:\.\d+)?(?:e[-−]?\d+)?)"
    r"|(?P<name>[A-Za-z]+(?:_[A-Za-z]{2,})*|[^\W\d_⁰-₟ᴀ-ᶿʰ-˿])"
    r"|(?P<dots>\.\.+|…)"
    r"|(?P<sign>.)",
    re.DOTALL,
)


class Token(NamedTuple):
    """A piece of a line, and whether a space stands before it."""

    kind: str
    text: str
    spaced: bool


def tokens_of(line: str) -> list[Token]:
    """The pieces of a line in order, without the spaces between them."""
    found: list[Token] = []
    spaced = False
    for match in TOKEN.finditer(line.strip()):
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(Token(kind, match.group(), spaced))
        spaced = kind == "space"
    return found


def is_word(tokens: list[Token], place: int) -> bool:
    """Whether a token is a word of a sentence, not a name in an equation."""
    token = tokens[place]
    if token.kind != "name" or token.text in MATHEMATICAL:
        return False
    after = tokens[place + 1] if place + 1 < len(tokens) else Token("", "", True)
    if len(token.text) > 1:
        return after.spaced or after.text not in ATTACHED
    # `a matrix` has an article; `a learned` after a comma, or with another a in the line, a letter
    before = tokens[place - 1] if place else Token("", ":", True)
    sentence = before.text == ":" or (before.kind == "name" and len(before.text) > 1)
    alone = sum(each.text == "a" for each in tokens) == 1
    return token.text == "a" and after.kind == "name" and len(after.text) > 1 and sentence and alone
