"""The commands that train a model, on a task or on text, and let it write."""

from pathlib import Path
from typing import Annotated

import typer

from miras.part import SpecError


def train(
    file: Annotated[
        str, typer.Argument(help="a memory, a model or a training: a YAML file, or a known memory")
    ],
    task: Annotated[str, typer.Option(help="a task by name (`miras ls tasks`)")] = "",
    text: Annotated[
        list[Path],
        typer.Option(
            readable=False,
            help="train on this file or folder of text instead; more than once for more",
        ),
    ] = [],  # noqa: B006 - typer reads the default and never changes it
    tokenizer: Annotated[
        Path | None,
        typer.Option(readable=False, help="a tokenizer.json for --text; bytes if left out"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", help="the file's own, or 0.003")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="the file's own, or 0")] = None,
    steps: Annotated[int | None, typer.Option(help="those of task or file if left out")] = None,
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="folder; runs/<memory>-<task or text> if left out"),
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="cpu or cuda; if left out cpu for tasks, for text a GPU if there is one"),
    ] = "",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="for text: curves for TensorBoard, too")
    ] = False,
    changes: Annotated[
        list[str],
        typer.Option(
            "--set", help="change one value: model.dim=128, task.steps=300, training.context=512"
        ),
    ] = [],  # noqa: B006
) -> None:
    """Train a memory or a model on a task or on your own text, or go on with it.

    `miras train gated-deltanet --task mqar` trains on a task and keeps weights and result.

    `miras train my-model.yaml --text books/ --steps 5000` trains on text. `miras train
    training.yaml` does what a training file says; `torchrun --nproc-per-node 4 -m miras.cli train
    ...` does it on four GPUs. The same command again goes on with what was interrupted.
    """
    if task:
        if text or tokenizer or tensorboard:
            raise SpecError("--text, --tokenizer and --tensorboard do not go with --task: take one")
        from miras.running import run

        run(file, task, learning_rate, seed or 0, steps, out, device or "cpu", changes)
        return
    from miras.training_text import Wanted
    from miras.training_text import run as run_on_text

    wanted = Wanted(text, tokenizer, learning_rate, seed, steps, changes)
    run_on_text(file, wanted, out, device or "auto", tensorboard)


def generate(
    model: Annotated[
        Path, typer.Argument(readable=False, help="folder of a run, or its model.safetensors")
    ],
    prompt: str = "def ",
    tokens: Annotated[
        int, typer.Option(help="tokens to write: bytes, if it was trained on bytes")
    ] = 200,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token")] = 0.8,
    seed: int = 0,
) -> None:
    """Let a trained language model write on from a prompt, until it ends its text."""
    from miras.running import write

    write(model, prompt, tokens, temperature, seed)
