"""What a training on text is: everything that its numbers depend on, as one file says it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from miras.model import ModelSpec
from miras.part import Part, SpecError

STEPS = 1000


def _listed(value: Any) -> Any:
    """One path stands for a list of one."""
    return [value] if isinstance(value, str | Path) else value


Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed, json_schema_input_type=Any)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=Any)]


class Training(Part):
    """A training on text: AdamW, a warm-up, then a cosine to a tenth of the learning rate."""

    text: Paths = Field(
        min_length=1, description="files and folders, as seen from where the command runs"
    )
    names: Names = Field(
        default=("*.txt", "*.md", "*.jsonl"),
        min_length=1,
        description="names of files to read in a folder; a file named in `text` is always read",
    )
    field: str = Field(
        default="text", min_length=1, description="what is read of each line of a .jsonl file"
    )
    tokenizer: Path | None = Field(
        default=None, description="a tokenizer.json; without one each byte is a token"
    )
    held_out: float = Field(
        default=0.05, gt=0.0, le=0.5, description="share of the text that is kept for judging"
    )
    windows: int = Field(
        default=256, ge=1, le=1_000_000, description="held-out windows that are judged, at most"
    )
    context: int = Field(
        default=256, ge=8, le=1_048_576, description="tokens that a prediction sees"
    )
    batch: int = Field(
        default=32, ge=1, le=1_048_576, description="windows per step, over all processes"
    )
    pieces: int = Field(
        default=1,
        ge=1,
        le=1_048_576,
        description="a step's batch is computed in so many pieces, whose gradients are added",
    )
    steps: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description=f"length; {STEPS} where nothing is said"
    )
    tokens: int | None = Field(
        default=None, ge=1, le=10**15, description="length, in tokens instead of steps"
    )
    learning_rate: float = Field(default=3e-3, gt=0.0, le=1.0, description="the largest")
    warmup: float = Field(
        default=0.1, ge=0.0, le=1.0, description="share of the steps in which the rate rises"
    )
    weight_decay: float = Field(default=0.1, ge=0.0, le=10.0, description="of matrices")
    clip: float = Field(default=1.0, gt=0.0, description="largest norm of a gradient")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of matrix products; auto: bfloat16 where a GPU has it. Weights and memories"
        " stay in float32",
    )
    look: int = Field(default=100, ge=1, description="steps between looks at the held-out text")
    log: int = Field(default=10, ge=1, description="steps per line of log.jsonl")
    checkpoint: int = Field(default=100, ge=1, description="steps between checkpoints")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="of weights and of batches")

    @model_validator(mode="after")
    def _agree(self) -> "Training":
        if self.steps is not None and self.tokens is not None:
            raise SpecError("steps and tokens both say how long it takes: keep one of them")
        if self.batch % self.pieces:
            raise SpecError(
                f"pieces {self.pieces} does not divide the batch of {self.batch} windows: change"
                " one of them"
            )
        return self

    @property
    def length(self) -> int:
        """Steps of the whole training."""
        if self.tokens is not None:
            return -(-self.tokens // (self.batch * self.context))
        return STEPS if self.steps is None else self.steps


class TrainingFile(Part):
    """What a training file holds: `model: {...}` and `training: {text: my-texts, ...}`."""

    model: ModelSpec
    training: Training
