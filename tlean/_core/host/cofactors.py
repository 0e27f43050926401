"""Cofactors of matrices that have no inverse, or a poor one, and their derivatives: `singular(outs, ins, options)` puts them in.

With x = U diag(s) Vᵀ, the derivative of det x in directions T₁ … Tₚ is det U det V times the sum, over all p different places i, of the
product of the s that are elsewhere times the determinant whose row for iₐ is that of Uᵀ Tₐ V. It divides by nothing that is small.
"""

import itertools

import numpy as np

#: Up to this condition of a matrix its inverse gives cofactors to about ten digits of the norm, and derivatives up to its roots; by the
#: bytes of a number.
_CONDITION = {4: 1e4, 8: 1e6}


def singular(outs, ins, options):
    """Fill the output with z, and where the matrix is unfit for z's formula with what it should be.

    Args:
        outs: y.
        ins: z, the derivative of det in the directions ts by the inverse; the matrices x, their determinants, their transposed inverses, a
            factor for each matrix, ts.
        options: none.
    """
    z, x, d, inverse, g, *ts = ins
    out = outs[0]
    if out.__array_interface__["data"] != z.__array_interface__["data"]:
        out[...] = z
    with np.errstate(all="ignore"):
        unfit = (d == 0) | (d - d != 0)
        bound = _CONDITION[x.itemsize] ** (1 / (len(ts) + 1))
        # Of all at once; matrix by matrix where that does not tell.
        if not _largest(x) * _largest(inverse) * x.shape[-1] <= bound:
            unfit |= ~(_norms(x) * _norms(inverse) <= bound)
        if unfit.any():
            unfit &= np.isfinite(x).all(axis=(-2, -1))
            out[unfit] = _derivative(x[unfit].astype(np.float64), g[unfit], [t[unfit].astype(np.float64) for t in ts])


def _largest(x):
    return float(max(x.max(initial=0), -x.min(initial=0)))


def _norms(x):
    # By products: NumPy's maximum is slow along short axes.
    x = x.astype(np.float64, copy=False)
    return np.sqrt(np.einsum("...ij,...ij->...", x, x))


def _exponents(x, axis):
    return np.frexp(np.abs(x).max(axis=axis, keepdims=True, initial=0))[1]


def _derivative(x, g, ts):
    # g times the matrices whose product with T is the derivative of det in the directions ts and T. Each x is 2ʳ U diag(s) Vᵀ 2ᶜ, with a
    # power of two for each row and column; an s within rounding of 0 is 0.
    n, p = x.shape[-1], len(ts) + 1
    rows = _exponents(x, 2)
    columns = _exponents(np.ldexp(x, -rows), 1)
    scale = rows + columns
    u, s, v = np.linalg.svd(np.ldexp(x, -scale))
    zero = s <= n * np.finfo(np.float64).eps * s.max(axis=1, keepdims=True, initial=0)
    s = np.where(zero, 1.0, s)
    parts, exponents = np.frexp(s)
    moved = [np.swapaxes(u, 1, 2) @ np.ldexp(t, -scale) @ np.swapaxes(v, 1, 2) for t in ts]
    weights = _elsewhere(parts.prod(axis=1), s, zero, p)
    total = np.zeros(x.shape)
    for order in itertools.permutations(range(p)):
        operands = [part for a, t in enumerate(moved) for part in (t, [p, a, order[a]])]
        even = sum(a > b for a, b in itertools.combinations(order, 2)) % 2 == 0
        alone = order[-1] == p - 1
        part = np.einsum(weights, [p, *range(p)], *operands, [p, p - 1] if alone else [p, p - 1, order[-1]])
        total += (1 if even else -1) * (part[:, :, np.newaxis] * np.eye(n) if alone else part)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(v)) * g
    whole = (rows.sum(axis=1) + columns.sum(axis=2))[..., np.newaxis] + exponents.sum(axis=1)[:, np.newaxis, np.newaxis]
    return np.ldexp(sign[:, np.newaxis, np.newaxis] * (u @ total @ v), whole - scale)


def _elsewhere(product, s, zero, p):
    # For each p places the product of the s that are not there; 0 where places are the same.
    n, places = s.shape[1], np.indices((s.shape[1],) * p)
    weights = np.broadcast_to(product.reshape(-1, *(1,) * p), (len(s), *(n,) * p)).copy()
    left = np.broadcast_to(zero.sum(axis=1).reshape(-1, *(1,) * p), weights.shape).copy()
    for k in places:
        weights /= s[:, k]
        left -= zero[:, k]
    weights[left > 0] = 0
    for a, b in itertools.combinations(places, 2):
        weights[:, a == b] = 0
    return weights
