"""A NaN or an infinity in a weight reaches those outputs of a transposed convolution, and of a convolution's input gradient, that depend on
it, and no others: near the edges fewer windows cover a cell than the kernel has cells."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

# Input (N, C, spatial), output channels per group, kernel, options of the window.
CASES = {
    "1d": ((1, 1, 2), 1, (3,), {}),
    "1d, stride": ((2, 3, 7), 4, (4,), {"stride": 2, "padding": 1}),
    "2d": ((2, 3, 6, 5), 4, (3, 3), {"padding": 1}),
    "2d, dilation": ((1, 4, 9, 9), 4, (3, 2), {"dilation": 2, "stride": (2, 1), "padding": (2, 1)}),
    "2d, groups": ((2, 8, 5, 5), 3, (3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 8, 9, 9), 1, (3, 3), {"groups": 8, "padding": 1}),
    "more weights than cells": ((1, 64, 2, 2), 32, (3, 3), {"padding": 1}),
    "Winograd": ((1, 32, 12, 12), 32, (3, 3), {"padding": 1}),
    "3d": ((1, 2, 3, 4, 4), 3, (2, 3, 3), {"stride": (1, 2, 1), "padding": (0, 1, 1)}),
    "3d, planes": ((1, 16, 8, 8, 8), 16, (3, 3, 3), {"padding": 1}),
}


def spoilt(rng: np.random.Generator, shape: tuple[int, ...], value: float) -> np.ndarray:
    w = rng.normal(size=shape)
    w.reshape(-1)[rng.integers(w.size, size=2)] = value
    return w


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", CASES)
def test_as_the_definition_has_it(name, value, dtype):
    x_shape, outs, kernel, window = CASES[name]
    rng = np.random.default_rng(len(name))
    x = rng.normal(size=x_shape)
    w = spoilt(rng, (x_shape[1], outs, *kernel), value)
    bias = rng.normal(size=outs * window.get("groups", 1))
    found = []
    for fast in (True, False):
        s = tl.Session(tl.Options(dtype=dtype, fast_kernels=fast))
        found.append(s.conv_transpose(s.input(w), s.input(bias), s.input(x), **window).numpy())
    rtol = 1e-9 if dtype == "float64" else 2e-3
    assert np.isfinite(found[1]).any() and not np.isfinite(found[1]).all()
    np.testing.assert_allclose(found[0], found[1], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_a_convolution(name):
    x_shape, outs, kernel, window = CASES[name]
    rng = np.random.default_rng(len(name))
    groups = window.get("groups", 1)
    w = spoilt(rng, (outs * groups, x_shape[1] // groups, *kernel), np.nan)
    x = rng.normal(size=(*x_shape[:2], *(max(n, 3 * k) for n, k in zip(x_shape[2:], kernel, strict=True))))
    found = []
    for fast in (True, False):
        s = tl.Session(tl.Options(fast_kernels=fast))
        r = s.input(x)
        g = s.backward_scalar_dense_all(s.sum(s.conv(s.input(w), None, r, **window)))
        found.append(g[r].numpy())
    assert np.isfinite(found[1]).any() and not np.isfinite(found[1]).all()
    np.testing.assert_allclose(found[0], found[1], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_compiled_is_eager(name, threads):
    """With an epilogue, and with channels in blocks between two of them."""
    x_shape, outs, kernel, window = CASES[name]
    rng = np.random.default_rng(len(name))
    shape = (x_shape[1], outs, *kernel)
    w, x = spoilt(rng, shape, np.nan), rng.normal(size=x_shape)
    square = outs * window.get("groups", 1) == x_shape[1]

    def program(ops, w, x):
        h = ops.relu(ops.conv_transpose(w, None, x, **window))
        return ops.relu(ops.conv_transpose(w, None, h, **window)) if square else h

    before = tl.get_num_threads()
    try:
        tl.set_num_threads(threads)
        s = tl.Session()
        expected = program(s, s.input(w), s.input(x)).numpy()
        assert tl.compile_out(program, [w.shape, x.shape])(w, x).numpy().tobytes() == expected.tobytes()
    finally:
        tl.set_num_threads(before)
