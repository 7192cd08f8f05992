"""The command `miras export`: a memory or a trained model in a form that others take up."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from miras.part import SpecError

if TYPE_CHECKING:
    from miras.model import Model, ModelSpec

WEIGHTS, WINNER = "model.safetensors", "best.yaml"


def export(
    run: Annotated[
        str,
        typer.Argument(help="folder of a training or a search, a YAML file, or a known memory"),
    ],
    to: Annotated[Literal["python", "hf"], typer.Option(help="what to write")] = "python",
    out: Annotated[
        Path | None,
        typer.Argument(
            readable=False, help="file or folder to write; named by the memory if left out"
        ),
    ] = None,
    layer: Annotated[int, typer.Option(min=0, help="for python: which layer of the model")] = 0,
    dim: Annotated[
        int | None, typer.Option(min=1, help="for python: width of the layer; that of the model")
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="for python: memories of the layer; as in the model")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(readable=False, help="for hf: a tokenizer.json; bytes if left out"),
    ] = None,
) -> None:
    """Take a memory away: as one file of PyTorch, or as a folder that transformers opens.

    `miras export gated-deltanet` writes `gated_deltanet.py`, a layer that needs torch alone and can
    be read from top to bottom; `miras export runs/mine` does so for a trained or a found memory.

    `miras export runs/mine model/ --to hf` writes weights, config and tokenizer of a trained model:
    `AutoModelForCausalLM.from_pretrained("model/")` opens it after `import miras.hf`.
    """
    if to == "hf":
        _hf(Path(run), out, tokenizer)
    else:
        _python(run, out, layer, dim, heads)


def _python(run: str, out: Path | None, layer: int, dim: int | None, heads: int | None) -> None:
    from miras.export import python
    from miras.whole_file import replacing

    spec, source = _spec(run)
    if layer >= spec.layers:
        raise SpecError(f"--layer {layer}: the model has {spec.layers}, counted from 0")
    memory = spec.memory(layer)
    text = python(
        memory,
        dim or spec.dim,
        heads or spec.heads,
        spec.conv,
        layer,
        spec.layers,
        source,
    )
    name = "".join(c if c.isalnum() else "_" for c in memory.name or "memory").strip("_")
    path = out or Path(f"{name or 'memory'}.py")
    if path.is_dir():
        path = path / f"{name or 'memory'}.py"
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
    how = "with its fast plan" if "def piece" in text else "token by token"
    print(f"{path}: {len(text.splitlines())} lines, {how}, the same outputs as the original")


def _hf(folder: Path, out: Path | None, tokenizer: Path | None) -> None:
    try:
        from miras.hf.folder import write
    except ModuleNotFoundError as error:
        raise SpecError(
            f"{error.name} is not installed: pip install 'miras-search[hf]' brings it"
        ) from None
    model = _trained(folder)
    own = folder / "tokenizer.json"
    if tokenizer is None and own.is_file():
        tokenizer = own
    path = out or Path(f"{folder.name}-hf")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SpecError(f"{path} is there already: give another folder, or remove it")
    write(model, path, tokenizer)
    print(f"{path}: import miras.hf, then AutoModelForCausalLM.from_pretrained({str(path)!r})")


def _trained(folder: Path) -> "Model":
    from miras import checkpoint

    path = folder / WEIGHTS if folder.is_dir() else folder
    if folder.is_dir() and not path.is_file() and (folder / WINNER).is_file():
        raise SpecError(
            f"{folder} is a search, which keeps no weights: train its winner with `miras train"
            f" {folder / WINNER}` and export that run"
        )
    return checkpoint.load(path)


def _spec(run: str) -> "tuple[ModelSpec, str]":
    """The model of a run, a file or a name, and where it was found."""
    from miras.running import model_file

    folder = Path(run)
    if not folder.is_dir():
        if folder.suffix == ".safetensors":
            return _trained(folder).spec, folder.name
        return model_file(run).model, folder.name if folder.exists() else f"the known memory {run}"
    if (folder / WEIGHTS).is_file():
        return _trained(folder).spec, f"the run {folder.name}"
    if (folder / WINNER).is_file():
        return model_file(str(folder / WINNER)).model, f"the winner of {folder.name}"
    raise SpecError(
        f"{folder} holds neither {WEIGHTS} of a training nor {WINNER} of a search: give the folder"
        " of one"
    )
