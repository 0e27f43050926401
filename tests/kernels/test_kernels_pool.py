"""Kernels of the pools against definitions by loops over windows, for every instruction set this machine runs."""

import itertools

import numpy as np
import pytest
from kernel_calls import Call, run_op, usable_instruction_sets

from tlean._core import threads
from tlean.errors import OptionError, ShapeError
from tlean.ops.registry import Spec, get

ISAS = usable_instruction_sets("pool")
WINDOW_ISAS = usable_instruction_sets("unfold")
INF = float("inf")

# (sizes, kernel, stride, padding)
GEOMETRIES = [
    ((5,), (2,), (2,), (0,)),
    ((40,), (3,), (1,), (1,)),
    *[((6, w), (2, 2), (2, 2), (0, 0)) for w in (4, 5, 7, 14, 16, 28, 33, 70)],
    *[((7, w), (3, 3), (2, 2), (1, 1)) for w in (4, 7, 8, 28, 33, 56)],
    *[((8, w), (3, 3), (2, 2), (0, 0)) for w in (9, 12, 33, 36)],
    *[((5, w), (2, 3), (1, 2), (1, 1)) for w in (8, 18, 35)],
    ((9, 21), (1, 3), (1, 2), (0, 1)),
    ((20,), (3,), (2,), (1,)),
    ((4, 7, 20), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ((6, 7), (1, 1), (1, 1), (0, 0)),
    ((6, 19), (3, 3), (1, 1), (1, 1)),
    ((11, 13), (4, 5), (3, 2), (2, 2)),
    ((11, 13), (2, 2), (5, 4), (0, 1)),
    ((12, 20), (7, 6), (3, 5), (3, 3)),
    ((1, 1), (2, 2), (1, 1), (1, 1)),
    ((5, 6, 7), (1, 2, 2), (2, 2, 2), (0, 0, 0)),
    ((5, 5, 7), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
]
NAMES = [f"{'x'.join(map(str, n))}-k{'x'.join(map(str, k))}-s{s[-1]}-p{p[-1]}" for n, k, s, p in GEOMETRIES]


def windows_of(sizes, kernel, stride, padding):
    """For every output cell: its index, and for each tap the flat input cell, or -1 in the padding."""
    out = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True)]
    for o in itertools.product(*map(range, out)):
        cells = []
        for t in itertools.product(*map(range, kernel)):
            c = [i * s - p + j for i, j, s, p in zip(o, t, stride, padding, strict=True)]
            inside = all(0 <= a < n for a, n in zip(c, sizes, strict=True))
            cells.append(int(np.ravel_multi_index(c, sizes)) if inside else -1)
        yield o, cells


def output_shape(x, sizes, kernel, stride, padding):
    return (*x.shape[: -len(sizes)], *[(n + 2 * p - k) // s + 1 for n, k, s, p in zip(sizes, kernel, stride, padding, strict=True)])


def max_by_loops(x, sizes, kernel, stride, padding, pad_value):
    """(y, argmax): the first NaN wins, else the first maximum in row-major order; padding of -inf is left out."""
    planes = x.reshape(-1, int(np.prod(sizes)))
    y, at = np.empty(output_shape(x, sizes, kernel, stride, padding), x.dtype), None
    at = np.empty(y.shape, np.int32)
    flat_y, flat_at = y.reshape(len(planes), -1), at.reshape(len(planes), -1)
    for n, plane in enumerate(planes):
        for i, (_, cells) in enumerate(windows_of(sizes, kernel, stride, padding)):
            best = None
            for c in cells:
                if c < 0 and pad_value == -INF:
                    continue
                v = plane[c] if c >= 0 else x.dtype.type(pad_value)
                if best is None or v > best[0] or (v != v and best[0] == best[0]):
                    best = (v, c)
            flat_y[n, i], flat_at[n, i] = best
    return y, at


def scatter(g, at, shape):
    dx = np.zeros((at.shape[0] * at.shape[1], int(np.prod(shape[2:]))))
    for row, gs, cells in zip(dx, g.reshape(len(dx), -1), at.reshape(len(dx), -1), strict=True):
        np.add.at(row, cells[cells >= 0], gs[cells >= 0].astype(np.float64))
    return dx.reshape(shape)


def values(kind, shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if kind == "ties":
        x = rng.integers(-1, 2, shape).astype(float)
    if kind == "nan":
        x[rng.random(shape) < 0.1] = np.nan
    if kind == "-inf":
        x[rng.random(shape) < 0.8] = -INF
    return x.astype(dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=NAMES)
def test_max_pool(isa, suffix, geometry):
    sizes, kernel, stride, padding = geometry
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    dtype = np.float32 if suffix == "f32" else np.float64
    for kind in ("normal", "ties", "nan", "-inf"):
        for pad_value in (-INF, 0.0, 0.5) if any(padding) else (-INF,):
            x = values(kind, (2, 1, *sizes), dtype)
            y, at = max_by_loops(x, sizes, kernel, stride, padding, pad_value)
            call = Call(isa, "pool", "max_pool", suffix, (x,), **window, pad_value=pad_value)
            assert call() == 0
            np.testing.assert_array_equal(call.outs[0], y)
            np.testing.assert_array_equal(call.outs[1], at)
            without = Call(isa, "pool", "max_pool", suffix, (x,), unread=(1,), **window, pad_value=pad_value)
            assert without() == 0
            assert without.outs[0].tobytes() == call.outs[0].tobytes()

            g, h = values("normal", y.shape, dtype, 1), values("normal", x.shape, dtype, 2)
            more = {**window, "pad_value": pad_value}
            dx = run_op(isa, "pool", "_max_pool_grad", suffix, g, x, at, **more)
            np.testing.assert_allclose(dx, scatter(g, at, x.shape), rtol=1e-5 if suffix == "f32" else 1e-13, atol=1e-6)
            assert run_op(isa, "pool", "_max_pool_grad", suffix, g, x, None, **more).tobytes() == dx.tobytes()
            picked = run_op(isa, "pool", "_max_pool_gather", suffix, h, x, at, **more)
            flat = np.take_along_axis(h.reshape(2, -1), np.maximum(at, 0).reshape(2, -1), 1).reshape(at.shape)
            np.testing.assert_array_equal(picked, np.where(at >= 0, flat, 0))
            assert run_op(isa, "pool", "_max_pool_gather", suffix, h, x, None, **more).tobytes() == picked.tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=NAMES)
def test_avg_pool(isa, suffix, geometry):
    sizes, kernel, stride, padding = geometry
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    dtype, tolerance = (np.float32, 2e-6) if suffix == "f32" else (np.float64, 1e-14)
    x = values("normal", (2, 1, *sizes), dtype)
    y, at = np.zeros(output_shape(x, sizes, kernel, stride, padding)), np.zeros((2, int(np.prod(sizes))))
    g = values("normal", y.shape, dtype, 1)
    flat_y, flat_g, flat_x = y.reshape(2, -1), g.reshape(2, -1), x.reshape(2, -1).astype(np.float64)
    for i, (_, cells) in enumerate(windows_of(sizes, kernel, stride, padding)):
        inside = [c for c in cells if c >= 0]
        flat_y[:, i] = flat_x[:, inside].sum(1) / len(cells)
        at[:, inside] += flat_g[:, i : i + 1].astype(np.float64) / len(cells)
    np.testing.assert_allclose(run_op(isa, "avg_pool", "avg_pool", suffix, x, **window), y, rtol=tolerance, atol=tolerance)
    dx = run_op(isa, "avg_pool", "_avg_pool_grad", suffix, g, in_sizes=sizes, **window)
    np.testing.assert_allclose(dx, at.reshape(x.shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("isa", WINDOW_ISAS)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=NAMES)
def test_windows_and_smooth_maximum(isa, suffix, geometry):
    sizes, kernel, stride, padding = geometry
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    dtype, tolerance = (np.float32, 5e-6) if suffix == "f32" else (np.float64, 1e-13)
    x = values("normal", (2, 1, *sizes), dtype)
    shape = output_shape(x, sizes, kernel, stride, padding)
    cells = np.array([c for _, c in windows_of(sizes, kernel, stride, padding)])  # (outputs, K)
    laid = np.where(cells >= 0, x.reshape(2, 1, -1)[:, :, cells], 0.25).transpose(0, 1, 3, 2).reshape(2, 1, cells.shape[1], *shape[2:])
    made = run_op(isa, "unfold", "_windows", suffix, x, **window, pad_value=0.25)
    np.testing.assert_array_equal(made, laid)

    w = values("normal", made.shape, dtype, 1)
    back = np.zeros((2, x.size // 2))
    for n in range(2):
        flat = w[n, 0].reshape(cells.shape[1], -1).T
        np.add.at(back[n], cells[cells >= 0], flat[cells >= 0].astype(np.float64))
    added = run_op(isa, "unfold", "_windows_adjoint", suffix, w, in_sizes=sizes, **window)
    np.testing.assert_allclose(added, back.reshape(x.shape), rtol=tolerance, atol=tolerance)

    for beta in (2.0, -0.7):
        z = np.where(cells >= 0, beta * x.reshape(2, -1).astype(np.float64)[:, cells], -INF)
        top = z.max(-1, keepdims=True)
        e = np.exp(z - top)
        y = (top[..., 0] + np.log(e.sum(-1))) / beta
        got = run_op(isa, "smooth", "smooth_max_pool", suffix, x, **window, beta=beta)
        np.testing.assert_allclose(got, y.reshape(shape), rtol=tolerance, atol=tolerance)
        g = values("normal", shape, dtype, 3)
        weights = e / e.sum(-1, keepdims=True) * g.reshape(2, -1, 1)
        dx = np.zeros((2, x.size // 2))
        for n in range(2):
            np.add.at(dx[n], cells[cells >= 0], weights[n][cells >= 0])
        got = run_op(isa, "smooth", "_smooth_max_pool_grad", suffix, g, x, **window, beta=beta)
        np.testing.assert_allclose(got, dx.reshape(x.shape), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("isa", WINDOW_ISAS)
@pytest.mark.parametrize("suffix", ["f32", "f64"])
def test_smooth_maximum_does_not_overflow(isa, suffix):
    x = np.array([[[1e4, -1e4, INF, 3.0], [0.0, 1.0, 2.0, np.nan]]])
    y = run_op(isa, "smooth", "smooth_max_pool", suffix, x, kernel=(1, 2), beta=50.0)
    np.testing.assert_allclose(y[0, 0], [1e4, INF])
    np.testing.assert_allclose(y[0, 1, 0], 1.0, rtol=1e-6)
    assert np.isnan(y[0, 1, 1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("geometry", [((28, 30), (2, 2), (2, 2), (0, 0)), ((28, 30), (3, 3), (2, 2), (1, 1))])
def test_same_bits_at_any_thread_count(isa, geometry):
    sizes, kernel, stride, padding = geometry
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    x = values("normal", (8, 16, *sizes), np.float32)
    found = []
    before = threads.get_num_threads()
    for n in (1, 2):
        threads.set_num_threads(n)
        call = Call(isa, "pool", "max_pool", "f32", (x,), **window)
        assert call() == 0
        y, at = call.outs
        g = values("normal", y.shape, np.float32, 1)
        dx = run_op(isa, "pool", "_max_pool_grad", "f32", g, x, at, **window, pad_value=-INF)
        mean = run_op(isa, "avg_pool", "avg_pool", "f32", x, **window)
        back = run_op(isa, "avg_pool", "_avg_pool_grad", "f32", g, in_sizes=sizes, **window)
        found.append([a.tobytes() for a in (y, at, dx, mean, back)])
    threads.set_num_threads(before)
    assert found[0] == found[1]


def test_options_have_one_form():
    x = (Spec((2, 6, 6)),)
    canonical, _ = get("max_pool").infer(x, {"kernel": [2, 2], "pad_value": 0.0})
    assert canonical == {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "pad_value": -INF}
    for name in ("max_pool2d", "max_pool2d_pad", "avg_pool2d", "avg_pool2d_pad"):
        first, _ = get(name).infer(x, {"kernel": 2})
        again, _ = get(name).infer(x, first)
        assert first == again


def test_messages_name_the_sizes():
    with pytest.raises(ShapeError, match=r"spans 5.*input of 4.*x: \(2, 4, 4\)"):
        get("max_pool").infer((Spec((2, 4, 4)),), {"kernel": (5, 5)})
    with pytest.raises(ShapeError, match=r"half the kernel: \(2, 2\) for \(3, 3\)"):
        get("avg_pool2d_pad").infer((Spec((2, 4, 4)),), {"kernel": 3, "padding": 2})
    with pytest.raises(OptionError, match="one for each spatial axis"):
        get("max_pool").infer((Spec((2, 4, 4)),), {"kernel": 2})
