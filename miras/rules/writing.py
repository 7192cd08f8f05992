"""What is learned at a token, and when: targets, windows, batches, addresses."""

from typing import TYPE_CHECKING

from miras.rules import Verdict, kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("target")
def _target(memory: "Memory") -> str:
    """Targets and windows belong to memories that have keys and are optimised."""
    bias, architecture = memory.bias, memory.architecture
    if bias.target == "value" and bias.window == 1:
        return ""
    asked = f"target: {bias.target}" if bias.target != "value" else f"window: {bias.window}"
    if architecture.stores_pairs:
        return (
            f"{asked} belongs to a memory that is optimised, architecture {kind(architecture)}"
            " stores the pairs as they come: leave it out, or use an architecture such as matrix"
        )
    if bias.target != "value" and not architecture.keyed:
        return (
            f"{asked} is about keys, architecture {kind(architecture)} has none: use target: value,"
            " or an architecture such as matrix"
        )
    return ""


@rule("addresses")
def _addresses(memory: "Memory") -> str:
    """Erase and write gates need a linear memory with keys and a bias that subtracts."""
    step, architecture = memory.stepping, memory.architecture
    if step is None or step.associative or (step.erase is None and step.write is None):
        return ""
    if architecture.normalised:
        return (
            "erase and write gates change what is stored, normaliser: true divides by what was"
            " written in all: use normaliser: false, or leave out the gates"
        )
    if step.erase is None:
        return ""
    if not architecture.linear or not architecture.keyed:
        return (
            f"erase asks with another key than it writes to, architecture {kind(architecture)} has"
            " one key for both: use architecture matrix"
        )
    if step.quadratic_only:
        return (
            f"optimizer {kind(step)} is the closed form for one key, erase brings another: use"
            " optimizer gd"
        )
    if not memory.bias.residual:
        return (
            f"erase gates what the prediction takes away, bias {kind(memory.bias)} takes nothing"
            " away: use bias l2, or leave erase out"
        )
    return ""


@rule("T9")
def _three_sizes(memory: "Memory") -> str:
    """A batch of gradients is not cut into chunks or update periods as well."""
    step = memory.stepping
    if step is not None and step.batch > 1 and (step.chunk > 1 or step.every > 1):
        return (
            "batch: makes one step of many gradients, which are all taken before it: use"
            " chunk: 1 and every: 1, or leave out batch:"
        )
    return ""


@rule("T11-window")
def _one_key(memory: "Memory") -> str:
    """A step in closed form takes one key at a time, no window and no batch."""
    step = memory.stepping
    if step is None or not step.quadratic_only:
        return ""
    if memory.bias.window > 1 or step.batch > 1:
        return (
            f"optimizer {kind(step)} is the closed form for one key at a time: use optimizer gd for"
            " a window or a batch of tokens"
        )
    return ""


@rule("T8", Verdict.warn)
def _window_of_dot(memory: "Memory") -> str:
    """A window needs a bias that looks at what the memory answers."""
    if memory.bias.window == 1 or memory.bias.residual:
        return ""
    return (
        f"bias {kind(memory.bias)} never looks at what the memory answers, so window:"
        f" {memory.bias.window} only writes each pair {memory.bias.window} times: use bias l2"
    )


@rule("T21", Verdict.warn)
def _read_before(memory: "Memory") -> str:
    """A read before the write needs another way for a token to see itself."""
    step = memory.stepping
    if step is None or step.read == "after" or step.batch > 1 or step.every > 1:
        return ""
    if memory.architecture.sees_itself or memory.bias.target == "next_value":
        return ""
    return (
        "read: before answers a token from the tokens before it alone: use read: after, or an"
        " architecture that adds the token itself, such as matrix with a bonus"
    )
