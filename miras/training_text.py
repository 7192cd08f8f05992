"""A training on text from the command line: settings from file and options, progress, report."""

import os
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, cast

from miras.checking import kind_of
from miras.load import read, validate
from miras.model import ModelSpec
from miras.part import SpecError
from miras.resume import CheckpointWarning
from miras.running import DEFAULT_RATE, changed, model_file, safe, warned
from miras.terminal import Tick, progress
from miras.text.log import Entry
from miras.text.settings import Training, TrainingFile
from miras.text.training import train


class Wanted(NamedTuple):
    """What the options of the command say; nothing where they are left out."""

    text: Sequence[Path]
    tokenizer: Path | None
    learning_rate: float | None
    seed: int | None
    steps: int | None
    changes: Sequence[str]


def run(file: str, wanted: Wanted, out: Path | None, device: str, tensorboard: bool) -> None:
    """Train on text, say how it goes and what came out."""
    found = settings(file, wanted)
    name = found.model.pattern[0].name or "memory"
    folder = out or Path("runs") / f"{safe(name)}-text"
    steps, began, first = found.training.length, time.monotonic(), 0
    tick: Tick | None = None

    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = warned

        def begun(step: int, writes: bool) -> None:
            nonlocal tick, first, began
            if not writes:
                return
            first, began = step, time.monotonic()
            size = f"{found.training.batch} windows of {found.training.context} tokens"
            print(f"{name} on text: {steps} steps of {size}, kept in {folder}", flush=True)
            if step:
                print(f"going on after step {step} of {steps}", flush=True)
            tick = stack.enter_context(progress("training", step / steps))

        def report(entry: Entry) -> None:
            if tick is not None:
                tick(entry.step / steps, f"loss {entry.loss:.3f}")
            if entry.bits_per_byte is None:
                return
            left = (time.monotonic() - began) / (entry.step - first) * (steps - entry.step)
            print(
                f"step {entry.step:>6} of {steps}  loss {entry.loss:.4f}  held-out bits per byte"
                f" {entry.bits_per_byte:.4f}  {left:.0f} s left",
                flush=True,
            )

        outcome = train(found, folder, device, tensorboard, begun, report)
    if os.environ.get("RANK", "0") != "0":
        return  # the first process speaks for all
    print(
        f"held-out bits per byte {outcome.bits_per_byte:.4f} on {outcome.held_out_bytes} bytes,"
        f" after {outcome.steps} steps, {outcome.parameters} parameters,"
        f" {outcome.tokens_per_second:.0f} tokens/s"
    )
    print(f"kept in {folder}: miras generate {folder} --prompt TEXT")


def settings(file: str, wanted: Wanted) -> TrainingFile:
    """What to train, from a file and the options that go before it."""
    fields: dict[str, Any]
    document = read(file) if Path(file).exists() else None
    if document is not None and kind_of(document) == "training":
        whole = validate(document, TrainingFile)
        spec, fields = whole.model, whole.training.model_dump()
    elif wanted.text:
        found = model_file(file)
        spec, fields = found.model, {"learning_rate": found.learning_rate or DEFAULT_RATE}
    else:
        raise SpecError(
            "--task or --text is missing: give a task by name (`miras ls tasks`), or a file or"
            " folder of text"
        )
    options = wanted._asdict() | {"text": tuple(wanted.text) or None, "changes": None}
    fields |= {option: value for option, value in options.items() if value is not None}
    if wanted.steps is not None:
        fields["tokens"] = None
    try:
        training = Training.model_validate(fields)
    except ValueError as error:
        lines = str(error).splitlines()
        raise SpecError(f"options: {' '.join(lines[1:3]).strip()}") from None
    made = changed({"model": spec, "training": training}, wanted.changes)
    return TrainingFile(
        model=cast(ModelSpec, made["model"]), training=cast(Training, made["training"])
    )
