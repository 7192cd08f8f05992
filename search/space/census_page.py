"""What a census says, in lines."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from .counting import Share

if TYPE_CHECKING:
    from .census import Census


def text(found: "Census") -> str:
    """The census in lines of at most 100 columns."""
    low, high = found.interval
    exact = found.method == "exact"
    span = "" if exact else f" ({_number(low)} to {_number(high)})"
    holes = _number(found.structures) + (", times real numbers" if found.continuous else "")
    lines = [
        f"space {found.space}",
        f"  {'structures':<14}{holes}",
        f"  {'well typed':<14}{_number(found.well_typed)}{span}",
        f"  {'refused':<14}{percent(found.refused)} of the structures",
    ]
    if not exact:
        bounds = f"at least {_number(found.bounds[0])}, at most {_number(found.bounds[1])}"
        lines.append(f"  {'bounds':<14}{bounds}")
    what = "all" if found.all_built else "drawn at random"
    equal = f"{found.different:,} different normal forms among {found.built:,} memories, {what};"
    lines.append(f"  {'normal forms':<14}{equal}")
    share = Share(found.equal_to_known, found.built)
    limits = "" if found.all_built else " ({} to {})".format(*map(percent, share.limits))
    equal = f"{found.equal_to_known} of these equal a known memory: {percent(share.value)}{limits}"
    lines.append(f"  {'':<14}{equal}")
    names = f"{len(found.known)} of {found.known_of} known memories are inside"
    shown = f"{names}: {', '.join(found.known)}" if found.known else names
    lines += _block("known", shown)
    lines += ["", "refused by"] if found.rules or found.unattributed else []
    width = max((len(rule.rule) for rule in found.rules), default=0)
    for rule in found.rules:
        start = f"  {rule.rule:<{width}}  {percent(rule.share):>7}  "
        lines += wrap(rule.sentence, 98, initial_indent=start, subsequent_indent=" " * len(start))
    if found.unattributed:
        lines.append(f"  {'(not divided)':<{width}}  {percent(found.unattributed):>7}")
    lines += ["", *wrap(f"{found.structure} Well-typed ones were {found.said}.", 98)]
    if found.rules:
        told = "A refused structure is put down to the rule that was found to object first."
        lines += wrap(told, 98)
    return "\n".join(lines)


def summary(found: "Census") -> str:
    """The count in one phrase."""
    about = "" if found.method == "exact" else "about "
    return f"{about}{_number(found.well_typed)} of {_number(found.structures)} structures fit"


def _block(title: str, words: str) -> Sequence[str]:
    return wrap(
        words,
        98,
        initial_indent=f"  {title:<14}",
        subsequent_indent=" " * 16,
        break_on_hyphens=False,
    )


def _number(value: int | float) -> str:
    if isinstance(value, float) and value < 1 and value:
        return f"{value:.2g}"
    return f"{round(value):,}" if value < 1e12 else f"{float(value):.2e}"


def percent(share: int | float) -> str:
    """A share as it is read: neither 0 nor 100 % where it is not."""
    if 0.9995 <= share < 1:
        return f"1 - {1 - share:.1e}" if share < 1 - 1e-15 else "almost all"
    return f"{100 * share:.1f} %" if share >= 5e-4 or share == 0 else f"{100 * share:.0e} %"
