"""Hostile and broken files: one sentence each, nothing left behind, nothing executed."""

import ctypes
import shlex
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from hostile_files import CANARY, CORPORA, RESULTS, TEXT, YAML, Case
from hostile_weights import CHECKPOINTS, UNFINISHED, forged
from typer.testing import CliRunner

from miras import checkpoint
from miras.cli import app
from miras.text import documents

TABLES = {
    "yaml": YAML,
    "checkpoint": CHECKPOINTS,
    "corpus": CORPORA,
    "unfinished": UNFINISHED,
    "results": RESULTS,
}
CASES = [(table, name) for table, cases in TABLES.items() for name in cases]
SECONDS = 20.0
MEBIBYTES = 400


def inside(folder: Path) -> dict[str, bytes]:
    """All that a folder holds."""
    found = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in found
    }


def test_there_are_sixty_or_more():
    assert len(CASES) >= 60


@pytest.mark.parametrize(("table", "name"), CASES, ids=[f"{one}: {two}" for one, two in CASES])
def test_one_sentence_and_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, name: str
):
    case: Case = TABLES[table][name]
    folder, here = tmp_path / "given", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    case.write(folder)
    monkeypatch.chdir(here)
    monkeypatch.setattr(documents, "LINE", 150_000)
    before, began = inside(folder), time.process_time()
    words = shlex.split(case.command.replace("{}", str(folder)))
    with Held() as held:
        found = CliRunner().invoke(app, words)
    assert found.exit_code == 2 and isinstance(found.exception, SystemExit), found.exception
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1 and len(lines[0]) < 700, found.stderr
    assert case.words.replace("{}", str(folder)) in lines[0]
    assert lines[0].isprintable() and "Traceback" not in lines[0]
    assert inside(folder) == before
    assert not list(here.iterdir()), list(here.iterdir())
    assert not list(tmp_path.rglob(CANARY))
    assert time.process_time() - began < SECONDS
    assert held.most < MEBIBYTES * 1024


class Held(threading.Thread):
    """Looks all the time at how much memory this process holds: KiB more than at its start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)  # what was free and kept would be taken first, and nobody would see it
        self.first, self.most, self.over = self.now(), 0, threading.Event()

    def now(self) -> int:
        if sys.platform != "linux":
            return 0
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def run(self) -> None:
        while not self.over.wait(0.002):
            self.most = max(self.most, self.now() - self.first)

    def __enter__(self) -> "Held":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells it in a file")
def test_memory_that_is_held_for_a_moment_is_seen():
    for _ in range(2):  # also when a test before it has held as much
        with Held() as held:
            torch.ones(2**26).sum()  # 256 MiB
        assert held.most > 2**17


def test_the_same_files_unharmed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    forged(lambda *_: None, tmp_path)
    assert checkpoint.load(tmp_path / "model.safetensors").vocabulary == 256
    (tmp_path / "a.txt").write_text(TEXT)
    words = "train gla --text a.txt --out run --steps 1 --set model.dim=8 --set training.context=8"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    shutil.rmtree(tmp_path / "run")


def test_names_lead_to_no_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "m.yaml").write_text("name: ../../../out\narchitecture: matrix\n")
    (here / "a.txt").write_text(TEXT)
    words = "train m.yaml --text a.txt --steps 1 --set model.dim=8 --set training.context=8"
    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert [path.name for path in (here / "runs").iterdir()] == ["out-text"]
    assert sorted(path.name for path in tmp_path.rglob("*") if here not in path.parents) == [
        "a",
        "b",
    ]
