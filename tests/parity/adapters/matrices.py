"""Factors and functions of matrices.

Where a factor is right up to a sign, PyTorch's gets the sign that tlean's has: `Gauged`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

import tlean as tl

from ..compare import Gauged
from ..samples import Skip
from .common import axes_of, cast, rank

_WHOLE = "the whole square of singular vectors, of which some are arbitrary"


def _t(x: Any) -> Any:
    return tl.swapaxes(x, -2, -1)


def _square(x: Any) -> None:
    if x.shape[-1] != x.shape[-2]:
        raise Skip("LU factors of matrices that are not square")


# PyTorch's side ---------------------------------------------------------------------------------------------------------


def _symmetric(call: Callable[..., Any]) -> Callable[..., Any]:
    # What tlean reads of a symmetric matrix is its symmetric part.
    return lambda x, *args, **kwargs: call((x + x.mT) / 2, *args, **kwargs)


def _signs(v: Any) -> Any:
    return torch.where(v.detach()[..., :1, :] < 0, -1.0, 1.0) if v.shape[-2] else v.new_ones((1, v.shape[-1]))


def _eigh_signs(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, *args: Any, **kwargs: Any) -> Any:
        w, v = call((x + x.mT) / 2, *args, **kwargs)
        return w, v * _signs(v)

    return run


def _svd_signs(transposed: bool) -> Any:
    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            u, s, v = call(*args, **kwargs)
            if u.shape[-1] != s.shape[-1] or v.shape[-2 if transposed else -1] != s.shape[-1] or not u.numel():
                return u, s, v
            signs = _signs(u)
            return u * signs, s, v * (signs.mT if transposed else signs)

        return run

    return wrap


def _qr_signs(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        q, r = call(*args, **kwargs)
        k = min(r.shape[-2:])
        signs = torch.where(torch.diagonal(r, 0, -2, -1).detach() < 0, -1.0, 1.0)
        rest = torch.cat([signs, signs.new_ones((*signs.shape[:-1], r.shape[-2] - k))], -1)[..., None]
        return (q * rest.mT if q.numel() else q), r * rest

    return run


def _triangle(place: int, usual: bool = False) -> Any:
    # What tlean reads of a triangular matrix is its triangle; PyTorch's derivative may have more.
    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, upper: bool = usual, **kwargs: Any) -> Any:
            given = list(args)
            given[place] = given[place].triu() if upper else given[place].tril()
            return call(*given, upper=upper, **kwargs)

        return run

    return wrap


def _only(n: int) -> Any:
    # The first results.
    return lambda call: lambda *args, **kwargs: call(*args, **kwargs)[:n]


# tlean's ----------------------------------------------------------------------------------------------------------------


def _cholesky(x: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    factor = tl.linalg.cholesky(x)
    return _t(factor) if upper else factor


def _cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    return tl.linalg.cholesky_solve(b, _t(tl.triu(factor)) if upper else tl.tril(factor))


def _cholesky_inverse(factor: Any, upper: bool = False) -> Any:
    return _cholesky_solve(tl.eye(factor.shape[-1], dtype=str(factor.dtype)), factor, upper)


def _places(pivots: Any, n: int) -> Any:
    # The rows of a matrix after the exchanges that LAPACK's pivots name, which count from 1.
    order = tl.broadcast_to(tl.arange(n), (*pivots.shape[:-1], n))
    for k in range(pivots.shape[-1]):
        other = pivots[..., k : k + 1] - 1
        here, there = order[..., k : k + 1], tl.take_along_axis(order, other, -1)
        order = tl.where(tl.arange(n) == other, here, order)
        order = tl.where(tl.arange(n) == k, there, order)
    return order


def _pivots(order: Any) -> Any:
    # The exchanges that bring the rows 0, 1, … into an order.
    n = order.shape[-1]
    rows, pivots = tl.broadcast_to(tl.arange(n), tuple(order.shape)), []
    for k in range(n):
        other = tl.argmax(rows == order[..., k : k + 1], -1, True)
        pivots.append(other + 1)
        here = rows[..., k : k + 1]
        rows = tl.where(tl.arange(n) == k, order[..., k : k + 1], tl.where(tl.arange(n) == other, here, rows))
    return tl.astype(tl.concat(pivots, -1), "int32") if n else tl.astype(order, "int32")


def _lu_factor(x: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    _square(x)
    if not pivot:
        raise Skip("LU factors without pivots")
    packed, order = tl.linalg.lu_factor(x)
    return packed, _pivots(order), *([tl.zeros(tuple(x.shape[:-2]), dtype="int32")] if get_infos else [])


def _lu(x: Any, *, pivot: bool = True) -> Any:
    _square(x)
    if not pivot:
        raise Skip("LU factors without pivots")
    return tl.linalg.lu(x)


def _lu_unpack(packed: Any, pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    _square(packed)
    if not (unpack_data and unpack_pivots):
        raise Skip("parts of a result that are left empty")
    n = packed.shape[-1]
    one = tl.eye(n, dtype=str(packed.dtype))
    order = _places(pivots, n)
    return _t(tl.one_hot(order, n, dtype=str(packed.dtype))), tl.tril(packed, -1) + one, tl.triu(packed)


def _lu_solve(packed: Any, pivots: Any, b: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    if not left:
        return _t(_lu_solve(packed, pivots, _t(b), adjoint=not adjoint))
    lead = torch.broadcast_shapes(tuple(packed.shape[:-2]), tuple(b.shape[:-2]))
    solve, order = tl.linalg.solve_triangular, _places(pivots, packed.shape[-1])
    rows = tl.broadcast_to(order, (*lead, order.shape[-1]))
    b = tl.broadcast_to(b, (*lead, *b.shape[-2:]))
    if not adjoint:
        b = tl.take_along_axis(b, tl.broadcast_to(rows[..., None], tuple(b.shape)), -2)
        return solve(packed, solve(packed, b, True, False, True))
    y = solve(packed, solve(packed, b, False, True), True, True, True)
    back = tl.argsort(rows, -1)
    return tl.take_along_axis(y, tl.broadcast_to(back[..., None], tuple(y.shape)), -2)


def _solve(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    vector = rank(b) == 1 or (rank(b) == rank(a) - 1 and tuple(b.shape) == tuple(a.shape[:-1]))
    b = b[..., None] if vector else b
    y = tl.linalg.solve(a, b) if left else _t(tl.linalg.solve(_t(a), _t(b)))
    return y[..., 0] if vector else y


def _solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    if left:
        return tl.linalg.solve_triangular(a, b, not upper, False, unitriangular)
    return _t(tl.linalg.solve_triangular(a, _t(b), not upper, True, unitriangular))


def _triangular_solve(b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False) -> Any:
    lead = torch.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    copy = tl.broadcast_to(tl.triu(a) if upper else tl.tril(a), (*lead, *a.shape[-2:]))
    return tl.linalg.solve_triangular(a, b, not upper, transpose, unitriangular), copy


def _with_info(f: Any) -> Any:
    return lambda a, *args, **kwargs: (f(a, *args, **kwargs), tl.zeros(tuple(a.shape[:-2]), dtype="int32"))


def _full(x: Any, whole: bool) -> None:
    if whole and x.shape[-1] != x.shape[-2]:
        raise Skip(_WHOLE)


def _svd(x: Any, full_matrices: bool = True, **_: Any) -> Any:
    _full(x, full_matrices)
    return tl.linalg.svd(x)


def _old_svd(x: Any, some: bool = True, compute_uv: bool = True) -> Any:
    _full(x, not some)
    u, s, vt = tl.linalg.svd(x)
    return u, s, _t(vt)


def _qr(x: Any, mode: str = "reduced") -> Any:
    if mode == "complete" and x.shape[-2] > x.shape[-1]:
        raise Skip("the whole square Q, of which some columns are arbitrary")
    q, r = tl.linalg.qr(x)
    return (tl.zeros((0,), dtype=str(x.dtype)) if mode == "r" else q), r


def _old_qr(x: Any, some: bool = True) -> Any:
    return _qr(x, "reduced" if some else "complete")


def _pinv(x: Any, *, atol: Any = None, rtol: Any = None, rcond: Any = None, hermitian: bool = False) -> Any:
    if any(v is not None for v in (atol, rtol, rcond)):
        raise Skip("a tolerance of small singular values")
    return tl.linalg.pinv((x + _t(x)) / 2 if hermitian else x)


def _rank(x: Any, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    if tol is not None or atol is not None or (rtol is not None and hasattr(rtol, "shape")):
        raise Skip("tolerances that are not relative to the largest singular value")
    return tl.linalg.matrix_rank((x + _t(x)) / 2 if hermitian else x, rtol)


def _cond(x: Any, p: Any = None) -> Any:
    return tl.linalg.cond(x, 2 if p is None else p)


def matrix_norm(x: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, dtype: Any = None) -> Any:
    """A norm of the matrices that two axes make, with PyTorch's arguments."""
    x = cast(x, dtype)
    rows, columns = (d % rank(x) for d in dim)
    y = tl.linalg.matrix_norm(tl.moveaxis(x, (rows, columns), (-2, -1)), ord)
    return tl.expand_dims(y, (rows, columns)) if keepdim else y


def _householder(v: Any, tau: Any, columns: int) -> Any:
    # The product of I − τ w wᵀ, w with zeros above its own place, 1 there, and v below.
    n = v.shape[-2]
    q = tl.eye(n, columns, dtype=str(v.dtype))
    for k in reversed(range(tau.shape[-1])):
        w = tl.concat([tl.zeros((*v.shape[:-2], k)), tl.ones((*v.shape[:-2], 1)), v[..., k + 1 :, k]], -1)
        q = q - tau[..., k][..., None, None] * w[..., :, None] * tl.matmul(w[..., None, :], q)
    return tl.broadcast_to(q, (*v.shape[:-2], n, columns))


def _reflected(v: Any, tau: Any, x: Any, left: bool = True, transpose: bool = False) -> Any:
    q = _householder(v, tau, v.shape[-2])
    q = _t(q) if transpose else q
    return tl.matmul(q, x) if left else tl.matmul(x, q)


def _tensorinv(x: Any, ind: int = 2) -> Any:
    lead, rest = tuple(x.shape[:ind]), tuple(x.shape[ind:])
    return tl.reshape(tl.linalg.inv(tl.reshape(x, (math.prod(lead), math.prod(rest)))), rest + lead)


def _tensorsolve(a: Any, b: Any, dims: Any = None) -> Any:
    n = rank(a)
    if dims is not None:
        a = tl.moveaxis(a, tuple(dims), tuple(range(n - len(dims), n)))
    rest = tuple(a.shape[rank(b) :])
    y = tl.linalg.solve(tl.reshape(a, (math.prod(b.shape), math.prod(rest))), tl.flatten(b))
    return tl.reshape(y, rest)


def _low_rank(a: Any, b: Any, q: int, centred: bool, shift: Any = None) -> Any:
    if shift is not None:
        raise Skip("a matrix of full rank, which random vectors approximate")
    x = tl.matmul(a, _t(b))
    x = x - tl.mean(x, -2, True) if centred else x
    u, s, vt = tl.linalg.svd(x)
    return u[..., :q], s[..., :q], _t(vt)[..., :q]


def _any_norm(x: Any, p: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return matrix_norm(x, p, (-2, -1) if axes_of(dim) is None else dim, keepdim, dtype)


ADAPTERS = {
    "cholesky": Gauged(lambda x, upper=False: _cholesky(x, upper=upper), _symmetric),
    "linalg.cholesky": Gauged(_cholesky, _symmetric),
    "linalg.cholesky_ex": Gauged(_with_info(_cholesky), _symmetric),
    "cholesky_inverse": Gauged(_cholesky_inverse, _triangle(0)),
    "cholesky_solve": Gauged(_cholesky_solve, _triangle(1, False)),
    "linalg.cond": _cond,
    "linalg.det": lambda x: tl.linalg.det(x),
    "logdet": lambda x: tl.linalg.logdet(x),
    "linalg.slogdet": lambda x: tl.linalg.slogdet(x),
    "linalg.eigh": Gauged(lambda x, UPLO="L": tl.linalg.eigh(x), _eigh_signs),
    "linalg.eigvalsh": Gauged(lambda x, UPLO="L": tl.linalg.eigvalsh(x), _symmetric),
    "linalg.householder_product": lambda v, tau: _householder(v, tau, v.shape[-1]),
    "ormqr": _reflected,
    "linalg.inv": lambda x: tl.linalg.inv(x),
    "linalg.inv_ex": _with_info(lambda x, *, check_errors=False: tl.linalg.inv(x)),
    "linalg.lstsq": Gauged(lambda a, b, driver=None, rcond=None: tl.linalg.lstsq(a, b), _only(1), "the solution alone is compared"),
    "linalg.lstsq.grad_oriented": Gauged(
        lambda a, b, driver=None, rcond=None: tl.linalg.lstsq(a, b), _only(1), "the solution alone is compared"
    ),
    "linalg.lu": _lu,
    "linalg.lu_factor": _lu_factor,
    "linalg.lu_factor_ex": lambda x, *, pivot=True, check_errors=False: _lu_factor(x, pivot, True),
    "linalg.lu_solve": _lu_solve,
    "lu": _lu_factor,
    "lu_solve": lambda b, packed, pivots: _lu_solve(packed, pivots, b),
    "lu_unpack": _lu_unpack,
    "linalg.matrix_norm": matrix_norm,
    "linalg.matrix_rank": _rank,
    "linalg.matrix_rank.hermitian": _rank,
    "matrix_exp": lambda x: tl.linalg.expm(x),
    "norm.nuc": _any_norm,
    "linalg.pinv": _pinv,
    "linalg.pinv.hermitian": Gauged(_pinv, _symmetric),
    "linalg.pinv.singular": lambda a, b: tl.linalg.pinv(tl.matmul(a, _t(b))),
    "pinverse": lambda x: tl.linalg.pinv(x),
    "linalg.qr": Gauged(_qr, _qr_signs),
    "qr": Gauged(_old_qr, _qr_signs),
    "linalg.solve": _solve,
    "linalg.solve_ex": _with_info(_solve),
    "linalg.solve_triangular": _solve_triangular,
    "triangular_solve": Gauged(_triangular_solve, _triangle(1, True)),
    "linalg.svd": Gauged(_svd, _svd_signs(True)),
    "svd": Gauged(_old_svd, _svd_signs(False)),
    "linalg.svdvals": lambda x: tl.linalg.svdvals(x),
    "svd_lowrank": Gauged(lambda a, b, q=6, M=None: _low_rank(a, b, q, False, M), _svd_signs(False)),
    "pca_lowrank": Gauged(lambda a, b, q=6, center=True: _low_rank(a, b, q, center), _svd_signs(False)),
    "linalg.tensorinv": _tensorinv,
    "linalg.tensorsolve": _tensorsolve,
}
