"""Drawn geometries: for shapes, strides, paddings and axes that Hypothesis makes up, the kernels equal the reference definitions.

Forward values are compared element by element. The ops here are linear in their arrays one at a time, so the gradient is checked by the
transpose identity: ⟨g, op(x)⟩ = ⟨x, gradient⟩ for the array x, the others held.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean.reference.interpreter import Reference

DRAWN = settings(max_examples=40, deadline=None, derandomize=True)
sizes = st.integers(1, 6)
shapes = st.lists(st.integers(0, 5), min_size=0, max_size=4).map(tuple)
full_shapes = st.lists(sizes, min_size=1, max_size=4).map(tuple)


def check(op, *arrays, linear=True, **options):
    """One call on the kernels and on the reference; the gradient of each array by the transpose identity."""

    def program(ops, *xs):
        given = iter(xs)
        return getattr(ops, op)(*(None if a is None else next(given) for a in arrays), **options)

    present = [a for a in arrays if a is not None]
    rng = np.random.default_rng(1)
    y, pull = tl.vjp(program, *present)
    expected = program(Reference(), *present).value
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-11, atol=1e-12)
    if linear:
        g = rng.standard_normal(expected.shape)
        for k, (x, dx) in enumerate(zip(present, pull(g), strict=True)):
            # Linear in x but for a constant (a bias, a padding value): what x contributes is the difference to x = 0.
            without = program(Reference(), *(np.zeros_like(x) if i == k else a for i, a in enumerate(present))).value
            np.testing.assert_allclose(np.sum(x * dx.numpy()), np.sum(g * (expected - without)), rtol=1e-9, atol=1e-10)


def normal(*shape):
    return np.random.default_rng(abs(hash(shape)) % 2**32).standard_normal(shape)


@st.composite
def windows(draw, transposed=False):
    """Spatial sizes and options of a convolution whose kernel fits."""
    d = draw(st.integers(1, 3))
    found = {k: [] for k in ("size", "kernel", "stride", "padding", "dilation", "output_padding")}
    for _ in range(d):
        k, s, dil = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        span = dil * (k - 1) + 1
        p = draw(st.integers(0, (span - 1) // 2 if transposed else span))
        more = draw(st.integers(0, max(s, dil) - 1))
        n = draw(st.integers(1 if transposed else max(1, span - 2 * p), 7))
        for key, value in zip(found, (n, k, s, p, dil, more), strict=True):
            found[key].append(value)
    return {key: tuple(v) for key, v in found.items()}


leads = st.sampled_from([(), (1,), (3,)])


@DRAWN
@given(windows(), leads, st.sampled_from([(1, 2, 3), (2, 1, 2), (3, 2, 1)]), st.booleans())
def test_conv(window, lead, channels, bias):
    groups, c, o = channels
    w, b = normal(o * groups, c, *window["kernel"]), normal(o * groups) if bias else None
    options = {k: window[k] for k in ("stride", "padding", "dilation")}
    check("conv", w, b, normal(*lead, c * groups, *window["size"]), groups=groups, **options)


@DRAWN
@given(windows(transposed=True), leads, st.sampled_from([(1, 2, 3), (2, 1, 2), (3, 2, 1)]), st.booleans())
def test_conv_transpose(window, lead, channels, bias):
    groups, c, o = channels
    w, b = normal(c * groups, o, *window["kernel"]), normal(o * groups) if bias else None
    options = {k: window[k] for k in ("stride", "padding", "dilation", "output_padding")}
    out = [(n - 1) * s - 2 * p + e * (k - 1) + m + 1 for n, k, s, p, e, m in zip(*window.values(), strict=True)]
    if min(out) >= 1:
        check("conv_transpose", w, b, normal(*lead, c * groups, *window["size"]), groups=groups, **options)


@st.composite
def pools(draw):
    """Spatial sizes, kernel, stride and padding of a pool."""
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        k = draw(st.integers(1, 4))
        p = draw(st.integers(0, k // 2))
        axes.append((draw(st.integers(max(1, k - 2 * p), 8)), k, draw(st.integers(1, 4)), p))
    return tuple(zip(*axes, strict=True))


@DRAWN
@given(pools(), leads, st.sampled_from([-np.inf, 0.0, 0.5]))
def test_pools(pool, lead, pad_value):
    size, kernel, stride, padding = pool
    x = normal(*lead, 2, *size)
    options = {"kernel": kernel, "stride": stride, "padding": padding}
    check("avg_pool", x, **options)
    check("max_pool", x, linear=False, pad_value=pad_value, **options)
    check("smooth_max_pool", x, linear=False, beta=1.5, **options)


@DRAWN
@given(shapes, st.data())
def test_layout(shape, data):
    x = normal(*shape)
    check("permute", x, axes=tuple(data.draw(st.permutations(range(len(shape))))))
    check("pad", x, widths=tuple(data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape))
    starts = tuple(data.draw(st.integers(0, n)) for n in shape)
    stops = tuple(data.draw(st.integers(a, n)) for a, n in zip(starts, shape, strict=True))
    check("slice", x, starts=starts, stops=stops, steps=tuple(data.draw(st.integers(1, 3)) for _ in shape))


@DRAWN
@given(st.lists(sizes, min_size=0, max_size=4), st.data())
def test_broadcast(target, data):
    rank = data.draw(st.integers(0, len(target)))
    where = tuple(data.draw(st.permutations(range(len(target))))[:rank])
    shape = tuple(1 if data.draw(st.booleans()) else target[a] for a in where)
    check("broadcast_to", normal(*shape), shape=tuple(target), axis_map=where)


@DRAWN
@given(full_shapes, st.data())
def test_reductions(shape, data):
    x = normal(*shape)
    axes = tuple(data.draw(st.lists(st.integers(-len(shape), len(shape) - 1), unique_by=lambda a: a % len(shape))))
    keep = data.draw(st.booleans())
    check("reduce_sum", x, axis=axes, keepdims=keep)
    check("reduce_mean", x, axis=axes, keepdims=keep)
    check("reduce_max", x, linear=False, axis=axes, keepdims=keep)
    check("cumsum", x, axis=data.draw(st.integers(-len(shape), len(shape) - 1)))


@DRAWN
@given(full_shapes, st.data())
def test_softmax(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    for op in ("softmax", "log_softmax", "logsumexp"):
        check(op, normal(*shape), linear=False, axis=axis)


@DRAWN
@given(shapes, sizes, sizes, st.integers(0, 6), st.booleans(), st.booleans())
def test_matmul(lead, m, p, n, transpose_a, transpose_b):
    a = normal(*lead[:2], *((n, m) if transpose_a else (m, n)))
    b = normal(*lead[:2], *((p, n) if transpose_b else (n, p)))
    check("matmul", a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@DRAWN
@given(st.lists(sizes, max_size=2), sizes, sizes, sizes, sizes, st.booleans(), st.booleans())
def test_attention(lead, n, m, h, features, causal, masked):
    q, k, v = normal(*lead, n, h), normal(*lead, m, h), normal(*lead, m, features)
    mask = np.random.default_rng(n * m).random((n, m)) < 0.6 if masked else None
    y = tl.scaled_dot_product_attention(q, k, v, mask, causal=causal)
    expected = Reference().scaled_dot_product_attention(q, k, v, mask, causal=causal)
    np.testing.assert_allclose(y.numpy(), expected.value, rtol=1e-12, atol=1e-13)


@DRAWN
@given(st.lists(sizes, min_size=1, max_size=3), full_shapes, st.data())
def test_concat(along, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1)) % len(shape)
    arrays = [normal(*shape[:axis], n, *shape[axis + 1 :]) for n in along]

    def joined(ops, *xs):
        return ops.concat(xs, axis=axis)

    y, pull = tl.vjp(joined, *arrays)
    np.testing.assert_array_equal(y.numpy(), np.concatenate(arrays, axis))
    for dx, x in zip(pull(y.numpy()), arrays, strict=True):
        np.testing.assert_array_equal(dx.numpy(), x)
