"""Geometry drawn at random: kernels against the reference definitions, gradients against differences of these in long double.

The examples are the same in every run.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tlean as tl
from tlean._core.array import as_tensor
from tlean.interpreters.eager import EagerOps
from tlean.ops import get
from tlean.reference.interpreter import Reference

few = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SEEDS = st.integers(0, 2**32 - 1)
DTYPES = st.sampled_from(["float32", "float64"])
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [None if s is None else rng.standard_normal(s) for s in shapes]


def distinct(seed, shape):
    """Values far enough apart that no maximum changes within a difference's step."""
    n = math.prod(shape)
    return (np.random.default_rng(seed).permutation(n).reshape(shape) - n / 2) / 8


def close(found, expected, tol, what):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, what
    if found.size:
        scale = max(np.abs(expected).max(), 1.0)
        assert np.abs(found - expected).max() <= tol * scale, what


def check(name, arrays, options, dtype, slopes=True, size=1):
    """The value of a call against the reference, and the gradient of each float input along a random direction.

    `size` is how many terms an element sums: rounding grows with its root.
    """
    record = get(name)
    rng = np.random.default_rng(5)
    whole = [n in record.whole_inputs for n in record.input_names(len(arrays))]
    given = [a if a is None or w else a.astype(dtype) for a, w in zip(arrays, whole, strict=True)]
    ops = EagerOps(dtype)
    refs = [a if a is None or w else ops.leaf(a) for a, w in zip(given, whole, strict=True)]
    y = ops.apply(name, tuple(refs), options)
    plain = Reference("longdouble")

    def definition(moved):
        exact = [a if a is None or w else a.astype(np.longdouble) for a, w in zip(moved, whole, strict=True)]
        return plain.apply(name, tuple(exact), options).value

    tol = TOLERANCE[dtype] * math.sqrt(size)
    close(y.numpy(), definition(given), tol, name)
    if not slopes or y.dtype != dtype:
        return
    g = rng.standard_normal(y.shape).astype(dtype)
    grads = ops.store.backward(y.id, as_tensor(g))
    step = np.longdouble(1e-6)
    for k, (r, a) in enumerate(zip(refs, given, strict=True)):
        if not isinstance(r, tl.TensorRef):
            continue
        t = rng.standard_normal(a.shape)
        ends = [definition([a.astype(np.longdouble) + s * step * t if j == k else b for j, b in enumerate(given)]) for s in (1, -1)]
        slope = float(((ends[0] - ends[1]) / (2 * step) * g).sum())
        d = np.zeros(a.shape) if grads[r.id] is None else grads[r.id].numpy().astype(np.float64)
        bound = max(100 * tol, 1e-8) * (1 + np.linalg.norm(d) * np.linalg.norm(t) + abs(slope))
        assert abs(float((d * t).sum()) - slope) <= bound, f"{name}: gradient by input {k}"


def fails(name, arrays, options, error):
    ops = EagerOps("float32")
    refs = [None if a is None else ops.leaf(a) for a in arrays]
    size = len(ops.store)
    with pytest.raises(error, match=name):
        ops.apply(name, tuple(refs), options)
    assert len(ops.store) == size


# Convolution --------------------------------------------------------------------------------------------------------------


def per_axis(draw, d, low, high):
    return tuple(draw(st.integers(low, high)) for _ in range(d))


@st.composite
def convolutions(draw):
    d = draw(st.integers(1, 3))
    kernel, stride, padding, dilation = (per_axis(draw, d, *r) for r in ((1, 3), (1, 3), (0, 2), (1, 2)))
    groups, ins, outs = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    least = [max(1, q * (k - 1) + 1 - 2 * p) for k, p, q in zip(kernel, padding, dilation, strict=True)]
    sizes = tuple(n + draw(st.integers(0, 9 if d < 3 else 3)) for n in least)
    batch = draw(st.sampled_from([(), (1,), (2,), (3,)]))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    w, b = (groups * outs, ins, *kernel), (groups * outs,) if draw(st.booleans()) else None
    return w, b, (*batch, groups * ins, *sizes), options, ins * math.prod(kernel)


@few
@given(convolutions(), SEEDS, DTYPES)
def test_conv(call, seed, dtype):
    w, b, x, options, terms = call
    check("conv2d" if len(w) == 4 and seed % 2 else "conv", normal(seed, w, b, x), options, dtype, size=terms)


@few
@given(convolutions(), st.data(), SEEDS, DTYPES)
def test_conv_transpose(call, data, seed, dtype):
    (o, i, *kernel), b, x, options, terms = call
    d, groups = len(kernel), options["groups"]
    extra = tuple(data.draw(st.integers(0, max(s, q) - 1)) for s, q in zip(options["stride"], options["dilation"], strict=True))
    sizes = zip(x[-d:], kernel, options["stride"], options["padding"], options["dilation"], extra, strict=True)
    assume(all((n - 1) * s - 2 * p + q * (k - 1) + e + 1 > 0 for n, k, s, p, q, e in sizes))
    # As many channels in as the convolution has; w is (in, out/groups, *kernel).
    shapes = (groups * i, o // groups, *kernel), None if b is None else (o,), x
    check("conv_transpose", normal(seed, *shapes), {**options, "output_padding": extra}, dtype, size=terms * o)


@few
@given(convolutions(), st.data())
def test_convolutions_that_do_not_fit(call, data):
    w, b, x, options, _ = call
    d = len(w) - 2
    axis = data.draw(st.integers(0, d - 1))
    reach = options["dilation"][axis] * (w[2 + axis] - 1) + 1
    small = list(x)
    small[len(x) - d + axis] = data.draw(st.integers(0, max(0, reach - 1 - 2 * options["padding"][axis])))
    assume(small[len(x) - d + axis] + 2 * options["padding"][axis] < reach)
    bad = data.draw(st.sampled_from(["kernel", "stride", "channels", "groups"]))
    arrays = [np.zeros(s) if s is not None else None for s in (w, b, x)]
    if bad == "kernel":
        arrays[2] = np.zeros(small)
    elif bad == "channels":
        arrays[2] = np.zeros((*x[: len(x) - d - 1], x[len(x) - d - 1] + 1, *x[len(x) - d :]))
    else:
        options = {**options, "stride": (0,) * d} if bad == "stride" else {**options, "groups": 0}
    fails("conv", arrays, options, (tl.ShapeError, tl.OptionError))


# Pools --------------------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw):
    d = draw(st.integers(1, 3))
    kernel = per_axis(draw, d, 1, 4 if d < 3 else 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    stride = draw(st.one_of(st.none(), st.just(per_axis(draw, d, 1, 3))))
    sizes = tuple(max(1, k - 2 * p) + draw(st.integers(0, 9 if d < 3 else 3)) for k, p in zip(kernel, padding, strict=True))
    lead = draw(st.sampled_from([(1,), (3,), (2, 1), (2, 3)]))
    return (*lead, *sizes), {"kernel": kernel, "stride": stride, "padding": padding}


@few
@given(pools(), SEEDS, DTYPES, st.sampled_from([-math.inf, 0.0, -1.0]))
def test_max_pool(call, seed, dtype, pad_value):
    shape, options = call
    # Padding that can win ties with a value of the array where both are 0: keep the array off it.
    check("max_pool", [distinct(seed, shape) + 1 / 32], {**options, "pad_value": pad_value}, dtype)


@few
@given(pools(), SEEDS, DTYPES)
def test_avg_pool(call, seed, dtype):
    shape, options = call
    check("avg_pool", normal(seed, shape), options, dtype)


@few
@given(pools(), SEEDS, DTYPES, st.sampled_from([0.5, 3.0, -2.0, 50.0]))
def test_smooth_max_pool(call, seed, dtype, beta):
    shape, options = call
    check("smooth_max_pool", normal(seed, shape), {**options, "beta": beta}, dtype)


@few
@given(pools(), st.sampled_from(["kernel", "stride", "padding"]), st.sampled_from(["max_pool", "avg_pool", "smooth_max_pool"]))
def test_pools_that_do_not_fit(call, bad, name):
    shape, options = call
    d = len(options["kernel"])
    options = {**options, "beta": 1.0} if name == "smooth_max_pool" else {**options, "pad_value": 0.0} if name == "max_pool" else options
    if bad == "kernel":
        options = {**options, "kernel": tuple(n + 2 * p + 1 for n, p in zip(shape[-d:], options["padding"], strict=True))}
    elif bad == "stride":
        options = {**options, "stride": (0,) * d}
    else:
        options = {**options, "padding": tuple(k // 2 + 1 for k in options["kernel"])}
    fails(name, [np.zeros(shape)], options, (tl.ShapeError, tl.OptionError))


# Attention ------------------------------------------------------------------------------------------------------------------


@few
@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(["none", "shared", "each"]),
    st.booleans(),
    st.floats(0.0, 1.0),
    SEEDS,
    DTYPES,
)
def test_attention(lead, n, m, h, v, kind, causal, share, seed, dtype):
    lead = tuple(lead)
    q, k, w = normal(seed, (*lead, n, h), (*lead, m, h), (*lead, m, v))
    shape = {"none": None, "shared": (n, m), "each": (*lead, n, m)}[kind]
    # At a small share whole rows are blocked: they give zeros and take no gradient.
    mask = None if shape is None else np.random.default_rng(seed).random(shape) < share
    check("scaled_dot_product_attention", [q, k, w, mask], {"causal": causal}, dtype, size=m)


@few
@given(
    st.sampled_from([(), (2,)]),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.booleans(),
    SEEDS,
    DTYPES,
)
def test_multi_head_attention(batch, n, width, heads, size, masked, seed, dtype):
    inner = heads * size
    arrays = normal(seed, (width, inner), (width, inner), (width, inner), (inner, width), (*batch, n, width))
    mask = np.random.default_rng(seed).random((n, n)) < 0.6 if masked else None
    check("multi_head_attention", [*arrays, mask], {"num_heads": heads}, dtype, size=n * width * inner)


# Reductions and layouts --------------------------------------------------------------------------------------------------------

SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@st.composite
def reductions(draw):
    shape = draw(SHAPES)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape), unique=True))
    axes = [a - len(shape) if draw(st.booleans()) else a for a in axes]
    return shape, axes[0] if len(axes) == 1 and draw(st.booleans()) else tuple(axes)


@few
@given(reductions(), st.booleans(), st.sampled_from(["reduce_sum", "reduce_mean", "reduce_max"]), SEEDS, DTYPES)
def test_reductions(call, keepdims, name, seed, dtype):
    shape, axis = call
    array = distinct(seed, shape) if name == "reduce_max" else normal(seed, shape)[0]
    check(name, [array], {"axis": axis, "keepdims": keepdims}, dtype, size=math.prod(shape))


@few
@given(SHAPES, st.data(), st.sampled_from(["softmax", "log_softmax", "logsumexp", "cumsum", "argmax"]), SEEDS, DTYPES)
def test_along_an_axis(shape, data, name, seed, dtype):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(name, [distinct(seed, shape)], {"axis": axis}, dtype, slopes=name != "argmax", size=math.prod(shape))


@few
@given(SHAPES, st.data(), st.sampled_from(["reduce_sum", "softmax", "cumsum", "argmax"]), st.integers(1, 5))
def test_axes_out_of_range(shape, data, name, beyond):
    axis = data.draw(st.sampled_from([len(shape) - 1 + beyond, -len(shape) - beyond]))
    fails(name, [np.zeros(shape)], {"axis": axis, "keepdims": False} if name == "reduce_sum" else {"axis": axis}, tl.IndexRangeError)


@few
@given(SHAPES, st.booleans(), SEEDS, DTYPES)
def test_layer_norm(shape, affine, seed, dtype):
    assume(shape[-1] > 1)
    # At least two values, and no row of equal ones: the slope of 1/sqrt(variance + eps) is steep there.
    x = distinct(seed, shape)
    gamma, beta = normal(seed, shape[-1:], shape[-1:]) if affine else (None, None)
    check("layer_norm", [x, gamma, beta], {"eps": 1e-3}, dtype, size=10 * shape[-1])


@few
@given(SHAPES, st.data(), SEEDS, DTYPES)
def test_layouts(shape, data, seed, dtype):
    (x,) = normal(seed, shape)
    d = len(shape)
    check("permute", [x], {"axes": tuple(data.draw(st.permutations(range(d))))}, dtype)
    check("pad", [x], {"widths": tuple((data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in shape), "value": 1.5}, dtype)
    starts = tuple(data.draw(st.integers(0, n)) for n in shape)
    stops = tuple(data.draw(st.integers(a, n)) for a, n in zip(starts, shape, strict=True))
    check("slice", [x], {"starts": starts, "stops": stops, "steps": tuple(data.draw(st.integers(1, 3)) for _ in shape)}, dtype)
    lead = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2)))
    thin = tuple(1 if data.draw(st.booleans()) else n for n in shape)
    check("broadcast_to", normal(seed, thin), {"shape": (*lead, *shape), "axis_map": None}, dtype)
    axis = data.draw(st.integers(0, d - 1))
    others = [(*shape[:axis], data.draw(st.integers(0, 4)), *shape[axis + 1 :]) for _ in range(data.draw(st.integers(0, 3)))]
    check("concat", normal(seed, shape, *others), {"axis": axis}, dtype)


@few
@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
    SEEDS,
    DTYPES,
)
def test_matmul(lead, m, n, p, transpose_a, transpose_b, seed, dtype):
    a, b = (n, m) if transpose_a else (m, n), (p, n) if transpose_b else (n, p)
    arrays = normal(seed, (*lead, *a), (*lead, *b))
    check("matmul", arrays, {"transpose_a": transpose_a, "transpose_b": transpose_b}, dtype, size=n)


@few
@given(st.integers(1, 12), st.integers(1, 5), st.lists(st.integers(-3, 14), min_size=1, max_size=9), SEEDS, DTYPES)
def test_rows_by_natural_indices(rows, columns, idx, seed, dtype):
    check("gather_rows_nat", [*normal(seed, (rows, columns)), np.array(idx)], {}, dtype)
    check("gather_vec_nat", [*normal(seed, (rows,)), np.array(idx)], {}, dtype)
