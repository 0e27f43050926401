"""Pools over spatial axes, channels first. In the generic forms `kernel` is a tuple, and its length is the number d of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Protocol

from .ref import Index, Ints, Ref


class PoolOps(Protocol):
    """Pools."""

    def max_pool(
        self,
        x: Ref,
        kernel: Sequence[int],
        stride: Ints | None = None,
        padding: Ints = 0,
        pad_value: float = -inf,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        *,
        name: str | None = None,
    ) -> Ref:
        """Maximum over a window, NaN where the window holds one; padded cells never win.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            kernel: the window, d sizes.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them, at most half of what the kernel spans.
            pad_value: what padded cells hold; with 0.0 they take part as zeros (and a zero that wins has no gradient to give).
            dilation: an int or d of them, ≥ 1: the distance between neighbouring cells of a window.
            ceil_mode: rounds the number of windows up: the last one may hang over the end, unless it would begin in the padding there.

        Returns: `(C, *out)` or `(N, C, *out)`, out = ⌊(in + 2p − dil(k − 1) − 1)/s⌋ + 1.
        Raises: ShapeError, naming the sizes, if the kernel is empty or larger than the padded input, padding > kernel/2, a stride is < 1,
            there are no channels, or x does not have d + 1 or d + 2 axes; OptionError if an option does not have d entries.
        Derivative: g to the first maximum in row-major order (the first NaN, where there is one), 0 elsewhere.
        Source: Dumoulin & Visin 2016, chapter 3.
        """
        ...

    def max_pool_with_indices(
        self,
        x: Ref,
        kernel: Sequence[int],
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        *,
        name: str | None = None,
    ) -> tuple[Ref, Ref]:
        """`max_pool`, and where each maximum is: its number in its plane, row-major; a composite.

        `max_unpool` takes the two.

        Args:
            x, kernel, stride, padding, dilation, ceil_mode: as for `max_pool`.

        Returns: `(C, *out)` or `(N, C, *out)`, twice: the maxima; their places, int64.
        Raises: as `max_pool`.
        Derivative: as of `max_pool`; none of the places.
        """
        ...

    def max_unpool(
        self,
        x: Ref,
        indices: Index,
        kernel: Sequence[int],
        stride: Ints | None = None,
        padding: Ints = 0,
        size: Ints | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Zeros with x at the places that `max_pool_with_indices` gave; of several at one place the last; a composite.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            indices: integer, x's shape: places in a plane of the result.
            kernel: the window, d sizes.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them.
            size: of the result along the spatial axes; None means (in − 1)s − 2p + k.

        Returns: `(C, *size)` or `(N, C, *size)`.
        Raises: ShapeError if x and indices differ in shape or do not go with the kernel; IndexRangeError for a place outside.
        Derivative: g at the places.
        """
        ...

    def adaptive_avg_pool(self, x: Ref, size: Sequence[int | None], *, name: str | None = None) -> Ref:
        """Mean over windows that cover x, as many as are asked for: window i of o covers cells ⌊i·n/o⌋ to ⌈(i + 1)n/o⌉ − 1; a composite.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            size: the number of windows along each of d axes; None means one for each cell.

        Returns: `(C, *size)` or `(N, C, *size)`.
        Raises: ShapeError if a size is < 1 or x does not have d + 1 or d + 2 axes; OptionError if size is no tuple of 1, 2 or 3 ints.
        Derivative: g divided by the number of cells of a window, to each of them.
        """
        ...

    def adaptive_max_pool(self, x: Ref, size: Sequence[int | None], *, name: str | None = None) -> Ref:
        """Maximum over windows that cover x, as many as are asked for; a composite.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            size: as for `adaptive_avg_pool`.

        Returns: `(C, *size)` or `(N, C, *size)`.
        Raises: as `adaptive_avg_pool`.
        Derivative: g to the first maximum of a window in row-major order.
        """
        ...

    def avg_pool(
        self,
        x: Ref,
        kernel: Sequence[int],
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        name: str | None = None,
    ) -> Ref:
        """Mean over a window; padded cells count as zeros, so the divisor is the size of the whole kernel unless an option says otherwise.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            kernel: the window, d sizes.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them, at most half of the kernel.
            ceil_mode: rounds the number of windows up: the last one may hang over the end, unless it would begin in the padding there.
                Cells beyond the padding do not count.
            count_include_pad: False divides by the number of cells inside x alone.
            divisor_override: what to divide the sum by instead, an int other than 0.

        Returns: `(C, *out)` or `(N, C, *out)`, out = ⌊(in + 2p − k)/s⌋ + 1.
        Raises: as `max_pool`; OptionError if divisor_override is 0 or no int.
        Derivative: g divided by the divisor, to every cell of the window.
        Source: Dumoulin & Visin 2016, chapter 3.
        """
        ...

    def lp_pool(
        self, x: Ref, p: float, kernel: Sequence[int], stride: Ints | None = None, ceil_mode: bool = False, *, name: str | None = None
    ) -> Ref:
        """The p-norm over a window: (Σ |x|ᵖ)^(1/p); a composite.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            p: above 0; ∞ gives the greatest size.
            kernel, stride, ceil_mode: as for `avg_pool`.

        Returns: `(C, *out)` or `(N, C, *out)`.
        Raises: as `avg_pool`; OptionError unless p is above 0.
        Derivative: that of the norm; 0 where it is 0.
        Example: `lp_pool([[3.0, 4.0]], 2.0, (2,))` is `[[5]]`.
        """
        ...

    def smooth_max_pool(
        self, x: Ref, kernel: Sequence[int], beta: float, stride: Ints | None = None, padding: Ints = 0, *, name: str | None = None
    ) -> Ref:
        """Smooth maximum over a window: y = (1/β)·ln Σ e^{βx}, the maximum taken out first; padded cells are left out.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            kernel: the window, d sizes.
            beta: β, finite and not 0; the larger, the closer to the maximum; a negative one gives a smooth minimum.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them, at most half of the kernel.

        Returns: `(C, *out)` or `(N, C, *out)`, out = ⌊(in + 2p − k)/s⌋ + 1.
        Raises: as `max_pool`; OptionError if beta is 0 or not finite.
        Derivative: g times the softmax of βx over the window.
        """
        ...

    def max_pool2d(self, x: Ref, kernel: Ints, stride: Ints | None = None, *, name: str | None = None) -> Ref:
        """`max_pool` over two spatial axes, without padding.

        Args:
            x: `(C, H, W)`, or `(N, C, H, W)`.
            kernel: an int or two.
            stride: an int or two, ≥ 1; None means `kernel`.

        Returns: `(C, H′, W′)` or `(N, C, H′, W′)`.
        Raises: as `max_pool`.
        """
        ...

    def max_pool2d_pad(
        self,
        x: Ref,
        kernel: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        pad_value: float = -inf,
        *,
        name: str | None = None,
    ) -> Ref:
        """`max_pool` over two spatial axes.

        Args:
            x: `(C, H, W)`, or `(N, C, H, W)`.
            kernel: an int or two.
            stride: an int or two, ≥ 1; None means `kernel`.
            padding: an int or two, at most half of the kernel.
            pad_value: as in `max_pool`.

        Returns: `(C, H′, W′)` or `(N, C, H′, W′)`.
        Raises: as `max_pool`.
        """
        ...

    def max_pool_pad(
        self,
        x: Ref,
        kernel: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        pad_value: float = -inf,
        *,
        name: str | None = None,
    ) -> Ref:
        """Alias of `max_pool2d_pad`.

        Args:
            x, kernel, stride, padding, pad_value: as for `max_pool2d_pad`.
        """
        ...

    def avg_pool2d(self, x: Ref, kernel: Ints, stride: Ints | None = None, *, name: str | None = None) -> Ref:
        """`avg_pool` over two spatial axes, without padding.

        Args:
            x: `(C, H, W)`, or `(N, C, H, W)`.
            kernel: an int or two.
            stride: an int or two, ≥ 1; None means `kernel`.

        Returns: `(C, H′, W′)` or `(N, C, H′, W′)`.
        Raises: as `max_pool`.
        """
        ...

    def avg_pool2d_pad(self, x: Ref, kernel: Ints, stride: Ints | None = None, padding: Ints = 0, *, name: str | None = None) -> Ref:
        """`avg_pool` over two spatial axes.

        Args:
            x: `(C, H, W)`, or `(N, C, H, W)`.
            kernel: an int or two.
            stride: an int or two, ≥ 1; None means `kernel`.
            padding: an int or two, at most half of the kernel.

        Returns: `(C, H′, W′)` or `(N, C, H′, W′)`.
        Raises: as `max_pool`.
        """
        ...

    def avg_pool_pad(self, x: Ref, kernel: Ints, stride: Ints | None = None, padding: Ints = 0, *, name: str | None = None) -> Ref:
        """Alias of `avg_pool2d_pad`.

        Args:
            x, kernel, stride, padding: as for `avg_pool2d_pad`.
        """
        ...

    def smooth_max_pool2d(self, x: Ref, kernel: Ints, beta: float, stride: Ints | None = None, *, name: str | None = None) -> Ref:
        """`smooth_max_pool` over two spatial axes, without padding.

        Args:
            x: `(C, H, W)`, or `(N, C, H, W)`.
            kernel: an int or two.
            beta: as in `smooth_max_pool`.
            stride: an int or two, ≥ 1; None means `kernel`.

        Returns: `(C, H′, W′)` or `(N, C, H′, W′)`.
        Raises: as `smooth_max_pool`.
        """
        ...

    def global_avg_pool2d_chw(self, x: Ref, *, name: str | None = None) -> Ref:
        """Mean of each channel over both spatial axes of one image; a composite of `reduce_mean`.

        Args:
            x: `(C, H, W)`.

        Returns: `(C,)`.
        Raises: ShapeError if x does not have three axes or a spatial axis is empty.
        Source: Lin, Chen & Yan 2014, section 3.2.
        """
        ...

    def global_avg_pool2d_nchw(self, x: Ref, *, name: str | None = None) -> Ref:
        """Mean of each channel over both spatial axes of every image of a batch; a composite of `reduce_mean`.

        Args:
            x: `(N, C, H, W)`.

        Returns: `(N, C)`.
        Raises: ShapeError if x does not have four axes or a spatial axis is empty.
        Source: Lin, Chen & Yan 2014, section 3.2.
        """
        ...
