"""What a training on text needs, made or taken up from its folder, and what comes out."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from miras import __version__
from miras.load import dump
from miras.model import Model, refuse_giants
from miras.part import SpecError
from miras.resume import Keeper, Progress, UnusableError
from miras.text import tokens as text_tokens
from miras.text.coding import Coder, coder
from miras.text.processes import Processes
from miras.text.settings import TrainingFile
from miras.text.tokens import Split, Tokens, split
from miras.training_step import adamw, losses
from miras.whole_file import replacing

FREE = {"look", "log", "checkpoint", "windows"}
"""Settings that change no number of the loss: an unfinished training may go on with others."""

MILD = {"precision", "device", "processes", "type", "miras", "torch"}
"""What a training may go on with, but not bit for bit the same."""


class Outcome(BaseModel):
    """What a finished training is: `result.json` in its folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["miras-text-result-1"] = "miras-text-result-1"
    about: dict[str, Any] = Field(description="what the training was")
    steps: int
    tokens: int
    held_out_loss: float = Field(description="nats per token")
    bits_per_byte: float = Field(description="of the held-out text")
    held_out_bytes: int = Field(description="of text that this was measured on")
    parameters: int
    seconds: float
    tokens_per_second: float
    environment: dict[str, Any]


class Run:
    """Everything that a training needs, taken up from its folder."""

    def __init__(self, file: TrainingFile, folder: Path, group: Processes) -> None:
        self.file, self.folder, self.group = file, folder, group
        self.training = file.training
        self.steps = self.training.length
        if self.training.batch % (self.training.pieces * group.size):
            raise SpecError(
                f"{group.size} processes of {self.training.pieces} pieces each do not divide a"
                f" batch of {self.training.batch} windows: change one of the three"
            )
        self.coder: Coder = coder(self.training.tokenizer)
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        fresh = not (folder / "text.bin").exists()
        try:
            self._take_up()
        except (SpecError, OSError):
            if fresh and group.first:
                _leave(folder, made)
            raise

    def _take_up(self) -> None:
        self.text = self._text()
        self.parts: Split = split(self.text.about.tokens, self.training)
        self.narrow = _narrow(self.training.precision, self.group.device)
        self.about = _identity(self.file, self.text, self.narrow, self.group)
        self.keeper = Keeper(self.folder / "unfinished.safetensors", 0.0, self.about, MILD)
        self.at = Progress()
        if self.finished() is not None:
            return
        spec, vocabulary = self.file.model, self.coder.vocabulary
        refuse_giants(spec, vocabulary)
        torch.manual_seed(self.training.seed)
        self.model = Model(spec, vocabulary).to(self.group.device)
        self.optimizer = adamw(self.model, self.training.weight_decay)
        if self.keeper.path.exists():
            try:
                self.at = self.keeper.take(self.model, self.optimizer)
            except UnusableError as reason:
                raise SpecError(
                    f"{self.keeper.path} {reason}. Give another --out, or remove this file to start"
                    " over"
                ) from None
        if self.group.first:
            with replacing(self.folder / "training.yaml") as draft:
                draft.write_text(dump(self.file))
        self.whole = self.group.together(Loss(self.model))

    def _text(self) -> Tokens:
        """The first process writes the ids, the others read them."""
        if self.group.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = text_tokens.tokens(self.training, self.coder, self.folder)
            self.group.wait()
            return found
        self.group.wait()
        return text_tokens.mapped(text_tokens.written(self.folder), self.folder)

    def finished(self) -> Outcome | None:
        """What the folder holds, if it is this training and complete."""
        path = self.folder / "result.json"
        try:
            found = Outcome.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        here = json.loads(json.dumps(self.about))
        differing = [
            name for name in here if name not in MILD and found.about.get(name) != here[name]
        ]
        if differing:
            raise SpecError(
                f"{path}: another training is finished here (other {', '.join(differing)}): give"
                " another --out"
            )
        return found


class Loss(nn.Module):
    """A model with its loss, so that several processes can share the work."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return losses(self.model, tokens, targets)


def _leave(folder: Path, made: list[Path]) -> None:
    """Take away what was made for a training that cannot be begun, folders from inside out."""
    for name in ("text.bin", "text.json"):
        (folder / name).unlink(missing_ok=True)
    for each in made:
        if each.exists() and not any(each.iterdir()):
            each.rmdir()


def _narrow(precision: str, device: torch.device) -> bool:
    """Whether matrix products are in bfloat16."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"


def _identity(
    file: TrainingFile, text: Tokens, narrow: bool, group: Processes
) -> dict[str, object]:
    """What a checkpoint must agree in with the training that takes it up."""
    unnamed = {"text", "names", "field", "tokenizer", "precision"}  # the digest says it better
    settings = file.training.model_dump(mode="json", exclude=FREE | unnamed)
    return {
        "model": file.model.model_dump(mode="json"),
        "text": text.about.digest,
        "vocabulary": text.about.vocabulary,
        **{name.replace("_", " "): value for name, value in settings.items()},
        "precision": "bfloat16" if narrow else "float32",
        "device": group.device.type,
        "processes": group.size,
        "type": str(torch.get_default_dtype()),
        "miras": __version__,
        "torch": str(torch.__version__),
    }
