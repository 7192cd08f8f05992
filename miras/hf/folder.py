"""A folder that transformers opens: weights, config, tokenizer."""

import json
from pathlib import Path
from typing import Any

from miras.model import Model
from miras.part import SpecError

CODE = '''"""Lets transformers find the model, with trust_remote_code or after `import miras.hf`."""

from miras.hf import MirasConfig, MirasForCausalLM  # noqa: F401
'''

END = "<|end|>"
"""The byte 0, which no text holds: it ends a document, and pads."""


def write(model: Model, folder: Path, tokenizer: Path | None = None) -> None:
    """Write a model as transformers keeps one."""
    from miras.hf import MirasForCausalLM

    found = MirasForCausalLM.of(model)
    found.config.auto_map = {
        "AutoConfig": "modeling_miras.MirasConfig",
        "AutoModelForCausalLM": "modeling_miras.MirasForCausalLM",
    }
    speaks = tokenizer is not None or model.vocabulary == 256
    if speaks:
        speaking = _own(tokenizer, model.vocabulary) if tokenizer else byte_tokenizer()
        found.generation_config.pad_token_id = speaking.pad_token_id
        found.generation_config.eos_token_id = speaking.eos_token_id
        speaking.save_pretrained(str(folder))
    found.save_pretrained(str(folder))
    (folder / "modeling_miras.py").write_text(CODE, encoding="utf-8")


def byte_tokenizer() -> Any:
    """Text as bytes: token b is the byte b, and 0 ends a document."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = _letters()
    vocabulary = {END: 0} | {letters[byte]: byte for byte in range(1, 256)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token=END,
        pad_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _letters() -> list[str]:
    """The letters that byte-level tokenizers write for bytes: printable ones are themselves."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    found: list[str] = []
    beyond = 256
    for byte in range(256):
        found.append(chr(byte if byte in plain else beyond))
        beyond += byte not in plain
    return found


def _own(path: Path, vocabulary: int) -> Any:
    from transformers import PreTrainedTokenizerFast

    from miras.text.coding import ENDS

    try:
        json.loads(path.read_text(encoding="utf-8"))
        found = PreTrainedTokenizerFast(tokenizer_file=str(path), padding_side="left")
    except OSError:
        raise  # the system says why, and the command names the path
    except ValueError as error:
        raise SpecError(f"{path} is no tokenizer.json ({error}): give another") from None
    except Exception as error:  # what tokenizers raises has no type of its own
        raise SpecError(f"{path} is no tokenizer.json ({error}): give another") from None
    if len(found) > vocabulary:
        raise SpecError(
            f"{path} has {len(found)} tokens and the model {vocabulary}: give the tokenizer that it"
            " was trained with"
        )
    end = next((each for each in ENDS if each in found.get_vocab()), None)
    if end is not None:
        found.eos_token = found.pad_token = end
    return found
