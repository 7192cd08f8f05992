"""Optuna's storage: where it is, what is in it after a kill, and what is on its way into it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import create_trial
from postgres_cases import needs_postgres
from sqlalchemy import event

from miras.benchmarks.postgres import Server, postgres
from miras.search.ledger.telling import opened, settled, usual


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as found:
        yield found


def test_an_address_of_sqlite_is_one_for_optuna(tmp_path: Path) -> None:
    storage = opened(f"sqlite:///{tmp_path}/elsewhere.db", tmp_path)
    study = optuna.create_study(storage=storage, study_name="elsewhere")
    study.add_trial(create_trial(value=1.0))
    settled(storage)
    assert len(study.trials) == 1 and isinstance(storage, RDBStorage)
    storage.remove_session()
    storage.engine.dispose()


def test_a_study_goes_on_in_the_storage_that_it_has(tmp_path: Path) -> None:
    assert usual(tmp_path) == "journal"
    (tmp_path / "optuna.journal").touch()
    assert usual(tmp_path) == "journal"
    before = tmp_path / "begun before there were journals"
    before.mkdir()
    (before / "optuna.db").touch()
    assert usual(before) == "sqlite"


def test_a_torn_journal_can_be_read_and_written(tmp_path: Path) -> None:
    storage = opened("journal", tmp_path)
    number = storage.create_new_study([], "test")
    path = tmp_path / "optuna.journal"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "worker_id": "a')
    storage = opened("journal", tmp_path)
    assert path.read_bytes() == whole
    storage.create_new_trial(number)
    assert len(opened("journal", tmp_path).get_all_trials(number)) == 1


@needs_postgres
def test_what_is_on_its_way_into_a_server_is_waited_for(server: Server, tmp_path: Path) -> None:
    """A writer that was killed after COMMIT: its server is still at it, here for half a second."""
    first = opened(server.url, tmp_path)
    study = optuna.create_study(storage=first, study_name="on its way")
    going, late = threading.Event(), threading.Event()

    def hold(session: Any) -> None:
        if not late.is_set():
            going.set()
            late.wait(10)

    assert isinstance(first, RDBStorage)
    event.listen(first.scoped_session.session_factory, "before_commit", hold)
    writer = threading.Thread(target=study.add_trial, args=(create_trial(value=1.0),))
    writer.start()
    assert going.wait(10)
    second = opened(server.url, tmp_path)
    after = optuna.load_study(storage=second, study_name="on its way")
    assert not after.trials
    threading.Timer(0.5, late.set).start()
    settled(second)
    assert len(after.trials) == 1
    writer.join()
    alone = opened("sqlite", tmp_path)
    settled(alone)  # what is written there dies with its writer: nothing to wait for
    for storage in (first, second, alone):
        assert isinstance(storage, RDBStorage)
        storage.remove_session()
        storage.engine.dispose()
