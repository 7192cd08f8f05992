"""The figures of a report: their order, headings and explanations, and the drawing of all."""

from collections.abc import Iterable

from miras.page import Picture, Pictures

from . import reading
from .registry import figures, panels
from .study import Study
from .style import save

FIGURES = {
    "objectives": "Best memories of each objective",
    "frontier": "Pareto front",
    "curves": "Learning curves",
    "ladder": "Accuracy by difficulty",
    "bits": "Text",
    "heatmap": "The space, two choices at a time",
    "landscape": "The space as a map",
    "importance": "Which choices matter",
    "interaction": "Which choices matter together",
    "outcomes": "The search, and what became of it",
}
"""Headings of the figures that the report knows; it shows others under their own name."""

COURSE = ("history", "outcomes", "timeline")
"""Figures of the section on the search."""

AFTERWARDS = ("forest", "rescored")
"""Figures of a confirmation, below what it found."""

APART = {"validity", "capacity", "lengths", "needle"}
"""Figures of comparisons, by `miras validate` and `miras plot`: here the ladders show the same."""

WORDS = {
    "curves": "Validation score while training, of the known memories and of the three best"
    " candidates of each task. A memory that still climbs at the end was cut off by the budget,"
    " not by its capacity.",
    "ladder": "Raw accuracy as a task gets harder. The thin black floor is what the best guess"
    " without memory reaches; a line on the floor has learnt nothing there.",
    "bits": "Bits per byte on text that was not trained on; less is better. The diamonds only"
    " count: how often each byte occurs (unigram), or follows those before it (bigram, 5-gram).",
    "importance": "For each slot of the grammar: the share of the variance of the score that the"
    " choice in it explains (epsilon squared, corrected for the number of choices); the twelve that"
    " explain most. The grey bar holds 95 % of what shuffled scores give: a point inside it is no"
    " finding, and of forty that were judged, shown or not, about one lies beyond it by chance."
    " The search does not draw evenly, and diverged memories have no score, so this says what"
    " mattered among the memories that were tried.",
    "heatmap": "Mean score of all memories that have both choices, the best of them, and how many"
    " there are; of the scores the mean over objectives. Without a score are memories that failed"
    " or were stopped at a rung; hatched: all of them. Empty: nobody tried. The search does not"
    " draw evenly: where it found good memories it looked for more, so a mean of many says more"
    " than a mean of one.",
    "landscape": "Memories that differ in few values lie close together: the map keeps as much of"
    " the differences between normal forms as two directions can, and says how much that is. Where"
    " good memories lie side by side there is more to look for; a good one alone may be luck.",
    "interaction": "Some choices are good only together. Of two slots: the share of the variance"
    " that pairs of choices explain beyond the sum of what each of the two does alone. The grey bar"
    " holds 95 % of what is found where there is nothing but such sums: of forty that were"
    " judged, shown or not, about one lies beyond it by chance.",
    "history": "Each sampler by itself: the best of its first trials, as if it had been alone (the"
    " search learns from the trials of all). Chance might as well have drawn its trials in another"
    " order: the band holds 95 % of these. Scores are of the test data, which no sampler looks at.",
    "outcomes": "All trials in their order, and what became of them.",
    "timeline": "Who worked at what: a bar is a trial, or the part of it up to a rung.",
}


def in_order(drawn: Iterable[str]) -> list[str]:
    """The figures that have sections of their own, those that nobody knows at the end."""
    found = set(drawn) - {"objectives", "frontier", *COURSE, *AFTERWARDS}
    known = list(FIGURES)
    return sorted(found, key=lambda name: (known.index(name) if name in known else 99, name))


def draw_all(study: Study, between: reading.Between | None = None) -> dict[str, Pictures]:
    """Draw and save every figure that has something to show."""
    drawn: dict[str, Pictures] = {}
    for name, kind in figures().items():
        if name in APART:
            continue
        members: list[Picture] = []
        for panel in panels(name, study.records, study.findings, between):
            vector, pixels = save(panel.figure, study.folder / "figures", panel.name)
            summary = f"{panel.title}: {kind.summary}"
            members.append(Picture(f"figures/{pixels.name}", summary, vector.read_bytes()))
        if members:
            drawn[name] = Pictures(members)
    return drawn
