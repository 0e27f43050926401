"""Winograd's convolution: where it is taken, how far it is from the exact result, what it must not do differently."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import Call, run_op, usable_instruction_sets
from test_kernels_conv import check, definition, draw

ISAS = usable_instruction_sets("conv")
each = pytest.mark.parametrize("isa", ISAS)
WINDOW = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def three(isa, suffix, w, x, g, **window):
    """The forward convolution and both gradients."""
    return (
        run_op(isa, "conv", "conv", suffix, w, None, x, **window),
        run_op(isa, "conv", "_conv_grad_x", suffix, w, g, in_shape=x.shape[2:], **window),
        run_op(isa, "conv", "_conv_grad_w", suffix, g, x, kernel=w.shape[2:], **window),
    )


def integers(*shapes):
    rng = np.random.default_rng(0)
    return [rng.integers(-3, 4, s).astype(np.float64) for s in shapes]


def exact(isa, suffix, batch, wide, narrow, size, kernel=(3, 3), **window):
    """Whether small integers come out exactly: sums of their products do, the fractions in Winograd's transforms do not."""
    window = WINDOW | window
    spatial = tuple(n + 2 * p - k + 1 for n, k, p in zip(size, kernel, window["padding"], strict=True))
    w, x, g = integers((narrow, wide, *kernel), (batch, wide, *size), (batch, narrow, *spatial))
    want = definition(w, x, g, spatial, **window)
    return [np.array_equal(a, b) for a, b in zip(three(isa, suffix, w, x, g, **window), want, strict=True)]


@each
def test_taken_in_float_with_enough_channels(isa):
    for shape in ((1, 32, 32, (14, 14)), (8, 16, 32, (14, 14)), (1, 64, 64, (20, 30)), (4, 160, 160, (7, 7)), (32, 64, 64, (4, 4))):
        assert exact(isa, "f32", *shape) == [False] * 3, shape


@each
def test_not_taken_where_the_definition_is_faster_or_asked_for(isa):
    assert all(exact(isa, "f64", 1, 64, 64, (20, 30)))
    assert all(exact(isa, "f32", 4, 3, 32, (14, 14)))
    assert all(exact(isa, "f32", 1, 64, 64, (2, 2)))
    assert all(exact(isa, "f32", 1, 32, 32, (14, 14), kernel=(3, 1), padding=(1, 0)))
    assert all(exact(isa, "f32", 1, 32, 32, (14, 14), padding=(3, 3)))


GEOMETRIES = {
    "tiles that fit": (2, 1, 32, 32, (16, 12), (1, 1)),
    "tiles that do not": (3, 1, 33, 47, (13, 15), (1, 1)),
    "no padding": (2, 1, 24, 40, (11, 14), (0, 0)),
    "padding of two": (2, 1, 24, 40, (9, 10), (2, 2)),
    "unlike paddings": (1, 1, 20, 36, (17, 9), (2, 0)),
    "image smaller than a tile": (16, 1, 64, 48, (3, 2), (1, 1)),
    "image of one tile": (9, 1, 48, 64, (4, 4), (1, 1)),
    "rows of 7": (3, 1, 70, 66, (7, 7), (1, 1)),
    "groups": (2, 3, 32, 17, (14, 13), (1, 1)),
    "few channels in": (2, 1, 8, 32, (28, 28), (1, 1)),
    "a wide image": (1, 1, 32, 16, (6, 700), (1, 1)),
    "many bands": (5, 1, 64, 64, (29, 30), (1, 1)),
    "weights pass by": (3, 1, 170, 161, (9, 10), (1, 1)),
    "weights pass by, blocks of channels": (2, 1, 300, 131, (7, 6), (1, 1)),
    "weights pass by, chunks of tiles": (13, 2, 130, 129, (9, 11), (0, 1)),
}


@each
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry(isa, name):
    batch, groups, wide, narrow, size, padding = GEOMETRIES[name]
    check(isa, "f32", batch, groups, wide, narrow, size, (3, 3), (1, 1), padding, (1, 1))


@st.composite
def geometries(draw):
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = tuple(draw(st.integers(max(1, 3 - 2 * p), 22)) for p in padding)
    channels = st.integers(12, 50)
    return draw(st.integers(1, 5)), draw(st.integers(1, 2)), draw(channels), draw(channels), size, (3, 3), (1, 1), padding, (1, 1)


@settings(max_examples=40, deadline=None)
@given(geometries())
def test_any_geometry(geometry):
    for isa in ISAS:
        check(isa, "f32", *geometry)


def rms(a):
    return float(np.sqrt((a.astype(np.float64) ** 2).mean()))


@each
@pytest.mark.parametrize("channels", [16, 64, 256])
def test_error_bound(isa, channels):
    # For numbers of like size: 5e-6 of the largest result; on average within 3 times what the definition's sums round off,
    # within 8 times for weights, whose sums the definition takes in many short parts.
    w, x, g = draw(5, "f32", (channels, channels, 3, 3), (2, channels, 20, 20), (2, channels, 20, 20))
    # A second slice of depth, on which nothing depends, turns the same convolution into one that Winograd's way does not take.
    deep = {"stride": (1, 1, 1), "padding": (0, 1, 1), "dilation": (1, 1, 1), "groups": 1}
    y, dx, dw = three(isa, "f32", w[:, :, None], np.stack([x, x], 2), np.stack([g, 0 * g], 2), **deep)
    direct = y[:, :, 0], dx[:, :, 0], dw[:, :, 0]
    for got, other, want, factor in zip(
        three(isa, "f32", w, x, g, **WINDOW), direct, definition(w, x, g, (20, 20), **WINDOW), (3, 3, 8), strict=True
    ):
        assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()
        assert rms(got - want) <= factor * rms(other - want)


@each
def test_transpose_identity(isa):
    w, x, g = draw(6, "f32", (40, 36, 3, 3), (3, 36, 13, 10), (3, 40, 13, 10))
    y, dx, dw = (a.astype(np.float64) for a in three(isa, "f32", w, x, g, **WINDOW))
    size = np.sqrt((y**2).sum() * (g**2).sum())
    assert abs((y * g).sum() - (dx * x).sum()) <= 1e-6 * size
    assert abs((y * g).sum() - (dw * w).sum()) <= 1e-6 * size


@each
@pytest.mark.parametrize("channels", [32, 160])
def test_what_is_not_finite_stays_in_its_windows(isa, channels):
    w, x, g = draw(2, "f32", (channels, channels, 3, 3), (2, channels, 14, 14), (2, channels, 14, 14))
    x[0, 0, 0, 0], x[1, 1, 13, 13], x[0, 1, 5, 13] = np.inf, np.nan, -np.inf
    g[0, 3, 2, 2], g[1, 1, 13, 0] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        wanted = definition(w, x, g, (14, 14), **WINDOW)
    for got, want in zip(three(isa, "f32", w, x, g, **WINDOW), wanted, strict=True):
        finite = np.isfinite(want)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])
        np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=1e-3)


@each
def test_no_overflow_that_the_definition_does_not_have(isa):
    w, x, g = integers((32, 32, 3, 3), (1, 32, 14, 14), (1, 32, 14, 14))
    huge = 2.0**122
    want = definition(w, x, g, (14, 14), **WINDOW)
    small = w * 2.0**-8
    for got, of in zip(three(isa, "f32", small, x * huge, g * huge, **WINDOW)[:2], want[:2], strict=True):
        np.testing.assert_allclose(got / huge, of * 2.0**-8, rtol=0, atol=1e-5 * np.abs(of).max() * 2.0**-8)


@each
@pytest.mark.parametrize("channels", [32, 160])
def test_no_write_beyond_the_output(isa, channels):
    w, x, g = draw(3, "f32", (channels, channels, 3, 3), (2, channels, 9, 6), (2, channels, 9, 6))
    options = {key: WINDOW[key] for key in ("stride", "padding", "dilation", "groups")}
    for call in (
        Call(isa, "conv", "conv", "f32", (w, None, x), **options),
        Call(isa, "conv", "_conv_grad_x", "f32", (w, g), in_shape=(9, 6), **options),
        Call(isa, "conv", "_conv_grad_w", "f32", (g, x), kernel=(3, 3), **options),
    ):
        whole = np.full(call.outs[0].size + 128, 7.25, call.outs[0].dtype)
        call.out_pointers[0] = whole[64:].ctypes.data
        assert call() == 0
        assert (whole[:64] == 7.25).all()
        assert (whole[-64:] == 7.25).all()
        assert np.isfinite(whole).all()
