"""Functions that an exported file carries whole, where its memory needs them."""

ROTATE = '''
def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: pairs of entries (i, i + half) of x turned by angles [time, half]."""
    cosine, sine, half = cosine[:, None], sine[:, None], cosine.shape[-1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    turned = (first * cosine - second * sine, first * sine + second * cosine, rest)
    return torch.cat(turned, dim=-1)
'''

RECURRENCE = '''
def recurrence(keep: Tensor, write: Tensor, start: Tensor) -> Tensor:
    """All x_t = keep_t x_{t-1} + write_t along dimension 1, in log2(time) rounds; x_0 is start.

    After a round each place holds what twice as many tokens do together: one factor, one sum.
    """
    keep = keep.expand(keep.shape[0], write.shape[1], *keep.shape[2:])
    keep, write = torch.broadcast_tensors(keep, write)
    reach = 1
    while reach < write.shape[1]:
        later = write[:, reach:] + keep[:, reach:] * write[:, :-reach]
        write = torch.cat((write[:, :reach], later), dim=1)
        keep = torch.cat((keep[:, :reach], keep[:, reach:] * keep[:, :-reach]), dim=1)
        reach *= 2
    return write + keep * start[:, None]
'''

PRIMITIVES = {"rotate": ROTATE, "recurrence": RECURRENCE}
"""Their source by name."""

GROUP = '''
class Group(nn.Module):
    """Layers, parameters and tables that are not learned, under one name."""

    def __init__(self, **members: nn.Module | Tensor) -> None:
        super().__init__()
        for name, member in members.items():
            if isinstance(member, nn.Module | nn.Parameter):
                setattr(self, name, member)
            else:
                self.register_buffer(name, member, persistent=False)
'''

WEIGHTS = '''
def weights_of(model: dict[str, Tensor], block: int = {block}) -> dict[str, Tensor]:
    """The weights of one layer out of those of a whole model, as `miras train` keeps them."""
    start = f"blocks.{{block}}.memory."
    return {{name[len(start) :]: leaf for name, leaf in model.items() if name.startswith(start)}}
'''
