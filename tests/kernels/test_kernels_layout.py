"""The copying kernels of every instruction set that this machine runs, against NumPy's own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads

CASES = list(itertools.product(usable_instruction_sets("layout"), ("f32", "f64")))
each = pytest.mark.parametrize(("isa", "suffix"), CASES)


def values(*shape: int) -> np.ndarray:
    """Different small integers, exact in both dtypes."""
    return np.arange(np.prod(shape, dtype=int), dtype=np.float64).reshape(shape) + 1


@each
@pytest.mark.parametrize("shape", [(3, 5), (1, 7), (16, 16), (17, 33), (100, 70), (64, 3), (3, 200), (0, 4), (300, 260)])
def test_transpose2d(isa, suffix, shape):
    x = values(*shape)
    np.testing.assert_array_equal(run_op(isa, "layout", "transpose2d", suffix, x), x.T)


@each
def test_transposes_with_few_rows_or_columns(isa, suffix):
    # Rows of the output longer than a unit, and every width below that of a tile; the last vectors of the input end within it.
    for few in range(1, 17):
        for many in (1, 7, 15, 16, 17, 33, 250, 8192, 8209, 20000):
            for shape in ((many, few), (few, many)):
                x = values(*shape)
                np.testing.assert_array_equal(run_op(isa, "layout", "transpose2d", suffix, x), x.T)
        x = values(3, 70, few)
        np.testing.assert_array_equal(run_op(isa, "layout", "permute", suffix, x, axes=(0, 2, 1)), x.transpose(0, 2, 1))


@each
def test_named_transposes(isa, suffix):
    for shape in [(2, 3, 4), (20, 17, 33), (1, 40, 2)]:
        x = values(*shape)
        for name, axes in {"first_to_last": (1, 2, 0), "last_to_first": (2, 0, 1), "last_two": (0, 2, 1)}.items():
            np.testing.assert_array_equal(run_op(isa, "layout", "transpose3d_" + name, suffix, x), x.transpose(axes))
        for depth in range(4):
            expected = x.swapaxes(depth, depth + 1) if depth < 2 else x
            np.testing.assert_array_equal(run_op(isa, "layout", "swap_adjacent_at_depth", suffix, x, depth=depth), expected)


@each
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (1, 17, 18, 19), (2, 1, 33, 1), (5, 0, 2, 3), (2, 40, 3, 50)])
def test_every_permutation(isa, suffix, shape):
    x = values(*shape)
    for axes in itertools.permutations(range(4)):
        np.testing.assert_array_equal(run_op(isa, "layout", "permute", suffix, x, axes=axes), x.transpose(axes))


@each
def test_broadcast_to(isa, suffix):
    for shape, target in [
        ((), (3, 4)), ((), ()), ((5,), (7, 5)), ((7, 1), (7, 5)), ((1, 5), (7, 5)), ((3, 1, 2), (4, 3, 5, 2)), ((1,), (40000,)),
        ((3,), (0, 3)),
        ((100,), (700, 100)), ((700, 1), (700, 100)), ((2, 1, 3, 1), (2, 5, 3, 4)),
    ]:  # fmt: skip
        x = values(*shape)
        np.testing.assert_array_equal(run_op(isa, "layout", "broadcast_to", suffix, x, shape=target), np.broadcast_to(x, target))
    x = values(3)
    np.testing.assert_array_equal(
        run_op(isa, "layout", "broadcast_to", suffix, x, shape=(2, 3, 4), axis_map=(1,)), np.broadcast_to(x[:, None], (2, 3, 4))
    )
    x = values(3, 2)
    np.testing.assert_array_equal(
        run_op(isa, "layout", "broadcast_to", suffix, x, shape=(2, 4, 3), axis_map=(2, 0)), np.broadcast_to(x.T[:, None], (2, 4, 3))
    )


@each
def test_slices(isa, suffix):
    x = values(9, 10, 11)
    for box in [((0, 9, 1), (0, 10, 1), (0, 11, 1)), ((1, 8, 3), (0, 10, 1), (2, 11, 4)), ((4, 4, 1), (0, 10, 1), (0, 11, 1)),
                ((2, 3, 1), (5, 9, 2), (0, 11, 1))]:  # fmt: skip
        starts, stops, steps = zip(*box, strict=True)
        found = run_op(isa, "layout", "slice", suffix, x, starts=starts, stops=stops, steps=steps)
        np.testing.assert_array_equal(found, x[tuple(slice(*b) for b in box)])
    np.testing.assert_array_equal(run_op(isa, "layout", "slice_range0", suffix, x, start=3, length=4), x[3:7])


@each
@pytest.mark.parametrize(
    ("shape", "widths"),
    [((2, 3), ((1, 0), (0, 2))), ((4, 5, 6), ((0, 0), (1, 1), (2, 2))), ((3,), ((2, 3),)), ((), ()), ((0, 2), ((1, 1), (0, 0))), ((2, 0),
    ((1, 1), (2, 2))),
     ((3, 40000), ((1, 1), (7, 50000))), ((50, 30), ((0, 0), (0, 0)))],
)  # fmt: skip
def test_pad(isa, suffix, shape, widths):
    x = values(*shape)
    expected = np.pad(x, widths, constant_values=-0.5) if shape else x
    np.testing.assert_array_equal(run_op(isa, "layout", "pad", suffix, x, widths=widths, value=-0.5), expected)


@each
def test_place_is_the_adjoint_of_slice(isa, suffix):
    for starts, steps, shape in [
        ((1, 2), (1, 1), (2, 3)),
        ((0, 1), (3, 2), (3, 4)),
        ((8, 0), (1, 1), (1, 9)),
        ((0, 0), (2, 1), (5, 9)),
        ((3, 3), (1, 1), (0, 2)),
    ]:
        g = values(*shape)
        expected = np.zeros((9, 9))
        expected[tuple(slice(a, a + n * s, s) for a, s, n in zip(starts, steps, shape, strict=True))] = g
        np.testing.assert_array_equal(run_op(isa, "layout", "_place", suffix, g, shape=(9, 9), starts=starts, steps=steps), expected)
    g = values(30000)
    expected = np.zeros(100001)
    expected[1:90000:3] = g
    np.testing.assert_array_equal(run_op(isa, "layout", "_place", suffix, g, shape=(100001,), starts=(1,), steps=(3,)), expected)


@each
def test_joins(isa, suffix):
    for axis, shapes in [
        (0, [(2, 3), (4, 3)]),
        (1, [(2, 3), (2, 0), (2, 40)]),
        (1, [(5, 2, 7), (5, 1, 7), (5, 9, 7)]),
        (0, [(40000,), (3,), (70000,)]),
    ]:
        xs = [values(*s) + 1000 * k for k, s in enumerate(shapes)]
        np.testing.assert_array_equal(run_op(isa, "layout", "concat", suffix, *xs, axis=axis), np.concatenate(xs, axis))
    xs = [values(4, 5) + 1000 * k for k in range(3)]
    for axis, shapes in [(1, [(30000, 1), (30000, 3), (30000, 0), (30000, 2)]), (2, [(3, 5, 1)] * 7), (1, [(2, 9), (2, 1), (2, 1)])]:
        ys = [values(*s) + 1000 * k for k, s in enumerate(shapes)]
        np.testing.assert_array_equal(run_op(isa, "layout", "concat", suffix, *ys, axis=axis), np.concatenate(ys, axis))
    for axis in range(3):
        np.testing.assert_array_equal(run_op(isa, "layout", "stack", suffix, *xs, axis=axis), np.stack(xs, axis))
    np.testing.assert_array_equal(run_op(isa, "layout", "concat_vectors", suffix, values(2), values(3)), np.r_[1, 2, 1, 2, 3])
    np.testing.assert_array_equal(run_op(isa, "layout", "concat_dim0", suffix, values(0, 2), values(3, 2)), values(3, 2))


@each
def test_every_element_is_copied_with_any_number_of_threads(isa, suffix):
    x = values(6, 130, 260)
    calls = [
        Call(isa, "layout", "permute", suffix, (x,), axes=(2, 0, 1)),
        Call(isa, "layout", "slice", suffix, (x,), starts=(0, 1, 3), stops=(6, 130, 259)),
        Call(isa, "layout", "pad", suffix, (x,), widths=((0, 1), (2, 3), (4, 5))),
        Call(isa, "layout", "concat", suffix, (x, x[:2]), axis=0),
    ]
    before = threads.get_num_threads()
    try:
        for call in calls:
            found = []
            for n in (1, 3):
                threads.set_num_threads(n)
                call.outs[0].fill(np.nan)
                assert call() == 0
                found.append(call.outs[0].copy())
            np.testing.assert_array_equal(*found)
            assert not np.isnan(found[0]).any()
    finally:
        threads.set_num_threads(before)
