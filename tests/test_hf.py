"""Models in transformers: generation, padding, folders, and memory apart from weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

pytest.importorskip("transformers")

from miras.model import Model, ModelSpec
from miras.part import SpecError

KNOWN = [
    *("gated-deltanet", "mamba-2", "retnet", "rwkv-4", "lstm", "softmax-attention"),
    *("sliding-window", "gsa", "ttt-linear", "mlstm", "rg-lru", "titans-mag"),
]
"""Twelve known memories: matrices, vectors, cells, pairs, slots, networks, a composition."""


def model(name: str) -> Model:
    """With weights as far from zero as after training, so that what was read decides what comes."""
    torch.manual_seed(5)
    spec = {"dim": 16, "layers": 2, "heads": 2, "pattern": [name], "tie": False}
    made = Model(ModelSpec.model_validate(spec), 256).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return made


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
    told = {"output_logits": True, "return_dict_in_generate": True}
    got = found.generate(tokens, attention_mask=mask, **settings, **told)
    for row, prompt in enumerate(prompts):
        text = list(prompt)
        for seen in got.logits:  # all over again for every token, by the model that was written
            with torch.no_grad():
                logits = original(torch.tensor([text]))[0][0, -1]
                forgot = original(torch.tensor([text[-1:]]))[0][0, -1]
            torch.testing.assert_close(seen[row], logits, atol=1e-4, rtol=1e-4)
            assert float((forgot - logits).abs().max()) > 0.01  # a lost memory would be seen
            logits[0] = -torch.inf  # min_new_tokens keeps the end away
            text.append(int(logits.argmax()))
        assert got.sequences[row, longest:].tolist() == text[len(prompt) :], prompt


def test_a_memory_goes_on_from_its_own_file(hf, tmp_path: Path) -> None:
    found = hf.MirasForCausalLM.of(model("gated-deltanet")).eval()
    text = torch.tensor([list(b"what was read before")])
    with torch.no_grad():
        whole = found(text).logits[:, 12:]
        hf.save_memory(found(text[:, :12]).past_key_values, tmp_path / "memory.safetensors")
        memory = hf.load_memory(tmp_path / "memory.safetensors")
        rest = found(text[:, 12:], past_key_values=memory).logits
    torch.testing.assert_close(rest, whole)


def _written(change: Callable[[dict[str, str], dict[str, torch.Tensor]], None], path: Path) -> None:
    """A file of a memory with something changed in it."""
    tensors = {"t0": torch.ones(2, 3)}
    state = {"tuple": "", "items": [{"tensor": "t0"}, {"value": 3}]}
    header = {"format": "miras-memory-1", "groups": json.dumps([[[0, 1], state]])}
    change(header, tensors)
    save_file(tensors, path, metadata=header)


def groups(value: Any) -> Callable[[dict[str, str], dict[str, torch.Tensor]], None]:
    return lambda header, _: header.update(groups=json.dumps(value))


WHOLE = {"tuple": "", "items": [{"tensor": "t0"}]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        *(
            (groups([[rows, WHOLE]]), "do not fit together")
            for rows in ([0, 0], [-1, 0], [99, 0], [[0]], [0.5], "01", None, [1, 2])
        ),
        (groups([[[0], WHOLE], [[0], WHOLE]]), "do not fit together"),
        *(
            (groups([[[0, 1], state]]), "do not fit together")
            for state in ("text", 3, {"dict": [1]}, {"tensor": "t9"}, {"tuple": "os", "items": []})
        ),
        (groups([[[0, 1], {"tuple": "", "items": [{"value": "x"}]}]]), "is no part of a state"),
        (groups([[[0, 1], {"tensor": "t0"}]]), "a tuple of layers"),
        (lambda header, _: header.update(groups="[" * 10**5), "do not fit together"),
        (lambda header, _: header.update(format="other"), "no memory of this version"),
        (lambda _, tensors: tensors.update(t0=torch.full((2, 3), torch.nan)), "not a number"),
    ],
)
def test_files_that_are_no_memory(hf, tmp_path: Path, change: Any, sentence: str) -> None:
    path = tmp_path / "memory.safetensors"
    _written(lambda *_: None, path)
    assert len(hf.load_memory(path).groups) == 1
    _written(change, path)
    with pytest.raises(SpecError, match=sentence):
        hf.load_memory(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SpecError, match="not a safetensors file, or cut short"):
        hf.load_memory(path)


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
