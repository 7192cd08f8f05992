"""One training run from the command line: settings, progress, files."""

import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from miras import checkpoint, lines
from miras.checking import kind_of, memory
from miras.load import loads, read, reads, validate
from miras.model import Model, ModelFile, ModelSpec, refuse_giants
from miras.part import Part, SpecError, leaves
from miras.result import Point
from miras.resume import CheckpointWarning
from miras.tasks import AnyTask, Task
from miras.text.coding import coder
from miras.text.settings import TrainingFile
from miras.train import train

DEFAULT_RATE = 3e-3


def run(
    file: str,
    task_name: str,
    learning_rate: float | None,
    seed: int,
    steps: int | None,
    out: Path | None,
    device: str,
    changes: Sequence[str],
) -> None:
    """Train, print progress and result, write `model.safetensors` and `result.jsonl`.

    An interrupted training leaves a checkpoint in the folder: the same command goes on from there.
    """
    found = model_file(file)
    made = changed({"model": found.model, "task": named_task(task_name)}, changes)
    spec, task = cast(ModelSpec, made["model"]), cast(Task, made["task"])
    refuse_giants(spec, task.vocabulary)
    rate = learning_rate or found.learning_rate or DEFAULT_RATE
    total = steps or task.steps
    name = spec.pattern[0].name or "memory"
    folder = out or Path("runs") / f"{safe(name)}-{task.name}"
    print(f"{name} on {task.name}: {total} steps of {task.batch} sequences, learning rate {rate:g}")
    began, first = time.monotonic(), 0

    def report(point: Point) -> None:
        left = (time.monotonic() - began) / (point.step - first) * (total - point.step)
        print(
            f"step {point.step:>6} of {total}  loss {point.loss:.4f}  validation score"
            f" {point.score:.3f}  {left:.0f} s left",
            flush=True,
        )

    def begun(step: int) -> None:
        nonlocal first
        first = step
        if step:
            print(f"going on after step {step} of {total}", flush=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = warned
        outcome, model = train(
            spec,
            task,
            learning_rate=rate,
            seed=seed,
            steps=total,
            device=device,
            report=report,
            keep=folder / f"unfinished-{total}-{rate:g}-{seed}.safetensors",
            begun=begun,
        )
    lines.append(folder / "result.jsonl", outcome)
    checkpoint.save(model, folder / "model.safetensors", {"task": task.name, "seed": seed})
    if outcome.status != "ok":
        raise SpecError(
            f"{outcome.status}: {outcome.reason}. Try a smaller --lr; weights are in {folder}"
        )
    for metric, value in outcome.metrics.items():
        print(f"  {metric:<28} {value:.4f}")
    print(
        f"test score {outcome.score:.3f}, {outcome.parameters} parameters"
        f" ({outcome.parameters_without_embedding} without embedding), {outcome.state_floats} state"
        f" floats per layer, {outcome.flops_per_token:.0f} operations per token,"
        f" {outcome.tokens_per_second:.0f} tokens/s"
    )
    print(f"kept in {folder}")


def model_file(file: str) -> ModelFile:
    """The model of a file; a memory alone gets the default shell."""
    if Path(file).exists():
        document = read(file)
        if (kind := kind_of(document)) == "model":
            return validate(document, ModelFile)
        if kind == "training":
            whole = validate(document, TrainingFile)
            return ModelFile(model=whole.model, learning_rate=whole.training.learning_rate)
    return ModelFile(model=ModelSpec(pattern=(memory(file),)))


def named_task(name: str) -> Task:
    """The task of a name, with its defaults, or of a file."""
    known = leaves("miras.tasks")
    if Path(name).suffix in (".yaml", ".yml"):
        return validate(read(name), AnyTask)
    if name not in known:
        raise SpecError(f"there is no task {name!r}: use one of {', '.join(known)}, or a YAML file")
    return loads(f"kind: {name}", AnyTask, "--task")


def changed(parts: Mapping[str, Part], changes: Sequence[str]) -> dict[str, Part]:
    """The parts after `--set NAME.FIELD=VALUE`."""
    plain: dict[str, Any] = {name: part.model_dump() for name, part in parts.items()}
    for change in changes:
        path, equals, text = change.partition("=")
        steps = path.split(".")
        if not equals or len(steps) < 2 or steps[0] not in plain:
            known = " or ".join(f"{name}.FIELD=VALUE" for name in plain)
            raise SpecError(f"--set {change}: write {known}")
        holder: Any = plain
        for step in steps[:-1]:
            holder = cast(Any, holder).get(step) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            raise SpecError(f"--set {change}: there is no {path}")
        holder[steps[-1]] = reads(f"value: {text}", f"--set {path}").value(("value",))
    if not changes:
        return dict(parts)
    try:
        return {name: type(part).model_validate(plain[name]) for name, part in parts.items()}
    except ValueError as error:
        lines = str(error).splitlines()
        raise SpecError(f"--set {' '.join(changes)}: {' '.join(lines[1:3]).strip()}") from None


def write(path: Path, prompt: str, tokens: int, temperature: float, seed: int) -> None:
    """Print a prompt and what a model of text makes of it, token by token.

    `path` is a model or the folder of a run; a tokenizer.json beside the model is taken.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    model: Model = checkpoint.load(path)
    own = path.with_name("tokenizer.json")
    code = coder(own if own.exists() else None)
    if model.vocabulary != code.vocabulary:
        raise SpecError(
            f"{path}: this model has {model.vocabulary} tokens and writes no text: train one with"
            " --text or --task byte_lm"
        )
    generator = torch.Generator().manual_seed(seed)
    said = code.encode(prompt.encode()).tolist() or code.encode(b"\n").tolist()
    out, told = sys.stdout.buffer, len(code.decode(said))
    out.write(code.decode(said))
    ids = torch.tensor([said])
    for token in model.generate(ids, tokens, temperature, generator=generator):
        if int(token) == code.end:
            break
        said.append(int(token))
        # A character may need several tokens: of an unfinished one decoders write a sign of fault.
        if not (text := code.decode(said)).endswith("\ufffd".encode()) or not own.exists():
            out.write(text[told:])
            told = len(text)
            out.flush()
    out.write(os.linesep.encode())


def warned(message: Warning | str, *about: Any, **more: Any) -> None:
    """Show a warning as the sentence that it is."""
    print(message, file=sys.stderr)


def safe(name: str) -> str:
    """A name as part of a path: nothing that leads to another folder."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip(".-") or "memory"
