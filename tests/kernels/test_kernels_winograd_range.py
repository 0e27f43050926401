"""Winograd's convolution of numbers of mixed size: every result is as right as the numbers that it depends on let it be.

The bound is that of the docstring of `conv`: 5e-6 of |w| |x|, norms over what a result depends on. The reference is the kernel in double,
which never goes Winograd's way.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import run_op, usable_instruction_sets
from test_blocked import OPS, arguments, run_blocked

import tlean as tl
from tlean._core import threads

ISAS = usable_instruction_sets("conv")
each = pytest.mark.parametrize("isa", ISAS)
BOUND = 5e-6
SIZES = [1e2, 1e4, 1e6, 1e30, 3e38]


def window(axes=2, padding=1):
    return {"stride": (1,) * axes, "padding": (padding,) * axes, "dilation": (1,) * axes, "groups": 1}


def forward(isa, w, x, suffix="f32", bias=None, padding=1):
    return run_op(isa, "conv", "conv", suffix, w, bias, x, **window(w.ndim - 2, padding))


def backward(isa, w, g, suffix="f32", padding=1):
    """The input gradient: w with its channels swapped and turned round, under a padding that the forward convolution has."""
    size = tuple(n - 2 + 2 * padding for n in g.shape[2:])
    turned = np.flip(w, tuple(range(2, w.ndim))).swapaxes(0, 1)
    return run_op(isa, "conv", "_conv_grad_x", suffix, turned, g, in_shape=size, **window(w.ndim - 2, 2 - padding))


def weights(isa, g, x, suffix="f32", padding=1):
    return run_op(isa, "conv", "_conv_grad_w", suffix, g, x, kernel=(3, 3), **window(2, padding))


DIRECTIONS = {"forward": forward, "input gradient": backward}
in_both = pytest.mark.parametrize("direction", DIRECTIONS)


def windows(x, padding=1):
    """Sums over the windows of 3 × 3 (× 3) cells."""
    axes = x.ndim - 1
    x = np.pad(x, ((0, 0),) + ((padding, padding),) * axes)
    for axis in range(1, axes + 1):
        n = x.shape[axis] - 2
        x = sum(np.take(x, range(k, k + n), axis) for k in range(3))
    return x


def norms(w, x, padding=1):
    """|w| |x| for every output: of its filter and of its window."""
    filters = np.sqrt((w.astype(np.float64) ** 2).reshape(len(w), -1).sum(1))
    with np.errstate(over="ignore"):
        places = np.sqrt(windows((x.astype(np.float64) ** 2).sum(1), padding))
    return places[:, None] * filters.reshape(-1, *[1] * (x.ndim - 2))


def check(run, isa, w, x, padding=1, bound=BOUND):
    """Every output within the bound of its window; returns them and the exact ones."""
    got, want = run(isa, w, x, padding=padding), run(isa, w, x, "f64", padding=padding)
    with np.errstate(invalid="ignore"):
        error = np.abs(got - want)
    finite = np.isfinite(got)
    assert (np.abs(want[~finite]) > 3e38).all()
    # Behind the bound what underflow costs: a few of the least numbers for each term.
    assert (error <= bound * norms(w, x, padding) + 1e-42 * w[0].size)[finite].all()
    return got, want


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


# Large numbers ------------------------------------------------------------------------------------------------------------


@each
@in_both
@pytest.mark.parametrize("channels", [16, 136])
@pytest.mark.parametrize("size", SIZES)
def test_one_large_number_at_every_place_of_a_tile(isa, direction, channels, size):
    run = DIRECTIONS[direction]
    w, x = draw(0, (channels, channels, 3, 3), (36, channels, 13, 14))
    w *= np.float32(0.1)
    ordinary = x.copy()
    for k in range(36):
        x[k, k % channels, 3 + k // 6, 3 + k % 6] = size
    got, want = check(run, isa, w, x)
    # Outputs that it does not reach have the scale of all the others, and their error.
    far = windows((x >= size).any(1).astype(int)) == 0
    scale = run(isa, np.abs(w), np.abs(ordinary), "f64")
    error = np.where(far[:, None], np.abs(got - want), 0)
    assert (error <= BOUND * scale).all()


@each
@in_both
@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize("value", [-1e9, 1e30, np.inf, np.nan])
def test_a_mask_of_large_numbers(isa, direction, edge, value):
    run = DIRECTIONS[direction]
    w, x = draw(1, (32, 32, 3, 3), (2, 32, 28, 27))
    for width in (1, 2, 3, 4, 14):
        masked = x.copy()
        np.rot90(masked, edge, (2, 3))[:, :, :width] = value
        with np.errstate(invalid="ignore"):
            got, want = run(isa, w, masked), run(isa, w, masked, "f64")
        far = windows((masked == x).all(1).astype(int)) == windows(np.ones((2, 28, 27), int))
        far = np.broadcast_to(far[:, None], got.shape)
        assert np.isfinite(got[far]).all()
        assert np.abs(got - want)[far].max() <= BOUND * np.abs(want[far]).max()
        # What is not finite reaches all that depend on it.
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


PATTERNS = {
    "places of any size": lambda rng, shape: 10.0 ** rng.uniform(-12, 12, shape),
    "some large": lambda rng, shape: 10.0 ** (rng.uniform(1, 9) * (rng.random(shape) < rng.uniform(0, 0.2))),
    "some zero": lambda rng, shape: (rng.random(shape) < rng.uniform(0, 1)) * 10.0 ** rng.uniform(-30, 15),
    "near the bound": lambda rng, shape: 1 + 20 * (rng.random(shape) < 0.05),
    "blocks": lambda rng, shape: np.kron(10.0 ** rng.integers(-4, 5, shape), np.ones((1,) + (3,) * (len(shape) - 1))),
    "checkers": lambda rng, shape: np.where(np.indices(shape).sum(0) % 2, 10.0 ** rng.uniform(0, 9), 1),
    "slope": lambda rng, shape: 10.0 ** (rng.uniform(-0.6, 0.6) * np.arange(shape[-1])) * np.ones(shape),
    "very small": lambda rng, shape: 10.0 ** rng.uniform(-45, -20, shape),
    "large and small": lambda rng, shape: np.where(rng.random(shape) < 0.05, 10.0 ** rng.uniform(-40, 18), 10.0 ** rng.uniform(-40, 18)),
}


def patterned(rng, pattern, shape):
    batch, _, *spatial = shape
    sizes = PATTERNS[pattern](rng, (batch, *spatial))[tuple(slice(n) for n in (batch, *spatial))]
    return (rng.standard_normal(shape) * sizes[:, None]).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(PATTERNS)),
    st.sampled_from(sorted(DIRECTIONS)),
    st.tuples(st.integers(6, 21), st.integers(6, 21)),
    st.tuples(st.integers(16, 40), st.integers(16, 40)),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_any_sizes(pattern, direction, size, channels, padding, seed):
    rng = np.random.default_rng(seed)
    w, x = draw(seed, (channels[0], channels[1], 3, 3))[0], patterned(rng, pattern, (3, channels[1], *size))
    for isa in ISAS:
        got, _ = check(DIRECTIONS[direction], isa, w, x, padding)
        # The place in the batch changes no bit.
        np.testing.assert_array_equal(DIRECTIONS[direction](isa, w, x[::-1], padding=padding), got[::-1])


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(PATTERNS)),
    st.sampled_from(sorted(DIRECTIONS)),
    st.tuples(st.integers(3, 7), st.integers(14, 20), st.integers(14, 34)),
    st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.integers(0, 2),
    st.integers(0, 2**32 - 1),
)
def test_any_sizes_in_depth(pattern, direction, size, channels, padding, seed):
    rng = np.random.default_rng(seed)
    w, x = draw(seed, (channels[0], channels[1], 3, 3, 3))[0], patterned(rng, pattern, (2, channels[1], *size))
    for isa in ISAS:
        got, _ = check(DIRECTIONS[direction], isa, w, x, padding)
        np.testing.assert_array_equal(DIRECTIONS[direction](isa, w, x[::-1], padding=padding), got[::-1])


@each
@in_both
@pytest.mark.parametrize("size", SIZES)
def test_one_large_number_in_depth(isa, direction, size):
    run = DIRECTIONS[direction]
    w, x = draw(2, (8, 4, 3, 3, 3), (6, 4, 6, 16, 18))
    ordinary = x.copy()
    for k in range(6):
        x[k, k % 4, k, 3 + k, 8 - k] = size
    got, want = check(run, isa, w, x)
    far = windows((x >= size).any(1).astype(int)) == 0
    error = np.where(far[:, None], np.abs(got - want), 0)
    assert (error <= BOUND * run(isa, np.abs(w), np.abs(ordinary), "f64")).all()


@each
def test_windows_of_zeros_give_the_bias_exactly(isa):
    w, x, bias = draw(3, (32, 16, 3, 3), (3, 16, 22, 17), (32,))
    x[0, :, 5:16, 2:11] = 0
    x[1, :, :, :9] = 0
    x[2] = 0
    got = forward(isa, w, x, bias=bias)
    zero = np.broadcast_to((windows((x != 0).any(1).astype(int)) == 0)[:, None], got.shape)
    assert zero.sum() > 5000
    np.testing.assert_array_equal(got[zero], np.broadcast_to(bias[:, None, None], got.shape)[zero])


@each
@in_both
def test_the_choice_is_the_tiles(isa, direction):
    # Small integers come out exactly by the definition alone: those of the tile that holds the large number do, and no other changes a bit.
    run = DIRECTIONS[direction]
    rng = np.random.default_rng(4)
    w, x = (rng.integers(-3, 4, s).astype(np.float32) for s in ((32, 16, 3, 3), (2, 16, 20, 22)))
    plain = run(isa, w, x)
    x[1, 2, 9, 9] = 2**14
    got, want = run(isa, w, x), run(isa, w, x, "f64")
    changed = (got != plain).any((0, 1))
    assert not changed[:, :8].any() and not changed[:, 12:].any() and not changed[:8].any() and not changed[12:].any()
    np.testing.assert_array_equal(got[1, :, 8:12, 8:12], want[1, :, 8:12, 8:12])
    assert (got[0] != want[0]).any()


@each
@in_both
def test_images_of_a_batch_have_the_bits_of_each_alone(isa, direction):
    (w,) = draw(12, (32, 32, 3, 3))
    for pattern in PATTERNS:
        x = patterned(np.random.default_rng(12), pattern, (4, 32, 29, 30))
        got = DIRECTIONS[direction](isa, w, x)
        for k in range(4):
            np.testing.assert_array_equal(DIRECTIONS[direction](isa, w, x[k : k + 1]), got[k : k + 1])


@each
@pytest.mark.parametrize("channels", [24, 136])
@in_both
def test_threads_change_no_bit(isa, direction, channels):
    run = DIRECTIONS[direction]
    rng = np.random.default_rng(5)
    (w,) = draw(5, (channels, channels, 3, 3))
    w[3, 1, 0, 0] = 1e6
    x = patterned(rng, "some large", (3, channels, 29, 30))
    made = []
    for count in (1, 2, 3):
        threads.set_num_threads(count)
        made.append((run(isa, w, x), weights(isa, x, x)))
    for y, dw in made[1:]:
        np.testing.assert_array_equal(y, made[0][0])
        np.testing.assert_array_equal(dw, made[0][1])


# Filters ------------------------------------------------------------------------------------------------------------------


@each
@in_both
@pytest.mark.parametrize("channels", [24, 136])
@pytest.mark.parametrize("value", [1e6, 1e30, 0.0, np.inf, np.nan])
def test_cells_of_mixed_size(isa, direction, channels, value):
    # Zeros around the image hide some cells from the outputs at its edges, and zeros in it those elsewhere.
    run = DIRECTIONS[direction]
    w, x = draw(6, (channels, channels, 3, 3), (1, channels, 14, 13))
    x[..., 6:9] = 0
    plain = run(isa, w, x)
    mixed = w.copy()
    mixed[5, :, 0, 0] = value
    mixed[7, 2, 1, 2] = value if value else 1e5
    with np.errstate(invalid="ignore"):
        got, want = run(isa, mixed, x), run(isa, mixed, x, "f64")
        scale = run(isa, np.abs(mixed), np.abs(x), "f64")
        error = np.abs(got - want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    finite = np.isfinite(want)
    assert (error <= BOUND * scale)[finite].all()
    others = [o for o in range(channels) if o not in (5, 7)]
    np.testing.assert_array_equal(got[:, others], plain[:, others])


@each
@in_both
def test_cells_of_mixed_size_in_depth(isa, direction):
    run = DIRECTIONS[direction]
    w, x = draw(7, (8, 4, 3, 3, 3), (1, 4, 5, 16, 17))
    plain = run(isa, w, x)
    w[2, :, 1, 0, 2] = 1e6
    w[5, 3, 2, 1, 1] = np.nan
    got, want = run(isa, w, x), run(isa, w, x, "f64")
    others = [0, 1, 3, 4, 6, 7]
    np.testing.assert_array_equal(got[:, others], plain[:, others])
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    scale = run(isa, np.abs(w), np.abs(x), "f64")
    assert (np.abs(got - want) <= BOUND * scale)[:, 2].all()


# The weight gradient ------------------------------------------------------------------------------------------------------


def mixed_pairs():
    """g and x whose large numbers do not meet everything."""
    g, x = draw(8, (2, 32, 22, 17), (2, 32, 22, 17))
    for size in (1e4, 1e6, 1e12):
        for place in ((0, 0), (0, 9), (21, 16), (13, 0)):
            large = x.copy()
            large[1, 3, *place] = size
            yield f"x is {size} at {place}", g, large
            large = g.copy()
            large[0, 4, *place] = size
            yield f"g is {size} at {place}", large, x
    mask = np.arange(17) < 10
    yield "masked", g * (np.arange(17) < 9), np.where(mask, x, np.float32(-1e9))
    yield "masked, the other way", np.where(mask, g, np.float32(1e9)), x * (np.arange(17) < 8)
    yield "as large as they get", g * np.float32(1e18), x * np.float32(1e18)
    yield "very small", g * np.float32(1e-22), x * np.float32(1e-10)
    yield "zero", g * np.float32(0), x


@each
@pytest.mark.parametrize("case", [name for name, _, _ in mixed_pairs()])
def test_weight_gradient(isa, case):
    g, x = next((g, x) for name, g, x in mixed_pairs() if name == case)
    got, want, scale = weights(isa, g, x), weights(isa, g, x, "f64"), weights(isa, np.abs(g), np.abs(x), "f64")
    assert (np.abs(got - want) <= BOUND * scale + 1e-40).all()


@each
def test_weight_gradient_of_ordinary_numbers_goes_winograds_way(isa):
    rng = np.random.default_rng(9)
    for size in ((14, 14), (7, 7), (5, 9), (28, 30)):
        g, x = (np.maximum(rng.integers(-3, 4, (8, 48, *size)), 0).astype(np.float32) for _ in range(2))
        assert (weights(isa, g, x) != weights(isa, g, x, "f64")).any(), size


# Plans --------------------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("op", OPS)
def test_channels_in_blocks_change_no_bit(isa, op, pattern):
    rng = np.random.default_rng(10)
    channels = {"base": (16, 20), "avx2": (16, 24), "avx512": (16, 32)}[isa]
    w, b, c = draw(10, (channels[1], channels[0], 3, 3), (channels[1],), (channels[0],))
    x, g = (patterned(rng, pattern, (2, n, 19, 14)) for n in channels)
    args, options = arguments(op, w, b, c, x, g)
    plain = run_op(isa, "conv", op, "f32", *args, **options, **window())
    for which in (1, 2, 3):
        np.testing.assert_array_equal(run_blocked(isa, op, OPS[op], which, *args, **options, **window()), plain)


def test_plans_have_the_bits_of_eager_calls():
    rng = np.random.default_rng(11)
    w, w2 = draw(11, (32, 32, 3, 3), (32, 32, 3, 3))
    x = patterned(rng, "some large", (2, 32, 14, 18))
    x[0, 3, 5, 5] = 1e25

    def loss(ops, w, w2, x):
        y = ops.relu(ops.conv2d(w, None, x, padding=1))
        return ops.sum(ops.tanh(ops.conv2d(w2, None, y, padding=1)))

    eager, compiled = (tl.grad(loss, argnums=(0, 1, 2), backend=b)(w, w2, x) for b in ("eager", "compiled"))
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
