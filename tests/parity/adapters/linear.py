"""Linear algebra that is made of products: with vectors, matrices and batches of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tlean as tl

from ..samples import Skip
from .common import is_bool, is_float, rank


def _added(f: Any) -> Any:
    def call(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
        if not is_float(x) and any(isinstance(w, float) for w in (beta, alpha)):
            raise Skip("integers times a fraction, which PyTorch cuts off")
        if is_bool(x) and (beta != 1 or alpha != 1):
            raise Skip("arithmetic of Booleans with a number that is none")
        return f(x, a, b, beta, alpha)

    return call


def _cross(a: Any, b: Any, dim: Any = -1) -> Any:
    if dim is None:
        dim = np.broadcast_shapes(tuple(a.shape), tuple(b.shape)).index(3)
    return tl.linalg.cross(a, b, dim)


def _vander(x: Any, N: Any = None) -> Any:
    return tl.vander(x if rank(x) else tl.reshape(x, (1,)), N, True)


def _tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    if not isinstance(dims, int):
        shapes = zip(*([v.shape[d] for d in own] for v, own in zip((a, b), dims, strict=True)), strict=True)
        if any(n != m for n, m in shapes):
            raise Skip("axes that are summed over together and have other sizes: an error, as in NumPy")
    return tl.tensordot(a, b, dims)


def _bilinear(a: Any, b: Any, w: Any, bias: Any = None) -> Any:
    y = tl.einsum("...i,oij,...j->...o", a, w, b)
    return y if bias is None else y + bias


def _einsum(xs: Any, spec: str) -> Any:
    return tl.einsum(spec, *xs)


def _linear(x: Any, w: Any, b: Any = None) -> Any:
    y = tl.matmul(x, tl.swapaxes(w, 0, 1) if rank(w) == 2 else w)
    return y if b is None else y + b


def _similarity(a: Any, b: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    return tl.cosine_similarity(a, b, dim, eps)


def _distance(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    if p < 1:
        return tl.norm(a - b + eps, p, -1, keepdim)
    return tl.pairwise_distance(a, b, p, eps, keepdim)


ADAPTERS = {
    "addbmm": _added(tl.addbmm),
    "addmm": _added(tl.addmm),
    "addmm.decomposed": _added(tl.addmm),
    "addmv": _added(tl.addmv),
    "addr": _added(tl.addr),
    "baddbmm": _added(tl.baddbmm),
    "cdist": lambda a, b, p=2.0, compute_mode=None: tl.cdist(a, b, p),
    "cross": lambda a, b, dim=None: _cross(a, b, dim),
    "linalg.cross": lambda a, b, *, dim=-1: _cross(a, b, dim),
    "linalg.vecdot": lambda a, b, *, dim=-1: tl.linalg.vecdot(a, b, dim),
    "dot": lambda a, b: tl.matmul(a, b),
    "vdot": lambda a, b: tl.matmul(a, b),
    "einsum": _einsum,
    "inner": lambda a, b: tl.tensordot(a, b, (-1, -1)) if rank(a) and rank(b) else a * b,
    "linalg.matrix_power": lambda x, n: tl.linalg.matrix_power(x, n),
    "linalg.multi_dot": lambda xs: tl.linalg.multi_dot(xs) if len(xs) > 1 else xs[0],
    "linalg.vander": _vander,
    "matmul": lambda a, b: tl.matmul(a, b),
    "__rmatmul__": lambda a, b: tl.matmul(b, a),
    "mm": lambda a, b: tl.matmul(a, b),
    "mv": lambda a, b: tl.matmul(a, b),
    "nn.functional.bilinear": _bilinear,
    "nn.functional.cosine_similarity": _similarity,
    "nn.functional.linear": _linear,
    "nn.functional.normalize": lambda x, p=2.0, dim=1, eps=1e-12, out=None: tl.normalize(x, p, dim, eps),
    "nn.functional.pairwise_distance": _distance,
    "nn.functional.pdist": lambda x, p=2.0: tl.pdist(x, p),
    "tensordot": _tensordot,
}
