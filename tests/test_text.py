"""Training on text: what is read, what is held out, and what comes out."""

import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from text_cases import SENTENCE, STEPS, curve, equal, file, write_book
from typer.testing import CliRunner

from miras import checkpoint
from miras.cli import app
from miras.text import documents
from miras.text.coding import Bytes, coder
from miras.text.run import Outcome
from miras.text.tokens import batch, split, tokens
from miras.text.training import train


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_book(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def whole(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(file(book), folder)
    return folder


@pytest.mark.parametrize("piece", [7, 64, 2**16])
def test_all_text_is_read_and_no_character_is_cut(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
):
    monkeypatch.setattr(documents, "PIECE", piece)
    (tmp_path / "one.txt").write_text("żółw " * 30)
    (tmp_path / "two.txt").write_text("a line\n" * 30)
    (tmp_path / "three.txt").write_bytes(b"\xff\xbf" * 40)
    (tmp_path / "empty.txt").write_bytes(b"")
    names = ["one.txt", "two.txt", "three.txt", "empty.txt"]
    found = list(documents.documents([tmp_path / name for name in names], "text"))
    assert b"".join(each.text for each in found) == b"".join(
        (tmp_path / name).read_bytes() for name in names
    )
    assert sum(each.last for each in found) == 3
    for each in found[: len(found) // 4]:
        each.text.decode()
    lines = list(documents.documents([book / "b.jsonl"], "text"))
    assert len(lines) == 60 and lines[3].text.decode() == "line 3 für alle"


def test_folders_files_and_what_is_not_read(book: Path, tmp_path: Path, whole: Path):
    shutil.copytree(book, tmp_path / "texts")
    shutil.copytree(whole, tmp_path / "texts" / "run")  # a run that lies beside its text
    (tmp_path / "texts" / ".hidden.txt").write_text("x")
    (tmp_path / "texts" / "link.txt").symlink_to("nowhere")
    names = [path.name for path in documents.listed(file(tmp_path / "texts").training)]
    assert names == ["a.txt", "b.jsonl"]
    wider = file(tmp_path / "texts", names=["*.png"]).training
    assert [path.name for path in documents.listed(wider)] == ["picture.png"]


def test_ids_are_written_once_and_again_when_the_text_or_the_files_changed(
    book: Path, tmp_path: Path
):
    setting, run = file(book).training, tmp_path / "run"
    run.mkdir()
    text = tokens(setting, Bytes(), run)
    everything = (book / "a.txt").read_bytes() + b"\0"
    assert bytes(text.ids[: len(everything)]) == everything and text.ids.dtype == np.uint8
    assert text.about.tokens == len(text.ids) == (run / "text.bin").stat().st_size
    stamp = (run / "text.bin").stat().st_mtime_ns
    assert tokens(setting, Bytes(), run).about == text.about
    assert (run / "text.bin").stat().st_mtime_ns == stamp
    (run / "text.bin").write_bytes(b"cut")
    assert tokens(setting, Bytes(), run).about == text.about
    other = tmp_path / "other.txt"
    other.write_text("a" + SENTENCE * 60)
    assert tokens(file(other).training, Bytes(), run).about.digest != text.about.digest
    assert sorted(path.name for path in run.iterdir()) == ["text.bin", "text.json"]


def test_nothing_held_out_is_trained_on(book: Path, tmp_path: Path):
    setting = file(book, batch=64, held_out=0.2).training
    text = tokens(setting, Bytes(), tmp_path)
    parts = split(text.about.tokens, setting)
    held = np.zeros(text.about.tokens, bool)
    for start in parts.held_out:
        assert not held[start : start + parts.window].any()
        held[start : start + parts.window] = True
    trained = np.zeros_like(held)
    for start, end in parts.training:
        trained[start:end] = True
    assert not (held & trained).any()
    assert 0.15 < 1 - trained.mean() < 0.25
    text = text._replace(ids=np.arange(text.about.tokens) % 251)
    seen = np.zeros_like(held)
    for step in range(40):
        for row in batch(text, parts, setting, step, 0, 1).tokens.numpy():
            assert (np.diff(row) % 251 == 1).all()
    whole = batch(text, parts, setting, 3, 0, 1)
    shared = [batch(text, parts, setting, 3, rank, 2) for rank in (0, 1)]
    both = torch.stack([each.targets for each in shared], 1).flatten(0, 1)
    assert torch.equal(both, whole.targets)
    assert not torch.equal(whole.tokens, batch(text, parts, setting, 4, 0, 1).tokens)
    del seen


def test_it_learns_and_says_the_bits_per_byte_that_the_model_has(book: Path, tmp_path: Path):
    found = train(file(book, steps=40, learning_rate=1e-2, look=20), tmp_path / "run")
    lines = curve(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    model = checkpoint.load(tmp_path / "run" / "model.safetensors")
    text = tokens(file(book).training, Bytes(), tmp_path / "run")
    nats, count = 0.0, 0
    for start in split(text.about.tokens, file(book).training).held_out.tolist():
        window = torch.as_tensor(np.asarray(text.ids[start : start + 17]).astype(np.int64))
        with torch.no_grad():
            logits, _ = model(window[None, :-1])
        nats += F.cross_entropy(logits[0], window[1:], reduction="sum").item()
        count += 16
    assert found.bits_per_byte == pytest.approx(nats / count / math.log(2), rel=0.02)
    assert found.held_out_loss == pytest.approx(nats / count, rel=1e-5)
    kept = {"log.jsonl", "model.safetensors", "result.json", "text.bin", "text.json"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == kept | {"training.yaml"}
    assert Outcome.model_validate_json((tmp_path / "run/result.json").read_text()) == found


def test_pieces_of_a_batch_and_bfloat16_change_nothing_but_rounding(
    book: Path, tmp_path: Path, whole: Path
):
    cases: list[tuple[str, dict[str, Any], float]] = [
        ("one", {"pieces": 1}, 1e-4),
        ("narrow", {"precision": "bfloat16"}, 2e-2),
    ]
    for name, changes, within in cases:
        train(file(book, **changes), tmp_path / name)
        pairs = zip(curve(tmp_path / name), curve(whole), strict=True)
        assert all(a["loss"] == pytest.approx(b["loss"], rel=within) for a, b in pairs)
    weights = checkpoint.load(tmp_path / "narrow" / "model.safetensors").parameters()
    assert {each.dtype for each in weights} == {torch.float32}


def run_command(*words: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, [str(word) for word in words])
    return found.exit_code, found.stdout, found.stderr


def test_command_and_file_do_the_same(book: Path, tmp_path: Path, whole: Path):
    changes = {"model.dim": 16, "model.layers": 1, "training.context": 16, "training.batch": 4}
    changes |= {"training.pieces": 2, "training.windows": 8, "training.log": 1}
    changes |= {"training.look": 5, "training.checkpoint": 3}
    words = [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    run = tmp_path / "run"
    code, out, errors = run_command(
        "train", "gla", "--text", book, "--steps", STEPS, "--out", run, *words
    )
    assert code == 0, errors
    assert "held-out bits per byte" in out.splitlines()[-2]
    assert curve(run) == curve(whole)
    code, out, errors = run_command("check", run / "training.yaml")
    assert code == 0 and f"a training of {STEPS} steps" in out, errors
    again = tmp_path / "again"
    code, _, errors = run_command("train", run / "training.yaml", "--out", again)
    assert code == 0, errors
    equal(run, again)
    code, out, errors = run_command("generate", run, "--prompt", "the ", "--tokens", "5")
    assert code == 0 and out.startswith("the "), errors


def test_tensorboard(book: Path, tmp_path: Path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages behind it
        train(file(book, steps=2), tmp_path / "run", tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_own_tokenizer(book: Path, tmp_path: Path):
    package: Any = pytest.importorskip("tokenizers")
    own = package.Tokenizer(package.models.BPE())
    own.pre_tokenizer = package.pre_tokenizers.ByteLevel()
    own.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    own.train_from_iterator([SENTENCE] * 20, trainer)
    own.save(str(tmp_path / "tokenizer.json"))
    code = coder(tmp_path / "tokenizer.json")
    assert (
        code.end == 0
        and code.decode(code.encode("für".encode()).tolist()).strip() == "für".encode()
    )
    run = tmp_path / "run"
    found = train(file(book, tokenizer=tmp_path / "tokenizer.json", context=8), run)
    text = tokens(file(book, tokenizer=tmp_path / "tokenizer.json").training, code, run)
    assert text.ids.dtype == np.uint16 and text.about.tokens < 0.7 * text.about.marks[-1][1]
    ratio = text.about.tokens / text.about.marks[-1][1]
    bits = found.held_out_loss / math.log(2) * ratio
    assert found.bits_per_byte == pytest.approx(bits, rel=1e-3)
    code_, out, errors = run_command("generate", run, "--prompt", "the memory", "--tokens", "5")
    assert code_ == 0 and out.strip().startswith("the memory"), errors
