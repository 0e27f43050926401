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
        """Matrix product over the last two axes: y = A B, with A or B read transposed where asked (no transposed copy is made).

        Args:
            a: `(*k, m, n)`, or `(*k, n, m)` with `transpose_a`.
            b: `(*k, n, p)`, or `(*k, p, n)` with `transpose_b`; the leading axes are those of a.
            transpose_a, transpose_b: whether the last two axes of a, of b, are read swapped.

        Returns: `(*k, m, p)`.
        Raises: ShapeError if the inner dimensions or the leading axes differ, or an argument has fewer than two axes.
        Derivative: dA = g Bᵀ, dB = Aᵀ g.
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

    def einsum(self, spec: str, a: Ref, b: Ref, *, name: str | None = None) -> Ref:
        """Sum of products over named axes, for two arrays; a composite of `permute`, `reshape`, `reduce_sum` and `matmul`.

        Args:
            spec: `"ij,jk->ik"`: one letter for each axis of a and b, distinct within each; the letters of the result occur in at least one
                of them, the others are summed over.
            a, b: arrays with as many axes as their letters; a letter has one size.

        Returns: the sizes of the letters after `->`.
        Raises: OptionError if `spec` cannot be read; ShapeError if a letter has two sizes or the number of axes does not fit.
        """
        ...
