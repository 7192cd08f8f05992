"""Learned positions of a model: where they act, how they begin, and what they leave alone."""

import pytest
import torch
from torch import Tensor

from miras.known import named
from miras.model import Model, ModelSpec
from miras.part import SpecError

PLAIN = ModelSpec(dim=16, layers=2, heads=2, conv=0, pattern=(named("dot"),))


def model(**changes: object) -> Model:
    torch.manual_seed(0)
    return Model(PLAIN.model_copy(update=changes), 7).double().eval()


def tokens(time: int = 6) -> Tensor:
    return torch.randint(7, (2, time), generator=torch.Generator().manual_seed(1))


def test_a_table_of_zeros_changes_nothing_and_can_learn() -> None:
    placed, plain = model(positions=8, positions_std=0.0), model()
    with torch.no_grad():
        found = placed.state_dict()
        assert found.pop("position").shape == (8, 16)
        plain.load_state_dict(found)
        assert torch.equal(placed(tokens())[0], plain(tokens())[0])
    placed(tokens())[0].square().sum().backward()
    assert placed.position is not None and placed.position.grad is not None
    slopes = placed.position.grad.abs().sum(-1)
    assert (slopes[:6] > 0).all() and not slopes[6:].any()


def test_no_table_leaves_parameters_as_they_were() -> None:
    names = [name for name, _ in model().named_parameters()]
    assert "position" not in names
    assert model(positions=8).parameters_count() == model().parameters_count() + 8 * 16


def test_spread_at_the_start() -> None:
    placed = model(positions=4096, positions_std=0.5)
    assert placed.position is not None
    assert placed.position.detach().std().item() == pytest.approx(0.5, rel=0.02)


def test_positions_go_on_from_piece_to_piece() -> None:
    placed = model(positions=8)
    with torch.no_grad():
        whole, _ = placed(tokens())
        first, state = placed(tokens()[:, :4])
        second, _ = placed(tokens()[:, 4:], state)
    torch.testing.assert_close(torch.cat((first, second), 1), whole)


def test_a_row_acts_from_its_place_on() -> None:
    placed = model(positions=8)
    with torch.no_grad():
        before = placed(tokens())[0]
        assert placed.position is not None
        placed.position[3] += 1
        moved = (placed(tokens())[0] - before).abs().amax((0, 2))
    assert not moved[:3].any() and (moved[3:] > 0).all()


def test_a_table_that_is_too_short_is_a_sentence() -> None:
    with pytest.raises(SpecError, match="token 6 has no place in a table of 5 positions"):
        model(positions=5)(tokens())
