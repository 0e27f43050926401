"""Arithmetic of integers and Booleans on a device, or on the host emulation that `.ci/cuda` builds: the very values of the CPU."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tlean as tl
from tlean._core.array import as_tensor
from tlean.ops import Spec
from tlean.ops.integers.forms import INTEGER_FORMULAS

if not tl.cuda.is_available():
    reason = "needs a CUDA device; `bash .ci/cuda` builds an emulation of one and runs this file on it"
    pytest.skip(reason, allow_module_level=True)

DTYPES = ("int64", "int32", "bool")
CORNERS = [0, 1, -1, 2, -2, 7, 31, 32, 63, 64, -64, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)]
BINARY = [n for n, f in INTEGER_FORMULAS.items() if len(f.inputs) == 2]
UNARY = [n for n, f in INTEGER_FORMULAS.items() if len(f.inputs) == 1 and not f.parameters]


def drawn(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        return np.where(rng.random(shape) < 0.5, rng.choice(CORNERS, shape), rng.integers(-9, 10, shape)).astype(dtype)


def same_everywhere(program, arrays):
    """The values of the CPU, eagerly and compiled, or its error."""
    found = []
    for device, backend in itertools.product(("cpu", "cuda"), ("eager", "compiled")):
        s = tl.Session(backend=backend, device=device)
        try:
            y = program(s, *[s.add_leaf(s.array(as_tensor(a)), False) for a in arrays])
            found.append((y.shape, str(y.dtype), y.numpy().tolist()))
        except tl.DTypeError as error:
            found.append(str(error))
    assert found[1:] == found[:1] * 3, found
    return found[0]


@pytest.mark.parametrize("name", BINARY)
def test_pairs(name):
    for first, second in itertools.product(DTYPES, repeat=2):
        for shapes in (((4, 37), (4, 37)), ((3, 1, 5), (2, 1)), ((), (6,)), ((0, 2), (2,))):
            arrays = [drawn(shapes[0], first, 1), drawn(shapes[1], second, 2)]
            same_everywhere(lambda ops, a, b: getattr(ops, name)(a, b), arrays)


@pytest.mark.parametrize("name", UNARY)
def test_single(name):
    for dtype in DTYPES:
        same_everywhere(lambda ops, x: getattr(ops, name)(x), [drawn((5, 7), dtype, 3)])


def test_numbers_and_where():
    programs = [lambda ops, x: x + 5, lambda ops, x: 7 - x, lambda ops, x: x * -3, lambda ops, x: x**3, lambda ops, x: x // 3]
    programs += [lambda ops, x: ops.clamp(x, -2, 3), lambda ops, x: ops.where(x > 1, x, 2 * x), lambda ops, x: ops.add(x, [[4], [5], [6]])]
    for program, dtype in itertools.product(programs, ("int64", "int32")):
        shape, found, _ = same_everywhere(program, [drawn((3, 4), dtype, 4)])
        assert shape == (3, 4) and found in (dtype, "int64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions(dtype):
    x = drawn((3, 1, 5, 300), dtype, 5)
    programs = [
        lambda ops, v: ops.sum(v),
        lambda ops, v: ops.argmax(v, 2),
        lambda ops, v: ops.argmax(v, 3),
        lambda ops, v: ops.cumsum(v, 3),
        lambda ops, v: ops.cumprod(v, 3),
        lambda ops, v: ops._running_product(v, axis=2, exclusive=True, reverse=True),
        lambda ops, v: ops.cummax(v, 3),
        lambda ops, v: ops._cummax_index(v, axis=2),
    ]
    for axes in ((0,), (2, 3), (0, 3), (), (0, 1, 2, 3)):
        programs += [lambda ops, v, axes=axes: ops.reduce_sum(v, axes), lambda ops, v, axes=axes: ops.reduce_max(v, axes, True)]
        programs += [lambda ops, v, axes=axes: ops.prod(v, axes)]
    for program in programs:
        same_everywhere(program, [x])
    same_everywhere(lambda ops, v: ops.reduce_sum(v, 0), [np.zeros((0, 3), dtype)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_products(dtype):
    for a, b, turns in (((5, 7), (7, 3), (0, 0)), ((7, 5), (3, 7), (1, 1)), ((2, 1, 4, 6), (3, 6, 2), (0, 0)), ((2, 3), (0, 3), (0, 1))):
        arrays = [drawn(a, dtype, 1), drawn(b, "int32", 2) if dtype != "bool" else drawn(b, dtype, 2)]
        same_everywhere(lambda ops, x, y, turns=turns: ops.matmul(x, y, *map(bool, turns)), arrays)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows(dtype):
    """Rows that are summed up, set and combined, indices that repeat."""
    x, v = drawn((6, 3), dtype, 1), drawn((9, 3), dtype, 2)
    at = np.array([5, 0, 0, 2, 5, 1, 5, 3, 0])
    programs = [lambda ops, a, b, how=how: getattr(a.at[at], how)(b) for how in ("set", "add", "mul", "max", "min")]
    programs += [lambda ops, a, b, how=how: getattr(ops, f"segment_{how}")(b, at, 7) for how in ("sum", "max", "min")]
    programs += [
        lambda ops, a, b: ops.scatter_nd(b, at[:, None], (6, 3)),
        lambda ops, a, b: ops.put_along_axis(a, at[:6, None] % 3, b[:6, :1], 1, "add"),
    ]
    for program in programs:
        same_everywhere(program, [x, v])


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers(dtype):
    """Convolutions in their parts, and products with a bias."""
    w, b, x = drawn((4, 2, 3, 2), dtype, 1), drawn((4,), dtype, 2), drawn((2, 4, 7, 5), dtype, 3)
    options = {"stride": 2, "padding": 1, "groups": 2}
    same_everywhere(lambda ops, *arrays: ops.conv2d(*arrays, **options), [w, b, x])
    same_everywhere(lambda ops, k, c, a: ops.conv_transpose2d(k, c, a, **options), [w, b, x])
    same_everywhere(lambda ops, c, a: ops.linear(a, None, c), [b, drawn((3, 4), dtype, 4)])
    same_everywhere(lambda ops, a: ops.convolve(a, [1, 0, 1]), [b])


def test_a_compiled_program_that_mixes_integers_and_floats():
    def program(ops, x, n):
        k = n * n + 1
        return ops.sum(x * ops.where(k > 3, k, -k))

    specs = [Spec((4,), "float32"), Spec((4,), "int32")]
    x, n = np.linspace(-1, 1, 4, dtype="f4"), np.arange(4, dtype="i4")
    here, there = (tl.compile_scalar(program, specs, device=d) for d in ("cpu", "cuda"))
    assert float(here.forward(x, n)) == pytest.approx(float(there.forward(x, n)), rel=1e-6)
    np.testing.assert_allclose(there.backward(x, n)[0].numpy(), here.backward(x, n)[0].numpy(), rtol=1e-6)


def test_too_many_axes_are_an_error():
    wide = drawn((2,) * 10, "int64", 1)
    narrow = wide[:, :1, :, :1, :, :1, :, :1, :, :1]
    s = tl.Session(device="cuda")
    with pytest.raises(tl.ShapeError, match="at most 8 axes"):
        s.add(s.add_leaf(s.array(as_tensor(wide)), False), s.add_leaf(s.array(as_tensor(np.ascontiguousarray(narrow))), False))


# Booleans: bytes at the border of fused groups, lanes inside.
PROGRAMS = {
    "groups": lambda x, y, m: (tl.where((x > y) & m, x * y, tl.square(y)), x > y, ~(x * 2.0 > y), x * m),
    "sums": lambda x, y, m: (tl.sum(tl.where(x > y, x * x, y)), tl.any(x > 2.5), tl.all(m | ~m), tl.any(m)),
    "alone": lambda x, y, m: (x.at[x > 0].mul(0), tl.where(m, x, y), tl.where(x, y, 0.0), tl.logical_xor(m, x), tl.isclose(x, y)),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("n", [1, 3, 5003])
def test_programs_of_booleans(name, n):
    rng = np.random.default_rng(n)
    x, y = (rng.integers(-3, 4, n).astype("float32") for _ in range(2))
    m = rng.random(n) < 0.5
    for ours, there in zip(tl.jit(PROGRAMS[name])(x, y, m), tl.jit(PROGRAMS[name], device="cuda")(x, y, m), strict=True):
        assert ours.dtype == there.dtype and ours.shape == there.shape
        np.testing.assert_allclose(there.numpy(), ours.numpy(), rtol=1e-5)
