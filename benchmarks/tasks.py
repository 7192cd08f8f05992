"""What the proxy tasks cost: their size, how fast they are drawn, how long a fast run takes.

python benchmarks/tasks.py                       # all tasks, written to benchmarks/results/tasks.md
python benchmarks/tasks.py mqar parity           # some tasks, printed alone
python benchmarks/tasks.py --memories deltanet   # trained with another memory; none: --memories

Times are those of one core of the processor, which other programs on the machine hardly touch. A
fast run is the default setting of a task with two layers of width 64: the cost of a token while
training, taken from few steps, times its tokens, and one evaluation on validation and test.
"""

import argparse
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from miras.benchmarks import records, tables
from miras.known import named
from miras.model import ModelSpec
from miras.part import SpecError, leaves
from miras.tasks import IGNORE, Task
from miras.train import evaluate, train

MEMORIES = ("softmax-attention", "gated-deltanet")
BATCHES = 60
"""Training batches that are drawn to time a generator."""

STEPS = (2, 22)
"""Steps of the two short runs whose difference is the cost of training."""


def main() -> None:
    """Measure, print a line per task, and write the page when all tasks were measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", help="kinds of tasks; all if left out")
    parser.add_argument("--memories", nargs="*", default=MEMORIES, help="known memories to train")
    parser.add_argument("--out", type=Path, help="folder; benchmarks/results if all are measured")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = leaves("miras.tasks")
    found: list[records.Record] = [{"run": records.machine()}]
    for kind in options.tasks or kinds:
        if kind not in kinds:
            raise SystemExit(f"there is no task {kind}: tasks are {', '.join(kinds)}")
        try:
            found.append(measured(kind, kinds[kind](), options.memories))
        except SpecError as error:
            found.append({"task": kind, "skipped": str(error)})
        print(records.line(found[-1]), flush=True)
    keep = options.out or (None if options.tasks else Path(__file__).parent / "results")
    if keep:
        records.write(keep / "tasks.jsonl", found)
        (keep / "tasks.md").write_text(page(found), encoding="utf-8")
    print(page(found), end="")


def measured(kind: str, task: Any, memories: list[str]) -> records.Record:
    """One task: what is drawn, and what training on it costs."""
    tokens, scored, speed = drawn(task)
    return {
        "task": kind,
        "vocabulary": task.vocabulary,
        "steps": task.steps,
        "tokens": round(tokens * task.steps),
        "scored": round(scored * task.steps),
        "generated_per_second": round(speed),
        "runs": {name: fast_run(task, name, tokens * task.steps) for name in memories},
    }


def drawn(task: Task) -> tuple[float, float, float]:
    """Tokens and answers of a training batch, on average, and tokens drawn per second."""
    next(task.train_stream(1))  # what is read or counted once
    began = time.process_time()
    batches = [*islice(task.train_stream(0), BATCHES)]
    spent = time.process_time() - began
    tokens = sum(batch.tokens.numel() for batch in batches)
    answers = sum(int((batch.targets != IGNORE).sum()) for batch in batches)
    return tokens / BATCHES, answers / BATCHES, tokens / spent


def fast_run(task: Task, memory: str, tokens: float) -> dict[str, float]:
    """Seconds of a core for a whole fast run, and trained tokens per second."""
    spec = ModelSpec(pattern=(named(memory),))
    small = task.model_copy(update={"validation": 2, "test": 2})
    spent: list[float] = []
    seen: list[int] = []
    model = None
    for steps in (1, *STEPS):  # the first run pays for what is made once
        began = time.process_time()
        result, model = train(spec, small, learning_rate=1e-3, steps=steps, evaluations=0)
        spent.append(time.process_time() - began)
        seen.append(result.tokens)
    speed = (seen[2] - seen[1]) / (spent[2] - spent[1])
    began = time.process_time()
    if model is not None:
        evaluate(model, task, "validation")
        evaluate(model, task, "test")
    judging = time.process_time() - began
    return {"tokens_per_second": round(speed), "seconds": round(judging + tokens / speed, 1)}


def page(found: list[records.Record]) -> str:
    """The table."""
    rows = [record for record in found if "tokens" in record]
    names = list(dict.fromkeys(name for record in rows for name in record["runs"]))
    heads = ["task", "vocabulary", "steps", "tokens of a fast run", "of them scored"]
    heads += ["drawn, tokens per second"]
    heads += [f"{name}: {what}" for name in names for what in ("tokens per second", "seconds")]
    cells = [
        [
            record["task"],
            *(f"{record[n]:,}" for n in ("vocabulary", "steps", "tokens", "scored")),
            f"{record['generated_per_second']:,}",
            *(
                f"{record['runs'][name][what]:,.0f}"
                for name in names
                for what in ("tokens_per_second", "seconds")
            ),
        ]
        for record in rows
    ]
    run = found[0]["run"]
    told = (
        "Default settings, two layers of width 64, one core and its own time:"
        f" {run['processor']}, torch {run['torch']}. Seconds are of a whole fast run with its"
        " evaluation, from a few steps. `python benchmarks/tasks.py` measures anew."
    )
    left = [f"- {r['task']} was skipped: {r['skipped']}" for r in found if "skipped" in r]
    return "\n".join(["# Tasks", "", told, "", *tables.markdown(heads, cells), *left]) + "\n"


if __name__ == "__main__":
    main()
