"""What is read off samples: covariances, counts, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..ref import Index, Ref


class SampleOps(Protocol):
    """What is read off samples."""

    def cov(
        self,
        x: Ref,
        y: Ref | None = None,
        rowvar: bool = True,
        correction: float = 1.0,
        fweights: Ref | None = None,
        aweights: Ref | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """The covariances of variables, from n observations: Σ (x[i] − mean)(x[j] − mean) / (n − correction).

        Args:
            x: `(k, n)`, a variable each row; `(n,)`, one variable.
            y: further variables, of the same form; or None.
            rowvar: False for a variable each column.
            correction: 1 for the unbiased estimate of samples; 0 for the plain mean.
            fweights: `(n,)`, how often each observation was made; or None.
            aweights: `(n,)`, how much each observation counts; or None.

        Returns: `(k, k)`; `()` for one variable.
        Raises: ShapeError for more than two axes, or for weights that are not one for each observation.
        Example: `cov([[0.0, 2.0], [1.0, 5.0]])` is `[[2, 4], [4, 8]]`.
        """
        ...

    def corrcoef(self, x: Ref, y: Ref | None = None, rowvar: bool = True, *, name: str | None = None) -> Ref:
        """The correlations of variables: their covariances over the product of their deviations, between −1 and 1.

        Args:
            x, y, rowvar: as for `cov`.

        Returns: `(k, k)`; `()` for one variable.
        Raises: as `cov`.
        Example: `corrcoef([[0.0, 2.0], [1.0, 5.0]])` is `[[1, 1], [1, 1]]`.
        """
        ...

    def bincount(self, x: Index, length: int, weights: Ref | None = None, *, name: str | None = None) -> Ref:
        """How often each of the numbers 0 to length − 1 occurs.

        Args:
            x: integer, `(n,)`, between 0 and length − 1.
            length: of the result, which a program has to know.
            weights: `(n,)`, what each entry counts; or None for 1.

        Returns: `(length,)`: int64, or of weights' dtype.
        Raises: IndexRangeError for another number; ShapeError if the shapes differ.
        Derivative: of weights[j] g[x[j]].
        Example: `bincount([0, 2, 2], 3)` is `[1, 0, 2]`.
        """
        ...

    def histogram(
        self,
        x: Ref,
        bins: int | Sequence[float] | Ref = 10,
        range: tuple[float, float] | None = None,
        weights: Ref | None = None,
        *,
        name: str | None = None,
    ) -> tuple[Ref, Ref]:
        """How many elements lie in each bin: from its lower edge on, below its upper one; the last bin has both.

        Args:
            x: `s`; NaN and what lies outside count nowhere.
            bins: how many bins of equal width, or their edges in order.
            range: the first and the last edge; None means the least and the greatest element.
            weights: `s`, what each element counts; or None for 1.

        Returns: the counts, int64 or of weights' dtype, `(bins,)`; the edges, `(bins + 1,)`.
        Raises: OptionError for fewer than one bin or a range out of order; ShapeError if the shapes differ.
        Derivative: of an element's weight g of its bin; of the edges as they depend on the least and the greatest element.
        Example: `histogram([1.0, 2.0, 4.0], 3)[0]` is `[1, 1, 1]`.
        """
        ...
