"""The report of a study: what was searched, what won, how sure that is, and how to repeat it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from miras.page import Block, Code, Heading, Items, Pictures, Text, to_html, to_markdown
from miras.statistics import luck_of_best

from . import certainty, fairness, reading, tables
from .confirmation.story import in_report
from .gallery import AFTERWARDS, COURSE, FIGURES, WORDS, draw_all, in_order
from .registry import figures
from .study import Study, load, moment


def write(
    folder: Path,
    between: reading.Between | None = None,
    equations: Sequence[Block] = (),
    tasks: Mapping[str, str] | None = None,
    rules: Mapping[str, str] | None = None,
) -> Path:
    """Write `report.html`, `report.md` and `figures/` into a study folder; returns the HTML file.

    Works at any time: of an unfinished study it says so, and figures with nothing to show are left
    out, as is the map of memories where nobody says how far they are from each other. Raises
    ValueError if there is no study or its files are damaged. `equations` are those of the winner,
    `tasks` say what each kind of task asks and `rules` what each rule of the grammar asks for, all
    from somebody who knows them.
    """
    study = load(folder)
    title = f"Search report: {study.name}"
    blocks = compose(study, draw_all(study, between), equations, tasks or {}, rules or {})
    page = folder / "report.html"
    (folder / "report.md").write_text(to_markdown(title, blocks), encoding="utf-8")
    page.write_text(to_html(title, blocks), encoding="utf-8")
    return page


def compose(
    study: Study,
    drawn: dict[str, Pictures],
    equations: Sequence[Block],
    tasks: Mapping[str, str],
    rules: Mapping[str, str],
) -> list[Block]:
    """The report as blocks, in the order in which a stranger asks."""
    sections = [
        _standing(study),
        _in_short(study),
        _setting(study, tasks, rules),
        _best(study, drawn),
        _sureness(study, drawn),
        _frontier(study, drawn),
        *(_figure(drawn, name) for name in in_order(drawn)),
        _course(study, drawn),
        _winner(study, equations),
        _repeat(study),
    ]
    return [block for section in sections for block in section]


def _standing(study: Study) -> list[Block]:
    total = len(study.records)
    if study.finished:
        ended = moment(study.manifest["finished"])
        return [Text(f"Finished {ended} after {tables.count(total, 'trial')}.")]
    if not study.manifest:
        return [
            Text(
                f"study.json is missing: these are {tables.count(total, 'trial')}, and whether more"
                " were planned is not known."
            )
        ]
    planned = f"{total} of {study.planned}" if study.planned else f"{total}"
    return [
        Text(
            f"This study is not finished. Trials so far: {planned}. Everything below is of these"
            f" alone. To continue, run: {study.command} (it keeps what is done)."
        )
    ]


def _in_short(study: Study) -> list[Block]:
    if not study.records:
        return [Heading("In short"), Text("No trial has finished yet: there is nothing to judge.")]
    found = certainty.verdicts(study.records)
    if not any(verdict.new or verdict.known for verdict in found):
        return [
            Heading("In short"),
            Text("No trial ended with a score. The section on failures says why."),
        ]
    lines: list[str] = []
    for verdict in found:
        parts: list[str] = []
        if verdict.new:
            parts.append(f"best new memory {tables.name(verdict.new)} {verdict.new_score:.3f}")
        if verdict.known:
            known = tables.name(verdict.known)
            parts.append(f"best known memory {known} {verdict.known_score:.3f}")
        if verdict.new and verdict.known:
            parts.append(f"difference {verdict.difference:+.3f}")
        lines.append(f"{verdict.objective}: {', '.join(parts)}. {verdict.sentence}")
    return [
        Heading("In short"),
        *_confirmed(study),
        Items(lines),
        Text(
            "A memory is new if its normal form equals that of no known memory. Scores run from 0"
            " (the best guess without memory) to 1 (all that can be reached); larger is better."
        ),
        *_chosen(study),
    ]


def _confirmed(study: Study) -> list[Block]:
    """What fresh seeds said of the finalists, before what the search saw of them."""
    said = [f"{each.sentence}." for each in study.findings if each.topic == "lead"]
    if not said:
        return []
    what = "What counts is what fresh seeds say, of which more stands below:"
    return [Text(what), Items(said), Text("What the search itself saw:")]


def _chosen(study: Study) -> list[Block]:
    """The memory of best.yaml in a sentence."""
    trial = re.search(r"^# Trial (\d+) ", study.winner, re.MULTILINE)
    found = [record for record in study.records if trial and record.number == int(trial[1])]
    if not found:
        return []
    place = "is known" if not reading.is_candidate(found[0]) else "was proposed by the search"
    return [
        Text(
            f"Of all, {tables.name(found[0])} has the best mean over the objectives by validation,"
            f" which is how winners are chosen; it {place}. Its file, its choices and its equations"
            " stand near the end."
        )
    ]


def _setting(study: Study, asked: Mapping[str, str], rules: Mapping[str, str]) -> list[Block]:
    description = study.manifest.get("description")
    fair = fairness.sentences(study)
    blocks: list[Block] = [Text(str(description))] if description else []
    return [
        Heading("What was searched, and how"),
        *blocks,
        Text(
            "Every memory, known or proposed, was put into the same model around it (the shell),"
            " trained by the same rules on the same data, and judged by the same tests."
        ),
        *tables.tasks(study, asked),
        tables.setting(study),
        *tables.refusals(study, rules),
        *([Heading("How fair the comparison is", 3), Items(fair)] if fair else []),
    ]


def _best(study: Study, drawn: dict[str, Pictures]) -> list[Block]:
    if "objectives" not in drawn:
        return []
    found = [tables.memories(study.records, objective) for objective in study.objectives]
    return [Heading(FIGURES["objectives"]), drawn["objectives"], *found]


def _sureness(study: Study, drawn: dict[str, Pictures]) -> list[Block]:
    found = certainty.verdicts(study.records)
    if not found:
        return []
    most = max(verdict.candidates for verdict in found)
    seeds = tables.seeds(study.records)
    warning = (
        " One seed cannot tell a better memory from a luckier one." if seeds == "1 seed" else ""
    )
    sources = sorted({verdict.noise.source for verdict in found if verdict.noise})
    measured = (
        f"The noise is measured on {' and '.join(sources)}; few repeats leave it uncertain, so its"
        " upper limit (90 %) is what counts, and with it the luck of the best."
        if sources
        else "Nothing was run twice, so the noise of these scores is unknown."
    )
    return [
        Heading("How sure this is"),
        Text(
            f"Each score rests on {seeds}.{warning} A winner was picked because it looked best,"
            f" and so it looks better than it is: of {most} equally good memories, the best is"
            f" expected {luck_of_best(most):.1f} standard deviations of the noise above"
            f" its true value (the winner's curse). {measured} A claim needs fresh seeds, fresh"
            " data, tasks that the search never saw, and known memories tuned as hard as it was."
        ),
        *([Text(str(study.manifest["selection"]))] if "selection" in study.manifest else []),
        tables.sureness(found),
        *in_report(study.findings),
        *(drawn[name] for name in AFTERWARDS if name in drawn),
    ]


def _frontier(study: Study, drawn: dict[str, Pictures]) -> list[Block]:
    if "frontier" not in drawn:
        return []
    return [
        Heading(FIGURES["frontier"]),
        Text(
            "Each figure shows one objective against the size of the state, and the mean of all"
            " objectives against each other cost that was measured: a memory on the front is beaten"
            " by no other on both. Bars are one standard error over seeds. Speed is that of this"
            " machine and this program. The table takes all objectives and the state together; with"
            " many objectives most memories are on that front."
        ),
        drawn["frontier"],
        tables.on_front(study.records),
    ]


def _figure(drawn: dict[str, Pictures], name: str) -> list[Block]:
    """A figure under its heading; one more file in the folder is one more section here."""
    title = FIGURES.get(name, name.replace("_", " ").capitalize())
    return [Heading(title), Text(WORDS.get(name, figures()[name].summary)), drawn[name]]


def _course(study: Study, drawn: dict[str, Pictures]) -> list[Block]:
    if not study.records:
        return []
    blocks: list[Block] = [Heading(FIGURES["outcomes"])]
    for name in COURSE:
        if name in drawn:
            blocks += [Text(WORDS[name]), drawn[name]]
    stopped = sum(record.status == "stopped" for record in study.records)
    if stopped:
        text = (
            f"{tables.count(stopped, 'trial')} went no further than a rung: others were better on"
            " it. They have no score of the whole and are no failures."
        )
        blocks.append(Text(text))
    failed = [record for record in study.records if record.status not in ("ok", "stopped")]
    if not failed:
        return [*blocks, Text("No trial failed.")]
    text = (
        f"{len(failed)} of {tables.count(len(study.records), 'trial')} ended without a score. A"
        " memory that diverges is a result: it stays in the count of what was tried."
    )
    return [*blocks, Text(text), tables.failures(failed)]


def _winner(study: Study, equations: Sequence[Block]) -> list[Block]:
    if not study.winner:
        return []
    return [
        Heading("The winner, to take away"),
        Text("best.yaml, the best mean over all objectives, to be trained as it stands:"),
        Code(study.winner),
        *equations,
    ]


def _repeat(study: Study) -> list[Block]:
    lines = [study.command, f"miras report runs/{study.name}"]
    tasks = reading.tasks(study.records)
    if study.winner and tasks:
        lines.append(f"miras train runs/{study.name}/best.yaml --task {tasks[0]}")
    return [
        Heading("How to repeat it"),
        Text(
            "With the same version of the program, the same study file and the same number of"
            " threads; other threads or processors round differently and shift scores a little."
        ),
        Code("\n".join(lines), wrapped=True),
        *_details(study),
    ]


def _details(study: Study) -> list[Block]:
    """What a repetition needs to the letter: the space with its holes and the tasks."""
    space, tasks = study.manifest.get("space"), study.manifest.get("tasks")
    blocks: list[Block] = []
    if isinstance(space, dict):
        parts = cast("dict[str, Any]", space).items()
        blocks += [
            Text("The space:"),
            Code("\n".join(f"{key}: {_flow(v)}" for key, v in parts), True),
        ]
    if isinstance(tasks, list) and tasks:
        lines = [f"- {_flow(task)}" for task in cast("list[Any]", tasks)]
        blocks += [Text("The tasks, with all their settings:"), Code("\n".join(lines), True)]
    return blocks


def _flow(value: Any) -> str:
    """A value on one line: JSON, which is YAML too."""
    return json.dumps(value, ensure_ascii=False)
