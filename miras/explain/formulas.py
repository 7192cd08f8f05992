"""The equations of one memory, put together from what its parts say."""

from collections.abc import Mapping
from typing import NamedTuple

from miras.explain.learning import gated, pair, schedule, summed
from miras.gate import grouped
from miras.memory import Memory
from miras.optimizer import Stepping

LETTERS = {"decay": "α", "step": "β", "momentum": "η", "threshold": "δ", "erase": "a", "write": "w"}
ALONG = {"key": "ᵏ", "value": "ᵛ"}


class Equations(NamedTuple):
    """Lines of text; t counts tokens from 1."""

    update: tuple[str, ...]
    read: tuple[str, ...]
    where: tuple[str, ...]  # what the symbols mean that the lines leave open


def symbols(memory: Memory) -> dict[str, str]:
    """How formulas write each gate: as a number, a letter, or what it is derived from."""
    found: dict[str, str] = {}
    for use in memory.uses:
        own = letter(memory, use.name)
        if use.gate.fixed is not None:
            found[use.name] = f"{use.gate.fixed:g}".replace("inf", "∞")
        elif use.gate.derived:
            decay = found[use.name.replace("step", "decay")]
            found[use.name] = use.gate.derive_formula(decay, own)
        else:
            found[use.name] = own
    return found


def letter(memory: Memory, name: str) -> str:
    """The letter of a gate, told apart by axis only where there is one for each."""
    role, _, along = name.partition("_")
    if role not in LETTERS or name[-1].isdigit():
        return f"{name}_t"
    twice = {f"{role}_key", f"{role}_value"} <= {use.name for use in memory.uses}
    return f"{LETTERS[role]}{ALONG[along] if twice else ''}_t"


def equations(memory: Memory) -> Equations:
    """Update, read, and what the symbols mean."""
    gates = symbols(memory)
    lines: list[str] = []
    if memory.architecture.keyed:
        mapped = memory.architecture.features.formula("q_t", "k_t", gates)
        alike = memory.architecture.features.formula("u", "u", gates)
        pairs = zip(("q_t", "k_t"), mapped, strict=True)
        if mapped != ("q_t", "k_t") and alike[0] == alike[1]:
            lines.append(f"u ← {alike[0]} for u = q_t, k_t")
        else:
            lines += [f"{name} ← {new}" for name, new in pairs if new != name]
    step = memory.stepping
    if step is None:
        return _of_pairs(memory, gates, lines)
    return _of_steps(memory, step, gates, lines)


def _of_pairs(memory: Memory, gates: Mapping[str, str], lines: list[str]) -> Equations:
    kept = memory.retention.kept_formula()
    lines += memory.retention.pairs_formula(gates)
    lines.append(f"P_t = {kept}P_{{t−1}} ∪ {{(k_t, v_t)}}")
    read = f"y_t = {memory.architecture.read_formula('P_t', 'q_t', gates)}"
    return Equations(tuple(lines), (read,), ())


def _of_steps(
    memory: Memory, step: Stepping, gates: Mapping[str, str], lines: list[str]
) -> Equations:
    architecture, retention = memory.architecture, memory.retention
    weights = architecture.symbol
    stored = weights if retention.identity_link else "A"
    decays = _factors("decay", gates)
    retained = architecture.scale_formula(f"{stored}_{{t−1}}", decays)
    retained, kept = retention.keep_formula(retained, gates)
    lines += kept
    value = architecture.candidate_formula("v_t", "y_{t−1}", gates)
    if value != "v_t":
        lines.append(f"c_t = {value}")
    at = _place(memory, step, retained != f"{stored}_{{t−1}}")
    named, change = list[str](), ""
    if not step.associative:
        named, change = _change(memory, step, at, "v_t" if value == "v_t" else "c_t", gates)
    if at == f"{weights}′" and any(at in line for line in (*named, change)):
        lines.append(f"{stored}′ = {retained}")
        retained = f"{stored}′"
        if stored != weights:
            lines.append(f"{weights}′ = {retention.formula(retained)}")
    lines += named
    lines += step.formula(f"{stored}_t", retained, change, gates)
    lines += retention.settle_formula(f"{stored}_t")
    if stored != weights:
        lines.append(f"{weights}_t = {retention.formula(f'{stored}_t')}")
    if step.dream.dreams:
        dreamt = step.dream.formula(f"{stored}_t")
        lines.append(f"{stored}_t ← {dreamt} every {step.dream.every} tokens")
    after = step.read == "after"
    seen = ("σ" if after else "ρ") if step.every > 1 else "t" if after else "{t−1}"
    query = step.seek_formula("q_t")
    read = [f"y_t = {architecture.read_formula(f'{weights}_{seen}', query, gates)}"]
    if architecture.normalised:
        read = [_normaliser(decays, gates), f"{read[0]} / (z_{seen} · q_t + 1e-6)"]
    return Equations(tuple(lines), tuple(read), _where(memory, step, (*lines, *read)))


def _factors(role: str, gates: Mapping[str, str]) -> dict[str, str]:
    """The gates of a role by axis, as architectures take them; those that are 1 are left out."""
    names = {"": role} | {axis: f"{role}_{axis}" for axis in ("value", "key", "slot")}
    found = {axis: gates[name] for axis, name in names.items() if name in gates}
    return {axis: gate for axis, gate in found.items() if gate != "1"}


def _place(memory: Memory, step: Stepping, changed: bool) -> str:
    """The weights at which the gradient is taken; `changed`: before the write, by retention."""
    weights = memory.architecture.symbol
    if step.chunk > 1:
        return f"{weights}_ξ"
    if step.every > 1:
        return f"{weights}_ρ"
    return f"{weights}′" if changed and step.gradient_at == "retained" else f"{weights}_{{t−1}}"


def _change(
    memory: Memory, step: Stepping, at: str, value: str, gates: Mapping[str, str]
) -> tuple[list[str], str]:
    """Lines that name step and error where those are long, and minus step times gradient."""
    architecture, bias = memory.architecture, memory.bias
    lines, steps = _steps(memory, step, gates)
    limit = _limit(memory, step, steps) if bias.guarded else None
    key, value = pair(memory, at, value, gates)
    asked = gated(key, _factors("erase", gates))
    asked = asked if asked == key else f"({asked})"
    value = architecture.target_formula(key, value)
    error = bias.formula(architecture.asked_formula(at, asked), value, gates, limit)
    sign = "−"
    if error == f"−{value}":
        sign, error = "+", grouped(value)
    elif bias.linear and architecture.linear:
        error = f"({error})"
    else:
        lines.append(f"e_t = {error}")
        error = "e_t"
    gradient = summed(memory, architecture.gradient_formula(at, key, error))
    return lines, f"{sign} {architecture.scale_formula(gradient, steps)}"


def _steps(
    memory: Memory, step: Stepping, gates: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The steps that are taken, by axis, and the line that names one that has to be computed."""
    divisor = {"none": "", "chunk": f" / {step.together}", "key_dim": " / key_dim"}[step.scale]
    if step.scale == "chunk" and step.together == 1:
        divisor = ""
    names = {"": "step"} | {axis: f"step_{axis}" for axis in ("value", "key", "slot")}
    steps = {
        axis: f"{grouped(gates[name])}{divisor}" if divisor else gates[name]
        for axis, name in names.items()
        if name in gates
    }
    if "" in steps:
        architecture = memory.architecture
        unit = architecture.features.unit_norm and architecture.keyed
        sensitivity = "1" if unit else architecture.sensitivity_formula("k_t")
        taken = step.step_formula(steps[""], sensitivity)
        if taken != steps[""]:
            return [f"s_t = {taken}"], {"": "s_t"}
    return [], {axis: taken for axis, taken in steps.items() if taken != "1"}


def _limit(memory: Memory, step: Stepping, steps: Mapping[str, str]) -> str:
    """The largest factor on a residual: all errors at the same weights together land on target."""
    factors = [
        f"max({taken})" if axis == "key" else grouped(taken) for axis, taken in steps.items()
    ]
    factors.append(memory.architecture.sensitivity_formula("k_t"))
    together = step.span * memory.bias.weight
    factors = [f"{together:g}"] * (together > 1) + [each for each in factors if each != "1"]
    return f"1 / ({' '.join(factors)})" if factors else "1"


def _normaliser(decays: Mapping[str, str], gates: Mapping[str, str]) -> str:
    signs = {"": " ", "key": " ⊙ "}
    past, new = (
        "".join(f"{grouped(factor)}{signs[axis]}" for axis, factor in factors.items())
        for factors in (decays, _factors("step", gates))
    )
    return f"z_t = {past}z_{{t−1}} + {new}k_t"


def _where(memory: Memory, step: Stepping, lines: tuple[str, ...]) -> tuple[str, ...]:
    """What lines use and do not say."""
    architecture, text = memory.architecture, "\n".join(lines)
    found = [architecture.meaning()] if architecture.meaning() else []
    if "∂M" in text:
        found.append("∂M(W, k)ᵀ e: the error e pulled back to the weights W")
    if "‖h_t‖" in text:
        found.append("h_t: the last hidden layer")
    if "[" in text:
        found.append("[a W b]: a scales the value side of W, b its key side")
    if "_ξ" in text:
        size = step.chunk
        found.append(f"ξ = {size} ⌊(t − 1) / {size}⌋, the last token of the chunk before")
    if "_ρ" in text:
        found.append(f"ρ = {step.every} ⌊(t − 1) / {step.every}⌋, the last refresh before t")
    if "_σ" in text:
        found.append(f"σ = {step.every} ⌊t / {step.every}⌋, the last refresh")
    found += schedule(memory, step)
    if "R y_" in text:
        found.append("R: a learned matrix per head, another one at each place")
    return tuple(found)
