"""What a layer does around its memory, as Python."""

from miras.export.nodes import Unwritable
from miras.layer import Layer
from miras.memory import Memory


def forward(layer: Layer, memory: Memory, size: int | None, seen: list[str]) -> list[str]:
    """`forward` and `remember`; `size` tokens make a piece, and `seen` are the names of inputs."""
    wiring = layer.wiring
    lines = [
        "    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:",
        '        """The outputs of a piece of a sequence, and the state for the next piece."""',
        "        state = state or self.start(x)",
        "        mixed = self.project(x)",
    ]
    if layer.conv is not None:
        lines += [
            "        recent = torch.cat((state.conv, mixed), dim=1)",
            "        mixed = self.conv(recent.mT).mT",
            f"        state = state._replace(conv=recent[:, -{layer.conv.width - 1}:])",
        ]
    lines += _heads(layer)
    lines += [
        "        seen = self.see(x, query, key, value, state.position)"
        if layer.key_heads
        else "        seen = self.see(x, value, state.position)",
        "        read, state = self.remember(seen, state)",
    ]
    if wiring.mix:
        if "step" not in seen:
            raise Unwritable("mixes reads by a step that it does not take (wiring: mix)")
        lines.append("        read = torch.lerp(value, read, seen.step[..., None])")
    if wiring.skip:
        lines.append("        read = read + self.skip * value")
    if layer.norm is not None:
        lines.append("        read = F.rms_norm(read, read.shape[-1:], eps=1e-5) * self.norm")
    lines.append("        read = read.flatten(-2)")
    if layer.output_gate is not None:
        function = "F.silu" if wiring.output_gate == "silu" else "torch.sigmoid"
        lines.append(f"        read = {function}(self.output_gate(x)) * read")
    return [*lines, "        return self.out(read), state", "", *remember(memory, size)]


def _heads(layer: Layer) -> list[str]:
    lines: list[str] = []
    if layer.key_heads:
        lines.append(
            f"        query, key, value = mixed.split(({', '.join(map(str, layer.widths))}),"
            " dim=-1)"
        )
    else:
        lines.append("        value = mixed")
    if layer.wiring.value == "silu":
        lines.append("        value = F.silu(value)")
    lines.append(f"        value = value.unflatten(-1, ({layer.heads}, {layer.value_dim}))")
    if layer.wiring.value == "zscore":
        lines.append(f"        value = F.layer_norm(value, ({layer.value_dim},), eps=1e-6)")
    if layer.key_heads:
        shape = f"({layer.key_heads}, {layer.key_dim})"
        shared = layer.key_heads < layer.heads
        more = f".expand(-1, -1, {layer.heads}, -1)" if shared else ""
        lines.append(f"        query = query.unflatten(-1, {shape}){more}")
        lines.append(f"        key = key.unflatten(-1, {shape}){more}")
    return lines


def remember(memory: Memory, size: int | None) -> list[str]:
    """The loop over tokens or pieces."""
    head = "    def remember(self, seen: Seen, state: State) -> tuple[Tensor, State]:"
    if size is None:
        return [
            head,
            '        """Answers to all queries, token by token."""',
            "        reads: list[Tensor] = []",
            "        for now in zip(*(each.unbind(1) for each in seen), strict=True):",
            "            read, state = self.token(Seen(*now), state)",
            "            reads.append(read)",
            "        return torch.stack(reads, dim=1), state",
            "",
        ]
    if not size:
        return [
            head,
            '        """Answers to all queries: all tokens at once, a single one by itself."""',
            "        if seen.value.shape[1] > 1:",
            "            return self.piece(seen, state)",
            "        read, state = self.token(Seen(*(each[:, 0] for each in seen)), state)",
            "        return read[:, None], state",
            "",
        ]
    whole = f"first + {size} <= time"
    if memory.stepping is not None and memory.stepping.chunk > 1:
        whole += f" and state.position % {size} == 0"
    return [
        head,
        f'        """Answers to all queries: {size} tokens at once, the rest one by one."""',
        "        reads: list[Tensor] = []",
        "        first, time = 0, seen.value.shape[1]",
        "        while first < time:",
        f"            if {whole}:",
        f"                some = Seen(*(each[:, first : first + {size}] for each in seen))",
        "                read, state = self.piece(some, state)",
        "            else:",
        "                read, state = self.token(Seen(*(each[:, first] for each in seen)), state)",
        "                read = read[:, None]",
        "            reads.append(read)",
        "            first += read.shape[1]",
        "        return torch.cat(reads, dim=1), state",
        "",
    ]
