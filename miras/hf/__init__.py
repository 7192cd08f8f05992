"""Models of this package in transformers (extra `hf`): `import miras.hf` registers them.

`AutoModelForCausalLM.from_pretrained(folder)` then opens what `miras export RUN --to hf` wrote,
`generate` carries the state of the memories, and `save_memory` keeps that state apart from weights.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from miras.hf.memories import Memories as Memories
from miras.hf.memories import load_memory as load_memory
from miras.hf.memories import save_memory as save_memory
from miras.model import Model, ModelSpec
from miras.part import SpecError


class MirasConfig(PreTrainedConfig):
    """The spec of a model, as a model file says it, and the number of its tokens."""

    model_type = "miras"

    def __init__(
        self, spec: Mapping[str, Any] | None = None, vocab_size: int = 256, **others: Any
    ) -> None:
        usual = ModelSpec.model_validate({"pattern": ["gated-deltanet"]})
        found = dict(spec or usual.model_dump(mode="json"))
        others.setdefault("tie_word_embeddings", bool(found.get("tie", True)))
        super().__init__(**others)
        self.spec, self.vocab_size = found, vocab_size
        self.hidden_size = int(found.get("dim", usual.dim))
        self.num_hidden_layers = int(found.get("layers", usual.layers))

    def model_spec(self) -> ModelSpec:
        """The spec, checked."""
        return ModelSpec.model_validate(self.spec)


class MirasForCausalLM(PreTrainedModel, GenerationMixin):
    """A language model of sequence memories; what it has read lies in `past_key_values`.

    The state of a memory has no places for padding: a masked token is not read at all, wherever it
    stands. Rows of a batch that have read different numbers of tokens go on apart from each other.
    """

    config_class = MirasConfig
    main_input_name = "input_ids"
    _is_stateful = True
    _tied_weights_keys = {"model.head.weight": "model.embedding.weight"}  # noqa: RUF012

    def __init__(self, config: MirasConfig) -> None:
        super().__init__(config)
        spec = config.model_spec()
        if not spec.tie:
            self._tied_weights_keys = {}
        for cell in spec.pattern:
            if _shared(cell):
                raise SpecError(
                    "a memory that all sequences of a batch share (shared: true) has no state of"
                    " one sequence, which transformers asks for: use shared: false"
                )
        # Weights come from the file, but tables that are in no file must be made here, for real.
        with torch.device("cpu"):
            self.model = Model(spec, config.vocab_size)
        stored = set(self.state_dict())
        self.tables = {n: leaf.clone() for n, leaf in self.named_buffers() if n not in stored}
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> Any:
        """As transformers does it; tables that are in no file are put back where it clears them."""
        found: Any = super().from_pretrained(*args, **options)
        told = bool(options.get("output_loading_info"))  # then it comes with what was loaded
        model = cast(MirasForCausalLM, found[0] if told else found)
        for name, buffer in model.named_buffers():
            if name in model.tables:
                buffer.data.copy_(model.tables[name])
        return found

    @classmethod
    def of(cls, model: Model) -> "MirasForCausalLM":
        """The same model, with the same weights."""
        config = MirasConfig(spec=model.spec.model_dump(mode="json"), vocab_size=model.vocabulary)
        found = cls(config)
        found.model.load_state_dict(model.state_dict())
        return found

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _init_weights(self, module: nn.Module) -> None:
        """Modules have given themselves the numbers that they start with."""

    def get_input_embeddings(self) -> nn.Module:
        return self.model.embedding

    def set_input_embeddings(self, value: Any) -> None:
        self.model.embedding = value

    def get_output_embeddings(self) -> nn.Module:
        return self.model.head

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.model.head = new_embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Memories | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Logits `[batch, time, vocabulary]`; zero where a token is masked."""
        time = input_ids.shape[1]
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask[:, -time:]
        memories = past_key_values if past_key_values is not None else Memories()
        logits, memories = self._read(input_ids, mask.bool(), memories)
        loss = None
        if labels is not None:
            wanted = labels[:, 1:].to(logits.device)
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), wanted.flatten())
        kept = memories if use_cache is not False else None
        told = {"loss": loss, "logits": logits, "past_key_values": kept}
        return CausalLMOutputWithPast(**cast(Any, told))

    def _read(self, tokens: Tensor, mask: Tensor, before: Memories) -> tuple[Tensor, Memories]:
        """Read what is not masked, rows of the same past and the same number of tokens together."""
        batch, time = tokens.shape
        logits: Tensor | None = None
        after = Memories(before.seen + time)
        for rows, state in before.of(batch, tokens.device):
            counts = mask[rows].sum(1)
            for count in cast(list[int], counts.unique().tolist()):
                among = (counts == count).nonzero()[:, 0]
                some = rows[among]
                part = state if len(among) == len(rows) else before.rows(state, len(rows), among)
                if count == 0:
                    after.add(some, part)
                    continue
                places = mask[some].nonzero(as_tuple=True)
                ids = tokens[some][places].reshape(len(some), count)
                found, part = self.model(ids, part)
                wide: Tensor = found.new_zeros(batch, time, found.shape[-1])
                logits = (wide if logits is None else logits).index_put(
                    (some[places[0]], places[1]), found.flatten(0, 1)
                )
                after.add(some, part)
        if logits is None:
            weight = self.model.head.weight
            logits = weight.new_zeros(batch, time, weight.shape[0])
        return logits, after

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Only what was not read yet goes in."""
        memories = past_key_values if isinstance(past_key_values, Memories) else None
        fresh = input_ids if memories is None else input_ids[:, memories.seen :]
        return {
            "input_ids": fresh,
            "attention_mask": attention_mask,
            "past_key_values": memories,
            "use_cache": kwargs.get("use_cache", True),
        }

    @staticmethod
    def _reorder_cache(past_key_values: Memories, beam_idx: Tensor) -> Memories:
        return past_key_values.picked(beam_idx)


def _shared(cell: Any) -> bool:
    inner = getattr(cell, "cells", None)
    if inner is not None:
        return any(_shared(each) for each in inner)
    return bool(getattr(getattr(cell, "optimizer", None), "shared", False))


AutoConfig.register("miras", MirasConfig, exist_ok=True)
AutoModelForCausalLM.register(MirasConfig, MirasForCausalLM, exist_ok=True)
