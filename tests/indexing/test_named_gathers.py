"""Named gathers, scatters, segment reductions and dynamic slices against NumPy: values, gradients, run-time indices, errors."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl
from tlean.backends import Reference
from tlean.errors import IndexRangeError, OptionError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5))
IDS = np.array([2, 0, 2, 2, 0, 4])
ROWS = RNG.standard_normal((6, 3))


def put(x, i, v, axis):
    y = np.array(x)
    np.put_along_axis(y, i, v, axis)
    return y


def added(shape, key, v):
    y = np.zeros(shape)
    np.add.at(y, key, v)
    return y


def extremum(op, start):
    def segments(x, i):
        y = np.full((5, *x.shape[1:]), start)
        op.at(y, i, x)
        return y

    return segments


ALONG = np.array([[[0, 1, -1, 2, 0]], [[2, 2, 0, -3, 1]]]).transpose(1, 0, 2)
TUPLES = np.array([[[0, 1], [2, -1]], [[0, 1], [1, 3]], [[-1, 0], [0, 1]]])
V = RNG.standard_normal((2, 2, 3))

#: Name: the program of float arguments and indices, the same in NumPy, the float arguments, the indices.
CASES = {
    "take_along_axis": (
        lambda ops, x, i: ops.take_along_axis(x, i, 1), lambda x, i: np.take_along_axis(x, i, 1), (X,), RNG.integers(-4, 4, (3, 7, 5)),
    ),
    "take_along_axis, broadcast": (
        lambda ops, x, i: ops.take_along_axis(x, i, 0), lambda x, i: np.take_along_axis(x, i, 0), (X[:, :1],),
        RNG.integers(0, 3, (2, 4, 1)),
    ),
    "put_along_axis": (
        lambda ops, x, v, i: ops.put_along_axis(x, i, v, 2), lambda x, v, i: put(x, i, v, 2), (X, X[:, :, :2] + 1),
        RNG.integers(-5, 5, (3, 4, 2)),
    ),
    "put_along_axis, add": (
        lambda ops, x, v, i: ops.put_along_axis(x, i, v, 0, "add"),
        lambda x, v, i: x + added(x.shape, (i, np.arange(4)[:, None], np.arange(5)), np.broadcast_to(v, i.shape)), (X, X[0, :1]),
        RNG.integers(0, 3, (2, 4, 5)),
    ),
    "gather_nd": (lambda ops, x, i: ops.gather_nd(x, i), lambda x, i: x[i[..., 0], i[..., 1]], (X,), TUPLES),
    "gather_nd, whole": (
        lambda ops, x, i: ops.gather_nd(x, i), lambda x, i: x[tuple(np.moveaxis(i, -1, 0))], (X,), RNG.integers(-3, 3, (4, 3)),
    ),
    "scatter_nd": (
        lambda ops, v, i: ops.scatter_nd(v, i, (3, 4, 5)), lambda v, i: added((3, 4, 5), (i[..., 0], i[..., 1]), v),
        (RNG.standard_normal((3, 2, 5)),), TUPLES,
    ),
    "segment_sum": (lambda ops, x, i: ops.segment_sum(x, i, 5), lambda x, i: added((5, 3), i, x), (ROWS,), IDS),
    "segment_mean": (
        lambda ops, x, i: ops.segment_mean(x, i, 5), lambda x, i: added((5, 3), i, x) / np.maximum(np.bincount(i, minlength=5), 1)[:, None],
        (ROWS,), IDS,
    ),
    "segment_max": (lambda ops, x, i: ops.segment_max(x, i, 5), extremum(np.maximum, -np.inf), (ROWS,), IDS),
    "segment_min": (lambda ops, x, i: ops.segment_min(x, i, 5), extremum(np.minimum, np.inf), (ROWS,), IDS),
    "dynamic_slice": (
        lambda ops, x, i: ops.dynamic_slice(x, i, (2, 1, 3)), lambda x, i: x[i[0] : i[0] + 2, i[1] : i[1] + 1, i[2] : i[2] + 3], (X,),
        np.array([1, 3, 0]),
    ),
    "dynamic_slice, from the end": (
        lambda ops, x, i: ops.dynamic_slice(x, (i, 0, 2), (1, 4, 3)), lambda x, i: x[i:][:, :, 2:5], (X,), np.array(-1),
    ),
    "dynamic_update_slice": (
        lambda ops, x, v, i: ops.dynamic_update_slice(x, v, i), lambda x, v, i: put_box(x, v, i), (X, V), np.array([0, 2, 1]),
    ),
}  # fmt: skip


def put_box(x, v, at):
    y = np.array(x)
    y[tuple(slice(a, a + n) for a, n in zip(at, v.shape, strict=True))] = v
    return y


@pytest.mark.parametrize("constant", [False, True], ids=["run-time indices", "constant indices"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name, constant, step=1e-6):
    program, plain, floats, i = CASES[name]
    expected = plain(*floats, i)
    g = RNG.standard_normal(expected.shape)
    t = [RNG.standard_normal(x.shape) for x in floats]
    ends = [plain(*(x + s * d for x, d in zip(floats, t, strict=True)), i) for s in (step, -step)]
    with np.errstate(invalid="ignore"):
        slope = np.nan_to_num((ends[0] - ends[1]) / (2 * step))
    f = (lambda ops, *xs: program(ops, *xs, i)) if constant else program
    arguments = floats if constant else (*floats, i)
    bits = set()
    for backend in ("eager", "compiled"):
        y, pull = tl.vjp(f, *arguments, backend=backend)
        np.testing.assert_allclose(y, expected, rtol=1e-13)
        pulled = pull(g)
        pulled = list(pulled)[: len(floats)] if isinstance(pulled, tuple | list) else [pulled]
        total = sum((np.asarray(d) * v).sum() for d, v in zip(pulled, t, strict=True))
        np.testing.assert_allclose(total, (g * slope).sum(), rtol=1e-6)
        bits.add(b"".join(np.asarray(d).tobytes() for d in [y, *pulled]))
        tangents = (*t,) if constant else (*t, None)
        np.testing.assert_allclose(tl.jvp(f, arguments, tangents, backend=backend)[1], slope, rtol=1e-5, atol=1e-7)
    assert len(bits) == 1
    reference = Reference()
    np.testing.assert_allclose(program(reference, *map(reference.leaf, floats), i).value, expected, rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_indices_out_of_range(name):
    program, _, floats, i = CASES[name]
    compiled = tl.jit(program)
    for wrong in (i + 9, i - 9):
        with pytest.raises(IndexRangeError):
            program(tl.TapeM(), *floats, wrong)
        with pytest.raises(IndexRangeError):
            compiled(*floats, wrong)
    compiled(*floats, i)


def test_modes():
    x = np.arange(5.0)
    assert tl.dynamic_slice(x, [9], (2,), "clip").tolist() == [3, 4]
    assert tl.dynamic_slice(x, [4], (2,), "fill").tolist() == [0, 0]
    assert tl.dynamic_update_slice(x, [7.0, 8], [9], "fill").tolist() == x.tolist()
    assert tl.dynamic_update_slice(x, [7.0, 8], [9], "clip").tolist() == [0, 1, 2, 7, 8]
    assert tl.segment_sum(x, [0, -1, 1, 7, 1], 2, "drop").tolist() == [0, 6]
    assert tl.gather_nd(x, [[9], [1]], "fill").tolist() == [0, 1]
    assert tl.scatter_nd([1.0, 2], [[9], [1]], (3,), "fill").tolist() == [0, 2, 0]
    assert tl.take_along_axis(x, [7, -2], mode="clip").tolist() == [4, 0]
    assert tl.put_along_axis(x, [7, -2, 0], 9.0, mode="fill").tolist() == [9, 1, 2, 9, 4]


def test_a_negative_segment_is_refused():
    with pytest.raises(IndexRangeError):
        tl.segment_sum([1.0, 2], [0, -1], 2)


BAD = [
    (lambda: tl.take_along_axis(X, [0], 0), ShapeError, r"take_along_axis: indices must have the 3 axes of x, got x: \(3, 4, 5\)"),
    (lambda: tl.take_along_axis(X, np.zeros((3, 2, 5), int), 0), ShapeError, "broadcast against x along every axis but axis 0"),
    (lambda: tl.gather_nd(X, np.zeros((2, 4), int)), ShapeError, "between 1 and 3 indices"),
    (lambda: tl.scatter_nd(X, [[0]], (3, 4)), ShapeError, r"updates must have the shape \(1, 4\)"),
    (lambda: tl.segment_sum(X, [0, 1], 2), ShapeError, "ids must have the shape of the first axes of x"),
    (lambda: tl.segment_sum(X, [0, 1, 1], 2, "wrap"), OptionError, "mode must be one of"),
    (lambda: tl.dynamic_slice(X, [0, 0], (1, 1, 1)), IndexRangeError, "one index for each of the 3 axes"),
    (lambda: tl.dynamic_slice(X, [0, 0, 0], (4, 1, 1)), ShapeError, "none longer than x"),
    (lambda: tl.put_along_axis(X, np.zeros((3, 4, 1), int), 0.0, how="pow"), OptionError, "what must be one of add, set, max, min"),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_free_functions_take_arrays(dtype):
    x, ids = np.arange(6.0, dtype=dtype).reshape(3, 2), np.array([1, 1, 0])
    for name, wanted in (("min", [[4, 5], [0, 1]]), ("max", [[4, 5], [2, 3]]), ("sum", [[4, 5], [2, 4]]), ("mean", [[4, 5], [1, 2]])):
        made = getattr(tl, f"segment_{name}")(x, ids, 2)
        assert made.dtype == dtype and made.tolist() == wanted
    assert tl.rand_uniform((2,), seed=1, dtype=x.dtype).dtype == dtype
