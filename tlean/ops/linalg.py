"""Matrix products and the fully connected layer.

Products are closed under differentiation: with either operand read transposed where a flag says so, both gradients of a product are
products again, so no transposed copy is ever made.
"""

from __future__ import annotations

from typing import Any

from ..arguments import truth
from ..dtypes import IntegerForm
from ..errors import ShapeError
from ..shapes import Shape, broadcast_axes, broadcast_shapes, size
from .registry import defop, multilinear_jvp
from .samples import bad, good

#: From so many rows on a product is made of tiles, whatever lies along the second operand's rows (DOT_ROWS of the kernel).
_TILED_ROWS = 65


def _matrices(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool) -> tuple[Shape, Shape]:
    # The operands as matrices: a vector is a row at the left and a column at the right.
    if not a or not b:
        raise ShapeError("a and b must have at least one axis; mul multiplies by a number")
    if (len(a) == 1 and transpose_a) or (len(b) == 1 and transpose_b):
        raise ShapeError("a vector must not be transposed")
    return (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b


def _product_sizes(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool) -> tuple[Shape, int, int, int]:
    """(leading axes, m, n, k) of the product (*lead, m, k) (*lead, k, n)."""
    a, b = _matrices(a, b, transpose_a, transpose_b)
    try:
        lead = broadcast_shapes(("a", "b"), (a[:-2], b[:-2]))
    except ShapeError:
        raise ShapeError(f"the leading axes of a and b must broadcast, but are {a[:-2]} and {b[:-2]}") from None
    m, k = a[-2:][::-1] if transpose_a else a[-2:]
    inner, n = b[-2:][::-1] if transpose_b else b[-2:]
    if k != inner:
        raise ShapeError(f"inner dimensions must match, but are {k} and {inner}")
    return lead, m, n, k


def _steps(lead: Shape, own: Shape, matrix: int) -> list[int]:
    # Elements between an operand's neighbours along each leading axis of the product: 0 where it is stretched.
    steps, step = [], matrix
    for d in reversed((1,) * (len(lead) - len(own)) + own):
        steps.append(0 if d == 1 else step)
        step *= d
    return steps[::-1]


def _product_params(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool) -> tuple[tuple[int, ...], tuple[()]]:
    """Ints: batch, m, n, k, transpose_a, transpose_b, of A' (m, k) times B' (k, n); then how the batch is made: (axes, sizes…, steps of A…,
    steps of B…), with as few axes as describe the same.

    A batch that one B' is for is one product of all rows, where that has the same bits: where B' is read along its rows, or made of tiles.
    """
    lead, m, n, k = _product_sizes(a, b, transpose_a, transpose_b)
    a, b = _matrices(a, b, transpose_a, transpose_b)
    axes: list[list[int]] = []
    for d, step_a, step_b in zip(lead, _steps(lead, a[:-2], m * k), _steps(lead, b[:-2], k * n), strict=True):
        if d == 1:
            continue
        if axes and axes[-1][1:] == [d * step_a, d * step_b]:
            axes[-1] = [axes[-1][0] * d, step_a, step_b]
        else:
            axes.append([d, step_a, step_b])
    if 0 in lead:
        axes = [[0, 0, 0]]
    batch = size(lead)
    rows = len(axes) == 1 and axes[0][1:] == [m * k, 0] and not transpose_a and (m >= _TILED_ROWS or (m > 1 and not transpose_b))
    if rows:
        batch, m, axes = 1, batch * m, []
    return (batch, m, n, k, transpose_a, transpose_b, len(axes), *(axis[i] for i in range(3) for axis in axes)), ()


def _grad_a(ops: Any, g: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    # With A', B' the operands as multiplied: dA' = g B'ᵀ, and dA = dA'ᵀ = B' gᵀ where A' = Aᵀ.
    if transpose_a:
        return ops.matmul(b, g, transpose_a=transpose_b, transpose_b=True)
    return ops.matmul(g, b, transpose_a=False, transpose_b=not transpose_b)


def _grad_b(ops: Any, g: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    # dB' = A'ᵀ g, and dB = dB'ᵀ = gᵀ A' where B' = Bᵀ.
    if transpose_b:
        return ops.matmul(g, a, transpose_a=True, transpose_b=transpose_a)
    return ops.matmul(a, g, transpose_a=not transpose_a, transpose_b=False)


def matmul_samples() -> list[Any]:
    """Calls of `matmul`: every combination of flags, leading axes, sizes 1 and 0, and calls that must raise."""
    return [
        good((3, 4), (4, 5)),
        good((4, 3), (4, 5), transpose_a=True),
        good((3, 4), (5, 4), transpose_b=True),
        good((4, 3), (5, 4), transpose_a=True, transpose_b=True),
        good((2, 3, 4), (2, 4, 2)),
        good((2, 3, 4, 2), (2, 3, 5, 2), transpose_b=True),
        good((2, 4, 3), (2, 4, 1), transpose_a=True),
        good((1, 7), (7, 1)),
        good((5, 1), (1, 6)),
        good((1, 1), (1, 1)),
        good((17, 9), (9, 33)),
        good((3, 0), (0, 2)),
        good((0, 3), (3, 2)),
        good((0, 2, 3), (0, 3, 2)),
        bad("ShapeError", (3, 4), (5, 4)),
        bad("ShapeError", (3, 4), (4, 5), transpose_a=True),
        # Vectors.
        good((4,), (4,)),
        good((4,), (4, 5)),
        good((3, 4), (4,)),
        good((4,), (5, 4), transpose_b=True),
        good((4, 3), (4,), transpose_a=True),
        good((4,), (2, 3, 4, 2)),
        good((2, 3, 4), (4,)),
        good((0,), (0,)),
        # Leading axes that broadcast: matrices are read where they lie.
        good((2, 3, 4), (4, 5)),
        good((3, 4), (2, 4, 5)),
        good((2, 1, 4), (5, 4), transpose_b=True),
        good((2, 4, 3), (4, 5), transpose_a=True),
        good((2, 1, 3, 4), (3, 4, 2)),
        good((2, 1, 2, 1, 3, 2), (1, 3, 1, 2, 2, 4)),
        good((2, 3, 2, 2), (2, 1, 2, 2), transpose_a=True, transpose_b=True),
        good((0, 3, 4), (4, 5)),
        good((2, 0, 3, 4), (2, 1, 4, 5)),
        bad("ShapeError", (4,), (3, 5)),
        bad("ShapeError", (4,), (4,), transpose_a=True),
        bad("ShapeError", (), (4,)),
        bad("ShapeError", (3, 2, 4), (2, 4, 5)),
    ]


@defop("matmul", samples=matmul_samples, integers=IntegerForm())
class Matmul:
    """Matrix product over the last two axes, with either operand read transposed where asked; leading axes broadcast."""

    def options(a, b, *, transpose_a=False, transpose_b=False):
        return {"transpose_a": truth("transpose_a", transpose_a), "transpose_b": truth("transpose_b", transpose_b)}

    def shape(a, b, *, transpose_a, transpose_b):
        lead, m, n, _ = _product_sizes(a, b, transpose_a, transpose_b)
        return (*lead, *((m,) if len(a) > 1 else ()), *((n,) if len(b) > 1 else ()))

    kernel_params = _product_params

    def vjp(ops, g, y, a, b, *, transpose_a, transpose_b):
        lead, m, n, _ = _product_sizes(a.shape, b.shape, transpose_a, transpose_b)
        first, second = _matrices(a.shape, b.shape, transpose_a, transpose_b)
        left, right, g = _like(ops, a, first), _like(ops, b, second), _like(ops, g, (*lead, m, n))
        if len(second) == 2 and len(first) > 2 and not transpose_a:
            # A product by one matrix is a product of rows: the sum over the leading axes is a part of it.
            left, g = _as_rows(ops, left), _as_rows(ops, g)
        da, db = (grad(ops, g, left, right, transpose_a, transpose_b) for grad in (_grad_a, _grad_b))
        return _like(ops, summed_to(ops, da, left.shape), a.shape), _like(ops, summed_to(ops, db, second), b.shape)

    jvp = multilinear_jvp("matmul", (0, 1))

    def flops(a, b, *, transpose_a, transpose_b):
        lead, m, n, k = _product_sizes(a, b, transpose_a, transpose_b)
        return 2.0 * size(lead) * m * n * k


def bmm_samples() -> list[Any]:
    """Calls of `bmm`, and calls that must raise."""
    return [
        good((2, 3, 4), (2, 4, 5)),
        good((1, 1, 3), (1, 3, 1)),
        good((3, 2, 0), (3, 0, 2)),
        bad("ShapeError", (3, 4), (4, 5)),
        bad("ShapeError", (2, 3, 4), (3, 4, 5)),
        bad("ShapeError", (2, 3, 4), (2, 3, 4)),
    ]


@defop("bmm", samples=bmm_samples, kernel="matmul", integers=IntegerForm())
class Bmm:
    """Matrix product of each pair in a batch."""

    def shape(a, b):
        if len(a) != 3 or len(b) != 3:
            raise ShapeError("a and b must have three axes: (batch, rows, columns)")
        if a[0] != b[0]:
            raise ShapeError(f"a and b must have the same leading axis, not {a[0]} and {b[0]}")
        lead, m, n, _ = _product_sizes(a, b, False, False)
        return (*lead, m, n)

    def kernel_params(a, b):
        """As `matmul`."""
        return _product_params(a, b, False, False)

    def vjp(ops, g, y, a, b):
        return _grad_a(ops, g, a, b, False, False), _grad_b(ops, g, a, b, False, False)

    jvp = multilinear_jvp("bmm", (0, 1))

    def flops(a, b):
        (batch,), m, n, k = _product_sizes(a, b, False, False)
        return 2.0 * batch * m * n * k


def _as_rows(ops: Any, x: Any) -> Any:
    # (*k, n) -> (size of k, n): the same memory.
    rows = (size(x.shape[:-1]), x.shape[-1])
    return x if x.shape == rows else ops.reshape(x, shape=rows)


def _like(ops: Any, x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else ops.reshape(x, shape=shape)


def summed_to(ops: Any, g: Any, shape: Shape) -> Any:
    """A cotangent of an operand of that shape, summed over the axes along which the operand was stretched."""
    stretched = broadcast_axes(shape, tuple(g.shape))[1]
    return _like(ops, ops.reduce_sum(g, axis=stretched), shape) if stretched else g


def _spread_bias(ops: Any, t: Any, shape: Shape, *_: Any) -> Any:
    return t if t.shape == shape else ops.broadcast_to(t, shape=shape)


def linear_samples() -> list[Any]:
    """Calls of `linear`: with and without bias and leading axes, sizes 1 and 0, and calls that must raise."""
    return [
        good((4, 3), (4,), (3,)),
        good((4, 3), None, (3,)),
        good((4, 3), (4,), (5, 3)),
        good((4, 3), None, (2, 5, 3)),
        good((10, 33), (10,), (17, 33)),
        good((1, 3), (1,), (5, 3)),
        good((4, 1), (4,), (2, 1)),
        good((1, 1), (1,), (1, 1)),
        good((4, 3), (4,), (0, 3)),
        good((4, 0), (4,), (2, 0)),
        bad("ShapeError", (4, 3), (4,), (4,)),
        bad("ShapeError", (4, 3), (3,), (3,)),
        bad("ShapeError", (3,), None, (3,)),
        bad("ShapeError", (4, 3), (4,), ()),
    ]


@defop("linear", samples=linear_samples, optional=("b",), integers=IntegerForm())
class Linear:
    """Fully connected layer: y = W x + b for every vector along the last axis of x."""

    def shape(w, b, x):
        if len(w) != 2:
            raise ShapeError("w must have two axes: (out, in)")
        if not x or x[-1] != w[1]:
            raise ShapeError(f"the last axis of x must have w's {w[1]} inputs")
        if b is not None and b != (w[0],):
            raise ShapeError(f"b must have shape ({w[0]},): one entry per output")
        return (*x[:-1], w[0])

    def kernel_params(w, b, x):
        """Ints: rows, out, in."""
        return (size(x[:-1]), *w), ()

    def vjp(ops, g, y, w, b, x):
        # As rows, y = x Wᵀ + b: dW = gᵀ x, dx = g W, db = the sum of g's rows.
        rows = _as_rows(ops, g)
        dw = ops.matmul(rows, _as_rows(ops, x), transpose_a=True, transpose_b=False)
        dx = _like(ops, ops.matmul(rows, w, transpose_a=False, transpose_b=False), x.shape)
        if b is None:
            db = None
        else:
            db = g if len(g.shape) == 1 else ops.reduce_sum(rows, axis=(0,), keepdims=False)
        return dw, db, dx

    jvp = multilinear_jvp("linear", (0, 2), addend=1, spread=_spread_bias)

    def decompose(ops, w, b, x):
        y = _like(ops, ops.matmul(_as_rows(ops, x), w, transpose_a=False, transpose_b=True), (*x.shape[:-1], w.shape[0]))
        return y if b is None else ops.add(y, _spread_bias(ops, b, y.shape))

    of_integers = decompose

    def flops(w, b, x):
        return 2.0 * size(x[:-1]) * size(w)
