"""Decompositions by LAPACK, as NumPy calls it: `function(outs, ins, options)` fills the outputs.

Every matrix of a batch is decomposed by itself. One that LAPACK finds no decomposition of, and one with NaN or an infinity, gives NaN.
LAPACK's bits may differ from machine to machine, and with the threads that it uses.
"""

import itertools

import numpy as np


def _each(function, x, out):
    # The function of a batch; matrix by matrix where it fails for one of them. With an infinity, LAPACK may never end.
    if not x.size:
        out[...] = 0
        return
    finite = np.isfinite(x).all(axis=(-2, -1))
    if not finite.all():
        out[...] = np.nan
        if finite.any():
            made = np.empty((np.count_nonzero(finite), *out.shape[x.ndim - 2 :]), out.dtype)
            _each(function, x[finite], made)
            out[finite] = made
        return
    try:
        out[...] = function(x)
    except np.linalg.LinAlgError:
        for i in np.ndindex(x.shape[:-2]):
            try:
                out[i] = function(x[i])
            except np.linalg.LinAlgError:
                out[i] = np.nan


def signs(v):
    """For each column the sign that makes its first component positive, of those above rounding: (…, 1, columns)."""
    size = np.abs(v)
    counts = size > 10 * v.shape[-2] * np.finfo(v.dtype).eps * size.max(axis=-2, keepdims=True)
    first = np.take_along_axis(v, counts.argmax(axis=-2)[..., np.newaxis, :], axis=-2)
    return np.where(first < 0, -1, 1).astype(v.dtype)


def _eigh(x):
    w, v = np.linalg.eigh(x * 0.5 + np.swapaxes(x, -1, -2) * 0.5)
    return np.concatenate([w[..., np.newaxis, :], v * signs(v)], axis=-2)


def _svd(x):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    turn = signs(u)
    lead = x.shape[:-2]
    return np.concatenate([(u * turn).reshape(*lead, -1), s, (vh * np.swapaxes(turn, -1, -2)).reshape(*lead, -1)], axis=-1)


def _qr(x):
    q, r = np.linalg.qr(x)
    turn = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(x.dtype)
    # A zero below the diagonal stays the zero that it is.
    return np.concatenate([q * turn[..., np.newaxis, :], np.triu(r * turn[..., np.newaxis])], axis=-2)


def _lu_tall(x):
    # In panels of columns: what is to the right of one is brought up to date by one product.
    y, (m, n) = x.copy(), x.shape[-2:]
    order = np.broadcast_to(np.arange(m), x.shape[:-1]).copy()
    for first in range(0, n, _PANEL):
        last = min(first + _PANEL, n)
        for j in range(first, last):
            at = j + np.abs(y[..., j:, j]).argmax(axis=-1)[..., np.newaxis]
            for a in (y, order[..., np.newaxis]):
                pivot = np.take_along_axis(a, at[..., np.newaxis], axis=-2)
                np.put_along_axis(a, at[..., np.newaxis], a[..., j : j + 1, :].copy(), axis=-2)
                a[..., j : j + 1, :] = pivot
            head = y[..., j, j][..., np.newaxis]
            y[..., j + 1 :, j] = np.where(head == 0, 0, y[..., j + 1 :, j] / np.where(head == 0, 1, head))
            y[..., j + 1 :, j + 1 : last] -= y[..., j + 1 :, j : j + 1] * y[..., j : j + 1, j + 1 : last]
        if last < n:
            for j in range(first, last):
                y[..., j + 1 : last, last:] -= y[..., j + 1 : last, j : j + 1] * y[..., j : j + 1, last:]
            y[..., last:, last:] -= y[..., last:, first:last] @ y[..., first:last, last:]
    return np.concatenate([y, order[..., np.newaxis].astype(x.dtype)], axis=-1)


_PANEL = 32


def _complement(x):
    q = np.linalg.qr(x, mode="complete")[0][..., x.shape[-1] :]
    return q * signs(q) if q.size else q


def _pinv(x):
    return np.linalg.pinv(x, rcond=max(x.shape[-2:]) * np.finfo(x.dtype).eps)


#: Numerator of the diagonal Padé approximant of degree 13, and the norm up to which it is exact to double precision (Higham 2005).
PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800, 33522128640,
    1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
NORM = 5.371920351148152


def _expm(x):
    # Scaled by a power of two, each matrix by its own; squared as often. In double precision: squaring loses digits.
    a = x.astype(np.float64)
    norm = np.abs(a).sum(axis=-2).max(axis=-1)
    with np.errstate(all="ignore"):
        steps = np.where(norm > NORM, np.ceil(np.log2(norm / NORM)), 0)
    known = np.isfinite(steps) & (steps < 2000)
    steps = np.where(known, steps, 0).astype(int)
    y = np.full(a.shape, np.nan)
    for s in np.unique(steps[known]):
        chosen = known & (steps == s)
        y[chosen] = _squared(a[chosen] * 0.5**s, s)
    return y


def _squared(a, times):
    b, one = PADE, np.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    u = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one)
    v = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    y = np.linalg.solve(v - u, v + u)
    for _ in range(times):
        y = y @ y
    return y


def _on_host(function):
    def run(outs, ins, options):
        with np.errstate(all="ignore"):
            _each(function, ins[0], outs[0])

    return run


def _complement_of(outs, ins, options):
    # Without columns the whole basis is missing.
    x, out = ins[0], outs[0]
    if x.shape[-1]:
        _on_host(_complement)(outs, ins, options)
    else:
        out[...] = np.eye(out.shape[-2], dtype=out.dtype)


def _lu_tall_of(outs, ins, options):
    # An order of rows there is without columns, too.
    with np.errstate(all="ignore"):
        outs[0][...] = _lu_tall(ins[0])


def _require(outs, ins, options):
    y, a, b = ins
    outs[0][...] = y
    lead = y.shape[:-2]
    failed = np.isnan(y).any(axis=(-2, -1))
    for given in (a, b):
        if given is not None and failed.any():
            failed = failed & np.broadcast_to(np.isfinite(given).all(axis=(-2, -1)), lead)
    if failed.any():
        which = f"matrix {tuple(int(k) for k in np.argwhere(failed)[0])}" if lead else "the matrix"
        raise np.linalg.LinAlgError(f"{options['op']}: {which} must be {options['need']}")


#: Up to this condition of a matrix its inverse gives cofactors to about ten digits of the norm, and derivatives up to its roots; by the
#: bytes of a number.
CONDITION = {4: 1e4, 8: 1e6}


def _cofactors(outs, ins, options):
    """Cofactors of matrices that have no inverse, or a poor one, and their derivatives: z, and what it should be where its formula fails.

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
        bound = CONDITION[x.itemsize] ** (1 / (len(ts) + 1))
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
    # g times the matrices whose product with T is the derivative of det in the directions ts and T: for x = U diag(s) Vᵀ that in T₁ … Tₚ is
    # det U det V times the sum, over all p different places i, of the product of the s that are elsewhere times the determinant whose row
    # for iₐ is that of Uᵀ Tₐ V. It divides by nothing that is small. Each x is 2ʳ U diag(s) Vᵀ 2ᶜ, with a
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


#: By name, what `tlean.ops.matrices.spectra` calls.
FUNCTIONS = {f.__name__[1:]: _on_host(f) for f in (_eigh, _svd, _qr, _pinv, _expm)}
FUNCTIONS |= {"cofactors": _cofactors, "require": _require, "lu_tall": _lu_tall_of, "complement": _complement_of}
