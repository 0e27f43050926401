"""Expressions with the options of NumPy's functions that are made of several ops, and their corners; of the arrays of `numpy_guide`."""

from __future__ import annotations

OPTIONS = """
np.modf(np.where(v > 0, 2.5, v))
np.heaviside(v * 0, 0.5)
np.heaviside(np.where(v > 0, np.inf, v), v)
np.fmax(np.where(v > 0, np.nan, v), w)
np.fmin(v, np.where(w > 0, np.nan, w))
np.nan_to_num(np.where(v > 0, np.inf, v), posinf=9.0, neginf=-9.0)
np.nan_to_num(np.where(v > 0, np.nan, v), nan=3.0)
np.signbit(v * -0.0)
np.sinc(v * 0)
np.angle(v, deg=True)
divmod(2.0, w)
np.nansum(np.where(t, np.nan, a), axis=0)
np.nanmax(np.where(t, np.nan, a), axis=1, keepdims=True)
np.nanmin(np.where(t, np.nan, a), axis=0)
np.nanmean(np.where(t, np.nan, a), axis=(0, 1))
np.nanvar(np.where(t, np.nan, a), axis=0)
np.nanstd(np.where(a > 1, np.nan, a), axis=1, ddof=1)
np.nancumsum(np.where(t, np.nan, a), axis=1)
np.average(a, axis=1, weights=[1.0, 2.0, 3.0, 4.0])
np.average(a, weights=q)
np.average(a, 0, q, returned=True)
np.cov(a, rowvar=False)
np.cov(v, w)
np.cov(v)
np.cov(a, ddof=0)
np.corrcoef(v, w)
np.sum(a, where=a > 0)
np.mean(a, axis=0, where=[[True], [False], [True]])
np.prod(a, axis=1, where=t)
np.max(a, where=t, initial=-3.0)
np.min(a, axis=0, initial=0.0)
a.sum(initial=5.0)
a.sum(axis=1, dtype=np.float32)
np.any(t, where=[True, False, True, True], axis=1)
n.sum(dtype=float)
a.flatten("F")
a.reshape(2, -1, order="F")
np.reshape(a, (6, 2), order="F")
np.insert(v, [1, 3], [5.0, 6.0])
np.insert(v, 1, [5.0, 6.0])
np.insert(a, 1, [1.0, 2.0, 3.0], axis=1)
np.insert(a, [1], [[1.0], [2.0], [3.0]], axis=1)
np.insert(v, slice(1, 3), w[:2])
np.insert(n, 1, 2.5)
np.delete(v, [0, -1])
np.delete(a, slice(0, 4, 2), axis=1)
np.append(v, 1.0)
np.append(a, v)
np.array_split(v, [1, 9])
np.array_split(a, 3, axis=1)
np.hsplit(v, 2)
np.dsplit(a[None], 2)
np.rot90(a, -1)
np.rot90(a[None], 3, axes=(1, 2))
np.rollaxis(a[None], -1, -2)
np.resize(a, (5, 5))
np.unstack(a, axis=1)
np.block([[a, b], [np.zeros((1, 8))]])
np.block([1.0, v])
np.column_stack((v, a.T))
np.take_along_axis(a, i, axis=None)
np.choose(i, [v[:3], 5.0, 7.0])
np.select([a > 1, a > 0], [a * 2, a * 3], b)
np.piecewise(a, [a < -1, a < 0], [lambda e: e * e, 3.0, np.exp])
np.isin(n, i, invert=True)
np.interp(v, [-1.0, 0.0, 2.0], w[:3], left=-7.0, right=8.0)
np.interp(0.5, [0.0, 1.0], v[:2])
np.interp(a, np.sort(v), w)
np.polyval(v, a)
np.vander(v, 3, increasing=True)
np.convolve(v, w[:3], "same")
np.convolve(v[:2], w, "valid")
np.correlate(v, w[:2])
np.correlate(v, w, "full")
np.trapezoid(a, dx=0.5, axis=0)
np.trapezoid(a, np.cumsum(q, axis=1))
np.gradient(a, 0.5, axis=1)
np.gradient(a, 1.0, 2.0)
np.ediff1d(v, to_begin=-9.0, to_end=[1.0, 2.0])
np.cross(a, b, axis=0)
np.cross(m, v[:3])
np.linalg.matrix_power(m, 0)
np.unwrap(9 * v)
np.unwrap(v, period=1.0)
np.digitize(v, [-1.0, 0.0, 1.0], right=True)
np.hypot.outer(v, w)
np.add.outer(3.0, v)
np.greater.outer(v, a)
np.vecdot(a, b)
np.matvec(a, v)
np.vecmat(v[:3], a)
np.linalg.vector_norm(a, axis=1, ord=1)
"""

#: Further expressions of the guide.
FURTHER = """
np.arange(12).reshape(3, 4) % 5 + n
np.mgrid[0:3, 0:4][0] * a
? np.ascontiguousarray(a.T)
? np.require(v, dtype=np.float64) * 2
a.reshape(2, 2, -1).transpose(2, 0, 1)
v.sum(where=v > 0)
a.max(axis=0, initial=0.5)
a.mean(axis=1, where=n % 2 == 0)
np.minimum.accumulate(v)
np.maximum.reduceat(v, [0, 1, 3])
np.multiply.reduceat(a, [0, 2], axis=1)
np.cumulative_sum(v)
np.cumulative_prod(v)
np.diff(a, n=2, axis=1)
np.nanargmax(a)
np.nanargmin(a, axis=0)
np.trim_zeros(np.array([0, 0, 1])) * v[0]
np.lib.stride_tricks.sliding_window_view(a, (2, 2)).sum(axis=(-1, -2))
np.lib.stride_tricks.sliding_window_view(n, 3, axis=1).max(axis=-1)
np.apply_along_axis(lambda r: r * r.sum(), 1, a)
np.apply_over_axes(np.sum, a, [0, 1])
np.partition(a, 1, axis=0)[1]
np.linalg.lstsq(a.T, v, rcond=None)[0]
np.linalg.matrix_rank(a)
! np.linalg.tensorinv(m.reshape(3, 3), ind=1)
np.linalg.norm(m, 2)
np.gcd(n, i[:, None])
np.lcm.reduce([2, 3]) * n
np.gcd.outer(i, i)
np.ldexp(a, i[:, None])
np.frexp(b)[0]
np.frexp(-q)[1]
np.convolve(n[0], [1, 2])
np.correlate(n[0], i, "same")
np.stack([n[0, 0], 2])
np.concatenate([n[0], [1, 2]])
np.where(t, n, 0)
n.sum(axis=0) // 2
(n > 3).sum(axis=1)
! np.bitwise_count(n)
np.histogram(v, bins=4, range=(-2, 2))[0]
np.histogram(v, bins=[-2, 0, 2])[1]
np.digitize(v, [-1.0, 0.0, 1.0])
np.searchsorted([0, 1, 2], v)
np.polyfit(np.arange(4), v, 1)
np.polyder([3.0, 2.0, 1.0]) * s
np.interp([0.5, 1.5], [0, 1, 2, 3], v)
np.gradient(a, axis=0)
np.clip(n, 2, None)
np.allclose(a, a)
np.array_equal(n, n)
np.argpartition(w, 1)[1]
np.unravel_index(np.argmin(b), b.shape)[0]
np.ravel_multi_index((i, j), (3, 4))
np.tril_indices(3)[0] * s
a[np.tril_indices(3)]
a[np.diag_indices(3)]
np.einsum("ii->i", m)
np.kron(i, v)
np.dsplit(a[None], 2)[1]
np.unstack(a)[1]
np.float64(2) ** v
2 ** i
-n // 2
n & 3
t ^ True
~t & (a > 0)
np.average(a, axis=0, weights=[1, 2, 3])
np.sort(a, axis=None)[::-1]
np.isin(n, [1, 2])
np.select([a > 1, a < -1], [a, -a], 0.0)
np.piecewise(v, [v < 0, v >= 0], [lambda x: -x, lambda x: x])
np.heaviside(v, 0.5)
! np.fft.rfft(v)
"""
