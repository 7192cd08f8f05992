"""Page and figures of the study exact-gradients from the results of its sweep.

miras sweep studies/exact-gradients.yaml
python benchmarks/exact_gradients.py runs/exact-gradients studies/exact-gradients
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from statistics import fmean, stdev
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from miras.lines import read
from miras.plots.style import FOUND, KNOWN, End, canvas, name_ends, save
from miras.result import Result

KINDS = {
    "exact": (FOUND, "-"),
    "exact-small": ("#CC79A7", (0, (6, 1.5, 1, 1.5))),
    "frozen-4": (KNOWN, "--"),
    "frozen-16": ("#009E73", ":"),
    "frozen-64": ("#777777", "-."),
}


class Line(NamedTuple):
    """One memory at its best rate: mean over seeds, with least and greatest."""

    bias: str
    kind: str
    rate: float
    tokens: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]  # of every seed, by point
    scores: tuple[float, ...]


def table(results: Sequence[Result]) -> list[Line]:
    """The memories of the study, each at the rate with the best validation on the first seed."""
    found: list[Line] = []
    for name in dict.fromkeys(result.name for result in results):
        mine = [result for result in results if result.name == name and result.status == "ok"]
        first = [result for result in mine if result.seed == min(r.seed for r in mine)]
        rate = max(first, key=lambda result: result.validation or 0.0).learning_rate
        best = [result for result in mine if result.learning_rate == rate]
        bias, kind = name.split("-", 1)
        points = zip(*(result.curve for result in best), strict=True)
        losses = tuple(tuple(point.loss for point in each) for each in points)
        tokens = tuple(point.tokens for point in best[0].curve)
        scores = tuple(result.metrics["ladder"] for result in best)
        found.append(Line(bias, kind, rate, tokens, losses, scores))
    return found


def draw(axes: Axes, lines: Sequence[Line]) -> None:
    """Training loss against tokens: a line of means, a band from least to greatest."""
    ends: list[End] = []
    for line in lines:
        colour, dashes = KINDS[line.kind]
        means = [fmean(each) for each in line.losses]
        axes.plot(line.tokens, means, color=colour, ls=dashes, lw=1.8)
        lows, highs = [min(each) for each in line.losses], [max(each) for each in line.losses]
        axes.fill_between(line.tokens, lows, highs, color=colour, alpha=0.1, lw=0)
        label = line.kind.replace("frozen-", "frozen, chunk ").replace("-small", ", step / 16")
        ends.append(End(line.tokens[-1], means[-1], label, colour))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / 1e6:g} M"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlim(left=0)
    axes.set_title(f"Exact and frozen gradients: {lines[0].bias}")
    axes.set_xlabel("training tokens")
    axes.set_ylabel("training loss, nats (band: min to max)")
    name_ends(axes, ends)


def page(lines: Sequence[Line]) -> str:
    """The table of the study in Markdown."""
    head = "error | gradients | rate | last training loss | test, trained difficulties | seeds"
    rows = [f"| {head} |"]
    rows += ["| --- | --- | --- | --- | --- | --- |"]
    for line in lines:
        kind = line.kind.replace("frozen-", "frozen for a chunk of ").replace(
            "exact-small", "exact, a sixteenth of the step"
        )
        cells = [line.bias, kind, f"{line.rate:g}", _spread(line.losses[-1]), _spread(line.scores)]
        rows.append("| " + " | ".join([*cells, str(len(line.scores))]) + " |")
    return "\n".join(rows) + "\n"


def _spread(numbers: Sequence[float]) -> str:
    spread = f" ± {stdev(numbers):.3f}" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.3f}{spread}"


def main() -> None:
    """Draw, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the finished sweep")
    parser.add_argument("out", type=Path, help="folder for results and figures")
    options = parser.parse_args()
    lines = table(read(options.run / "results.jsonl", Result))
    options.out.mkdir(parents=True, exist_ok=True)
    copyfile(options.run / "results.jsonl", options.out / "results.jsonl")
    for bias in dict.fromkeys(line.bias for line in lines):
        mine = [line for line in lines if line.bias == bias]
        with canvas(3.4) as (figure, axes):
            draw(axes, mine)
            save(figure, options.out / "figures", f"loss-{bias}")
    print(page(lines))


if __name__ == "__main__":
    main()
