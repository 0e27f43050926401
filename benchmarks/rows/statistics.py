"""Moments over each axis, and order."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.base import BOTH, FORWARD, Row, op_row

_SHAPES = {"1000x1000": (1000, 1000), "32x64x512": (32, 64, 512)}


def _moment(name: str, label: str, shape: tuple[int, ...], axis: int | None) -> Row:
    def ours(ops: Any, x: Any) -> Any:
        return ops.norm(x, 2, axis) if name == "norm" else getattr(ops, name)(x, axis)

    def theirs(t: Any, x: Any) -> Any:
        along = tuple(range(len(shape))) if axis is None else axis
        if name in ("var", "std"):
            return getattr(t, name)(x, along, correction=0)
        if name == "norm":
            return t.linalg.vector_norm(x, 2, along)
        if name == "prod":
            return t.prod(x) if axis is None else t.prod(x, axis)
        return t.logsumexp(x, along)

    def arrays(rng: np.random.Generator) -> list[np.ndarray]:
        # Factors about 1: a million of others have a product of 0 or infinity.
        x = rng.standard_normal(shape)
        return [(np.exp(0.02 * x) if name == "prod" else x).astype(np.float32)]

    return Row(f"{name}_{label}_{'all' if axis is None else axis}", "moments and order", arrays, ours, theirs)


def moments_and_order() -> list[Row]:
    rows = [
        _moment(name, label, shape, axis)
        for name in ("var", "std", "norm", "prod", "logsumexp")
        for label, shape in _SHAPES.items()
        for axis in (*range(len(shape)), None)
    ]
    million = [(1 << 20,)]
    rows += [
        op_row(
            "sort_values_1M",
            "moments and order",
            million,
            lambda o, x: o.sort(x),
            lambda t, x: t.sort(x)[0],
            modes=(FORWARD,),
            numpys=np.sort,
        ),
        op_row("sort_1M", "moments and order", million, lambda o, x: o.sort(x), lambda t, x: t.sort(x, stable=True)[0], modes=(BOTH,)),
        op_row(
            "argsort_1M", "moments and order", million, lambda o, x: o.argsort(x), lambda t, x: t.sort(x, stable=True)[1], modes=(FORWARD,)
        ),
        op_row("topk_100_of_1M", "moments and order", million, lambda o, x: o.topk(x, 100)[0], lambda t, x: t.topk(x, 100)[0]),
        op_row("median_1000x1000", "moments and order", [(1000, 1000)], lambda o, x: o.median(x, 1), lambda t, x: t.quantile(x, 0.5, 1)),
    ]
    return rows
