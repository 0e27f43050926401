"""The convolution kernels of every instruction set that this machine runs, against the definition in NumPy float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import FLOATS, Call, last_cache_bytes, run_op, usable_instruction_sets

from tlean._core import threads

ISAS = usable_instruction_sets("conv")
both = pytest.mark.parametrize(("isa", "suffix"), [(i, s) for i in ISAS for s in FLOATS])


def windows(x, spatial, cell, stride, dilation):
    """The cells of padded x that kernel cell `cell` meets, one per window."""
    return x[(..., *(slice(c * r, c * r + (n - 1) * s + 1, s) for c, n, s, r in zip(cell, spatial, stride, dilation, strict=True)))]


def padded(x, padding):
    return np.pad(x, [(0, 0)] * (x.ndim - len(padding)) + [(p, p) for p in padding])


def in_groups(a, groups, axis):
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def definition(w, x, g, spatial, stride, padding, dilation, groups):
    """(y, dx, dw) of batched conv by its definition."""
    wide = in_groups(padded(x, padding), groups, 1)
    weights = in_groups(w, groups, 0)
    y = np.zeros((x.shape[0], groups, weights.shape[1], *spatial))
    dx, dw = np.zeros(wide.shape), np.zeros(weights.shape)
    seen = in_groups(g, groups, 1)
    for cell in itertools.product(*map(range, w.shape[2:])):
        meets = windows(wide, spatial, cell, stride, dilation)
        at = weights[(..., *cell)]
        y += np.einsum("goc,ngc...->ngo...", at, meets)
        windows(dx, spatial, cell, stride, dilation)[...] += np.einsum("goc,ngo...->ngc...", at, seen)
        cells = int(np.prod(spatial))
        dw[(..., *cell)] = np.einsum("ngop,ngcp->goc", seen.reshape(*seen.shape[:3], cells), meets.reshape(*meets.shape[:3], cells))
    inner = (slice(None), slice(None), slice(None), *(slice(p, n - p) for p, n in zip(padding, wide.shape[3:], strict=True)))
    return y.reshape(x.shape[0], w.shape[0], *spatial), dx[inner].reshape(x.shape), dw.reshape(w.shape)


def close(got, want, suffix, terms):
    tolerance = (2e-7 if suffix == "f32" else 4e-16) * (terms**0.5 + 4)
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * 4 * max(1.0, float(np.abs(want).max(initial=0))))


def draw(seed, suffix, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(FLOATS[suffix]).astype(np.float64) for s in shapes]


def check(isa, suffix, batch, groups, wide, narrow, size, kernel, stride, padding, dilation):
    """Forward with bias, both gradients and the transposed convolution of one geometry, on 1 and on 2 threads."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    spatial = tuple((n + 2 * p - r * (k - 1) - 1) // s + 1 for n, k, s, p, r in zip(size, kernel, stride, padding, dilation, strict=True))
    w, x, g, b = draw(
        len(size),
        suffix,
        (narrow * groups, wide, *kernel),
        (batch, wide * groups, *size),
        (batch, narrow * groups, *spatial),
        narrow * groups,
    )
    y, dx, dw = definition(w, x, g, spatial, **options)
    per_channel = (-1, *(1,) * len(size))
    cells = int(np.prod(kernel))
    calls = [
        (y + b.reshape(per_channel), wide * cells, Call(isa, "conv", "conv", suffix, (w, b, x), **options)),
        (dx, narrow * cells, Call(isa, "conv", "_conv_grad_x", suffix, (w, g), in_shape=tuple(size), **options)),
        (dw, batch * int(np.prod(spatial)), Call(isa, "conv", "_conv_grad_w", suffix, (g, x), kernel=tuple(kernel), **options)),
    ]
    left = [
        n - ((m - 1) * s - 2 * p + r * (k - 1) + 1)
        for n, m, k, s, p, r in zip(size, spatial, kernel, stride, padding, dilation, strict=True)
    ]
    if all(0 <= e < max(s, r) for e, s, r in zip(left, stride, dilation, strict=True)):
        c = draw(7, suffix, wide * groups)[0]
        call = Call(isa, "conv", "conv_transpose", suffix, (w, c, g), output_padding=tuple(left), **options)
        calls.append((dx + c.reshape(per_channel), narrow * cells, call))
    for want, terms, call in calls:
        results = []
        for count in (1, 2):
            threads.set_num_threads(count)
            call.outs[0].fill(np.nan)
            assert call() == 0
            results.append(call.outs[0].tobytes())
        close(call.outs[0], want, suffix, terms)
        assert results[0] == results[1]


GEOMETRIES = {
    "one input channel": (3, 1, 1, 16, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1)),
    "five by five, padded": (2, 1, 1, 6, (28, 28), (5, 5), (1, 1), (2, 2), (1, 1)),
    "rows of 10": (7, 1, 6, 16, (14, 14), (5, 5), (1, 1), (0, 0), (1, 1)),
    "rows of 14": (5, 1, 16, 32, (14, 14), (3, 3), (1, 1), (1, 1), (1, 1)),
    "rows of 7, odd channels": (3, 1, 33, 70, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    "pointwise": (2, 1, 40, 24, (17, 19), (1, 1), (1, 1), (0, 0), (1, 1)),
    "planes of a power of two": (1, 1, 64, 16, (32, 32), (1, 1), (1, 1), (0, 0), (1, 1)),
    "stride 2": (2, 1, 8, 24, (33, 30), (3, 3), (2, 2), (1, 1), (1, 1)),
    "stem": (1, 1, 3, 40, (50, 46), (7, 7), (2, 2), (3, 3), (1, 1)),
    "patches": (2, 1, 3, 10, (24, 24), (8, 8), (8, 8), (0, 0), (1, 1)),
    "stride beyond the kernel": (2, 1, 3, 5, (11, 12), (2, 1), (3, 4), (1, 0), (1, 1)),
    "dilated": (2, 1, 5, 9, (20, 21), (3, 2), (1, 2), (2, 3), (2, 3)),
    "stride shares a factor with the dilation": (1, 1, 2, 3, (17, 15), (3, 3), (4, 2), (1, 4), (2, 4)),
    "depthwise": (2, 12, 1, 1, (23, 40), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise, wide padding": (1, 3, 1, 1, (9, 5), (3, 3), (1, 1), (3, 2), (1, 1)),
    "depthwise, no padding": (1, 2, 1, 1, (70, 130), (3, 3), (1, 1), (0, 0), (1, 1)),
    "depthwise, 5 x 5": (2, 5, 1, 1, (14, 37), (5, 5), (1, 1), (2, 2), (1, 1)),
    "depthwise, 7 x 7": (1, 4, 1, 1, (21, 20), (7, 7), (1, 1), (3, 3), (1, 1)),
    "depthwise, rows of 7": (3, 5, 1, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise, smaller than the window": (2, 3, 1, 1, (2, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise, padding of two": (1, 3, 1, 1, (16, 15), (3, 3), (1, 1), (2, 2), (1, 1)),
    "depthwise, 5 x 5 without padding": (1, 2, 1, 1, (9, 33), (5, 5), (1, 1), (0, 0), (1, 1)),
    "depthwise, 7 x 7 on rows of 7": (2, 3, 1, 1, (7, 7), (7, 7), (1, 1), (3, 3), (1, 1)),
    "depthwise, 7 x 7 beyond the image": (1, 2, 1, 1, (3, 40), (7, 7), (1, 1), (5, 4), (1, 1)),
    "depthwise, planes in parts": (1, 2, 1, 1, (200, 190), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise, many images": (40, 2, 1, 1, (9, 20), (3, 3), (1, 1), (1, 1), (1, 1)),
    "one channel, one output": (3, 1, 1, 1, (30, 31), (5, 5), (1, 1), (2, 2), (1, 1)),
    "two outputs for each input": (1, 3, 1, 2, (10, 18), (3, 3), (1, 1), (1, 1), (1, 1)),
    "one tile, many outputs": (1, 1, 20, 80, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1)),
    "one cell": (9, 1, 40, 33, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    "groups": (2, 3, 4, 7, (12, 13), (3, 3), (1, 1), (1, 1), (1, 1)),
    "padding beyond the image": (2, 1, 2, 3, (2, 3), (2, 2), (1, 1), (4, 5), (1, 1)),
    "a long row": (2, 1, 2, 8, (5000,), (9,), (1,), (4,), (1,)),
    "a strided row": (1, 2, 3, 4, (301,), (4,), (3,), (2,), (2,)),
    "volume": (2, 1, 4, 8, (9, 8, 10), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "strided volume": (1, 1, 2, 17, (7, 8, 9), (2, 3, 2), (2, 1, 3), (1, 0, 2), (1, 2, 1)),
    "large tiles": (1, 1, 70, 20, (60, 58), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise, more channels than are summed at a time": (3, 19, 1, 1, (9, 20), (3, 3), (1, 1), (1, 1), (1, 1)),
    "few terms, dilated": (2, 2, 1, 9, (20, 23), (3, 3), (1, 1), (2, 3), (2, 3)),
    "few terms, strided rows": (2, 1, 1, 8, (31, 27), (3, 3), (2, 1), (1, 1), (1, 1)),
    "few terms, long rows": (1, 1, 1, 8, (3, 1701), (3, 3), (1, 1), (1, 1), (1, 1)),
    "few terms, one long row": (9, 2, 1, 9, (1024,), (9,), (1,), (4,), (1,)),
    "few terms, volume": (2, 1, 1, 8, (5, 8, 9), (2, 2, 2), (1, 1, 1), (1, 0, 1), (1, 1, 1)),
    "few terms, pointwise": (2, 1, 5, 11, (9, 13), (1, 1), (1, 1), (0, 0), (1, 1)),
    "planes of whole vectors": (5, 2, 3, 10, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1)),
    "planes of whole vectors, dilated": (3, 1, 2, 9, (15, 16), (5, 3), (2, 1), (4, 2), (2, 2)),
    "volume of whole vectors": (2, 1, 2, 8, (9, 16, 16), (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
    "edge rows that meet few kernel rows": (2, 1, 3, 5, (12, 40), (7, 5), (1, 1), (0, 1), (1, 1)),
    "edge rows, dilated": (2, 1, 3, 9, (13, 9), (4, 3), (1, 1), (0, 0), (2, 1)),
    "edge rows of padded slabs": (2, 1, 2, 3, (3, 12, 13), (1, 6, 5), (1, 1, 1), (1, 0, 0), (1, 1, 1)),
    "edge rows, a window as tall as the image": (2, 2, 3, 6, (8, 21), (8, 2), (1, 1), (0, 0), (1, 1)),
    "no images": (0, 1, 2, 3, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
}


@both
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_geometry(isa, suffix, geometry):
    check(isa, suffix, *GEOMETRIES[geometry])


@st.composite
def geometries(draw):
    d = draw(st.integers(1, 3))

    def axes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(d))

    kernel, stride, padding, dilation = axes(1, 4), axes(1, 3), axes(0, 3), axes(1, 3)
    least = [max(1, r * (k - 1) + 1 - 2 * p) for k, p, r in zip(kernel, padding, dilation, strict=True)]
    size = tuple(n + draw(st.integers(0, {1: 60, 2: 18, 3: 5}[d])) for n in least)
    channels = st.sampled_from([1, 2, 3, 5, 8, 9, 17])
    return draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(channels), draw(channels), size, kernel, stride, padding, dilation


@settings(max_examples=60, deadline=None)
@given(geometries(), st.sampled_from(list(FLOATS)))
def test_any_geometry(geometry, suffix):
    for isa in ISAS:
        check(isa, suffix, *geometry)


@both
def test_single_sample_has_the_bits_of_a_batch_of_one(isa, suffix):
    w, x, b = draw(1, suffix, (5, 3, 3, 3), (1, 3, 9, 8), 5)
    one = run_op(isa, "conv", "conv2d", suffix, w, b, x[0], padding=1)
    batch = run_op(isa, "conv", "conv2d", suffix, w, b, x, padding=1)
    assert one.shape == (5, 9, 8)
    assert one.tobytes() == batch.tobytes()


@st.composite
def depthwise(draw):
    cells = draw(st.sampled_from([3, 5, 7]))
    padding = draw(st.tuples(st.integers(0, cells), st.integers(0, cells)))
    size = tuple(draw(st.integers(max(1, cells - 2 * p), 40)) for p in padding)
    outputs = draw(st.sampled_from([1, 1, 2, 3]))
    return draw(st.integers(1, 4)), draw(st.integers(1, 5)), 1, outputs, size, (cells, cells), (1, 1), padding, (1, 1)


@settings(max_examples=40, deadline=None)
@given(depthwise(), st.sampled_from(list(FLOATS)))
def test_any_depthwise_geometry(geometry, suffix):
    for isa in ISAS:
        check(isa, suffix, *geometry)


@both
def test_depthwise_beyond_the_caches_has_the_bits_of_a_few_images(isa, suffix):
    # Large outputs are streamed, from bands of rows of a plane.
    w, x, b = draw(9, suffix, (5, 1, 3, 3), (2, 5, 93, 101), 5)
    few = [
        run_op(isa, "conv", "conv2d", suffix, w, b, x, padding=1, groups=5),
        run_op(isa, "conv", "_conv_grad_x", suffix, w, x, in_shape=(93, 101), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=5),
    ]
    times = min(last_cache_bytes(), 1 << 26) // (2 * x.size * np.dtype(FLOATS[suffix]).itemsize) + 1
    many = np.concatenate([x] * times)
    got = [
        run_op(isa, "conv", "conv2d", suffix, w, b, many, padding=1, groups=5),
        run_op(isa, "conv", "_conv_grad_x", suffix, w, many, in_shape=(93, 101), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=5),
    ]
    for one, all_of_them in zip(few, got, strict=True):
        assert all_of_them.tobytes() == one.tobytes() * times


@both
def test_depthwise_keeps_what_is_not_finite_in_its_windows(isa, suffix):
    w, x, g = draw(8, suffix, (6, 1, 3, 3), (2, 6, 9, 14), (2, 6, 9, 14))
    x[0, 0, 0, 0], x[1, 1, 8, 13], x[0, 2, 5, 13], g[1, 3, 4, 0] = np.inf, np.nan, -np.inf, np.inf
    window = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 6}
    with np.errstate(invalid="ignore"):
        wanted = definition(w, x, g, (9, 14), **window)
    found = (
        run_op(isa, "conv", "conv", suffix, w, None, x, **window),
        run_op(isa, "conv", "_conv_grad_x", suffix, w, g, in_shape=(9, 14), **window),
        run_op(isa, "conv", "_conv_grad_w", suffix, g, x, kernel=(3, 3), **window),
    )
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])
        close(got[np.isfinite(want)], want[np.isfinite(want)], suffix, 252)


@both
@pytest.mark.parametrize("channels", [(2, 3), (16, 32)])
def test_what_is_not_finite_stays_in_its_windows(isa, suffix, channels):
    # The kernels run over gaps between rows; an infinity beside a gap must not leak into sums that it is no part of.
    w, x, g = draw(2, suffix, (channels[1], channels[0], 3, 3), (2, channels[0], 14, 14), (2, channels[1], 14, 14))
    x[0, 0, 0, 0], x[1, 1, 13, 13], x[0, 1, 5, 13] = np.inf, np.nan, -np.inf
    window = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    with np.errstate(invalid="ignore"):
        y, _, dw = definition(w, x, g, (14, 14), **window)
    got = run_op(isa, "conv", "_conv_grad_w", suffix, g, x, kernel=(3, 3), **window)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(dw))
    np.testing.assert_array_equal(got[np.isinf(dw)], dw[np.isinf(dw)])
    close(got[np.isfinite(dw)], dw[np.isfinite(dw)], suffix, 400)
    got = run_op(isa, "conv", "conv", suffix, w, None, x, **window)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(y))
    close(got[np.isfinite(y)], y[np.isfinite(y)], suffix, 9 * channels[0])


@both
def test_no_write_beyond_the_output(isa, suffix):
    w, x = draw(3, suffix, (7, 2, 3, 3), (2, 2, 6, 5))
    call = Call(isa, "conv", "conv", suffix, (w, None, x), padding=1)
    whole = np.full(call.outs[0].size + 128, 7.25, call.outs[0].dtype)
    call.out_pointers[0] = whole[64:].ctypes.data
    assert call() == 0
    assert (whole[:64] == 7.25).all()
    assert (whole[-64:] == 7.25).all()
