"""Behind `miras look`: a memory reads sequences of a task, and what it does is written down."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from miras.part import SpecError

if TYPE_CHECKING:
    from miras.look.rows import Looking
    from miras.model import Model
    from miras.result import Seen
    from miras.tasks import Batch, Task

WEIGHTS, RESULT, LOOKS = "model.safetensors", "result.jsonl", "look.jsonl"
NORMS = "norms"


def look(
    model: Annotated[
        str,
        typer.Argument(help="folder of a training; or a memory by name or file, as it is drawn"),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            readable=False, help="folder; that of the training, or runs/look, if left out"
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="a task by name or file; that of the training if left out")
    ] = "",
    show: Annotated[
        list[str],
        typer.Option(help="writes, addresses, survival, graph, spectrum or norms; more than once"),
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    layer: Annotated[int, typer.Option(min=0, help="which layer, counted from 0")] = 0,
    head: Annotated[int, typer.Option(min=0, help="which head of it, counted from 0")] = 0,
    rung: Annotated[
        int, typer.Option(min=0, help="which difficulty of the task, counted from 0")
    ] = 0,
    sequences: Annotated[
        int, typer.Option(min=1, max=256, help="sequences whose slots are followed")
    ] = 8,
    tokens: Annotated[
        int, typer.Option(min=10, max=100_000_000, help="length of the text for norms")
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="draws the sequences, and weights that are drawn")] = 0,
    changes: Annotated[
        list[str], typer.Option("--set", help="change one value: task.keys=64, model.dim=32")
    ] = [],  # noqa: B006
) -> None:
    """Look into a memory while it reads: what it writes, where, how long that stays.

    `miras look runs/gsa-mqar` lets the trained model read sequences of its task that it was not
    trained on, and adds what one head does to `look.jsonl` in that folder; `miras plot writes
    runs/gsa-mqar` draws it. A memory by name has the weights that it starts with.

    Without --show all is looked at that there is, but for norms: these read a text of --tokens
    tokens, a minute or so. Looks of several memories in one folder are drawn together: `miras look
    deltanet runs/norms --task mqar --show norms`, again for others, `miras plot norms runs/norms`.
    """
    from miras.look import rows

    known = (*rows.TOPICS, NORMS)
    if unknown := [name for name in show if name not in known]:
        raise SpecError(f"--show {unknown[0]}: there are {', '.join(known)}")
    found = _found(model, task, seed, changes)
    batch = _sequences(found.task, rung, sequences, seed)
    looking = rows.Looking(
        found.model,
        found.task,
        *batch,
        layer=layer,
        head=head,
        trained=found.trained,
        seed=seed,
    )
    folder = out or (Path(model) if found.trained else Path("runs/look"))
    folder = folder if folder.suffix != ".safetensors" else folder.parent
    seen: list[Seen] = []
    if tuple(show) != (NORMS,):
        looking.calls()  # what cannot be watched at all is no matter of a topic
    for topic in show or rows.TOPICS:
        try:
            seen.append(_long(looking, tokens) if topic == NORMS else rows.TOPICS[topic](looking))
        except SpecError as error:
            if show:
                raise
            print(f"no {topic}: {error}")
    keep(folder / LOOKS, seen)
    weights = "trained" if found.trained else f"as they are drawn with seed {seed}"
    print(f"{looking.said['name']}, {looking.said['where']}, weights {weights}: {folder / LOOKS}")
    for row in seen:
        print(f"  miras plot {row.topic} {folder}")


class _Found(NamedTuple):
    """What reads, and what it reads."""

    model: "Model"
    task: "Task"
    trained: bool


def _found(model: str, task: str, seed: int, changes: Sequence[str]) -> _Found:
    from typing import cast

    import torch

    from miras import checkpoint
    from miras.model import Model, ModelSpec, refuse_giants
    from miras.running import changed, model_file, named_task
    from miras.tasks import Task

    folder = Path(model)
    if folder.is_dir() or folder.suffix == ".safetensors":
        path = folder / WEIGHTS if folder.is_dir() else folder
        if not path.is_file():
            raise SpecError(
                f"{folder} holds no {WEIGHTS}: give the folder of a training, or a memory by name"
            )
        own = named_task(task) if task else _task_of(path)
        own = cast(Task, changed({"task": own}, changes)["task"])
        trained = checkpoint.load(path)
        if trained.vocabulary != own.vocabulary:
            raise SpecError(
                f"{path} knows {trained.vocabulary} tokens, {own.name} has {own.vocabulary}: give"
                " the task that it was trained on, with --set task.field=value as in the training"
            )
        return _Found(trained, own, True)
    file = model_file(model)
    made = changed({"model": file.model, "task": named_task(task or "mqar")}, changes)
    spec, own = cast(ModelSpec, made["model"]), cast(Task, made["task"])
    refuse_giants(spec, own.vocabulary)
    torch.manual_seed(seed)
    return _Found(Model(spec, own.vocabulary), own, False)


def _task_of(path: Path) -> "Task":
    """The task of a training, from the result beside its weights."""
    from pydantic import TypeAdapter, ValidationError

    from miras.lines import read
    from miras.result import Result
    from miras.tasks import AnyTask

    try:
        results = read(path.with_name(RESULT), Result)
        settings = results[-1].settings["task"]
        return TypeAdapter[AnyTask](AnyTask).validate_python(settings)
    except (IndexError, KeyError, ValueError, ValidationError):
        raise SpecError(
            f"{path.with_name(RESULT)} does not say what {path.name} was trained on: give --task"
        ) from None


def _sequences(task: "Task", rung: int, count: int, seed: int) -> "Batch":
    """Sequences of one difficulty: of the test split, where a task has difficulties."""
    from miras.tasks import Batch, generator
    from miras.tasks.ladder import Ladder

    if isinstance(task, Ladder):
        rungs = (*task.rungs, *task.extrapolation)
        if rung >= len(rungs):
            raise SpecError(f"--rung {rung}: {task.name} has {len(rungs)}, counted from 0")
        batch = task.held_out(rungs[rung], "test", seed)
    elif rung:
        raise SpecError(f"--rung {rung}: {task.name} has no difficulties to choose from")
    else:
        batch = task.train_batch(generator(task.name, "test", seed))
    return Batch(batch.tokens[:count], batch.targets[:count])


def _long(looking: "Looking", tokens: int) -> "Seen":
    from miras.look.rows import long_norms
    from miras.terminal import progress

    with progress("norms") as tick:
        return long_norms(looking, tokens, lambda read: tick(read / tokens))


def keep(path: Path, seen: "Sequence[Seen]") -> None:
    """Put rows into a file in place of earlier looks at the same thing."""
    from miras.lines import ResultsError, read
    from miras.result import Seen
    from miras.whole_file import replacing

    def what(row: Seen) -> tuple[object, ...]:
        return row.topic, row.name, row.where, row.task, row.trained

    try:
        earlier = read(path, Seen)
    except ResultsError as error:
        raise SpecError(f"{error}. Or give another folder") from None
    new = {what(row) for row in seen}
    rows = [row for row in earlier if what(row) not in new] + list(seen)
    with replacing(path) as draft:
        draft.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
