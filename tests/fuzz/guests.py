"""Ops of another project in drawn programs: kernels and loops in C, given to `tl.register_kernels`, and their twins, which are made of the
library's ops.

`register()` compiles and declares them, once in a process; the fuzzer then draws those with samples as it draws every record.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tlean as tl
from tlean.custom.native import ABI
from tlean.ops import registry
from tlean.testing import Arr, Sample

#: A kernel takes (outputs, inputs, ints, floats, whether to add); a loop (output, inputs, elements, floats, whether to add).
SOURCE = """
#include <stdint.h>
#include <stddef.h>
#define KERNEL(name) int name(void **out, void **inp, const int64_t *ints, const double *floats, int add)
#define LOOP(name) void name(void *out, void **inp, int64_t n, const double *floats, int add)
#define EACH for (int64_t i = 0; i < n; i++)
#define OF_LOOP(name) KERNEL(name) { name##_loop(out[0], inp, ints[0], floats, add); return 0; }
#define GUESTS(T, S) \\
    /* a x / (1 + b x^2) */ \\
    LOOP(bend_##S##_loop) { \\
        const T *x = inp[0], a = (T)floats[0], b = (T)floats[1]; T *y = out; (void)add; \\
        EACH y[i] = a * x[i] / (1 + b * (x[i] * x[i])); \\
    } \\
    OF_LOOP(bend_##S) \\
    /* g a (1 - b x^2) / (1 + b x^2)^2, which adds to what is there where it is told to */ \\
    LOOP(slope_##S##_loop) { \\
        const T *g = inp[0], *x = inp[1], a = (T)floats[0], b = (T)floats[1]; T *y = out; \\
        EACH { T s = b * (x[i] * x[i]), d = 1 + s, v = g[i] * (a * (1 - s) / (d * d)); y[i] = add ? y[i] + v : v; } \\
    } \\
    OF_LOOP(slope_##S) \\
    /* c x |x|, which adds, too */ \\
    LOOP(pull_##S##_loop) { \\
        const T *x = inp[0], c = (T)floats[0]; T *y = out; \\
        EACH { T v = c * (x[i] * (x[i] < 0 ? -x[i] : x[i])); y[i] = add ? y[i] + v : v; } \\
    } \\
    OF_LOOP(pull_##S) \\
    /* x z + c (x - z) */ \\
    LOOP(blend_##S##_loop) { \\
        const T *x = inp[0], *z = inp[1], c = (T)floats[0]; T *y = out; (void)add; \\
        EACH y[i] = x[i] * z[i] + c * (x[i] - z[i]); \\
    } \\
    OF_LOOP(blend_##S) \\
    /* Both cotangents in one call; what is not read has no memory. */ \\
    KERNEL(back_##S) { \\
        const T *g = inp[0], *x = inp[1], *z = inp[2], c = (T)floats[0]; T *dx = out[0], *dz = out[1]; (void)add; \\
        for (int64_t i = 0; i < ints[0]; i++) { \\
            if (dx) dx[i] = g[i] * (z[i] + c); \\
            if (dz) dz[i] = g[i] * (x[i] - c); \\
        } \\
        return 0; \\
    } \\
    /* Of each row the sum of (j + 1) x_j; the way back spreads. */ \\
    KERNEL(rows_##S) { \\
        const T *x = inp[0]; T *y = out[0]; (void)floats, (void)add; \\
        for (int64_t r = 0; r < ints[0]; r++) { \\
            T t = 0; \\
            for (int64_t j = 0; j < ints[1]; j++) t += (T)(j + 1) * x[r * ints[1] + j]; \\
            y[r] = t; \\
        } \\
        return 0; \\
    } \\
    KERNEL(spread_##S) { \\
        const T *g = inp[0]; T *y = out[0]; (void)floats, (void)add; \\
        for (int64_t k = 0; k < ints[0] * ints[1]; k++) y[k] = (T)(k % ints[1] + 1) * g[k / ints[1]]; \\
        return 0; \\
    } \\
    /* Rows that are turned by some places. */ \\
    KERNEL(turn_##S) { \\
        const T *x = inp[0]; T *y = out[0]; (void)floats, (void)add; \\
        for (int64_t r = 0; r < ints[0]; r++) \\
            for (int64_t j = 0; j < ints[1]; j++) y[r * ints[1] + j] = x[r * ints[1] + (j + ints[2]) % ints[1]]; \\
        return 0; \\
    }
GUESTS(float, f32)
GUESTS(double, f64)
"""
KERNELS = ("bend", "blend", "back", "rows", "spread", "turn")
LOOPS = ("bend", "blend")
#: Those whose loops add to what is there.
ADDING = ("slope", "pull")


def compiler() -> str | None:
    """The C compiler of this machine."""
    return next((cc for cc in ("gcc", "clang", "cc") if shutil.which(cc)), None)


@functools.cache
def register() -> Any:
    """Compile the kernels and declare the ops. Returns: an object with the ops by their short names."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "guests.c"), Path(folder, "guests.so")
        source.write_text(SOURCE)
        flags = ["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([str(compiler()), *flags, str(source), "-o", str(made)], check=True)
        code = ctypes.CDLL(str(made))

    def table(names: tuple[str, ...], end: str = "") -> dict[str, int]:
        return {f"guest_{n}:{s}": ctypes.cast(code[f"{n}_{s}{end}"], ctypes.c_void_p).value for n in names for s in ("f32", "f64")}

    tl.register_kernels(table(KERNELS), loops=table(LOOPS, "_loop"), abi=ABI)
    tl.register_kernels(table(ADDING), loops=table(ADDING, "_loop"), abi=ABI, accumulates=True)
    # The kernels stay as long as the process.
    return SimpleNamespace(code=code, **{name: _declared(name) for name in (*KERNELS, *ADDING)})


def forget() -> None:
    """Take the ops out of the registry, as far as what walks all ops sees it; `register()` has them still, and they work."""
    for name in (*KERNELS, *ADDING):
        registry._OPS.pop(f"guest_{name}", None)


def _declared(name: str) -> Any:
    rules, samples, outputs = _RULES[name]
    return tl.defop(f"guest_{name}", samples=samples, outputs=outputs)(rules)


_SHAPES = [(3,), (2, 5), (4, 1), (3, 2, 2), (300,), (0, 3)]


def _samples(count: int, *options: dict[str, Any]) -> Any:
    return lambda: [Sample((Arr(s),) * count, o) for s in _SHAPES for o in options]


def _call(*spread: int) -> Any:
    # All examples of a `vmap` by one call.
    return lambda call: call.run(*(call.spread(k) for k in spread), **call.options)


def _lines(x: tuple[int, ...]) -> tuple[int, int]:
    if not x:
        raise tl.ShapeError("x has rows")
    return prod(x[:-1]), x[-1]


class _Bend:
    """a·x / (1 + b·x²): with rules and a kernel for the slope."""

    def shape(x, *, a, b):
        return x

    def kernel_params(x, *, a, b):
        return (prod(x),), (a, b)

    def vjp(ops, g, y, x, *, a, b):
        return (ops.apply(register().slope, (g, x), {"a": a, "b": b}),)

    def jvp(ops, t, y, x, *, a, b):
        return None if t[0] is None else ops.apply(register().slope, (t[0], x), {"a": a, "b": b})

    def decompose(ops, x, *, a, b):
        return ops.div(ops.scale(x, a), ops.shift(ops.scale(ops.square(x), b), 1.0))

    batch = _call(0)


class _Slope:
    """Without rules: its derivatives are those of its parts."""

    def shape(g, x, *, a, b):
        if g != x:
            raise tl.ShapeError("g has the shape of x")
        return x

    def kernel_params(g, x, *, a, b):
        return (prod(x),), (a, b)

    def decompose(ops, g, x, *, a, b):
        s = ops.scale(ops.square(x), b)
        d = ops.shift(s, 1.0)
        return ops.mul(g, ops.div(ops.scale(ops.shift(ops.neg(s), 1.0), a), ops.mul(d, d)))

    batch = _call(0, 1)


class _Pull:
    """c·x·|x|: `vmap` takes it apart."""

    def shape(x, *, c):
        return x

    def kernel_params(x, *, c):
        return (prod(x),), (c,)

    def vjp(ops, g, y, x, *, c):
        return (ops.scale(ops.mul(g, ops.abs(x)), 2 * c),)

    def jvp(ops, t, y, x, *, c):
        return None if t[0] is None else ops.scale(ops.mul(t[0], ops.abs(x)), 2 * c)

    def decompose(ops, x, *, c):
        return ops.scale(ops.mul(x, ops.abs(x)), c)


class _Blend:
    """x·z + c·(x − z), whose way back is one op with two results."""

    def shape(x, z, *, c):
        if x != z:
            raise tl.ShapeError("x and z have one shape")
        return x

    def kernel_params(x, z, *, c):
        return (prod(x),), (c,)

    def vjp(ops, g, y, x, z, *, c):
        return ops.apply(register().back, (g, x, z), {"c": c})

    def jvp(ops, t, y, x, z, *, c):
        parts = [ops.mul(a, ops.shift(b, d)) for a, b, d in ((t[0], z, c), (t[1], x, -c)) if a is not None]
        return parts[0] if len(parts) == 1 else ops.add(*parts) if parts else None

    def decompose(ops, x, z, *, c):
        return ops.add(ops.mul(x, z), ops.scale(ops.sub(x, z), c))

    batch = _call(0, 1)


class _Back:
    """g·(z + c) and g·(x − c)."""

    def shape(g, x, z, *, c):
        if not g == x == z:
            raise tl.ShapeError("g, x and z have one shape")
        return [x, z]

    def kernel_params(g, x, z, *, c):
        return (prod(x),), (c,)

    def decompose(ops, g, x, z, *, c):
        return ops.mul(g, ops.shift(z, c)), ops.mul(g, ops.shift(x, -c))


class _Rows:
    """Of each row the sum of (j + 1)·x_j."""

    def shape(x):
        return _lines(x) and x[:-1]

    def kernel_params(x):
        return _lines(x), ()

    def vjp(ops, g, y, x):
        return (ops.apply(register().spread, (g,), {"width": x.shape[-1]}),)

    def jvp(ops, t, y, x):
        return None if t[0] is None else ops.apply(register().rows, (t[0],), {})

    def decompose(ops, x):
        return ops.reduce_sum(ops._reverse_cumsum(x, axis=-1), axis=-1)

    batch = _call(0)


class _Spread:
    """(j + 1)·g for each j of a row: of `rows` the way back."""

    def shape(g, *, width):
        return (*g, width)

    def kernel_params(g, *, width):
        return (prod(g), width), ()

    def vjp(ops, c, y, g, *, width):
        return (ops.apply(register().rows, (c,), {}),)

    def jvp(ops, t, y, g, *, width):
        return None if t[0] is None else ops.apply(register().spread, (t[0],), {"width": width})

    def decompose(ops, g, *, width):
        ones = ops.ones_like(ops.broadcast_to(ops.reshape(g, shape=(*g.shape, 1)), shape=(*g.shape, width)))
        return ops.mul(ops.cumsum(ones, axis=-1), ops.broadcast_to(ops.reshape(g, shape=(*g.shape, 1)), shape=(*g.shape, width)))

    batch = _call(0)


class _Turn:
    """x[…, (j + k) mod m]: without parts, a kernel alone."""

    def shape(x, *, k):
        return _lines(x) and x

    def kernel_params(x, *, k):
        rows, width = _lines(x)
        return (rows, width, k % max(width, 1)), ()

    def vjp(ops, g, y, x, *, k):
        return (ops.apply(register().turn, (g,), {"k": -k}),)

    def jvp(ops, t, y, x, *, k):
        return None if t[0] is None else ops.apply(register().turn, (t[0],), {"k": k})

    batch = _call(0)


_TWO = {"a": 1.5, "b": 0.5}, {"a": -0.5, "b": 2.0}
_RULES: dict[str, Any] = {
    "bend": (_Bend, _samples(1, *_TWO), ("y",)),
    "slope": (_Slope, _samples(2, *_TWO), ("y",)),
    "pull": (_Pull, _samples(1, {"c": 0.5}, {"c": -1.0}), ("y",)),
    "blend": (_Blend, _samples(2, {"c": 0.5}, {"c": -0.25}), ("y",)),
    "back": (_Back, None, ("dx", "dz")),
    "rows": (_Rows, _samples(1, {}), ("y",)),
    "spread": (_Spread, _samples(1, {"width": 3}, {"width": 1}), ("y",)),
    "turn": (_Turn, None, ("y",)),
}
#: The names of those that the fuzzer draws.
DRAWN = tuple(f"guest_{name}" for name, (_, samples, _) in _RULES.items() if samples is not None)


class Twins:
    """The same functions by ops of the library."""

    @staticmethod
    def bend(x: Any, *, a: float, b: float) -> Any:
        return a * x / (1.0 + b * (x * x))

    @staticmethod
    def pull(x: Any, *, c: float) -> Any:
        return c * (x * tl.abs(x))

    @staticmethod
    def blend(x: Any, z: Any, *, c: float) -> Any:
        return x * z + c * (x - z)

    @staticmethod
    def rows(x: Any) -> Any:
        return tl.sum(tl.cumsum(x[..., ::-1], axis=-1), axis=-1)

    @staticmethod
    def spread(g: Any, *, width: int) -> Any:
        return tl.stack([g * float(j + 1) for j in range(width)], axis=len(g.shape))

    @staticmethod
    def turn(x: Any, *, k: int) -> Any:
        k %= x.shape[-1]
        return tl.concat([x[..., k:], x[..., :k]], axis=len(x.shape) - 1) if k else x
