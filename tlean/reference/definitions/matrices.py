"""Definitions of factors of matrices and of what is solved with them, one matrix at a time."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from math import isqrt
from typing import Any

import numpy as np

from tlean.errors import LinAlgError

from .scalars import NotExactError, is_exact, log, number, zeros


def _batched(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    # The function of each matrix of arrays whose leading axes broadcast.
    lead = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    spread = [np.broadcast_to(a, lead + a.shape[-2:]) for a in arrays]
    if 0 in lead:
        # No matrix: the shape of a result is that of zeros.
        like = function(*(_identity(a.shape[-2], a.shape[-1], arrays[0]) for a in arrays))
        return np.empty(lead + like.shape, dtype=like.dtype)
    results = [np.asarray(function(*(a[i] for a in spread))) for i in np.ndindex(*lead)]
    out = np.empty((len(results), *results[0].shape), dtype=results[0].dtype)
    for i, y in enumerate(results):
        out[i] = y if y.ndim else y[()]
    return out.reshape(lead + results[0].shape)


def _identity(n: int, m: int, like: np.ndarray) -> np.ndarray:
    y = zeros((n, m), like)
    for i in range(min(n, m)):
        y[i, i] = number(1, like)
    return y


def _refused(shape: tuple[int, ...], like: np.ndarray, what: str) -> np.ndarray:
    # NaN; exact numbers have none.
    if is_exact(like):
        raise LinAlgError(f"a matrix must be {what}")
    return np.full(shape, np.nan, dtype=like.dtype)


def _root(x: Any) -> Any:
    if not isinstance(x, Fraction):
        return np.sqrt(x)
    up, down = isqrt(x.numerator), isqrt(x.denominator)
    if up * up != x.numerator or down * down != x.denominator:
        raise NotExactError(f"the root of {x} is not rational")
    return Fraction(up, down)


def cholesky(x: Any) -> Any:
    def factor(a):
        n, a, y = len(a), (a + a.T) * number(0.5, a), zeros(a.shape, a)
        for j in range(n):
            d = a[j, j] - np.sum(y[j, :j] * y[j, :j])
            if not d > 0:
                return _refused(a.shape, a, "positive definite")
            y[j, j] = _root(d)
            for i in range(j + 1, n):
                y[i, j] = (a[i, j] - np.sum(y[i, :j] * y[j, :j])) / y[j, j]
        return y

    return _batched(factor, x)


def _substitute(t: Any, b: Any, back: Any, unit: Any) -> Any:
    # T⁻¹ b for a triangular T, upper where `back`.
    n, y = len(t), b.copy()
    if not unit and any(t[i, i] == 0 for i in range(n)):
        return _refused(b.shape, b, "invertible")
    for i in range(n)[:: -1 if back else 1]:
        for j in range(i + 1, n) if back else range(i):
            y[i] = y[i] - t[i, j] * y[j]
        if not unit:
            y[i] = y[i] / t[i, i]
    return y


def solve_triangular(a: Any, b: Any, *, lower: Any, transpose: Any, unit_diagonal: Any) -> Any:
    return _batched(lambda t, x: _substitute(t.T if transpose else t, x, lower == transpose, unit_diagonal), a, b)


def _lu(a: Any) -> Any:
    # L and U in one array by partial pivoting, and the order of the rows.
    n, y, rows = len(a), a.copy(), list(range(len(a)))
    for j in range(a.shape[1]):
        p = max(range(j, n), key=lambda i: (abs(y[i, j]), -i))
        y[[j, p]] = y[[p, j]]
        rows[j], rows[p] = rows[p], rows[j]
        for i in range(j + 1, n):
            y[i, j] = y[i, j] / y[j, j] if y[j, j] != 0 else number(0, a)
            y[i, j + 1 :] = y[i, j + 1 :] - y[i, j] * y[j, j + 1 :]
    return y, rows


def solve(a: Any, b: Any, factors: Any, *, transpose: Any) -> Any:
    def one(m, x):
        y, rows = _lu(m.T if transpose else m)
        return _substitute(y, _substitute(y, x[rows], False, True), True, False)

    return _batched(one, a, b)


def _signed(rows: list[int]) -> int:
    return -1 if sum(rows[j] > rows[i] for i in range(len(rows)) for j in range(i)) % 2 else 1


def det(a: Any, factors: Any) -> Any:
    def one(m):
        y, rows = _lu(m)
        product = number(_signed(rows), m)
        for i in range(len(m)):
            product = product * y[i, i]
        return np.array(product, dtype=m.dtype)

    return _batched(one, a)


def cofactors(z: Any, x: Any, d: Any, inverse: Any, factor: Any, *ts: Any) -> Any:
    def one(a, g, *moved):
        # By Leibniz: every permutation, and every way to have its entries but one from the directions, the others from a.
        n, y = len(a), zeros(a.shape, a)
        for order in permutations(range(n)):
            for rows in permutations(range(n), len(moved) + 1):
                term = number(_signed(list(order)), a) * g[0, 0]
                for i, j in enumerate(order):
                    if i in rows[:-1]:
                        term = term * moved[rows.index(i)][i, j]
                    elif i != rows[-1]:
                        term = term * a[i, j]
                y[rows[-1], order[rows[-1]]] = y[rows[-1], order[rows[-1]]] + term
        return y

    return _batched(one, x, factor[..., np.newaxis, np.newaxis], *ts)


def logabsdet(a: Any, factors: Any) -> Any:
    return log(np.abs(det(a, factors)))


def sign(a: Any, factors: Any) -> Any:
    d = det(a, factors)
    return np.where(d > 0, number(1, a), np.where(d < 0, number(-1, a), d))


def lu(a: Any, factors: Any) -> Any:
    return _batched(lambda m: _lu(m)[0], a)


def rows(a: Any, factors: Any) -> Any:
    return _batched(lambda m: np.array(_lu(m)[1], dtype=np.int64), a)


def factors(a: Any) -> Any:
    return np.zeros((*a.shape[:-1], a.shape[-1] + 1), np.int64)


# Spectra: by rotations, which need nothing but square roots ---------------------------------------------------------------------


def _positive_first(v: Any) -> Any:
    # For each column the sign that makes its first component positive, of those above rounding.
    size = np.abs(v)
    bound = 1e-12 * np.max(size, axis=0, initial=0)
    return np.array([1 if v[np.argmax(size[:, j] > bound[j]), j] >= 0 else -1 for j in range(v.shape[1])], dtype=v.dtype)


def _need_floats(x: Any, name: Any) -> None:
    if is_exact(x):
        raise NotExactError(f"{name} are not rational")


def _rotated(x: Any) -> Any:
    # One-sided Jacobi rotations: x V with orthogonal columns, and V.
    n = x.shape[1]
    y, v = x.copy(), _identity(n, n, x)
    for _ in range(60):
        off = number(0, x)
        for i in range(n):
            for j in range(i + 1, n):
                a, b, c = np.sum(y[:, i] * y[:, i]), np.sum(y[:, j] * y[:, j]), np.sum(y[:, i] * y[:, j])
                if c == 0 or abs(c) <= np.finfo(x.dtype).eps * np.sqrt(a * b):
                    continue
                off = max(off, abs(c) / np.sqrt(a * b))
                z = (b - a) / (2 * c)
                t = (1 if z >= 0 else -1) / (abs(z) + np.sqrt(1 + z * z))
                cosine = 1 / np.sqrt(1 + t * t)
                turn = np.array([[cosine, cosine * t], [-cosine * t, cosine]], dtype=x.dtype)
                y[:, [i, j]], v[:, [i, j]] = y[:, [i, j]] @ turn, v[:, [i, j]] @ turn
        if off == 0:
            break
    return y, v


def _svd(x: Any) -> Any:
    # U, s and V of a matrix with no more columns than rows, of full rank.
    y, v = _rotated(x)
    s = np.sqrt(np.sum(y * y, axis=0))
    order = np.argsort(-s, kind="stable")
    return y[:, order] / s[order], s[order], v[:, order]


def _thin(x: Any) -> Any:
    if x.shape[0] >= x.shape[1]:
        return _svd(x)
    v, s, u = _svd(x.T)
    return u, s, v


def svd(x: Any) -> Any:
    _need_floats(x, "singular values")

    def one(a):
        u, s, v = _thin(a)
        turn = _positive_first(u)
        return np.concatenate([(u * turn).ravel(), s, (v * turn).T.ravel()])

    return _batched(one, x)


def eigh(x: Any) -> Any:
    _need_floats(x, "eigenvalues")

    def one(a):
        # Of a matrix whose eigenvalues are made positive by a shift they are the singular values.
        n, a = len(a), (a + a.T) / 2
        shift = 2 * np.max(np.sum(np.abs(a), axis=1), initial=0) + 1
        _, s, v = _svd(a + shift * _identity(n, n, a))
        v = v[:, ::-1]
        return np.concatenate([(s[::-1] - shift)[np.newaxis], v * _positive_first(v)])

    return _batched(one, x)


def qr(x: Any) -> Any:
    _need_floats(x, "lengths")

    def one(a):
        # Gram-Schmidt, twice.
        n, q, r = a.shape[1], a.copy(), zeros((a.shape[1],) * 2, a)
        for j in range(n):
            for _ in range(2):
                part = q[:, :j].T @ q[:, j]
                q[:, j] = q[:, j] - q[:, :j] @ part
                r[:j, j] = r[:j, j] + part
            r[j, j] = np.sqrt(np.sum(q[:, j] * q[:, j]))
            q[:, j] = q[:, j] / r[j, j]
        return np.concatenate([q, r])

    return _batched(one, x)


def pinv(x: Any) -> Any:
    _need_floats(x, "singular values")

    def one(a):
        u, s, v = _thin(a)
        return (v / s) @ u.T

    return _batched(one, x)


def lu_tall(x: Any) -> Any:
    def one(a):
        y, order = _lu(a)
        return np.concatenate([y, np.array([[number(r, x)] for r in order], dtype=x.dtype).reshape(len(y), 1)], axis=1)

    return _batched(one, x)


def complement(u: Any) -> Any:
    _need_floats(u, "lengths")

    def one(a):
        # The unit vectors that are furthest from the columns so far, made orthogonal to them, twice.
        found = list(a.T)
        while len(found) < len(a):
            rest = _identity(len(a), len(a), a)
            for _ in range(2):
                for v in found:
                    rest = rest - np.outer(v, v @ rest)
            lengths = np.sum(rest * rest, axis=0)
            best = rest[:, int(np.argmax(lengths))]
            found.append(best / np.sqrt(np.sum(best * best)))
        c = np.array(found[a.shape[1] :], dtype=a.dtype).reshape(-1, len(a)).T
        return c * _positive_first(c) if c.size else c

    return _batched(one, u)


def expm(x: Any) -> Any:
    _need_floats(x, "exponentials")

    def one(a):
        # The series of a matrix that was halved until it is small; squared as often.
        times = max(0, int(np.ceil(np.log2(np.max(np.sum(np.abs(a), axis=0), initial=0) + 0.25))) + 2)
        a = a / number(2.0**times, a)
        total = term = _identity(len(a), len(a), a)
        for k in range(1, 30):
            term = term @ a / number(k, a)
            total = total + term
        for _ in range(times):
            total = total @ total
        return total

    return _batched(one, x)


DEFINITIONS: dict[str, Callable[..., Any]] = {
    "_linalg_cholesky": cholesky,
    "_linalg_solve_triangular": solve_triangular,
    "_linalg_factors": factors,
    "_linalg_solve": solve,
    "_linalg_det": det,
    "_linalg_logabsdet": logabsdet,
    "_linalg_sign": sign,
    "_linalg_lu": lu,
    "_linalg_rows": rows,
    "_linalg_eigh": eigh,
    "_linalg_svd": svd,
    "_linalg_qr": qr,
    "_linalg_pinv": pinv,
    "_linalg_expm": expm,
    "_linalg_lu_tall": lu_tall,
    "_linalg_require": lambda y, a, b, *, op, need: y,
    "_linalg_complement": complement,
    "_linalg_cofactors": cofactors,
}
