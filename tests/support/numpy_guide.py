"""Expressions that NumPy's user guide teaches, topic by topic, for arrays of a program.

`a` and `b` have shape (3, 4), `q` too and is positive, `m` (3, 3) is symmetric and positive definite, `v` and `w` (4,), `s` has no axes;
all of them are float64. `n` (3, 4), `i` and `j` (3,) are int64, `t` (3, 4) is bool. An expression may follow statements.

Before an expression, `?` says that it needs values, which a program that is recorded has not: there it is an error. `!` says that no op
is that function: it is an error that says what to use. All others behave as in NumPy on every kind of value.
"""

from __future__ import annotations

GUIDE = {
    "creation": """
? np.array([v, w])
? np.array(v)
? np.asarray(a)
? np.asarray(v, dtype=np.float32)
np.zeros_like(a)
np.ones_like(n)
np.full_like(v, 7.5)
np.empty_like(a).shape
np.zeros(a.shape) + a
np.arange(4) * v
np.linspace(0, 1, 4) + v
np.eye(3) @ m
np.identity(3) * m
np.diag(v)
np.diag(m, 1)
np.diagflat(v)
np.vander(v, 3)
np.tri(3) * m
np.fromfunction(lambda r, c: r + c, (3, 4)) + a
np.meshgrid(v, w)[1]
np.stack(np.meshgrid(v, w, indexing="ij"))
np.copy(a)
np.tril(m)
np.triu(m, 1)
! np.fill_diagonal(m.copy(), 0)
""",
    "attributes": """
a.shape
a.ndim
a.size
len(a)
a.dtype
n.dtype
t.dtype
a.itemsize
a.nbytes
a.T.shape
a.T
m.mT
a.real
a.imag
a.flat[5]
? [float(e) for e in a.flat]
! a.strides
! a.flags.c_contiguous
a.dtype.name
np.shape(a)
np.result_type(a, n)
isinstance(a.shape, tuple)
""",
    "indexing": """
v[2]
v[-2]
a[1, 3]
a[0][2]
a[-1]
a[1:3]
a[:, 1]
a[:, -1:]
a[::2, ::-1]
a[..., 0]
a[:, np.newaxis, :]
v[:, None] - v[None, :]
v[[1, 1, 3, 0]]
a[i]
a[[0, 2], [1, 3]]
a[np.array([0, 2])]
a[i, j]
a[i[:, None], [0, 3]]
a[np.ix_([0, 2], [1, 3])]
a[:, [2, 0]]
a[1:, [2, 0, 1]]
a[[True, False, True]]
a[np.array([True, False, True]), 1]
? a[a > 0]
? a[t]
? a[~t]
? a[t].sum()
? v[v < 1]
? v[(v > -1) & (v < 1)]
? a[a.sum(axis=1) > 0]
? a[n > 5]
a[0, ..., np.newaxis]
a[()]
s[()]
s[...]
a[slice(1, 3), slice(None, None, 2)]
? a.item(5)
? a.item(1, 2)
a[n[:2, :2] % 3]
v[n % 4]
np.take(v, i)
np.take(a, [0, 2], axis=1)
a.take(i, axis=0)
np.take_along_axis(a, np.argsort(a, axis=1), axis=1)
np.choose(i, [v[:3], w[:3], v[1:]])
np.compress([True, False, True], a, axis=0)
? np.extract(a > 0, a)
np.select([v < 0, v < 1], [v, v**2], 0.0)
? np.where(a > 0)
? np.nonzero(a)
? np.argwhere(t)
? np.flatnonzero(v)
np.unravel_index(np.argmax(a), a.shape)
np.delete(v, 1)
np.delete(a, [0, 2], axis=1)
np.insert(v, 1, 9.0)
np.append(v, w)
np.append(a, b, axis=0)
! y = a.copy(); y[0] = 1.0; y
! y = a.copy(); y[a < 0] = 0; y
! y = v.copy(); y[1:3] += 1; y
y = a; y = y + 1; y
y = v; y += 1; y
y = v; y *= w; y
for e in v: s = s + e; s
""",
    "broadcasting": """
a + v
a * 2.0
a * v[:, None][:3]
a - a.mean(axis=0)
a - a.mean(axis=1, keepdims=True)
(a - a.mean(axis=0)) / a.std(axis=0)
v[:, np.newaxis] + w
v.reshape(4, 1) * w
np.sqrt(np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=-1))
a + s
np.broadcast_to(v, (3, 4))
np.broadcast_arrays(a, v)[1]
np.broadcast_shapes(a.shape, v.shape)
np.add.outer(v, w)
np.multiply.outer(v, w)
np.subtract.outer(v, v)
a + n
a * t
n + t
v + [1, 2, 3, 4]
[1, 2, 3, 4] * v
(1, 2, 3, 4) - v
np.float32(0.5) * v
v * np.array(2)
""",
    "arithmetic": """
a + b
a - b
a * b
a / b
a // b
a % b
a ** 2
q ** 0.5
q ** v
2 ** v
divmod(q, 2)
-a
abs(a)
round(float(s.shape == ()), 2)
n // 2
n % 3
n / 2
n ** 2
-n
n * n - n
n & 1
n | 4
n ^ 3
n << 1
n >> 1
~n
~t
t & (n > 3)
t | (a > 0)
t ^ t
a > b
a <= 0
n == 3
a != a
0 < v
(v > 0).any()
(a > -9).all()
np.any(a > 1, axis=0)
np.logical_and(a > 0, t)
np.logical_not(t)
np.allclose(a, a + 1e-12)
np.isclose(a, a + 1e-12)
np.array_equal(a, b)
""",
    "functions": """
np.exp(v)
np.exp2(v)
np.expm1(v)
np.log(q)
np.log2(q)
np.log10(q)
np.log1p(q)
np.sqrt(q)
np.cbrt(v)
np.square(v)
np.sin(v)
np.cos(v)
np.tan(v)
np.arcsin(v / 9)
np.arccos(v / 9)
np.arctan(v)
np.arctan2(a, b)
np.hypot(a, b)
np.sinh(v)
np.cosh(v)
np.tanh(v)
np.arcsinh(v)
np.arccosh(q + 1)
np.arctanh(v / 9)
np.degrees(v)
np.radians(v)
np.deg2rad(v)
np.rad2deg(v)
np.unwrap(v)
np.round(a, 1)
np.fix(a)
np.floor(a)
np.ceil(a)
np.trunc(a)
np.sign(a)
np.abs(a)
np.maximum(a, b)
np.minimum(a, 0)
np.fmax(a, b)
np.fmin(a, b)
np.fmod(a, 2)
np.mod(a, 2)
np.remainder(a, b)
np.modf(a)
np.divmod(q, 2)
np.power(q, 1.5)
np.float_power(q, 2)
np.reciprocal(q)
np.positive(a)
np.logaddexp(a, b)
np.logaddexp2(a, b)
np.copysign(a, b)
np.heaviside(a, 0.5)
np.sinc(v)
! np.i0(v)
np.clip(a, -1, 1)
a.clip(-0.5, 0.5)
np.nan_to_num(a / 1.0)
np.isnan(a)
np.isfinite(a)
np.signbit(a)
np.interp(v, [0.0, 1.0, 2.0], [1.0, 3.0, 2.0])
np.where(a > 0, a, -a)
np.where(t, a, 0)
np.piecewise(v, [v < 0, v >= 0], [-1, 1])
? np.vectorize(lambda e: e + 1)(v)
np.apply_along_axis(np.sum, 0, a)
np.gcd(n, 6)
np.lcm(n, 4)
np.ldexp(v, i[0])
np.frexp(q)
! np.nextafter(v, w)
! np.spacing(q)
np.real(a)
np.imag(a)
np.conj(a)
np.angle(q)
np.polyval([1.0, 2.0, 3.0], v)
np.convolve(v, w)
np.trapezoid(v)
np.gradient(v)
np.ediff1d(v)
np.cross(v[:3], w[:3])
""",
    "reductions": """
a.sum()
a.sum(axis=0)
a.sum(axis=1, keepdims=True)
a.sum(axis=(0, 1))
a.min(axis=0)
a.max()
a.mean(axis=1)
a.prod(axis=1)
a.std()
a.std(axis=0, ddof=1)
a.var(axis=1)
a.cumsum(axis=1)
a.cumprod(axis=0)
a.argmax()
a.argmin(axis=1)
a.all()
t.sum()
t.sum(axis=0)
t.mean()
n.sum()
n.mean(axis=0)
n.max(axis=1)
n.cumsum()
n.prod()
np.sum(a, axis=-1)
np.mean(a)
np.median(a, axis=0)
np.average(v, weights=q[0])
np.average(a, axis=0)
np.percentile(a, 25)
np.quantile(v, 0.5)
np.ptp(a, axis=0)
np.nansum(a)
np.nanmean(a, axis=0)
np.nanmax(a)
np.nanmin(a, axis=1)
np.nanstd(a)
np.nanvar(a, axis=0)
np.nanprod(v)
np.cumsum(a, axis=0)
np.diff(a, axis=1)
np.count_nonzero(a > 0)
np.count_nonzero(t, axis=1)
np.corrcoef(a)
np.cov(a)
np.linalg.norm(v)
np.linalg.norm(a, axis=1)
np.add.reduce(a, axis=1)
np.multiply.reduce(v)
np.maximum.reduce(a, axis=0)
np.minimum.reduce(a, axis=0)
np.add.accumulate(v)
np.add.reduceat(v, [0, 2])
np.histogram(v, bins=3)[0]
? np.bincount(i)
np.sum(a, where=np.asarray([True, False, True, True]))
np.max(a, initial=0.0)
np.sum(a, dtype=np.float32)
sum(v)
? max(v)
? min(v)
? sorted(v)
""",
    "shapes": """
a.reshape(4, 3)
a.reshape(2, -1)
a.reshape(2, 2, 3)
np.reshape(a, (6, 2))
np.reshape(a, -1)
a.ravel()
a.flatten()
a.ravel(order="F")
a.T.reshape(-1)
a.transpose(1, 0)
np.transpose(a)
np.swapaxes(a, 0, 1)
np.moveaxis(a[None], 0, -1)
np.rollaxis(a[None], 2)
np.expand_dims(v, axis=1)
np.squeeze(a[None])
np.atleast_1d(s)
np.atleast_2d(v)
np.atleast_3d(a)
np.concatenate((a, b), axis=1)
np.concatenate((v, w))
np.vstack((a, v))
np.hstack((a, b))
np.dstack((a, b))
np.column_stack((v, w))
np.stack((v, w), axis=-1)
np.block([[m, m], [m, m]])
? np.r_[v, w]
? np.c_[v, w]
np.split(a, 2, axis=1)
np.array_split(v, 3)
np.hsplit(a, 2)
np.vsplit(a, 3)
np.tile(v, (2, 2))
np.repeat(v, 2)
np.repeat(a, [1, 2, 1], axis=0)
a.repeat(2, axis=1)
np.flip(a)
np.flip(a, axis=0)
np.fliplr(a)
np.flipud(a)
np.rot90(a)
np.roll(a, 1, axis=0)
np.pad(a, 1)
np.pad(v, (1, 2), mode="edge")
np.pad(v, 2, mode="reflect")
np.resize(v, (2, 3))
a.squeeze()
a.swapaxes(0, 1)
a.diagonal()
a.trace()
""",
    "order": """
np.sort(v)
np.sort(a, axis=0)
np.argsort(v)
np.argsort(-v)
a.argsort(axis=1)
np.sort(v)[::-1]
v[np.argsort(w)]
np.lexsort((v, w))
np.partition(v, 2)[2]
np.argpartition(v, 2)[2]
np.searchsorted(np.sort(v), 0.3)
? np.unique(i)
? np.unique(v)
np.isin(i, [0, 2])
? np.intersect1d(i, j)
np.digitize(v, [0.0, 1.0])
""",
    "linear algebra": """
v @ w
m @ m
a @ v
a @ b.T
np.dot(a, v)
v.dot(w)
np.matmul(a.T, a)
np.inner(v, w)
np.outer(v, w)
np.vdot(v, w)
np.tensordot(a, b, axes=2)
np.kron(v, w)
np.trace(m)
m.trace()
np.diagonal(m)
np.einsum("ij,ij->i", a, b)
np.einsum("ij,kj", a, b)
np.einsum("ii", m)
np.linalg.det(m)
np.linalg.inv(m)
np.linalg.solve(m, v[:3])
np.linalg.eigh(m)[0]
np.linalg.cholesky(m)
np.linalg.qr(a)[1].shape
np.linalg.svd(a, compute_uv=False)
np.linalg.matrix_power(m, 3)
np.linalg.matrix_rank(m)
np.linalg.multi_dot([m, m, m])
np.linalg.pinv(a)
np.linalg.lstsq(a, v[:3])[0]
np.linalg.matrix_transpose(a)
np.linalg.vecdot(a, b)
np.linalg.trace(m)
! np.fft.fft(v)
""",
    "conversion": """
a.astype(int)
a.astype(np.float32)
n.astype(float)
t.astype(int)
a.astype(bool)
? np.float64(s)
? float(s)
? int(i[0])
? bool(s)
? f"{s:.2f}"
? v.tolist()
? [x for x in v.tolist()]
str(v.shape)
? 1.5 in v
[row for row in a][1]
r0, r1, r2 = a; r1
x0, *rest = v; x0
list(zip(v, w))[1]
[x * y for x, y in zip(v, w)][2]
{k: r for k, r in enumerate(a)}[1]
? any(v > 1)
? all(v > -9)
"" if a is None else a
v.sum() if v.ndim == 1 else v
np.issubdtype(a.dtype, np.floating)
np.finfo(a.dtype).eps
np.iinfo(n.dtype).max
? np.ma.masked_less(v, 0).sum()
? np.array2string(v)
? v.tobytes()
! a.view(np.int64)
np.lib.stride_tricks.sliding_window_view(v, 2)
1 / (1 + np.exp(-v))
np.exp(v - v.max()) / np.exp(v - v.max()).sum()
np.log(np.sum(np.exp(a), axis=1))
((a @ v - w[:3]) ** 2).mean()
np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))
np.maximum(0, a @ a.T)
np.sqrt(((a - b) ** 2).sum(axis=1)).mean()
""",
}
