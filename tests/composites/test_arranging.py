"""Ops that arrange, repeat and cut arrays: NumPy's values for every dtype, gradients by where each element goes, the same bits compiled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean.interpreters.dual import Dual
from tlean.interpreters.eager import EagerOps
from tlean.reference.interpreter import Reference

few = settings(max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
DTYPES = ("float32", "float64", "int64", "int32", "bool")


def axes_of(draw, n, least=0):
    """Some different axes of n, a few counted from the end."""
    if not n:
        return ()
    axes = draw(st.lists(st.integers(0, n - 1), min_size=least, max_size=n, unique=True))
    return tuple(k - n if draw(st.booleans()) else k for k in axes)


def one_axis(draw, n):
    return draw(st.integers(-n, n - 1))


@st.composite
def calls(draw):
    """An op, the shape of its array, its arguments, and NumPy's function of the same meaning."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 4]), max_size=5)))
    n = len(shape)
    names = ["expand_dims", "squeeze", "moveaxis", "flip", "roll", "roll_all", "tile", "repeat_all"]
    names += ["swapaxes", "repeat", "repeat_each", "split", "split_at", "chunk"] if n else []
    names += ["diagonal", "tril", "triu"] if n > 1 else []
    names += ["diag"] if n in (1, 2) else []
    name = draw(st.sampled_from(names))
    whole = st.integers(-6, 6)
    if name == "expand_dims":
        axis = axes_of(draw, n + 2)[:2]
        axis = tuple({a % (n + len(axis)): a for a in (k % (n + len(axis)) for k in axis)}) if axis else ()
        return name, shape, (axis,), lambda x: np.expand_dims(x, axis)
    if name == "squeeze":
        ones = tuple(k for k, d in enumerate(shape) if d == 1)
        axis = draw(st.sampled_from([None, ones, ones[:1]]))
        return name, shape, (axis,), lambda x: np.squeeze(x, axis)
    if name == "moveaxis":
        source = axes_of(draw, n)
        destination = draw(st.permutations(range(n)))[: len(source)]
        return name, shape, (source, destination), lambda x: np.moveaxis(x, source, destination)
    if name == "swapaxes":
        a, b = one_axis(draw, n), one_axis(draw, n)
        return name, shape, (a, b), lambda x: np.swapaxes(x, a, b)
    if name == "flip":
        axis = draw(st.sampled_from([None, axes_of(draw, n)]))
        return name, shape, (axis,), lambda x: np.flip(x, axis)
    if name == "roll":
        axis = axes_of(draw, n, 1) or 0
        shift = 0 if axis == 0 else tuple(draw(whole) for _ in axis)
        return name, shape, (shift, axis or None), lambda x: np.roll(x, shift, axis or None)
    if name == "roll_all":
        shift = draw(whole)
        return "roll", shape, (shift,), lambda x: np.roll(x, shift)
    if name == "tile":
        reps = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
        return name, shape, (reps,), lambda x: np.tile(x, reps)
    if name == "repeat_all":
        count = draw(st.integers(0, 3))
        return "repeat", shape, (count,), lambda x: np.repeat(x, count)
    if name in ("repeat", "repeat_each"):
        axis = one_axis(draw, n)
        count = draw(st.integers(0, 3)) if name == "repeat" else [draw(st.integers(0, 2)) for _ in range(shape[axis])]
        return "repeat", shape, (count, axis), lambda x: np.repeat(x, np.asarray(count, int), axis)
    if name == "split":
        axis = one_axis(draw, n)
        parts = draw(st.sampled_from([k for k in range(1, 5) if shape[axis] % k == 0]))
        return name, shape, (parts, axis), lambda x: np.split(x, parts, axis)
    if name == "split_at":
        axis = one_axis(draw, n)
        at = tuple(draw(st.lists(whole, max_size=3)))
        return "split", shape, (at, axis), lambda x: np.split(x, np.asarray(at, int), axis)
    if name == "chunk":
        axis, count = one_axis(draw, n), draw(st.integers(1, 5))
        each = max(1, -(-shape[axis] // count))
        edges = list(range(each, shape[axis], each)) if shape[axis] else [0] * (count - 1)
        return name, shape, (count, axis), lambda x: np.split(x, np.asarray(edges, int), axis)
    k = draw(whole)
    if name == "diagonal":
        a, b = axes_of(draw, n, 2)[:2]
        return name, shape, (k, a, b), lambda x: np.diagonal(x, k, a, b)
    return name, shape, (k,), lambda x: getattr(np, name)(x, k)


def results(made):
    return made if isinstance(made, tuple | list) else [made]


def bits(x):
    x = np.asarray(x)
    return x.shape, x.dtype, x.tobytes()


def eagerly(name, arrays, *arguments, **options):
    """The values of an op on references, which have the dtypes of their arrays."""
    ops = EagerOps("float64")
    made = getattr(ops, name)(*(ops.add_leaf(tl.AnyTensor(a), False) for a in arrays), *arguments, **options)
    return tuple(y.value for y in made) if isinstance(made, tuple) else made.value


@few
@given(calls(), st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_values_are_numpys(call, dtype, seed):
    name, shape, arguments, expected = call
    x = np.array(np.random.default_rng(seed).integers(-50, 50, shape), dtype)
    wanted = [bits(y) for y in results(expected(x))]
    assert [bits(y) for y in results(eagerly(name, [x], *arguments))] == wanted
    compiled = tl.jit(lambda ops, x: getattr(ops, name)(x, *arguments))
    if dtype != "int32":
        # `jit` widens these.
        assert [bits(y) for y in results(compiled(x))] == wanted
    if dtype == "float64":
        on_reference = getattr(Reference(), name)(x, *arguments)
        assert [bits(y.value) for y in results(on_reference)] == wanted


@few
@given(calls(), st.integers(0, 2**32 - 1))
def test_gradients_go_where_the_elements_came_from(call, seed):
    name, shape, arguments, expected = call
    rng = np.random.default_rng(seed)
    # Which element each entry of a result is, -1 for a zero.
    sources = [np.asarray(y) - 1 for y in results(expected(np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape)))]
    x, t = (np.array(rng.standard_normal(shape)) for _ in range(2))
    weights = [np.array(rng.integers(-9, 9, s.shape), float) for s in sources]
    wanted = np.zeros(x.size + 1)
    for source, w in zip(sources, weights, strict=True):
        np.add.at(wanted, source, w)

    def loss(ops, x):
        parts = [ops.sum(ops.mul(y, w)) for y, w in zip(results(getattr(ops, name)(x, *arguments)), weights, strict=True)]
        return ops.sum(ops.stack(parts)) if parts else ops.sum(ops.scale(x, 0.0))

    assert np.array_equal(np.asarray(tl.grad(loss)(x)), wanted[:-1].reshape(shape))
    m = tl.TapeM(dtype="float64")
    ref = m.leaf(x)
    grads = m.backward(loss(m, ref), 1.0)
    assert np.array_equal(np.asarray(grads[ref.id]), wanted[:-1].reshape(shape))
    ops = EagerOps("float64")
    dual = Dual(ops)
    tangents = [np.asarray(d.tangent) for d in results(getattr(dual, name)(dual.lift(ops.const(x), ops.const(t)), *arguments))]
    assert [bits(d) for d in tangents] == [bits(y) for y in results(expected(t))]


@few
@given(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4), st.sampled_from(["xy", "ij"]), st.booleans(), st.sampled_from(DTYPES))
def test_meshgrid(sizes, indexing, sparse, dtype):
    axes = [np.arange(n).astype(dtype) + k for k, n in enumerate(sizes)]
    wanted = [bits(np.ascontiguousarray(g)) for g in np.meshgrid(*axes, indexing=indexing, sparse=sparse)]
    if axes:
        assert [bits(g) for g in eagerly("meshgrid", axes, indexing=indexing, sparse=sparse)] == wanted


@st.composite
def products(draw):
    small = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3)
    return draw(st.sampled_from(["outer", "kron", "tensordot"])), tuple(draw(small)), tuple(draw(small)), draw(st.integers(0, 2**32 - 1))


@few
@given(products(), st.data())
def test_products(call, data):
    name, first, second, seed = call
    rng = np.random.default_rng(seed)
    arguments = ()
    if name == "tensordot":
        pairs = data.draw(st.integers(0, min(len(first), len(second))))
        mine = data.draw(st.permutations(range(len(first))))[:pairs]
        theirs = data.draw(st.permutations(range(len(second))))[:pairs]
        second = tuple(first[mine[theirs.index(k)]] if k in theirs else d for k, d in enumerate(second))
        arguments = ((mine, theirs),)
        if data.draw(st.booleans()) and pairs and first[-1:] == second[:1]:
            arguments = (1,)
    # Small integers: sums are exact in any order.
    a, b = (np.array(rng.integers(-4, 5, s), float) for s in (first, second))
    expected = getattr(np, name)(a, b, *arguments)
    assert np.array_equal(np.asarray(getattr(tl, name)(a, b, *arguments)), expected)
    assert np.array_equal(np.asarray(tl.jit(lambda ops, a, b: getattr(ops, name)(a, b, *arguments))(a, b)), expected)
    w = np.array(rng.integers(-4, 5, np.shape(expected)), float)

    def loss(ops, a, b):
        return ops.sum(ops.mul(getattr(ops, name)(a, b, *arguments), w))

    da, db = (np.asarray(g) for g in tl.grad(loss, argnums=(0, 1))(a, b))
    for k in range(min(a.size, 3)):
        one = np.zeros(a.size)
        one[k] = 1
        assert da.reshape(-1)[k] == np.sum(getattr(np, name)(one.reshape(a.shape), b, *arguments) * w)
    for k in range(min(b.size, 3)):
        one = np.zeros(b.size)
        one[k] = 1
        assert db.reshape(-1)[k] == np.sum(getattr(np, name)(a, one.reshape(b.shape), *arguments) * w)


@st.composite
def padded(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    widths = [(draw(st.integers(0, 9)), draw(st.integers(0, 9))) for _ in shape]
    return shape, widths, draw(st.sampled_from(["reflect", "symmetric", "edge", "wrap"])), draw(st.sampled_from(DTYPES))


@few
@given(padded())
def test_pad_by_is_numpys(call):
    shape, widths, mode, dtype = call
    x = np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape)
    expected = np.pad(x, widths, mode) if shape else x
    other = {"edge": "replicate", "wrap": "circular"}.get(mode, mode)
    assert bits(eagerly("pad_by", [x.astype(dtype)], widths, other)) == bits(expected.astype(dtype))
    w = np.array(np.random.default_rng(0).integers(-9, 9, expected.shape), float)
    wanted = np.zeros(x.size + 1)
    np.add.at(wanted, expected, w)

    def loss(ops, x):
        return ops.sum(ops.mul(ops.pad_by(x, widths, mode), w))

    assert np.array_equal(np.asarray(tl.grad(loss)(x.astype(float))), wanted[1:].reshape(shape))
    if shape:
        assert bits(np.pad(tl.AnyTensor(x.astype(float)), widths, mode)) == bits(expected.astype(float))


@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((2, 3, 5, 6), (2, 3), {}),
        ((3, 5, 6), (3, 2), {"stride": (2, 1), "padding": (1, 0)}),
        ((1, 2, 9), (3,), {"dilation": 2, "padding": 4}),
        ((2, 4, 4, 4), (2, 2, 1), {"stride": 2, "dilation": (1, 2, 1)}),
        ((2, 2, 2, 3, 3), (2, 2), {}),
    ],
)
def test_unfold(shape, kernel, options, dtype):
    d = len(kernel)
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    stride, padding, dilation = (np.broadcast_to(options.get(k, v), d) for k, v in (("stride", 1), ("padding", 0), ("dilation", 1)))
    padded = np.pad(x, [(0, 0)] * (x.ndim - d) + [(p, p) for p in padding])
    outs = [(n - g * (k - 1) - 1) // s + 1 for n, k, s, g in zip(padded.shape[-d:], kernel, stride, dilation, strict=True)]
    columns = []
    for cell in np.ndindex(*kernel):
        window = tuple(slice(c * g, c * g + (o - 1) * s + 1, s) for c, g, o, s in zip(cell, dilation, outs, stride, strict=True))
        columns.append(padded[(..., *window)].reshape(*shape[:-d], -1))
    expected = np.stack(columns, axis=-2).reshape(*shape[: -d - 1], shape[-d - 1] * int(np.prod(kernel)), -1)
    assert bits(eagerly("unfold", [x], kernel, **options)) == bits(expected)
    if dtype == "float64":
        w = np.random.default_rng(0).integers(-5, 5, expected.shape).astype(float)
        gradient = tl.grad(lambda ops, x: ops.sum(ops.mul(ops.unfold(x, kernel, **options), w)))(x)
        # The transpose identity, in whole numbers.
        assert np.sum(np.asarray(gradient) * x) == np.sum(expected * w)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda o, x: o.squeeze(x, 1), tl.ShapeError),
        (lambda o, x: o.expand_dims(x, (0, 0)), tl.OptionError),
        (lambda o, x: o.expand_dims(x, 5), tl.IndexRangeError),
        (lambda o, x: o.moveaxis(x, (0, 1), 0), tl.OptionError),
        (lambda o, x: o.flip(x, 2), tl.IndexRangeError),
        (lambda o, x: o.flip(x, "a"), tl.OptionError),
        (lambda o, x: o.roll(x, (1, 2, 3), (0, 1)), tl.OptionError),
        (lambda o, x: o.roll(x, 0.5), tl.OptionError),
        (lambda o, x: o.tile(x, -1), tl.OptionError),
        (lambda o, x: o.tile(x, x), tl.OptionError),
        (lambda o, x: o.repeat(x, [1, 2], 1), tl.ShapeError),
        (lambda o, x: o.split(x, 4, 1), tl.ShapeError),
        (lambda o, x: o.chunk(x, 0), tl.OptionError),
        (lambda o, x: o.diagonal(x, 0, 0, 0), tl.OptionError),
        (lambda o, x: o.diagonal(o.sum(x)), tl.ShapeError),
        (lambda o, x: o.diag(o.sum(x)), tl.ShapeError),
        (lambda o, x: o.tensordot(x, x, 1), tl.ShapeError),
        (lambda o, x: o.tensordot(x, x, 3), tl.OptionError),
        (lambda o, x: o.meshgrid(x), tl.ShapeError),
        (lambda o, x: o.meshgrid(o.sum(x), indexing="yx"), tl.OptionError),
        (lambda o, x: o.unfold(x, 2), tl.OptionError),
        (lambda o, x: o.pad_by(x, [(1, 1)]), tl.OptionError),
        (lambda o, x: o.pad_by(x, [(1, 1), (0, -1)]), tl.OptionError),
        (lambda o, x: o.pad_by(x, [(1, 1), (0, 0)], "mirror"), tl.OptionError),
        (lambda o, x: o.pad_by(o.slice(x, (0, 0), (0, 3)), [(1, 1), (0, 0)]), tl.ShapeError),
        (lambda o, x: o.unfold(x, (2, 2)), tl.ShapeError),
        (lambda o, x: o.unfold(x, (4,)), tl.ShapeError),
    ],
)
def test_errors_name_the_op_and_its_arguments(call, error):
    ops = EagerOps("float32")
    with pytest.raises(error, match=r"^[a-z_]+: .*got "):
        call(ops, ops.const(np.zeros((2, 3), np.float32)))


NUMPY = [
    lambda x: np.expand_dims(x, (0, -1)),
    lambda x: np.squeeze(np.expand_dims(x, 1), axis=1),
    lambda x: np.moveaxis(x, source=0, destination=-1),
    lambda x: np.swapaxes(x, 0, 2),
    lambda x: np.tile(x, (2, 1)),
    lambda x: np.repeat(x, [1, 0, 2], axis=2),
    lambda x: np.roll(x, (1, 2), axis=(0, 2)),
    lambda x: np.flip(x, axis=1),
    lambda x: np.fliplr(x) + np.flipud(x),
    lambda x: np.split(x, 3, axis=2)[1],
    lambda x: np.split(x, indices_or_sections=[1], axis=0)[1],
    lambda x: np.tril(x, k=1) + np.triu(x, -1),
    lambda x: np.diag(x[0], k=1) if x[0].ndim == 2 else np.diag(x[0, 0]),
    lambda x: np.diag(x[0, 0], k=-1),
    lambda x: np.diagonal(x, axis1=1, axis2=2),
    lambda x: np.trace(x, offset=1),
    lambda x: np.outer(x, x[0]),
    lambda x: np.kron(x[0], x[:, 0]),
    lambda x: np.tensordot(x, x, axes=((0, 2), (0, 2))),
    lambda x: np.inner(x, x[0]),
    lambda x: np.dot(x, x.transpose(0, 2, 1)),
    lambda x: np.stack(np.meshgrid(x[0, 0], x[1, 1], indexing="ij")),
    lambda x: x.repeat(2, axis=0) - x.repeat(2, 0),
    lambda x: x.diagonal(1, 0, 2),
    lambda x: x.trace(),
    lambda x: x.squeeze() + x.swapaxes(-1, -1),
]


@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize("k", range(len(NUMPY)))
def test_numpys_functions(k, dtype):
    x = (np.arange(24).reshape(4, 2, 3) % 7 - 3).astype(dtype)
    expected = NUMPY[k](x)
    of_array = NUMPY[k](tl.AnyTensor(x))
    assert np.array_equal(np.asarray(of_array), expected)
    traced = tl.jit(lambda x: NUMPY[k](x))(x)
    assert np.array_equal(np.asarray(traced), expected)
    assert isinstance(NUMPY[k](tl.TapeM(dtype="float64").leaf(x)), tl.Ref)
