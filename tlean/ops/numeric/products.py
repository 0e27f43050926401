"""Products of matrices added to an array, distances between rows, and arrangements of matrices."""

from __future__ import annotations

from typing import Any

from ...errors import OptionError, ShapeError, completing
from ...shapes import normalize_axis, stretching
from ..elementwise import number
from ..registry import array, composite, several, whole
from .elements import constant, times


def _added(ops: Any, op: str, x: Any, product: Any, beta: Any, alpha: Any, name: str | None) -> Any:
    x = array(ops, x, f"{op}: x")
    number(beta, "beta"), number(alpha, "alpha")
    product = times(ops, product, alpha)
    if not beta:
        # What is not there takes no part, were it NaN.
        return ops.add(product, ops.zeros_like(x), name=name)
    return ops.add(times(ops, x, beta), product, name=name)


def _product(ops: Any, op: str, a: Any, b: Any, ranks: tuple[int, int]) -> Any:
    a, b = array(ops, a, f"{op}: a"), array(ops, b, f"{op}: b")
    with completing(op, a=a, b=b):
        if (len(a.shape), len(b.shape)) != ranks:
            raise ShapeError(f"a must have {ranks[0]} axes and b {ranks[1]}")
    return ops.matmul(a, b)


@composite
def addmm(ops: Any, x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Any:
    """beta·x + alpha·a b, of matrices."""
    return _added(ops, "addmm", x, _product(ops, "addmm", a, b, (2, 2)), beta, alpha, name)


@composite
def addmv(ops: Any, x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Any:
    """beta·x + alpha·a b, of a matrix and a vector."""
    return _added(ops, "addmv", x, _product(ops, "addmv", a, b, (2, 1)), beta, alpha, name)


@composite
@stretching
def baddbmm(ops: Any, x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Any:
    """beta·x + alpha·a b, of a batch of matrices."""
    return _added(ops, "baddbmm", x, _product(ops, "baddbmm", a, b, (3, 3)), beta, alpha, name)


@composite
def addbmm(ops: Any, x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Any:
    """beta·x + alpha·Σ a b, over a batch of matrices."""
    return _added(ops, "addbmm", x, ops.sum(_product(ops, "addbmm", a, b, (3, 3)), 0), beta, alpha, name)


@composite
@stretching
def addr(ops: Any, x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1, *, name: str | None = None) -> Any:
    """beta·x + alpha·a bᵀ, of vectors."""
    a, b = array(ops, a, "addr: a"), array(ops, b, "addr: b")
    with completing("addr", a=a, b=b):
        if len(a.shape) != 1 or len(b.shape) != 1:
            raise ShapeError("a and b must be vectors")
    return _added(ops, "addr", x, ops.outer(a, b), beta, alpha, name)


# Distances --------------------------------------------------------------------------------------------------------------


@composite
def cdist(ops: Any, a: Any, b: Any, p: float = 2.0, *, name: str | None = None) -> Any:
    """The p-norm of the difference of each row of a and each of b."""
    a, b = array(ops, a, "cdist: a"), array(ops, b, "cdist: b")
    with completing("cdist", a=a, b=b, p=p):
        if min(len(a.shape), len(b.shape)) < 2 or a.shape[-1] != b.shape[-1]:
            raise ShapeError("a and b must be matrices with as many columns")
        if number(p, "p") < 0:
            raise OptionError("p must be at least 0")
    return ops.norm(ops.sub(ops.expand_dims(a, -2), ops.expand_dims(b, -3)), p, -1, name=name)


@composite
def pdist(ops: Any, x: Any, p: float = 2.0, *, name: str | None = None) -> Any:
    """The p-norm of the difference of each two rows."""
    x = array(ops, x, "pdist: x")
    with completing("pdist", x=x, p=p):
        if len(x.shape) != 2:
            raise ShapeError("x must be a matrix")
        if number(p, "p") < 0:
            raise OptionError("p must be at least 0")
    pairs = [(j, k) for j in range(x.shape[0]) for k in range(j + 1, x.shape[0])]
    if not pairs:
        return ops.zeros_like(x, shape=(0,), name=name)
    first, second = (ops.take(x, ops._own_constant([pair[k] for pair in pairs]), 0) for k in (0, 1))
    return ops.norm(ops.sub(first, second), p, -1, name=name)


@composite
@stretching
def normalize(ops: Any, x: Any, p: float = 2.0, axis: int = 1, eps: float = 1e-12, *, name: str | None = None) -> Any:
    """x over its p-norm along an axis, which counts as eps at least."""
    x = array(ops, x, "normalize: x")
    length = ops.norm(x, p, axis, True)
    return ops.div(x, ops.maximum(length, constant(ops, length, number(eps, "eps"))), name=name)


# Arrangements -----------------------------------------------------------------------------------------------------------


@composite
def rot90(ops: Any, x: Any, k: int = 1, axes: Any = (0, 1), *, name: str | None = None) -> Any:
    """x turned by k quarters of a circle, from the first of two axes to the second."""
    x = array(ops, x, "rot90: x")
    with completing("rot90", x=x, k=k, axes=axes):
        a, b = (normalize_axis(axis, len(x.shape)) for axis in axes)
        if a == b:
            raise OptionError("axes must be two different ones")
        turns = whole("k", k) % 4
    if turns == 1:
        return ops.swapaxes(ops.flip(x, b), a, b, name=name)
    if turns == 3:
        return ops.flip(ops.swapaxes(x, a, b), b, name=name)
    return ops.flip(x, (a, b), name=name) if turns else ops.reshape(x, tuple(x.shape), name=name)


@composite
def block_diag(ops: Any, *xs: Any, name: str | None = None) -> Any:
    """The matrix with these along its diagonal and zeros elsewhere."""
    blocks = [array(ops, x, f"block_diag: xs[{i}]") for i, x in enumerate(xs)]
    with completing("block_diag", **{f"xs[{i}]": x for i, x in enumerate(blocks)}):
        if not blocks or any(len(x.shape) > 2 for x in blocks):
            raise ShapeError("one matrix, vector or number is needed at least")
    blocks = [x if len(x.shape) == 2 else ops.reshape(x, (1, x.shape[0] if x.shape else 1)) for x in blocks]
    width, at, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        rows.append(ops.pad(x, ((0, 0), (at, width - at - x.shape[1]))))
        at += x.shape[1]
    return ops.concat(rows, 0, name=name)


@composite
def cartesian_prod(ops: Any, *xs: Any, name: str | None = None) -> Any:
    """Every choice of one entry of each vector, a row each."""
    vectors = [array(ops, x, f"cartesian_prod: xs[{i}]") for i, x in enumerate(xs)]
    with completing("cartesian_prod", **{f"xs[{i}]": x for i, x in enumerate(vectors)}):
        if not vectors or any(len(x.shape) != 1 for x in vectors):
            raise ShapeError("one vector is needed at least")
    return ops.stack([ops.flatten(grid) for grid in ops.meshgrid(*vectors, indexing="ij")], 1, name=name)


@composite
def diag_embed(ops: Any, x: Any, offset: int = 0, *, name: str | None = None) -> Any:
    """Matrices with the vectors of the last axis as their diagonals."""
    x = array(ops, x, "diag_embed: x")
    with completing("diag_embed", x=x, offset=offset):
        if not x.shape:
            raise ShapeError("x must have an axis")
        k, n = whole("offset", offset), x.shape[-1]
    # Each row of the square of n: its entry and n zeros, so that the next one lies a place further; then the border.
    lead = tuple(x.shape[:-1])
    if not n:
        return ops.zeros_like(x, shape=(*lead, abs(k), abs(k)), name=name)
    apart = ops.pad(ops.reshape(x, (*lead, n, 1)), (*((0, 0),) * (len(lead) + 1), (0, n)))
    flat = ops.reshape(apart, (*lead, n * (n + 1)))
    square = ops.reshape(ops.slice(flat, (0,) * (len(lead) + 1), (*lead, n * n)), (*lead, n, n))
    return ops.pad(square, (*((0, 0),) * len(lead), (max(-k, 0), max(k, 0)), (max(k, 0), max(-k, 0))), name=name)


@composite
def linalg_multi_dot(ops: Any, xs: Any, *, name: str | None = None) -> Any:
    """The product of several matrices, in the order that takes the fewest multiplications."""
    arrays = [array(ops, x, f"linalg_multi_dot: xs[{i}]") for i, x in enumerate(several("linalg_multi_dot", xs))]
    with completing("linalg_multi_dot", **{f"xs[{i}]": x for i, x in enumerate(arrays)}):
        inside = all(len(x.shape) == 2 for x in arrays[1:-1])
        if len(arrays) < 2 or not inside or any(not 1 <= len(x.shape) <= 2 for x in (arrays[0], arrays[-1])):
            raise ShapeError("two matrices are needed at least, of which the first and the last may be vectors")
        sizes = [1 if len(arrays[0].shape) == 1 else arrays[0].shape[0], *(x.shape[0] for x in arrays[1:])]
        sizes.append(1 if len(arrays[-1].shape) == 1 else arrays[-1].shape[1])
    n = len(arrays)
    cost = {(i, i): (0, i) for i in range(n)}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            cost[i, j] = min((cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))
    return _bracketed(ops, arrays, cost, 0, n - 1, name)


def _bracketed(ops: Any, arrays: list[Any], cost: dict[tuple[int, int], tuple[int, int]], i: int, j: int, label: str | None = None) -> Any:
    # Of the matrices from i to j, with the brackets that cost least.
    if i == j:
        return arrays[i]
    k = cost[i, j][1]
    return ops.matmul(_bracketed(ops, arrays, cost, i, k), _bracketed(ops, arrays, cost, k + 1, j), name=label)
