"""Convolutions over d = 1, 2 or 3 spatial axes, channels first."""

from __future__ import annotations

from typing import Protocol

from .ref import Ints, Ref


class ConvOps(Protocol):
    """Convolutions."""

    def conv(
        self,
        w: Ref,
        b: Ref | None,
        x: Ref,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        *,
        name: str | None = None,
    ) -> Ref:
        """Convolution (cross-correlation) over d spatial axes with zero padding; d comes from the rank of w.

        y[n, o, i] = b[o] + Σ_{c, k} w[o, c, k] · x[n, c′, s·i − p + dil·k], where i and k are d axes each
        each, x is zero outside, and c′ is the c-th channel of o's group.

        Args:
            w: `(outC, inC/groups, *kernel)`, d = 1, 2 or 3 kernel axes.
            b: `(outC,)`, or None for no bias.
            x: `(inC, *in)`, or `(N, inC, *in)`.
            stride, padding, dilation: an int, or one for each spatial axis; stride, dilation ≥ 1, padding ≥ 0.
                Padding may also be "valid", which is 0, or "same" at stride 1, where out = in: dil(k − 1) zeros along an axis, where that
                is odd one more behind than before.
            groups: how many independent groups the channels fall into; divides inC and outC.

        Returns: `(outC, *out)` or `(N, outC, *out)`, out = ⌊(in + 2p − dil(k − 1) − 1)/s⌋ + 1.
        Raises: ShapeError, naming the sizes, if the channels do not fit, there are none, the kernel is empty or larger than the padded
            input, or a stride is < 1; OptionError if an option does not have one entry for each spatial axis, or padding is "same" with a
            stride other than 1 or another word.
        Rounding: on the CPU, kernels of 3 × 3 (× 3) cells at stride 1 with enough channels, and their gradients, are computed in float32
            by Winograd's F(4×4, 3×3), on average with 2 to 3 times the error of the sums above. The error of an output is below
            5e−6 ‖w‖ ‖x‖, 2-norms over the filter and the window of that output alone: tiles of 4 × 4 outputs are computed by the sums
            above if a place in them, over the channels, is more than 16 times the size of the places of one of their windows or is not
            finite, and so are output channels whose kernel cells differ by more than that. The error of a weight gradient is below
            5e−6 Σ_i ‖g[i]‖ ‖x[i + k]‖, norms over the channels. float64 and `fast_kernels=False` never take Winograd's way.
        Source: Dumoulin & Visin 2016, relation 15; Lavin & Gray 2016 for Winograd's way.
        """
        ...

    def conv2d(
        self,
        w: Ref,
        b: Ref | None,
        x: Ref,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        *,
        name: str | None = None,
    ) -> Ref:
        """`conv` over two spatial axes.

        Args:
            w: `(outC, inC/groups, kH, kW)`.
            b: `(outC,)`, or None for no bias.
            x: `(inC, H, W)`, or `(N, inC, H, W)`.
            stride, padding, dilation, groups: as in `conv`.

        Returns: `(outC, H′, W′)` or `(N, outC, H′, W′)`.
        Raises: as `conv`; ShapeError if w does not have two kernel axes.
        Source: Dumoulin & Visin 2016, relation 15.
        """
        ...

    def conv_transpose(
        self,
        w: Ref,
        b: Ref | None,
        x: Ref,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        *,
        name: str | None = None,
    ) -> Ref:
        """Transposed convolution over d spatial axes: the adjoint of `conv` in x, plus a bias; d comes from the rank of w.

        Every x[n, c, i] adds w[c, o, k] · x[n, c, i] to y[n, o′, s·i − p + dil·k], o′ being the o-th output channel of c's
        group; what falls outside is dropped.

        Args:
            w: `(inC, outC/groups, *kernel)`, d = 1, 2 or 3 kernel axes.
            b: `(outC,)`, or None for no bias.
            x: `(inC, *in)`, or `(N, inC, *in)`.
            stride, padding, dilation: as in `conv`.
            output_padding: how much longer the result is, ≥ 0 and smaller than the stride or the dilation; it settles which of
                the sizes that `conv` maps to `in` is meant.
            groups: how many independent groups the channels fall into; divides inC and outC.

        Returns: `(outC, *out)` or `(N, outC, *out)`, out = (in − 1)s − 2p + dil(k − 1) + output_padding + 1.
        Raises: ShapeError, naming the sizes, if the channels do not fit, there are none, the kernel is empty, the result would have no
            elements along an axis, a stride is < 1, or output_padding is out of its range; OptionError if an option does not have one entry
            for each spatial axis.
        Source: Dumoulin & Visin 2016, chapter 4.
        """
        ...

    def conv_transpose2d(
        self,
        w: Ref,
        b: Ref | None,
        x: Ref,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        *,
        name: str | None = None,
    ) -> Ref:
        """`conv_transpose` over two spatial axes.

        Args:
            w: `(inC, outC/groups, kH, kW)`.
            b: `(outC,)`, or None for no bias.
            x: `(inC, H, W)`, or `(N, inC, H, W)`.
            stride, padding, output_padding, dilation, groups: as in `conv_transpose`.

        Returns: `(outC, H′, W′)` or `(N, outC, H′, W′)`.
        Raises: as `conv_transpose`; ShapeError if w does not have two kernel axes.
        Source: Dumoulin & Visin 2016, chapter 4.
        """
        ...
