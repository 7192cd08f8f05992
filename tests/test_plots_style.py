"""One look has one meaning in all figures: colours, floors, and names on maps."""

from typing import Any, cast

import numpy as np
import pytest
from matplotlib.colors import to_hex
from plot_cases import record, result, synthetic

from miras.plots import panels, style, validity
from miras.plots.gates import orderings
from miras.plots.spots import Box, Spot, name_spots
from miras.result import TrialRecord


def three() -> list[TrialRecord]:
    """A known memory, a candidate, and one that chance drew, on a ladder with a floor."""
    metrics = {"accuracy/K=4": 0.9, "accuracy/K=16": 0.6, "floor/K=4": 0.25, "floor/K=16": 0.0625}
    origins = ("baseline", "search", "random")
    return [record(n, name, results=(result(metrics=metrics),)) for n, name in enumerate(origins)]


def test_colours_of_one_origin_are_of_no_other() -> None:
    origins = [name for name in ("baseline", "search", "random") for _ in range(12)]
    looks = list(zip(style.strokes(origins), origins, strict=True))
    by_origin = {name: {s.colour for s, o in looks if o == name} for name in origins}
    assert by_origin["random"] == {style.RANDOM}
    assert not by_origin["baseline"] & by_origin["search"]
    assert style.RANDOM not in by_origin["baseline"] | by_origin["search"]
    drawn = style.strokes(["random", "baseline", "random"])
    assert drawn[0].colour == drawn[2].colour and drawn[0].dashes != drawn[2].dashes


@pytest.mark.parametrize("name", ["curves", "ladder"])
def test_the_random_arm_has_its_colour_and_its_name(name: str) -> None:
    for records, told in ((three(), True), (three()[:2], False)):
        (panel,) = panels(name, records)
        texts = [text.get_text() for each in panel.figure.legends for text in each.get_texts()]
        assert (style.RANDOM_ARM in texts) == told
        lines = panel.figure.axes[0].get_lines()
        assert (style.RANDOM.lower() in {to_hex(line.get_color()) for line in lines}) == told


def test_a_floor_is_a_thin_dark_line_with_its_name_on_it() -> None:
    (panel,) = panels("ladder", three())
    axes = panel.figure.axes[0]
    (line,) = [
        line for line in axes.get_lines() if np.array_equal(line.get_ydata(), [0.25, 0.0625])
    ]
    assert (line.get_color(), line.get_linestyle()) == (style.INK, "-")
    (name,) = [text for text in axes.texts if text.get_text() == "floor"]
    assert name.get_position() == pytest.approx((8, 0.15625))  # the middle, on a log scale


def test_names_on_a_map_cover_neither_points_nor_each_other() -> None:
    close = [
        Spot(0.5 + 0.004 * n, 0.5 + 0.02 * (n % 3), f"#{n}", style.FOUND, True) for n in (1, 2)
    ]
    crowd = [Spot(0.55 + 0.05 * n, 0.5, "", style.INK, False) for n in range(6)]
    spots = [*close, *crowd, Spot(0.002, 0.5, "at-the-edge", style.INK, True)]
    with style.canvas(3.5) as (figure, axes):
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.plot([spot.x for spot in spots], [spot.y for spot in spots], "o")
        name_spots(axes, spots)
        figure.draw_without_rendering()
        boxes = [Box(*name.get_window_extent().extents) for name in axes.texts]
        room = Box(*axes.get_window_extent().extents)
        dots = [axes.transData.transform((spot.x, spot.y)) for spot in spots]
    assert len(boxes) == 3
    for place, box in enumerate(boxes):
        assert not any(box.shared(other) for other in boxes[:place])
        assert not any(box.shared(Box(x - 2, y - 2, x + 2, y + 2)) for x, y in dots)
        assert box.shared(room) == pytest.approx(box.area)


# What is written on figures


def test_percent_signs_stand_apart() -> None:
    assert style.percent(0.123) == "12 %"


@pytest.mark.parametrize(
    ("study", "task", "said"),
    [
        ("T2 overwrite", "overwrite", "T2 overwrite"),
        ("T3 selective copy", "selective_copy", "T3 selective copy"),
        ("T1 recall", "mqar", "T1 recall, mqar"),
        ("quickstart", "start", "quickstart, start"),
        ("mqar", "mqar", "mqar"),
    ],
)
def test_a_comparison_is_named_once(study: str, task: str, said: str) -> None:
    runs = (result(task, metrics={"score/K=4": 0.5}),)
    assert [row.panel for row in validity.table([record(study=study, results=runs)])] == [said]


def test_no_line_runs_through_the_headings_of_the_page_of_all_comparisons() -> None:
    group = orderings.Group("T6 parity", ["lstm"], [], {"lstm": [result(score=1.0)]})
    rows = orderings.table([group])
    with style.canvas(orderings.height(rows)) as (figure, axes):
        orderings.draw(axes, rows)
        figure.draw_without_rendering()
    assert not any(line.get_visible() for line in axes.get_ygridlines())
    assert all(line.get_visible() for line in axes.get_xgridlines())


def test_labels_say_what_is_drawn() -> None:
    records = synthetic(40)
    legends: dict[str, list[str]] = {}
    for name in ("importance", "interaction"):
        (legend,) = panels(name, records)[0].figure.legends
        legends[name] = [text.get_text() for text in legend.get_texts()]
    assert "95 % of shuffled scores" in legends["importance"]
    assert "95 % of shuffled residuals" in legends["interaction"]
    axes = panels("curves", records)[0].figure.axes[0]
    assert axes.get_ylabel() == "validation score, 0 = floor"
    axes = panels("heatmap", records)[0].figure.axes[0]
    colour, note = axes.get_xlabel().splitlines()[1:]
    assert colour == "colour: mean score (mean of objectives)"
    assert note.endswith("tried 3 have a score")
    alone = [each.model_copy(update={"objectives": {"recall": 0.5}}) for each in records]
    axes = panels("heatmap", alone)[0].figure.axes[0]
    assert "\ncolour: mean score (recall)\n" in axes.get_xlabel()


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"bits_per_byte": 2.0, "bits_per_byte/recall": 1.0}, "bytes that are judged"),
        ({"score/K=4": 0.5}, "difficulty"),
        ({"score/K=4": 0.5, "score/K=4,L=64": 0.5}, "difficulty; with a length: beyond training"),
    ],
)
def test_axes_of_comparisons_say_what_they_go_over(metrics: dict[str, float], said: str) -> None:
    (panel,) = panels("validity", [record(study="s", results=(result("t", metrics=metrics),))])
    assert panel.figure.axes[0].get_xlabel() == said


def test_names_stand_beside_their_ends_where_limits_follow_from_what_is_drawn() -> None:
    with style.canvas(4.0) as (_, axes):
        axes.fill_between([1, 2], [0.1, 0.1], [0.4, 0.4])
        axes.plot([1, 2], [0.5, 0.9])
        style.name_ends(
            axes, [style.End(2, 0.9, "high", "#000000"), style.End(2, 0.2, "low", "#000000")]
        )
        low, high = axes.get_ylim()
        places = {text.get_text(): cast(Any, text).xyann[1] for text in axes.texts}
    for name, at in (("high", 0.9), ("low", 0.2)):
        assert places[name] == pytest.approx((at - low) / (high - low), abs=0.01)
