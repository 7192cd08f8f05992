"""The command that moves a study into another space."""

from pathlib import Path
from typing import Annotated

import typer


def migrate(
    old: Annotated[
        Path,
        typer.Argument(
            readable=False, help="folder of the study that was run, or its name with --storage"
        ),
    ],
    study: Annotated[
        Path, typer.Argument(readable=False, help="YAML of the new study, with the other space")
    ],
    out: Annotated[
        Path | None,
        typer.Option(readable=False, help="folder of the new one; runs/<study> if left out"),
    ] = None,
    storage: Annotated[
        str,
        typer.Option(
            help="ledger of the new study, and of the old one if that is no folder:"
            " postgresql://user@machine/name; a file in the folder if left out"
        ),
    ] = "",
) -> None:
    """Begin a study with the finished trials of an older one, as far as its space has them.

    Tasks, shell, seeds and learning rates must be the same: results stay what they are. Trials
    that are not in the new space are counted, with the reason; the old study is left as it is.
    """
    from miras.search import load_study
    from miras.search.migrate import migrate as moved

    found = load_study(study)
    folder = out or Path("runs") / found.name
    print(moved(old, found, folder, storage))
    where = " and --storage of the same data base" if storage else ""
    print(f"`miras search {study} --out {folder}`{where} goes on")
