"""What the rules of single memories refuse in a space of compositions, patterns or changes.

Cells do not know of each other: so what fits in a list of cells is the product of what fits in
each. What a composition itself asks of its cells is not counted here.
"""

from collections import Counter
from typing import NamedTuple

from .asking import is_memory
from .counting import divide
from .nodes import Choice, Fields, Fixed, Items, Node, size


class Tally(NamedTuple):
    """All structures below a node: those that are well typed, and those that a rule refuses."""

    whole: int
    well_typed: int
    refused: Counter[str]
    sentences: dict[str, str]

    @property
    def open(self) -> int:
        """Structures of which nothing is known."""
        return self.whole - self.well_typed - self.refused.total()


def tally(node: Node) -> Tally:
    """Count what can be counted without going through all of it."""
    if not isinstance(node, Fixed) and is_memory(node):
        found = divide(node)
        return Tally(size(node), found.well_typed, Counter(found.refused), dict(found.sentences))
    match node:
        case Fixed():
            return Tally(1, 1, Counter(), {})
        case Choice(options):
            each = [tally(option) for option in options.values()]
            refused = sum((one.refused for one in each), Counter[str]())
            sentences = {rule: words for one in each for rule, words in one.sentences.items()}
            well = sum(one.well_typed for one in each)
            return Tally(size(node), well, refused, sentences)
        case Items(_, entries):
            return _product([tally(entry) for entry in entries])
        case Fields(_, entries):
            cells = [tally(entries[name]) for name in ("of", "pattern") if name in entries]
            own = [entry for name, entry in entries.items() if name not in ("of", "pattern")]
            return _product([*cells, *(_free(entry) for entry in own)])
        case _:
            return Tally(size(node), 0, Counter(), {})


def _free(node: Node) -> Tally:
    """What no rule of a single memory looks at."""
    return Tally(size(node), size(node), Counter(), {})


def _product(each: list[Tally]) -> Tally:
    """All combinations; one that several refuse is put down to the first."""
    found = Tally(1, 1, Counter(), {})
    for one in each:
        refused = Counter({rule: n * one.whole for rule, n in found.refused.items()})
        for rule, n in one.refused.items():
            refused[rule] += (found.whole - found.refused.total()) * n
        found = Tally(
            found.whole * one.whole,
            found.well_typed * one.well_typed,
            refused,
            one.sentences | found.sentences,
        )
    return found
