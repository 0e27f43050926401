"""Discrete Fourier transforms."""

from __future__ import annotations

from typing import Any, Protocol

from ....arguments.literals import Norm
from ..ref import Ints, Ref


class FourierOps(Protocol):
    """Discrete Fourier transforms. Free functions on complex arrays are in `tl.fft`.

    A complex array of shape s is a real one of shape `(*s, 2)`: the real and the imaginary part next to each other, as NumPy keeps complex
    numbers. Axes are those of s. A gradient has the derivatives by the two parts in the same places.
    """

    def fft_fft(self, x: Ref, n: int | None = None, axis: int = -1, norm: Norm | None = "backward", *, name: str | None = None) -> Ref:
        """Discrete Fourier transform: y[k] = Σ x[j] exp(−2πi jk/n) along an axis.

        Args:
            x: `(*s, 2)`.
            n: use so many entries along the axis, or zeros after the last; None is as many as there are.
            axis: the axis, of those of s.
            norm: `"backward"`: the inverse has the factor 1/n; `"forward"`: this one has; `"ortho"`: both have 1/√n.

        Returns: `(*s, 2)` with n entries along the axis.
        Raises: ShapeError where the last axis is not of two, or there is nothing to transform.
        Derivative: the inverse of g with the factor at the other side.
        Example: `fft_fft([[1, 0], [0, 0]])` is `[[1, 0], [1, 0]]`.
        """
        ...

    def fft_ifft(self, x: Ref, n: int | None = None, axis: int = -1, norm: Norm | None = "backward", *, name: str | None = None) -> Ref:
        """Inverse transform: y[j] = 1/n · Σ x[k] exp(2πi jk/n) along an axis.

        Args:
            x: `(*s, 2)`.
            n: use so many entries along the axis, or zeros after the last; None is as many as there are.
            axis: the axis, of those of s.
            norm: `"backward"`: this one has the factor 1/n; `"forward"`: the other has; `"ortho"`: both have 1/√n.

        Returns: `(*s, 2)` with n entries along the axis.
        Derivative: the transform of g with the factor at the other side.
        Example: `fft_ifft([[1, 0], [1, 0]])` is `[[1, 0], [0, 0]]`.
        """
        ...

    def fft_rfft(self, x: Ref, n: int | None = None, axis: int = -1, norm: Norm | None = "backward", *, name: str | None = None) -> Ref:
        """Transform of real numbers: of `fft_fft` the frequencies 0 … n//2; the others are their conjugates.

        Args:
            x: `s`, real.
            n: use so many entries along the axis, or zeros after the last; None is as many as there are.
            axis: the axis.
            norm: `"backward"`: the inverse has the factor 1/n; `"forward"`: this one has; `"ortho"`: both have 1/√n.

        Returns: `(*s, 2)` with n//2 + 1 entries along the axis.
        Derivative: of n real numbers, those with the spectrum g.
        Example: `fft_rfft([1, 0])` is `[[1, 0], [1, 0]]`.
        """
        ...

    def fft_irfft(self, x: Ref, n: int | None = None, axis: int = -1, norm: Norm | None = "backward", *, name: str | None = None) -> Ref:
        """Inverse of `fft_rfft`: the n real numbers with a spectrum.

        Args:
            x: `(*s, 2)`.
            n: the length of the result along the axis; None is 2 (m − 1) for m entries. The spectrum is cut, or has zeros after it.
            axis: the axis, of those of s.
            norm: `"backward"`: this one has the factor 1/n; `"forward"`: the other has; `"ortho"`: both have 1/√n.

        Returns: `s` with n entries along the axis. The imaginary parts of the frequencies 0 and n/2 do not count.
        Derivative: the spectrum of g, twice where a frequency has a negative counterpart.
        Example: `fft_irfft([[1, 0], [1, 0]])` is `[1, 0]`.
        """
        ...

    def fft_fftn(
        self, x: Ref, s: Ints | None = None, axes: Ints | None = None, norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """Discrete Fourier transform along several axes.

        Args:
            x: `(*s, 2)`.
            s: the lengths along the axes, as n of `fft_fft`.
            axes: each once; None is all, or the last ones where s is given.
            norm: as of `fft_fft`, along each axis.

        Returns: `(*s, 2)` with the lengths of `s` along the axes.
        """
        ...

    def fft_ifftn(
        self, x: Ref, s: Ints | None = None, axes: Ints | None = None, norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """Inverse transform along several axes.

        Args:
            x: `(*s, 2)`.
            s: the lengths along the axes, as n of `fft_fft`.
            axes: each once; None is all, or the last ones where s is given.
            norm: as of `fft_ifft`, along each axis.

        Returns: `(*s, 2)` with the lengths of `s` along the axes.
        """
        ...

    def fft_rfftn(
        self, x: Ref, s: Ints | None = None, axes: Ints | None = None, norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """Transform of real numbers along several axes: `fft_rfft` along the last one, `fft_fft` along the others.

        Args:
            x: `s`, real.
            s: the lengths along the axes, as n of `fft_fft`.
            axes: each once; None is all, or the last ones where s is given.
            norm: as of `fft_fft`, along each axis.

        Returns: `(*s, 2)` with n//2 + 1 entries along the last of the axes.
        """
        ...

    def fft_irfftn(
        self, x: Ref, s: Ints | None = None, axes: Ints | None = None, norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """Inverse of `fft_rfftn`.

        Args:
            x: `(*s, 2)`.
            s: the lengths of the result along the axes; without it the last is 2 (m − 1) for m entries.
            axes: each once; None is all, or the last ones where s is given.
            norm: as of `fft_ifft`, along each axis.

        Returns: `s` with the lengths of `s` along the axes.
        """
        ...

    def fft_fft2(
        self, x: Ref, s: Ints | None = None, axes: Ints = (-2, -1), norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """`fft_fftn` along the last two axes.

        Args:
            x: `(*s, 2)`.
            s: as of `fft_fftn`.
            axes: two, or others.
            norm: as of `fft_fftn`.

        Returns: as of `fft_fftn`.
        """
        ...

    def fft_ifft2(
        self, x: Ref, s: Ints | None = None, axes: Ints = (-2, -1), norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """`fft_ifftn` along the last two axes.

        Args:
            x: `(*s, 2)`.
            s: as of `fft_ifftn`.
            axes: two, or others.
            norm: as of `fft_ifftn`.

        Returns: as of `fft_ifftn`.
        """
        ...

    def fft_rfft2(
        self, x: Ref, s: Ints | None = None, axes: Ints = (-2, -1), norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """`fft_rfftn` along the last two axes.

        Args:
            x: `s`, real.
            s: as of `fft_rfftn`.
            axes: two, or others.
            norm: as of `fft_rfftn`.

        Returns: as of `fft_rfftn`.
        """
        ...

    def fft_irfft2(
        self, x: Ref, s: Ints | None = None, axes: Ints = (-2, -1), norm: Norm | None = "backward", *, name: str | None = None
    ) -> Ref:
        """`fft_irfftn` along the last two axes.

        Args:
            x: `(*s, 2)`.
            s: as of `fft_irfftn`.
            axes: two, or others.
            norm: as of `fft_irfftn`.

        Returns: as of `fft_irfftn`.
        """
        ...

    def fft_mul(self, a: Ref, b: Ref, conjugate: bool = False, *, name: str | None = None) -> Ref:
        """Products of complex numbers: a b, or a times the conjugate of b.

        Args:
            a, b: `(*s, 2)`; they broadcast.
            conjugate: take the conjugate of b.

        Returns: `(*s, 2)`.
        Derivative: g times the conjugate of the other.
        Example: `fft_mul([0, 1], [0, 1])` is `[-1, 0]`.
        """
        ...

    def fft_fftfreq(self, n: int, d: float = 1.0, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Frequencies of `fft_fft`: 0, 1, … (n − 1)//2, then −(n//2) … −1, over n d.

        Args:
            n: the length of the transform.
            d: the distance of neighbouring samples, a plain number.
            dtype: of the result; None is the program's float dtype.

        Returns: `(n,)`.
        Example: `fft_fftfreq(4)` is `[0, 0.25, -0.5, -0.25]`.
        """
        ...

    def fft_rfftfreq(self, n: int, d: float = 1.0, dtype: Any = None, *, name: str | None = None) -> Ref:
        """Frequencies of `fft_rfft`: 0, 1, … n//2, over n d.

        Args:
            n: the length of the transform.
            d: the distance of neighbouring samples, a plain number.
            dtype: of the result; None is the program's float dtype.

        Returns: `(n//2 + 1,)`.
        Example: `fft_rfftfreq(4)` is `[0, 0.25, 0.5]`.
        """
        ...

    def fft_fftshift(self, x: Ref, axes: Ints | None = None, *, name: str | None = None) -> Ref:
        """The frequency 0 into the middle: entries moved by n//2 along axes.

        Args:
            x: `s`. Of a spectrum the last axis is that of the two parts: leave it out of the axes.
            axes: None is all.

        Returns: `s`.
        Derivative: g moved back.
        Example: `fft_fftshift([0, 1, 2])` is `[2, 0, 1]`.
        """
        ...

    def fft_ifftshift(self, x: Ref, axes: Ints | None = None, *, name: str | None = None) -> Ref:
        """The inverse of `fft_fftshift`.

        Args:
            x: `s`.
            axes: None is all.

        Returns: `s`.
        Derivative: g moved back.
        Example: `fft_ifftshift([2, 0, 1])` is `[0, 1, 2]`.
        """
        ...
