"""Pools over spatial axes, channels first. In the generic forms `kernel` is a tuple, and its length is the number d of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Protocol

from .ref import Ints, Ref


class PoolOps(Protocol):
    """Pools."""

    def max_pool(
        self,
        x: Ref,
        kernel: Sequence[int],
        stride: Ints | None = None,
        padding: Ints = 0,
        pad_value: float = -inf,
        *,
        name: str | None = None,
    ) -> Ref:
        """Maximum over a window, NaN where the window holds one; padded cells never win.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            kernel: the window, d sizes.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them, at most half of the kernel.
            pad_value: what padded cells hold; with 0.0 they take part as zeros (and a zero that wins has no gradient to give).

        Returns: `(C, *out)` or `(N, C, *out)`, out = ⌊(in + 2p − k)/s⌋ + 1.
        Raises: ShapeError, naming the sizes, if the kernel is empty or larger than the padded input, padding > kernel/2, a stride is < 1,
            there are no channels, or x does not have d + 1 or d + 2 axes; OptionError if an option does not have d entries.
        Derivative: g to the first maximum in row-major order (the first NaN, where there is one), 0 elsewhere.
        Source: Dumoulin & Visin 2016, chapter 3.
        """
        ...

    def avg_pool(self, x: Ref, kernel: Sequence[int], stride: Ints | None = None, padding: Ints = 0, *, name: str | None = None) -> Ref:
        """Mean over a window; padded cells count as zeros, so the divisor is always the size of the whole kernel.

        Args:
            x: `(C, *in)`, or `(N, C, *in)`, d spatial axes.
            kernel: the window, d sizes.
            stride: an int or d of them, ≥ 1; None means `kernel`.
            padding: an int or d of them, at most half of the kernel.

        Returns: `(C, *out)` or `(N, C, *out)`, out = ⌊(in + 2p − k)/s⌋ + 1.
        Raises: as `max_pool`.
        Derivative: g divided by the kernel's size, to every cell of the window.
        Source: Dumoulin & Visin 2016, chapter 3.
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
