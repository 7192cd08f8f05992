"""Which parts go together: declared needs, and combinations known to be wrong or to blow up.

A rule looks at a whole memory and answers with a sentence (who asks, who lacks, what would fit) or
with nothing; its docstring says in one sentence what it asks for in general. Names T1, T2, ... are
those of the rules T1 to T27 of docs/rules.md. `fit` says who needs what,
`optimizers` what each of these does, `writing` what may be learned when, `stability` what diverges,
`degenerate` what is legal and pointless.
"""

from collections.abc import Callable
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from miras.memory import Memory

Check = Callable[["Memory"], str]


class Verdict(Enum):
    """What happens to a memory that a rule objects to."""

    refuse = "refuse"
    warn = "warn"


class Rule(NamedTuple):
    """A condition on a whole memory."""

    name: str
    verdict: Verdict
    check: Check
    each_gate: bool = False  # whether every gate in `memory.uses` is judged by itself

    @property
    def sentence(self) -> str:
        """What it asks for, in general."""
        return self.check.__doc__ or ""


RULES: list[Rule] = []


def rule(
    name: str, verdict: Verdict = Verdict.refuse, each_gate: bool = False
) -> Callable[[Check], Check]:
    """Enter a function from memory to sentence (empty: no objection) into the table."""

    def enter(check: Check) -> Check:
        RULES.append(Rule(name, verdict, check, each_gate))
        return check

    return enter


def kind(part: object) -> str:
    """The name of a part, as it is written in YAML."""
    return str(getattr(part, "kind", type(part).__name__))


# In this order: that two parts do not fit at all is said before what they would do together.
for _name in (
    "fit",
    "rows",
    "slots",
    "optimizers",
    "writing",
    "reading",
    "keeping",
    "stability",
    "degenerate",
):
    import_module(f"{__name__}.{_name}")
