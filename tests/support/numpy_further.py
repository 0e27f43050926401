"""Further expressions that NumPy's user guide teaches, for the arrays of `numpy_guide`, with its marks."""

from __future__ import annotations

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
