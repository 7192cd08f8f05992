"""The commands around a study: start one, take part in one, ask how far it is."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from miras.part import SpecError

if TYPE_CHECKING:
    from miras.search.workers.parent import Terms

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
        help="where Optuna's storage is written: journal or sqlite (a file in the folder), or an"
        " address; if left out the journal, or the ledger's own data base if that is PostgreSQL",
    ),
]
Engine = Annotated[
    Literal["processes", "ray"],
    typer.Option(
        help="where workers are: processes of this machine, or spread over a Ray cluster, one CPU"
        " each (pip install 'miras-search\\[ray]'); a worker that is lost with its node is replaced"
        " where there is room"
    ),
]
Address = Annotated[
    str,
    typer.Option(help="with --engine ray: MACHINE:6379; the cluster that runs here if left out"),
]
Gpus = Annotated[
    float,
    typer.Option(
        min=0,
        help="with --engine ray: of each worker, which then trains on it; 0.5 lets two share one",
    ),
]


def search(
    study: Annotated[Path, typer.Argument(readable=False, help="a study YAML")],
    out: Annotated[
        Path | None, typer.Option(readable=False, help="folder; runs/<study> if left out")
    ] = None,
    storage: Storage = "",
    workers: Workers = None,
    minutes: Minutes = None,
    optuna: Optuna = "",
    engine: Engine = "processes",
    address: Address = "",
    gpus_per_worker: Gpus = 0.0,
) -> None:
    """Run a study, or go on with it: finished trials are kept."""
    from miras.search import load_study, run

    found = load_study(study)
    terms = _terms(workers, minutes, optuna, engine, address, gpus_per_worker)
    run(found, out or Path("runs") / found.name, storage=storage, terms=terms)


def work(
    name: Annotated[str, typer.Argument(help="name of a study that somebody has started")],
    storage: Annotated[str, typer.Option(help="its ledger: postgresql://user@machine/name")],
    out: Annotated[
        Path | None, typer.Option(readable=False, help="folder; runs/<study>-<machine> if left out")
    ] = None,
    workers: Workers = None,
    minutes: Minutes = None,
    optuna: Optuna = "",
    engine: Engine = "processes",
    address: Address = "",
    gpus_per_worker: Gpus = 0.0,
) -> None:
    """Take part in a study, from any machine that reaches its ledger, for as long as you like.

    The study itself is in the ledger. Ctrl-C, or the end of the machine, is no harm: what was being
    trained here is taken up by others.
    """
    from miras.search.engine import join

    terms = _terms(workers, minutes, optuna, engine, address, gpus_per_worker)
    join(name, storage, out or Path("runs", f"{name}-{socket.gethostname()}"), terms=terms)


def status(
    run: Annotated[str, typer.Argument(help="folder of a study, or its name with --storage")],
    storage: Storage = "",
) -> None:
    """Say how far a study is."""
    from miras.search import status as status_of

    print(status_of(run, storage))


def _terms(
    workers: int | None,
    minutes: float | None,
    optuna: str,
    engine: Literal["processes", "ray"],
    address: str,
    gpus: float,
) -> "Terms":
    from miras.search.workers.cluster import Cluster
    from miras.search.workers.parent import Terms

    if optuna not in ("", "sqlite", "journal") and "://" not in optuna:
        raise SpecError(f"--optuna {optuna}: write journal, sqlite or the address of a data base")
    terms = Terms(workers, minutes, optuna)
    if engine == "ray":
        return terms._replace(crew=Cluster(address or "auto", gpus))
    if address or gpus:
        given = "--address" if address else "--gpus-per-worker"
        raise SpecError(f"{given} says something of a cluster: write --engine ray with it")
    return terms
