"""Linear algebra that is made of products: with vectors, matrices and batches of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import tlean as tl

from ..samples import Skip
from .common import is_bool, is_float, rank


def _product(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _weighted(x, tl.matmul(a, b), beta, alpha)


def _weighted(x: Any, y: Any, beta: Any, alpha: Any) -> Any:
    if not is_float(x) and any(isinstance(w, float) for w in (beta, alpha)):
        raise Skip("integers times a fraction, which PyTorch cuts off")
    if is_bool(x) and (beta != 1 or alpha != 1):
        raise Skip("arithmetic of Booleans with a number that is none")
    y = y if alpha == 1 else y * alpha
    return y + x if beta == 1 else tl.broadcast_to(y, np.broadcast_shapes(x.shape, y.shape)) + x * beta if beta else y


def _cross(a: Any, b: Any, dim: Any = -1) -> Any:
    shape = np.broadcast_shapes(tuple(a.shape), tuple(b.shape))
    if dim is None:
        dim = shape.index(3)
    a, b = (tl.moveaxis(tl.broadcast_to(v, shape), dim, 0) for v in (a, b))
    return tl.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], dim % len(shape))


def _cdist(a: Any, b: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    return tl.norm(tl.expand_dims(a, -2) - tl.expand_dims(b, -3), p, -1)


def _pdist(x: Any, p: float = 2.0) -> Any:
    rows, columns = np.triu_indices(x.shape[0], 1)
    return tl.norm(x[rows] - x[columns], p, 1)


def _power(x: Any, n: int) -> Any:
    if n < 0:
        raise Skip("inverses are not compared")
    eye = tl.broadcast_to(tl.eye(x.shape[-1], dtype=str(x.dtype)), x.shape)
    return functools.reduce(tl.matmul, [x] * n) if n else eye


def _vander(x: Any, N: Any = None) -> Any:
    n = x.shape[-1] if N is None else N
    x = x if rank(x) else tl.reshape(x, (1,))
    return tl.stack([x**k if k else tl.ones_like(x) for k in range(n)], -1)


def _tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    if not isinstance(dims, int):
        shapes = zip(*([v.shape[d] for d in own] for v, own in zip((a, b), dims, strict=True)), strict=True)
        if any(n != m for n, m in shapes):
            raise Skip("axes that are summed over together and have other sizes: an error, as in NumPy")
    return tl.tensordot(a, b, dims)


def _inner(a: Any, b: Any) -> Any:
    return tl.tensordot(a, b, (-1, -1)) if rank(a) and rank(b) else a * b


def _bilinear(a: Any, b: Any, w: Any, bias: Any = None) -> Any:
    y = tl.einsum("...i,oij,...j->...o", a, w, b)
    return y if bias is None else y + bias


def _einsum(xs: Any, spec: str) -> Any:
    return tl.einsum(spec, *xs)


def _linear(x: Any, w: Any, b: Any = None) -> Any:
    y = tl.matmul(x, tl.swapaxes(w, 0, 1) if rank(w) == 2 else w)
    return y if b is None else y + b


def _chained(xs: Any) -> Any:
    return functools.reduce(tl.matmul, xs)


def _normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    return x / tl.maximum(tl.norm(x, p, dim, True), eps)


def _similarity(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return tl.cosine_similarity(a, b, dim, eps)


def _distance(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    if p < 1:
        return tl.norm(a - b + eps, p, -1, keepdim)
    return tl.pairwise_distance(a, b, p, eps, keepdim)


ADAPTERS = {
    "addbmm": lambda x, a, b, *, beta=1, alpha=1: _weighted(x, tl.sum(tl.matmul(a, b), 0), beta, alpha),
    "addmm": _product,
    "addmm.decomposed": _product,
    "addmv": _product,
    "addr": lambda x, a, b, *, beta=1, alpha=1: _weighted(x, a[:, None] * b, beta, alpha),
    "baddbmm": _product,
    "cdist": _cdist,
    "cross": lambda a, b, dim=None: _cross(a, b, dim),
    "linalg.cross": lambda a, b, *, dim=-1: _cross(a, b, dim),
    "linalg.vecdot": lambda a, b, *, dim=-1: tl.sum(a * b, dim),
    "dot": lambda a, b: tl.matmul(a, b),
    "vdot": lambda a, b: tl.matmul(a, b),
    "einsum": _einsum,
    "inner": _inner,
    "linalg.matrix_power": _power,
    "linalg.multi_dot": _chained,
    "linalg.vander": _vander,
    "matmul": lambda a, b: tl.matmul(a, b),
    "__rmatmul__": lambda a, b: tl.matmul(b, a),
    "mm": lambda a, b: tl.matmul(a, b),
    "mv": lambda a, b: tl.matmul(a, b),
    "nn.functional.bilinear": _bilinear,
    "nn.functional.cosine_similarity": _similarity,
    "nn.functional.linear": _linear,
    "nn.functional.normalize": _normalize,
    "nn.functional.pairwise_distance": _distance,
    "nn.functional.pdist": _pdist,
    "tensordot": _tensordot,
}
