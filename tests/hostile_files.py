"""Files that were made to do harm, or that went wrong: what each loader is given."""

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

CANARY = "canary"
"""The file that appears where something was executed."""

TEXT = "the memory remembers what it has read. " * 40


class Case(NamedTuple):
    """Writes a folder; a command that meets it and the words that its sentence must hold."""

    write: Callable[[Path], object]
    command: str  # `{}` stands for the folder
    words: str


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return subprocess.call, (["touch", CANARY],)


def texts(name: str, text: str | bytes) -> Callable[[Path], object]:
    """Writes one file."""
    raw = text.encode() if isinstance(text, str) else text
    return lambda folder: (folder / name).write_bytes(raw)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "space: " + "{a: " * 50_000
EXECUTE = f"name: !!python/object/apply:os.system ['touch {CANARY}']\n"
ITSELF = "architecture: &a {kind: matrix, features: *a}\n"
TRAINING = "model: {dim: 16, pattern: [gla]}\ntraining: {text: book.txt, %s}\n"
GIANT = "{dim: 65536, layers: 8, heads: 1, mlp_width: 1048576, pattern: [gla]}"

YAML = {
    "alias bomb, explain": Case(texts("m.yaml", LAUGHS), "explain {}/m.yaml", "20000 values"),
    "alias bomb, space": Case(texts("m.yaml", LAUGHS), "space {}/m.yaml", "20000 values"),
    "alias bomb, study": Case(texts("m.yaml", LAUGHS), "search {}/m.yaml", "20000 values"),
    "alias bomb, sweep": Case(texts("m.yaml", LAUGHS), "sweep {}/m.yaml", "20000 values"),
    "depth bomb, sweep": Case(texts("m.yaml", DEEP), "sweep {}/m.yaml", "more than 50 deep"),
    "depth bomb, study": Case(texts("m.yaml", DEEP), "search {}/m.yaml", "more than 50 deep"),
    "depth bomb, demonstrations": Case(texts("m.yaml", DEEP), "demonstrate {}/m.yaml", "50 deep"),
    "a call, space": Case(texts("m.yaml", EXECUTE), "space {}/m.yaml", "leave the tag out"),
    "a call, study": Case(texts("m.yaml", EXECUTE), "search {}/m.yaml", "leave the tag out"),
    "a call, model": Case(texts("m.yaml", EXECUTE), "train {}/m.yaml --task mqar", "leave the tag"),
    "a call in --set": Case(
        texts("m.yaml", ""),
        "train gla --task mqar --set=task.steps=!!python/name:os.system",
        "leave the tag out",
    ),
    "circle, train": Case(texts("m.yaml", ITSELF), "train {}/m.yaml --task mqar", "itself"),
    "huge file": Case(
        texts("m.yaml", b"# \n" * 200_000), "search {}/m.yaml", "larger than 256 KiB"
    ),
    "binary": Case(texts("m.yaml", os.urandom(0) + b"\x80\x04\x95"), "sweep {}/m.yaml", "UTF-8"),
    "a pickle": Case(texts("m.yaml", pickle.dumps(Evil(), 0)), "explain {}/m.yaml", "m.yaml"),
    "UTF-16": Case(texts("m.yaml", "a: 1".encode("utf-16")), "space {}/m.yaml", "UTF-8"),
    "a folder": Case(lambda at: (at / "m.yaml").mkdir(), "search {}/m.yaml", "this is a folder"),
    "a circle of links": Case(
        lambda at: (at / "m.yaml").symlink_to("m.yaml"), "sweep {}/m.yaml", "m.yaml"
    ),
    "a link to nowhere": Case(
        lambda at: (at / "m.yaml").symlink_to("/nowhere/at/all"), "explain {}/m.yaml", "no such"
    ),
    "a pipe": Case(lambda at: os.mkfifo(at / "m.yaml"), "explain {}/m.yaml", "name a file"),
    "endless": Case(texts("x", ""), "space /dev/zero", "/dev/zero"),
    "name as a path, sweep": Case(
        texts("m.yaml", "name: ../../out\ncompare: [{task: mqar, memories: [gla]}]"),
        "sweep {}/m.yaml",
        "name",
    ),
    "name as a path, study": Case(
        texts("m.yaml", "name: /tmp/out\nspace: quickstart\ntasks: [mqar]\nbudget: {trials: 1}"),
        "search {}/m.yaml",
        "name",
    ),
    "numbers without end": Case(
        texts("m.yaml", TRAINING % ("steps: " + "9" * 5000)), "train {}/m.yaml", "ordinary number"
    ),
    "steps beyond measure": Case(
        texts("m.yaml", TRAINING % "steps: 1e300"), "train {}/m.yaml", "training.steps"
    ),
    "a rate that is no number": Case(
        texts("m.yaml", TRAINING % "learning_rate: .nan"), "train {}/m.yaml", "learning_rate"
    ),
    "a model larger than the machine": Case(
        texts("m.yaml", f"model: {GIANT}"), "train {}/m.yaml --task mqar", "GiB"
    ),
    "more layers than any": Case(
        texts("m.yaml", "model: {layers: 1000000000, pattern: [gla]}"),
        "check {}/m.yaml",
        "less than or equal to 1000",
    ),
}


ON_TEXT = "train gla --text {} --out {}/run --steps 2 --set model.dim=8 --set training.context=8"


def _text(name: str, text: str | bytes, words: str) -> Case:
    return Case(texts(name, text), ON_TEXT, words)


CORPORA = {
    "missing": Case(texts("x", ""), ON_TEXT.replace("--text {}", "--text {}/no"), "no such file"),
    "an empty folder": Case(lambda at: None, ON_TEXT, "no file in this folder"),
    "an empty file": _text("a.txt", "", "no text in it"),
    "too short": _text("a.txt", "word", "give more text"),
    "no JSON": _text("a.jsonl", '{"text": "a"}\n{"text": \n', "a.jsonl:2: not a line of JSON"),
    "JSON without a bottom": _text("a.jsonl", "[" * 100_000, "a.jsonl:1: not a line of JSON"),
    "another field": _text("a.jsonl", '{"body": "a"}\n', "name another as `field`, one of body"),
    "a field that is no text": _text("a.jsonl", '{"text": {"a": 1}}\n', "holds no text"),
    "a list": _text("a.jsonl", "[1, 2]\n", "no field 'text'"),
    "a pickle": _text("a.jsonl", pickle.dumps(Evil()), "not a line of JSON"),
    "a line beyond measure": _text(
        "a.jsonl", b'{"text": "' + b"x" * 200_000, "a line of more than"
    ),
    "a pipe": Case(
        lambda at: os.mkfifo(at / "a.txt"),
        ON_TEXT.replace("--text {}", "--text {}/a.txt"),
        "neither",
    ),
    "endless": Case(
        lambda at: None, ON_TEXT.replace("--text {}", "--text /dev/zero"), "neither a file"
    ),
    "a circle of links": Case(
        lambda at: (at / "a.txt").symlink_to("a.txt"),
        ON_TEXT.replace("--text {}", "--text {}/a.txt"),
        "a.txt",
    ),
    "a tokenizer that is a pickle": Case(
        lambda at: (texts("a.txt", TEXT)(at), texts("t.json", pickle.dumps(Evil()))(at)),
        ON_TEXT + " --tokenizer {}/t.json",
        "tokenizer",
    ),
    "a tokenizer without a bottom": Case(
        lambda at: (texts("a.txt", TEXT)(at), texts("t.json", "[" * 100_000)(at)),
        ON_TEXT + " --tokenizer {}/t.json",
        "tokenizer",
    ),
    "a run that is a file": Case(
        lambda at: (texts("a.txt", TEXT)(at), texts("run", "mine")(at)), ON_TEXT, "run"
    ),
}


GARBAGE = b"SQLite format 3\0" + b"\xff" * 4000
LINE = '{"schema_version": 2, "study": "s", "number": 0, "origin": "search", "name": "x", %s}\n'

RESULTS = {
    "no run": Case(lambda at: None, "status {}", "no study"),
    "no ledger": Case(texts("ledger.db", b"no data base"), "status {}", "ledger.db"),
    "half a ledger": Case(texts("ledger.db", GARBAGE), "status {}", "ledger.db"),
    "an empty ledger": Case(texts("ledger.db", b""), "status {}", "no study"),
    "manifest that is no JSON": Case(texts("study.json", "{"), "report {}", "study.json"),
    "manifest without a bottom": Case(
        texts("study.json", "[" * 100_000), "report {}", "study.json"
    ),
    "manifest that is a list": Case(texts("study.json", "[]"), "report {}", "study.json"),
    "manifest that is no text": Case(
        texts("study.json", b"\xff\xfe\x00"), "report {}", "study.json"
    ),
    "of another version": Case(
        texts("trials.jsonl", '{"schema_version": 99}\n'), "plot frontier {}", "schema version 99"
    ),
    "no record": Case(
        texts("trials.jsonl", LINE % '"key": [1], "objectives": 3'), "report {}", "trials.jsonl:1"
    ),
    "a line without a bottom": Case(
        texts("trials.jsonl", '{"objectives":' + "[" * 100_000),
        "plot frontier {}",
        "nothing yet",
    ),
    "a folder in its place": Case(
        lambda at: (at / "trials.jsonl").mkdir(), "plot frontier {}", "trials.jsonl"
    ),
}
