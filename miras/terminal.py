"""What a person sees on a terminal: tables, and how far a long command is."""

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

WRAPPED = ("what it is", "names", "file", "work per token and head")
"""Columns of sentences: they give way to the others."""


@runtime_checkable
class Tick(Protocol):
    """Takes the share that is done, and what else is to be said."""

    def __call__(self, done: float, note: str = "", /) -> None:
        """Show it."""
        ...


@contextmanager
def progress(title: str, first: float = 0.0) -> Generator[Tick]:
    """Tells a person who waits longer than a second how much is done: a bar, or a line at times.

    A share of `first` was done before.
    """
    console, start, told = Console(stderr=True), time.monotonic(), 0.0
    bar = Progress(console=console, transient=True)
    task = bar.add_task(title, total=1.0)
    bar.update(task, completed=first)

    def tick(done: float, note: str = "", /) -> None:
        nonlocal told
        now = time.monotonic() - start
        if now < 1.0:
            return
        if console.is_terminal:
            bar.start()
            bar.update(task, completed=done, description=f"{title} {note}".strip())
        elif now - told >= 10.0:
            told = now
            left = f", {now * (1 - done) / (done - first):.0f} s left" if done > first else ""
            said = f"{title}: {done:.0%} after {now:.0f} s{left}{note and f', {note}'}"
            print(said, file=sys.stderr, flush=True)

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()


def table(rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    # Where a paper is named there is no room for it beside the rest; `--json` has it.
    names = [name for name in (rows[0] if rows else ()) if name != "paper"]
    grid = Table(box=None, pad_edge=False)
    for name in names:
        grid.add_column(name, no_wrap=name not in WRAPPED)
    for row in rows:
        grid.add_row(*(row[name] for name in names))
    Console(soft_wrap=False).print(grid)
