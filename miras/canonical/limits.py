"""Exact rewrites of optimizers and retention gates whose settings make them another one.

Each keeps the function that is computed from the same tensors, up to rounding. R4, R11, R16, R21,
R23 and R24 are rules of docs/rules.md.
"""

from collections.abc import Callable

from miras.bias.dot import Dot
from miras.bias.l2 import L2
from miras.bias.value_shift import ValueShift
from miras.canonical.editing import compared, descent, edit, neutral, shared, stepping
from miras.gate.constant import Constant
from miras.memory import Memory
from miras.optimizer.delta_gd import DeltaGradientDescent
from miras.optimizer.implicit import Implicit
from miras.optimizer.momentum import Momentum
from miras.optimizer.multi_step import MultiStep
from miras.optimizer.muon import Muon
from miras.optimizer.preconditioned import Preconditioned
from miras.optimizer.trapezoid import Trapezoid
from miras.retention import Decaying
from miras.retention.decay import Decay
from miras.retention.diagonal_plus_rank_one import DiagonalPlusRankOne
from miras.retention.elastic_net import ElasticNet
from miras.retention.f_divergence import FDivergence
from miras.retention.gated_reset import GatedReset
from miras.retention.none import NoRetention
from miras.retention.simplex import Simplex


def r4_erasing_dot(memory: Memory) -> Memory:
    """Delta gradient descent under `dot` is the delta rule; `closed`, it is the implicit step."""
    step = memory.optimizer
    if not isinstance(step, DeltaGradientDescent) or not isinstance(memory.bias, Dot):
        return memory
    delta = edit(memory, bias=compared(memory.bias, L2))
    if not step.closed:
        return edit(delta, optimizer=descent(step))
    if step.gradient_at != "retained" or step.span > 1 or not memory.retention.identity_link:
        return memory
    return edit(delta, optimizer=shared(step, Implicit))


def r11_no_second_tap(memory: Memory) -> Memory:
    """A write of which nothing waits for the next token is a gradient step."""
    step = memory.optimizer
    if not isinstance(step, Trapezoid) or step.lead.fixed != 1:
        return memory
    return edit(memory, optimizer=descent(step))


def r16_one_write(memory: Memory) -> Memory:
    """One write per token is the delta rule, with momentum if the writes have it."""
    step = memory.optimizer
    if not isinstance(step, MultiStep) or step.count > 1 or step.rereads:
        return memory
    if step.momentum is None:
        return edit(memory, optimizer=descent(step))
    if memory.architecture.normalised or not memory.architecture.keyed:
        return memory  # nobody has said what momentum does to a normaliser
    return edit(memory, optimizer=shared(step, Momentum, momentum=step.momentum))


def r21_no_preconditioner(memory: Memory) -> Memory:
    """Steps between b and 1 / b of themselves are themselves at b = 1."""
    step = memory.optimizer
    if not isinstance(step, Preconditioned) or step.base != 1:
        return memory
    return edit(memory, optimizer=descent(step))


def r24_common_factor(memory: Memory) -> Memory:
    """Orthogonal changes have the length of their rate: a factor of all steps is invisible.

    But for a guard, which looks at the step itself.
    """
    step = memory.optimizer
    if not isinstance(step, Muon) or memory.bias.guarded:
        return memory
    found = stepping(memory, **neutral(step, "scale"))
    if step.step.fixed is None or step.step.fixed == 0:
        return found
    return stepping(found, step=Constant(), **neutral(step, "step_axis"))


def table_of_no_iterations(memory: Memory) -> Memory:
    """Without iterations there are no coefficients."""
    step = memory.optimizer
    if not isinstance(step, Muon) or step.iterations > 0:
        return memory
    return stepping(memory, **neutral(step, "coefficients"))


def r21_open_gates(memory: Memory) -> Memory:
    """An erase or write gate of 1 is no gate."""
    step = memory.stepping
    if step is None or step.associative:
        return memory
    gates = {"erase": step.erase, "write": step.write}
    unused = [name for name, gate in gates.items() if gate is not None and gate.fixed == 1]
    return stepping(memory, **dict.fromkeys(unused)) if unused else memory


def r21_no_shift(memory: Memory) -> Memory:
    """A value that nobody moves is learned by squares."""
    bias = memory.bias
    still = isinstance(bias, ValueShift) and bias.shift.fixed == 0
    return edit(memory, bias=compared(bias, L2)) if still else memory


def r21_no_threshold_of_weights(memory: Memory) -> Memory:
    """Elastic net that takes nothing off weights is decay; the arctan goes to 1 as well."""
    retention = memory.retention
    if not isinstance(retention, ElasticNet) or retention.threshold > 0:
        return memory
    return edit(memory, retention=_decay(retention))


def r21_no_removal(memory: Memory) -> Memory:
    """A transition that erases nothing is its diagonal."""
    retention = memory.retention
    if not isinstance(retention, DiagonalPlusRankOne) or retention.removal.fixed != 0:
        return memory
    return edit(memory, retention=_decay(retention))


def r21_no_reset(memory: Memory) -> Memory:
    """A reset that never comes forgets nothing."""
    retention = memory.retention
    if not isinstance(retention, GatedReset) or retention.gate.fixed is None:
        return memory
    if not memory.architecture.linear and not memory.bias.residual:
        return memory  # rule T4 asks for something that forgets
    gone = retention.gate.fixed
    never = gone < retention.threshold if retention.threshold is not None else gone == 0
    return edit(memory, retention=NoRetention()) if never else memory


def r23_exponentiated_gradient(memory: Memory) -> Memory:
    """The divergence of Kullback and Leibler is a softmax of logits that do not decay."""
    retention, step = memory.retention, memory.stepping
    if not isinstance(retention, FDivergence) or retention.divergence != "kl":
        return memory
    if step is None or step.quadratic_only:  # closed forms are for weights without a link
        return memory
    simplex = Simplex(over=retention.over, total=retention.total, gate=Constant())
    return edit(memory, retention=simplex)


def _decay(retention: Decaying) -> Decay:
    return Decay(axis=retention.axis, gate=retention.gate, floor=retention.floor)


LIMITS: tuple[Callable[[Memory], Memory], ...] = (
    r4_erasing_dot,
    r11_no_second_tap,
    r16_one_write,
    r21_no_preconditioner,
    r24_common_factor,
    table_of_no_iterations,
    r21_open_gates,
    r21_no_shift,
    r21_no_threshold_of_weights,
    r21_no_removal,
    r21_no_reset,
    r23_exponentiated_gradient,
)
