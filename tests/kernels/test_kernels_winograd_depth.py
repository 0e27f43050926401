"""Winograd's convolution in the planes of 3 x 3 x 3 windows: where it is taken, its error, what it must not do differently."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import Call, run_op, usable_instruction_sets
from test_kernels_conv import check, definition, draw
from test_kernels_winograd import integers, rms

from tlean._core import threads

ISAS = usable_instruction_sets("conv")
each = pytest.mark.parametrize("isa", ISAS)
ONE = (1, 1, 1)
WINDOW = {"stride": ONE, "padding": ONE, "dilation": ONE, "groups": 1}


def spatial_of(size, padding, kernel=(3, 3, 3)):
    return tuple(n + 2 * p - k + 1 for n, k, p in zip(size, kernel, padding, strict=True))


def two(isa, suffix, w, x, g, **window):
    """The forward convolution and the gradient of its input."""
    return (
        run_op(isa, "conv", "conv", suffix, w, None, x, **window),
        run_op(isa, "conv", "_conv_grad_x", suffix, w, g, in_shape=x.shape[2:], **window),
    )


def direct(isa, w, x, g):
    """The same by the definition in float: two groups of the same channels, the same convolution twice, do not go Winograd's way."""
    twice = two(isa, "f32", np.concatenate([w, w]), np.concatenate([x, x], 1), np.concatenate([g, g], 1), **(WINDOW | {"groups": 2}))
    return [r[:, : r.shape[1] // 2] for r in twice]


def exact(isa, suffix, batch, wide, narrow, size, kernel=(3, 3, 3), **window):
    """Whether small integers come out exactly: sums of their products do, the fractions in Winograd's transforms do not."""
    window = WINDOW | window
    spatial = spatial_of(size, window["padding"], kernel)
    w, x, g = integers((narrow * window["groups"], wide, *kernel), (batch, wide * window["groups"], *size), (batch, narrow, *spatial))
    y, dx, _ = definition(w, x, g, spatial, **window)
    return [np.array_equal(a, b) for a, b in zip(two(isa, suffix, w, x, g, **window), (y, dx), strict=True)]


@each
def test_taken_in_float_where_tiles_fill_the_lanes(isa):
    for shape in (
        (1, 4, 8, (16, 16, 16)),
        (32, 4, 8, (16, 16, 16)),
        (2, 8, 16, (6, 33, 47)),
        (1, 16, 12, (9, 32, 32)),
        (1, 32, 32, (5, 16, 16)),
    ):
        assert exact(isa, "f32", *shape) == [False] * 2, shape


@each
def test_not_taken_where_the_definition_is_faster_or_asked_for(isa):
    assert all(exact(isa, "f64", 1, 4, 8, (16, 16, 16)))
    assert all(exact(isa, "f32", 1, 4, 8, (16, 2, 2)))
    assert all(exact(isa, "f32", 1, 4, 8, (16, 16, 16), kernel=(2, 3, 3), padding=(0, 1, 1)))
    assert all(exact(isa, "f32", 1, 4, 8, (16, 16, 16), padding=(3, 1, 1)))


GEOMETRIES = {
    "one vector of tiles": (3, 4, 8, (16, 16, 16), (1, 1, 1)),
    "one plane": (1, 4, 8, (1, 16, 16), (1, 1, 1)),
    "planes that blocks do not divide": (2, 4, 8, (5, 16, 15), (1, 1, 1)),
    "no padding": (2, 8, 8, (7, 18, 17), (0, 0, 0)),
    "padding of two": (1, 4, 8, (6, 14, 14), (2, 2, 2)),
    "unlike paddings": (1, 6, 8, (9, 30, 31), (2, 0, 1)),
    "odd sizes": (2, 8, 16, (7, 13, 31), (1, 1, 1)),
    "few output channels": (1, 8, 4, (8, 16, 16), (1, 1, 1)),
    "channels that blocks do not divide": (1, 5, 21, (4, 16, 32), (1, 1, 1)),
    "weights that vectors do not divide": (1, 7, 12, (4, 16, 16), (1, 1, 1)),
    "chunks of several tile rows": (1, 4, 8, (4, 46, 48), (1, 1, 1)),
    "many bands": (2, 8, 8, (5, 100, 112), (1, 1, 1)),
    "many planes": (1, 4, 8, (50, 16, 16), (1, 1, 1)),
}


@each
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry(isa, name):
    batch, wide, narrow, size, padding = GEOMETRIES[name]
    check(isa, "f32", batch, 1, wide, narrow, size, (3, 3, 3), ONE, padding, ONE)


@st.composite
def geometries(draw):
    padding = draw(st.tuples(*[st.integers(0, 2)] * 3))
    size = tuple(draw(st.integers(max(1, 3 - 2 * p), most)) for p, most in zip(padding, (9, 20, 34), strict=True))
    channels = st.integers(4, 20)
    return draw(st.integers(1, 2)), 1, draw(channels), draw(channels), size, (3, 3, 3), ONE, padding, ONE


@settings(max_examples=40, deadline=None)
@given(geometries())
def test_any_geometry(geometry):
    for isa in ISAS:
        check(isa, "f32", *geometry)


@each
@pytest.mark.parametrize("channels", [4, 16])
def test_error_bound(isa, channels):
    # For numbers of like size: 5e-6 of the largest result; on average within 3 times what the definition's sums round off.
    size = (6, 16, 32)
    w, x, g = draw(5, "f32", (channels, channels, 3, 3, 3), (2, channels, *size), (2, channels, *size))
    y, dx, _ = definition(w, x, g, size, **WINDOW)
    for got, other, want in zip(two(isa, "f32", w, x, g, **WINDOW), direct(isa, w, x, g), (y, dx), strict=True):
        assert not np.array_equal(got, other)
        assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()
        assert rms(got - want) <= 3 * rms(other - want)


@each
@pytest.mark.parametrize("size", [(16, 16, 16), (6, 45, 47)])
def test_what_is_not_finite_stays_in_its_windows(isa, size):
    w, x, g = draw(2, "f32", (8, 4, 3, 3, 3), (2, 4, *size), (2, 8, *size))
    x[0, 0, 0, 0, 0], x[1, 1, 5, 13, 13], x[1, 3, 4, 5, 15] = np.inf, np.nan, -np.inf
    g[0, 3, 2, 2, 2], g[1, 1, 5, 15, 0] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        wanted = definition(w, x, g, size, **WINDOW)[:2]
    for got, want in zip(two(isa, "f32", w, x, g, **WINDOW), wanted, strict=True):
        finite = np.isfinite(want)
        assert not finite.all()
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])
        np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=1e-4)


@each
def test_weights_that_are_not_finite_spoil_their_own_channels(isa):
    w, x, g = draw(2, "f32", (8, 4, 3, 3, 3), (1, 4, 6, 16, 16), (1, 8, 6, 16, 16))
    w[2, 1, 0, 2, 1], w[5, 1, 1, 1, 1] = np.inf, np.nan
    for got, want in zip(two(isa, "f32", w, x, g, **WINDOW), direct(isa, w, x, g), strict=True):
        assert 0 < np.isfinite(want).sum() < want.size
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])


@each
def test_no_overflow_that_the_definition_does_not_have(isa):
    w, x, g = integers((8, 4, 3, 3, 3), (1, 4, 6, 16, 16), (1, 8, 6, 16, 16))
    huge = 2.0**122
    small = w * 2.0**-8
    for got, of in zip(two(isa, "f32", small, x * huge, g * huge, **WINDOW), definition(w, x, g, (6, 16, 16), **WINDOW)[:2], strict=True):
        np.testing.assert_allclose(got / huge, of * 2.0**-8, rtol=0, atol=1e-5 * np.abs(of).max() * 2.0**-8)


@each
def test_a_single_plane_meets_the_middle_tap_alone(isa):
    # Under a padding of one: the same as two dimensions.
    w, x, g = draw(4, "f32", (8, 4, 3, 3, 3), (2, 4, 1, 16, 16), (2, 8, 1, 16, 16))
    flat = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    want = definition(w[:, :, 1], x[:, :, 0], g[:, :, 0], (16, 16), **flat)[:2]
    for got, of in zip(two(isa, "f32", w, x, g, **WINDOW), want, strict=True):
        np.testing.assert_allclose(got[:, :, 0], of, rtol=0, atol=1e-4)


@each
@pytest.mark.parametrize("size", [(16, 16, 16), (5, 22, 30)])
def test_no_write_beyond_the_output(isa, size):
    w, x, g = draw(3, "f32", (8, 4, 3, 3, 3), (2, 4, *size), (2, 8, *size))
    for call in (
        Call(isa, "conv", "conv", "f32", (w, None, x), **WINDOW),
        Call(isa, "conv", "_conv_grad_x", "f32", (w, g), in_shape=size, **WINDOW),
    ):
        whole = np.full(call.outs[0].size + 128, 7.25, call.outs[0].dtype)
        call.out_pointers[0] = whole[64:].ctypes.data
        for count in (1, 2):
            threads.set_num_threads(count)
            assert call() == 0
            assert (whole[:64] == 7.25).all()
            assert (whole[-64:] == 7.25).all()
            assert np.isfinite(whole).all()
