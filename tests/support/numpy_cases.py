"""Calls drawn at random that NumPy answers too: operators and functions that broadcast, reductions, reads and updates of entries.

A case is a program of arrays in NumPy's own words, so that NumPy is its definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from index_keys import keys

import tlean as tl

DTYPES = ("float64", "float64", "float32", "float32", "int64", "int32", "bool")
WHOLE = ("int64", "int32", "bool")


@dataclass
class Case:
    """A program, its arrays, and what NumPy computes from these where that has other words."""

    label: str
    arrays: list[np.ndarray]
    program: Callable[..., Any]
    numpy: Callable[..., Any]
    #: Whether values may be compared with a difference's.
    smooth: bool = True
    #: How many terms an element sums: rounding grows with it.
    terms: int = 1

    def __repr__(self) -> str:
        return f"{self.label} of {', '.join(f'{a.dtype}{a.shape}' for a in self.arrays)}"


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, positive: bool = False, shift: float = 0.0) -> np.ndarray:
    """Numbers away from 0 and from each other, which no small step exchanges: differences see no kink."""
    n = math.prod(shape)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in WHOLE:
        return rng.integers(1 if positive else -4, 5, shape).astype(dtype)
    x = (rng.permutation(n).reshape(shape) + 0.5 + shift) / 4 - (0 if positive else n / 8) + 0.01
    return np.asarray(x % 3.7 + 0.1 if positive else x).astype(dtype)


def widest(dtypes: list[str], default: str) -> str:
    """The float dtype of an op of these operands."""
    floats = [d for d in dtypes if d.startswith("float")]
    return "float64" if "float64" in floats else "float32" if floats else default


# Functions of several arrays that broadcast ----------------------------------------------------------------------------------

#: Name -> program, whether its values are floats always, whether operands must be positive, whether it has a derivative.
PAIRS: dict[str, tuple[Callable[[Any, Any], Any], bool, bool, bool]] = {
    "+": (lambda a, b: a + b, False, False, True),
    "-": (lambda a, b: a - b, False, False, True),
    "*": (lambda a, b: a * b, False, False, True),
    "/": (lambda a, b: a / b, True, True, True),
    "//": (lambda a, b: a // b, False, True, False),
    "%": (lambda a, b: a % b, False, True, False),
    "<": (lambda a, b: a < b, False, False, False),
    "<=": (lambda a, b: a <= b, False, False, False),
    ">": (lambda a, b: a > b, False, False, False),
    ">=": (lambda a, b: a >= b, False, False, False),
    "==": (lambda a, b: a == b, False, False, False),
    "!=": (lambda a, b: a != b, False, False, False),
    "maximum": (np.maximum, False, False, True),
    "minimum": (np.minimum, False, False, True),
    "power": (lambda a, b: a**b, False, True, True),
    "arctan2": (np.arctan2, True, False, True),
    "hypot": (np.hypot, True, False, True),
    "logaddexp": (np.logaddexp, True, False, True),
    "copysign": (np.copysign, True, False, False),
    "logical_and": (np.logical_and, False, False, False),
    "logical_xor": (np.logical_xor, False, False, False),
    "&": (lambda a, b: a & b, False, False, False),
    "|": (lambda a, b: a | b, False, False, False),
    "^": (lambda a, b: a ^ b, False, False, False),
}
OF_WHOLE = ("&", "|", "^")


@st.composite
def broadcast_shapes(draw: Any, count: int) -> list[tuple[int, ...]]:
    """So many shapes that broadcast, of 0 to 5 axes, sizes 0 to 4, some of 40."""
    whole = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4]), max_size=5))
    if whole and draw(st.integers(0, 6)) == 0:
        whole[draw(st.integers(0, len(whole) - 1))] = 40
    shapes = []
    for _ in range(count):
        kept = whole[draw(st.integers(0, len(whole))) :]
        shapes.append(tuple(1 if draw(st.integers(0, 2)) == 0 else n for n in kept))
    return shapes


@st.composite
def pairs(draw: Any) -> Case:
    """A function of two arrays, or of an array and a number of Python's."""
    name = draw(st.sampled_from(sorted(PAIRS)))
    program, inexact, positive, smooth = PAIRS[name]
    dtypes = [draw(st.sampled_from(WHOLE if name in OF_WHOLE else DTYPES)) for _ in range(2)]
    shapes = draw(broadcast_shapes(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = [values(rng, s, d, positive, 0.37 * k) for k, (s, d) in enumerate(zip(shapes, dtypes, strict=True))]
    number = draw(st.sampled_from([None, None, None, 2, 3, 2.5, 0.5])) if name not in OF_WHOLE else None
    if number is not None:
        left = draw(st.booleans())
        call = (lambda a: program(number, a)) if left else (lambda a: program(a, number))
        del arrays[1:], dtypes[1:]
        label = f"{number} {name} x" if left else f"x {name} {number}"
    else:
        call, label = program, f"x {name} y"

    def numpy(*xs: Any) -> Any:
        whole = all(x.dtype.kind in "iub" for x in xs) and not isinstance(number, float)
        if whole and not inexact:
            # Booleans alone are computed with as NumPy's int8 is, in int64.
            if name in ("//", "%", "power") and all(x.dtype == bool for x in xs):
                xs = tuple(x.astype("int64") for x in xs)
            return call(*xs)
        dtype = widest([str(x.dtype) for x in xs], "float64") if "longdouble" not in [x.dtype for x in xs] else "longdouble"
        if name.startswith("logical"):
            return call(*xs)
        return call(*(x.astype(dtype) for x in xs))

    return Case(label, arrays, call, numpy, smooth)


@st.composite
def choices(draw: Any) -> Case:
    """`where` with a condition of Booleans or of a comparison."""
    shapes, rng = draw(broadcast_shapes(3)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtypes = ["bool", draw(st.sampled_from(DTYPES)), draw(st.sampled_from(DTYPES))]
    arrays = [values(rng, s, d) for s, d in zip(shapes, dtypes, strict=True)]

    def numpy(c: Any, a: Any, b: Any) -> Any:
        if all(x.dtype.kind in "iub" for x in (a, b)):
            return np.where(c, a, b)
        dtype = np.result_type(*(x.dtype for x in (a, b) if x.dtype.kind == "f"))
        return np.where(c, a.astype(dtype), b.astype(dtype))

    return Case("where", arrays, np.where, numpy)


# Reductions ------------------------------------------------------------------------------------------------------------------

REDUCTIONS = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "var",
    "std",
    "argmax",
    "argmin",
    "any",
    "all",
    "median",
    "cumsum",
    "cumprod",
    "norm",
    "ptp",
)


@st.composite
def reductions(draw: Any) -> Case:
    """A reduction along an axis, several or all, negative ones too, with `keepdims` or without."""
    name = draw(st.sampled_from(REDUCTIONS))
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4, 4, 17]), max_size=5).map(tuple))
    dtype = draw(st.sampled_from(DTYPES))
    x = values(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape, dtype)
    axes = draw(st.lists(st.integers(0, max(len(shape) - 1, 0)), max_size=len(shape), unique=True))
    axes = [a - len(shape) if draw(st.booleans()) else a for a in axes]
    # NumPy reshapes for a median, which fails along no axis.
    one = name in ("argmax", "argmin", "cumsum", "cumprod", "median") or draw(st.booleans())
    axis: Any = None if draw(st.integers(0, 3)) == 0 or (one and not axes) else axes[0] if one else tuple(axes)
    options: dict[str, Any] = {"axis": axis} if axis is not None or draw(st.booleans()) else {}
    if draw(st.booleans()) and not name.startswith("cum"):
        options["keepdims"] = draw(st.booleans())
    if name in ("prod", "cumprod"):
        # Near 1, so that long products neither overflow nor vanish.
        x = np.asarray(np.sign(x) * (1 + 0.3 * np.sin(9 * x))).astype(dtype) if x.dtype.kind == "f" else x
    if name == "norm":
        # NumPy's norm of two axes is one of matrices.
        call = lambda x: np.sqrt(np.sum(x * x, **options))  # noqa: E731
    elif name in ("median", "ptp"):
        call = lambda x: getattr(np, name)(x, **options)  # noqa: E731
    else:
        call = lambda x: getattr(x, name)(**options)  # noqa: E731
    smooth = name not in ("argmax", "argmin", "any", "all")
    return Case(f"{name}({options})", [x], call, call, smooth, max(x.size, 1))


# Entries ---------------------------------------------------------------------------------------------------------------------


@st.composite
def reads(draw: Any) -> Case:
    """`x[key]`."""
    shape = draw(st.lists(st.integers(0, 4), max_size=5).map(tuple))
    key, dtype = draw(keys(shape)), draw(st.sampled_from(DTYPES))
    x = values(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape, dtype)
    return Case(f"x[{key}]", [x], lambda x: x[key], lambda x: x[key])


@st.composite
def updates(draw: Any) -> Case:
    """`x.at[key].set(v)` and its like, v of a shape that broadcasts to that of x[key]."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4).map(tuple))
    key, how = draw(keys(shape)), draw(st.sampled_from(["set", "add", "mul", "max", "min"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Both of one dtype: what combines integers computes in floats.
    dtype = draw(st.sampled_from(["float64", "float32"] if how != "set" else ["float64", "float32", "int64", "int32", "bool"]))
    x = values(rng, shape, dtype)
    try:
        named = x[key].shape
    except IndexError:
        named = ()
    part = named[draw(st.integers(0, len(named))) :]
    v = values(rng, tuple(1 if draw(st.integers(0, 3)) == 0 else n for n in part), dtype, shift=0.37)

    def numpy(x: Any, v: Any) -> Any:
        y = np.array(x)
        if how == "set":
            y[key] = v
        else:
            {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[how].at(y, key, v)
        return y

    return Case(f"x.at[{key}].{how}(v)", [x, v], lambda x, v: getattr(x.at[key], how)(v), numpy, terms=max(v.size, 1))


# Judging ---------------------------------------------------------------------------------------------------------------------

TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


def is_float(x: Any) -> bool:
    """Whether gradients flow to an array."""
    return x.dtype.kind == "f"


def bits(*arrays: Any) -> list[Any]:
    """Shapes, dtypes and bytes."""
    return [None if a is None else (np.asarray(a).shape, np.asarray(a).dtype, np.asarray(a).tobytes()) for a in arrays]


def judge(case: Case) -> None:
    """Value, gradients by differences and by the transpose's identity, the same bits eagerly and compiled: or an error on every face."""
    with np.errstate(all="ignore"):
        try:
            expected = np.asarray(case.numpy(*case.arrays))
        except (ValueError, IndexError, TypeError, RuntimeWarning) as error:
            # NumPy warns of a mean of nothing, which is an error here.
            refused(case, error)
            return
        check(case, expected)


def refused(case: Case, error: Exception) -> None:
    """What NumPy refuses is refused by name; medians of integers' results are NumPy's own, with its warning."""
    for run in (lambda: case.program(*map(tl.AnyTensor, case.arrays)), lambda: tl.jit(case.program)(*case.arrays)):
        try:
            result = run()
        except (tl.TleanError, RuntimeWarning):
            continue
        raise AssertionError(f"{case!r}: NumPy has {error!r}, got {result!r}")


def check(case: Case, expected: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    arrays = case.arrays
    y = np.asarray(tl.jit(case.program)(*arrays))
    eager = as_on_a_tape(case)
    assert bits(y) == bits(eager[0]), f"{case!r}: compiled {y!r}, eagerly {eager[0]!r}"
    floats = [is_float(a) for a in arrays]
    # Without a float among them integers have the program's own float dtype, here and there.
    wanted = expected.dtype if any(floats) or expected.dtype.kind != "f" or y.dtype.kind != "f" else y.dtype
    assert y.shape == expected.shape and y.dtype == wanted, f"{case!r}: NumPy has {expected!r}, got {y!r}"
    if y.dtype.kind == "f":
        exact = np.asarray(case.numpy(*(a.astype("longdouble") if is_float(a) else a for a in arrays))).astype(float)
        # What cancels in a sum leaves the rounding of its terms; those of a variance are squares.
        largest = max((float(np.abs(a).max(initial=1)) for a in arrays), default=1.0) ** (2 if case.label.startswith("var") else 1)
        size = np.abs(exact)[np.isfinite(exact)].max(initial=largest) if case.terms > 1 else np.maximum(np.abs(exact), 1e-3)
        close(y, exact, TOLERANCE[str(y.dtype)] * math.sqrt(case.terms) * size, f"{case!r}: value")
    else:
        np.testing.assert_array_equal(y, expected, err_msg=repr(case))
    if not (case.smooth and y.dtype.kind == "f" and any(floats)) or not np.isfinite(y).all():
        return
    g = rng.standard_normal(y.shape).astype(y.dtype)
    tangents = [rng.standard_normal(a.shape).astype(a.dtype) if f else None for a, f in zip(arrays, floats, strict=True)]
    _, pull = tl.vjp(case.program, *arrays)
    gradient = pull(g)
    assert bits(*gradient) == bits(*eager[1](g)), f"{case!r}: the gradients differ in bits"
    back = sum(float(np.vdot(d, t)) for d, t in zip(gradient, tangents, strict=True) if t is not None)
    bound = sum(
        float(np.abs(d) @ np.abs(t))
        for d, t in ((np.ravel(d), np.ravel(t)) for d, t in zip(gradient, tangents, strict=True) if t is not None)
    )
    tolerance = TOLERANCE[str(min((a.dtype for a in arrays if is_float(a)), key=lambda d: d.itemsize))] * 30 * math.sqrt(case.terms)
    _, tangent = tl.jvp(case.program, arrays, tangents)
    forth = float(np.vdot(np.asarray(tangent), g))
    bound += float(np.abs(np.ravel(tangent)) @ np.abs(np.ravel(g))) + 1e-3
    assert abs(forth - back) <= tolerance * bound, f"{case!r}: <J t, g> = {forth}, <t, JT g> = {back}"

    def moved(by: float) -> np.ndarray:
        return np.asarray(case.numpy(*(a if t is None else a.astype("longdouble") + by * t for a, t in zip(arrays, tangents, strict=True))))

    slope = float(((moved(1e-6) - moved(-1e-6)) / 2e-6 * g).sum())
    assert abs(slope - back) <= max(tolerance, 1e-7) * bound, f"{case!r}: gradient {back}, by differences {slope}"


def as_on_a_tape(case: Case) -> tuple[Any, Callable[[Any], Any]]:
    """The value on a tape, and what gives the gradients of its leaves."""
    y, pull = tl.vjp(case.program, *case.arrays, backend="eager")
    return np.asarray(y), pull


def close(x: Any, y: Any, bound: Any, what: str) -> None:
    same = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(np.where(np.isfinite(y), x - y, np.inf)) <= bound)
    assert np.all(same), f"{what}: NumPy has {y!r}, got {x!r}"
