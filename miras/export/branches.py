"""Programs of several moments of a sequence, put together to one with branches."""

from textwrap import indent

from miras.export.nodes import Unwritable
from miras.export.program import Written

Moment = tuple[Written, dict[str, bool]]
"""What a token does at some moment, and the comparisons that led there."""

MANY = 4
"""Different programs that may make one function."""


def merged(moments: list[Moment]) -> Written:
    """One function that does what was seen at every moment."""
    programs: list[Written] = []
    for program, _ in moments:
        if program not in programs:
            programs.append(program)
    if len(programs) > MANY:
        raise Unwritable(
            f"does something else at each of {len(programs)} of {len(moments)} tokens, which no"
            " short program says"
        )
    if len(programs) == 1:
        return programs[0]
    asked = set(moments[0][1])
    for _, decisions in moments[1:]:
        asked &= set(decisions)
    for question in sorted(asked):
        yes = [moment for moment in moments if moment[1][question]]
        no = [moment for moment in moments if not moment[1][question]]
        if yes and no and not _mixed(yes, no):
            return _either(question, merged(yes), merged(no))
    raise Unwritable("does something else at some tokens, and no number says at which")


def _mixed(yes: list[Moment], no: list[Moment]) -> bool:
    return any(program == other for program, _ in yes for other, _ in no)


def _either(question: str, yes: Written, no: Written) -> Written:
    before, after = 0, 0
    least = min(len(yes.lines), len(no.lines))
    while before < least and yes.lines[before] == no.lines[before]:
        before += 1
    while after < least - before and yes.lines[-1 - after] == no.lines[-1 - after]:
        after += 1
    names = question.replace("(", "").split()
    assigned = {line.split(" = ")[0].strip() for line in yes.lines[:before] if " = " in line}
    if any(name.split(".shape")[0] in assigned for name in names):
        before = 0
    results = dict(yes.results)
    bodies: list[list[str]] = []
    for each in (yes, no):
        body = list(each.lines[before : len(each.lines) - after])
        for name, text in each.results.items():
            if yes.results[name] != no.results[name]:
                results[name] = name or "output"
                if text != results[name]:
                    body.append(f"        {results[name]} = {text}")
        bodies.append([indent(line, "    ") for line in body])
    first, second = bodies
    branch = [f"        if {question}:", *first]
    if not first:
        branch = [f"        if not ({question}):"]
    if second:
        branch += [*(["        else:"] if first else []), *second]
    tail = yes.lines[len(yes.lines) - after :]
    return Written([*yes.lines[:before], *branch, *tail], results, yes.used | no.used)
