"""The commands around a study: start one, take part in one, ask how far it is."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from miras.part import SpecError

Storage = Annotated[
    str,
    typer.Option(
        help="ledger: postgresql://user@machine/name for many machines; a file in the folder if"
        " left out"
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="processes of one thread; the study's own if left out")
]
Minutes = Annotated[
    float | None, typer.Option(min=0, help="begin nothing after so long; run again to go on")
]
Optuna = Annotated[
    str,
    typer.Option(
        "--optuna",
        help="where Optuna's storage is written: sqlite or journal (a file in the folder), or an"
        " address; if left out sqlite, or the ledger's own data base if that is PostgreSQL",
    ),
]


def search(
    study: Annotated[Path, typer.Argument(help="a study YAML")],
    out: Annotated[Path | None, typer.Option(help="folder; runs/<study> if left out")] = None,
    storage: Storage = "",
    workers: Workers = None,
    minutes: Minutes = None,
    optuna: Optuna = "",
) -> None:
    """Run a study, or go on with it: finished trials are kept."""
    from miras.search import load_study, run
    from miras.search.workers.parent import Terms

    found = load_study(study)
    terms = Terms(workers, minutes, _optuna(optuna))
    run(found, out or Path("runs") / found.name, storage=storage, terms=terms)


def work(
    name: Annotated[str, typer.Argument(help="name of a study that somebody has started")],
    storage: Annotated[str, typer.Option(help="its ledger: postgresql://user@machine/name")],
    out: Annotated[
        Path | None, typer.Option(help="folder; runs/<study>-<machine> if left out")
    ] = None,
    workers: Workers = None,
    minutes: Minutes = None,
    optuna: Optuna = "",
) -> None:
    """Take part in a study, from any machine that reaches its ledger, for as long as you like.

    The study itself is in the ledger. Ctrl-C, or the end of the machine, is no harm: what was being
    trained here is taken up by others.
    """
    from miras.search.engine import join
    from miras.search.workers.parent import Terms

    terms = Terms(workers, minutes, _optuna(optuna))
    join(name, storage, out or Path("runs", f"{name}-{socket.gethostname()}"), terms=terms)


def status(
    run: Annotated[str, typer.Argument(help="folder of a study, or its name with --storage")],
    storage: Storage = "",
) -> None:
    """Say how far a study is."""
    from miras.search import status as status_of

    print(status_of(run, storage))


def _optuna(kind: str) -> str:
    if kind not in ("", "sqlite", "journal") and "://" not in kind:
        raise SpecError(f"--optuna {kind}: write sqlite, journal or the address of a data base")
    return kind
