"""The page of a confirmation: who is really better, why, at what cost, and what was not shown."""

from collections.abc import Sequence

from miras.page import Block, Heading, Items, Pictures, Table, Text
from miras.result import Finding

Findings = Sequence[Finding]

HOW = (
    "Every memory here was trained anew on seeds that the search has never used, with the same"
    " learning rates for all, one more where the best was at an edge; for each task the best rates"
    " of the first seed were run on all seeds, and the one with the best mean validation score"
    " counts. A run that failed counts as 0. A difference pairs runs of the same task and seed. Its"
    " interval of 95 % holds both that of a bootstrap over tasks and seeds and Student's; its"
    " probability is the largest of these two and of exchanged signs, after Holm over all"
    " that were ever compared, of choices over all choices. The best baseline is the one with the"
    " best validation score in the same setting."
)


def blocks(findings: Findings, drawn: Pictures | None = None) -> list[Block]:
    """The whole page."""
    found: list[Block] = [Text(sentence) for sentence in _left(findings)]
    found += [Text(HOW), Heading("Leaderboard"), leaderboard(findings)]
    found += [Heading("Against the best known memory"), differences(findings)]
    if drawn is not None:
        found.append(drawn)
    found += _ablations(findings)
    found += [Heading("Learning rates and costs"), costs(findings)]
    found += _search(findings)
    found += [Heading("Ten points of a claim"), *points(findings)]
    return found


def in_report(findings: Findings) -> list[Block]:
    """What the report of a study says of its confirmation."""
    if not findings:
        return []
    return [
        Heading("On fresh seeds"),
        *(Text(sentence) for sentence in _left(findings)),
        Text("The whole page is confirm/README.md. " + HOW),
        differences(findings),
        *points(findings),
    ]


def _left(findings: Findings) -> list[str]:
    return [
        f"This confirmation is not finished: {each.sentence}."
        if "runs" in each.numbers
        else each.sentence[0].upper() + each.sentence[1:] + "."
        for each in findings
        if each.topic == "left"
    ]


def leaderboard(findings: Findings) -> Table:
    """Scores on the tasks of the study, best first; finalists with their lead."""
    scores = [each for each in findings if each.topic == "score"]
    own = [each for each in scores if each.where == scores[0].where and each.role != "ablation"]
    own.sort(key=lambda each: -(each.mean or 0.0))
    leads = {each.subject: each for each in findings if each.topic == "lead"}
    rows = [
        [
            each.subject,
            each.role,
            interval(each),
            f"{each.numbers['validation']:.3f}",
            f"{each.pairs}, {each.numbers['failed']:.0f} failed",
            _lead(leads.get(each.subject)),
        ]
        for each in own
    ]
    columns = ("memory", "as", "score", "validation", "runs", "against the best baseline")
    return Table(columns, rows)


def _lead(finding: Finding | None) -> str:
    if finding is None:
        return ""
    return f"{interval(finding, sign=True)}, p {chance(finding)}: {finding.verdict}"


ORDER = ("lead", "neighbour", "held_out", "beyond", "size", "convolution")
SETTINGS = {"neighbour": "nearest known memory", "beyond": "longer than trained"}


def differences(findings: Findings) -> Table:
    """Every comparison of a finalist with a known memory."""
    rows = [
        [
            each.subject,
            SETTINGS.get(topic, each.where),
            each.against,
            interval(each, sign=True),
            chance(each),
            f"{each.tasks} × {each.pairs // max(1, each.tasks)}",
            each.verdict,
        ]
        for topic in ORDER
        for each in findings
        if each.topic == topic
    ]
    columns = ("finalist", "where", "against", "difference", "p", "tasks × seeds", "so")
    return Table(columns, rows)


def _ablations(findings: Findings) -> list[Block]:
    words = {"better": "a gain", "worse": "a loss"}
    rows = [
        [
            each.subject,
            each.where,
            each.against,
            interval(each, sign=True),
            chance(each),
            words.get(each.verdict, each.verdict),
        ]
        for each in findings
        if each.topic == "ablation"
    ]
    if not rows:
        return []
    text = "The finalist less itself with one choice taken from its nearest known memory."
    columns = ("finalist", "choice", "without it", "difference", "p", "the choice is")
    return [Heading("Which change is the gain?"), Text(text), Table(columns, rows)]


def costs(findings: Findings) -> Table:
    """What memories cost, and how many learning rates are good for them, on the study's tasks."""
    widths = {each.subject: each.numbers for each in findings if each.topic == "width"}
    found = [each for each in findings if each.topic == "cost"]
    rows = [
        [
            each.subject,
            *(
                f"{each.numbers[name]:,.0f}" if name in each.numbers else "–"
                for name in ("parameters", "state floats", "operations per token")
            ),
            f"{each.numbers.get('tokens per second', 0):,.0f}",
            _width(widths.get(each.subject)),
        ]
        for each in found
        if each.where == found[0].where
    ]
    columns = ("memory", "parameters", "state floats at most", "operations / token", "tokens / s")
    return Table((*columns, "good learning rates"), rows)


def _width(numbers: dict[str, float] | None) -> str:
    if not numbers:
        return "–"
    edge = f", {numbers['at edge']:.0f} best at an edge" if numbers.get("at edge") else ""
    return f"{100 * numbers['good']:.0f} % of those tried, {numbers['decades']:.1f} decades{edge}"


def _search(findings: Findings) -> list[Block]:
    told = [each for each in findings if each.topic in ("curse", "noise", "arms", "runs")]
    if not told:
        return []
    titles = {"curse": "Winner's curse", "noise": "Null candidates", "arms": "Random arm"}
    lines = [f"{titles.get(each.topic, 'Total')}: {each.sentence}." for each in told]
    return [Heading("What this says of the search"), Items(lines)]


def points(findings: Findings) -> list[Block]:
    """The checklist, about one finalist."""
    found = [each for each in findings if each.topic == "point"]
    if not found:
        return []
    rows = [[each.subject, each.answer, each.sentence] for each in found]
    return [Table(("point", "shown?", "by what"), rows, f"About {found[0].against}")]


def interval(finding: Finding, sign: bool = False) -> str:
    """A mean and its interval."""
    plus = "+" if sign else ""
    values = (finding.mean, finding.low, finding.high)
    mean, low, high = ("–" if each is None else f"{each:{plus}.3f}" for each in values)
    return f"{mean} ({low} to {high})"


def chance(finding: Finding) -> str:
    """The probability after Holm."""
    if finding.corrected is None:
        return "–"
    return "< 0.001" if finding.corrected < 0.001 else f"{finding.corrected:.3f}"
