"""A value of one element is the number that it holds, wherever Python needs one; where there is no number yet, there is an error."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tlean as tl

BACKENDS: dict[str, Callable[[], Any]] = {
    "tape": tl.TapeM,
    "session": tl.Session,
    "compiled session": lambda: tl.Session(backend="compiled"),
    "reference": lambda: tl.backends.Reference("float64"),
}
CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "complex": complex,
    "round": lambda x: round(x, 1),
    "format": lambda x: f"{x:.3f}",
    "sin": math.sin,
    "floor": math.floor,
    "trunc": math.trunc,
    "isclose": lambda x: math.isclose(x, 6.25),
}
backends = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


@backends
@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_a_value_of_one_element(backend: Callable[[], Any], convert: Callable[[Any], Any]) -> None:
    ops = backend()
    x = ops.leaf([2.0, 1.5])
    loss = ops.sum(ops.square(x))
    assert convert(loss) == convert(6.25) and convert(ops.reshape(loss, (1, 1))) == convert(6.25)
    with pytest.raises(tl.ShapeError, match="one element"):
        convert(x)


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
@pytest.mark.parametrize("run", [lambda f: tl.grad(f)(3.0), lambda f: tl.jit(f)(3.0), lambda f: tl.jvp(f, (3.0,), (1.0,))], ids=str)
def test_a_value_of_a_recorded_program(run: Any, convert: Callable[[Any], Any]) -> None:
    def program(ops: Any, x: Any) -> Any:
        return ops.mul(x, ops.const(convert(x)))

    with pytest.raises(tl.DTypeError, match="recorded or differentiated"):
        run(program)


@backends
def test_only_integers_are_indices(backend: Callable[[], Any]) -> None:
    ops = backend()
    x = ops.leaf([1.0, 5.0, 2.0])
    row = ops.argmax(x)
    assert operator.index(row) == 1 and [10, 20, 30][row] == 20 and float(x[row]) == 5.0
    for value in (x, ops.sum(x)):
        with pytest.raises(TypeError, match="an index must be an integer"):
            operator.index(value)
        with pytest.raises(TypeError):
            [10, 20, 30][value]


@pytest.mark.parametrize("options", [{"backend": "eager"}, {"backend": "compiled"}], ids=str)
def test_a_reference_means_its_node(options: dict[str, Any]) -> None:
    s, other = tl.Session(**options), tl.Session(**options)
    x = s.input([3.0, 1.0])
    # A node whose id is not the integer that it holds.
    i = s.argmax(x)
    loss = s.sum(s.square(x))
    grads = s.backward_scalar(loss)
    assert grads[x] is grads[x.id] and x in grads and i not in grads and grads.get(i) is None
    every = s.backward_scalar_dense_all(loss)
    assert every[x].tolist() == every[x.id].tolist() == [6.0, 2.0] and int(i) == 0 != i.id
    with pytest.raises(tl.NodeError, match="another session"):
        every[other.input([1.0])]


def test_no_reference_is_an_option() -> None:
    m = tl.TapeM()
    x, rate = m.leaf([1.0, 2.0]), m.leaf(0.5)
    for call in (lambda: m.scale(x, rate), lambda: m.dropout(x, rate), lambda: m.clamp(x, rate, 2.0)):
        with pytest.raises(tl.OptionError):
            call()


@pytest.mark.parametrize("backend", ["tape", "session", "compiled session"])
def test_a_list_of_references_is_no_array(backend: str) -> None:
    ops = BACKENDS[backend]()
    x, s = ops.leaf([1.0, 2.0]), ops.leaf(3.0)
    for values in ([s, s], (s, 1.0), [[s], [s]]):
        with pytest.raises(tl.NodeError, match=r"stack joins them"):
            ops.mul(x, values)


def test_numpy_reads_no_recorded_value() -> None:
    def program(ops: Any, x: Any) -> Any:
        return ops.mul(x, np.asarray(x))

    for run in (lambda: tl.grad(program)([1.0]), lambda: tl.jit(program)([1.0]), lambda: tl.jvp(program, ([1.0],), ([1.0],))):
        with pytest.raises(tl.NodeError, match="has no value while the program is recorded"):
            run()


def test_membership_is_of_values() -> None:
    v = tl.TapeM().leaf([1.0, 3.0])
    assert 3.0 in v and 2.0 not in v
    with pytest.raises(tl.NodeError):
        tl.jit(lambda ops, x: ops.scale(x, 3.0 in x))(np.ones(1))
