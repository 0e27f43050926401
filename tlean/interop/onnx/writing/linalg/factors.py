"""Matrices by columns and rows, one a step of a loop: Cholesky factors, triangular systems, LU factors by partial pivoting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tlean.ops import Spec

from ..model import ModelWriter
from ..repeats import repeated
from ..rules import Call, rule


def _turned(w: ModelWriter, x: str, rank: int) -> str:
    return str(w.op("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2]))


def _own(w: ModelWriter, n: int) -> str:
    return w.array(np.arange(n), "int64")


def _diagonal(w: ModelWriter, x: str, spec: Spec) -> str:
    # The entries on the diagonal; NaN next to one anywhere in their row.
    return w.reduce("ReduceSum", w.op("Mul", x, w.array(np.eye(spec.shape[-1]), spec.dtype)), (len(spec.shape) - 1,), False)


def _regular(w: ModelWriter, x: str, spec: Spec) -> str:
    # Which rows of triangles have a diagonal that can be divided by.
    return str(w.op("Greater", w.op("Abs", _diagonal(w, x, spec)), w.like(0, spec.dtype)))


def _or_nan(w: ModelWriter, y: str, flags: str, spec: Spec) -> str:
    # The matrices whose flags are all set; the others are NaN.
    whole = w.reduce("ReduceMin", w.cast(flags, "int32"), (len(spec.shape) - 2,), True)
    return str(w.op("Where", w.unsqueeze(w.cast(whole, "bool"), -1), y, w.like(math.nan, spec.dtype)))


def _column(w: ModelWriter, flags: str) -> str:
    # Flags of rows, as a column.
    return w.unsqueeze(flags, -1)


@rule("_linalg_require")
def _require(w: ModelWriter, c: Call) -> Any:
    # What could not be made is NaN: a file has no errors.
    return w.op("Identity", c.x[0])


@rule("_linalg_cholesky")
def _cholesky(w: ModelWriter, c: Call) -> Any:
    shape, spec = c.shape(), c.out
    if not math.prod(shape):
        return None
    rank, n, zero = len(shape), shape[-1], w.like(0, c.dtype)
    own = _own(w, n)
    x = w.op("Mul", w.op("Add", c.x[0], _turned(w, c.x[0], rank)), w.like(0.5, c.dtype))

    def step(k: str, factor: str) -> list[str]:
        row = w.unsqueeze(w.op("Gather", factor, k, axis=rank - 2), -1)
        column = w.op("Sub", w.op("Gather", x, k, axis=rank - 1), w.squeeze(w.op("MatMul", factor, row), -1))
        pivot = w.op("Sqrt", w.unsqueeze(w.op("Gather", column, k, axis=rank - 2), -1))
        column = w.op("Where", w.op("Less", own, k), zero, w.op("Div", column, pivot))
        column = w.op("Where", w.op("Equal", own, k), pivot, column)
        return [w.op("Where", w.op("Equal", own, k), _column(w, column), factor)]

    (factor,) = repeated(w, [(w.op("Expand", zero, w.ints(*shape)), spec)], step, n)
    return _or_nan(w, factor, w.op("Greater", _diagonal(w, factor, spec), zero), spec)


def _triangular(w: ModelWriter, a: str, b: str, shapes: tuple[Sequence[int], Spec], lower: bool, unit: bool) -> str:
    # By rows, from the first or from the last.
    shape, spec = shapes
    rank, n, zero = len(shape), shape[-1], w.like(0, spec.dtype)
    own, last = _own(w, n), w.array(n - 1, "int64")
    rest = w.op("Trilu", a, w.array(-1 if lower else 1, "int64"), upper=int(not lower))
    b = w.op("Expand", b, w.ints(*spec.shape))

    def step(number: str, y: str) -> list[str]:
        k = number if lower else w.op("Sub", last, number)
        at = w.unsqueeze(k, 0)
        known = w.op("MatMul", w.op("Gather", rest, at, axis=rank - 2), y)
        row = w.op("Sub", w.op("Gather", b, at, axis=len(spec.shape) - 2), known)
        if not unit:
            row = w.op("Div", row, w.op("Gather", w.op("Gather", a, at, axis=rank - 2), at, axis=rank - 1))
        return [w.op("Where", _column(w, w.op("Equal", own, k)), row, y)]

    (y,) = repeated(w, [(w.op("Expand", zero, w.ints(*spec.shape)), spec)], step, n)
    return y


@rule("_linalg_solve_triangular")
def _solve_triangular(w: ModelWriter, c: Call) -> Any:
    if not math.prod(c.out.shape):
        return None
    turned, a = c.options["transpose"], c.x[0]
    a = _turned(w, a, len(c.shape())) if turned else a
    y = _triangular(w, a, c.x[1], (c.shape(), c.out), c.options["lower"] != turned, c.options["unit_diagonal"])
    if c.options["unit_diagonal"]:
        return y
    return _or_nan(w, y, _regular(w, w.op("Trilu", w.op("Trilu", a, upper=0), upper=1), _spec(c)), _spec(c))


def packed_factors(w: ModelWriter, a: str, spec: Spec) -> tuple[str, str, str]:
    """L below the diagonal and U in one array, which row each row was, and the sign of that order; of no fewer rows than columns."""
    shape = spec.shape
    rank, (m, n), lead = len(shape), shape[-2:], shape[:-2]
    own, columns = _own(w, m), _own(w, n)
    order = w.op("Expand", own, w.ints(*lead, m))
    sign = w.op("Expand", w.like(1, spec.dtype), w.ints(*lead, 1))

    def step(k: str, x: str, order: str, sign: str) -> list[str]:
        before = w.op("Less", own, k)
        size = w.op("Abs", w.op("Gather", x, k, axis=rank - 1))
        best = w.op("ArgMax", w.op("Where", before, w.like(-1, spec.dtype), size), axis=rank - 2, keepdims=1)
        is_k = w.op("Equal", own, k)
        rows = w.op("Where", is_k, best, w.op("Where", w.op("Equal", own, best), k, own))
        order = w.op("GatherElements", order, rows, axis=rank - 2)
        x = w.op("GatherElements", x, w.op("Expand", _column(w, rows), w.ints(*shape)), axis=rank - 2)
        sign = w.op("Where", w.op("Equal", best, k), sign, w.op("Neg", sign))
        row = w.op("Gather", x, w.unsqueeze(k, 0), axis=rank - 2)
        column = w.op("Gather", x, w.unsqueeze(k, 0), axis=rank - 1)
        pivot = w.op("Gather", row, w.unsqueeze(k, 0), axis=rank - 1)
        zero = w.like(0, spec.dtype)
        factor = w.op("Where", w.op("Equal", pivot, zero), zero, w.op("Div", column, pivot))
        below, right = _column(w, w.op("Greater", own, k)), w.op("Greater", columns, k)
        at_k = w.op("Equal", columns, k)
        after = w.op("Where", right, w.op("Sub", x, w.op("Mul", factor, row)), w.op("Where", at_k, factor, x))
        return [w.op("Where", below, after, x), order, sign]

    states = [(a, spec), (order, Spec((*lead, m), "int64")), (sign, Spec((*lead, 1), spec.dtype))]
    packed, order, sign = repeated(w, states, step, n)
    return packed, order, sign


def _spec(c: Call, k: int = 0) -> Spec:
    return Spec(c.shape(k), c.dtype)


@rule("_linalg_factors")
def _hint(w: ModelWriter, c: Call) -> Any:
    return w.op("Expand", w.like(0, "int64"), w.ints(*c.out.shape))


@rule("_linalg_solve")
def _solve(w: ModelWriter, c: Call) -> Any:
    if not math.prod(c.out.shape):
        return None
    a, spec = c.x[0], _spec(c)
    a = _turned(w, a, len(spec.shape)) if c.options["transpose"] else a
    return solved(w, a, spec, c.x[1], c.out)


def solved(w: ModelWriter, a: str, spec: Spec, b: str, out: Spec) -> str:
    """a⁻¹ b, NaN where a matrix of a is singular."""
    packed, order, _ = packed_factors(w, a, spec)
    # The order of each matrix's rows for all its right-hand sides.
    b = w.op("Expand", b, w.ints(*out.shape))
    rows = w.op("Expand", _column(w, order), w.ints(*out.shape))
    b = w.op("GatherElements", b, rows, axis=len(out.shape) - 2)
    half = _triangular(w, packed, b, (spec.shape, out), True, True)
    y = _triangular(w, packed, half, (spec.shape, out), False, False)
    return _or_nan(w, y, _regular(w, packed, spec), spec)


@rule("_linalg_lu")
def _lu(w: ModelWriter, c: Call) -> Any:
    return packed_factors(w, c.x[0], _spec(c))[0] if math.prod(c.shape()) else None


@rule("_linalg_lu_tall")
def _lu_tall(w: ModelWriter, c: Call) -> Any:
    # The last column says which row each was.
    if not math.prod(c.shape()):
        rows = w.cast(_column(w, _own(w, c.shape()[-2])), c.dtype)
        return w.op("Expand", rows, w.ints(*c.out.shape)) if c.out.size else None
    packed, order, _ = packed_factors(w, c.x[0], _spec(c))
    return w.op("Concat", packed, w.cast(_column(w, order), c.dtype), axis=-1)


@rule("_linalg_rows")
def _rows(w: ModelWriter, c: Call) -> Any:
    return packed_factors(w, c.x[0], _spec(c))[1] if math.prod(c.shape()) else None


@rule("_linalg_det", "_linalg_sign", "_linalg_logabsdet")
def _determinant(w: ModelWriter, c: Call) -> Any:
    name, n = c.record.name, c.shape()[-1]
    if not n:
        return w.op("Expand", w.like(int(name != "_linalg_logabsdet"), c.dtype), w.ints(*c.out.shape))
    if not math.prod(c.shape()):
        return None
    if name != "_linalg_logabsdet":
        return determinant(w, c.x[0], _spec(c), name == "_linalg_sign")
    packed, _, _ = packed_factors(w, c.x[0], _spec(c))
    sizes = w.op("Abs", _diagonal(w, packed, _spec(c)))
    return w.reduce("ReduceSum", w.op("Log", sizes), (len(c.shape()) - 2,), False)


def determinant(w: ModelWriter, a: str, spec: Spec, sign_alone: bool = False) -> str:
    """The determinants of matrices, or their signs."""
    packed, _, sign = packed_factors(w, a, spec)
    diagonal, last = _diagonal(w, packed, spec), len(spec.shape) - 2
    diagonal = w.op("Sign", diagonal) if sign_alone else diagonal
    return str(w.op("Mul", w.squeeze(sign, last), w.reduce("ReduceProd", diagonal, (last,), False)))
