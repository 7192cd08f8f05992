"""Behind `miras demonstrate`: run what is missing, say what came out, write page and figures."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from miras import lines
from miras.demonstration.judging import judge
from miras.demonstration.running import Job, do, key_of, needed
from miras.demonstration.spec import AnyRow, ModelRow, load_demonstrations
from miras.part import SpecError
from miras.result import Shown, Verdict

RESULTS = "results.jsonl"


def run(
    file: Path, chosen: list[str], seeds: int, out: Path | None, workers: int | None = None
) -> bool:
    """Whether every row that was asked for reaches what it claims."""
    found = load_demonstrations(file)
    folder = out or Path("runs") / found.name
    rows = _rows(found.demonstrate, chosen)
    results = lines.read(folder / RESULTS, Shown)
    jobs = needed(rows, results, seeds)
    jobs.sort(key=lambda job: not isinstance(job.row, ModelRow))  # what takes long begins first
    began = time.monotonic()
    for index, (job, shown) in enumerate(_done(jobs, workers or _cores()), 1):
        for each in shown:
            lines.append(folder / RESULTS, each)
        print(f"{index} of {len(jobs)}: {job.row.name}, {job.name}", flush=True)
    results = _current(found.demonstrate, lines.read(folder / RESULTS, Shown))
    judged = (judge(row, results) for row in found.demonstrate)
    verdicts = sorted((each for each in judged if each), key=lambda each: each.number)
    _print([verdict for verdict in verdicts if verdict.row in {row.name for row in rows}])
    from miras.plots.demonstrations.page import write

    page = write(found.name, found.description, verdicts, results, folder)
    print(f"{time.monotonic() - began:.0f} s; table, claims and figures are in {page}")
    return all(verdict.reached for verdict in verdicts if verdict.row in {r.name for r in rows})


def _cores() -> int:
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1


def _done(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, list[Shown]]]:
    """Jobs with what they gave, as they are done. What was yielded is kept if this is cut off."""
    workers = min(workers, len(jobs))
    if workers < 2:
        with _one_thread():
            yield from ((job, do(job)) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _settle) as pool:
        waiting = {pool.submit(do, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if not all(future.done() for future in waiting):
                for child in multiprocessing.active_children():
                    child.terminate()


@contextmanager
def _one_thread() -> Generator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settle() -> None:
    """Make this process a worker: one thread, and it goes when its parent does."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def leave() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def _rows(rows: Sequence[AnyRow], chosen: list[str]) -> list[AnyRow]:
    """The rows of these names or numbers; all if none is given."""
    known = {name for row in rows for name in (row.name, str(row.number))}
    if wrong := [name for name in chosen if name not in known]:
        raise SpecError(
            f"there is no row {', '.join(wrong)}: use"
            f" {', '.join(f'{row.number} ({row.name})' for row in rows)}"
        )
    return [row for row in rows if not chosen or {row.name, str(row.number)} & set(chosen)]


def _current(rows: Sequence[AnyRow], results: list[Shown]) -> list[Shown]:
    """The results that belong to the file as it stands, without those of changed rows."""
    keys = {(row.name, key_of(row, name)) for row in rows for name in row.memories}
    return [each for each in results if (each.row, each.key) in keys]


def _print(verdicts: list[Verdict]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("row", "memory", "mean ± sd", "floats", "claim", "reached"):
        table.add_column(name, no_wrap=True)
    for verdict in verdicts:
        for index, name in enumerate((*verdict.candidates, *verdict.controls)):
            mean = verdict.means[name][verdict.metric]
            spread = verdict.spreads[name][verdict.metric]
            claims = [claim for claim in verdict.claims if claim.memory == name]
            table.add_row(
                f"{verdict.number} {verdict.row}" if index == 0 else "",
                name,
                f"{mean:.3g} ± {spread:.2g}",
                str(verdict.state_floats[name]),
                "\n".join(claim.text.replace(f" of {name}", "") for claim in claims),
                "\n".join("yes" if claim.reached else "NO" for claim in claims),
            )
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width that a number could fall over
    console.print(table)
