"""Files that may not be read, that are empty, or that are folders, for every command that reads."""

import builtins
import errno
import io
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from hostile_files import TEXT
from hostile_weights import forged
from test_hostile import inside
from typer.testing import CliRunner

from miras.cli import app

ON_TEXT = " --steps 2 --set model.dim=8 --set training.context=8"
READS = {
    "check": ("f.yaml", "check {}/f.yaml"),
    "explain": ("f.yaml", "explain {}/f.yaml"),
    "train a model": ("f.yaml", "train {}/f.yaml --task mqar"),
    "train on a task": ("f.yaml", "train gla --task {}/f.yaml"),
    "train on a text": ("f.txt", "train gla --text {}/f.txt" + ON_TEXT),
    "train with a tokenizer": (
        "f.json",
        "train gla --text {}/book.txt --tokenizer {}/f.json" + ON_TEXT,
    ),
    "generate from a run": ("model.safetensors", "generate {}"),
    "generate from a file": ("f.safetensors", "generate {}/f.safetensors"),
    "export a file": ("f.yaml", "export {}/f.yaml"),
    "export a run": ("model.safetensors", "export {}"),
    "export with a tokenizer": ("f.json", "export {}/model --to hf --tokenizer {}/f.json"),
    "look at a file": ("f.yaml", "look {}/f.yaml --task mqar"),
    "look at a run": ("model.safetensors", "look {} --task mqar"),
    "look on a task": ("f.yaml", "look gla --task {}/f.yaml"),
    "search": ("f.yaml", "search {}/f.yaml"),
    "space": ("f.yaml", "space {}/f.yaml"),
    "sweep": ("f.yaml", "sweep {}/f.yaml"),
    "demonstrate": ("f.yaml", "demonstrate {}/f.yaml"),
    "validate": ("f.yaml", "validate {}/f.yaml"),
    "confirm": ("ledger.db", "confirm {}"),
    "confirm with a study": ("f.yaml", "confirm {} --study {}/f.yaml"),
    "migrate": ("ledger.db", "migrate {} {}/study.yaml"),
    "status": ("ledger.db", "status {}"),
    "report, manifest": ("study.json", "report {}"),
    "report, records": ("trials.jsonl", "report {}"),
    "report, winner": ("best.yaml", "report {}"),
    "report, findings": ("findings.jsonl", "report {}"),
    "plot a study": ("trials.jsonl", "plot frontier {}"),
    "plot results": ("results.jsonl", "plot frontier {}"),
    "plot a file": ("f.jsonl", "plot frontier {}/f.jsonl"),
    "plot a look": ("look.jsonl", "plot writes {}"),
}
"""The file that is wrong, and the command that reads it."""

STUDY = "name: s\nspace: quickstart\ntasks: [{kind: mqar}]\nbudget: {trials: 1}\n"
BESIDE = {
    "book.txt": TEXT,
    "study.yaml": STUDY,
}
FINE = {
    *((f"report, {name}", "empty") for name in ("winner", "findings", "records")),
    *((name, "locked") for name in ("confirm", "confirm with a study", "migrate", "status")),
}
"""A study without winner, findings or trials has a report; SQLite opens ledgers by itself, so that
here nobody can refuse it."""


def locked(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """The system refuses to open this file; it would let the owner of all files."""

    def refusing(function: Any) -> Any:
        def call(name: Any, *more: Any, **named: Any) -> Any:
            if isinstance(name, str | bytes | os.PathLike) and os.fsdecode(name) == str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(name, *more, **named)

        return call

    for module, name in ((io, "open"), (builtins, "open"), (os, "open")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))


CASES = [
    pytest.param(name, how, id=f"{name}, {how}")
    for name in READS
    for how in ("locked", "empty", "folder")
    if (name, how) not in FINE
]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_one_sentence_and_nothing_left(
    name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, command = READS[name]
    folder, here = tmp_path / "given", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    for beside, text in BESIDE.items():
        (folder / beside).write_text(text)
    (folder / "model").mkdir()
    forged(lambda *_: None, folder / "model")
    path = folder / file
    path.mkdir() if how == "folder" else path.write_bytes(b"")
    before = inside(folder)
    monkeypatch.chdir(here)
    with monkeypatch.context() as patched:
        if how == "locked":
            locked(patched, path)
        words = shlex.split(command.replace("{}", str(folder)))
        found = CliRunner().invoke(app, words)
    said = found.stderr.strip()
    assert found.exit_code == 2 and isinstance(found.exception, SystemExit), repr(found.exception)
    assert len(said.splitlines()) == 1 and "Traceback" not in said, said
    assert "[Errno" not in said and len(said) < 700, said
    assert str(folder) in said, said
    if how == "locked":
        assert "permission denied" in said.lower(), said
    assert inside(folder) == before
    assert not list(here.iterdir()), list(here.iterdir())
