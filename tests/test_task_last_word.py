"""Last-word perplexity: which passages and words are asked, and what a wrong file says."""

import json
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from task_cases import rows, uniform
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, HeldOut, certain
from miras.tasks.last_word import LastWord

TEXT = "the memory learns a key and some value while it reads text of our library"
WORDS = TEXT.split()
SPLITS: tuple[HeldOut, ...] = ("validation", "test")


def passages(count: int) -> list[str]:
    drawn = np.random.default_rng(0)
    return [" ".join(drawn.choice(WORDS, int(drawn.integers(4, 30)))) for _ in range(count)]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file like LAMBADA's, with an empty line and passages that come twice."""
    texts = [*passages(300), *passages(20)]
    text = "\n".join(json.dumps({"domain": "x", "text": f" {each}\n"}) for each in texts)
    (tmp_path / "lines.jsonl").write_text(text + "\n\n")
    return tmp_path / "lines.jsonl"


def asked(task: LastWord, split: HeldOut) -> list[tuple[str, str]]:
    """What a passage shows before its last word, and that word, for every row."""
    batch = task.held_out(split, 0)
    found: list[tuple[str, str]] = []
    for tokens, targets in zip(batch.tokens, batch.targets, strict=True):
        due = (targets != IGNORE).nonzero()[:, 0]
        assert due.tolist() == [*range(int(due[0]), len(targets))]
        assert torch.equal(targets[due[:-1]], tokens[due[1:]])
        shown = bytes(tokens[: due[0] + 1].tolist()).decode()
        found.append((shown.lstrip("\n"), bytes(targets[due].tolist()).decode()))
    return found


def test_the_last_word_of_every_held_out_passage_is_asked_once(lines: Path) -> None:
    task = LastWord(path=lines, context=60)
    whole = passages(300)
    held = {split: asked(task, split) for split in SPLITS}
    for pairs in held.values():
        assert 20 < len(pairs) < 60
        for shown, word in pairs:
            assert shown.endswith(" ") and word in WORDS
            assert any((shown + word) == text[-61:] for text in whole)
    train = task.passages.train.tobytes().decode().split("\n")
    assert set(train) < set(whole) and len(set(train)) == len(train)
    parts = [set(train), *({s.decode() for s in getattr(task.passages, p)} for p in SPLITS)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(set(whole))


def test_a_text_of_its_own_leaves_all_passages_to_the_test(lines: Path, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text(" ".join(passages(200)).upper())
    task = LastWord(path=lines, train=tmp_path / "novel.txt", context=60)
    assert len(task.passages.validation) + len(task.passages.test) == len(set(passages(300)))
    window = bytes(next(task.train_stream(0)).tokens[0].tolist()).decode()
    assert window == window.upper()


def test_passages_from_a_text_at_hand_end_in_words_of_letters() -> None:
    task = LastWord(test=300)
    for shown, word in asked(task, "test"):
        assert shown[-1].isspace() and word.isalpha() and len(shown) + len(word) > 64
    assert len(set(rows([task.held_out("test", 0)]))) == 300


def test_perplexity_and_accuracy_are_of_whole_words(lines: Path) -> None:
    task = LastWord(path=lines, context=60)
    words = [word for _, word in asked(task, "test")]
    result = task.evaluate(uniform(task)).metrics
    mean = np.mean([len(word) for word in words]) * np.log(256)
    assert result["nats_per_word"] == pytest.approx(mean, rel=1e-5)
    assert result["perplexity"] == pytest.approx(exp(mean), rel=1e-3)

    batch = task.held_out("test", 0)

    def misses_long_words(tokens: Tensor, scored: Tensor) -> Tensor:
        targets = batch.targets.clone()
        targets[[len(word) > 4 for word in words], -1] = 0  # one byte of them is wrong
        return certain(targets[scored], 256)

    result = task.evaluate(misses_long_words)
    assert result.metrics["accuracy"] == pytest.approx(np.mean([len(w) <= 4 for w in words]))


def test_a_perfect_predictor_scores_one(lines: Path) -> None:
    task = LastWord(path=lines, context=60)
    targets = task.held_out("test", 0).targets
    result = task.evaluate(lambda tokens, scored: certain(targets[scored], 256))
    assert result.score == pytest.approx(1.0) and result.metrics["perplexity"] < 1.01


def test_a_word_longer_than_the_context_is_asked_as_far_as_it_is_seen(tmp_path: Path) -> None:
    texts = [f"{number} short words and then {'x' * 40}" for number in range(80)]
    lines = "\n".join(json.dumps({"text": each}) for each in texts)
    (tmp_path / "long.jsonl").write_text(lines)
    batch = LastWord(path=tmp_path / "long.jsonl", context=12).held_out("test", 0)
    assert (batch.targets == ord("x")).all() and (batch.tokens == ord("x")).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"last_word cannot read .*p\.jsonl .*give a file of JSON lines"),
        (b"", r"p\.jsonl is empty: each line should be like \{\"text\": \"some words\"\}"),
        (b"\n \n", r"p\.jsonl is empty"),
        (b"\xff\xfe\x00", r"last_word cannot read .*p\.jsonl"),
        (b'{"text": "a b"}\n{"text": "a', r"p\.jsonl:2: this line is no JSON .*: correct it"),
        (b'{"text": "a b"}\n\nword\n', r"p\.jsonl:3: this line is no JSON"),
        (b'["a b"]', r"p\.jsonl:1: an object like \{\"text\": \"some words\"\} is needed"),
        (b'{"passage": "a b"}', r"p\.jsonl:1: there is no text called 'text', .* has 'passage'"),
        (b"{}", r"p\.jsonl:1: there is no text called 'text', the line has nothing"),
        (b'{"text": 3}', r"p\.jsonl:1: there is no text called 'text', .*`field`"),
        (b'{"text": " word "}', r"p\.jsonl:1: ' word ' has no words before its last"),
        (b'{"text": "a b"}', r"p\.jsonl has 1 passages, . of them for validation, .*give more"),
    ],
)
def test_a_wrong_file_is_told_in_a_sentence(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "p.jsonl"
    if content is not None:
        path.write_bytes(content)
    for ask in (lambda task: next(task.train_stream(0)), lambda task: task.held_out("test", 0)):
        with pytest.raises(SpecError, match=sentence):
            ask(LastWord(path=path))
