"""A hundred nests of transformations beside PyTorch; `make nests` draws 2,000 and holds them against JAX."""

import pytest

from .draw import DEPTH, EXTRAS, case
from .job import TOLERANCE, parts, transforms
from .sides import difference, ours, torchs

NESTS = 100
# PyTorch's own, where it makes a forward derivative for the first time.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


def test_a_third_of_the_nests_has_something_besides():
    drawn = [case(k, transforms()) for k in range(600)]
    assert {c.extra for c in drawn} == {"", *EXTRAS} and sum(bool(c.extra) for c in drawn) == 200
    assert all(len([p for p in parts(c.nest) if p not in ("leaf", "then")]) == DEPTH for c in drawn)
    assert {p for c in drawn for p in parts(c.nest)} == {*transforms(), "leaf", "then"}


@pytest.mark.torch
@pytest.mark.parametrize("tens", range(NESTS // 10))
def test_values_and_three_derivatives(tens):
    pytest.importorskip("torch")
    for index in range(10 * tens, 10 * tens + 10):
        drawn = case(index, transforms())
        assert difference(ours(drawn), torchs(drawn)) <= TOLERANCE, drawn.words()
