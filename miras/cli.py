"""The command `miras`. Heavy imports stand inside the commands: `miras --help` is quick."""

import json
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from miras.beginning import init
from miras.benching import bench
from miras.confirming import confirm
from miras.editing import schema
from miras.exporting import export
from miras.lines import DamagedLines
from miras.looking import look
from miras.migrating import migrate
from miras.part import SpecError
from miras.reporting import plot, report
from miras.searching import search, status, work
from miras.training import generate, train
from miras.validating import validate


def sentence(error: SpecError | OSError) -> str:
    """What is said of an error; the system's own errors have a path and a reason at best."""
    if isinstance(error, SpecError) or error.strerror is None:
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror.lower()}. Give another path, or change what it lets you do"


class _Commands(TyperGroup):
    """Turns errors in what a person wrote into a sentence and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with _damage_is_told():
                return super().invoke(ctx)
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has seen enough
            raise typer.Exit(0) from None
        except (SpecError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            print(sentence(error), file=sys.stderr)
            raise typer.Exit(2) from None
        except (MemoryError, RuntimeError) as error:
            if ctx.params.get("debug") or not _memory(error):
                raise
            print(
                "there is not enough memory for this: make the model, its batch or its context"
                " smaller",
                file=sys.stderr,
            )
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            raise typer.Exit(130) from None


@contextmanager
def _damage_is_told() -> Generator[None]:
    """Say once what files have lost, in a sentence, however often they are read."""
    told: set[str] = set()
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *about: Any, **more: Any) -> None:
            if not issubclass(category, DamagedLines):
                before(message, category, *about, **more)
            elif str(message) not in told:
                told.add(str(message))
                print(message, file=sys.stderr)

        warnings.simplefilter("always", DamagedLines)
        warnings.showwarning = show
        yield


def _memory(error: Exception) -> bool:
    """Whether an error says that memory is used up, on the processor or on a GPU."""
    said = str(error)
    return isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Sequence memories from four choices: write one, explain it, train it, search for others.",
)

File = Annotated[str, typer.Argument(help="a YAML file, or the name of a known memory")]
Json = Annotated[bool, typer.Option("--json", help="for programs: JSON instead of text")]


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="tracebacks instead of sentences")] = False,
) -> None:
    """Options of all commands."""


@app.command()
def ls(
    what: Annotated[str, typer.Argument(help="an axis, known, tasks, spaces, studies")] = "",
    plans: Annotated[
        bool, typer.Option("--plans", help="the fast plan of every known memory")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the parts of the grammar, the known memories, tasks, spaces and studies."""
    from miras import listing
    from miras.terminal import table

    rows = listing.fast() if plans else listing.rows(what) if what else listing.overview()
    table(rows, as_json)


@app.command("map")
def map_() -> None:
    """Print the map of the field as Markdown: all known memories by their choices, all spaces."""
    from miras.mapping import page

    print(page(), end="")


@app.command()
def check(
    paths: Annotated[
        list[Path], typer.Argument(readable=False, help="memories, models, spaces or studies")
    ],
) -> None:
    """Check YAML files and say what is wrong where. Exit code 2 if anything is."""
    from miras.checking import check as check_file

    failed = False
    for path in paths:
        try:
            print(f"{path}: {check_file(path)}")
        except SpecError as error:
            failed = True
            print(error, file=sys.stderr)
    if failed:
        raise typer.Exit(2)


@app.command()
def explain(
    file: File,
    heads: Annotated[int, typer.Option(help="memories per layer")] = 2,
    key_dim: Annotated[int, typer.Option(help="size of a key")] = 32,
    value_dim: Annotated[int, typer.Option(help="size of a value")] = 32,
    html: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="write it as one HTML file with typeset equations instead"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print equations, state, cost, plan and relatives of a memory."""
    from miras import explain as explaining
    from miras.checking import memory

    found = explaining.explain(memory(file), heads=heads, key_dim=key_dim, value_dim=value_dim)
    if html is not None:
        html.write_text(explaining.html(found), encoding="utf-8")
        print(html)
        return
    print(json.dumps(explaining.plain(found), indent=2) if as_json else explaining.text(found))


app.command()(train)
app.command()(generate)
app.command()(export)
app.command()(look)
app.command()(search)
app.command()(work)
app.command()(migrate)


@app.command()
def space(
    name: Annotated[str, typer.Argument(help="a space by name (`miras ls spaces`), or a file")],
    sample: Annotated[
        int, typer.Option(min=0, help="print so many random memories as YAML instead of the count")
    ] = 0,
    seed: Annotated[int, typer.Option(help="the same seed gives the same numbers")] = 0,
    limit: Annotated[
        int, typer.Option(min=20, help="memories to build and compare; an estimate takes a tenth")
    ] = 2000,
    as_json: Json = False,
) -> None:
    """Count the memories of a space, or draw some of them.

    Says how many structures there are, how many are well typed and which rules refuse the others,
    how many of them are equal to each other or to a known memory, and what counts as a structure.
    Counts are exact where that can be done, otherwise an estimate with an interval.

    `miras space quickstart` counts a space; `miras space everything --sample 3 --seed 1` draws
    three memories, which `miras explain` and `miras train` take once they are saved as files.
    """
    from miras.search import load_space
    from miras.search.space import census
    from miras.terminal import progress

    found = load_space(name)
    with progress(f"space {found.name}") as tick:
        if sample:
            drawn = census.sample(found, sample, seed, tick)
            memories = [each.memory.model_dump(mode="json") for each in drawn]
            result = json.dumps(memories, indent=2) if as_json else census.documents(drawn)
        else:
            counted = census.census(found, limit, seed, tick)
            result = counted.model_dump_json(indent=2) if as_json else census.text(counted)
    print(result)


@app.command()
def sweep(
    file: Annotated[
        Path, typer.Argument(readable=False, help="a sweep YAML: memories x tasks x rates x seeds")
    ],
    out: Annotated[
        Path | None, typer.Option(readable=False, help="folder; runs/<sweep> if left out")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="begin nothing after so long; run again to go on")
    ] = None,
) -> None:
    """Compare named memories fairly, or go on with it: finished runs are kept."""
    from miras.search.sweep.sweep import load_sweep, publish, run

    found = load_sweep(file)
    folder = out or Path("runs") / found.name
    publish(run(found, folder, minutes), folder)


@app.command()
def demonstrate(
    file: Annotated[Path, typer.Argument(readable=False, help="a demonstrations YAML")] = Path(
        "studies/seeds.yaml"
    ),
    row: Annotated[list[str], typer.Option(help="only this row, by number or name")] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1, help="seeds per memory")] = 3,
    out: Annotated[
        Path | None, typer.Option(readable=False, help="folder; runs/<name> if left out")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes of one thread; as many as there are cores")
    ] = None,
) -> None:
    """Run memories on small streams and tasks, or go on with it; say which claims they reach."""
    from miras.demonstrating import run

    run(file, row, seeds, out, workers)


app.command()(confirm)
app.command()(status)


app.command()(report)
app.command()(plot)
app.command()(bench)
app.command()(validate)


app.command()(schema)
app.command()(init)


if __name__ == "__main__":
    app()
