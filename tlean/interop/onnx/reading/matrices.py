"""Products of matrices."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from .registry import Call, axis_of, reads


@reads("MatMul")
def _matmul(c: Call, a: Any, b: Any) -> Any:
    return c.ops.matmul(a, b)


@reads("Gemm")
def _gemm(c: Call, a: Any, b: Any, more: Any = None) -> Any:
    alpha, beta = c.get("alpha", 1.0), c.get("beta", 1.0)
    n = b.shape[0] if c.get("transB", 0) else b.shape[1]
    simple = alpha == 1.0 and not c.get("transA", 0) and c.get("transB", 0)
    if simple and (more is None or (tuple(more.shape) == (n,) and beta == 1.0)):
        return c.ops.linear(b, more, a)
    if c.get("transA", 0):
        a = c.ops.transpose2d(a)
    if c.get("transB", 0):
        b = c.ops.transpose2d(b)
    y = c.ops.matmul(a, b)
    y = y if alpha == 1.0 else c.ops.scale(y, alpha)
    return y if more is None else c.ops.add(y, more if beta == 1.0 else c.ops.scale(more, beta))


@reads("Einsum")
def _einsum(c: Call, *xs: Any) -> Any:
    spec = c.get("equation").replace(" ", "")
    if "..." in spec:
        spec = _without_dots(spec, [len(x.shape) for x in xs])
    if "->" not in spec:
        letters = spec.replace(",", "")
        spec += "->" + "".join(sorted(s for s in set(letters) if letters.count(s) == 1))
    return c.ops.einsum(spec, *xs)


def _without_dots(spec: str, ranks: list[int]) -> str:
    left, arrow, right = spec.partition("->")
    free = [s for s in string.ascii_uppercase if s not in spec]
    parts = left.split(",")
    counts = [rank - len(p.replace("...", "")) for p, rank in zip(parts, ranks, strict=True)]
    names = "".join(free[: max(n for p, n in zip(parts, counts, strict=True) if "..." in p)])
    parts = [p.replace("...", names[len(names) - n :]) for p, n in zip(parts, counts, strict=True)]
    letters = "".join(parts)
    if not arrow:
        right = "..." + "".join(sorted(s for s in set(letters) - set(names) if letters.count(s) == 1))
    return ",".join(parts) + "->" + right.replace("...", names)


@reads("Det")
def _det(c: Call, x: Any) -> Any:
    return c.ops.linalg_det(x)


@reads("Softmax", "LogSoftmax")
def _softmax(c: Call, x: Any) -> Any:
    made = c.ops.softmax if c.kind == "Softmax" else c.ops.log_softmax
    if c.opset >= 13:
        return made(x, axis=axis_of(c.get("axis", -1), len(x.shape)))
    # All axes from that one on are one.
    axis = axis_of(c.get("axis", 1), len(x.shape))
    rows = int(np.prod(x.shape[:axis]))
    return c.ops.reshape(made(c.ops.reshape(x, (rows, int(np.prod(x.shape[axis:])))), axis=1), tuple(x.shape))
