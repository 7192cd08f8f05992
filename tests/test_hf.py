"""Models in transformers: generation, padding, folders, and memory apart from weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from miras.model import Model, ModelSpec

KNOWN = [
    *("gated-deltanet", "mamba-2", "retnet", "rwkv-4", "lstm", "softmax-attention"),
    *("sliding-window", "gsa", "ttt-linear", "mlstm", "rg-lru", "titans-mag"),
]
"""Twelve known memories: matrices, vectors, cells, pairs, slots, networks, a composition."""


def model(name: str) -> Model:
    torch.manual_seed(5)
    spec = {"dim": 16, "layers": 2, "heads": 2, "pattern": [name]}
    return Model(ModelSpec.model_validate(spec), 256).eval()


@pytest.fixture(scope="module")
def hf():
    import miras.hf

    return miras.hf


@pytest.mark.parametrize("name", KNOWN)
def test_generation_equals_full_recompute(name: str, hf, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from miras.hf.folder import write

    original = model(name)
    write(original, tmp_path / "model")
    found: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    found.eval()
    prompts = [b"one two three", b"four", b"a memory"]
    longest = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), longest, dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    got = found.generate(tokens, attention_mask=mask, **settings)[:, longest:]
    for row, prompt in enumerate(prompts):
        text = list(prompt)
        for _ in range(6):  # all over again for every token, by the model that was written
            logits = original(torch.tensor([text]))[0][0, -1].clone()
            logits[0] = -torch.inf  # min_new_tokens keeps the end away
            text.append(int(logits.argmax()))
        assert got[row].tolist() == text[len(prompt) :], prompt


def test_a_memory_goes_on_from_its_own_file(hf, tmp_path: Path) -> None:
    found = hf.MirasForCausalLM.of(model("gated-deltanet")).eval()
    text = torch.tensor([list(b"what was read before")])
    with torch.no_grad():
        whole = found(text).logits[:, 12:]
        hf.save_memory(found(text[:, :12]).past_key_values, tmp_path / "memory.safetensors")
        memory = hf.load_memory(tmp_path / "memory.safetensors")
        rest = found(text[:, 12:], past_key_values=memory).logits
    torch.testing.assert_close(rest, whole)


def test_bytes_there_and_back(hf) -> None:
    from miras.hf.folder import byte_tokenizer

    speaking = byte_tokenizer()
    text = "Ärger, naïve 記憶 Ā\n"
    ids = speaking(text)["input_ids"]
    assert ids == list(text.encode())
    assert speaking.decode(ids) == text


def test_beams_take_their_memories_along(hf) -> None:
    found = hf.MirasForCausalLM.of(model("mamba-2")).eval()
    prompt = torch.tensor([list(b"one two"), list(b"abcdefg")])
    best = found.generate(prompt, max_new_tokens=4, num_beams=3, do_sample=False)
    again = found.generate(prompt, max_new_tokens=4, num_beams=3, do_sample=False, use_cache=False)
    assert best.tolist() == again.tolist()
