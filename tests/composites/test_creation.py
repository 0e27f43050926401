"""Creation and conversion against NumPy, on every face: values, dtypes, derivatives, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tlean as tl
from tlean.compiler.graph import Graph, replay
from tlean.compiler.passes.fold import fold
from tlean.interpreters.eager import EagerOps

DTYPES = ("float32", "float64", "int64", "int32", "bool")
X = np.array([[1.5, -2.0, 0.0], [4.0, 5.5, -6.25]])
#: A program, and what NumPy makes of the same.
CASES: list[tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]] = [
    (lambda ops, x: ops.zeros((2, 3)), lambda x: np.zeros((2, 3))),
    (lambda ops, x: ops.zeros(3, int), lambda x: np.zeros(3, int)),
    (lambda ops, x: ops.zeros([0, 2], np.float32), lambda x: np.zeros((0, 2), "float32")),
    (lambda ops, x: ops.ones((), "bool"), lambda x: np.ones((), bool)),
    (lambda ops, x: ops.ones((2, 1), x.dtype), lambda x: np.ones((2, 1))),
    (lambda ops, x: ops.full((2, 2), 7), lambda x: np.full((2, 2), 7)),
    (lambda ops, x: ops.full(2, True), lambda x: np.full(2, True)),
    (lambda ops, x: ops.full((2,), 0.5), lambda x: np.full((2,), 0.5)),
    (lambda ops, x: ops.full((2,), (1 << 53) + 1), lambda x: np.full((2,), (1 << 53) + 1)),
    (lambda ops, x: ops.full((2,), 2.75, "int32"), lambda x: np.full((2,), 2.75, "int32")),
    (lambda ops, x: ops.full((2,), 3, "bool"), lambda x: np.full((2,), 3, "bool")),
    (lambda ops, x: ops.full((2,), np.float32(0.25), "float32"), lambda x: np.full((2,), 0.25, "float32")),
    (lambda ops, x: ops.full((4, 2, 3), x), lambda x: np.full((4, 2, 3), x)),
    (lambda ops, x: ops.full((2, 3), np.arange(3)), lambda x: np.full((2, 3), np.arange(3))),
    (lambda ops, x: ops.eye(3), lambda x: np.eye(3)),
    (lambda ops, x: ops.eye(2, 4, 1, int), lambda x: np.eye(2, 4, 1, int)),
    (lambda ops, x: ops.eye(4, 2, k=-2, dtype="bool"), lambda x: np.eye(4, 2, -2, bool)),
    (lambda ops, x: ops.arange(5), lambda x: np.arange(5)),
    (lambda ops, x: ops.arange(5.0), lambda x: np.arange(5.0)),
    (lambda ops, x: ops.arange(2, 12, 3), lambda x: np.arange(2, 12, 3)),
    (lambda ops, x: ops.arange(3, -4, -2, "int32"), lambda x: np.arange(3, -4, -2, "int32")),
    (lambda ops, x: ops.arange(0, 1, 0.3), lambda x: np.arange(0, 1, 0.3)),
    (lambda ops, x: ops.arange(0.5, 4, dtype="int64"), lambda x: np.arange(0.5, 4, dtype="int64")),
    (lambda ops, x: ops.arange(4, dtype=float), lambda x: np.arange(4, dtype=float)),
    (lambda ops, x: ops.arange(4, 1), lambda x: np.arange(4, 1)),
    (lambda ops, x: ops.arange(x.shape[0]), lambda x: np.arange(2)),
    (lambda ops, x: ops.linspace(0, 1, 7), lambda x: np.linspace(0, 1, 7)),
    (lambda ops, x: ops.linspace(-1.5, 2, 4, endpoint=False), lambda x: np.linspace(-1.5, 2, 4, endpoint=False)),
    (lambda ops, x: ops.linspace(2, -1, 1, dtype="float32"), lambda x: np.linspace(2, -1, 1, dtype="float32")),
    (lambda ops, x: ops.linspace(2, -1, 0), lambda x: np.linspace(2, -1, 0)),
    (lambda ops, x: ops.zeros_like(x), lambda x: np.zeros_like(x)),
    (lambda ops, x: ops.ones_like(x, dtype=int), lambda x: np.ones_like(x, dtype=int)),
    (lambda ops, x: ops.full_like(x, 2.5, "int64", (2,)), lambda x: np.full_like(x, 2.5, "int64", shape=(2,))),
    (lambda ops, x: ops.full_like(x, [[1.0], [2.0]]), lambda x: np.full_like(x, [[1.0], [2.0]])),
    (lambda ops, x: ops.zeros_like(np.arange(3)), lambda x: np.zeros_like(np.arange(3))),
    (lambda ops, x: ops.one_hot([2, 0], 3), lambda x: np.eye(3)[[2, 0]]),
    (lambda ops, x: ops.one_hot(np.array([[1, 5, -1]]), 2, axis=0, dtype=int), lambda x: np.array([[[0, 0, 0]], [[1, 0, 0]]])),
    (lambda ops, x: ops.one_hot(1, 3, dtype="bool"), lambda x: np.array([False, True, False])),
    *[(lambda ops, x, d=d: ops.astype(x, d), lambda x, d=d: x.astype(d)) for d in DTYPES],
    *[(lambda ops, x, d=d: x.astype(d).astype("float64"), lambda x, d=d: x.astype(d).astype("float64")) for d in DTYPES],
    (lambda ops, x: ops.astype(np.array([(1 << 53) + 1, -5]), "int32"), lambda x: np.array([(1 << 53) + 1, -5]).astype("int32")),
    (lambda ops, x: np.zeros_like(x, dtype="int64"), lambda x: np.zeros_like(x, dtype="int64")),
    (lambda ops, x: np.full_like(x, 3), lambda x: np.full_like(x, 3)),
    (lambda ops, x: np.ones_like(x, shape=(2, 2)), lambda x: np.ones_like(x, shape=(2, 2))),
    (lambda ops, x: np.take(x, [2, 0], axis=1), lambda x: np.take(x, [2, 0], axis=1)),
    (lambda ops, x: np.take(x, [5, 0]), lambda x: np.take(x, [5, 0])),
]


def on_a_tape(program: Callable[[Any, Any], Any]) -> Any:
    m = tl.TapeM(dtype="float64")
    return program(m, m.leaf(X)).value


def in_a_session(program: Callable[[Any, Any], Any], backend: str) -> Any:
    s = tl.Session(dtype="float64", backend=backend)
    return program(s, s.input(X)).value


FACES: dict[str, Callable[[Callable[[Any, Any], Any]], Any]] = {
    "tape": on_a_tape,
    "session": lambda f: in_a_session(f, "eager"),
    "compiled session": lambda f: in_a_session(f, "compiled"),
    "jit": lambda f: tl.jit(lambda ops, x: f(ops, x))(X),
    "compile_out": lambda f: tl.compile_out(lambda ops, x: f(ops, x), [X.shape], "float64")(X),
    "plain function": lambda f: tl.jit(lambda x: f(tl, x))(X),
    "dual": lambda f: tl.jvp(lambda ops, x: f(ops, x), (X,), (X,))[0],
    "reference": lambda f: f(r := tl.backends.Reference("float64"), r.leaf(X)).value,
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("k", range(len(CASES)))
def test_values(k: int, face: str) -> None:
    program, in_numpy = CASES[k]
    result, expected = FACES[face](program), in_numpy(X)
    dtype = str(expected.dtype)
    if face == "reference":
        # Numbers have one float type there, and integers one width.
        dtype = "float64" if dtype == "float32" else dtype
    assert (result.dtype, result.shape) == (dtype, expected.shape)
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-7 if "float32" in str(expected.dtype) else 1e-15, atol=1e-16)


@pytest.mark.parametrize("k", range(len(CASES)))
def test_eager_is_compiled(k: int) -> None:
    """Bit for bit, and as nodes of one op each on a `Tape` of ids."""
    program, _ = CASES[k]
    for dtype in ("float32", "float64"):
        ops = tl.TapeM(dtype=dtype)
        eager = program(ops, ops.leaf(X.astype(dtype))).value
        compiled = tl.compile_out(program, [X.shape], dtype)(X)
        assert (eager.dtype, np.asarray(eager).tobytes()) == (compiled.dtype, np.asarray(compiled).tobytes())


def test_explicit_tapes_take_ids() -> None:
    t, i = tl.Tape(dtype="float64").zeros((2, 2))
    t, j = t.astype(i, "int32")
    t, k = t.ones_like(j)
    t, n = t.one_hot([1, 0], 2, dtype="int64")
    assert [t.get_value(x).dtype for x in (i, j, k, n)] == ["float64", "int32", "int32", "int64"]
    assert t.size == 5 and t.get_value(k).tolist() == [[1, 1], [1, 1]]
    same, i_again = t.astype(i, "float64")
    assert i_again == i and same.size == t.size


def test_outside_of_a_program_they_are_values() -> None:
    assert [type(tl.zeros(2)), type(tl.arange(3)), type(tl.astype([1.5], int))] == [tl.AnyTensor] * 3
    assert (tl.ones(2).dtype, tl.ones(2, float).dtype, tl.arange(2.0).dtype) == ("float32", "float64", "float32")
    assert tl.astype(np.array([(1 << 53) + 1]), "int64").tolist() == [(1 << 53) + 1]
    assert tl.arange(4).astype(bool).tolist() == [False, True, True, True]


def test_the_running_program_has_them() -> None:
    g = tl.grad(lambda x: tl.sum(x * tl.arange(1, 4) * tl.full(3, 2.0)))(np.ones(3))
    assert g.tolist() == [2, 4, 6] and g.dtype == "float64"
    s = tl.Session()
    x = s.input(np.ones(3))
    assert tl.zeros_like(x).ops is s and tl.one_hot(s.add_leaf(tl.arange(3)), 3).ops is s


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_gradients_of_conversions(source: str, target: str) -> None:
    ops = EagerOps("float64")
    x = ops.add_leaf(tl.AnyTensor(np.array([1, 2, 3], source)), True)
    y = ops.sum(ops.mul(ops.astype(x, target), [1.0, 2.0, 3.0]))
    found = ops.store.backward(y.id, tl.AnyTensor(np.ones((), y.dtype)))[x.id]
    if source.startswith("float") and target.startswith("float"):
        assert found is not None and found.dtype == source and found.tolist() == [1, 2, 3]
    else:
        assert found is None


def test_second_derivatives_of_a_conversion() -> None:
    x = np.array([1.0, 2.0])
    (found,) = tl.hvp(lambda x: tl.sum(tl.astype(x, "float32") ** 3), (x,), (np.ones(2),))
    np.testing.assert_allclose(found, 6 * x)
    np.testing.assert_allclose(tl.jvp(lambda x: x.astype("float32"), (x,), (np.ones(2),))[1], [1, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_an_integer_cannot_hold(dtype: str) -> None:
    x = np.array([math.nan, math.inf, -math.inf, 1e30, -1e30, 2.0**31, -(2.0**31), -0.9, 0.9], dtype)
    for whole, bits in (("int32", 31), ("int64", 63)):
        least = -(2**bits)
        expected = [least] * 5 + ([least] if bits == 31 else [2**31]) + [-(2**31), 0, 0]
        assert tl.astype(x, whole).tolist() == expected
        assert tl.jit(lambda x, whole=whole: x.astype(whole))(x).tolist() == expected
    assert tl.astype(x, bool).all()


numbers = st.integers(-40, 40)


@given(numbers, numbers, numbers.filter(bool), st.sampled_from([None, "int64", "int32", "float32", "float64"]))
def test_ranges_of_integers(start: int, stop: int, step: int, dtype: str | None) -> None:
    found, expected = tl.arange(start, stop, step, dtype), np.arange(start, stop, step, dtype)
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0.05, 9) | st.floats(-9, -0.05))
def test_ranges_of_floats(start: float, stop: float, step: float) -> None:
    found, expected = tl.arange(start, stop, step, "float64"), np.arange(start, stop, step)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-14)


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30), st.integers(0, 40), st.booleans())
def test_numbers_between_two(start: float, stop: float, num: int, endpoint: bool) -> None:
    found, expected = tl.linspace(start, stop, num, endpoint, "float64"), np.linspace(start, stop, num, endpoint)
    assert np.asarray(found).tobytes() == expected.tobytes()
    if endpoint and num > 1:
        single = tl.linspace(start, stop, num)
        assert (single[0], single[-1]) == (np.float32(start), np.float32(stop))


@given(st.integers(0, 6), st.none() | st.integers(0, 6), st.integers(-8, 8), st.sampled_from(DTYPES))
def test_diagonals(n: int, m: int | None, k: int, dtype: str) -> None:
    found = tl.eye(n, m, k, dtype)
    assert found.dtype == dtype and found.tolist() == np.eye(n, m, k, dtype).tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: tl.zeros((-1,)), "zeros: a size must be at least 0"),
        (lambda: tl.zeros(2.5), "zeros: a shape must be"),
        (lambda: tl.ones(2, "int8"), "ones: dtype must be one of"),
        (lambda: tl.full(2, "one"), "full: "),
        (lambda: tl.full(2, 1 << 40, "int32"), "full: value must fit int32"),
        (lambda: tl.full((2,), np.ones(3)), "full: "),
        (lambda: tl.eye(-1), "eye: n and m must be at least 0"),
        (lambda: tl.eye(2, k=0.5), "eye: k must be an int"),
        (lambda: tl.arange(1, 2, 0), "arange: step must not be 0"),
        (lambda: tl.arange(math.inf), "arange: stop must be a finite plain number"),
        (lambda: tl.arange(tl.Session().input(3.0)), "arange: stop must be a plain number"),
        (lambda: tl.arange(2, dtype=bool), "arange: dtype must be one of numbers"),
        (lambda: tl.linspace(0, 1, -1), "linspace: num must be at least 0"),
        (lambda: tl.linspace(0, 1, 2.5), "linspace: num must be an int"),
        (lambda: tl.linspace(0, 1, 3, dtype=int), "linspace: dtype must be a float dtype"),
        (lambda: tl.astype([1.0], "complex64"), "astype: dtype must be one of"),
        (lambda: tl.astype([1.0], None), "astype: dtype must be a dtype"),
        (lambda: tl.astype(None, int), "astype: an array is required"),
        (lambda: tl.one_hot([0.5], 2), "one_hot: "),
        (lambda: tl.one_hot([0], 2, axis=4), "one_hot: axis 4 is out of range"),
        (lambda: tl.one_hot([0], 2, axis=0.5), "one_hot: axis must be an int"),
        (lambda: tl.one_hot([0], -2), "one_hot: num_classes must be at least 0"),
    ],
)
def test_errors_name_the_function(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(tl.TleanError, match=f"^{text}"):
        call()


def test_large_arrays_of_a_plan_are_not_made_at_each_call() -> None:
    f = tl.jit(lambda x: x + tl.arange(100_000) + tl.zeros_like(x))
    x = np.ones(100_000)
    assert np.array_equal(f(x), x + np.arange(100_000)) and np.array_equal(f(x), f(x))
    graph = Graph("float64")
    graph.outputs = [graph.arange(100_000).id, graph.eye(50, dtype="int64").id]
    folded = fold(graph)
    assert not folded.nodes and [t.dtype for t in folded.constants.values()] == ["int64", "int64"]


def test_replayed_constants_keep_their_dtype() -> None:
    graph = Graph("float32")
    third = tl.AnyTensor(np.array([1 / 3]))
    graph.outputs = [graph.scale(graph._own_constant(third), 1.0).id]
    (found,) = replay(graph, EagerOps("float32"), [])
    assert found.dtype == "float64" and found.value.tolist() == [1 / 3]
