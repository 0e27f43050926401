"""Expressions from NumPy's user guide ("the basics", "for absolute beginners", "broadcasting", "indexing") for arrays of a program.

`x` has shape (2, 3), `p` too and is positive, `m` (3, 3), `v` and `w` (3,), `s` has no axes; all are float64.
"""

from __future__ import annotations

#: Behave as NumPy on every kind of value.
AS_NUMPY = """
x + x
x - p
x * p
x / p
-x
+x
abs(x)
x + 1
1 + x
x - 2.5
2.5 - x
3 * x
x * 3
x / 4
4 / p
x ** 2
p ** 0.5
p ** -1
x + np.float64(2)
np.float32(2) * x
np.int64(2) - x
x * True
x + np.ones((2, 3))
np.ones((2, 3)) + x
np.ones((2, 3)) - x
np.ones((2, 3)) / p
x * np.arange(6).reshape(2, 3)
x + [[1, 2, 3], [4, 5, 6]]
sum(v)
v @ w
m @ m
x @ m
x @ v
m @ v
v @ m
m @ np.ones((3, 2))
np.ones((2, 3)) @ m
x[0]
x[-1]
x[1, 2]
x[0, -1]
x[:, 1]
x[1:]
x[:, ::2]
x[0][1]
x[:1, 1:]
v[1:2]
v[:-1]
v[1:] - v[:-1]
len(x)
len(v)
[row.sum() for row in x]
max(len(x), len(v))
x.shape
x.ndim
x.size
x.shape[0]
x.dtype == np.float64
x.dtype == "float64"
x.dtype != np.float32
x.dtype in (np.float32, np.float64)
x.dtype.kind
x.dtype.itemsize
np.zeros(2, x.dtype)
np.issubdtype(x.dtype, np.floating)
np.finfo(x.dtype).eps
x.T
v.T
m.T @ m
x.T.T
x.mT
x.sum()
x.sum(0)
x.sum(axis=0)
x.sum(axis=-1)
x.sum(axis=(0, 1))
x.sum(axis=1, keepdims=True)
x.sum(axis=None)
x.mean()
x.mean(1)
x.mean(axis=0, keepdims=True)
x.max()
x.max(0)
x.max(axis=1)
x.min()
x.min(axis=0)
x.std()
x.std(axis=0)
x.var()
x.var(axis=1, ddof=1)
x.argmax()
x.argmax(axis=0)
x.argmin()
x.argmin(1)
x.cumsum()
x.cumsum(axis=1)
x.reshape(3, 2)
x.reshape((3, 2))
x.reshape(-1)
x.reshape(6)
x.reshape(2, -1)
x.reshape(1, 6).squeeze()
s.reshape(1)
x.ravel()
x.flatten()
x.transpose()
x.transpose(1, 0)
x.transpose((1, 0))
x.swapaxes(0, 1)
x.squeeze()
x[0:1].squeeze(0)
x.clip(0, 1)
x.clip(min=0.5)
x.clip(max=0.5)
x.copy()
x.dot(v)
v.dot(w)
m.dot(m)
x.astype(np.float64)
x.astype("float64")
s + 1
s * 2
-s
s ** 2
s + s
np.exp(x)
np.expm1(x)
np.log(p)
np.log1p(p)
np.sqrt(p)
np.square(x)
np.sin(x)
np.cos(x)
np.tanh(x)
np.abs(x)
np.absolute(x)
np.fabs(x)
np.sign(x)
np.negative(x)
np.positive(x)
np.reciprocal(p)
np.add(x, p)
np.add(1, x)
np.subtract(x, 1)
np.subtract(1, x)
np.multiply(x, p)
np.divide(x, p)
np.true_divide(x, 2)
np.power(x, 2)
np.maximum(x, p)
np.maximum(x, 0)
np.minimum(0.5, x)
np.matmul(x, m)
np.matmul(x, v)
np.dot(x, m)
np.dot(v, w)
np.vdot(x, p)
np.inner(v, w)
np.outer(v, w)
np.einsum("ij,jk->ik", x, m)
np.einsum("ij,j->i", x, v)
np.sum(x)
np.sum(x, axis=0)
np.sum(x, 1, keepdims=True)
np.mean(x)
np.mean(x, axis=1)
np.max(x)
np.max(x, axis=0)
np.amax(x, axis=1)
np.min(x)
np.amin(x, axis=0)
np.std(x)
np.var(x, axis=0)
np.argmax(x)
np.argmax(x, axis=1)
np.argmin(x, axis=0)
np.cumsum(x)
np.cumsum(x, axis=0)
np.add.reduce(x)
np.maximum.reduce(x, axis=1)
np.reshape(x, (3, 2))
np.ravel(x)
np.transpose(x)
np.swapaxes(x, 0, 1)
np.moveaxis(x, 0, 1)
np.squeeze(x[0:1])
np.expand_dims(v, 0)
np.expand_dims(v, axis=(0, 2))
np.concatenate([x, p])
np.concatenate((x, p), axis=1)
np.concatenate([x, np.ones((1, 3))])
np.concatenate([x, p], axis=None)
np.stack([v, w])
np.stack((v, w), axis=1)
np.vstack((v, w))
np.vstack((x, v))
np.hstack((v, w))
np.hstack((x, p))
np.split(x, 3, axis=1)
np.split(v, [1])
np.broadcast_to(v, (2, 3))
np.where(np.array([True, False, True]), v, w)
np.where(np.array([True, False, True]), v, 0)
np.clip(x, 0, 1)
np.diff(v)
np.diff(x, axis=0)
np.pad(v, 1)
np.pad(x, ((0, 1), (2, 0)))
np.roll(v, 1)
np.roll(x, -1, axis=1)
np.linalg.norm(v)
np.linalg.norm(x, axis=1)
np.linalg.norm(x, 1, axis=0)
np.linalg.norm(x, "fro")
np.argsort(v)
np.argsort(x, axis=0)
x.argsort()
x.prod()
x.prod(axis=1, keepdims=True)
np.prod(x)
np.prod(x, axis=0)
np.multiply.reduce(x)
np.multiply.accumulate(v)
np.maximum.accumulate(x, axis=1)
np.logaddexp.accumulate(v)
np.cumprod(v)
np.cumprod(x, axis=1)
x.cumprod(axis=0)
np.median(x)
np.median(x, axis=1, keepdims=True)
np.quantile(x, 0.3)
np.quantile(x, [0.25, 0.5], axis=0)
np.percentile(x, 50)
np.percentile(v, [10, 90], method="nearest")
np.sort(x)
np.sort(x, axis=0)
np.sort(x, axis=None)
np.searchsorted(np.sort(v), w)
np.searchsorted(np.sort(v), 0.5, side="right")
np.diff(v, prepend=0.0)
np.zeros_like(x)
np.ones_like(x)
np.full_like(x, 3)
np.shape(x)
np.ndim(x)
np.size(x)
np.atleast_2d(v)
np.atleast_1d(s)
np.copy(x)
np.exp(-x) / (1 + np.exp(-x))
(x - 1).sum(axis=0) / 2
np.sqrt(((x - p) ** 2).sum())
np.sum(np.log(p) * p, axis=1)
x + v
v + x
x + s
s * x
x * v[:1]
x - x.mean(axis=0)
x - x.mean(axis=1, keepdims=True)
x / x.sum(axis=1, keepdims=True)
x.reshape(2, 3, 1) * v
v.reshape(3, 1) + w
v.reshape(3, 1) * np.ones((1, 4))
x + np.ones(3)
np.maximum(x, v)
np.greater(x, 0)
x > 0
x < p
x >= 0
x <= p
0 < x
x == x
x != p
x == 1
(x > 0).sum()
(x > 0) & (x < p)
(x > 0) | np.array([True, False, True])
(x > 0) ^ True
~(x > v)
np.isnan(x)
np.isfinite(x)
np.isinf(x)
np.isclose(x, p)
np.isclose(x, x + 1e-9)
np.logical_not(x)
np.logical_and(x > 0, v < 1)
np.logical_or(x > 0, False)
np.logical_xor(x > 0, p > 1)
np.bitwise_and(x > 0, p > 1)
np.invert(x > 0)
(x > 0).any()
(x > 0).all(axis=1)
x.any(axis=0, keepdims=True)
np.any(x > 0)
np.all(x > 0, axis=(0, 1))
np.logical_or.reduce(x > 0)
np.where(x > 0, x, 0.0)
np.where(x > v, x, v)
np.where([True, False, True], x, p)
np.not_equal(x, v)
np.less(0, x)
x * (x > 0)
np.zeros_like(x, dtype=int)
np.full_like(x, 2.5, shape=(2,))
np.astype(x, np.float32)
x.astype(bool)
x[0, 0] + x[1]
[r[0] + 1 for r in x]
x.take([0, 1])
np.count_nonzero(x)
"""

#: Behave as NumPy where there are values, and raise while a program is recorded.
OF_VALUES = """
float(s)
int(s)
bool(s)
complex(s)
round(s, 2)
f"{s:.3f}"
math.sin(s)
math.floor(s)
math.trunc(s)
float(x.sum())
2.0 in v
7.0 in x
x.tolist()
s.item()
np.asarray(x)
np.array(x)
np.array([s, s])
np.asarray(x, dtype=np.float32)
np.unique(v)
np.nonzero(v)
"""

#: Behave as NumPy or raise an error of the library that says what to do.
AS_NUMPY_OR_CLEAR = """
np.allclose(x, x)
np.array_equal(x, p)
np.histogram(v)[0]
x % 2
2 % p
x // 2
7 // p
divmod(p, 2)
2 ** x
x ** v
x ** x
p ** np.ones((2, 3))
x & 1
x | 1
x ^ 1
~x
x << 1
x >> 1
x[...]
x[np.newaxis, :]
x[::-1, ::-1]
x[..., ::-1]
x[[1, 0, 1], [0, 1, 2]]
x.round(1)
x.any()
x.all()
x.repeat(2)
x.trace()
x.diagonal()
x.nonzero()
x.ptp()
x.real
x.flat
x.item(2)
x.sum(dtype=np.float32)
np.tan(x)
np.arctan(x)
np.sinh(x)
np.log2(p)
np.log10(p)
np.exp2(x)
np.floor(x)
np.ceil(x)
np.round(x)
np.rint(x)
np.mod(p, 2)
np.floor_divide(p, 2)
np.hypot(x, p)
np.arctan2(x, p)
np.flip(x)
np.tile(v, 2)
np.repeat(v, 2)
np.kron(v, w)
np.cross(v, w)
np.trace(m)
np.diag(v)
np.tril(m)
np.average(x)
np.ptp(x)
np.linalg.inv(m)
np.linalg.det(m)
np.linalg.solve(m, v)
np.linalg.eigvalsh(m @ m.T)
np.fft.fft(v)
np.interp(s, v, w)
np.apply_along_axis(np.sum, 0, x)
np.vectorize(lambda a: a + 1)(x)
np.cov(x)
np.corrcoef(x)
np.array_split(v, 2)
np.meshgrid(v, w)
np.add.outer(v, w)
np.multiply.reduce(v)
np.sum(x, where=np.array([True, False, True]))
np.exp(x, out=np.zeros((2, 3)))
np.einsum("ij->j", x)
np.tensordot(x, m, 1)
np.nan_to_num(x)
np.logaddexp(x, p)
[10, 20][s]
range(s)
x[s]
"""
