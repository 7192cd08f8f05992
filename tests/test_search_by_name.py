"""Studies that live in a data base, and are known there by their name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from confirmation_cases import study as small
from confirmation_cases import trials
from postgres_cases import needs_postgres
from search_conduct import STUDY
from test_migrate import NARROW, WIDE, records, study, worked
from typer.testing import CliRunner

from miras import confirming
from miras.benchmarks.postgres import Server, postgres
from miras.cli import app
from miras.part import SpecError
from miras.search.engine import enter
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import LEDGER
from miras.search.migrate import migrate
from miras.search.study import load_study


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as found:
        yield found


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgresql",
            marks=needs_postgres,
        ),
    ]
)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a data base."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return request.getfixturevalue("server").url


def test_a_study_is_migrated_by_its_name(storage: str, tmp_path: Path) -> None:
    """From a folder into the data base, and from there into a wider space beside it."""
    old = worked(study(tmp_path, "old", NARROW), tmp_path / "folder", 4)
    again = study(tmp_path, "again", NARROW)
    moved = migrate(tmp_path / "folder", again, tmp_path / "none", storage)
    assert len(moved.moved) == 4 and str(moved).endswith("trials were moved to again")
    wide = tmp_path / "wide.yaml"
    study(tmp_path, "wide", WIDE)
    done = CliRunner().invoke(app, ["migrate", "again", str(wide), "--storage", storage])
    assert done.exit_code == 0 and "4 of 4 finished trials were moved to wide" in done.output
    with Ledger(storage, "wide") as ledger:
        assert [each.results for each in records(ledger)] == [each.results for each in old]
        assert set(ledger.names()) >= {"again", "wide"}
    assert not (tmp_path / "none").exists()
    with pytest.raises(SpecError, match="there is a study again in that data base already"):
        migrate(Path("wide"), again, tmp_path / "none", storage)
    with pytest.raises(SpecError, match="there is no study 'nobody' in that ledger"):
        migrate(Path("nobody"), study(tmp_path, "third", WIDE), tmp_path / "none", storage)


def test_a_study_is_confirmed_by_its_name(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    about = small(name="named", confirm={"conv": False, "finalists": 1, "ablate": False})
    with Ledger(storage, "named") as ledger:
        enter(about, ledger, "named")
        for record in trials(about):
            claim = ledger.claim("here/1.", below=8)
            assert claim is not None
            ledger.finish(claim.slot, claim.token, record.model_dump_json())
    confirming.settle(Path("named"), minutes=0.0, storage=storage)
    assert (tmp_path / "runs/named/confirm/README.md").is_file()
    arguments = ["confirm", "named", "--storage", storage, "--minutes", "0", "--out", "elsewhere"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0 and "1 finalist against 2 baselines" in done.output
    assert (tmp_path / "elsewhere/confirm/README.md").is_file()
    with pytest.raises(SpecError, match="there is no study 'other' in that ledger"):
        confirming.settle(Path("other"), storage=storage)
    with pytest.raises(SpecError, match="in a data base write its name and --storage"):
        confirming.settle(Path("named"))
    assert not (tmp_path / LEDGER).exists()


@pytest.mark.parametrize("name", ["my study", "étude", "a[b]"])
def test_a_file_whose_name_cannot_be_that_of_a_study(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    with pytest.raises(SpecError, match="name of the file, cannot be that of a study: write `name"):
        load_study(path)
    path.write_text(yaml.safe_dump(STUDY | {"name": "_mine"}))
    assert load_study(path).name == "_mine"
