"""Products of matrices and vectors."""

from __future__ import annotations

from typing import Protocol

from .ref import Ref


class LinalgOps(Protocol):
    """Products of matrices and vectors."""

    def linear(self, w: Ref, b: Ref | None, x: Ref, *, name: str | None = None) -> Ref:
        """Fully connected layer: y = W x + b for every vector along the last axis of x.

        Args:
            w: `(out, in)`.
            b: `(out,)`, or None for no bias.
            x: `(in,)` or `(*k, in)`.

        Returns: `(out,)` or `(*k, out)`.
        Raises: ShapeError if the sizes do not fit.
        Derivative: dW = g ⊗ x and db = g, summed over the leading axes; dx = Wᵀ g.
        """
        ...

    def matmul(self, a: Ref, b: Ref, transpose_a: bool = False, transpose_b: bool = False, *, name: str | None = None) -> Ref:
        """Matrix product over the last two axes: y = A B, with A or B read transposed where asked (no copy of either is made).

        Args:
            a: `(*k, m, n)`, or `(*k, n, m)` with `transpose_a`; or a vector `(n,)`, which is a row and has no axis in the result.
            b: `(*l, n, p)`, or `(*l, p, n)` with `transpose_b`; or a vector `(n,)`, which is a column and has no axis in the result.
            transpose_a, transpose_b: whether the last two axes of a, of b, are read swapped.

        Returns: `(*k, m, p)`; leading axes broadcast by NumPy's rule.
        Raises: ShapeError if the inner dimensions differ, the leading axes do not broadcast, or an argument has no axes.
        Derivative: dA = g Bᵀ, dB = Aᵀ g, each summed over the leading axes along which the operand was stretched.
        Example: `matmul([[1, 2], [3, 4]], [1, 1])` is `[3, 7]`.
        """
        ...

    def bmm(self, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Matrix product of each pair in a batch: y[i] = A[i] B[i].

        Args:
            a: `(B, m, n)`.
            b: `(B, n, p)`.

        Returns: `(B, m, p)`.
        Raises: ShapeError if the sizes do not fit.
        """
        ...

    def einsum(self, spec: str, *operands: Ref, name: str | None = None) -> Ref:
        """Sum of products over named axes; a composite of `diagonal`, `reduce_sum`, `matmul` and `mul`, two operands at a time.

        Of up to four operands the order with the fewest multiplications is taken, of more a greedy one.

        Args:
            spec: `"ij,jk->ik"`: one letter for each axis of each operand; a letter twice in one means its diagonal, `...` the axes that
                have no letter, which broadcast. Letters that the result does not have are summed over. Without `->` the result has the
                axes of `...`, then the letters that occur once, in their order.
            operands: arrays with as many axes as their letters; a letter has one size.

        Returns: the sizes of the letters after `->`.
        Raises: OptionError if `spec` cannot be read; ShapeError if a letter has two sizes or the number of axes does not fit.
        Derivative: to each operand, the sum of products of g and the others.
        Example: `einsum("ij,ij->i", [[1, 2]], [[3, 4]])` is `[11]`.
        """
        ...
