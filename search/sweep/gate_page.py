"""The page of a gate: for each task who is expected ahead and who behind, and what was seen."""

import json
from collections.abc import Mapping, Sequence

from miras.result import FloorCheck

from . import floors
from .gate import Checked, Verdict, verdicts
from .standing import Standing
from .sweep_page import NOTES, section

SIGNS = {"holds": "holds", "fails": "**fails**", "not run yet": "not run yet"}


def page(standing: Standing, checks: Sequence[FloorCheck], pictures: Mapping[str, str]) -> str:
    """Markdown; `pictures` are figures by the title of their comparison, all in one under none."""
    sweep, found = standing.sweep, verdicts(standing)
    count, _ = standing.left()
    left = f" {count} runs are left." if count else " Nothing is left to run."
    lines = [f"# {sweep.name}", "", sweep.description, ""]
    lines += [_told(found) + left, "", "## Who solves what", "", *_rows(standing, found), ""]
    lines += [f"![Who solves what]({pictures['']})", ""] if "" in pictures else []
    lines += ["## Are the tasks what they say?", "", *_floors(standing, checks), ""]
    for index, comparison in enumerate(sweep.compare):
        lines += [f"## {comparison.title}", ""]
        lines += [
            line for text in (comparison.asks, comparison.note) if text for line in (text, "")
        ]
        verdict = next((each for each in found if each.title == comparison.title), None)
        lines += _claims(verdict) if verdict else []
        if comparison.title in pictures:
            lines += [f"![{comparison.title}]({pictures[comparison.title]})", ""]
        lines += section(standing, index)
        settings = comparison.task.model_dump(mode="json")
        lines += [f"Settings: `{json.dumps(settings)}`", ""]
    return "\n".join([*lines, "## How to read the tables", "", NOTES, ""])


def _told(found: Sequence[Verdict]) -> str:
    count = {sign: sum(each.outcome == sign for each in found) for sign in SIGNS}
    runs, hours = sum(each.runs for each in found), sum(each.seconds for each in found) / 3600
    return (
        f"Of {len(found)} rows {count['holds']} hold, {count['fails']} fail and"
        f" {count['not run yet']} are not run yet. {runs} runs took {hours:.1f} hours of one core."
    )


def _rows(standing: Standing, found: Sequence[Verdict]) -> list[str]:
    who = ["expected ahead", "expected behind"]
    head = ["task", *who, "what we saw", "verdict", "runs", "minutes"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    compare = {each.title: each for each in standing.sweep.compare}
    for each in found:
        comparison = compare[each.title]
        cells = [
            each.title,
            ", ".join(comparison.solves) or "–",
            ", ".join(comparison.fails) or "–",
            "; ".join(_seen(claim) for claim in each.claims),
            SIGNS[each.outcome],
            str(each.runs),
            f"{each.seconds / 60:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _seen(claim: Checked) -> str:
    if claim.outcome == "not run yet":
        return f"{claim.text}: not run yet"
    no = "" if claim.outcome == "holds" else ", **no**"
    return f"{claim.text}: {claim.found:.3g}{no}"


def _claims(verdict: Verdict) -> list[str]:
    lines = ["| claim | seen | bound | seeds in which it holds | verdict |", "|" + " --- |" * 5]
    for claim in verdict.claims:
        told = ["–", "–", "–"]
        if claim.outcome != "not run yet":
            told = [f"{claim.found:.4g}", f"{claim.bound:.4g}", f"{claim.held} of {claim.seeds}"]
        lines.append("| " + " | ".join([claim.text, *told, SIGNS[claim.outcome]]) + " |")
    return [*lines, ""]


def _floors(standing: Standing, checks: Sequence[FloorCheck]) -> list[str]:
    head = ["task", "score of the exact solver", "floors: distance from what is stated", "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for comparison in standing.sweep.compare:
        settings = comparison.task.model_dump(mode="json")
        found = next((each for each in checks if each.settings == settings), None)
        if found is None:
            lines.append(f"| {comparison.title} | – | – | not run yet |")
            continue
        solver = "no exact solver" if found.solver is None else f"{found.solver:g}"
        gaps = ", ".join(f"{name} {gap:.4f}" for name, gap in found.gaps.items())
        sign = SIGNS["holds" if floors.holds(found) else "fails"]
        lines.append(f"| {comparison.title} | {solver} | {gaps} | {sign} |")
    return lines
