"""Sorts, the first in order and searches on a device: the bits of the CPU, gradients too."""

from __future__ import annotations

import numpy as np
import pytest

import tlean as tl

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

RNG = np.random.default_rng(0)
#: Around the edges of a block's tile and of merged runs, of one element and of none.
SHAPES = [((1,), 0), ((300, 7), 0), ((3, 4, 5), 1), ((2049, 2), 0), ((4500,), 0), ((0, 3), 0), ((2, 0), 1), ((12, 33), None)]


def draw(shape, dtype):
    """Numbers with many ties; among floats zeros of both signs, infinities and NaNs of several kinds; the least integers."""
    if dtype == "bool":
        return RNG.random(shape) < 0.4
    if dtype == "float32":
        x = RNG.standard_normal(shape).astype("float32").round(1)
        for part, value in ((0.1, np.nan), (0.1, -0.0), (0.05, np.inf)):
            x[RNG.random(shape) < part] = value
        x.view("uint32")[RNG.random(shape) < 0.05] = 0xFFC12345
        return x
    x = RNG.integers(-50, 50, shape) * (2**55 if dtype == "int64" else 1)
    x[RNG.random(shape) < 0.05] = np.iinfo(dtype).min
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool"])
def test_the_bits_of_the_cpu(dtype):
    device, cpu = tl.cuda.ops(), tl.Session(dtype="float32")

    def same(found, expected):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.numpy().tobytes() == expected.numpy().tobytes()

    for shape, axis in SHAPES:
        x = draw(shape, dtype)
        here, there = cpu.add_leaf(tl.AnyTensor(x)), tl.cuda.to_device(x)
        for turned in (False, True):
            options = {"axis": axis, "descending": turned}
            values, index = device.apply_all("sort", [there], options)
            expected = cpu.argsort(here, **options)
            same(values, cpu.sort(here, **options))
            same(index, expected)
            same(device.argsort(there, **options), expected)
            n = 0 if axis is None else shape[axis]
            for k in {0, min(n, 3), min(n, 600), n} if n else ():
                same(device._topk_index(there, k=k, axis=axis, largest=turned), cpu._topk_index(here, k=k, axis=axis, largest=turned))
    a, v = np.sort(draw((999,), dtype)), draw((40, 7), dtype)
    for side in ("left", "right"):
        expected = cpu.searchsorted(cpu.add_leaf(tl.AnyTensor(a)), cpu.add_leaf(tl.AnyTensor(v)), side=side)
        same(device.searchsorted(tl.cuda.to_device(a), tl.cuda.to_device(v), side=side), expected)


def sorted_(x):
    return tl.sum(tl.sin(tl.sort(x, axis=0)) * tl.arange(1, x.shape[0] + 1)[:, None]) + tl.sum(
        tl.sort(x, axis=None, descending=True)[3:9] ** 2
    )


def first(x):
    values, index = tl.topk(x, 3, axis=1)
    return tl.sum(values**2) + tl.sum(values * tl.astype(index, "float32"))


def between(x):
    return tl.sum(tl.quantile(x, [0.1, 0.5], axis=0) ** 2) + tl.median(x) + tl.sum(tl.median(x, axis=1))


@pytest.mark.parametrize("f", [sorted_, first, between], ids=lambda f: f.__name__)
def test_gradients(f):
    x = RNG.standard_normal((40, 7)).astype("float32")
    results = []
    for device in ("cpu", "cuda"):
        program = tl.compile_scalar(f, [tl.Spec(x.shape, "float32")], device=device)
        value, (gradient,) = program.value_and_grad(x)
        s = tl.Session(device=device)
        leaf = s.leaf(x)
        swept = s.backward_scalar(f(leaf))[leaf]
        tangent = program.jvp([x], [x * 0.5])[1]
        results.append([np.asarray(r) for r in (value, gradient, swept, tangent)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5)
