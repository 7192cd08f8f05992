"""What a run produced: plain records, one JSON line each, readable without torch."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .lines import Line

Status = Literal["ok", "diverged", "invalid", "out_of_memory", "timed_out", "error"]
Topic = Literal[
    "score",
    "lead",
    "neighbour",
    "held_out",
    "size",
    "convolution",
    "beyond",
    "ablation",
    "rescored",
    "curse",
    "noise",
    "arm",
    "arms",
    "width",
    "cost",
    "runs",
    "left",
    "point",
]


class Point(BaseModel):
    """One evaluation while training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    tokens: int
    loss: float = Field(description="mean training loss since the point before, in nats")
    score: float = Field(description="validation score of the task, 0 = floor, 1 = ceiling")


class Result(Line):
    """One memory trained once on one task with one seed and one learning rate."""

    name: str = Field(description="name of the memory")
    key: str = Field(description="hash of its normal form: equal memories have equal keys")
    memory: dict[str, Any] = Field(description="the memory as written in YAML")
    task: str
    settings: dict[str, Any] = Field(description="task and training settings")
    seed: int
    learning_rate: float
    status: Status = "ok"
    reason: str = ""
    score: float | None = Field(
        default=None, description="test score, 0 = floor, 1 = ceiling, as `miras.score` combines it"
    )
    validation: float | None = Field(
        default=None, description="score on the validation split, by which rates are chosen"
    )
    metrics: dict[str, float] = Field(
        default_factory=dict, description="per rung, raw, and the parts of the score"
    )
    curve: tuple[Point, ...] = ()
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    parameters: int = Field(default=0, description="all trained numbers, embedding included")
    parameters_without_embedding: int | None = Field(
        default=None, description="without all that grows with the vocabulary"
    )
    state_floats: int = Field(default=0, description="per layer, convolution state included")
    flops_per_token: float | None = Field(
        default=None, description="forward pass of the definition, as `miras.cost` counts it"
    )
    tokens_per_second: float | None = Field(
        default=None, description="of training, evaluations left out"
    )
    environment: dict[str, Any] = Field(default_factory=dict)

    @property
    def solving(self) -> float | None:
        """The score that says whether the task is solved: how fast it was learned is left out."""
        return None if self.score is None else self.metrics.get("ladder", self.score)


class FloorCheck(Line):
    """A task put to its own judge: its exact solver, and its floors against what is stated."""

    task: str
    settings: dict[str, Any]
    solver: float | None = Field(description="score of the exact solver; none if there is none")
    gaps: dict[str, float] = Field(
        description="by floor: the largest distance from a stated metric"
    )
    seconds: float = Field(default=0.0, description="of one core")


class Sitting(BaseModel):
    """One worker at one rung of a trial, by the clock that all who take part in a study share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worker: str = Field(description="folder and process of the worker; of no machine")
    started: float = Field(description="seconds since 1970")
    ended: float


class TrialRecord(Line):
    """One candidate of a study, judged on all tasks of the study."""

    study: str
    number: int
    origin: Literal["baseline", "search", "random", "null"]
    proposed_by: str = Field(default="", description="the sampler that thought of it, if one did")
    name: str
    key: str
    memory: dict[str, Any]
    choices: dict[str, Any] = Field(description="the derivation: parameter name -> choice")
    shell: dict[str, Any] = Field(
        default_factory=dict, description="the shell as it was matched; empty: that of the study"
    )
    status: Status | Literal["stopped"] = Field(
        default="ok", description="stopped: at a rung, with the results that it had by then"
    )
    rung: int = Field(default=0, description="rungs that were passed")
    reason: str = ""
    objectives: dict[str, float] = Field(default_factory=dict)
    results: tuple[Result, ...] = ()
    equals: tuple[str, ...] = Field(default=(), description="known memories of equal normal form")
    learning_rate: float = 0.0
    seeds: tuple[int, ...] = Field(
        default=(), description="of the runs that count, where a rung had others; empty: all"
    )
    seconds: float = 0.0
    sittings: tuple[Sitting, ...] = Field(
        default=(), description="rung by rung; a worker that died at it has left none"
    )


class Finding(Line):
    """One thing that a confirmation found, and how sure it is."""

    topic: Topic
    subject: str = Field(default="", description="a memory, an arm, or a point of the checklist")
    role: Literal["", "finalist", "baseline", "neighbour", "ablation"] = ""
    against: str = Field(default="", description="the memory that it is compared with")
    where: str = Field(default="", description="the setting, or the choice that was changed")
    mean: float | None = Field(default=None, description="a score, or how much more it is")
    low: float | None = Field(default=None, description="of an interval of 95 %")
    high: float | None = None
    probability: float | None = Field(default=None, description="two-sided, of no difference")
    corrected: float | None = Field(default=None, description="the same after Holm")
    tasks: int = 0
    pairs: int = Field(default=0, description="runs, or pairs of runs with equal tasks and seeds")
    numbers: dict[str, float] = Field(default_factory=dict)
    answer: Literal["", "yes", "partly", "no"] = Field(default="", description="of a point")
    sentence: str = ""

    @property
    def verdict(self) -> Literal["", "better", "worse", "no difference shown"]:
        """What a difference shows at 5 % after correction; nothing for what is no difference."""
        if self.corrected is None or self.low is None or self.high is None:
            return ""
        if self.corrected > 0.05 or self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if self.low > 0 else "worse"


class Shown(Line):
    """One memory on a stream, or one model on a task, of a demonstration with one seed."""

    row: str
    name: str = Field(description="name of the memory in its row")
    role: Literal["candidate", "control"]
    key: str = Field(description="hash of stream or task, memory and grid")
    memory: dict[str, Any] = Field(description="the memory, or the model, as written in YAML")
    stream: dict[str, Any] = Field(description="the stream, or task and training")
    seed: int
    settings: dict[str, float] = Field(description="what was chosen on the validation seed")
    metrics: dict[str, float]
    state_floats: int
    parameters: int = Field(description="numbers that are trained in it")
    seconds: float = Field(default=0.0, description="of one core")


class Seen(Line):
    """One thing seen inside a memory while it read tokens."""

    topic: Literal["writes", "addresses", "survival", "graph", "spectrum", "norms"]
    name: str = Field(description="name of the memory")
    where: str = Field(description="its layer and head")
    trained: bool = Field(description="whether its weights were trained, or are as drawn")
    task: str = Field(description="where the tokens are from")
    seed: int
    tokens: tuple[str, ...] = Field(default=(), description="what was read, in words")
    asked: tuple[int, ...] = Field(default=(), description="places at which an answer is due")
    told: tuple[int, ...] = Field(default=(), description="places of the needle")
    numbers: dict[str, float] = Field(default_factory=dict)
    series: dict[str, tuple[float | None, ...]] = Field(
        default_factory=dict, description="none where a number was not finite, or there was none"
    )
    tables: dict[str, tuple[tuple[float | None, ...], ...]] = Field(
        default_factory=dict, description="rows, one for each slot"
    )


class Claimed(BaseModel):
    """A claim of a demonstration and what became of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    memory: str
    metric: str
    found: float
    bound: float
    reached: bool


class Verdict(Line):
    """A row of demonstrations: means and sample standard deviations over seeds, and its claims."""

    row: str
    number: int
    system: str
    title: str
    metric: str
    better: Literal["higher", "lower"]
    curve: str = ""
    columns: tuple[str, ...] = ()
    note: str = ""
    candidates: tuple[str, ...]
    controls: tuple[str, ...]
    means: dict[str, dict[str, float]]
    spreads: dict[str, dict[str, float]]
    state_floats: dict[str, int]
    parameters: dict[str, int]
    settings: dict[str, dict[str, float]]
    seeds: int
    seconds: float
    claims: tuple[Claimed, ...]
    reached: bool
