"""Comments above the lines of a file: what the recurrence is doing there."""

from miras.export.nodes import Node
from miras.memory import Memory

HOOKS = {
    "carry": "what time alone makes of the memory",
    "scale": "forget",
    "keep": "forget",
    "respond": "what the memory answers to the key",
    "predict": "what the memory answers to the key",
    "target": "what it should have answered",
    "pull": "the gradient of the weights",
    "stepped": "times the step",
    "sensitivity": "how far a step along the key carries",
    "address": "where the token belongs",
    "allot": "where the token is written",
    "candidate": "what is to be stored",
    "store": "store the pair",
    "settle": "after the write",
    "notice": "what the read has looked at",
    "trace": "traces that the read leaves",
    "begin": "",
}
READS = {"read", "aim", "local", "let_out", "seek", "answer", "divide"}
ENGINE = {
    "write": "write",
    "store": "store the pair",
    "step_sizes": "the step that is taken",
    "guard": "the largest push that does not overshoot",
    "resolve": "gates that see what the memory answered last",
    "pairs": "the pairs that are learned now",
    "surprise": "the gradient, summed over pairs",
    "prepare": "keys",
}


def title(memory: Memory, node: Node) -> str:
    """What a statement belongs to."""
    axis, method = node.at.axis, node.at.method
    if method in READS:
        return "read"
    if axis == "bias":
        return f"attentional bias {_kind(memory.bias)}: the error"
    if axis == "optimizer":
        return f"optimizer {_kind(memory.optimizer)}"
    if axis == "retention":
        told = {"link": "weights from what is accumulated"} | HOOKS
        return f"retention gate {_kind(memory.retention)}: {told.get(method, method)}"
    if axis == "features":
        return f"keys by {_kind(memory.architecture.features)}"
    if axis == "gate":
        return "gates that see what the memory answered last" if memory.recurrent else ""
    if axis == "architecture":
        return HOOKS.get(method, "")
    return ENGINE.get(method, "")


def _kind(part: object) -> str:
    return str(getattr(part, "kind", type(part).__name__))
