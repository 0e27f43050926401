"""The step of a parameter whose gradient is zero but for some rows: those are summed up, and their rows of the parameter are moved.

Instructions of the library's own programs. What may fail is in the first, which makes rows of the gradient of what a scatter would add to
zeros; the second adds two such gradients; the last writes to the parameter.
"""

from __future__ import annotations

from typing import Any

from ...shapes import Shape, size
from ..registry import OpDef, Rules, Spec, no_gradient, no_tangent
from .take import rows_numbers


def _sums_shape(v: Shape, i: Shape, *, rows: int, length: int, mode: str) -> list[Any]:
    return [(size(i), length), Spec((size(i),), "int64")]


def _sums_params(v: Shape, i: Shape, *, rows: int, length: int, mode: str) -> tuple[tuple[int, ...], tuple[()]]:
    return rows_numbers((rows, length), i, mode)


SUMMED_ROWS = OpDef(
    name="_summed_rows",
    inputs=("v", "i"),
    options_names=("rows", "length", "mode"),
    rules=Rules(
        "The rows that rows v at indices i add to zeros, each once and in ascending order, and their numbers; then zeros, of row -1.",
        shape=_sums_shape,
        kernel_params=_sums_params,
        vjp=no_gradient,
        jvp=no_tangent,
    ),
    dtypes={"i": "int64"},
    outputs=("sums", "rows"),
    kernel="_summed_rows",
    algebraic=False,
    differentiable=False,
)


def _merged_shape(sums: Shape, rows: Shape, others: Shape, those: Shape) -> list[Any]:
    return [(rows[0] + those[0], sums[1]), Spec((rows[0] + those[0],), "int64")]


def _merged_params(sums: Shape, rows: Shape, others: Shape, those: Shape) -> tuple[tuple[int, ...], tuple[()]]:
    return (rows[0], those[0], sums[1]), ()


MERGED_ROWS = OpDef(
    name="_merged_rows",
    inputs=("sums", "rows", "others", "those"),
    options_names=(),
    rules=Rules("Two gradients by rows added up.", shape=_merged_shape, kernel_params=_merged_params, vjp=no_gradient, jvp=no_tangent),
    dtypes={"rows": "int64", "those": "int64"},
    outputs=("sums", "rows"),
    kernel="_merged_rows",
    algebraic=False,
    differentiable=False,
)


def _step_shape(p: Shape, sums: Shape, rows: Shape, hyper: Shape) -> Shape:
    return p


def _step_params(p: Shape, sums: Shape, rows: Shape, hyper: Shape) -> tuple[tuple[int, ...], tuple[()]]:
    return (size(p) // sums[1] if sums[1] else 0, sums[1], rows[0]), ()


SGD_ROWS = OpDef(
    name="_sgd_rows",
    inputs=("p", "sums", "rows", "hyper"),
    options_names=(),
    rules=Rules(
        "`_sgd_step` of a gradient that is given by its rows: the same bits.",
        shape=_step_shape,
        kernel_params=_step_params,
        vjp=no_gradient,
        jvp=no_tangent,
    ),
    dtypes={"rows": "int64", "hyper": "float64"},
    outputs=("p1",),
    kernel="_sgd_rows",
    updates=True,
    algebraic=False,
    differentiable=False,
)


#: Elements of the smallest table whose gradient is made by rows.
FEWEST = 1 << 14


def by_rows(rows: int, length: int, positions: int) -> bool:
    """Whether a gradient is made and used by rows: where it is large and mostly zeros, which take longer than to sort the positions."""
    return rows * length >= FEWEST and positions * 4 <= rows and rows.bit_length() + positions.bit_length() < 62
